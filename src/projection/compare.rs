//! The rows compared with rows that are folded from zero: whether the index says what the log says.

use std::collections::VecDeque;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use super::disk::{DiskRows, generations};
use super::fold::{self, Checkpoint};
use super::follow::{Phase, Projections};
use super::rows::{Overlay, Row, Rows};
use super::{content, keys};
use crate::domain::event::{Envelope, Event};
use crate::ids::Position;

/// Changed rows that are kept before they are written.
const LOOSE_ROWS: usize = 16_384;
/// Rows fetched at once, of each side.
const BATCH: usize = 256;
/// Events read at once.
const SCAN_EVENTS: usize = 4_096;
/// Rows that are looked at again at most: an index that differs in more of them differs in the first.
const SUSPECTS_MAX: usize = 4_096;
/// Looks at rows that change while they are compared.
const LOOKS: usize = 200;

/// A row that is not as the log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowDifference {
    /// Which row.
    pub row: String,
    /// What the log says.
    pub expected: String,
    /// What stands there.
    pub found: String,
}

/// Rows folded from the log's beginning, in a folder of their own that goes with them.
#[derive(Debug)]
pub struct Recount {
    overlay: Overlay<Arc<DiskRows>>,
    checkpoint: Checkpoint,
    /// Retention took something: lists may be divided among their rows in another way.
    pruned: bool,
}

impl Recount {
    /// Begins with no row in the folder `scratch`, which is emptied.
    ///
    /// # Errors
    /// In words: the folder cannot be used.
    pub fn begin(scratch: &Path) -> Result<Self, String> {
        clear(scratch)?;
        let rows = DiskRows::open(scratch).map_err(|err| err.to_string())?;
        rows.discard();
        let (overlay, checkpoint) = (Overlay::new(Arc::new(rows)), Checkpoint::default());
        Ok(Self { overlay, checkpoint, pruned: false })
    }

    /// The last event folded.
    pub fn position(&self) -> Position {
        self.checkpoint.position
    }

    /// Folds the next event.
    ///
    /// # Errors
    /// In words: the rows cannot be read or written.
    pub fn apply(&mut self, envelope: &Envelope) -> Result<(), String> {
        self.pruned |= matches!(envelope.event, Event::HistoryPruned(_));
        let folded = fold::apply(&mut self.overlay, &mut self.checkpoint, envelope);
        folded.map_err(|err| err.to_string())?;
        if self.overlay.changed() >= LOOSE_ROWS {
            self.write()?;
        }
        Ok(())
    }

    /// The first row in which `copy` differs, which has to reach as far.
    ///
    /// # Errors
    /// In words: one of both cannot be read.
    pub fn compare(&mut self, copy: &IndexCopy) -> Result<Option<RowDifference>, String> {
        self.write()?;
        guarded(|| {
            let suspects = self.suspects(&copy.rows, 1)?;
            suspects.first().map_or(Ok(None), |key| self.look(&copy.rows, key))
        })
    }

    /// The first row in which the index in use differs. It goes on following the log meanwhile: a row that seems to
    /// differ is looked at again when both have come equally far. To be called on a thread that may block, of a runtime.
    ///
    /// # Errors
    /// In words: one of both, or the log, cannot be read; or the rows never stood still.
    pub fn compare_in_use(
        &mut self,
        projections: &Projections,
    ) -> Result<Option<RowDifference>, String> {
        let Phase::Ready { rows, .. } = projections.shared().phase() else {
            return Err("it is being rebuilt".to_owned());
        };
        let position = |rows: &DiskRows| match rows.checkpoint() {
            Ok(Some(checkpoint)) => Ok(checkpoint.position),
            Ok(None) => Err("it says no longer how far it reaches".to_owned()),
            Err(err) => Err(err.to_string()),
        };
        // It may lag behind the log, up to whose end was folded here.
        let runtime = tokio::runtime::Handle::try_current().map_err(|err| err.to_string())?;
        runtime
            .block_on(projections.caught_up(self.position()))
            .map_err(|_rebuilding| "it lags behind the log".to_owned())?;
        guarded(|| {
            self.follow(projections, position(&rows)?)?;
            let mut suspects = self.suspects(&rows, SUSPECTS_MAX)?;
            for _ in 0..LOOKS {
                if suspects.is_empty() {
                    return Ok(None);
                }
                let before = position(&rows)?;
                self.follow(projections, before)?;
                let mut found = Vec::new();
                for key in &suspects {
                    if let Some(difference) = self.look(&rows, key)? {
                        found.push((key.clone(), difference));
                    }
                }
                if position(&rows)? == before {
                    return Ok(found.into_iter().next().map(|(_, difference)| difference));
                }
                suspects = found.into_iter().map(|(key, _)| key).collect();
            }
            Err("it never stood still for long enough".to_owned())
        })
    }

    /// Folds on to `position`, reading the log.
    fn follow(&mut self, projections: &Projections, position: Position) -> Result<(), String> {
        while self.position() < position {
            let events = projections.shared().log.read(self.position(), SCAN_EVENTS);
            let events = events.map_err(|err| err.to_string())?;
            let mut some = false;
            for event in events.iter().take_while(|event| event.position <= position) {
                self.apply(event)?;
                some = true;
            }
            if !some {
                return Err(format!("the log has no event at position {position}"));
            }
        }
        self.write()
    }

    fn write(&mut self) -> Result<(), String> {
        let changes = self.overlay.take_changes();
        self.overlay.base().write_loosely(changes).map_err(|err| err.to_string())
    }

