//! The segment files of a journal's folder.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::format::{NoHeader, SEGMENT_HEADER, SegmentHeader};
use crate::ids::Position;

/// A place every so many frames is remembered, so that reading need not begin at the segment's start.
pub(super) const POINT_EVERY: u32 = 256;
/// Remembered places lie at least so far apart, in bytes: readers that begin anywhere must not fill the memory.
const POINT_BYTES: u64 = 32 << 10;

/// One file of the journal.
#[derive(Debug)]
pub(super) struct Segment {
    /// The position of its first event.
    pub(super) first: Position,
    /// Where it is.
    pub(super) path: PathBuf,
    /// Where its last frame on disk ends.
    end: AtomicU64,
    /// Positions with the offsets of the frames that begin with them; filled while reading and writing.
    points: Mutex<BTreeMap<u64, u64>>,
}

impl Segment {
    pub(super) fn new(first: Position, path: PathBuf, end: u64) -> Self {
        Self { first, path, end: AtomicU64::new(end), points: Mutex::default() }
    }

    pub(super) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    pub(super) fn set_end(&self, end: u64) {
        self.end.store(end, Ordering::Release);
    }

    /// Remembers that the frame at `offset` begins with `position`, unless a place shortly before is known.
    pub(super) fn remember(&self, position: u64, offset: u64) {
        let mut points = self.points.lock().unwrap_or_else(PoisonError::into_inner);
        let known = points.range(..=position).next_back().map_or(0, |(_, known)| *known);
        if offset.saturating_sub(known) >= POINT_BYTES {
            points.insert(position, offset);
        }
    }

    /// The nearest known frame at or before `position`.
    pub(super) fn offset_before(&self, position: u64) -> u64 {
        let points = self.points.lock().unwrap_or_else(PoisonError::into_inner);
        points.range(..=position).next_back().map_or(SEGMENT_HEADER as u64, |(_, offset)| *offset)
    }
}

/// The file name of the segment that begins with `first`.
pub(super) fn file_name(first: u64) -> String {
    format!("{first:020}.seg")
}

/// The segment files in `dir` by their first position. Other files are left alone.
pub(super) fn list(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let first = path.file_name().and_then(|name| name.to_str()).and_then(|name| {
            let digits = name.strip_suffix(".seg")?;
            (digits.len() == 20).then(|| digits.parse().ok())?
        });
        if let Some(first) = first {
            found.push((first, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Removes segments whose creation was not finished: they hold no event.
pub(super) fn remove_unfinished(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "new") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Creates the file of a new segment so that it exists with its whole header or not at all.
pub(super) fn create(dir: &Path, header: SegmentHeader) -> io::Result<(PathBuf, File)> {
    let path = dir.join(file_name(header.first));
    let unfinished = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&unfinished)?;
    file.write_all(&header.to_bytes())?;
    file.sync_all()?;
    if path.try_exists()? {
        // It would hold events, and a rename would replace it.
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, path.display().to_string()));
    }
    fs::rename(&unfinished, &path)?;
    sync_dir(dir)?;
    Ok((path, file))
}

/// Makes the folder's entries durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Reads a segment's header.
pub(super) fn read_header(path: &Path) -> io::Result<Result<SegmentHeader, NoHeader>> {
    let mut bytes = Vec::with_capacity(SEGMENT_HEADER);
    File::open(path)?.take(SEGMENT_HEADER as u64).read_to_end(&mut bytes)?;
    Ok(SegmentHeader::from_bytes(&bytes))
}
