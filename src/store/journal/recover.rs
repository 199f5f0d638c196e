//! Finds the end of the log at the start, cuts off what a crash left half written, and refuses damage.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::format::{Content, FORMAT, FRAME_HEADER, FrameHeader, NoHeader, SEGMENT_HEADER};
use super::frames::{Frames, Step};
use super::segment::{self, Edition, POINT_EVERY, Segment};
use super::walk::Walk;
use crate::ids::Position;
use crate::store::codec;
use crate::store::heads::Heads;
use crate::store::sync_folder;

/// How much is read at once.
const CAPACITY: usize = 1 << 20;

/// A place in the log up to which nothing needs to be read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// The position of the last event before it.
    pub position: Position,
    /// The chain hash after that event.
    pub chain: [u8; 32],
    /// The position that names the segment.
    pub segment: Position,
    /// Where the last frame begins in it; none when the segment has no frame before the anchor.
    pub frame: Option<u64>,
    /// Where that frame ends.
    pub offset: u64,
}

/// What was found at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The newest event.
    pub position: Position,
    /// The chain hash after it.
    pub head: [u8; 32],
    /// How many events were read.
    pub scanned: u64,
    /// What was cut off the end.
    pub torn: Option<Torn>,
    /// Why the checkpoint's anchor was of no use, so that the whole log was read.
    pub anchor_refused: Option<String>,
}

/// A write that had not finished when the machine or the process stopped. It was never acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The segment that it was cut off from.
    pub segment: PathBuf,
    /// Where it began.
    pub offset: u64,
    /// How long it was, in bytes.
    pub bytes: u64,
    /// What was wrong there.
    pub what: String,
    /// Where the bytes were put aside.
    pub kept: PathBuf,
}

/// Why the journal was not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another daemon works on it.
    #[error("`{path}` is in use by another daybook{holder}")]
    Locked {
        /// The lock file.
        path: String,
        /// ` (process 4711)`, or nothing when it is not known.
        holder: String,
    },
    /// Events that were acknowledged cannot be read.
    #[error("{place}: {what}")]
    Damaged {
        /// File and offset.
        place: String,
        /// What is wrong there.
        what: String,
        /// What the operator can do.
        hint: String,
    },
    /// A newer version wrote it.
    #[error("`{path}` has format {format}, this version reads up to {FORMAT}")]
    Newer {
        /// The segment.
        path: String,
        /// Its format.
        format: u16,
    },
    /// The operating system refused.
    #[error("cannot use `{path}`: {why}")]
    Io {
        /// The file or folder.
        path: String,
        /// The system's words.
        why: String,
    },
}

impl OpenError {
    /// What the operator can do, if there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Damaged { hint, .. } => Some(hint.clone()),
            Self::Locked { .. } => Some("stop the other one, or give another --data".to_owned()),
            Self::Newer { .. } => Some("run the version that wrote it, or a newer one".to_owned()),
            Self::Io { .. } => None,
        }
    }

    pub(super) fn io(path: &Path, err: &io::Error) -> Self {
        Self::Io { path: path.display().to_string(), why: err.to_string() }
    }
}

/// The log as it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) end: Anchor,
    pub(super) heads: Heads,
    pub(super) report: Recovery,
}

/// Reads the log in `dir`, from `anchor` with its heads if it fits, else from the beginning.
pub(super) fn recover(dir: &Path, known: Option<(Anchor, Heads)>) -> Result<Found, OpenError> {
    segment::remove_unfinished(dir).map_err(|err| OpenError::io(dir, &err))?;
    let mut segments = Vec::new();
    for (first, path) in segment::list(dir).map_err(|err| OpenError::io(dir, &err))? {
        let length = fs::metadata(&path).map_err(|err| OpenError::io(&path, &err))?.len();
        segments.push(Arc::new(Segment::new(Position(first), path, length)));
    }
    // Heads may be newer than the anchor; both were kept only once they were on disk.
    let promised =
        known.as_ref().map_or(0, |(anchor, heads)| anchor.position.max(heads.newest()).0);
    let mut refused = None;
    let mut reader = None;
    if let Some((anchor, heads)) = known {
        match check_anchor(&segments, &anchor) {
            Ok(()) => reader = Some(Reader::from_anchor(&segments, anchor, heads)),
            Err(why) => refused = Some(why),
        }
    }
    let mut reader = reader.unwrap_or_else(|| Reader::from_start(&segments));
    reader.promised = promised;
    reader.run()?;
    let Reader { walk, end, proven, heads, scanned, torn, .. } = reader;
    if walk.position < promised {
        return Err(OpenError::Damaged {
            place: dir.display().to_string(),
            what: format!(
                "the log ends at position {}, but the checkpoint saw position {promised} on disk: events are lost",
                walk.position
            ),
            hint: format!(
                "restore a backup with `daybook store restore BACKUP`; or go on with the events up to position {0} with `daybook store restore --to {0}`",
                walk.position
            ),
        });
    }
    if let Some(last) = segments.last() {
        settle(last, proven).map_err(|err| OpenError::io(&last.path, &err))?;
    }
    let report = Recovery {
        position: Position(walk.position),
        head: walk.chain,
        scanned,
        torn,
        anchor_refused: refused,
    };
    Ok(Found { segments, end, heads, report })
}

