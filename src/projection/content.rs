//! What rows say, however their content is divided: where retention took something out, a list stands in other rows than
//! one that never held it.

use super::bytes::Reader;
use super::keys::{self, Divided};
use super::rows::{Row, RowError};
use super::{ledger, ok_slots, postings};

/// A list's content, whatever its rows: how many entries, and the sum of their hashes.
#[derive(Default)]
struct Sum {
    entries: u64,
    lanes: [u64; 4],
}

impl Sum {
    fn add(&mut self, entry: &[u8]) {
        self.entries += 1;
        let hash = blake3::hash(entry);
        let (words, _) = hash.as_bytes().as_chunks::<8>();
        for (lane, word) in self.lanes.iter_mut().zip(words) {
            *lane = lane.wrapping_add(u64::from_le_bytes(*word));
        }
    }

    fn add_row(&mut self, divided: Divided, (key, value): &Row) -> Result<(), RowError> {
        let mut add = |entry: &[u8]| self.add(entry);
        match divided {
            Divided::Positions => postings::each_entry(key, value, &mut add),
            Divided::Ledger => ledger::each_entry(value, &mut add),
            Divided::OkSlots => ok_slots::each_entry(value, &mut add),
        }
    }

    fn value(&self) -> Vec<u8> {
        [self.entries].iter().chain(&self.lanes).flat_map(|word| word.to_be_bytes()).collect()
    }
}

/// The next row, in which a whole list is one; `peek` shows a row without taking it, and `take` takes it.
pub(super) fn next<S>(
    side: &mut S,
    peek: impl Fn(&mut S) -> Result<Option<Row>, String>,
    take: impl Fn(&mut S),
) -> Result<Option<Row>, String> {
    let Some(row) = peek(side)? else { return Ok(None) };
    let Some((divided, list)) = keys::divided(&row.0) else {
        take(side);
        return whole(row).map(Some).map_err(|err| err.to_string());
    };
    let list = list.to_vec();
    let mut sum = Sum::default();
    while let Some(row) = peek(side)?
        && keys::divided(&row.0).is_some_and(|(_, of)| of == list)
    {
        sum.add_row(divided, &row).map_err(|err| err.to_string())?;
        take(side);
    }
    Ok(Some((list, sum.value())))
}

/// A row that stands for itself. Where a day ends in one only says where a search may stop.
fn whole((key, mut value): Row) -> Result<Row, RowError> {
    if keys::is_day(&key) {
        let first = Reader::new(&value, "a day").number()?;
        value = first.to_be_bytes().to_vec();
    }
    Ok((key, value))
}
