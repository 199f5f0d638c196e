mod closed;

use super::*;

const NOW: Instant = Instant::from_secs(10_000_000);
const HOUR_MS: u64 = 3_600_000;
const DAY: i64 = 86_400;

fn catching_up(mode: CatchUpMode) -> CatchUp {
    CatchUp { mode, window_ms: 24 * HOUR_MS, max: 3, rate: None }
}

/// What is so of a schedule in one row of the table.
#[derive(Clone, Copy)]
struct Case<'a> {
    mode: CatchUpMode,
    situation: Situation<'a>,
}

fn late(seconds: i64) -> Instant {
    Instant::from_millis(NOW.millis() - seconds * 1000)
}

static NOTHING_AGAINST: Wishes<'static> =
    Wishes { disabled: false, paused: None, closings: None, skip_next: None };

const FOR_GOOD: Option<Paused> = Some(Paused { until: None });

fn in_mode<'a>(mode: CatchUpMode) -> Case<'a> {
    const NONE: CatchUp = CatchUp { mode: CatchUpMode::None, window_ms: 0, max: 0, rate: None };
    let situation = Situation {
        wishes: &NOTHING_AGAINST,
        stepped: &[],
        open: None,
        open_live: None,
        overlap: Overlap::Skip,
        catch_up: &NONE,
    };
    Case { mode, situation }
}

