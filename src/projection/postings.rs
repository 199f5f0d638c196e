//! Sorted sets of positions in few rows: up to 256 in each, as differences.
//!
//! A row's key ends in the first number; its value is the last number and the count (so that appending and skipping
//! read no more), then the differences from each number to the next.

use super::bytes::{Reader, Writer};
use super::keys;
use super::rows::{Overlay, RowError, Rows};

/// Numbers in one row at most.
const CHUNK_MAX: u16 = 256;
const HEAD_BYTES: usize = 10;
const WHAT: &str = "a list of positions";

/// One row of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) count: u16,
    value: Vec<u8>,
}

impl Chunk {
    fn parse(key: &[u8], value: Vec<u8>) -> Result<Self, RowError> {
        let damaged = || Reader::new(&[], WHAT).damaged("its head is cut");
        let first = keys::last_number(key).ok_or_else(damaged)?;
        let (last, rest) = value.split_first_chunk::<8>().ok_or_else(damaged)?;
        let count = rest.first_chunk::<2>().ok_or_else(damaged)?;
        let (last, count) = (u64::from_be_bytes(*last), u16::from_be_bytes(*count));
        Ok(Self { first, last, count, value })
    }

    fn single(number: u64) -> Self {
        Self::of(&[number])
    }

    /// A chunk of ascending `numbers`; at least one.
    fn of(numbers: &[u64]) -> Self {
        let first = numbers.first().copied().unwrap_or(0);
        let last = numbers.last().copied().unwrap_or(0);
        let count = numbers.len() as u16;
        let mut writer = Writer::with_capacity(HEAD_BYTES + 2 * numbers.len());
        writer.raw(&last.to_be_bytes());
        writer.raw(&count.to_be_bytes());
        for pair in numbers.windows(2) {
            writer.number(pair[1] - pair[0]);
        }
        Self { first, last, count, value: writer.finish() }
    }

    /// All numbers, ascending.
    pub(super) fn numbers(&self) -> Result<Vec<u64>, RowError> {
        let mut reader = Reader::new(self.value.get(HEAD_BYTES..).unwrap_or_default(), WHAT);
        let mut number = self.first;
        let mut numbers = Vec::with_capacity(usize::from(self.count));
        numbers.push(number);
        while !reader.is_done() {
            number = number.wrapping_add(reader.number()?);
            numbers.push(number);
        }
        if numbers.len() == usize::from(self.count) && number == self.last {
            Ok(numbers)
        } else {
            Err(reader.damaged("its numbers are not those that its head promises"))
        }
    }
}

/// Shows the numbers of the row at `key` as bytes.
///
/// # Errors
/// The row is damaged.
pub(super) fn each_entry(
    key: &[u8],
    value: &[u8],
    visit: &mut dyn FnMut(&[u8]),
) -> Result<(), RowError> {
    let numbers = Chunk::parse(key, value.to_vec())?.numbers()?;
    numbers.iter().for_each(|number| visit(&number.to_be_bytes()));
    Ok(())
}

/// Appends `number`, which is above all others, to a chunk's value.
fn append(value: &mut Vec<u8>, last: u64, count: u16, number: u64) {
    value[..8].copy_from_slice(&number.to_be_bytes());
    value[8..HEAD_BYTES].copy_from_slice(&(count + 1).to_be_bytes());
    let mut difference = Writer::with_capacity(4);
    difference.number(number - last);
    value.extend_from_slice(&difference.finish());
}

/// The chunk whose numbers may include `number`: the last one that begins at or below it.
pub(super) fn chunk_at<R: Rows>(
    rows: &R,
    list: &[u8],
    number: u64,
) -> Result<Option<Chunk>, RowError> {
    rows.last_in(list, &keys::after_numbered(list, number))?
        .filter(|(key, _)| key.len() == list.len() + 8)
        .map(|(key, value)| Chunk::parse(&key, value))
        .transpose()
}

fn chunk_after<R: Rows>(rows: &R, list: &[u8], number: u64) -> Result<Option<Chunk>, RowError> {
    let from = keys::after_numbered(list, number);
    rows.first_in(&from, &keys::after_numbered(list, u64::MAX))?
        .map(|(key, value)| Chunk::parse(&key, value))
        .transpose()
}