/// Brings the end of the log to disk, from the offset up to which that is proven.
///
/// A process that was killed may have left its last write in the page cache alone. After a failed sync the system takes
/// such pages for clean, so a sync alone would do nothing: the bytes are written again.
fn settle(segment: &Segment, proven: u64) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(&segment.path)?;
    let length = usize::try_from(segment.end().saturating_sub(proven)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, proven)?;
    file.write_all_at(&bytes, proven)?;
    file.sync_all()?;
    segment.path.parent().map_or(Ok(()), sync_folder)
}

/// Says how to go on after damage that leaves the segments up to `position` whole.
fn restore_hint(position: u64) -> String {
    let backup = "restore a backup with `daybook store restore BACKUP`";
    if position == 0 {
        return format!(
            "{backup}; `daybook store verify` says up to where the events are whole, and `daybook store export --until POSITION` reads them"
        );
    }
    format!(
        "{backup}; or go on with the events up to position {position} with `daybook store restore --to-segment-end`, which puts the damaged files aside"
    )
}

/// Whether the frame before the anchor is the one that it remembers.
fn check_anchor(segments: &[Arc<Segment>], anchor: &Anchor) -> Result<(), String> {
    let segment = segments
        .iter()
        .find(|segment| segment.first == anchor.segment)
        .ok_or_else(|| format!("there is no segment {}", anchor.segment))?;
    let header = segment::read_header(&segment.path)
        .map_err(|err| err.to_string())?
        .map_err(|no| format!("`{}` has no readable header: {no:?}", segment.path.display()))?;
    let Some(frame) = anchor.frame else {
        let fits = header.first == anchor.position.0 + 1 && header.previous == anchor.chain;
        return if fits { Ok(()) } else { Err("another segment stands there".to_owned()) };
    };
    let capacity = usize::try_from(anchor.offset.saturating_sub(frame)).unwrap_or(0).min(CAPACITY);
    let end = anchor.offset.min(segment.end());
    let step = Frames::open(&segment.path, frame..end, capacity)
        .and_then(|mut frames| frames.next().map(|step| (step, frames.offset())))
        .map_err(|err| err.to_string())?;
    match step {
        (Step::Frame { header, .. }, end)
            if header.last() == anchor.position.0
                && header.chain == anchor.chain
                && end == anchor.offset =>
        {
            Ok(())
        }
        _ => Err(format!("position {} does not stand where it was", anchor.position)),
    }
}

/// Follows the log from a known place to its end.
struct Reader<'a> {
    segments: &'a [Arc<Segment>],
    /// The index of the first segment to read.
    current: usize,
    walk: Walk,
    heads: Heads,
    end: Anchor,
    /// The offset in the segment at which the last group of frames begins: whatever stands before it was on disk when
    /// they were written.
    proven: u64,
    /// The newest position on disk when that group was written.
    group: Option<u64>,
    scanned: u64,
    /// A position that is known to have been on disk.
    promised: u64,
    torn: Option<Torn>,
}

impl<'a> Reader<'a> {
    fn from_start(segments: &'a [Arc<Segment>]) -> Self {
        let end = Anchor {
            position: Position(0),
            chain: [0; 32],
            segment: segments.first().map_or(Position(1), |segment| segment.first),
            frame: None,
            offset: SEGMENT_HEADER as u64,
        };
        Self::new(segments, 0, end, Heads::default())
    }

    fn from_anchor(segments: &'a [Arc<Segment>], anchor: Anchor, heads: Heads) -> Self {
        let current = segments.partition_point(|segment| segment.first < anchor.segment);
        Self::new(segments, current, anchor, heads)
    }

    fn new(segments: &'a [Arc<Segment>], current: usize, end: Anchor, heads: Heads) -> Self {
        let walk = Walk { position: end.position.0, chain: end.chain };
        let proven = end.offset;
        Self {
            segments,
            current,
            walk,
            heads,
            end,
            proven,
            group: None,
            scanned: 0,
            promised: 0,
            torn: None,
        }
    }

    fn run(&mut self) -> Result<(), OpenError> {
        let mut offset = self.end.offset;
        for index in self.current..self.segments.len() {
            let segment = &self.segments[index];
            let header = self.header(segment)?;
            if offset == SEGMENT_HEADER as u64 {
                self.walk.enter(&header).map_err(|what| self.damaged(segment, 0, what))?;
                self.end.segment = segment.first;
                self.end.frame = None;
                self.end.offset = offset;
                self.proven = offset;
                self.group = None;
            }
            self.segment(segment, offset, index + 1 == self.segments.len())?;
            offset = SEGMENT_HEADER as u64;
        }
        Ok(())
    }

