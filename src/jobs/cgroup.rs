//! Cgroups (version 2) of commands: one for each attempt, below the daemon's own, as far as the daemon may make one there.
//!
//! A process cannot leave its cgroup by ending its parent, by `setsid` or by clearing its environment, and the kernel says
//! whether one is empty and kills all that is in it in one step.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::io::Errno;

use super::procfs::{self, Process};
use crate::ids::ExecutionId;

/// Rounds in which children are pulled in: each finds those that a pulled one had before.
const ROUNDS_MAX: usize = 100;

/// Looks at a cgroup in which something lives until one shows it.
const LOOKS_MAX: usize = 100;

/// The daemon's own cgroup, and what names those of its attempts.
#[derive(Debug)]
pub(super) struct Cgroups {
    own: PathBuf,
    /// With the data folder in it: daemons may share a parent, and a slot's execution has the same id in each.
    prefix: String,
}

impl Cgroups {
    /// The daemon's own cgroup, as `/proc` tells it.
    ///
    /// # Errors
    /// Why there is none that can be seen.
    pub(super) fn find(data: &Path) -> Result<Self, String> {
        let read = |path: &str| fs::read_to_string(path).map_err(|err| format!("`{path}`: {err}"));
        let (mounts, groups) = (read("/proc/self/mountinfo")?, read("/proc/self/cgroup")?);
        let own = own_folder(&mounts, &groups)?;
        if !own.is_dir() {
            return Err(format!("the daemon's cgroup `{}` cannot be seen", own.display()));
        }
        let prefix = format!("{NAME}{}-", tag(data));
        Ok(Self { own, prefix })
    }

    pub(super) fn own(&self) -> &Path {
        &self.own
    }

    /// Makes a cgroup and puts a process into it, once.
    ///
    /// # Errors
    /// The kernel's, with what was tried.
    pub(super) fn probe(&self) -> Result<(), String> {
        let group = Group { path: self.own.join(format!("{}probe", self.prefix)) };
        group.make().map_err(|err| format!("`{}` cannot be made: {err}", group.path.display()))?;
        let moved = with_a_process(|pid| {
            let moved = group.add(pid);
            moved.map_err(|err| format!("no process may be moved to `{}`: {err}", group.shown()))
        });
        if let Err(err) = group.remove() {
            tracing::debug!(folder = group.shown(), %err, "a cgroup stays for a while");
        }
        moved
    }

    /// The cgroup of an attempt, which may not exist yet.
    pub(super) fn of_attempt(&self, execution: ExecutionId, attempt: u32) -> Group {
        Group { path: self.own.join(format!("{}{execution}-{attempt}", self.prefix)) }
    }

    /// The cgroups of attempts that exist: this daemon's, and those that a killed one left.
    pub(super) fn existing(&self) -> Vec<(ExecutionId, Group)> {
        let Ok(entries) = fs::read_dir(&self.own) else { return Vec::new() };
        let of_attempt = |entry: fs::DirEntry| {
            let name = entry.file_name();
            Some((self.execution_of(name.to_str()?)?, Group { path: entry.path() }))
        };
        entries.filter_map(|entry| of_attempt(entry.ok()?)).collect()
    }

    fn execution_of(&self, name: &str) -> Option<ExecutionId> {
        name.strip_prefix(&self.prefix)?.rsplit_once('-')?.0.parse().ok()
    }

    /// Whose `process` is by its cgroup.
    pub(super) fn whose(&self, process: &Process) -> Whose {
        let groups = fs::read_to_string(format!("/proc/{}/cgroup", process.pid));
        self.by_path(path_of(&groups.unwrap_or_default()).unwrap_or_default())
    }

    fn by_path(&self, path: &str) -> Whose {
        // From the outside inwards: what a daemon starts that is a job itself belongs to that job.
        let mut attempts = path.split('/').filter(|name| name.starts_with(NAME)).peekable();
        if attempts.peek().is_none() {
            return Whose::Unknown;
        }
        attempts.find_map(|name| self.execution_of(name)).map_or(Whose::AnotherDaemons, Whose::Of)
    }
}

/// How the names of all daemons' cgroups begin.
const NAME: &str = "daybook-";

/// Whose a process is by its cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// An execution's of this data folder.
    Of(ExecutionId),
    /// A command's of a daemon on another data folder.
    AnotherDaemons,
    /// It is in no command's cgroup.
    Unknown,
}

/// What tells data folders of one machine apart: where it is, and which.
fn tag(data: &Path) -> String {
    let data = fs::canonicalize(data).unwrap_or_else(|_| data.to_owned());
    let mut hasher = blake3::Hasher::new();
    hasher.update(data.as_os_str().as_bytes());
    if let Ok(folder) = fs::metadata(&data) {
        hasher.update(&folder.dev().to_le_bytes());
        hasher.update(&folder.ino().to_le_bytes());
    }
    hasher.finalize().to_hex().chars().take(16).collect()
}

