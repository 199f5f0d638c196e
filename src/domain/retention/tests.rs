use super::*;

const DAY_MS: u64 = 86_400_000;

fn now() -> Instant {
    Instant::from_secs(1_800_000_000)
}

fn days_ago(days: u64) -> Instant {
    before(now(), days * DAY_MS)
}

fn limits() -> Retention {
    Retention { ok_ms: Some(90 * DAY_MS), ko_ms: Some(400 * DAY_MS), ..Retention::default() }
}

/// The execution of a slot `days` ago, which ended at once.
fn ended(schedule: &str, days: u64, outcome: Outcome) -> Summary {
    let (schedule, slot): (ScheduleRef, _) = (schedule.parse().expect("valid"), days_ago(days));
    let id = ExecutionId::for_slot(&schedule, slot);
    Summary {
        id,
        root: id,
        chained: false,
        schedule,
        slot: Some(slot),
        ended: Some((outcome, slot)),
        acknowledged: false,
        open_ko: outcome == Outcome::Ko,
        backfilled: false,
        lines_bytes: 10,
    }
}

fn ok(days: u64) -> Summary {
    ended("fnac/sales", days, Outcome::Ok)
}

fn ko(days: u64) -> Summary {
    ended("fnac/sales", days, Outcome::Ko)
}

/// Judges `executions`, which come newest first; the fates in the same order.
fn fates(limits: Retention, executions: &[Summary]) -> Vec<Fate> {
    let mut judge = Judge::new(limits, now());
    let mut fates = HashMap::new();
    for execution in executions {
        for judged in judge.see(execution.clone()) {
            fates.insert(judged.execution.id, judged.fate);
        }
    }
    executions.iter().map(|execution| fates[&execution.id]).collect()
}

const AGED: Fate = Fate::Goes(Limit::Age);
const COUNTED: Fate = Fate::Goes(Limit::Count);

#[test]
fn each_outcome_goes_by_its_own_age() {
    let executions = [ok(1), ok(89), ok(91), ko(92), ko(399), ko(401), ok(500)];
    let fates = fates(limits(), &executions);
    assert_eq!(fates[0..2], [Fate::Stays; 2]);
    assert_eq!(fates[2..], [AGED, Fate::Stays, Fate::Stays, AGED, AGED]);
}

#[test]
fn the_newest_finished_and_the_newest_ok_of_each_schedule_stay_however_old() {
    let other = |days, outcome| ended("fnac/stock", days, outcome);
    let executions = [
        ko(450),
        ok(460),
        ok(470),
        other(480, Outcome::Cancelled),
        other(490, Outcome::Ko),
        other(500, Outcome::Ok),
        other(510, Outcome::Ok),
    ];
    let stays = Fate::Stays;
    assert_eq!(fates(limits(), &executions), [stays, stays, AGED, stays, stays, stays, AGED]);
}

#[test]
fn what_runs_or_waits_stays() {
    let mut running = ok(500);
    running.ended = None;
    assert_eq!(fates(limits(), &[ok(1), running])[1], Fate::Stays);
}

#[test]
fn a_count_takes_the_oldest_but_no_ko_that_nobody_acknowledged() {
    let counted = Retention { count: Some(3), ..Retention::default() };
    let mut seen = ko(8);
    seen.acknowledged = true;
    let executions = [ok(3), ok(4), ok(5), ok(6), ko(7), seen, ok(9)];
    let stays = Fate::Stays;
    assert_eq!(
        fates(counted, &executions),
        [stays, stays, stays, COUNTED, stays, COUNTED, COUNTED]
    );
}

#[test]
fn what_ended_within_two_days_stays_whatever_the_count() {
    let counted = Retention { count: Some(1), ..Retention::default() };
    assert_eq!(fates(counted, &[ok(0), ok(1), ok(3), ok(4)])[1], Fate::Stays);
}

#[test]
fn a_chain_goes_as_a_whole_or_not_at_all() {
    let rerun = |days, root: &Summary| {
        let id = ExecutionId::random(days_ago(days), [7; 10]);
        let mut rerun = Summary { id, root: root.id, chained: true, slot: root.slot, ..ok(days) };
        rerun.lines_bytes = 0;
        rerun
    };
    let mut failed = ko(380);
    (failed.chained, failed.open_ko, failed.lines_bytes) = (true, false, 0);
    let fates_of = |failed: Summary| {
        let solved = rerun(379, &failed);
        fates(limits(), &[ok(1), ok(10), solved, failed])[2..].to_vec()
    };
    // The KO has not reached its limit, so the re-run that mended it stays too.
    assert_eq!(fates_of(failed.clone()), [Fate::Stays; 2]);
    failed.ended = Some((Outcome::Ko, days_ago(401)));
    assert_eq!(fates_of(failed), [AGED; 2]);
}

#[test]
fn lines_go_by_themselves_but_not_those_of_an_open_ko() {
    let lines = Retention { lines_ms: Some(30 * DAY_MS), ..limits() };
    let mut mended = ko(50);
    mended.open_ko = false;
    let executions = [ok(1), ok(31), ko(40), mended, ok(91)];
    let gone = Fate::LinesGo(Limit::Age);
    assert_eq!(fates(lines, &executions), [Fate::Stays, gone, Fate::Stays, gone, AGED]);
    let bytes = Retention { bytes: Some(20), ..Retention::default() };
    let fates = fates(bytes, &[ok(1), ok(2), ok(3), ko(4), ok(5)]);
    assert_eq!(fates[1..3], [Fate::Stays, Fate::LinesGo(Limit::Bytes)]);
    assert_eq!(fates[3..], [Fate::Stays, Fate::LinesGo(Limit::Bytes)]);
}

#[test]
fn slots_that_started_nothing_go_by_the_age_of_ok_but_not_from_under_a_backfill() {
    let schedule = ok(1).schedule;
    let mut judge = Judge::new(limits(), now());
    assert_eq!(judge.slots_until(&schedule), Some(days_ago(90)));
    let mut backfilled = ko(120);
    backfilled.backfilled = true;
    judge.see(ok(1));
    judge.see(backfilled);
    assert_eq!(judge.slots_until(&schedule), Some(before(days_ago(120), 1)));
    assert_eq!(Judge::new(Retention::default(), now()).slots_until(&schedule), None);
}

#[test]
fn what_is_forgotten_is_divided_without_loss() {
    let ids = |count: u8| (0..count).map(|n| ExecutionId::random(now(), [n; 10])).collect();
    let of = |schedule: &str, executions: u8, lines: u8| Forgotten {
        schedule: schedule.parse().expect("valid"),
        executions: ids(executions),
        lines: ids(lines),
        slots_until: Some(now()),
        decided_until: None,
    };
    let parts = divide(vec![of("a/a", 7, 3), of("a/b", 0, 0), of("a/c", 2, 0)], 4);
    let sizes: Vec<Vec<(usize, usize)>> = parts
        .iter()
        .map(|part| part.iter().map(|it| (it.executions.len(), it.lines.len())).collect())
        .collect();
    assert_eq!(sizes, [vec![(4, 0)], vec![(3, 1)], vec![(0, 2), (0, 0), (1, 0)], vec![(1, 0)]]);
    let executions: Vec<_> = parts.iter().flatten().flat_map(|it| it.executions.clone()).collect();
    assert_eq!(executions.len(), 9);
    assert!(parts.iter().flatten().all(|it| it.slots_until == Some(now())));
}