    fn header(&self, segment: &Segment) -> Result<super::format::SegmentHeader, OpenError> {
        let read = segment::read_header(&segment.path)
            .map_err(|err| OpenError::io(&segment.path, &err))?;
        let header = read.map_err(|no| match no {
            NoHeader::Newer(format) => {
                OpenError::Newer { path: segment.path.display().to_string(), format }
            }
            NoHeader::Damaged(what) => self.damaged(segment, 0, what.to_owned()),
        })?;
        if header.first == segment.first.0 {
            Ok(header)
        } else {
            let what = format!("the file's name does not fit its first position {}", header.first);
            Err(self.damaged(segment, 0, what))
        }
    }

    /// Follows one segment; `is_last` says whether its end may be torn.
    fn segment(&mut self, segment: &Segment, from: u64, is_last: bool) -> Result<(), OpenError> {
        let io = |err: io::Error| OpenError::io(&segment.path, &err);
        let mut frames = Frames::open(&segment.path, from..segment.end(), CAPACITY).map_err(io)?;
        let mut since_point = 0;
        loop {
            match frames.next().map_err(io)? {
                Step::Frame { offset, header } => {
                    since_point += 1;
                    if since_point >= POINT_EVERY {
                        since_point = 0;
                        segment.remember(Edition::default(), header.first, offset);
                    }
                    let heads = &mut self.heads;
                    let followed = self.walk.frame(&header, frames.body(), |position, content| {
                        let Content::Event(event) = content else { return Ok(()) };
                        let read = codec::header(event).map_err(|err| err.to_string())?;
                        let closes = read.closes();
                        heads.recover(&read.stream, read.version, Position(position), closes);
                        Ok(())
                    });
                    followed.map_err(|what| self.damaged(segment, offset, what))?;
                    if self.group.replace(header.synced) != Some(header.synced) {
                        self.proven = offset;
                    }
                    self.scanned += header.count;
                    self.end.position = Position(self.walk.position);
                    self.end.chain = self.walk.chain;
                    self.end.frame = Some(offset);
                    self.end.offset = frames.offset();
                }
                Step::End => return Ok(()),
                Step::Broken { offset, what } if is_last => {
                    return self.cut_off(segment, offset, what);
                }
                Step::Broken { offset, what } => {
                    return Err(self.damaged(segment, offset, what.to_owned()));
                }
            }
        }
    }

    /// Puts the bytes from `offset` aside, unless they are proven to have been on disk.
    fn cut_off(&mut self, segment: &Segment, offset: u64, what: &str) -> Result<(), OpenError> {
        let io = |err: io::Error| OpenError::io(&segment.path, &err);
        let rest = read_from(&segment.path, offset).map_err(io)?;
        let missing = self.walk.position + 1;
        if self.promised >= missing || was_on_disk(&rest, missing) {
            let what = format!("{what}, and its events from position {missing} were acknowledged");
            return Err(self.damaged(segment, offset, what));
        }
        let kept = segment.path.with_extension(format!("{offset}.torn"));
        keep(&kept, &rest).map_err(|err| OpenError::io(&kept, &err))?;
        let file = OpenOptions::new().write(true).open(&segment.path).map_err(io)?;
        file.set_len(offset).and_then(|()| file.sync_all()).map_err(io)?;
        segment.set_end(offset);
        self.torn = Some(Torn {
            segment: segment.path.clone(),
            offset,
            bytes: rest.len() as u64,
            what: what.to_owned(),
            kept,
        });
        Ok(())
    }

    fn damaged(&self, segment: &Segment, offset: u64, what: String) -> OpenError {
        OpenError::Damaged {
            place: format!("{} at offset {offset}", segment.path.display()),
            what,
            hint: restore_hint(self.walk.position.min(segment.first.0 - 1)),
        }
    }
}

/// Whether a good frame in `rest` was written when `position` was already on disk.
pub(super) fn was_on_disk(rest: &[u8], position: u64) -> bool {
    rest.windows(FRAME_HEADER).enumerate().any(|(at, window)| {
        let Some(header) = window.first_chunk::<FRAME_HEADER>() else { return false };
        // Cheap tests first: this runs for every byte of what may be a large write.
        let first = FrameHeader::first_of(header);
        let plausible = first > position && first - position <= rest.len() as u64;
        plausible
            && FrameHeader::size(header)
                .and_then(|size| rest.get(at..at.checked_add(size)?))
                .and_then(FrameHeader::from_bytes)
                .is_some_and(|frame| frame.synced >= position)
    })
}

/// The bytes of `path` from `offset`.
pub(super) fn read_from(path: &Path, offset: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut rest = Vec::new();
    file.seek(SeekFrom::Start(offset))?;
    file.read_to_end(&mut rest)?;
    Ok(rest)
}

fn keep(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::write(path, bytes)?;
    File::open(path)?.sync_all()?;
    path.parent().map_or(Ok(()), sync_folder)
}
