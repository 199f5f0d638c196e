//! Checks a log from its first byte: checksums, hashes, positions, versions, and that every event can be read.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;

use super::format::{Content, FrameHeader, NoHeader, SEGMENT_HEADER};
use super::frames::{Frames, Step};
use super::recover::OpenError;
use super::segment;
use super::walk::Walk;
use crate::ids::{EventId, Position, StreamId};
use crate::store::codec;

/// How much is read at once.
const CAPACITY: usize = 1 << 20;

/// What was checked, and the first thing that is not as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Segments that were read.
    pub segments: u64,
    /// Frames that were sound.
    pub frames: u64,
    /// Events that were sound.
    pub events: u64,
    /// Events that retention pruned: their hashes are in the chain, their bytes are gone.
    pub pruned: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// The last sound position.
    pub position: Position,
    /// The chain hash after it.
    pub head: [u8; 32],
    /// Bytes at the end that are no whole frame: a write that was cut short. The next start puts them aside.
    pub unfinished: u64,
    /// The first difference.
    pub difference: Option<Difference>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// File and offset.
    pub place: String,
    /// The position after which it is.
    pub after: Position,
    /// What is wrong.
    pub what: String,
}

/// Why checking stopped.
enum Stop {
    Io(OpenError),
    Difference { place: String, what: String },
}

struct Verifier {
    walk: Walk,
    streams: Streams,
    until: Option<Position>,
    report: VerifyReport,
}

/// Checks the log in `dir`, up to `until` if it is given.
pub(super) fn verify(dir: &Path, until: Option<Position>) -> Result<VerifyReport, OpenError> {
    let segments = segment::list(dir).map_err(|err| OpenError::io(dir, &err))?;
    let mut verifier = Verifier {
        walk: Walk::START,
        streams: Streams::default(),
        until,
        report: VerifyReport::default(),
    };
    let mut outcome = Ok(());
    for (index, (first, path)) in segments.iter().enumerate() {
        if verifier.is_done() {
            break;
        }
        let is_last = index + 1 == segments.len();
        outcome = verifier.segment(*first, path, is_last);
        if outcome.is_err() {
            break;
        }
    }
    if let (Ok(()), Some(until)) = (&outcome, until)
        && verifier.walk.position < until.0
    {
        let what = format!("the log ends before position {until}, which is on disk");
        outcome = Err(Stop::Difference { place: dir.display().to_string(), what });
    }
    let Verifier { walk, mut report, .. } = verifier;
    report.position = Position(walk.position);
    report.head = walk.chain;
    match outcome {
        Ok(()) => {}
        Err(Stop::Io(err)) => return Err(err),
        Err(Stop::Difference { place, what }) => {
            report.difference = Some(Difference { place, after: report.position, what });
        }
    }
    Ok(report)
}

impl Verifier {
    /// Frames above `until` may still be on their way to disk.
    fn is_done(&self) -> bool {
        self.until.is_some_and(|until| self.walk.position >= until.0)
    }

    fn segment(&mut self, first: u64, path: &Path, is_last: bool) -> Result<(), Stop> {
        let io = |err: io::Error| Stop::Io(OpenError::io(path, &err));
        let differs = |offset: u64, what: String| Stop::Difference {
            place: format!("{} at offset {offset}", path.display()),
            what,
        };
        // Opened once: retention may put another file in its place meanwhile.
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let header = segment::header_of(&file).map_err(io)?.map_err(|no| match no {
            NoHeader::Damaged(what) => differs(0, what.to_owned()),
            NoHeader::Newer(format) => {
                differs(0, format!("the segment has format {format}, which is not known here"))
            }
        })?;
        self.walk.enter(&header).map_err(|what| differs(0, what))?;
        if header.first != first {
            return Err(differs(
                0,
                format!("the file's name does not fit position {}", header.first),
            ));
        }
        self.report.segments += 1;
        let mut frames = Frames::over(file, SEGMENT_HEADER as u64..length, CAPACITY);
        self.report.bytes += SEGMENT_HEADER as u64;
        while !self.is_done() {
            match frames.next().map_err(io)? {
                Step::Frame { offset, header } => {
                    self.frame(&header, frames.body()).map_err(|what| differs(offset, what))?;
                    self.report.bytes += frames.offset() - offset;
                }
                Step::End => break,
                Step::Broken { offset, .. } if is_last && self.until.is_none() => {
                    return self
                        .tail(path, offset)
                        .map_err(io)?
                        .map_err(|what| differs(offset, what));
                }
                Step::Broken { offset, what } => return Err(differs(offset, what.to_owned())),
            }
        }
        Ok(())
    }

    fn frame(&mut self, header: &FrameHeader, body: &[u8]) -> Result<(), String> {
        let streams = &mut self.streams;
        let before = streams.pruned;
        if header.run_after.is_some() {
            streams.pruned += header.count;
        }
        self.walk.frame(header, body, |at, content| match content {
            Content::Event(event) => streams.check(at, event),
            Content::Pruned(_) => {
                streams.pruned += 1;
                Ok(())
            }
        })?;
        let pruned = streams.pruned - before;
        self.report.frames += 1;
        self.report.events += header.count - pruned;
        self.report.pruned += pruned;
        Ok(())
    }

    /// Tells an unfinished write at the very end from damage.
    fn tail(&mut self, path: &Path, offset: u64) -> io::Result<Result<(), String>> {
        let rest = super::recover::read_from(path, offset)?;
        if super::recover::was_on_disk(&rest, self.walk.position + 1) {
            let position = self.walk.position + 1;
            return Ok(Err(format!("the events from position {position} cannot be read")));
        }
        self.report.unfinished = rest.len() as u64;
        Ok(Ok(()))
    }
}

/// Whether the versions in each stream follow each other.
#[derive(Debug, Default)]
struct Streams {
    newest: HashMap<StreamId, u64>,
    /// Events that were pruned so far.
    pruned: u64,
    /// Versions that are missing so far: at most as many as were pruned.
    missing: u64,
}

impl Streams {
    fn check(&mut self, position: u64, bytes: &[u8]) -> Result<(), String> {
        let event = codec::decode(Position(position), bytes)
            .map_err(|err| format!("event {position}: {err}"))?;
        if event.id != EventId::derive(&event.stream, event.version, event.at) {
            return Err(format!("event {position} has an id that does not follow from its stream"));
        }
        let newest = self.newest.entry(event.stream).or_default();
        let expected = *newest + 1;
        // What was pruned no longer says whose it was, so gaps are held against their number.
        self.missing += event.version.saturating_sub(expected);
        if event.version < expected || self.missing > self.pruned {
            return Err(format!(
                "event {position} has version {} in its stream, expected {expected}",
                event.version
            ));
        }
        *newest = event.version;
        Ok(())
    }
}
