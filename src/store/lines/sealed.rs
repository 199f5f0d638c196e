//! A sealed segment: its index is searched in the file, not loaded.

use std::cmp::Ordering;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::ids::ExecutionId;

use super::error::LinesError;
use super::frame::Entry;
use super::segment::{ENTRY_LEN, Trailer, bloom_has, decode_entry};
use super::walk::{Extent, walk};

/// A segment that no longer grows.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) trailer: Trailer,
    /// Loaded at the first question that comes this far: ten bits for each execution.
    bloom: OnceLock<Vec<u8>>,
    /// Only when the index in the file is damaged.
    rebuilt: OnceLock<Vec<Entry>>,
    /// Another file stands in its place, to which nothing that is known here applies.
    replaced: Mutex<bool>,
}

impl Sealed {
    pub(super) fn new(number: u64, path: PathBuf, trailer: Trailer) -> Self {
        Self {
            number,
            path,
            trailer,
            bloom: OnceLock::new(),
            rebuilt: OnceLock::new(),
            replaced: Mutex::new(false),
        }
    }

    /// Whether `execution` lies between the lowest and the highest id in it.
    pub(super) fn spans(&self, execution: ExecutionId) -> bool {
        (self.trailer.lowest..=self.trailer.highest).contains(&execution)
    }

    /// Opens the file, unless another one stands in its place.
    ///
    /// # Errors
    /// [`LinesError::Io`]; see [`LinesError::is_replaced`].
    pub(super) fn open(&self) -> Result<File, LinesError> {
        let replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        if *replaced {
            return Err(LinesError::replaced(&self.path));
        }
        File::open(&self.path).map_err(LinesError::io("open", &self.path))
    }

    /// Lets `replace` put another file in its place; nobody opens it meanwhile, nor afterwards.
    ///
    /// # Errors
    /// Those of `replace`; then it is as before.
    pub(super) fn replaced_by<T>(
        &self,
        replace: impl FnOnce() -> Result<T, LinesError>,
    ) -> Result<T, LinesError> {
        let mut replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        let done = replace()?;
        *replaced = true;
        Ok(done)
    }

    /// All chunks, as the index in `file` names them.
    ///
    /// # Errors
    /// [`LinesError::Io`]; [`LinesError::Damaged`] when the index is.
    pub(super) fn entries(&self, file: &File) -> Result<Vec<Entry>, LinesError> {
        let stored = Entries::Stored(self, file);
        let entry = |at| {
            stored.get(at)?.ok_or_else(|| {
                LinesError::damaged(&self.path, self.trailer.entry_at(at), "the index is damaged")
            })
        };
        (0..stored.count()).map(entry).collect()
    }

    /// Up to `max` chunks of `execution`, from the one that holds `line`, or the next one, with the file that has them.
    ///
    /// # Errors
    /// [`LinesError::Io`].
    pub(super) fn chunks_from(
        &self,
        execution: ExecutionId,
        line: u64,
        max: usize,
    ) -> Result<Option<(File, Vec<Entry>)>, LinesError> {
        let Some(file) = self.open_for(execution)? else { return Ok(None) };
        let found = self.search(&file, |index| {
            let mut found = Vec::new();
            let Some(after) = index.count_to(execution, line)? else { return Ok(None) };
            let mut at = after;
            if let Some(before) = after.checked_sub(1) {
                let Some(entry) = index.get(before)? else { return Ok(None) };
                if entry.head.execution == execution && entry.head.last_line() >= line {
                    at = before;
                }
            }
            while found.len() < max && at < index.count() {
                let Some(entry) = index.get(at)? else { return Ok(None) };
                if entry.head.execution != execution {
                    break;
                }
                found.push(entry);
                at += 1;
            }
            Ok(Some(found))
        })?;
        Ok((!found.is_empty()).then_some((file, found)))
    }

