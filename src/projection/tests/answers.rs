//! Solved, superseded, acknowledged, red: by hand, and against a plain computation over random histories.

use std::collections::HashSet;

use proptest::prelude::*;

use super::history::{History, at, histories, schedule};
use crate::domain::event::{CancelRequested, Event, Noted, Outcome, Trigger};
use crate::ids::{ExecutionId, ScheduleRef, StreamId};
use crate::instant::Instant;
use crate::projection::query::{self, ExecutionFilter};
use crate::projection::resolve::{self, ResolveError};
use crate::projection::rows::MemoryRows;
use crate::projection::view::{Execution, Status};

fn show(rows: &MemoryRows, id: ExecutionId) -> Execution {
    query::execution(rows, id).expect("rows are sound").expect("it was opened")
}

fn is_red(rows: &MemoryRows, name: &ScheduleRef) -> bool {
    let facts = query::schedule_facts(rows, name).expect("rows are sound");
    let listed = query::red_schedules(rows, None).expect("rows are sound").contains(name);
    assert_eq!(facts.red, listed, "the list of red schedules and {name} itself disagree");
    facts.red
}

/// S3-15.
#[test]
fn a_rerun_that_ends_ok_solves_its_ancestors_and_both_ends_show_the_chain() {
    let name = schedule("fnac/sales");
    let mut history = History::default();
    let first = history.slot(&name, at(0));
    history.run(first, Outcome::Ko);
    let second = history.rerun(first);
    history.run(second, Outcome::Ko);
    assert!(is_red(&history.rows(), &name));
    let before = show(&history.rows(), first);
    let third = history.rerun(second);
    history.run(third, Outcome::Ok);

    let rows = history.rows();
    let (one, two, three) = (show(&rows, first), show(&rows, second), show(&rows, third));
    assert_eq!((one.reruns, one.solved_by), (vec![second, third], Some(third)));
    assert_eq!((two.reruns, two.solved_by), (vec![third], Some(third)));
    assert_eq!((three.rerun_of, three.root, three.slot), (Some(second), first, Some(at(0))));
    assert_eq!((one.status, &one.first_error), (before.status, &before.first_error));
    assert!(!is_red(&rows, &name));
}

#[test]
fn a_rerun_beside_another_does_not_solve_it() {
    let name = schedule("fnac/sales");
    let mut history = History::default();
    let first = history.slot(&name, at(0));
    history.run(first, Outcome::Ko);
    let failed = history.rerun(first);
    history.run(failed, Outcome::Ko);
    let mended = history.rerun(first);
    history.run(mended, Outcome::Ok);
    let rows = history.rows();
    assert_eq!(show(&rows, first).solved_by, Some(mended));
    assert_eq!(show(&rows, failed).solved_by, None);
}

#[test]
fn a_later_slot_that_ends_ok_supersedes_an_earlier_ko_and_an_earlier_one_does_not() {
    let name = schedule("fnac/sales");
    let mut history = History::default();
    let early = history.slot(&name, at(0));
    history.run(early, Outcome::Ok);
    let ko = history.slot(&name, at(7_200));
    history.run(ko, Outcome::Ko);
    assert_eq!(show(&history.rows(), ko).superseded_by, None);
    assert!(is_red(&history.rows(), &name));
    let later_ko = history.slot(&name, at(14_400));
    history.run(later_ko, Outcome::Ko);
    let mended = history.rerun(later_ko);
    history.run(mended, Outcome::Ok);
    let rows = history.rows();
    assert_eq!(show(&rows, ko).superseded_by, Some(mended), "the later slot was ok by its re-run");
    assert_eq!(show(&rows, later_ko).superseded_by, None);
    assert_eq!(show(&rows, later_ko).solved_by, Some(mended));
    assert!(!is_red(&rows, &name));
}

#[test]
fn the_same_slot_of_another_schedule_supersedes_nothing() {
    let (sales, stock) = (schedule("fnac/sales"), schedule("fnac/stock"));
    let mut history = History::default();
    let ko = history.slot(&sales, at(0));
    history.run(ko, Outcome::Ko);
    let ok = history.slot(&stock, at(7_200));
    history.run(ok, Outcome::Ok);
    let rows = history.rows();
    assert_eq!(show(&rows, ko).superseded_by, None);
    assert_eq!(query::red_schedules(&rows, Some(&sales.interface)), Ok(vec![sales]));
}

