//! The same events give the same rows, whichever way they come.

use proptest::prelude::*;

use super::history::histories;
use crate::ids::{Position, StreamId};
use crate::projection::{events, heads};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn folding_bit_by_bit_gives_the_rows_of_folding_at_once(
        history in histories(400),
        batch in 1usize..100,
    ) {
        let at_once = history.fold(usize::MAX);
        prop_assert_eq!(history.fold(batch), at_once.clone());
        prop_assert_eq!(history.fold(1), at_once);
    }

    #[test]
    fn every_stream_has_its_positions_and_its_newest_version(history in histories(400)) {
        let rows = history.rows();
        let streams: std::collections::BTreeSet<_> =
            history.events.iter().map(|event| event.stream.clone()).collect();
        for stream in streams {
            let mine = || history.events.iter().filter(|event| event.stream == stream);
            let newest = mine().last().map_or(0, |event| event.version);
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
