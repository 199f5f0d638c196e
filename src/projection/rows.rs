//! Byte rows in key order: what the folds and queries work on, in sled or in memory.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

/// A key and its value.
pub(super) type Row = (Vec<u8>, Vec<u8>);

/// New values by key; none deletes the row.
pub(super) type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Why a row could not be read. Either way the index is thrown away and folded again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RowError {
    /// A row is not of the form that it should have.
    #[error("a row of the index is damaged: {what}")]
    Damaged {
        /// Which, and what is wrong.
        what: String,
    },
    /// sled refused.
    #[error("the index cannot be used: {why}")]
    Storage {
        /// sled's words.
        why: String,
    },
}

/// What [`Rows::scan_back`] calls for each row.
pub(super) type Visit<'v> = &'v mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// Rows in the order of their keys. Ranges are half open: `from` belongs to them, `to` does not.
pub(super) trait Rows {
    /// The value of `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, RowError>;

    /// The last row of the range.
    fn last_in(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, RowError>;

    /// The first row of the range.
    fn first_in(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, RowError>;

    /// Visits the rows of the range from the last to the first, until `visit` breaks.
    fn scan_back(&self, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), RowError> {
        let mut end = to.to_vec();
        while let Some((key, value)) = self.last_in(from, &end)? {
            if visit(&key, &value).is_break() {
                break;
            }
            end = key;
        }
        Ok(())
    }
}

/// Rows in memory.
#[cfg(test)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MemoryRows(pub(super) BTreeMap<Vec<u8>, Vec<u8>>);

#[cfg(test)]
impl MemoryRows {
    /// Takes over what a fold changed.
    pub(super) fn take(&mut self, changes: Changes) {
        for (key, value) in changes {
            match value {
                Some(value) => self.0.insert(key, value),
                None => self.0.remove(&key),
            };
        }
    }
}

#[cfg(test)]
impl Rows for MemoryRows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, RowError> {
        Ok(self.0.get(key).cloned())
    }

    fn last_in(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, RowError> {
        Ok(range(&self.0, from, to).next_back().map(|(key, value)| (key.clone(), value.clone())))
    }

    fn first_in(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, RowError> {
        Ok(range(&self.0, from, to).next().map(|(key, value)| (key.clone(), value.clone())))
    }
}

/// A range of a map; empty where the map's own `range` would panic.
fn range<'m, V>(
    map: &'m BTreeMap<Vec<u8>, V>,
    from: &[u8],
    to: &[u8],
) -> std::collections::btree_map::Range<'m, Vec<u8>, V> {
    let from = from.min(to);
    map.range::<[u8], _>((std::ops::Bound::Included(from), std::ops::Bound::Excluded(to)))
}

/// Rows with changes on top that are not written yet.
#[derive(Debug)]
pub(super) struct Overlay<R> {
    base: R,
    changes: Changes,
    /// The first number of each posting list's last chunk, as far as known: appending needs no search.
    tails: HashMap<Vec<u8>, u64>,
}

/// Beyond this many, the known tails are forgotten.
const TAILS_MAX: usize = 16_384;

impl<R: Rows> Overlay<R> {
    pub(super) fn new(base: R) -> Self {
        Self { base, changes: Changes::new(), tails: HashMap::new() }
    }

    pub(super) fn base(&self) -> &R {
        &self.base
    }

    #[cfg(test)]
    pub(super) fn base_mut(&mut self) -> &mut R {
        &mut self.base
    }

    /// The changes since the last call. They must be in the base before the next fold.
    pub(super) fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    pub(super) fn changed(&self) -> usize {
        self.changes.len()
    }

    pub(super) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.changes.insert(key, Some(value));
    }

    pub(super) fn delete(&mut self, key: Vec<u8>) {
        self.changes.insert(key, None);
    }

    /// The value of `key` for changing it in place, if it stands among the changes.
    pub(super) fn changed_mut(&mut self, key: &[u8]) -> Option<&mut Vec<u8>> {
        self.changes.get_mut(key)?.as_mut()
    }