    /// The keys, up to `max`, whose rows are not the same on both sides.
    fn suspects(&self, other: &DiskRows, max: usize) -> Result<Vec<Vec<u8>>, String> {
        let mut mine = Side::new(self.overlay.base(), self.pruned);
        let mut theirs = Side::new(other, self.pruned);
        let mut suspects = Vec::new();
        while suspects.len() < max {
            let (left, right) = (mine.row()?, theirs.row()?);
            let key = match (&left, &right) {
                (None, None) => break,
                (Some((key, _)), None) | (None, Some((key, _))) => key,
                (Some((left, _)), Some((right, _))) => left.min(right),
            }
            .clone();
            if left != right {
                suspects.push(key.clone());
            }
            mine.pass(&key);
            theirs.pass(&key);
        }
        Ok(suspects)
    }

    /// Both sides of one row, if they differ.
    fn look(&self, other: &DiskRows, key: &[u8]) -> Result<Option<RowDifference>, String> {
        let value = |rows: &DiskRows| match self.pruned {
            true => Side::in_lists_from(rows, key).value(key),
            false => rows.get(key).map_err(|err| err.to_string()),
        };
        let (expected, found) = (value(self.overlay.base())?, value(other)?);
        let told = |value: &Option<Vec<u8>>| match value {
            None => "no such row".to_owned(),
            Some(value) => {
                let hash = blake3::hash(value).to_hex();
                format!("{} bytes, BLAKE3 {}", value.len(), hash.get(..16).unwrap_or_default())
            }
        };
        Ok((expected != found).then(|| RowDifference {
            row: keys::told(key),
            expected: told(&expected),
            found: told(&found),
        }))
    }
}

/// The rows of one side, batch by batch, without the checkpoint.
struct Side<'a> {
    rows: &'a DiskRows,
    batch: VecDeque<Row>,
    last: Option<Vec<u8>>,
    ended: bool,
    /// A whole list counts as one row.
    in_lists: bool,
    front: Option<Row>,
}

impl<'a> Side<'a> {
    fn new(rows: &'a DiskRows, in_lists: bool) -> Self {
        let batch = VecDeque::new();
        Self { rows, batch, last: None, ended: false, in_lists, front: None }
    }

    /// From `key` on, whole lists as one row each.
    fn in_lists_from(rows: &'a DiskRows, key: &[u8]) -> Self {
        // Above every key before it: none goes on with so many ones.
        let before = match key.split_last() {
            Some((0, front)) => front.to_vec(),
            Some((last, front)) => [front, &[last - 1], &[0xff; 64]].concat(),
            None => Vec::new(),
        };
        Self { last: Some(before), ..Self::new(rows, true) }
    }

    /// What stands at `key`, which is the first one here if it is there.
    fn value(mut self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        Ok(self.row()?.filter(|(found, _)| found == key).map(|(_, value)| value))
    }

    fn row(&mut self) -> Result<Option<Row>, String> {
        if self.front.is_none() {
            self.front = if self.in_lists {
                content::next(self, Self::stored, Self::take)?
            } else {
                let row = self.stored()?;
                self.take();
                row
            };
        }
        Ok(self.front.clone())
    }

    fn take(&mut self) {
        self.batch.pop_front();
    }

    /// The row that is next as it is stored.
    fn stored(&mut self) -> Result<Option<Row>, String> {
        while self.batch.is_empty() && !self.ended {
            let rows = self.rows.after(self.last.as_deref(), BATCH);
            let rows = rows.map_err(|err| err.to_string())?;
            self.ended = rows.is_empty();
            self.last = rows.last().map(|(key, _)| key.clone()).or_else(|| self.last.take());
            self.batch = rows.into_iter().filter(|(key, _)| key != keys::META).collect();
        }
        Ok(self.batch.front().cloned())
    }

    /// Goes on behind `key`, if the row at hand is that one.
    fn pass(&mut self, key: &[u8]) {
        if self.front.as_ref().is_some_and(|(front, _)| front == key) {
            self.front = None;
        }
    }
}

/// sled panics at some damage where it should answer with an error.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_panic| Err("sled panicked while it was read".to_owned()))
}

/// A copy of the newest index in a folder that nobody uses: opening sled changes its files, and a check changes nothing.
#[derive(Debug)]
pub struct IndexCopy {
    rows: DiskRows,
    checkpoint: Checkpoint,
}

impl IndexCopy {
    /// Copies the newest generation in `dir` to `scratch`, which is emptied; none when there is no index, or one that was
    /// never completed.
    ///
    /// # Errors
    /// In words: it cannot be copied, or does not open.
    pub fn of(dir: &Path, scratch: &Path) -> Result<Option<Self>, String> {
        if !dir.is_dir() {
            return Ok(None);
        }
        let newest = generations(dir).map_err(|err| err.to_string())?.pop();
        let Some((_, from)) = newest else { return Ok(None) };
        clear(scratch)?;
        copy_folder(&from, scratch).map_err(|err| format!("{}: {err}", scratch.display()))?;
        let rows = DiskRows::open(scratch).map_err(|err| err.to_string())?;
        rows.discard();
        let checkpoint = guarded(|| rows.checkpoint().map_err(|err| err.to_string()))?;
        Ok(checkpoint.map(|checkpoint| Self { rows, checkpoint }))
    }

    /// The last event that it holds, and its hash.
    pub fn reaches(&self) -> (Position, [u8; 32]) {
        (self.checkpoint.position, self.checkpoint.hash)
    }
}

fn clear(folder: &Path) -> Result<(), String> {
    match fs::remove_dir_all(folder) {
        Ok(()) => Ok(()),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(err) => Err(format!("{}: {err}", folder.display())),
    }
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
