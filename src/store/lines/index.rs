//! Where each execution's chunks stand: the sealed segments' own indices, and the newest segment's in memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use crate::ids::ExecutionId;

use super::error::LinesError;
use super::frame::Entry;
use super::sealed::Sealed;

/// The chunks of the segment that grows, as far as they are on disk.
#[derive(Debug, Default)]
pub(super) struct Active {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    /// The length that is on disk.
    pub(super) len: u64,
    pub(super) entries: BTreeMap<(ExecutionId, u64), Entry>,
}

/// Some chunks of one execution in one segment, in order.
#[derive(Debug)]
pub(super) struct Stretch {
    pub(super) path: PathBuf,
    /// The file that the chunks' places were read from; none in the segment that grows, which is never replaced.
    pub(super) file: Option<Arc<File>>,
    pub(super) chunks: Vec<Entry>,
}

/// All segments.
#[derive(Debug)]
pub(super) struct Index {
    segments: RwLock<Segments>,
}

#[derive(Debug)]
struct Segments {
    /// In order of their numbers, which is the order of writing.
    sealed: Vec<Arc<Sealed>>,
    active: Active,
}

impl Index {
    pub(super) fn new(sealed: Vec<Arc<Sealed>>, active: Active) -> Self {
        Self { segments: RwLock::new(Segments { sealed, active }) }
    }

    /// Up to `max` chunks of `execution` from one segment, beginning with the one that holds `line`, or the next.
    ///
    /// # Errors
    /// [`LinesError::Io`].
    pub(super) fn stretch(
        &self,
        execution: ExecutionId,
        line: u64,
        max: usize,
    ) -> Result<Option<Stretch>, LinesError> {
        loop {
            let (candidates, newest) = {
                let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
                (segments.candidates(execution), segments.active.stretch(execution, line, max))
            };
            let found = candidates.iter().find_map(|sealed| {
                let chunks = sealed.chunks_from(execution, line, max);
                chunks.map(|found| found.map(|(file, chunks)| (sealed, file, chunks))).transpose()
            });
            match found {
                Some(Err(err)) if err.is_replaced() => (),
                Some(Err(err)) => return Err(err),
                Some(Ok((sealed, file, chunks))) => {
                    let (path, file) = (sealed.path.clone(), Some(Arc::new(file)));
                    return Ok(Some(Stretch { path, file, chunks }));
                }
                None => return Ok(newest),
            }
        }
    }

    /// The last chunk of `execution`.
    ///
    /// # Errors
    /// [`LinesError::Io`].
    pub(super) fn last_chunk(&self, execution: ExecutionId) -> Result<Option<Entry>, LinesError> {
        self.last_chunk_before(execution, u64::MAX)
    }

    /// The last chunk of `execution` in the segments below `number`.
    ///
    /// # Errors
    /// [`LinesError::Io`].
    pub(super) fn last_chunk_before(
        &self,
        execution: ExecutionId,
        number: u64,
    ) -> Result<Option<Entry>, LinesError> {
        loop {
            let candidates = {
                let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
                if segments.active.number < number
                    && let Some(entry) = segments.active.last_chunk(execution)
                {
                    return Ok(Some(entry));
                }
                segments.candidates(execution)
            };
            let older = candidates.iter().rev().filter(|sealed| sealed.number < number);
            let found = older.map(|sealed| sealed.last_chunk(execution).transpose());
            match found.flatten().next().transpose() {
                Err(err) if err.is_replaced() => (),
                found => return found,
            }
        }
    }

    /// Lets `replace` put another file in the place of a sealed segment's, which it answers with; none when nothing is
    /// left of it. Nobody looks anything up meanwhile.
    ///
    /// # Errors
    /// Those of `replace`; then nothing changed here.
    pub(super) fn replace(
        &self,
        old: &Arc<Sealed>,
        replace: impl FnOnce() -> Result<Option<Sealed>, LinesError>,
    ) -> Result<(), LinesError> {
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        let new = old.replaced_by(replace)?.map(Arc::new);
        if let Some(at) = segments.sealed.iter().position(|sealed| Arc::ptr_eq(sealed, old)) {
            segments.sealed.splice(at..=at, new);
        }
        Ok(())
    }

    /// Makes chunks visible that are on disk now, up to `len`.
    pub(super) fn publish(&self, entries: impl Iterator<Item = Entry>, len: u64) {
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        segments.active.len = len;
        segments.active.entries.extend(entries.map(|entry| (entry.key(), entry)));
    }

    /// Asks `question` about the newest segment.
    pub(super) fn with_active<T>(&self, question: impl FnOnce(&Active) -> T) -> T {
        question(&self.segments.read().unwrap_or_else(PoisonError::into_inner).active)
    }

    /// Replaces the newest segment, which is sealed now, by the next one.
    pub(super) fn rotate(&self, sealed: Sealed, active: Active) {
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        segments.sealed.push(Arc::new(sealed));
        segments.active = active;
    }

    /// The sealed segments and the newest one's number, path and length, all of the same moment.
    pub(super) fn extent(&self) -> (Vec<Arc<Sealed>>, (u64, PathBuf, u64)) {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let Active { number, path, len, .. } = &segments.active;
        (segments.sealed.clone(), (*number, path.clone(), *len))
    }

    /// The sealed segments, in order.
    pub(super) fn sealed(&self) -> Vec<Arc<Sealed>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).sealed.clone()
    }

    /// Bytes of all segments.
    pub(super) fn size_bytes(&self) -> u64 {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let sealed: u64 = segments.sealed.iter().map(|sealed| sealed.trailer.file_len()).sum();
        sealed + segments.active.len
    }
}

impl Segments {
    fn candidates(&self, execution: ExecutionId) -> Vec<Arc<Sealed>> {
        self.sealed.iter().filter(|sealed| sealed.spans(execution)).cloned().collect()
    }
}

impl Active {
    fn stretch(&self, execution: ExecutionId, line: u64, max: usize) -> Option<Stretch> {
        let before = self.entries.range((execution, 0)..=(execution, line)).next_back();
        let from = before
            .filter(|(_, entry)| entry.head.last_line() >= line)
            .map_or((execution, line), |(key, _)| *key);
        let chunks: Vec<Entry> = self
            .entries
            .range(from..=(execution, u64::MAX))
            .take(max)
            .map(|(_, entry)| entry.clone())
            .collect();
        (!chunks.is_empty()).then(|| Stretch { path: self.path.clone(), file: None, chunks })
    }

    fn last_chunk(&self, execution: ExecutionId) -> Option<Entry> {
        let mut range = self.entries.range((execution, 0)..=(execution, u64::MAX));
        range.next_back().map(|(_, entry)| entry.clone())
    }
}
