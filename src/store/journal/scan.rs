//! Reads events forward from a position, never beyond what is on disk.

use std::sync::Arc;

use super::format::{Content, Record};
use super::frames::{Frames, Step};
use super::segment::{Edition, POINT_EVERY, Segment};
use crate::domain::event::Envelope;
use crate::ids::Position;
use crate::store::ReadError;
use crate::store::codec::{self, CodecError, Header};

/// Reading a few frames onward is cheaper than opening the file again.
const NEAR: u64 = 1024;

/// A forward reader over the whole log. Made by `JournalLog::scan`.
#[derive(Debug)]
pub struct Scan {
    segments: Vec<Arc<Segment>>,
    /// The index in `segments` of the one that `frames` reads.
    current: usize,
    frames: Option<Frames>,
    /// Which file of that segment it is.
    edition: Edition,
    capacity: usize,
    /// The position that comes next.
    next: u64,
    /// The last position to read.
    until: u64,
    /// Position of the record at `cursor`, and where the frame ends.
    at: u64,
    left: u64,
    cursor: usize,
    since_point: u32,
}

/// One event as it is stored.
#[derive(Clone, Copy, Debug)]
pub struct RawEvent<'a> {
    /// Its place in the whole log.
    pub position: Position,
    /// Its stored bytes.
    pub bytes: &'a [u8],
}

impl RawEvent<'_> {
    /// Its header alone.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn header(&self) -> Result<Header, CodecError> {
        codec::header(self.bytes)
    }

    /// The whole event.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn decode(&self) -> Result<Envelope, CodecError> {
        codec::decode(self.position, self.bytes)
    }
}

impl Scan {
    /// Reads from `from` to `until`, both included, `capacity` bytes at a time.
    pub(super) fn new(
        segments: Vec<Arc<Segment>>,
        from: Position,
        until: Position,
        capacity: usize,
    ) -> Self {
        Self {
            segments,
            current: 0,
            frames: None,
            edition: Edition::default(),
            capacity,
            next: from.0.max(1),
            until: until.0,
            at: 0,
            left: 0,
            cursor: 0,
            since_point: 0,
        }
    }

