//! The folder of one generation, `<data>/runs/<generation>/`: who holds it, its socket, and what its runner wrote.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::wire::PROTOCOL;
use crate::instant::Instant;
use crate::jobs::procfs::Process;

/// One generation's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::jobs) struct Folder(PathBuf);

/// Who runs there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::jobs) struct Identity {
    /// Of the messages and files.
    pub(in crate::jobs) protocol: u32,
    /// The program's.
    pub(in crate::jobs) version: String,
    pub(in crate::jobs) boot_id: String,
    pub(in crate::jobs) pid: i32,
    /// Clock ticks after boot.
    pub(in crate::jobs) start: u64,
}

impl Identity {
    pub(super) fn own() -> Self {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        Self {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id: boot_id(),
            pid,
            start: Process::read(pid).map_or(0, |own| own.start),
        }
    }

    /// Whether it is of this boot: what is not has no process any more, whatever a lock says.
    pub(in crate::jobs) fn is_of_this_boot(&self) -> bool {
        self.boot_id == boot_id()
    }
}

/// The kernel's boot id; empty where there is none.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

impl Folder {
    /// Makes the folder of a new generation below `runs`, closed to everybody else.
    ///
    /// # Errors
    /// The file system's.
    pub(in crate::jobs) fn make(runs: &Path, now: Instant) -> io::Result<Self> {
        let mut private = DirBuilder::new();
        private.mode(0o700);
        private.recursive(true).create(runs)?;
        private.recursive(false);
        let mut number = 0;
        loop {
            let path = runs.join(format!("{:013}-{number}", now.millis()));
            match private.create(&path) {
                Err(err) if err.kind() == io::ErrorKind::AlreadyExists => number += 1,
                made => return made.map(|()| Self(path)),
            }
        }
    }

    pub(super) const fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Those below `runs`, oldest first.
    pub(in crate::jobs) fn all(runs: &Path) -> Vec<Self> {
        let entries = fs::read_dir(runs).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let mut folders: Vec<Self> = folders.map(|entry| Self(entry.path())).collect();
        folders.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        folders
    }

    pub(in crate::jobs) fn path(&self) -> &Path {
        &self.0
    }

    /// The generation's name.
    pub(in crate::jobs) fn name(&self) -> String {
        self.0.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Takes the lock that says that somebody lives here; the kernel gives it back when its holder is gone, and nothing else
    /// does. None while somebody else has it.
    ///
    /// # Errors
    /// The file system's.
    pub(in crate::jobs) fn lock(&self) -> io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(self.lock_file())?;
        Ok(tried(&file)?.then_some(file))
    }

    /// Waits until nobody lives here. Blocks.
    ///
    /// # Errors
    /// The file system's.
    pub(in crate::jobs) fn wait_until_free(&self) -> io::Result<()> {
        self.lock_to_look()?.map_or(Ok(()), |lock| lock.lock())
    }

    /// Whether nobody lives here.
    ///
    /// # Errors
    /// The file system's.
    pub(in crate::jobs) fn is_free(&self) -> io::Result<bool> {
        self.lock_to_look()?.map_or(Ok(true), |lock| tried(&lock))
    }

