//! The slots' ledger.

use super::history::{History, at, schedule};
use crate::domain::event::{Forgotten, HistoryPruned, Outcome, PruneStep};
use crate::domain::slot::{Reason, Verdict};
use crate::ids::{ExecutionId, StreamId};
use crate::instant::Instant;
use crate::projection::ledger::{self, ExpandRequest, SlotRange};
use crate::projection::rows::MemoryRows;
use crate::projection::view::{Slot, SlotOutcome};

fn unknown_plan(_request: &ExpandRequest<'_>) -> Option<Vec<Instant>> {
    None
}

fn each_second(request: &ExpandRequest<'_>) -> Option<Vec<Instant>> {
    let asked = request.last.secs() - request.first.secs();
    assert!(asked < 5_000, "{asked} instants were asked for at once");
    let seconds = request.first.millis().div_euclid(1000)..=request.last.secs();
    Some(
        seconds
            .map(Instant::from_secs)
            .filter(|at| (request.first..=request.last).contains(at))
            .collect(),
    )
}

fn all(rows: &MemoryRows, range: SlotRange, limit: usize) -> Vec<Slot> {
    let name = schedule("fnac/sales");
    let (mut found, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = (limit, cursor.as_deref());
        let page = ledger::list(rows, &name, range, page, &each_second).expect("rows are sound");
        assert!(page.items.len() <= limit);
        found.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            return found;
        }
    }
}

fn outcomes(slots: &[Slot]) -> Vec<(i64, SlotOutcome, Option<Reason>)> {
    let start = at(0).secs();
    slots.iter().map(|slot| (slot.at.secs() - start, slot.outcome, slot.reason)).collect()
}

fn history() -> History {
    let name = schedule("fnac/sales");
    let mut history = History::default();
    let first = history.slot(&name, at(0));
    history.run(first, Outcome::Ok);
    history.pass(&name, (Verdict::Missed, Reason::Down), (at(60), 3, 60));
    history.pass(&name, (Verdict::Skipped, Reason::Paused), (at(240), 1, 60));
    history.slot(&name, at(300));
    history
}

#[test]
fn every_slot_has_one_row_newest_first_with_what_became_of_it() {
    use SlotOutcome::{Missed, Skipped, Started};
    let expected = [
        (300, Started, None),
        (240, Skipped, Some(Reason::Paused)),
        (180, Missed, Some(Reason::Down)),
        (120, Missed, Some(Reason::Down)),
        (60, Missed, Some(Reason::Down)),
        (0, Started, None),
    ];
    let rows = history().rows();
    for limit in 1..=7 {
        assert_eq!(outcomes(&all(&rows, SlotRange::default(), limit)), expected, "limit {limit}");
    }
    let range = SlotRange { from: Some(at(120)), to: Some(at(300)) };
    assert_eq!(outcomes(&all(&rows, range, 100)), expected[1..4]);
}

#[test]
fn a_backfilled_slot_keeps_its_outcome_and_points_to_the_execution() {
    let name = schedule("fnac/sales");
    let mut history = history();
    history.backfill(&name, at(120));
    let slots = all(&history.rows(), SlotRange::default(), 100);
    let executions: Vec<_> = slots.iter().map(|slot| slot.execution.is_some()).collect();
    assert_eq!(executions, [true, false, false, true, false, true]);
    assert_eq!(slots[3].outcome, SlotOutcome::Missed);
    assert_eq!(slots[3].execution, Some(ExecutionId::for_slot(&name, at(120))));
}

#[test]
fn a_long_outage_is_expanded_page_by_page_with_the_schedules_plan() {
    let name = schedule("fnac/sales");
    let mut history = History::default();
    history.pass(&name, (Verdict::Missed, Reason::Down), (at(0), 1_000_000, 1));
    let rows = history.rows();
    let range = SlotRange { from: Some(at(998_500)), to: None };
    let seconds: Vec<_> = all(&rows, range, 400).iter().map(|slot| slot.at).collect();
    assert_eq!(seconds, (998_500..1_000_000).rev().map(at).collect::<Vec<_>>());
}

#[test]
fn a_long_outage_of_a_schedule_whose_plan_is_gone_shows_its_ends() {
    let name = schedule("fnac/sales");
    let mut history = History::default();
    history.pass(&name, (Verdict::Missed, Reason::Down), (at(0), 5_000, 60));
    let page = (100, None);
    let slots = ledger::list(&history.rows(), &name, SlotRange::default(), page, &unknown_plan)
        .expect("rows are sound");
    let ends: Vec<_> = slots.items.iter().map(|slot| slot.at).collect();
    assert_eq!(ends, [at(4_999 * 60), at(0)]);
}

#[test]
fn many_decisions_stand_in_few_rows_and_all_come_back() {
    let name = schedule("fnac/sales");
    let mut history = History::default();
    for minute in 0..1_000 {
        history.slot(&name, at(minute * 60));
    }
    let rows = history.rows();
    let seen: Vec<_> = all(&rows, SlotRange::default(), 333).iter().map(|slot| slot.at).collect();
    assert_eq!(seen, (0..1_000).rev().map(|minute| at(minute * 60)).collect::<Vec<_>>());
    let prefix = crate::projection::keys::ledger(&name);
    let chunks = rows.0.keys().filter(|key| key.starts_with(&prefix)).count();
    assert!(chunks <= 25, "{chunks} rows");
}

#[test]
fn what_is_forgotten_goes_also_where_a_clock_that_was_ahead_had_later_slots_decided_first() {
    let name = schedule("fnac/sales");
    let mut history = History::default();
    // More than one row of them.
    for minute in 0..200 {
        history.slot(&name, at(100_000 + minute * 60));
    }
    history.pass(&name, (Verdict::Missed, Reason::Down), (at(0), 3, 60));
    let gone = history.slot(&name, at(300));
    history.slot(&name, at(360));
    let before = SlotRange { from: None, to: Some(at(100_000)) };
    assert_eq!(all(&history.rows(), before, 100).len(), 5);
    let rows = history.rows();
    assert_eq!(ledger::forgettable(&rows, &name, at(300)), Ok(vec![401]));
    let executions = std::iter::once(gone).collect();
    assert_eq!(ledger::started_for(&rows, &name, &executions), Ok(vec![402]));
    let forgotten = Forgotten {
        schedule: name.clone(),
        executions: vec![gone],
        lines: Vec::new(),
        slots_until: Some(at(300)),
        decided_until: Some(at(300)),
    };
    let step = PruneStep::Forgotten(vec![forgotten]);
    history.record(StreamId::Daemon, HistoryPruned { pass: 1, step });
    let left: Vec<_> = all(&history.rows(), before, 100).iter().map(|slot| slot.at).collect();
    assert_eq!(left, [at(360)]);
    let later = SlotRange { from: Some(at(100_000)), to: None };
    assert_eq!(all(&history.rows(), later, 100).len(), 200);
}