    /// The next event as it is stored; none after the last one. It borrows the reader's buffer. Events that were pruned
    /// are passed over, so positions may be missing.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] and [`ReadError::Io`]. Do not go on after an error.
    pub fn next_raw(&mut self) -> Result<Option<RawEvent<'_>>, ReadError> {
        if self.next > self.until {
            return Ok(None);
        }
        let (event, position) = loop {
            if self.left == 0 && !self.enter_frame()? {
                return Ok(None);
            }
            let position = self.at;
            let event = self.cut_record()?;
            if position < self.next {
                continue;
            }
            if let Some(event) = event {
                break (event, position);
            }
            self.next = position + 1;
            if self.next > self.until {
                return Ok(None);
            }
        };
        self.next = position + 1;
        let body = self.frames.as_ref().map_or(&[][..], Frames::body);
        Ok(Some(RawEvent { position: Position(position), bytes: &body[event] }))
    }

    /// The next event, decoded.
    ///
    /// # Errors
    /// As [`Self::next_raw`]; also [`ReadError::Damaged`] when it cannot be decoded.
    pub fn next_envelope(&mut self) -> Result<Option<Envelope>, ReadError> {
        let Some(raw) = self.next_raw()? else { return Ok(None) };
        let (position, decoded) = (raw.position, raw.decode());
        decoded.map(Some).map_err(|err| self.damaged(&format!("event {position}: {err}")))
    }

    /// The event at `position`, which lies after all that was read; none when it was pruned.
    ///
    /// # Errors
    /// As [`Self::next_envelope`].
    pub(super) fn event_at(&mut self, position: Position) -> Result<Option<Envelope>, ReadError> {
        // Whatever was passed over on the way to here is no longer there.
        if position.0 < self.next {
            return Ok(None);
        }
        let until = self.until;
        self.until = until.min(position.0);
        self.skip_to(position);
        let found = self.next_envelope();
        self.until = until;
        found
    }

    /// Goes on at `position`, which lies after all that was read.
    fn skip_to(&mut self, position: Position) {
        if position.0 > self.next + NEAR {
            self.frames = None;
            self.left = 0;
        }
        self.next = position.0;
    }

    /// The place of the frame that is being read, for messages.
    fn place(&self) -> String {
        let path = self.segments.get(self.current).map(|segment| segment.path.display());
        let path = path.map_or_else(String::new, |path| path.to_string());
        let offset = self.frames.as_ref().map_or(0, Frames::offset);
        format!("{path} before offset {offset}")
    }

    fn damaged(&self, what: &str) -> ReadError {
        ReadError::Damaged { place: self.place(), what: what.to_owned() }
    }

    /// Cuts the record at the cursor; answers where its event lies in the frame's body, if it was not pruned.
    fn cut_record(&mut self) -> Result<Option<std::ops::Range<usize>>, ReadError> {
        let body = self.frames.as_ref().map_or(&[][..], Frames::body);
        let Some(record) = Record::cut(&body[self.cursor..]) else {
            return Err(self.damaged("a frame holds fewer events than it says"));
        };
        let end = body.len() - record.rest.len();
        let range = match record.content {
            Content::Event(event) => Some(end - event.len()..end),
            Content::Pruned(_) => None,
        };
        self.cursor = end;
        self.left -= 1;
        self.at += 1;
        Ok(range)
    }

    /// Reads on to the frame that holds the next position; false at the end.
    fn enter_frame(&mut self) -> Result<bool, ReadError> {
        if self.frames.is_none() && !self.locate()? {
            return Ok(false);
        }
        loop {
            let Some(frames) = &mut self.frames else { return Ok(false) };
            let segment = &self.segments[self.current];
            match frames.next().map_err(|err| io_error(segment, &err))? {
                Step::Frame { offset, header } => {
                    self.since_point += 1;
                    if self.since_point >= POINT_EVERY {
                        self.since_point = 0;
                        segment.remember(self.edition, header.first, offset);
                    }
                    if header.first > self.next {
                        let what = format!("position {} is missing", self.next);
                        return Err(self.damaged(&what));
                    }
                    if header.run_after.is_some() {
                        self.next = self.next.max(header.last() + 1);
                        if self.next > self.until {
                            return Ok(false);
                        }
                    } else if header.last() >= self.next {
                        self.at = header.first;
                        self.left = header.count;
                        self.cursor = 0;
                        return Ok(true);
                    }
                }
                Step::End => {
                    if self.current + 1 >= self.segments.len() {
                        // The end of what was on disk a moment ago lies above `until`, or damage took it.
                        let what = format!("the log ends before position {}", self.next);
                        return Err(self.damaged(&what));
                    }
                    self.current += 1;
                    self.open_current(0)?;
                }
                Step::Broken { offset, what } => {
                    let place = format!("{} at offset {offset}", segment.path.display());
                    return Err(ReadError::Damaged { place, what: what.to_owned() });
                }
            }
        }
    }

    /// Opens the segment that holds the next position, near to it.
    fn locate(&mut self) -> Result<bool, ReadError> {
        let after = self.segments.partition_point(|segment| segment.first.0 <= self.next);
        let Some(current) = after.checked_sub(1) else { return Ok(false) };
        self.current = current;
        self.open_current(self.next)?;
        Ok(true)
    }

    /// Opens the current segment at the nearest known frame at or before `position`.
    fn open_current(&mut self, position: u64) -> Result<(), ReadError> {
        let segment = &self.segments[self.current];
        let opened = segment.open_before(position).map_err(|err| io_error(segment, &err))?;
        self.edition = opened.edition;
        self.frames = Some(Frames::over(opened.file, opened.range, self.capacity));
        self.since_point = 0;
        Ok(())
    }
}

fn io_error(segment: &Segment, err: &std::io::Error) -> ReadError {
    ReadError::Io { path: segment.path.display().to_string(), why: err.to_string() }
}