/// Calls `with` while a process runs that does nothing.
fn with_a_process(with: impl FnOnce(i32) -> Result<(), String>) -> Result<(), String> {
    let mut waiting = Command::new("/bin/sh");
    waiting.args(["-c", "read line"]).env_clear();
    waiting.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = waiting.spawn().map_err(|err| format!("`/bin/sh` does not start: {err}"))?;
    let done = i32::try_from(child.id()).map_err(|err| err.to_string()).and_then(with);
    // It reads until its standard input is closed.
    drop(child.stdin.take());
    if let Err(err) = child.wait() {
        tracing::debug!(%err, "the trial process was collected by somebody else");
    }
    done
}

/// Where the kernel shows the cgroup of version 2 that `groups` (`/proc/self/cgroup`) names, by `mounts`
/// (`/proc/self/mountinfo`).
fn own_folder(mounts: &str, groups: &str) -> Result<PathBuf, String> {
    let path = path_of(groups).ok_or("this kernel has no cgroups of version 2")?;
    let mut seen = false;
    for mount in mounts.lines() {
        let Some((fields, kind)) = mount.split_once(" - ") else { continue };
        if kind.split(' ').next() != Some("cgroup2") {
            continue;
        }
        seen = true;
        let mut fields = fields.split(' ').skip(3);
        let (Some(root), Some(point)) = (fields.next(), fields.next()) else { continue };
        // Of a container's cgroup only a part may be mounted.
        let below = Path::new(path).strip_prefix(unescaped(root)).ok();
        if let Some(below) = below.filter(|_| !path.starts_with("/..")) {
            // Not joined when empty: that would add a slash.
            let point = PathBuf::from(unescaped(point));
            return Ok(if below.as_os_str().is_empty() { point } else { point.join(below) });
        }
    }
    Err(if seen {
        format!("the daemon's cgroup `{path}` is mounted nowhere")
    } else {
        "no cgroup file system of version 2 is mounted".to_owned()
    })
}

/// The path in the hierarchy of version 2, from the text of a `/proc/<pid>/cgroup`.
fn path_of(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| line.strip_prefix("0::"))
}

/// `mountinfo` writes blanks and backslashes as octal numbers.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (octal, letter)| text.replace(octal, letter))
}

/// One cgroup, with those that its processes may make below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    path: PathBuf,
}

impl Group {
    pub(super) fn shown(&self) -> String {
        self.path.display().to_string()
    }

