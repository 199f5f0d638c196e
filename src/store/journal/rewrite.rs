//! Writes a full segment again without the events that were pruned. The chain stays as it is.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use super::format::{
    Content, FrameHeader, Hash, NoHeader, PRUNED, SEGMENT_HEADER, SegmentHeader, put_pruned,
    put_record,
};
use super::frames::{Frames, Step};
use super::log::JournalLog;
use super::scan::RawEvent;
use super::segment::{self, Points, Segment};
use super::walk::Walk;
use crate::ids::{Position, StreamId};
use crate::store::ReadError;

/// How much is read and written at once.
const CAPACITY: usize = 1 << 20;

/// A segment to which nothing more is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedSegment {
    /// The position of its first event.
    pub first: Position,
    /// The position of its last event.
    pub last: Position,
    /// Its size, in bytes.
    pub bytes: u64,
}

/// What pruning a segment removed, or would remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrunedSegment {
    /// Events that are newly gone.
    pub events: u64,
    /// Events that are still there.
    pub left: u64,
    /// Its size before, in bytes.
    pub bytes_before: u64,
    /// Its size without them, in bytes.
    pub bytes_after: u64,
    /// Whether it was written again: it frees enough.
    pub written: bool,
}

impl JournalLog {
    /// The segments that are full, in order: nothing more is written to them.
    pub fn sealed(&self) -> Vec<SealedSegment> {
        let segments = self.segments();
        let bounds = segments.windows(2).filter_map(|pair| match pair {
            [sealed, next] => Some((sealed, next.first)),
            _ => None,
        });
        let describe = |(sealed, next): (&Arc<Segment>, Position)| SealedSegment {
            first: sealed.first,
            last: Position(next.0 - 1),
            bytes: sealed.end(),
        };
        bounds.map(describe).collect()
    }

