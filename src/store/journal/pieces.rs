//! A journal taken to pieces, and put together again to the same bytes: for exports and imports.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::format::{
    COMPLETE, Content, FRAME_HEADER, FrameHeader, Hash, NoHeader, PRUNED, SEGMENT_HEADER,
    SegmentHeader, put_pruned, put_record,
};
use super::frames::{Frames, Step};
use super::recover::OpenError;
use super::scan::RawEvent;
use super::segment::{self, file_name};
use super::walk::Walk;
use crate::ids::Position;
use crate::instant::Instant;
use crate::store::ReadError;
use crate::store::sync_folder;

/// How much is read at once.
const CAPACITY: usize = 1 << 20;

/// What of a journal is on disk at one position. Its files are opened one by one, when they are read: whoever uses it sees to it
/// that retention puts no others in their place meanwhile.
#[derive(Clone, Debug, Default)]
pub struct JournalExtent {
    /// The last event.
    pub position: Position,
    /// The chain hash after it.
    pub head: Hash,
    /// The segments, in order.
    pub files: Vec<JournalFile>,
}

/// A segment, as far as it belongs to an extent.
#[derive(Clone, Debug)]
pub struct JournalFile {
    /// The position of its first event.
    pub first: Position,
    /// Where it is.
    pub path: PathBuf,
    /// How much of it counts.
    pub bytes: u64,
}

impl JournalExtent {
    /// The whole frames of the journal in `dir`, which nobody writes, up to `until` if it is given. Reads all of them.
    ///
    /// # Errors
    /// [`OpenError::Io`]; [`OpenError::Damaged`] when it is damaged before `until`, and [`OpenError::Newer`].
    pub fn of_folder(dir: &Path, until: Option<Position>) -> Result<Self, OpenError> {
        let mut extent = Self::default();
        let all = segment::list(dir).map_err(|err| OpenError::io(dir, &err))?;
        for (first, path) in all {
            let bytes = fs::metadata(&path).map_err(|err| OpenError::io(&path, &err))?.len();
            extent.files.push(JournalFile { first: Position(first), path, bytes });
        }
        let last = until.unwrap_or(Position(u64::MAX));
        let (walk, ends) = extent.walk(last, &mut |_| ControlFlow::Continue(()))?;
        extent.files.truncate(ends.len());
        for (file, end) in extent.files.iter_mut().zip(ends) {
            file.bytes = end;
        }
        extent.position = Position(walk.position);
        extent.head = walk.chain;
        Ok(extent)
    }

    /// The positions at which a segment ends that another one follows, as the names of the files in `dir` say.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub fn segment_ends(dir: &Path) -> Result<Vec<Position>, OpenError> {
        let all = segment::list(dir).map_err(|err| OpenError::io(dir, &err))?;
        Ok(all.iter().skip(1).map(|(first, _)| Position(first.saturating_sub(1))).collect())
    }

    /// The positions at which a segment ends, in order; the last is the end of the log.
    pub fn ends(&self) -> Vec<Position> {
        let later = self.files.iter().skip(1).map(|file| Position(file.first.0 - 1));
        later.chain((self.position.0 > 0).then_some(self.position)).collect()
    }

    /// Shows its pieces in order, each of them checked, until `visit` breaks.
    ///
    /// # Errors
    /// [`OpenError`]; what came before has been shown.
    pub fn for_each(
        &self,
        visit: &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>,
    ) -> Result<(), OpenError> {
        self.walk(self.position, visit).map(drop)
    }

    /// Follows the frames up to `until`; gives where they end in each file.
    fn walk(
        &self,
        until: Position,
        visit: &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>,
    ) -> Result<(Walk, Vec<u64>), OpenError> {
        let mut walk = Walk::START;
        let mut ends = Vec::new();
        for (index, file) in self.files.iter().enumerate() {
            if walk.position >= until.0 {
                break;
            }
            let is_last = index + 1 == self.files.len();
            let (end, flow) = follow(&mut walk, file, (until, is_last), visit)?;
            // A segment whose first frame already lies beyond has nothing that counts.
            if end > SEGMENT_HEADER as u64 || flow.is_continue() {
                ends.push(end);
            }
            if flow.is_break() {
                break;
            }
        }
        Ok((walk, ends))
    }
}

