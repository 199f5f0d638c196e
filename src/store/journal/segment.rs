//! The segment files of a journal's folder.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::format::{NoHeader, SEGMENT_HEADER, SegmentHeader};
use crate::crash;
use crate::ids::Position;
use crate::store::sync_folder;

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
    layout: Mutex<Layout>,
}

/// Where things stand in the file that the path leads to now.
#[derive(Debug, Default)]
struct Layout {
    /// Where its last frame on disk ends.
    end: u64,
    /// Positions with the offsets of the frames that begin with them; filled while reading and writing.
    points: Points,
    /// Which file it is: places in a file that was replaced mean nothing in the new one.
    edition: Edition,
}

/// Positions with the offsets of the frames that begin with them.
pub(super) type Points = BTreeMap<u64, u64>;

/// Counts the files that have stood for a segment since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Edition(u32);

/// A segment's file, opened for reading.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    /// From a known frame to the end of what is on disk.
    pub(super) range: Range<u64>,
    pub(super) edition: Edition,
}

impl Segment {
    pub(super) fn new(first: Position, path: PathBuf, end: u64) -> Self {
        Self { first, path, layout: Mutex::new(Layout { end, ..Layout::default() }) }
    }

    fn layout(&self) -> MutexGuard<'_, Layout> {
        self.layout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn end(&self) -> u64 {
        self.layout().end
    }

    pub(super) fn set_end(&self, end: u64) {
        self.layout().end = end;
    }

    /// Remembers that the frame at `offset` begins with `position`, unless a place shortly before is known.
    pub(super) fn remember(&self, edition: Edition, position: u64, offset: u64) {
        let mut layout = self.layout();
        if layout.edition == edition {
            note(&mut layout.points, position, offset);
        }
    }

    /// Opens it at the nearest known frame at or before `position`.
    pub(super) fn open_before(&self, position: u64) -> io::Result<Opened> {
        // Under the lock, so that file, places and end belong together.
        let layout = self.layout();
        let file = File::open(&self.path)?;
        let known = layout.points.range(..=position).next_back();
        let start = known.map_or(SEGMENT_HEADER as u64, |(_, offset)| *offset);
        Ok(Opened { file, range: start..layout.end, edition: layout.edition })
    }

    /// Puts the file `new`, which is on disk, in the place of this one's. Those who have the old one open go on with it.
    pub(super) fn replace(&self, new: &Path, end: u64, points: Points) -> io::Result<()> {
        let mut layout = self.layout();
        fs::rename(new, &self.path)?;
        *layout = Layout { end, points, edition: Edition(layout.edition.0 + 1) };
        drop(layout);
        self.path.parent().map_or(Ok(()), sync_folder)
    }
}

/// Notes in `points` that the frame at `offset` begins with `position`, unless a place shortly before is known.
pub(super) fn note(points: &mut Points, position: u64, offset: u64) {
    let known = points.range(..=position).next_back().map_or(0, |(_, known)| *known);
    if offset.saturating_sub(known) >= POINT_BYTES {
        points.insert(position, offset);
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

/// Removes segments whose creation was not finished: they hold no event that does not stand elsewhere.
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
    // A new file each time: after a failed sync the system takes the old one's pages for clean.
    if unfinished.try_exists()? {
        fs::remove_file(&unfinished)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(&unfinished)?;
    file.write_all(&header.to_bytes())?;
    file.sync_all()?;
    if path.try_exists()? {
        // It would hold events, and a rename would replace it.
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, path.display().to_string()));
    }
    crash::point(crash::Point::SegmentWritten);
    fs::rename(&unfinished, &path)?;
    crash::point(crash::Point::SegmentNamed);
    sync_folder(dir)?;
    Ok((path, file))
}

/// Reads a segment's header.
pub(super) fn read_header(path: &Path) -> io::Result<Result<SegmentHeader, NoHeader>> {
    header_of(&File::open(path)?)
}

/// Reads the header of a segment that is open. Reading goes on behind it.
pub(super) fn header_of(file: &File) -> io::Result<Result<SegmentHeader, NoHeader>> {
    let mut bytes = Vec::with_capacity(SEGMENT_HEADER);
    file.take(SEGMENT_HEADER as u64).read_to_end(&mut bytes)?;
    Ok(SegmentHeader::from_bytes(&bytes))
}