#[test]
fn what_people_wrote_is_kept_and_a_second_word_erases_no_first_one() {
    let mut history = History::default();
    let fnac = schedule("fnac/sales");
    let ko = history.slot(&fnac, at(0));
    let cancel = CancelRequested { note: Some("wrong day".to_owned()) };
    history.record(StreamId::Execution(ko), cancel);
    history.run(ko, Outcome::Ko);
    let said = |text: Option<&str>, acknowledged| Noted {
        text: text.map(str::to_owned),
        reference: None,
        acknowledged,
    };
    history.note(ko, said(Some("asked them"), false));
    let seen_at = history.now();
    history.note(ko, said(Some("they mend it"), true));
    history.note(ko, said(None, true));
    let shown = show(&history.rows(), ko);
    let texts: Vec<&str> = shown.notes.iter().map(|note| note.text.as_str()).collect();
    assert_eq!(texts, ["asked them", "they mend it"]);
    assert_eq!(shown.notes[0].actor, "local:1000");
    let seen = shown.acknowledged.expect("acknowledged");
    assert_eq!((seen.at, seen.note.as_deref()), (seen_at, Some("they mend it")));
    let cancelled = shown.cancel_requested.expect("somebody asked for its end");
    assert_eq!(
        (cancelled.actor.as_str(), cancelled.note.as_deref()),
        ("local:1000", Some("wrong day"))
    );
}

#[test]
fn an_acknowledged_ko_is_no_longer_red_and_says_who_dealt_with_it() {
    let name = schedule("fnac/sales");
    let mut history = History::default();
    let ko = history.slot(&name, at(0));
    history.run(ko, Outcome::Ko);
    let noted_at = history.now();
    history.acknowledge(ko);
    let rows = history.rows();
    let acknowledged = show(&rows, ko).acknowledged.expect("it was acknowledged");
    assert_eq!((acknowledged.at, acknowledged.actor.as_str()), (noted_at, "local:1000"));
    assert!(!is_red(&rows, &name));
}

#[test]
fn only_the_newest_finished_execution_makes_a_schedule_red() {
    let name = schedule("fnac/sales");
    let mut history = History::default();
    let ko = history.slot(&name, at(0));
    history.run(ko, Outcome::Ko);
    let running = history.slot(&name, at(7_200));
    history.start(running, 1);
    assert!(is_red(&history.rows(), &name), "the newer one is not finished");
    let manual = history.manual(&name, "today");
    history.run(manual, Outcome::Ok);
    assert!(!is_red(&history.rows(), &name), "the newest finished one is ok");
    assert_eq!(show(&history.rows(), ko).superseded_by, None, "a manual run has no slot");
}

#[test]
fn the_last_ok_slot_counts_reruns_and_lies_before_the_one_asked_for() {
    let name = schedule("fnac/sales");
    let mut history = History::default();
    for (slot, outcome) in [(0, Outcome::Ok), (100, Outcome::Ko), (200, Outcome::Ok)] {
        let id = history.slot(&name, at(slot));
        history.run(id, outcome);
    }
    let last_ok = |history: &History, before| {
        let rows = history.rows();
        crate::projection::ok_slots::last_before(&rows, &name, at(before))
            .expect("rows are sound")
            .map(|ok| ok.slot)
    };
    assert_eq!(last_ok(&history, 200), Some(at(0)));
    assert_eq!(last_ok(&history, 0), None);
    let mended = history.rerun(ExecutionId::for_slot(&name, at(100)));
    history.run(mended, Outcome::Ok);
    assert_eq!(last_ok(&history, 200), Some(at(100)));
    assert_eq!(last_ok(&history, 201), Some(at(200)));
}

#[test]
fn an_execution_is_found_by_its_id_by_a_beginning_of_it_and_as_the_latest() {
    let name = schedule("fnac/sales");
    let mut history = History::default();
    let ko = history.slot(&name, at(0));
    history.run(ko, Outcome::Ko);
    let ok = history.slot(&name, at(7_200));
    history.run(ok, Outcome::Ok);
    // Its nominal instant lies before all others; the position of its opening does not.
    let backfill = history.backfill(&name, at(-7_200));
    let rows = history.rows();
    let text = ko.to_string();
    let beginning: String = text.chars().take(16).collect();
    for given in [text.clone(), beginning, text.replace('-', ""), text.to_uppercase()] {
        assert_eq!(resolve::resolve(&rows, &given), Ok(ko), "{given}");
    }
    assert_eq!(resolve::resolve(&rows, "latest"), Ok(backfill));
    assert_eq!(resolve::resolve(&rows, "latest-ko"), Ok(ko));
    let common = resolve::resolve(&rows, "01");
    let Err(ResolveError::Ambiguous { candidates, .. }) = common else {
        panic!("three ids begin with 01: {common:?}");
    };
    assert_eq!(candidates, [backfill, ko, ok]);
    for nothing in ["", "x", "ff", "01-9", "latest-ok"] {
        let answer = resolve::resolve(&rows, nothing);
        assert!(matches!(answer, Err(ResolveError::NotFound { .. })), "{nothing}: {answer:?}");
    }
}

