//! A backup: the source copied, read back, checked and only then named.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::check::check_folder;
use super::files::{Copying, create_private, make_private, remove};
use super::fold::{Finding, Part};
use super::manifest::{MANIFEST, Manifest};
use super::source::Source;
use super::{Asked, Progress};
use crate::ids::{Position, hex};
use crate::instant::Instant;
use crate::store::sync_folder;

/// What a backup's folder begins with; the position follows, in 20 digits.
const NAME: &str = "backup-";
/// What is written and not checked yet.
const PARTIAL: &str = ".partial";
/// Held by whoever writes a backup into the folder.
const LOCK: &str = ".daybook-backups";
/// Left free on the disk at least, in bytes.
const SPARE: u64 = 64 << 20;

/// What a backup is made with.
#[derive(Clone, Copy, Debug)]
pub struct BackupOrder<'a> {
    /// The folder of all backups.
    pub dir: &'a Path,
    /// The program's version.
    pub version: &'a str,
    /// Now.
    pub created: Instant,
    /// Older backups of the same data folder beyond so many are deleted when this one is made.
    pub keep: Option<usize>,
    /// Left free on the disk beyond what is copied, in bytes.
    pub spare: u64,
}

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its folder.
    pub path: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
    /// What is damaged in the source, and so in the backup: lines alone.
    pub findings: Vec<Finding>,
    /// Older backups that were deleted, by name.
    pub removed: Vec<String>,
    /// It was there already, and is sound.
    pub was_there: bool,
}

/// Why no backup was made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Somebody else writes a backup into the folder.
    #[error("another backup is being written to `{}`", dir.display())]
    Busy {
        /// The folder.
        dir: PathBuf,
    },
    /// There is not enough space.
    #[error("`{}` has {free} bytes free, the backup needs {needed}", dir.display())]
    Full {
        /// The folder.
        dir: PathBuf,
        /// Free bytes.
        free: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// What was written is not sound.
    #[error("the backup was written and is not sound: {}: {}", .0.place, .0.what)]
    Unsound(Box<Finding>),
    /// A backup of this position is there, and is not of this log.
    #[error("`{}` is of another log that had the same number of events; name another folder", path.display())]
    AnotherLog {
        /// Its folder.
        path: PathBuf,
    },
    /// At no moment was there anything whole to copy; in words.
    #[error("{0}")]
    NoMoment(String),
    /// It could not be checked.
    #[error("the backup cannot be checked: {0}")]
    Unchecked(String),
    /// The operating system refused.
    #[error("cannot write the backup to `{}`", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        #[source]
        err: io::Error,
    },
}

impl Source {
    /// Makes a backup of it.
    ///
    /// # Errors
    /// [`BackupError`]; then no backup of that name is left, and none was deleted.
    pub fn back_up(
        &self,
        order: BackupOrder<'_>,
        progress: Progress<'_>,
    ) -> Result<Made, BackupError> {
        let dir = order.dir;
        let io = |path: &Path| {
            let path = path.to_owned();
            move |err| BackupError::Io { path, err }
        };
        make_private(dir).map_err(io(dir))?;
        let _lock = lock(dir)?;
        remove_partial(dir).map_err(io(dir))?;
        // Whoever is told of it may stand elsewhere.
        let path = whole(dir).join(format!("{NAME}{:020}", self.journal.position.0));
        if path.join(MANIFEST).exists() {
            return self.there_already(path, order, progress);
        }
        let needed = self.bytes() + order.spare.max(SPARE);
        let free = rustix::fs::statvfs(dir).map_err(|err| io(dir)(err.into()))?;
        let free = free.f_bavail.saturating_mul(free.f_frsize);
        if free < needed {
            return Err(BackupError::Full { dir: dir.to_owned(), free, needed });
        }
        let partial = path.with_extension(PARTIAL.trim_start_matches('.'));
        let made = self.write(&partial, order, progress).and_then(|(manifest, findings)| {
            fs::rename(&partial, &path).and_then(|()| sync_folder(dir)).map_err(io(&path))?;
            Ok((manifest, findings))
        });
        let (manifest, findings) = made.inspect_err(|_| {
            // A copy that failed is of no use; what it was copied from is still there.
            remove(&partial).unwrap_or_default();
        })?;
        let removed = self.prune(order, &path).map_err(io(dir))?;
        Ok(Made { path, manifest, findings, removed, was_there: false })
    }

    fn write(
        &self,
        partial: &Path,
        order: BackupOrder<'_>,
        progress: Progress<'_>,
    ) -> Result<(Manifest, Vec<Finding>), BackupError> {
        let io = |err| BackupError::Io { path: partial.to_owned(), err };
        let mut copying = Copying::begin(partial, self.bytes(), &mut *progress).map_err(io)?;
        copying.journal(self).map_err(io)?;
        copying.lines(self).map_err(io)?;
        copying.checkpoint(self).map_err(io)?;
        let files = copying.finish().map_err(io)?;
        let mut manifest = Manifest {
            format: Manifest::FORMAT,
            version: order.version.to_owned(),
            created: order.created,
            data: whole(&self.data).display().to_string(),
            position: self.journal.position,
            head: hex(&self.journal.head),
            events: 0,
            chunks: 0,
            lines: 0,
            bytes: files.iter().map(|file| file.bytes).sum(),
            files,
            left_out: ["credentials", "token", "index", "the schedules' files"]
                .map(str::to_owned)
                .to_vec(),
        };
        let findings = self.read_back(partial, &mut manifest, progress)?;
        let path = partial.join(MANIFEST);
        let text = serde_json::to_string_pretty(&manifest)
            .map_err(|err| BackupError::Unchecked(err.to_string()))?;
        let written = create_private(&path).and_then(|mut file| {
            writeln!(file, "{text}")?;
            file.sync_all()?;
            sync_folder(partial)
        });
        written.map_err(|err| BackupError::Io { path, err })?;
        Ok((manifest, findings))
    }

