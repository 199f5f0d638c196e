//! The rows in sled: opened, checked against the log, thrown away.
//!
//! Each time that the rows are folded anew they go to a fresh folder, `g-<number>`. The old one is deleted when its last
//! reader is done, and nothing that sled writes late can reach the new one.

use std::fmt;
use std::fs;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::fold::Checkpoint;
use super::keys;
use super::rows::{Changes, Row, RowError, Rows, Visit};
use crate::ids::Position;
use crate::store::EventLog;

/// Pages of sled that stay in memory. Its own row table comes on top, about 35 bytes for each row.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// How often sled writes what it has, in milliseconds, and looks for pages to gather anew: that look alone took 0.8 % of a
/// core at 100,000 schedules when it came every half second. What a crash loses of the index is folded again.
const FLUSH_MS: u64 = 5_000;
/// Rows in one batch while folding anew: a large batch pins sled's memory (4.7 GB were seen with batches of 2,000).
const LOOSE_BATCH: usize = 64;

/// The rows of one generation.
pub(super) struct DiskRows {
    /// None only while it is dropped.
    db: Option<sled::Db>,
    path: PathBuf,
    discarded: AtomicBool,
}

impl fmt::Debug for DiskRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskRows").field("path", &self.path).finish_non_exhaustive()
    }
}

fn storage(err: &sled::Error) -> RowError {
    RowError::Storage { why: err.to_string() }
}

impl DiskRows {
    pub(super) fn open(path: &Path) -> Result<Self, RowError> {
        let config = sled::Config::default()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(Some(FLUSH_MS));
        // A database that a power cut tore makes sled panic rather than answer.
        let opened = std::thread::Builder::new()
            .name("index-open".to_owned())
            .spawn(move || config.open())
            .map_err(|err| RowError::Storage { why: err.to_string() })?
            .join()
            .map_err(|_panic| RowError::Storage {
                why: "sled panicked while opening".to_owned(),
            })?;
        let db = opened.map_err(|err| storage(&err))?;
        Ok(Self { db: Some(db), path: path.to_owned(), discarded: AtomicBool::new(false) })
    }

    fn db(&self) -> Result<&sled::Db, RowError> {
        self.db.as_ref().ok_or_else(|| RowError::Storage { why: "the index is closed".to_owned() })
    }

    /// Writes all changes and the checkpoint that they belong to, all or none.
    pub(super) fn write(&self, changes: Changes, checkpoint: &Checkpoint) -> Result<(), RowError> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        batch.insert(keys::META, checkpoint.encode());
        self.db()?.apply_batch(batch).map_err(|err| storage(&err))
    }

    /// Writes changes of a fold from zero, bit by bit: without a checkpoint they do not count until the last one.
    pub(super) fn write_loosely(&self, changes: Changes) -> Result<(), RowError> {
        let db = self.db()?;
        let mut changes = changes.into_iter().peekable();
        while changes.peek().is_some() {
            let mut batch = sled::Batch::default();
            for (key, value) in changes.by_ref().take(LOOSE_BATCH) {
                match value {
                    Some(value) => batch.insert(key, value),
                    None => batch.remove(key),
                }
            }
            db.apply_batch(batch).map_err(|err| storage(&err))?;
        }
        Ok(())
    }

    /// The checkpoint; none when a fold from zero never came to its end, or the rows are of another form.
    pub(super) fn checkpoint(&self) -> Result<Option<Checkpoint>, RowError> {
        self.get(keys::META)?.map_or(Ok(None), |value| Checkpoint::decode(&value))
    }

    /// Up to `max` rows after `key`, in order; from the first one without a key.
    pub(super) fn after(&self, key: Option<&[u8]>, max: usize) -> Result<Vec<Row>, RowError> {
        let from = key.map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.db()?.range::<&[u8], _>((from, Bound::Unbounded));
        range.take(max).map(|row| owned(Some(row)).map(Option::unwrap_or_default)).collect()
    }

    /// Bytes on disk.
    pub(super) fn size_bytes(&self) -> u64 {
        self.db.as_ref().and_then(|db| db.size_on_disk().ok()).unwrap_or(0)
    }

    /// Deletes the folder as soon as nobody reads from it any more.
    pub(super) fn discard(&self) {
        self.discarded.store(true, Ordering::Release);
    }

    /// Leaves the folder for the next start: the rows are complete.
    pub(super) fn keep(&self) {
        self.discarded.store(false, Ordering::Release);
    }
}

impl Drop for DiskRows {
    fn drop(&mut self) {
        drop(self.db.take());
        if self.discarded.load(Ordering::Acquire) {
            remove(&self.path);
        }
    }
}