/// S3-3.
#[test]
fn an_event_of_an_execution_that_nobody_opened_is_counted_and_makes_no_execution() {
    let mut history = History::default();
    history.start(ExecutionId::for_slot(&schedule("fnac/sales"), at(0)), 1);
    let (rows, checkpoint) = history.fold(64);
    assert_eq!(checkpoint.orphans, 1);
    let all = query::executions(&rows, &ExecutionFilter::default(), 100, None);
    assert_eq!(all.expect("rows are sound").items, []);
}

/// What a reader with all the time in the world would say.
struct Plain {
    id: ExecutionId,
    name: ScheduleRef,
    slot: Instant,
    has_slot: bool,
    parent: Option<ExecutionId>,
    status: Status,
    closed: usize,
    acknowledged: bool,
}

fn plainly(history: &History) -> Vec<Plain> {
    let mut all: Vec<Plain> = Vec::new();
    for (place, event) in history.events.iter().enumerate() {
        let StreamId::Execution(id) = event.stream else {
            continue;
        };
        if let Event::Opened(opened) = &event.event {
            all.push(Plain {
                id,
                name: opened.schedule.clone(),
                slot: opened.slot.unwrap_or(event.at),
                has_slot: opened.slot.is_some(),
                parent: opened.rerun_of,
                status: Status::Queued,
                closed: 0,
                acknowledged: false,
            });
        }
        let one = all.iter_mut().find(|one| one.id == id).expect("it was opened");
        match &event.event {
            Event::AttemptStarted(_) => one.status = Status::Running,
            Event::Closed(closed) => {
                one.status = closed.outcome.into();
                one.closed = place;
            }
            Event::Noted(noted) => one.acknowledged |= noted.acknowledged,
            _ => (),
        }
    }
    all
}

impl Plain {
    fn descendants<'a>(&self, all: &'a [Plain]) -> Vec<&'a Plain> {
        let mut known = HashSet::from([self.id]);
        all.iter()
            .filter(|one| {
                one.parent.is_some_and(|parent| known.contains(&parent)) && known.insert(one.id)
            })
            .collect()
    }

    fn solved_by(&self, all: &[Plain]) -> Option<ExecutionId> {
        let ok = |one: &&Plain| one.status == Status::Ok && self.status == Status::Ko;
        self.descendants(all).into_iter().filter(ok).min_by_key(|one| one.closed).map(|one| one.id)
    }

    fn superseded_by(&self, all: &[Plain]) -> Option<ExecutionId> {
        all.iter()
            .filter(|one| self.status == Status::Ko && one.status == Status::Ok && one.has_slot)
            .filter(|one| one.name == self.name && one.slot > self.slot)
            .min_by_key(|one| (one.slot, one.closed))
            .map(|one| one.id)
    }

    fn is_open_ko(&self, all: &[Plain]) -> bool {
        self.status == Status::Ko
            && !self.acknowledged
            && self.solved_by(all).is_none()
            && self.superseded_by(all).is_none()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// S3-3, S3-15.
    #[test]
    fn every_execution_of_any_history_is_shown_as_a_plain_reader_would(
        history in histories(300),
    ) {
        let (rows, checkpoint) = history.fold(64);
        prop_assert_eq!(checkpoint.orphans, 0);
        let all = plainly(&history);
        for one in &all {
            let shown = show(&rows, one.id);
            let name = ScheduleRef { interface: shown.interface.clone(), schedule: shown.schedule.clone() };
            prop_assert_eq!(&name, &one.name);
            prop_assert_eq!(shown.status, one.status);
            let descendants: Vec<_> = one.descendants(&all).iter().map(|one| one.id).collect();
            prop_assert_eq!(shown.reruns, descendants);
            prop_assert_eq!(shown.solved_by, one.solved_by(&all));
            prop_assert_eq!(shown.superseded_by, one.superseded_by(&all));
            prop_assert_eq!(shown.rerun_of, one.parent);
            prop_assert_eq!(shown.trigger == Trigger::Rerun, one.parent.is_some());
        }
        let names: HashSet<_> = all.iter().map(|one| one.name.clone()).collect();
        for name in names {
            let newest = all.iter().rfind(|one| one.name == name && one.status.is_final());
            prop_assert_eq!(is_red(&rows, &name), newest.is_some_and(|one| one.is_open_ko(&all)));
        }
    }
}