    /// The last chunk of `execution` in this segment.
    ///
    /// # Errors
    /// [`LinesError::Io`].
    pub(super) fn last_chunk(&self, execution: ExecutionId) -> Result<Option<Entry>, LinesError> {
        let Some(file) = self.open_for(execution)? else { return Ok(None) };
        self.search(&file, |index| {
            let Some(after) = index.count_to(execution, u64::MAX)? else { return Ok(None) };
            let Some(before) = after.checked_sub(1) else { return Ok(Some(None)) };
            let Some(entry) = index.get(before)? else { return Ok(None) };
            Ok(Some((entry.head.execution == execution).then_some(entry)))
        })
    }

    fn open_for(&self, execution: ExecutionId) -> Result<Option<File>, LinesError> {
        if !self.spans(execution)
            || self.bloom.get().is_some_and(|bits| !bloom_has(bits, execution))
        {
            return Ok(None);
        }
        let file = self.open()?;
        if self.bloom.get().is_none() {
            let bits = self.read_bloom(&file)?;
            if !bloom_has(self.bloom.get_or_init(|| bits), execution) {
                return Ok(None);
            }
        }
        Ok(Some(file))
    }

    /// The filter's bits; empty, which excludes nothing, when they are damaged.
    fn read_bloom(&self, file: &File) -> Result<Vec<u8>, LinesError> {
        let mut bits = vec![0; self.trailer.bloom_len as usize];
        file.read_exact_at(&mut bits, self.trailer.bloom_at())
            .map_err(LinesError::io("read", &self.path))?;
        if crc32c::crc32c(&bits) != self.trailer.bloom_crc {
            bits.clear();
        }
        Ok(bits)
    }

    /// Runs `question` on the index in the file and, if that is damaged, on one made again from the chunks.
    fn search<T>(
        &self,
        file: &File,
        question: impl Fn(&Entries<'_>) -> Result<Option<T>, LinesError>,
    ) -> Result<T, LinesError> {
        if self.rebuilt.get().is_none()
            && let Some(answer) = question(&Entries::Stored(self, file))?
        {
            return Ok(answer);
        }
        if self.rebuilt.get().is_none() {
            let entries = self.walk_entries()?;
            self.rebuilt.get_or_init(|| entries);
        }
        let entries = self.rebuilt.get().map_or(&[][..], Vec::as_slice);
        question(&Entries::Rebuilt(entries))?.ok_or_else(|| {
            let at = self.trailer.entry_at(0);
            LinesError::damaged(&self.path, at, "the index cannot be made again")
        })
    }

    fn walk_entries(&self) -> Result<Vec<Entry>, LinesError> {
        let mut entries = Vec::new();
        let extent = Extent::Known(self.trailer.seal_at);
        let walked = walk(&self.path, extent, &mut |entry, _| entries.push(entry))?;
        entries.extend(walked.described);
        entries.sort_by_key(Entry::key);
        Ok(entries)
    }
}

enum Entries<'a> {
    Stored(&'a Sealed, &'a File),
    Rebuilt(&'a [Entry]),
}

impl Entries<'_> {
    fn count(&self) -> u32 {
        match self {
            Self::Stored(sealed, _) => sealed.trailer.entries,
            Self::Rebuilt(entries) => u32::try_from(entries.len()).unwrap_or(u32::MAX),
        }
    }

    /// Entry `at`; none when it is damaged.
    fn get(&self, at: u32) -> Result<Option<Entry>, LinesError> {
        match self {
            Self::Stored(sealed, file) => {
                let mut b = [0; ENTRY_LEN];
                file.read_exact_at(&mut b, sealed.trailer.entry_at(at))
                    .map_err(LinesError::io("read", &sealed.path))?;
                Ok(decode_entry(&b))
            }
            Self::Rebuilt(entries) => Ok(entries.get(at as usize).cloned()),
        }
    }

    /// How many entries come before or are the one of `execution` that begins at `line`; none when one is damaged.
    fn count_to(&self, execution: ExecutionId, line: u64) -> Result<Option<u32>, LinesError> {
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(entry) = self.get(middle)? else { return Ok(None) };
            match entry.key().cmp(&(execution, line)) {
                Ordering::Less | Ordering::Equal => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        Ok(Some(low))
    }
}
