//! Takes the lines of executions out of sealed segments: a segment of which nothing is left goes, others are written again.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use crate::ids::ExecutionId;

use super::error::LinesError;
use super::frame::Entry;
use super::sealed::Sealed;
use super::segment::{HEADER_LEN, Kind, UNFINISHED, header, seal_bytes, sync_dir};
use super::store::LineStore;

/// How much is written at once.
const CAPACITY: usize = 1 << 20;

/// What pruning took out of the lines, or would take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrunedLines {
    /// Chunks.
    pub chunks: u64,
    /// Bytes that the segments became smaller by.
    pub bytes: u64,
    /// Segments of which nothing was left.
    pub dropped: u64,
    /// Segments that were written again.
    pub rewritten: u64,
}

/// Whether pruning changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pruning {
    /// It only counts.
    Count,
    /// It does it, where that frees at least so many bytes of a segment or all of it.
    Do {
        /// Bytes.
        worth: u64,
    },
}

impl LineStore {
    /// The numbers and sizes in bytes of the segments that no longer grow and may hold lines of one of `executions`.
    pub fn sealed_with(&self, executions: &BTreeSet<ExecutionId>) -> Vec<(u64, u64)> {
        let sealed = self.store.shared.index.sealed();
        let may_hold = sealed.iter().filter(|sealed| {
            executions.range(sealed.trailer.lowest..=sealed.trailer.highest).next().is_some()
        });
        may_hold.map(|sealed| (sealed.number, sealed.trailer.file_len())).collect()
    }

    /// Takes the lines of executions that are `gone` out of the sealed segment `number`. Blocks; reading and writing go on
    /// meanwhile. A crash at any moment leaves the segment as it was, or as it will be.
    ///
    /// # Errors
    /// [`LinesError::Io`]; [`LinesError::Damaged`] when the segment's index is damaged. The segment is then as it was.
    pub fn prune_segment(
        &self,
        number: u64,
        gone: &dyn Fn(ExecutionId) -> bool,
        pruning: Pruning,
    ) -> Result<PrunedLines, LinesError> {
        let shared = &self.store.shared;
        // A check of the whole store would take a segment that changes under it for a damaged one.
        let _alone = shared.upkeep.lock().unwrap_or_else(PoisonError::into_inner);
        let sealed = shared.index.sealed();
        let Some(sealed) = sealed.iter().find(|sealed| sealed.number == number) else {
            return Ok(PrunedLines::default());
        };
        let file = sealed.open()?;
        let (out, mut left): (Vec<_>, Vec<_>) =
            sealed.entries(&file)?.into_iter().partition(|entry| gone(entry.head.execution));
        let bytes = out.iter().map(|entry| entry.head.frame_len()).sum();
        let mut found = PrunedLines { chunks: out.len() as u64, bytes, ..PrunedLines::default() };
        let Pruning::Do { worth } = pruning else { return Ok(found) };
        let dir = sealed.path.parent().unwrap_or_else(|| Path::new("."));
        if left.is_empty() {
            shared.index.replace(sealed, || {
                fs::remove_file(&sealed.path).map_err(LinesError::io("remove", &sealed.path))?;
                Ok(None)
            })?;
            sync_dir(dir)?;
            found.bytes = sealed.trailer.file_len();
            found.dropped = 1;
            return Ok(found);
        }
        if out.is_empty() || bytes < worth {
            return Ok(PrunedLines::default());
        }
        let new = write(sealed, &file, &mut left).inspect_err(|_| {
            // The next start removes it, too.
            drop(fs::remove_file(sealed.path.with_extension(UNFINISHED)));
        })?;
        found.bytes = sealed.trailer.file_len().saturating_sub(new.trailer.file_len());
        found.rewritten = 1;
        let unfinished = sealed.path.with_extension(UNFINISHED);
        shared.index.replace(sealed, || {
            fs::rename(&unfinished, &sealed.path)
                .map_err(LinesError::io("replace", &sealed.path))?;
            Ok(Some(new))
        })?;
        sync_dir(dir)?;
        Ok(found)
    }
}

/// Writes the chunks that are left to a file beside the segment's, seals it and brings it to disk.
fn write(sealed: &Arc<Sealed>, file: &File, left: &mut [Entry]) -> Result<Sealed, LinesError> {
    let path = sealed.path.with_extension(UNFINISHED);
    let io = |action| LinesError::io(action, &path);
    let new = OpenOptions::new().write(true).create(true).truncate(true).open(&path);
    let mut writer = BufWriter::with_capacity(CAPACITY, new.map_err(io("create"))?);
    writer.write_all(&header(sealed.number, Kind::Pruned)).map_err(io("write"))?;
    left.sort_unstable_by_key(|entry| entry.offset);
    let (mut at, mut chunk) = (HEADER_LEN, Vec::new());
    for entry in &mut *left {
        let length = entry.head.frame_len();
        chunk.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
        file.read_exact_at(&mut chunk, entry.offset)
            .map_err(LinesError::io("read", &sealed.path))?;
        writer.write_all(&chunk).map_err(io("write"))?;
        entry.offset = at;
        at += length;
    }
    left.sort_unstable_by_key(Entry::key);
    let Some((seal, trailer)) = seal_bytes(at, left.iter()) else {
        return Err(LinesError::damaged(&sealed.path, 0, "nothing is left of it"));
    };
    writer.write_all(&seal).map_err(io("write"))?;
    let new = writer.into_inner().map_err(|err| io("write")(err.into_error()))?;
    new.sync_all().map_err(io("sync"))?;
    Ok(Sealed::new(sealed.number, sealed.path.clone(), trailer))
}
