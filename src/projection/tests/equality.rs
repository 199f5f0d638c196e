//! The same events give the same rows, whichever way they come.

use std::cell::Cell;

use proptest::prelude::*;

use super::history::{History, at, histories, schedule};
use crate::domain::event::{Noted, Outcome};
use crate::ids::{Position, StreamId};
use crate::projection::rows::{MemoryRows, Row, RowError, Rows};
use crate::projection::{events, heads};

/// Rows that are others from the read on that is numbered so, from 0.
struct Changing<'a> {
    before: &'a MemoryRows,
    after: &'a MemoryRows,
    left: Cell<usize>,
}

impl Changing<'_> {
    fn now(&self) -> &MemoryRows {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        if left > 0 { self.before } else { self.after }
    }
}

impl Rows for Changing<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, RowError> {
        self.now().get(key)
    }

    fn last_in(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, RowError> {
        self.now().last_in(from, to)
    }

    fn first_in(&self, from: &[u8], to: &[u8]) -> Result<Option<Row>, RowError> {
        self.now().first_in(from, to)
    }
}

#[test]
fn an_event_that_is_folded_between_two_reads_hides_no_earlier_one() {
    let name = schedule("fnac/sales");
    let mut history = History::default();
    let id = history.slot(&name, at(0));
    history.run(id, Outcome::Ok);
    history.slot(&name, at(60));
    let before = history.rows();
    history.slot(&name, at(120));
    let note = Noted { text: None, reference: None, acknowledged: false };
    history.record(StreamId::Execution(id), note);
    let after = history.rows();
    for stream in [StreamId::Schedule(name.clone()), StreamId::Execution(id)] {
        let right = [&before, &after].map(|rows| events::positions_of(rows, &stream, 0, 10));
        assert_ne!(right[0], right[1]);
        for left in 0..20 {
            let rows = Changing { before: &before, after: &after, left: Cell::new(left) };
            let found = events::positions_of(&rows, &stream, 0, 10);
            assert!(right.contains(&found), "{stream}, changed at read {left}: {found:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn folding_bit_by_bit_gives_the_rows_of_folding_at_once(
        history in histories(400),
        batch in 1usize..100,
    ) {
        let at_once = history.fold(usize::MAX);
        prop_assert_eq!(&history.fold(batch), &at_once);
        prop_assert_eq!(history.fold(1), at_once);
    }

    #[test]
    fn every_stream_has_its_positions_and_its_newest_version(history in histories(400)) {
        let rows = history.rows();
        let streams: std::collections::BTreeSet<_> =
            history.events.iter().map(|event| event.stream.clone()).collect();
        for stream in streams {
            let mine = || history.events.iter().filter(|event| event.stream == stream);
            let newest = mine().next_back().map_or(0, |event| event.version);
            prop_assert_eq!(heads::version(&rows, &stream), Ok(newest));
            for after in [0, 1, newest / 2, newest] {
                let wanted: Vec<Position> = mine()
                    .filter(|event| event.version > after)
                    .take(10)
                    .map(|event| event.position)
                    .collect();
                prop_assert_eq!(events::positions_of(&rows, &stream, after, 10), Ok(wanted));
            }
        }
        let unknown: StreamId = "schedule/nobody/nothing".parse().expect("a stream");
        prop_assert_eq!(heads::version(&rows, &unknown), Ok(0));
    }
}
