//! Checks a log from its first byte: checksums, hashes, positions, versions, and that every event can be read.

use std::fs::File;
use std::io;
use std::path::Path;

use super::format::{Content, FrameHeader, NoHeader, SEGMENT_HEADER};
use super::frames::{Frames, Step};
use super::recover::OpenError;
use super::segment;
use super::versions::Versions;
use super::walk::Walk;
use crate::domain::event::Envelope;
use crate::ids::{EventId, Position};
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
    /// File and offset of the end of the last sound frame; empty when there is none.
    pub end: String,
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

/// Follows a check, so that one pass over the log serves all who compare something with it.
pub trait Watch {
    /// An event that is sound by itself; the frame around it may still turn out not to be.
    fn event(&mut self, event: &Envelope);

    /// The end of a sound frame, and the chain hash after it.
    fn frame(&mut self, position: Position, head: &[u8; 32]);

    /// So many bytes were read since the last call.
    fn read(&mut self, bytes: u64);
}

/// Nobody follows.
impl Watch for () {
    fn event(&mut self, _event: &Envelope) {}

    fn frame(&mut self, _position: Position, _head: &[u8; 32]) {}

    fn read(&mut self, _bytes: u64) {}
}

/// Why checking stopped.
enum Stop {
    Io(OpenError),
    Difference { place: String, what: String },
}

struct Verifier<'a> {
    walk: Walk,
    versions: Versions,
    until: Option<Position>,
    report: VerifyReport,
    watch: &'a mut dyn Watch,
}

/// Checks the log in `dir`, up to `until` if it is given, and shows it to `watch`. Memory is bounded, whatever its length.
pub(super) fn verify(
    dir: &Path,
    until: Option<Position>,
    watch: &mut dyn Watch,
) -> Result<VerifyReport, OpenError> {
    let mut verifier = Verifier {
        walk: Walk::START,
        versions: Versions::default(),
        until,
        report: VerifyReport::default(),
        watch,
    };
    let mut outcome = verifier.segments(dir);
    // Streams that did not fit into memory have their turn now.
    while outcome.is_ok()
        && let Some(versions) = verifier.versions.rest()
    {
        let until = Some(Position(verifier.walk.position));
        let report = VerifyReport::default();
        let mut again = Verifier { walk: Walk::START, versions, until, report, watch: &mut () };
        outcome = again.segments(dir);
        if outcome.is_err() {
            verifier.walk = again.walk;
        }
        verifier.versions = again.versions;
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

impl Verifier<'_> {
    /// Frames above `until` may still be on their way to disk.
    fn is_done(&self) -> bool {
        self.until.is_some_and(|until| self.walk.position >= until.0)
    }

    fn segments(&mut self, dir: &Path) -> Result<(), Stop> {
        let segments = segment::list(dir).map_err(|err| Stop::Io(OpenError::io(dir, &err)))?;
        for (index, (first, path)) in segments.iter().enumerate() {
            if self.is_done() {
                break;
            }
            self.segment(*first, path, index + 1 == segments.len())?;
        }
        Ok(())
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
        let mut end = SEGMENT_HEADER as u64;
        let outcome = self.frames(path, &mut frames, (is_last, &mut end));
        self.report.end = format!("{} at offset {end}", path.display());
        outcome
    }

    /// Follows the frames of one segment; `end` becomes the end of the last sound one.
    fn frames(
        &mut self,
        path: &Path,
        frames: &mut Frames,
        (is_last, end): (bool, &mut u64),
    ) -> Result<(), Stop> {
        let io = |err: io::Error| Stop::Io(OpenError::io(path, &err));
        let differs = |offset: u64, what: String| Stop::Difference {
            place: format!("{} at offset {offset}", path.display()),
            what,
        };
        while !self.is_done() {
            match frames.next().map_err(io)? {
                Step::Frame { offset, header } => {
                    self.frame(&header, frames.body()).map_err(|what| differs(offset, what))?;
                    let bytes = frames.offset() - offset;
                    self.watch.read(bytes);
                    self.report.bytes += bytes;
                    *end = frames.offset();
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
        let (versions, watch) = (&mut self.versions, &mut *self.watch);
        let before = versions.pruned;
        if header.run_after.is_some() {
            versions.pruned += header.count;
        }
        self.walk.frame(header, body, |at, content| match content {
            Content::Event(event) => {
                watch.event(&check_event(versions, at, event)?);
                Ok(())
            }
            Content::Pruned(_) => {
                versions.pruned += 1;
                Ok(())
            }
        })?;
        watch.frame(Position(header.last()), &header.chain);
        let pruned = self.versions.pruned - before;
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

fn check_event(versions: &mut Versions, position: u64, bytes: &[u8]) -> Result<Envelope, String> {
    let event = codec::decode(Position(position), bytes)
        .map_err(|err| format!("event {position}: {err}"))?;
    if event.id != EventId::derive(&event.stream, event.version, event.at) {
        return Err(format!("event {position} has an id that does not follow from its stream"));
    }
    if let Err(expected) = versions.follow(&event.stream, event.version) {
        return Err(format!(
            "event {position} has version {} in its stream, expected {expected}",
            event.version
        ));
    }
    Ok(event)
}