impl<'a> Case<'a> {
    fn but(self, change: impl FnOnce(&mut Situation<'a>)) -> Self {
        let mut changed = self;
        change(&mut changed.situation);
        changed
    }
}

fn shown(decision: Decision) -> String {
    match decision {
        Decision::Start { caught_up: false, .. } => "start".to_owned(),
        Decision::Start { caught_up: true, .. } => "catch-up".to_owned(),
        Decision::Pass(run) => {
            format!("{} x {}({})", run.count, run.verdict.as_str(), run.reason.as_str())
        }
    }
}

/// Decides slots that are so many seconds late and shows the answer as words.
fn decided(late_s: &[i64], case: &Case<'_>) -> Vec<String> {
    let catch_up = catching_up(case.mode);
    let situation = Situation { catch_up: &catch_up, ..case.situation };
    let slots = late_s.iter().map(|seconds| late(*seconds));
    decide(slots, NOW, &situation).into_iter().map(shown).collect()
}

fn check(table: &[(&str, &[i64], Case<'_>, &[&str])]) {
    for (name, late_s, case, expected) in table {
        assert_eq!(decided(late_s, case), *expected, "{name}");
    }
}

fn an_execution() -> Option<ExecutionId> {
    Some(ExecutionId::random(NOW, [1; 10]))
}

#[test]
fn late_slots() {
    let (none, last, all) =
        (in_mode(CatchUpMode::None), in_mode(CatchUpMode::Last), in_mode(CatchUpMode::All));
    check(&[
        ("on time", &[0], last, &["start"]),
        ("a minute late is on time", &[60], none, &["start"]),
        ("later, nothing catches up", &[61], none, &["1 x missed(down)"]),
        ("the newest is caught up", &[7200, 3600], last, &["1 x missed(coalesced)", "catch-up"]),
        ("on time, mode last", &[120, 60, 0], last, &["2 x missed(coalesced)", "start"]),
        ("on time, mode none", &[120, 60, 0], none, &["2 x missed(down)", "start"]),
        ("outside the window", &[DAY + 60, DAY + 1], last, &["2 x missed(too-late)"]),
        (
            "partly outside the window",
            &[DAY + 1, DAY, 3600],
            last,
            &["1 x missed(too-late)", "1 x missed(coalesced)", "catch-up"],
        ),
        ("all of them", &[7200, 3600], all, &["catch-up", "catch-up"]),
        ("all, and the newest on time joins", &[7200, 0], all, &["catch-up", "catch-up"]),
        ("all, only one and that on time", &[0], all, &["start"]),
        (
            "all, but at most three, of a day",
            &[DAY + 1, 18000, 14400, 7200, 3600, 60],
            all,
            &["1 x missed(too-late)", "2 x missed(max)", "catch-up", "catch-up", "catch-up"],
        ),
    ]);
}

#[test]
fn slots_that_are_not_wanted() {
    let last = in_mode(CatchUpMode::Last);
    let paused = Wishes { paused: FOR_GOOD, ..Wishes::default() };
    let until = Wishes { paused: Some(Paused { until: Some(late(3600)) }), ..Wishes::default() };
    let disabled = Wishes { disabled: true, ..paused.clone() };
    check(&[
        ("paused", &[7200, 0], last.but(|so| so.wishes = &paused), &["2 x skipped(paused)"]),
        (
            "a pause takes the slot at its end, and none later",
            &[7200, 3600, 0],
            last.but(|so| so.wishes = &until),
            &["2 x skipped(paused)", "start"],
        ),
        (
            "disabled wins over paused",
            &[0],
            last.but(|so| so.wishes = &disabled),
            &["1 x skipped(disabled)"],
        ),
    ]);
}

#[test]
fn slots_that_overlap() {
    let (last, all) = (in_mode(CatchUpMode::Last), in_mode(CatchUpMode::All));
    let open = |so: &mut Situation<'_>| (so.open, so.open_live) = (an_execution(), an_execution());
    let series = |so: &mut Situation<'_>| so.open = an_execution();
    check(&[
        ("one is open", &[0], last.but(open), &["1 x skipped(overlap)"]),
        (
            "one is open when several are due",
            &[7200, 3600, 0],
            last.but(open),
            &["3 x skipped(overlap)"],
        ),
        (
            "one is open when some are due outside the window",
            &[DAY + 1, 3600, 0],
            last.but(open),
            &["1 x missed(too-late)", "2 x skipped(overlap)"],
        ),
        (
            "a caught-up one is open, and a live one is due",
            &[0],
            last.but(series),
            &["1 x skipped(overlap)"],
        ),
        (
            "caught-up ones do not overlap each other",
            &[7200, 3600],
            all.but(series),
            &["catch-up", "catch-up"],
        ),
        (
            "a live one stands in the way of all",
            &[7200, 3600],
            all.but(open),
            &["2 x skipped(overlap)"],
        ),
    ]);
    for overlap in [Overlap::Allow, Overlap::Queue, Overlap::QueueAll, Overlap::CancelRunning] {
        let case = last.but(open).but(|so| so.overlap = overlap);
        assert_eq!(decided(&[0], &case), ["start"], "{overlap:?}");
    }
}

#[test]
fn slots_that_the_clock_stepped_over() {
    let steps = [(late(7300), late(0))];
    let none = in_mode(CatchUpMode::None).but(|so| so.stepped = &steps);
    let last = in_mode(CatchUpMode::Last).but(|so| so.stepped = &steps);
    check(&[
        (
            "one before the step, one in it",
            &[9000, 7200],
            none,
            &["1 x missed(down)", "1 x missed(clock)"],
        ),
        (
            "the newest is still caught up",
            &[7200, 3600],
            last,
            &["1 x missed(coalesced)", "catch-up"],
        ),
    ]);
}

#[test]
fn a_slot_that_was_waited_for_is_never_late() {
    let case = in_mode(CatchUpMode::None);
    let catch_up = catching_up(case.mode);
    let mut situation = Situation { catch_up: &catch_up, ..case.situation };
    assert_eq!(shown(decide_delivered(late(3 * DAY), NOW, &situation)), "start");
    let paused = Wishes { paused: FOR_GOOD, ..Wishes::default() };
    let held = Situation { wishes: &paused, ..situation };
    assert_eq!(shown(decide_delivered(late(3 * DAY), NOW, &held)), "1 x skipped(paused)");
    let soon = Some(Paused { until: Some(NOW + std::time::Duration::from_secs(28)) });
    let paused = Wishes { paused: soon, ..Wishes::default() };
    let held = Situation { wishes: &paused, ..situation };
    let ahead = NOW + std::time::Duration::from_secs(3_600);
    assert_eq!(shown(decide_delivered(ahead, NOW, &held)), "1 x skipped(paused)", "set back");
    assert_eq!(shown(decide_delivered(ahead, ahead, &held)), "start", "the pause is over");
    situation.open = an_execution();
    assert_eq!(shown(decide_delivered(late(0), NOW, &situation)), "1 x skipped(overlap)");
}

#[test]
fn a_long_run_is_one_decision_that_lists_a_thousand_instants() {
    let slots = (0..5_000).map(|n| Instant::from_secs(n * 60));
    let case = in_mode(CatchUpMode::Last);
    let catch_up = catching_up(case.mode);
    let decisions = decide(slots, NOW, &Situation { catch_up: &catch_up, ..case.situation });
    let [Decision::Pass(run)] = decisions.as_slice() else { panic!("{decisions:?}") };
    assert_eq!((run.count, run.instants.len()), (5_000, LISTED_MAX));
    assert_eq!((run.first, run.last), (Instant::from_secs(0), Instant::from_secs(4_999 * 60)));
}

#[test]
fn a_long_coalesced_run_is_one_decision_before_its_start() {
    let slots = (0..2_000).map(|n| late(2_000 - n));
    let case = in_mode(CatchUpMode::Last);
    let catch_up = catching_up(case.mode);
    let decisions = decide(slots, NOW, &Situation { catch_up: &catch_up, ..case.situation });
    let [Decision::Pass(run), Decision::Start { .. }] = decisions.as_slice() else {
        panic!("{decisions:?}")
    };
    assert_eq!((run.count, run.instants.len()), (1_999, LISTED_MAX));
}