/// Adds `number` to `list`; nothing happens when it is in it.
pub(super) fn insert<R: Rows>(
    rows: &mut Overlay<R>,
    list: &[u8],
    number: u64,
) -> Result<(), RowError> {
    if append_to_tail(rows, list, number)? {
        return Ok(());
    }
    let Some(chunk) = chunk_at(rows, list, number)? else {
        rows.forget_tail(list);
        return match chunk_after(rows, list, number)? {
            None => {
                put(rows, list, &Chunk::single(number));
                rows.set_tail(list, number);
                Ok(())
            }
            Some(next) => {
                let mut numbers = next.numbers()?;
                numbers.insert(0, number);
                replace(rows, list, next.first, &numbers);
                Ok(())
            }
        };
    };
    if number > chunk.last {
        let follows = chunk_after(rows, list, chunk.first)?.is_none();
        let mut tail = chunk.first;
        if chunk.count < CHUNK_MAX {
            let mut value = chunk.value;
            append(&mut value, chunk.last, chunk.count, number);
            rows.put(keys::numbered(list, chunk.first), value);
        } else {
            put(rows, list, &Chunk::single(number));
            tail = number;
        }
        if follows {
            rows.set_tail(list, tail);
        }
        return Ok(());
    }
    let mut numbers = chunk.numbers()?;
    if let Err(place) = numbers.binary_search(&number) {
        numbers.insert(place, number);
        rows.forget_tail(list);
        replace(rows, list, chunk.first, &numbers);
    }
    Ok(())
}

/// The usual case: the list's last chunk stands among the changes and `number` belongs behind it.
fn append_to_tail<R: Rows>(
    rows: &mut Overlay<R>,
    list: &[u8],
    number: u64,
) -> Result<bool, RowError> {
    let Some(first) = rows.tail(list).filter(|first| *first < number) else {
        return Ok(false);
    };
    let key = keys::numbered(list, first);
    if rows.changed_mut(&key).is_none() {
        let Some(value) = rows.get(&key)? else {
            return Ok(false);
        };
        rows.put(key.clone(), value);
    }
    let Some(value) = rows.changed_mut(&key) else {
        return Ok(false);
    };
    let (last, count) = match (value.first_chunk::<8>(), value.get(8..HEAD_BYTES)) {
        (Some(last), Some(&[high, low])) => {
            (u64::from_be_bytes(*last), u16::from_be_bytes([high, low]))
        }
        _ => return Ok(false),
    };
    if number <= last {
        return Ok(number == last);
    }
    if count < CHUNK_MAX {
        append(value, last, count, number);
    } else {
        put(rows, list, &Chunk::single(number));
        rows.set_tail(list, number);
    }
    Ok(true)
}

/// Takes `number` out of `list`; nothing happens when it is not in it.
pub(super) fn remove<R: Rows>(
    rows: &mut Overlay<R>,
    list: &[u8],
    number: u64,
) -> Result<(), RowError> {
    let Some(chunk) = chunk_at(rows, list, number)? else {
        return Ok(());
    };
    let mut numbers = chunk.numbers()?;
    if let Ok(place) = numbers.binary_search(&number) {
        numbers.remove(place);
        rows.forget_tail(list);
        replace(rows, list, chunk.first, &numbers);
    }
    Ok(())
}

/// Takes all of `gone`, which is ascending, out of `list`.
pub(super) fn remove_all<R: Rows>(
    rows: &mut Overlay<R>,
    list: &[u8],
    gone: &[u64],
) -> Result<(), RowError> {
    let mut gone = gone;
    while let Some(&number) = gone.first() {
        let at = chunk_at(rows, list, number)?.filter(|chunk| chunk.last >= number);
        let Some(chunk) = at.map_or_else(|| chunk_after(rows, list, number), |it| Ok(Some(it)))?
        else {
            return Ok(());
        };
        let here = &gone[gone.partition_point(|number| *number < chunk.first)..];
        let (here, later) = here.split_at(here.partition_point(|number| *number <= chunk.last));
        let mut numbers = chunk.numbers()?;
        let before = numbers.len();
        numbers.retain(|number| here.binary_search(number).is_err());
        if numbers.len() < before {
            rows.forget_tail(list);
            replace(rows, list, chunk.first, &numbers);
        }
        gone = later;
    }
    Ok(())
}

fn put<R: Rows>(rows: &mut Overlay<R>, list: &[u8], chunk: &Chunk) {
    rows.put(keys::numbered(list, chunk.first), chunk.value.clone());
}

/// Writes `numbers` in place of the chunk that began with `first`, in two when they are too many for one.
fn replace<R: Rows>(rows: &mut Overlay<R>, list: &[u8], first: u64, numbers: &[u64]) {
    if numbers.first() != Some(&first) {
        rows.delete(keys::numbered(list, first));
    }
    let half = if numbers.len() > usize::from(CHUNK_MAX) { numbers.len() / 2 } else { 0 };
    let (low, high) = numbers.split_at(half);
    for part in [low, high].into_iter().filter(|part| !part.is_empty()) {
        put(rows, list, &Chunk::of(part));
    }
}