/// Follows one segment; `until` comes with whether its end may be torn.
fn follow(
    walk: &mut Walk,
    file: &JournalFile,
    (until, is_last): (Position, bool),
    visit: &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>,
) -> Result<(u64, ControlFlow<()>), OpenError> {
    let path = &file.path;
    let io = |err: io::Error| OpenError::io(path, &err);
    let damaged = |offset: u64, what: String| {
        OpenError::Damaged {
        place: format!("{} at offset {offset}", path.display()),
        what,
        hint: "what comes before is whole: `daybook store export --until POSITION` reads it, `daybook store restore` puts it into place".to_owned(),
    }
    };
    let opened = File::open(path).map_err(io)?;
    let header = segment::header_of(&opened).map_err(io)?.map_err(|no| match no {
        NoHeader::Damaged(what) => damaged(0, what.to_owned()),
        NoHeader::Newer(format) => OpenError::Newer { path: path.display().to_string(), format },
    })?;
    walk.enter(&header).map_err(|what| damaged(0, what))?;
    let mut end = SEGMENT_HEADER as u64;
    let mut flow = visit(Piece::Segment {
        first: Position(header.first),
        created: header.created,
        pruned: header.format == PRUNED,
    });
    let mut frames = Frames::over(opened, end..file.bytes, CAPACITY);
    while flow.is_continue() && walk.position < until.0 {
        match frames.next().map_err(io)? {
            Step::Frame { header, .. } if header.last() > until.0 => {
                flow = ControlFlow::Break(());
            }
            Step::Frame { offset, header } => {
                flow = visit(Piece::of(&header));
                walk.frame(&header, frames.body(), |position, content| {
                    if flow.is_continue() {
                        let position = Position(position);
                        flow = visit(match content {
                            Content::Event(bytes) => Piece::Event(RawEvent { position, bytes }),
                            Content::Pruned(hash) => Piece::Pruned { position, hash: *hash },
                        });
                    }
                    Ok(())
                })
                .map_err(|what| damaged(offset, what))?;
                end = frames.offset();
            }
            Step::End => break,
            Step::Broken { offset, what } => {
                if !is_last {
                    return Err(damaged(offset, what.to_owned()));
                }
                let rest = super::recover::read_from(path, offset).map_err(io)?;
                if super::recover::was_on_disk(&rest, walk.position + 1) {
                    return Err(damaged(offset, what.to_owned()));
                }
                break;
            }
        }
    }
    Ok((end, flow))
}

/// A part of a journal, in the order in which they stand there.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// A segment begins.
    Segment {
        /// The position of its first event.
        first: Position,
        /// When the first append in it was recorded.
        created: Instant,
        /// Retention wrote it again.
        pruned: bool,
    },
    /// A frame begins: one append.
    Frame {
        /// The position of its first event.
        first: Position,
        /// How many events follow, pruned ones included.
        count: u64,
        /// The newest position on disk when it was written.
        synced: Position,
        /// The chain hash after it.
        chain: Hash,
    },
    /// One of its events.
    Event(RawEvent<'a>),
    /// One of its events that was pruned.
    Pruned {
        /// Its place in the whole log.
        position: Position,
        /// BLAKE3 of the bytes that it had.
        hash: Hash,
    },
    /// Frames of which nothing is left.
    Run {
        /// The position of the first event.
        first: Position,
        /// How many events there were.
        count: u64,
        /// The newest position on disk when the first frame was written.
        synced: Position,
        /// The chain hash before them.
        before: Hash,
        /// The chain hash after them.
        after: Hash,
    },
}

impl Piece<'_> {
    fn of(header: &FrameHeader) -> Self {
        let FrameHeader { count, first, synced, chain, run_after } = *header;
        let (first, synced) = (Position(first), Position(synced));
        match run_after {
            None => Self::Frame { first, count, synced, chain },
            Some(before) => Self::Run { first, count, synced, before, after: chain },
        }
    }
}

/// Why pieces are no journal.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// They do not follow from each other.
    #[error("{0}")]
    Wrong(String),
    /// The operating system refused.
    #[error("cannot write `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        #[source]
        err: io::Error,
    },
}

impl From<ReadError> for BuildError {
    fn from(err: ReadError) -> Self {
        Self::Wrong(err.to_string())
    }
}

/// Puts a journal together in an empty folder.
#[derive(Debug)]
pub struct JournalBuilder {
    dir: PathBuf,
    walk: Walk,
    file: Option<(PathBuf, BufWriter<File>)>,
    frame: Option<FrameHeader>,
    records: Vec<u8>,
    /// How many of the frame's events are there.
    count: u64,
}

impl JournalBuilder {
    /// Begins in `dir`, which is made.
    ///
    /// # Errors
    /// [`BuildError::Io`].
    pub fn create(dir: &Path) -> Result<Self, BuildError> {
        fs::create_dir_all(dir).map_err(|err| BuildError::Io { path: dir.to_owned(), err })?;
        Ok(Self {
            dir: dir.to_owned(),
            walk: Walk::START,
            file: None,
            frame: None,
            records: Vec::new(),
            count: 0,
        })
    }