    fn make(&self) -> io::Result<()> {
        match fs::create_dir(&self.path) {
            // A killed daemon's.
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    fn add(&self, pid: i32) -> io::Result<()> {
        fs::write(self.path.join("cgroup.procs"), pid.to_string())
    }

    /// Makes it and takes the main process of `execution` in, with all that this started up to now. False when that process
    /// has ended already.
    pub(super) fn take_in(&self, main: i32, execution: ExecutionId) -> io::Result<bool> {
        self.make()?;
        let taken = match self.add(main) {
            Ok(()) => {
                self.pull(execution);
                Ok(true)
            }
            Err(err) if Errno::from_io_error(&err) == Some(Errno::SRCH) => Ok(false),
            Err(err) => Err(err),
        };
        if !matches!(taken, Ok(true))
            && let Err(err) = self.remove()
        {
            tracing::debug!(folder = self.shown(), %err, "a cgroup stays for a while");
        }
        taken
    }

    /// Pulls in what was born outside before its parent was moved, until nothing is left: children of those that are
    /// inside, and orphans that bear the marker.
    ///
    /// The kernel gives a number again only when it has used all others, so one that was read a moment ago still is the
    /// same process, or none.
    fn pull(&self, execution: ExecutionId) {
        let execution = execution.to_string();
        let own = rustix::process::getpid().as_raw_nonzero().get();
        for _ in 0..ROUNDS_MAX {
            let inside: HashSet<i32> = self.pids().into_iter().collect();
            let mut outside = procfs::children_of(&inside);
            let marked = |pid: &i32| {
                let orphan = Process::read(*pid).filter(|process| !process.zombie);
                orphan.and_then(|process| process.marker()).as_deref() == Some(&*execution)
            };
            outside.extend(procfs::first_threads_children(own).into_iter().filter(marked));
            // Nor those that are in a cgroup which the command has made in its own meanwhile.
            outside.retain(|pid| *pid != 0 && !inside.contains(pid) && !self.holds(*pid));
            let pulled = outside.into_iter().filter(|pid| self.add(*pid).is_ok()).count();
            if pulled == 0 {
                return;
            }
        }
    }

    fn holds(&self, pid: i32) -> bool {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let names = path_of(&groups).unwrap_or_default().split('/').map(OsStr::new);
        names.map(Some).any(|name| name == self.path.file_name())
    }

    /// Whether a process lives in it.
    pub(super) fn is_populated(&self) -> bool {
        let events = fs::read_to_string(self.path.join("cgroup.events"));
        events.is_ok_and(|events| events.lines().any(|line| line == "populated 1"))
    }

    /// The living processes in it and below it, by their numbers.
    pub(super) fn processes(&self) -> Vec<Process> {
        // One that does nothing but start the next one may be gone before it is looked at; then the next one is.
        for _ in 0..LOOKS_MAX {
            if !self.is_populated() {
                break;
            }
            let mut pids = self.pids();
            pids.sort_unstable();
            let read = pids.into_iter().filter_map(Process::read);
            let alive: Vec<Process> = read.filter(|process| !process.zombie).collect();
            if !alive.is_empty() {
                return alive;
            }
        }
        Vec::new()
    }

    fn pids(&self) -> Vec<i32> {
        let mut pids = Vec::new();
        for folder in self.folders() {
            let procs = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            // 0 stands for one that this process cannot see, and would name this process if it were written.
            pids.extend(
                procs.lines().filter_map(|pid| pid.parse().ok()).filter(|pid: &i32| *pid != 0),
            );
        }
        pids
    }

    /// Kills all that is in it and below it in one step. False where the kernel cannot (before Linux 5.14).
    pub(super) fn kill(&self) -> bool {
        match fs::write(self.path.join("cgroup.kill"), "1") {
            Ok(()) => true,
            Err(err) => {
                tracing::debug!(folder = self.shown(), %err, "a cgroup is not killed as a whole");
                false
            }
        }
    }

    /// Removes it with those below it, which the kernel allows once nothing lives in them.
    pub(super) fn remove(&self) -> io::Result<()> {
        for folder in self.folders().iter().rev() {
            match fs::remove_dir(folder) {
                Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
                Ok(()) | Err(_) => (),
            }
        }
        Ok(())
    }

    /// It and all below it, parents first.
    fn folders(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.path.clone()];
        let mut next = 0;
        while let Some(folder) = folders.get(next) {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            let below: Vec<PathBuf> = below.map(|entry| entry.path()).collect();
            folders.extend(below);
            next += 1;
        }
        folders
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instant::Instant;

    fn cgroups(data: &str) -> Cgroups {
        Cgroups { own: PathBuf::from("/own"), prefix: format!("{NAME}{}-", tag(Path::new(data))) }
    }

    fn execution(n: u8) -> ExecutionId {
        ExecutionId::random(Instant::from_secs(0), [n; 10])
    }

    fn name(cgroups: &Cgroups, n: u8) -> String {
        let path = cgroups.of_attempt(execution(n), 2).path;
        path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned()
    }

    #[test]
    fn the_own_folder_is_found_where_the_second_version_is_mounted() {
        let hybrid = "4:memory:/other\n0::/system.slice/daybook.service\n";
        let mount = |root: &str, point: &str| {
            format!(
                "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
                 41 31 0:38 {root} {point} rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
            )
        };
        let found = |mounts: &str, groups: &str| {
            own_folder(mounts, groups).map(|path| path.display().to_string())
        };
        assert_eq!(
            found(&mount("/", "/sys/fs/cgroup/unified"), hybrid).as_deref(),
            Ok("/sys/fs/cgroup/unified/system.slice/daybook.service")
        );
        assert_eq!(
            found(&mount("/", "/sys/fs/my\\040groups"), "0::/\n").as_deref(),
            Ok("/sys/fs/my groups")
        );
        let part = mount("/system.slice", "/cgroup");
        assert_eq!(found(&part, hybrid).as_deref(), Ok("/cgroup/daybook.service"));
        assert_eq!(
            found(&mount("/elsewhere", "/cgroup"), hybrid),
            Err("the daemon's cgroup `/system.slice/daybook.service` is mounted nowhere".to_owned())
        );
        assert!(found(&mount("/", "/cgroup"), "0::/../outside\n").is_err());
        assert!(found("", hybrid).is_err_and(|why| why.contains("no cgroup file system")));
        assert!(
            found(&part, "4:memory:/\n").is_err_and(|why| why.contains("no cgroups of version 2"))
        );
    }

    #[test]
    fn a_process_belongs_to_the_outermost_command_of_this_data_folder() {
        let (ours, other) = (cgroups("/srv/one"), cgroups("/srv/two"));
        let whose = |path: &str| ours.by_path(path);
        let first = name(&ours, 1);
        assert_eq!(whose(&format!("/a.service/{first}")), Whose::Of(execution(1)));
        assert_eq!(whose(&format!("/a.service/{first}/inner/deep")), Whose::Of(execution(1)));
        let (second, theirs) = (name(&ours, 2), name(&other, 1));
        assert_eq!(whose(&format!("/{first}/{second}")), Whose::Of(execution(1)));
        assert_eq!(
            whose(&format!("/{first}/{theirs}")),
            Whose::Of(execution(1)),
            "a daemon as a job"
        );
        assert_eq!(whose(&format!("/{theirs}/{first}")), Whose::Of(execution(1)), "we are a job");
        assert_eq!(whose(&format!("/{theirs}")), Whose::AnotherDaemons, "the same slot elsewhere");
        assert_eq!(whose("/user.slice/session-1.scope"), Whose::Unknown);
        assert_eq!(whose("/"), Whose::Unknown);
    }
}