    pub(super) fn tail(&self, list: &[u8]) -> Option<u64> {
        self.tails.get(list).copied()
    }

    pub(super) fn set_tail(&mut self, list: &[u8], first: u64) {
        if let Some(known) = self.tails.get_mut(list) {
            *known = first;
            return;
        }
        if self.tails.len() >= TAILS_MAX {
            self.tails.clear();
        }
        self.tails.insert(list.to_vec(), first);
    }

    pub(super) fn forget_tail(&mut self, list: &[u8]) {
        self.tails.remove(list);
    }

    fn is_deleted(&self, key: &[u8]) -> bool {
        matches!(self.changes.get(key), Some(None))
    }
}

impl<R: Rows> Rows for Overlay<R> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, RowError> {
        match self.changes.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.base.get(key),
        }
    }

    fn last_in(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, RowError> {
        let mut below = self.base.last_in(from, to)?;
        while let Some((key, _)) = below.as_ref().filter(|(key, _)| self.is_deleted(key)) {
            below = self.base.last_in(from, key)?;
        }
        let above = range(&self.changes, from, to)
            .rev()
            .find_map(|(key, value)| value.as_ref().map(|value| (key, value)));
        Ok(match (above, below) {
            (Some((key, value)), Some(below)) if *key >= below.0 => {
                Some((key.clone(), value.clone()))
            }
            (Some((key, value)), None) => Some((key.clone(), value.clone())),
            (_, below) => below,
        })
    }

    fn first_in(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, RowError> {
        let mut below = self.base.first_in(from, to)?;
        while let Some((key, _)) = below.as_ref().filter(|(key, _)| self.is_deleted(key)) {
            let mut next = key.clone();
            next.push(0);
            below = self.base.first_in(&next, to)?;
        }
        let above = range(&self.changes, from, to)
            .find_map(|(key, value)| value.as_ref().map(|value| (key, value)));
        Ok(match (above, below) {
            (Some((key, value)), Some(below)) if *key <= below.0 => {
                Some((key.clone(), value.clone()))
            }
            (Some((key, value)), None) => Some((key.clone(), value.clone())),
            (_, below) => below,
        })
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), RowError> {
        let mut above = range(&self.changes, from, to).rev().peekable();
        let mut flow = ControlFlow::Continue(());
        self.base.scan_back(from, to, &mut |key, value| {
            while let Some((changed, new)) = above.next_if(|(changed, _)| changed.as_slice() >= key)
            {
                if let Some(new) = new {
                    flow = visit(changed, new);
                }
                if flow.is_break() || changed == key {
                    return flow;
                }
            }
            flow = visit(key, value);
            flow
        })?;
        for (key, value) in above {
            if flow.is_break() {
                break;
            }
            if let Some(value) = value {
                flow = visit(key, value);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_with_changes_on_top_are_visited_as_if_they_were_written_until_somebody_has_enough() {
        let row = |key: u8| (vec![key], vec![key]);
        let base = MemoryRows((0..20).map(|key| row(key * 2)).collect());
        let mut written = base.clone();
        let mut overlay = Overlay::new(base);
        for key in [0, 1, 7, 8, 9, 20, 38, 39, 41] {
            overlay.put(vec![key], vec![key, 1]);
        }
        for key in [4, 6, 8, 11, 36] {
            overlay.delete(vec![key]);
        }
        written.take(overlay.changes.clone());
        for (from, to) in [(0, 50), (1, 39), (6, 9), (40, 50), (9, 6)] {
            for enough in 1..40 {
                let mut seen = Vec::new();
                let visited = overlay.scan_back(&[from], &[to], &mut |key, value| {
                    seen.push((key.to_vec(), value.to_vec()));
                    if seen.len() < enough {
                        ControlFlow::Continue(())
                    } else {
                        ControlFlow::Break(())
                    }
                });
                let expected = range(&written.0, &[from], &[to]).rev().take(enough);
                let expected: Vec<Row> = expected.map(|(k, v)| (k.clone(), v.clone())).collect();
                assert_eq!((visited, seen), (Ok(()), expected), "{from}..{to}, {enough}");
            }
        }
    }
}