impl Rows for DiskRows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, RowError> {
        let value = self.db()?.get(key).map_err(|err| storage(&err))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn last_in(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, RowError> {
        if from >= to {
            return Ok(None);
        }
        owned(self.db()?.range(from..to).next_back())
    }

    fn first_in(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, RowError> {
        if from >= to {
            return Ok(None);
        }
        owned(self.db()?.range(from..to).next())
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), RowError> {
        if from >= to {
            return Ok(());
        }
        for row in self.db()?.range(from..to).rev() {
            let (key, value) = row.map_err(|err| storage(&err))?;
            if visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn owned(row: Option<sled::Result<(sled::IVec, sled::IVec)>>) -> Result<Option<Row>, RowError> {
    row.transpose()
        .map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())))
        .map_err(|err| storage(&err))
}

impl<R: Rows> Rows for Arc<R> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, RowError> {
        R::get(self, key)
    }

    fn last_in(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, RowError> {
        R::last_in(self, from, to)
    }

    fn first_in(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, RowError> {
        R::first_in(self, from, to)
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), RowError> {
        R::scan_back(self, from, to, visit)
    }
}

fn remove(path: &Path) {
    if let Err(err) = fs::remove_dir_all(path) {
        tracing::warn!(path = %path.display(), %err, "a discarded index could not be deleted");
    }
}

/// The generations in `dir`, ascending.
pub(super) fn generations(dir: &Path) -> std::io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("g-")?.parse().ok());
        found.extend(number.map(|number| (number, entry.path())));
    }
    found.sort_unstable();
    Ok(found)
}

/// Begins a generation after all others, with no rows. It goes as it came, unless it is completed and kept.
pub(super) fn create(dir: &Path) -> Result<DiskRows, RowError> {
    let io = |err: std::io::Error| RowError::Storage { why: format!("{}: {err}", dir.display()) };
    fs::create_dir_all(dir).map_err(io)?;
    let newest = generations(dir).map_err(io)?.last().map_or(0, |(number, _)| *number);
    let rows = DiskRows::open(&dir.join(format!("g-{:06}", newest + 1)))?;
    rows.discard();
    Ok(rows)
}

/// What opening found.
#[derive(Debug)]
pub(super) enum Found {
    /// Rows that agree with the log.
    Agreed(DiskRows, Checkpoint),
    /// Nothing of use; what there was is on its way out.
    Nothing { why: String },
}

/// Rows for an empty log, which needs no folding; none for another one, or when they cannot be made.
pub(super) fn begin_empty(dir: &Path, log: &dyn EventLog) -> Option<(DiskRows, Checkpoint)> {
    if *log.durable().borrow() > Position(0) {
        return None;
    }
    let (rows, checkpoint) = (create(dir).ok()?, Checkpoint::default());
    rows.write(Changes::new(), &checkpoint).ok()?;
    rows.keep();
    Some((rows, checkpoint))
}

/// Opens the newest generation in `dir` and checks it against `log`. Whatever cannot be used is deleted.
pub(super) fn open_newest(dir: &Path, log: &dyn EventLog) -> std::io::Result<Found> {
    if dir.is_file() {
        fs::remove_file(dir)?;
    }
    fs::create_dir_all(dir)?;
    let mut generations = generations(dir)?;
    let newest = generations.pop();
    for (_, path) in generations {
        remove(&path);
    }
    let Some((_, path)) = newest else {
        return Ok(Found::Nothing { why: "there is no index yet".to_owned() });
    };
    let why = match DiskRows::open(&path) {
        Err(err) => {
            remove(&path);
            err.to_string()
        }
        Ok(rows) => match agree(&rows, log) {
            Ok(checkpoint) => return Ok(Found::Agreed(rows, checkpoint)),
            Err(why) => {
                rows.discard();
                why
            }
        },
    };
    Ok(Found::Nothing { why })
}

/// Checks rows against the log that they claim to be folded from; the error says in what they differ.
fn agree(rows: &DiskRows, log: &dyn EventLog) -> Result<Checkpoint, String> {
    let checkpoint = rows
        .checkpoint()
        .map_err(|err| err.to_string())?
        .ok_or("it was never completed, or has another form")?;
    let durable = *log.durable().borrow();
    if checkpoint.position > durable {
        // It follows only what is on disk.
        tracing::error!(
            indexed = %checkpoint.position,
            journal = %durable,
            "events that were acknowledged are missing from the end of the journal"
        );
        return Err(format!(
            "it reaches to position {}, the log only to {durable}",
            checkpoint.position
        ));
    }
    let Some(before) = checkpoint.position.0.checked_sub(1) else {
        return Ok(checkpoint);
    };
    let events = match log.read(Position(before), 1) {
        Ok(events) => events,
        Err(err) => {
            // Folding anew would have to read the same place: what there is serves better.
            tracing::error!(%err, "the index cannot be compared with the journal; it is kept");
            return Ok(checkpoint);
        }
    };
    match events.first() {
        Some(event) if event.position == checkpoint.position && event.hash == checkpoint.hash => {
            Ok(checkpoint)
        }
        _ => Err(format!("the log has another event at position {}", checkpoint.position)),
    }
}