/// Walks one list in either direction, and keeps the chunk that it stands in.
#[derive(Debug)]
pub(super) struct Cursor {
    list: Vec<u8>,
    numbers: Vec<u64>,
    /// Where `numbers` come from, so that a step inside them asks for no row.
    span: Option<(u64, u64)>,
}

impl Cursor {
    pub(super) fn new(list: Vec<u8>) -> Self {
        Self { list, numbers: Vec::new(), span: None }
    }

    fn load(&mut self, chunk: &Chunk) -> Result<(), RowError> {
        self.numbers = chunk.numbers()?;
        self.span = Some((chunk.first, chunk.last));
        Ok(())
    }

    fn holds(&self, number: u64) -> bool {
        self.span.is_some_and(|(first, last)| (first..=last).contains(&number))
    }

    /// The largest number at or below `most`.
    pub(super) fn at_most<R: Rows>(
        &mut self,
        rows: &R,
        most: u64,
    ) -> Result<Option<u64>, RowError> {
        if !self.holds(most) {
            match chunk_at(rows, &self.list, most)? {
                None => return Ok(None),
                Some(chunk) => self.load(&chunk)?,
            }
        }
        let above = self.numbers.partition_point(|number| *number <= most);
        Ok(above.checked_sub(1).and_then(|place| self.numbers.get(place).copied()))
    }

    /// The smallest number at or above `least`.
    pub(super) fn at_least<R: Rows>(
        &mut self,
        rows: &R,
        least: u64,
    ) -> Result<Option<u64>, RowError> {
        if !self.holds(least) {
            let chunk = chunk_at(rows, &self.list, least)?.filter(|chunk| chunk.last >= least);
            let chunk = match chunk {
                None => chunk_after(rows, &self.list, least)?,
                Some(chunk) => Some(chunk),
            };
            match chunk {
                None => return Ok(None),
                Some(chunk) => self.load(&chunk)?,
            }
        }
        let place = self.numbers.partition_point(|number| *number < least);
        Ok(self.numbers.get(place).copied())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::projection::rows::MemoryRows;

    const LIST: &[u8] = b"\x04list\0";

    fn all(rows: &impl Rows) -> Vec<u64> {
        let mut cursor = Cursor::new(LIST.to_vec());
        let mut found = Vec::new();
        let mut most = Some(u64::MAX);
        while let Some(number) =
            most.and_then(|most| cursor.at_most(rows, most).expect("rows are sound"))
        {
            found.push(number);
            most = number.checked_sub(1);
        }
        found.reverse();
        found
    }

    #[test]
    fn a_thousand_appended_positions_stand_in_four_rows() {
        let mut rows = Overlay::new(MemoryRows::default());
        for number in 1..=1000 {
            insert(&mut rows, LIST, number * 3).expect("rows are sound");
        }
        assert_eq!(rows.changed(), 4);
        assert_eq!(all(&rows), (1..=1000).map(|number| number * 3).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn a_list_is_a_sorted_set(
            steps in proptest::collection::vec((0u64..2000, prop::bool::weighted(0.7), prop::bool::weighted(0.02)), 1..1500),
        ) {
            let mut model = BTreeSet::new();
            let mut rows = Overlay::new(MemoryRows::default());
            for (number, adds, writes) in steps {
                if adds {
                    model.insert(number);
                    insert(&mut rows, LIST, number).expect("rows are sound");
                } else {
                    model.remove(&number);
                    remove(&mut rows, LIST, number).expect("rows are sound");
                }
                if writes {
                    let changes = rows.take_changes();
                    rows.base_mut().take(changes);
                }
            }
            prop_assert_eq!(all(&rows), model.iter().copied().collect::<Vec<_>>());
            let gone: Vec<u64> = (0..2000).filter(|number| number % 5 < 2).collect();
            remove_all(&mut rows, LIST, &gone).expect("rows are sound");
            model.retain(|number| number % 5 >= 2);
            prop_assert_eq!(all(&rows), model.iter().copied().collect::<Vec<_>>());
            let mut cursor = Cursor::new(LIST.to_vec());
            for number in (0..2100).step_by(7) {
                prop_assert_eq!(
                    cursor.at_least(&rows, number).expect("rows are sound"),
                    model.range(number..).next().copied()
                );
            }
        }
    }
}
