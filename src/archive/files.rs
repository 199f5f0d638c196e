//! Copies that are on disk when they are done, and are read from the disk when they are read again.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

use super::manifest::FileEntry;
use super::source::Source;
use super::{JOURNAL, LINES, Progress, Tick};
use crate::store::sync_folder;

/// How much is copied at once.
const BUFFER: usize = 1 << 20;

/// Copies files, and notes what they are.
pub(super) struct Copying<'a> {
    to: &'a Path,
    pub(super) files: Vec<FileEntry>,
    done: u64,
    total: u64,
    progress: Progress<'a>,
}

impl<'a> Copying<'a> {
    /// Copies into the folder `to`, which is made.
    pub(super) fn begin(to: &'a Path, total: u64, progress: Progress<'a>) -> io::Result<Self> {
        make_private(to)?;
        Ok(Self { to, files: Vec::new(), done: 0, total, progress })
    }

    /// Copies the first `bytes` bytes of the file `from` into `below`, a folder in the folder.
    fn file(&mut self, from: &Path, bytes: u64, below: &str) -> io::Result<()> {
        let name = name_in(below, from);
        let source = File::open(from)?;
        let mut target = create_private(&self.to.join(&name))?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; BUFFER];
        let mut at = 0;
        while at < bytes {
            let want = usize::try_from(bytes - at).unwrap_or(BUFFER).min(BUFFER);
            let Some(part) = buffer.get_mut(..want) else { break };
            source.read_exact_at(part, at)?;
            hasher.update(part);
            target.write_all(part)?;
            at += want as u64;
            self.done += want as u64;
            (self.progress)(Tick { what: "copying", done: self.done, total: self.total });
        }
        self.end(&target, &name, (bytes, &hasher))
    }

    /// Writes `bytes` to `name`.
    pub(super) fn bytes(&mut self, bytes: &[u8], name: &str) -> io::Result<()> {
        let mut target = create_private(&self.to.join(name))?;
        target.write_all(bytes)?;
        self.done += bytes.len() as u64;
        let mut hasher = blake3::Hasher::new();
        hasher.update(bytes);
        self.end(&target, name, (bytes.len() as u64, &hasher))
    }

    fn end(
        &mut self,
        target: &File,
        name: &str,
        (bytes, hasher): (u64, &blake3::Hasher),
    ) -> io::Result<()> {
        target.sync_all()?;
        forget(target);
        let blake3 = hasher.finalize().to_hex().to_string();
        self.files.push(FileEntry { path: name.to_owned(), bytes, blake3 });
        Ok(())
    }

    /// Copies the events of `source`.
    pub(super) fn journal(&mut self, source: &Source) -> io::Result<()> {
        make_private(&self.to.join(JOURNAL))?;
        for file in &source.journal.files {
            self.file(&file.path, file.bytes, JOURNAL)?;
        }
        sync_folder(&self.to.join(JOURNAL))
    }

    /// Copies the lines of `source`, as they are.
    pub(super) fn lines(&mut self, source: &Source) -> io::Result<()> {
        make_private(&self.to.join(LINES))?;
        for file in &source.lines.files {
            self.file(&file.path, file.bytes, LINES)?;
        }
        sync_folder(&self.to.join(LINES))
    }

    /// Copies the checkpoint of `source`, if there is one.
    pub(super) fn checkpoint(&mut self, source: &Source) -> io::Result<()> {
        let Some(file) = &source.checkpoint else { return Ok(()) };
        let name = file.path.file_name().and_then(|name| name.to_str()).unwrap_or("checkpoint-0");
        self.bytes(&file.bytes, name)
    }

    /// Brings the folder's own entries to disk.
    pub(super) fn finish(self) -> io::Result<Vec<FileEntry>> {
        sync_folder(self.to)?;
        Ok(self.files)
    }
}

fn name_in(folder: &str, path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    format!("{folder}/{}", name.unwrap_or_default())
}

/// Makes a folder that is its user's alone.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a new file that is its user's alone.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Lets the system forget the pages of a file that is on disk, so that reading it back reads the disk.
fn forget(file: &File) {
    // Only an advice: without it the check reads what memory holds.
    rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed).unwrap_or_default();
}

/// Removes a folder if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
        _ => Ok(()),
    }
}

/// Bytes of all files below a folder; what cannot be read counts as nothing.
pub fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_gone) => 0,
    };
    entries.filter_map(Result::ok).map(size).sum()
}