    /// Removes from a sealed segment the events that `is_gone` names, keeping their hashes, if that frees at least
    /// `worth` bytes. Blocks; appends and readers go on meanwhile.
    ///
    /// All or nothing: the new file is on disk before it stands in the old one's place.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] when the segment is not whole, and [`ReadError::Io`]; it is then as it was.
    pub fn prune_segment(
        &self,
        sealed: &SealedSegment,
        worth: u64,
        is_gone: &mut dyn FnMut(RawEvent<'_>) -> bool,
    ) -> Result<PrunedSegment, ReadError> {
        let segments = self.segments();
        let found = segments.windows(2).find(|pair| pair[0].first == sealed.first);
        let Some(pair) = found else { return Ok(PrunedSegment::default()) };
        // The newest event of a stream that goes on says which version comes next.
        let mut may_go = |event: RawEvent<'_>| is_gone(event) && !self.is_newest(event);
        prune(&pair[0], worth, &mut may_go)
    }

    /// Whether it is the newest event of a stream other than an execution's.
    fn is_newest(&self, event: RawEvent<'_>) -> bool {
        let Ok(header) = event.header() else { return true };
        !matches!(header.stream, StreamId::Execution(_))
            && self
                .shared
                .state()
                .heads
                .get(&header.stream)
                .is_none_or(|head| head.version <= header.version)
    }
}

/// Prunes `segment`, which is full, of what `is_gone` names, if that frees at least `worth` bytes.
pub(super) fn prune(
    segment: &Segment,
    worth: u64,
    is_gone: &mut dyn FnMut(RawEvent<'_>) -> bool,
) -> Result<PrunedSegment, ReadError> {
    // First without writing: most segments have nothing or too little to give.
    let (mut found, _) = copy(segment, is_gone, &mut io::sink())?;
    if found.events == 0 || found.bytes_before.saturating_sub(found.bytes_after) < worth {
        return Ok(found);
    }
    let new = segment.path.with_extension("new");
    let written = write(segment, is_gone, &new);
    let (end, points) = written.inspect_err(|_| {
        // A start removes it, too. What matters is the reason why it was not finished.
        drop(std::fs::remove_file(&new));
    })?;
    segment.replace(&new, end, points).map_err(|err| failed(&segment.path, &err))?;
    found.written = true;
    Ok(found)
}

/// Writes what is left of `segment` to `new` and brings it to disk.
fn write(
    segment: &Segment,
    is_gone: &mut dyn FnMut(RawEvent<'_>) -> bool,
    new: &Path,
) -> Result<(u64, Points), ReadError> {
    let io = |err: io::Error| failed(new, &err);
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(new).map_err(io)?;
    let mut writer = BufWriter::with_capacity(CAPACITY, file);
    let (found, points) = copy(segment, is_gone, &mut writer)?;
    let file = writer.into_inner().map_err(|err| io(err.into_error()))?;
    file.sync_all().map_err(io)?;
    Ok((found.bytes_after, points))
}

/// Copies `segment` to `into` without what `is_gone` names. Every frame is checked before it is believed.
fn copy(
    segment: &Segment,
    is_gone: &mut dyn FnMut(RawEvent<'_>) -> bool,
    into: &mut dyn Write,
) -> Result<(PrunedSegment, Points), ReadError> {
    let path = &segment.path;
    let file = File::open(path).map_err(|err| failed(path, &err))?;
    let header = segment::header_of(&file).map_err(|err| failed(path, &err))?;
    let header = header.map_err(|no| {
        let what = match no {
            NoHeader::Damaged(what) => what.to_owned(),
            NoHeader::Newer(format) => format!("the segment has format {format}"),
        };
        damaged(path, 0, what)
    })?;
    let mut walk = Walk { position: header.first - 1, chain: header.previous };
    let mut copy = Copy {
        into,
        offset: SEGMENT_HEADER as u64,
        points: Points::new(),
        run: None,
        buffer: Vec::new(),
        found: PrunedSegment { bytes_before: segment.end(), ..PrunedSegment::default() },
    };
    let header = SegmentHeader { format: PRUNED, ..header };
    copy.into.write_all(&header.to_bytes()).map_err(|err| failed(path, &err))?;
    let mut frames = Frames::over(file, SEGMENT_HEADER as u64..segment.end(), CAPACITY);
    loop {
        match frames.next().map_err(|err| failed(path, &err))? {
            Step::Frame { offset, header } => {
                let before = walk.chain;
                let mut records = Records::default();
                let gone = walk.frame(&header, frames.body(), |position, content| {
                    records.take(Position(position), content, is_gone)
                });
                gone.map_err(|what| damaged(path, offset, what))?;
                copy.frame(&header, &records, before).map_err(|err| failed(path, &err))?;
            }
            Step::End => break,
            Step::Broken { offset, what } => return Err(damaged(path, offset, what.to_owned())),
        }
    }
    copy.end_run().map_err(|err| failed(path, &err))?;
    copy.found.bytes_after = copy.offset;
    Ok((copy.found, copy.points))
}

/// The records of one frame as they will stand.
#[derive(Default)]
struct Records {
    bytes: Vec<u8>,
    left: u64,
    newly_gone: u64,
}

impl Records {
    fn take(
        &mut self,
        position: Position,
        content: Content<'_>,
        is_gone: &mut dyn FnMut(RawEvent<'_>) -> bool,
    ) -> Result<(), String> {
        match content {
            Content::Pruned(hash) => put_pruned(&mut self.bytes, hash),
            Content::Event(bytes) if is_gone(RawEvent { position, bytes }) => {
                self.newly_gone += 1;
                put_pruned(&mut self.bytes, &content.hash());
            }
            Content::Event(bytes) => {
                self.left += 1;
                put_record(&mut self.bytes, |into| {
                    into.extend_from_slice(bytes);
                    Ok::<(), String>(())
                })?;
            }
        }
        Ok(())
    }
}

/// What is being written.
struct Copy<'a> {
    into: &'a mut dyn Write,
    offset: u64,
    points: Points,
    /// Frames of which nothing is left, not yet written: they become one.
    run: Option<FrameHeader>,
    buffer: Vec<u8>,
    found: PrunedSegment,
}

impl Copy<'_> {
    fn frame(&mut self, header: &FrameHeader, records: &Records, before: Hash) -> io::Result<()> {
        self.found.events += records.newly_gone;
        self.found.left += records.left;
        if records.left > 0 {
            self.end_run()?;
            return self.put(header, &records.bytes);
        }
        let run =
            self.run.get_or_insert(FrameHeader { count: 0, run_after: Some(before), ..*header });
        run.count += header.count;
        run.chain = header.chain;
        Ok(())
    }

    fn end_run(&mut self) -> io::Result<()> {
        self.run.take().map_or(Ok(()), |run| self.put(&run, &[]))
    }

    fn put(&mut self, header: &FrameHeader, records: &[u8]) -> io::Result<()> {
        segment::note(&mut self.points, header.first, self.offset);
        self.buffer.clear();
        header.write(records, &mut self.buffer);
        self.into.write_all(&self.buffer)?;
        self.offset += self.buffer.len() as u64;
        Ok(())
    }
}

fn failed(path: &Path, err: &io::Error) -> ReadError {
    ReadError::Io { path: path.display().to_string(), why: err.to_string() }
}

fn damaged(path: &Path, offset: u64, what: String) -> ReadError {
    ReadError::Damaged { place: format!("{} at offset {offset}", path.display()), what }
}
