//! Reads the frames of one segment, one after the other, each with its checksum.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::format::{FRAME_HEADER, FrameHeader};

/// What stands at a place in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A whole frame; [`Frames::body`] has its records, if it is no run of pruned ones.
    Frame { offset: u64, header: FrameHeader },
    /// Nothing more up to the end that was given.
    End,
    /// Bytes that are no whole frame.
    Broken { offset: u64, what: &'static str },
}

/// A forward reader with a buffer of its own.
#[derive(Debug)]
pub(super) struct Frames {
    file: File,
    buffer: Vec<u8>,
    /// Which part of the buffer is still to be read.
    unread: Range<usize>,
    /// Where in the file `unread` begins.
    offset: u64,
    end: u64,
    body: Range<usize>,
}

impl Frames {
    /// Reads the frames of `path` that lie between two offsets, `capacity` bytes at a time.
    pub(super) fn open(path: &Path, range: Range<u64>, capacity: usize) -> io::Result<Self> {
        Ok(Self::over(File::open(path)?, range, capacity))
    }

    /// As [`Self::open`], on a file that is open already.
    pub(super) fn over(file: File, range: Range<u64>, capacity: usize) -> Self {
        Self {
            file,
            buffer: vec![0; capacity.max(FRAME_HEADER)],
            unread: 0..0,
            offset: range.start,
            end: range.end,
            body: 0..0,
        }
    }

    /// The place that the next step looks at.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// The records of the frame that was read last.
    pub(super) fn body(&self) -> &[u8] {
        &self.buffer[self.body.clone()]
    }

    pub(super) fn next(&mut self) -> io::Result<Step> {
        let offset = self.offset;
        if offset >= self.end {
            return Ok(Step::End);
        }
        if !self.fill(FRAME_HEADER)? {
            return Ok(Step::Broken { offset, what: "the frame's header is incomplete" });
        }
        let Some(size) = FrameHeader::size(&self.buffer[self.unread.clone()]) else {
            return Ok(Step::Broken { offset, what: "the frame's length is impossible" });
        };
        // Asked before the buffer grows, so that a damaged length costs no memory.
        if offset + size as u64 > self.end || !self.fill(size)? {
            return Ok(Step::Broken { offset, what: "the frame is incomplete" });
        }
        let start = self.unread.start;
        let Some(header) = FrameHeader::from_bytes(&self.buffer[start..start + size]) else {
            return Ok(Step::Broken { offset, what: "the frame's checksum is wrong" });
        };
        self.body = start + FRAME_HEADER..start + size;
        self.unread.start += size;
        self.offset += size as u64;
        Ok(Step::Frame { offset, header })
    }

    /// Makes `wanted` unread bytes available; false when there are not so many before the end.
    fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        if self.unread.len() >= wanted {
            return Ok(true);
        }
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        while self.unread.end < wanted {
            let at = self.offset + self.unread.end as u64;
            let left = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX);
            let until = self.buffer.len().min(self.unread.end.saturating_add(left));
            match self.file.read_at(&mut self.buffer[self.unread.end..until], at) {
                Ok(0) => return Ok(false),
                Ok(count) => self.unread.end += count,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        Ok(true)
    }
}
