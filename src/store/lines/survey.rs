//! What the chunks' descriptions say of a log as a whole, to be compared with what its execution's closing says.

use std::collections::BTreeMap;
use std::path::Path;

use crate::ids::ExecutionId;

use super::error::LinesError;
use super::extent::{LinesExtent, LinesFile};
use super::frame::{Entry, Head};
use super::read::each_chunk;
use super::sealed::Sealed;
use super::segment::Trailer;
use super::store::LineStore;
use super::walk::{Extent, walk};

/// Descriptions fetched at once.
const BATCH: usize = 256;

/// A log as its chunks tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Its lines that are there.
    pub lines: u64,
    /// The first line that is there; 0 when there is none.
    pub first_line: u64,
    /// BLAKE3 over the hashes of the chunks that are there, in order.
    pub hash: [u8; 32],
    /// The first line that is missing between two that are there.
    pub gap: Option<u64>,
    /// Where the first chunk stands.
    pub place: Option<String>,
}

/// Adds up chunks.
#[derive(Default)]
struct Sum {
    hasher: blake3::Hasher,
    lines: u64,
    first_line: u64,
    next: u64,
    gap: Option<u64>,
    place: Option<String>,
}

impl Sum {
    fn add(&mut self, path: &Path, entry: &Entry) {
        let head: &Head = &entry.head;
        if self.lines == 0 {
            self.first_line = head.first_line;
            self.place = Some(format!("`{}` at byte {}", path.display(), entry.offset));
        } else if head.first_line != self.next {
            self.gap.get_or_insert(self.next);
        }
        self.next = head.last_line().saturating_add(1);
        self.lines += u64::from(head.lines);
        self.hasher.update(&head.hash);
    }

    fn logged(self) -> Logged {
        Logged {
            lines: self.lines,
            first_line: self.first_line,
            hash: *self.hasher.finalize().as_bytes(),
            gap: self.gap,
            place: self.place,
        }
    }
}

impl LineStore {
    /// What the chunks of `execution` say, however many of them are there.
    ///
    /// # Errors
    /// [`LinesError::Io`].
    pub fn logged(&self, execution: ExecutionId) -> Result<Logged, LinesError> {
        let mut sum = Sum::default();
        each_chunk(&self.store.shared.index, execution, 1, &mut |stretch, entry| {
            sum.add(&stretch.path, entry);
            Ok(true)
        })?;
        Ok(sum.logged())
    }
}

impl LinesExtent {
    /// Whether retention dropped a segment, or wrote one again without some of it.
    pub(super) fn lacks_some(&self) -> bool {
        self.files.iter().zip(1..).any(|(file, number)| file.pruned || file.number != number)
    }
}

/// The chunks of a folder that nobody writes, found by execution without changing a byte.
#[derive(Debug)]
pub struct LinesSurvey {
    segments: Vec<Surveyed>,
    lacks_some: bool,
}

#[derive(Debug)]
enum Surveyed {
    Sealed(Sealed),
    Open { number: u64, path: std::path::PathBuf, entries: BTreeMap<(ExecutionId, u64), Entry> },
}

impl LinesSurvey {
    /// Looks through `extent`. Memory grows with the chunks of segments that are not sealed: usually the newest alone.
    ///
    /// # Errors
    /// [`LinesError::Io`].
    pub fn of(extent: &LinesExtent) -> Result<Self, LinesError> {
        let segments = extent.files.iter().map(surveyed).collect::<Result<_, _>>()?;
        Ok(Self { segments, lacks_some: extent.lacks_some() })
    }

    /// Whether retention took chunks of the store.
    pub(super) const fn lacks_some(&self) -> bool {
        self.lacks_some
    }

    /// The chunk and the line that the log of `execution` goes on with after the segments below `number`; none when it
    /// has not begun there.
    pub(super) fn end_before(
        &self,
        execution: ExecutionId,
        number: u64,
    ) -> Result<Option<(u32, u64)>, LinesError> {
        for segment in self.segments.iter().rev().filter(|segment| segment.number() < number) {
            let last = match segment {
                Surveyed::Sealed(sealed) => sealed.last_chunk(execution)?,
                Surveyed::Open { entries, .. } => {
                    let mut mine = entries.range((execution, 0)..=(execution, u64::MAX));
                    mine.next_back().map(|(_, entry)| entry.clone())
                }
            };
            if let Some(last) = last {
                let line = last.head.last_line().saturating_add(1);
                return Ok(Some((last.head.chunk.saturating_add(1), line)));
            }
        }
        Ok(None)
    }

    /// What the chunks of `execution` say, however many of them are there.
    ///
    /// # Errors
    /// [`LinesError::Io`].
    pub fn logged(&self, execution: ExecutionId) -> Result<Logged, LinesError> {
        let mut sum = Sum::default();
        for segment in &self.segments {
            match segment {
                Surveyed::Sealed(sealed) if sealed.spans(execution) => {
                    let mut line = 1;
                    loop {
                        let found = sealed.chunks_from(execution, line, BATCH)?;
                        let Some((_, chunks)) = found else { break };
                        let Some(last) = chunks.last() else { break };
                        line = last.head.last_line().saturating_add(1);
                        chunks.iter().for_each(|chunk| sum.add(&sealed.path, chunk));
                    }
                }
                Surveyed::Sealed(_) => {}
                Surveyed::Open { path, entries, .. } => {
                    let mine = entries.range((execution, 0)..=(execution, u64::MAX));
                    mine.for_each(|(_, entry)| sum.add(path, entry));
                }
            }
        }
        Ok(sum.logged())
    }
}

impl Surveyed {
    fn number(&self) -> u64 {
        match self {
            Self::Sealed(sealed) => sealed.number,
            Self::Open { number, .. } => *number,
        }
    }
}

fn surveyed(file: &LinesFile) -> Result<Surveyed, LinesError> {
    let path = file.path.clone();
    if file.seal_at.is_some() {
        let open = std::fs::File::open(&path).map_err(LinesError::io("open", &path))?;
        if let Some(trailer) = Trailer::read(&open, &path, file.bytes)? {
            return Ok(Surveyed::Sealed(Sealed::new(file.number, path, trailer)));
        }
    }
    let mut entries = BTreeMap::new();
    let walked = walk(&path, Extent::UpTo(file.bytes), &mut |entry, _| {
        entries.insert(entry.key(), entry);
    })?;
    entries.extend(walked.described.into_iter().map(|entry| (entry.key(), entry)));
    Ok(Surveyed::Open { number: file.number, path, entries })
}
