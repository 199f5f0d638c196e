//! Walking a segment from chunk to chunk, for what its index cannot tell: after a crash, and to verify.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::bytes::array_at;
use super::error::LinesError;
use super::frame::{Entry, HEAD_LEN, Head, MAGIC};
use super::segment::{HEADER_LEN, SEAL_MAGIC};

const WINDOW: usize = 256 * 1024;

/// Where the chunks of a segment end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extent {
    /// At this offset, for certain: whatever is not a chunk before it is damage.
    Known(u64),
    /// Somewhere before the file's length: a crash may have left a torn tail.
    UpTo(u64),
}

/// What a walk found besides chunks.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// Where the chunks end.
    pub(super) end: u64,
    /// Offsets that hold no readable chunk although one was there, with what is wrong.
    pub(super) damage: Vec<(u64, String)>,
    /// Of these damaged chunks at least the description can be read.
    pub(super) described: Vec<Entry>,
}

/// Walks the chunks of the segment at `path` and shows each whole one, with its payload, to `visit`.
///
/// A bad chunk is damage when a later one says that it was already on disk by then; otherwise it is the tail of a
/// commit that a crash tore, and the chunks end there.
///
/// # Errors
/// [`LinesError::Io`].
pub(super) fn walk(
    path: &Path,
    extent: Extent,
    visit: &mut dyn FnMut(Entry, &[u8]),
) -> Result<Walked, LinesError> {
    let file = File::open(path).map_err(LinesError::io("open", path))?;
    let (Extent::Known(end) | Extent::UpTo(end)) = extent;
    let mut window = Window { file, path, end, start: 0, bytes: Vec::new() };
    let mut walked = Walked { end: HEADER_LEN, ..Walked::default() };
    let mut at = HEADER_LEN;
    while at < end {
        match window.frame(at)? {
            Ok(entry) => {
                let payload_at = at + HEAD_LEN as u64;
                let length = entry.head.payload_len as usize;
                let next = at + entry.head.frame_len();
                visit(entry, window.get(payload_at, length)?.unwrap_or_default());
                at = next;
                walked.end = at;
            }
            Err(Unreadable { what, described }) => {
                let Some(next) = window.resume_after(at, extent)? else {
                    if let Extent::Known(end) = extent {
                        walked.damage.push((at, what));
                        walked.described.extend(described);
                        walked.end = end;
                    }
                    break;
                };
                walked.damage.push((at, what));
                walked.described.extend(described);
                at = next;
            }
        }
    }
    Ok(walked)
}

/// Why there is no whole chunk.
struct Unreadable {
    what: String,
    described: Option<Entry>,
}

struct Window<'a> {
    file: File,
    path: &'a Path,
    end: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// `length` bytes at `at`; none when the extent ends before.
    fn get(&mut self, at: u64, length: usize) -> Result<Option<&[u8]>, LinesError> {
        if at.saturating_add(length as u64) > self.end {
            return Ok(None);
        }
        let held = self.start + self.bytes.len() as u64;
        if at < self.start || at + length as u64 > held {
            let wanted = length.max(WINDOW);
            let left = usize::try_from(self.end - at).unwrap_or(usize::MAX);
            self.bytes.resize(wanted.min(left), 0);
            self.start = at;
            self.file
                .read_exact_at(&mut self.bytes, at)
                .map_err(LinesError::io("read", self.path))?;
        }
        let from = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        Ok(self.bytes.get(from..from + length))
    }

    fn head(&mut self, at: u64) -> Result<Result<Head, String>, LinesError> {
        let Some(bytes) = self.get(at, HEAD_LEN)? else {
            return Ok(Err("the chunks end inside a head".to_owned()));
        };
        Ok(Head::decode(&array_at(bytes, 0)))
    }

    fn frame(&mut self, at: u64) -> Result<Result<Entry, Unreadable>, LinesError> {
        let bad = |what: String| Unreadable { what, described: None };
        let head = match self.head(at)? {
            Ok(head) => head,
            Err(what) => return Ok(Err(bad(what))),
        };
        let length = head.payload_len as usize;
        let Some(payload) = self.get(at + HEAD_LEN as u64, length)? else {
            return Ok(Err(bad("the chunks end inside a payload".to_owned())));
        };
        let checked = head.check_payload(payload);
        let entry = Entry { offset: at, head };
        Ok(match checked {
            Ok(()) => Ok(entry),
            Err(what) => Err(Unreadable { what, described: Some(entry) }),
        })
    }

    /// The chunk at which to go on after the bad bytes at `at`; none when they are a torn tail or nothing follows.
    fn resume_after(&mut self, at: u64, extent: Extent) -> Result<Option<u64>, LinesError> {
        if let Extent::UpTo(_) = extent
            && self.get(at, SEAL_MAGIC.len())? == Some(SEAL_MAGIC.as_slice())
        {
            return Ok(None);
        }
        let mut first = None;
        let mut from = at + 1;
        while let Some(found) = self.find_magic(from)? {
            from = found + 1;
            let Ok(head) = self.head(found)? else { continue };
            first = first.or(Some(found));
            if matches!(extent, Extent::Known(_)) || head.group_at > at {
                return Ok(first);
            }
            from = found + HEAD_LEN as u64;
        }
        Ok(None)
    }

    fn find_magic(&mut self, mut from: u64) -> Result<Option<u64>, LinesError> {
        loop {
            let left = usize::try_from(self.end.saturating_sub(from)).unwrap_or(usize::MAX);
            if left < HEAD_LEN {
                return Ok(None);
            }
            let length = left.min(WINDOW / 4);
            let Some(bytes) = self.get(from, length)? else { return Ok(None) };
            if let Some(found) = memchr::memmem::find(bytes, &MAGIC) {
                return Ok(Some(from + found as u64));
            }
            from += (length - (MAGIC.len() - 1)) as u64;
        }
    }
}