    /// Puts `piece` behind what is there.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn put(&mut self, piece: Piece<'_>) -> Result<(), BuildError> {
        match piece {
            Piece::Segment { first, created, pruned } => {
                self.between_frames()?;
                self.close_segment()?;
                if first.0 != self.walk.position + 1 {
                    let next = self.walk.position + 1;
                    return Err(wrong(format!("a segment begins with {first}, expected {next}")));
                }
                let format = if pruned { PRUNED } else { COMPLETE };
                let previous = self.walk.chain;
                let header = SegmentHeader { format, first: first.0, previous, created };
                let path = self.dir.join(file_name(first.0));
                let begun = File::options().write(true).create_new(true).open(&path);
                let mut file = begun.map(BufWriter::new).map_err(|err| io_error(&path, err))?;
                file.write_all(&header.to_bytes()).map_err(|err| io_error(&path, err))?;
                self.file = Some((path, file));
            }
            Piece::Frame { first, count, synced, chain } => {
                self.between_frames()?;
                if count == 0 {
                    return Err(wrong(format!("the frame at {first} has no event")));
                }
                let run_after = None;
                let frame =
                    FrameHeader { count, first: first.0, synced: synced.0, chain, run_after };
                self.frame = Some(frame);
            }
            Piece::Event(event) => {
                let frame = self.open_frame(event.position)?;
                put_record(&mut self.records, |into| {
                    into.extend_from_slice(event.bytes);
                    Ok::<(), BuildError>(())
                })?;
                self.counted(frame)?;
            }
            Piece::Pruned { position, hash } => {
                let frame = self.open_frame(position)?;
                put_pruned(&mut self.records, &hash);
                self.counted(frame)?;
            }
            Piece::Run { first, count, synced, before, after } => {
                self.between_frames()?;
                let (first, synced, run_after) = (first.0, synced.0, Some(before));
                self.end_frame(FrameHeader { count, first, synced, chain: after, run_after })?;
            }
        }
        Ok(())
    }

    /// Brings everything to disk; gives the last position and the head.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn finish(mut self) -> Result<(Position, Hash), BuildError> {
        self.between_frames()?;
        self.close_segment()?;
        sync_folder(&self.dir).map_err(|err| io_error(&self.dir, err))?;
        Ok((Position(self.walk.position), self.walk.chain))
    }

    /// The frame that an event at `position` has to stand in.
    fn open_frame(&self, position: Position) -> Result<FrameHeader, BuildError> {
        let Some(frame) = self.frame else {
            return Err(wrong(format!("event {position} stands in no frame")));
        };
        let expected = frame.first + self.count;
        if position.0 == expected {
            Ok(frame)
        } else {
            Err(wrong(format!("event {position} stands where {expected} has to")))
        }
    }

    fn counted(&mut self, frame: FrameHeader) -> Result<(), BuildError> {
        self.count += 1;
        if self.count == frame.count { self.end_frame(frame) } else { Ok(()) }
    }

    fn between_frames(&self) -> Result<(), BuildError> {
        match &self.frame {
            Some(frame) => Err(wrong(format!(
                "the frame at {} has {} events instead of {}",
                frame.first, self.count, frame.count
            ))),
            None => Ok(()),
        }
    }

    /// Checks the frame as a reader would, and writes it.
    fn end_frame(&mut self, frame: FrameHeader) -> Result<(), BuildError> {
        if !frame.is_sound() {
            return Err(wrong(format!("the frame at {} has {} events", frame.first, frame.count)));
        }
        self.walk.frame(&frame, &self.records, |_, _| Ok(())).map_err(wrong)?;
        let Some((path, file)) = &mut self.file else {
            return Err(wrong(format!("the frame at {} stands in no segment", frame.first)));
        };
        let mut bytes = Vec::with_capacity(FRAME_HEADER + self.records.len());
        frame.write(&self.records, &mut bytes);
        file.write_all(&bytes).map_err(|err| io_error(path, err))?;
        self.frame = None;
        self.records.clear();
        self.count = 0;
        Ok(())
    }

    fn close_segment(&mut self) -> Result<(), BuildError> {
        let Some((path, mut file)) = self.file.take() else { return Ok(()) };
        let synced = file.flush().and_then(|()| file.get_ref().sync_all());
        synced.map_err(|err| io_error(&path, err))
    }
}

fn wrong(what: impl Into<String>) -> BuildError {
    BuildError::Wrong(what.into())
}

fn io_error(path: &Path, err: io::Error) -> BuildError {
    BuildError::Io { path: path.to_owned(), err }
}