    /// Reads what was written, compares it with what was copied, and checks it as a store.
    fn read_back(
        &self,
        partial: &Path,
        manifest: &mut Manifest,
        progress: Progress<'_>,
    ) -> Result<Vec<Finding>, BackupError> {
        let unsound = |finding| BackupError::Unsound(Box::new(finding));
        if let Some(finding) = manifest.compare(partial, &mut *progress).into_iter().next() {
            return Err(unsound(finding));
        }
        let checked = check_folder(partial, Asked::default(), progress)
            .map_err(|err| BackupError::Unchecked(err.to_string()))?;
        let (lines, other): (Vec<Finding>, Vec<Finding>) =
            checked.findings.into_iter().partition(|finding| finding.part == Part::Lines);
        if let Some(finding) = other.into_iter().next() {
            return Err(unsound(finding));
        }
        if (checked.log.position, checked.log.head) != (self.journal.position, self.journal.head) {
            return Err(BackupError::Unchecked(format!(
                "it reaches to position {}, the log to {}",
                checked.log.position, self.journal.position
            )));
        }
        manifest.events = checked.log.events;
        manifest.chunks = checked.lines.chunks;
        manifest.lines = checked.lines.lines;
        Ok(lines)
    }

    /// A backup of this position is there: it serves if it is sound.
    fn there_already(
        &self,
        path: PathBuf,
        order: BackupOrder<'_>,
        progress: Progress<'_>,
    ) -> Result<Made, BackupError> {
        let mut manifest = Manifest::read(&path).map_err(BackupError::Unchecked)?;
        if manifest.head != hex(&self.journal.head) {
            return Err(BackupError::AnotherLog { path });
        }
        let findings = self.read_back(&path, &mut manifest, progress)?;
        let removed = self.prune(order, &path);
        let removed = removed.map_err(|err| BackupError::Io { path: order.dir.to_owned(), err })?;
        Ok(Made { path, manifest, findings, removed, was_there: true })
    }

    /// Deletes older backups of the same data folder, beyond those that are to be kept. `made` stays whatever the clock says.
    fn prune(&self, order: BackupOrder<'_>, made: &Path) -> io::Result<Vec<String>> {
        let Some(keep) = order.keep else { return Ok(Vec::new()) };
        let data = whole(&self.data).display().to_string();
        let mut mine = backups(order.dir)?;
        mine.retain(|(path, manifest)| {
            manifest.data == data && path.file_name() != made.file_name()
        });
        mine.sort_by_key(|(_, manifest)| (manifest.created, manifest.position));
        let old = mine.len().saturating_sub(keep.saturating_sub(1));
        let mut removed = Vec::new();
        for (path, _) in mine.into_iter().take(old) {
            // Without its manifest it is no backup any more, however far this comes.
            fs::remove_file(path.join(MANIFEST))?;
            remove(&path)?;
            removed.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
        Ok(removed)
    }
}

/// The path as it counts from the root.
fn whole(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn lock(dir: &Path) -> Result<File, BackupError> {
    let path = dir.join(LOCK);
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    let file = options.open(&path).map_err(|err| BackupError::Io { path: path.clone(), err })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BackupError::Busy { dir: dir.to_owned() }),
        Err(TryLockError::Error(err)) => Err(BackupError::Io { path, err }),
    }
}

/// The position in the name of a backup's folder.
fn position_of(name: &str) -> Option<Position> {
    let digits = name.strip_prefix(NAME)?;
    (digits.len() == 20).then(|| digits.parse().ok().map(Position))?
}

/// Removes what a backup left that never came to its end. The folder's lock is held.
fn remove_partial(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let partial = name.to_str().and_then(|name| name.strip_suffix(PARTIAL));
        if partial.and_then(position_of).is_some() {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// The backups in `dir` whose manifests can be read.
fn backups(dir: &Path) -> io::Result<Vec<(PathBuf, Manifest)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let is_one = entry.file_name().to_str().and_then(position_of).is_some();
        if is_one && let Ok(manifest) = Manifest::read(&entry.path()) {
            found.push((entry.path(), manifest));
        }
    }
    Ok(found)
}

/// The backup that `folder` is, or the newest one in it.
///
/// # Errors
/// In words: there is none.
pub fn newest_backup(folder: &Path) -> Result<PathBuf, String> {
    if folder.join(MANIFEST).exists() {
        return Ok(folder.to_owned());
    }
    let found =
        backups(folder).map_err(|err| format!("`{}` cannot be read: {err}", folder.display()))?;
    let newest =
        found.into_iter().max_by_key(|(_, manifest)| (manifest.created, manifest.position));
    newest
        .map(|(path, _)| path)
        .ok_or_else(|| format!("`{}` is no backup, and holds none", folder.display()))
}