    /// None when there is no such file. Who only looks makes none: its holder may be about to remove the folder.
    fn lock_to_look(&self) -> io::Result<Option<File>> {
        match OpenOptions::new().write(true).open(self.lock_file()) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some),
        }
    }

    fn lock_file(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// Whether a runner lives here: somebody holds the lock, and it is not left from before the machine started.
    ///
    /// # Errors
    /// The file system's.
    pub(in crate::jobs) fn is_alive(&self) -> io::Result<bool> {
        let old_boot = self.identity().is_some_and(|identity| !identity.is_of_this_boot());
        Ok(!old_boot && !self.is_free()?)
    }

    pub(super) fn write_identity(&self, identity: &Identity) -> io::Result<()> {
        let text = serde_json::to_vec(identity).map_err(io::Error::other)?;
        // Whole or not at all: a daemon may look at any time.
        let (path, new) = (self.0.join("identity"), self.0.join("identity.new"));
        fs::write(&new, text).and_then(|()| fs::rename(new, path))
    }

    /// Who runs or ran here; none when it did not come to that.
    pub(in crate::jobs) fn identity(&self) -> Option<Identity> {
        serde_json::from_slice(&fs::read(self.0.join("identity")).ok()?).ok()
    }

    pub(super) fn ends(&self) -> PathBuf {
        self.0.join("ends")
    }

    /// What the runner had to say while nobody listened.
    pub(super) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// The same for the daemon that comes to listen; once.
    pub(in crate::jobs) fn take_said(&self) -> String {
        let said = fs::read_to_string(self.log()).unwrap_or_default();
        if !said.is_empty() {
            // If it stays, it is told once more.
            fs::remove_file(self.log()).unwrap_or_default();
        }
        said
    }

    /// Listens for daemons.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn listen(&self) -> io::Result<UnixListener> {
        let (_open, path) = self.socket()?;
        match fs::remove_file(&path) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
            Ok(()) | Err(_) => UnixListener::bind(path),
        }
    }

    /// Connects to who listens here.
    ///
    /// # Errors
    /// The system's.
    pub(in crate::jobs) fn connect(&self) -> io::Result<UnixStream> {
        let (_open, path) = self.socket()?;
        UnixStream::connect(path)
    }

    /// A socket's path has 107 bytes at most: by the open folder it is always short.
    fn socket(&self) -> io::Result<(File, PathBuf)> {
        let folder = File::open(&self.0)?;
        let path = format!("/proc/self/fd/{}/socket", folder.as_raw_fd());
        Ok((folder, PathBuf::from(path)))
    }

    /// Removes it with all that is in it, the lock last: who finds it free finds nothing else.
    pub(in crate::jobs) fn remove(&self) {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let others = entries.filter(|entry| entry.file_name() != "lock");
        // What stays is tried again with the folder.
        others.for_each(|entry| fs::remove_file(entry.path()).unwrap_or_default());
        if let Err(err) = fs::remove_dir_all(&self.0)
            && err.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %self.0.display(), %err, "a finished generation's folder stays");
        }
    }
}

/// Whether the lock was free, and is held now for as long as `file` is open.
fn tried(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(err)) => Err(err),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_holder_and_a_name_of_its_own() {
        let runs = tempfile::tempdir().expect("a folder");
        let now = Instant::from_millis(1_764_419_319_000);
        let make = || Folder::make(&runs.path().join("runs"), now).expect("made");
        let (first, second) = (make(), make());
        assert_eq!(first.name(), "1764419319000-0");
        assert_eq!(Folder::all(&runs.path().join("runs")), [first.clone(), second]);
        let held = first.lock().expect("a lock").expect("it is free");
        assert!(first.lock().expect("a lock").is_none());
        assert!(!first.is_free().expect("a lock"));
        drop(held);
        assert!(first.is_free().expect("a lock"));
        assert!(first.lock().expect("a lock").is_some());
    }

    #[test]
    fn a_folder_that_is_removed_is_free_when_nothing_is_left_of_it() {
        let runs = tempfile::tempdir().expect("a folder");
        let folder = Folder::make(runs.path(), Instant::default()).expect("made");
        let fill = |half: &str| {
            for n in 0..2_000 {
                fs::write(folder.path().join(format!("{half}-{n}")), "").expect("a file");
            }
        };
        // Folders are listed in this order or in the other one.
        fill("before");
        let lock = folder.lock().expect("a lock").expect("it is free");
        fill("after");
        let seen = folder.clone();
        let looking = std::thread::spawn(move || {
            while !seen.is_free().expect("a lock") {}
            fs::read_dir(seen.path()).map_or(0, |left| left.flatten().count())
        });
        folder.remove();
        assert_eq!(looking.join().expect("no panic"), 0);
        drop(lock);
    }

    #[test]
    fn a_socket_is_reached_however_long_the_path_is() {
        let runs = tempfile::tempdir().expect("a folder");
        let long = runs.path().join("a".repeat(120)).join("b".repeat(120));
        let folder = Folder::make(&long, Instant::default()).expect("made");
        let listener = folder.listen().expect("it listens");
        folder.connect().expect("it is reached");
        listener.accept().expect("somebody came");
    }

    #[test]
    fn who_ran_before_the_last_boot_runs_no_more() {
        let own = Identity::own();
        assert!(own.is_of_this_boot() && own.start > 0);
        assert!(!Identity { boot_id: "before".to_owned(), ..own }.is_of_this_boot());
    }
}
