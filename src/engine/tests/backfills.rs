//! Slots of the past that a person wants run.

use super::*;
use crate::domain::definition::Rate;
use crate::domain::event::{Opened, Trigger};
use crate::engine::backfill::{Backfill, Backfilled, Candidate};
use crate::engine::testing::{Working, sales};

fn at(text: &str) -> Instant {
    Instant::parse(text).expect("an instant")
}

fn hour(hour: u32) -> Instant {
    at(&format!("2026-11-22T{hour:02}:00:00Z"))
}

/// Hourly slots that a pause skipped from 01:00 to 04:00; it is half past four.
async fn paused_for_hours(more: &str) -> Working {
    let text = format!("[schedules.sales]\ncron = \"0 * * * *\"\ncommand = [\"true\"]\n{more}\n");
    let working = Given::new(&text, "2026-11-22T00:30:00Z", 10 * MINUTE).start().await;
    let target = Target::Schedule(sales());
    let pause = Pause { target: target.clone(), note: None, until: None };
    working.handle.pause(Actor::Daybook, pause).await.expect("paused");
    working.pass(4 * HOUR).await;
    working.handle.resume(Actor::Daybook, target).await.expect("resumed");
    working
}

fn backfill(slots: impl IntoIterator<Item = Instant>) -> Backfill {
    let slots = slots.into_iter().map(|slot| Candidate { slot, ..Candidate::default() }).collect();
    let (from, to) = (hour(1), hour(5));
    Backfill { schedule: sales(), from, to, slots, rate: None, dry_run: false }
}

async fn ask(working: &Working, backfill: Backfill) -> Vec<Backfilled> {
    working.handle.backfill(Actor::Daybook, backfill).await.expect("an answer").value
}

fn lefts(answer: &[Backfilled]) -> Vec<&str> {
    answer.iter().map(|it| it.left.as_deref().unwrap_or("runs")).collect()
}

/// The slot, trigger and start of each execution, in the order of openings.
fn runs(working: &Working) -> Vec<String> {
    let all = working.all();
    let short = |at: Instant| at.to_string().chars().skip(11).take(5).collect::<String>();
    let run = |(stream, opened): (StreamId, Opened)| {
        let started = |envelope: &&Envelope| {
            envelope.stream == stream && envelope.event.name() == "attempt-started"
        };
        let started =
            all.iter().find(started).map_or_else(|| "-".to_owned(), |event| short(event.at));
        let slot = opened.slot.map_or_else(|| "-".to_owned(), short);
        format!("{slot} {} {started}", opened.trigger.as_str())
    };
    working.opened().into_iter().map(run).collect()
}

#[tokio::test(start_paused = true)]
async fn slots_run_one_after_another_under_their_own_ids_and_only_once() {
    let working = paused_for_hours("").await;
    let first = ask(&working, backfill([hour(1), hour(2)])).await;
    assert_eq!(lefts(&first), ["runs", "runs"]);
    assert_eq!(first[0].execution, Some(ExecutionId::for_slot(&sales(), hour(1))));
    let again = ask(&working, backfill([hour(1), hour(2), hour(3)])).await;
    assert!(again[0].left.as_ref().is_some_and(|why| why.contains("not over yet")), "{again:?}");
    assert_eq!(lefts(&again)[2], "runs");
    working.pass(25 * MINUTE).await;
    working.settle().await;
    let later = ask(&working, backfill([hour(1)])).await;
    assert!(later[0].left.as_ref().is_some_and(|why| why.contains("ran for it")), "{later:?}");
    assert_eq!(
        runs(&working),
        ["01:00 backfill 04:30", "02:00 backfill 04:40", "03:00 backfill 04:50"]
    );
    let asked = named(&working.events(), "backfill-asked").len();
    assert_eq!(asked, 2, "an answer of nothing is no event");
    let started = named(&working.events(), "slot-started").len();
    assert_eq!(started, 0, "the slots keep their outcome");
}

#[tokio::test(start_paused = true)]
async fn two_that_ask_at_the_same_time_open_each_slot_once() {
    let working = paused_for_hours("").await;
    let (one, two) = tokio::join!(
        ask(&working, backfill([hour(1), hour(2)])),
        ask(&working, backfill([hour(2), hour(3)]))
    );
    let opened = one.iter().chain(&two).filter(|it| it.execution.is_some()).count();
    assert_eq!((opened, working.opened().len()), (3, 3), "{one:?} {two:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_says_the_same_and_records_nothing() {
    let working = paused_for_hours("").await;
    let before = working.all().len();
    let answer = ask(&working, Backfill { dry_run: true, ..backfill([hour(1), hour(9)]) }).await;
    assert_eq!(lefts(&answer), ["runs", "it is not decided yet"]);
    assert_eq!(answer[0].execution, Some(ExecutionId::for_slot(&sales(), hour(1))));
    assert_eq!(working.all().len(), before);
}

#[tokio::test(start_paused = true)]
async fn its_pace_outlives_the_daemon_and_live_slots_obey_overlap_meanwhile() {
    let working = paused_for_hours("").await;
    let rate = Some(Rate { count: 2, per_ms: 3_600_000 });
    ask(&working, Backfill { rate, ..backfill([hour(1), hour(2), hour(3)]) }).await;
    working.settle().await;
    assert_eq!(runs(&working)[..2], ["01:00 backfill 04:30", "02:00 backfill -"]);
    working.pass(45 * MINUTE).await;
    working.settle().await;
    assert_eq!(
        runs(&working),
        ["01:00 backfill 04:30", "02:00 backfill 05:00", "03:00 backfill -"],
        "the live slot of 05:00 met open executions"
    );
    let log = working.killed();
    let text = "[schedules.sales]\ncron = \"0 * * * *\"\ncommand = [\"true\"]\n";
    let second = Given { log, ..Given::new(text, "2026-11-22T05:16:00Z", MINUTE) }.start().await;
    second.settle().await;
    assert_eq!(runs(&second)[2], "03:00 backfill 05:16", "the pace begins anew with the daemon");
}

#[tokio::test(start_paused = true)]
async fn a_ko_runs_again_as_part_of_the_series() {
    let working = paused_for_hours("").await;
    let failed = ask(&working, backfill([hour(1)])).await[0].execution.expect("opened");
    working.pass(HOUR).await;
    working.settle().await;
    let slots = vec![Candidate { slot: hour(1), failed: Some(failed), ..Candidate::default() }];
    let answer = ask(&working, Backfill { slots, ..backfill([]) }).await;
    let again = answer[0].execution.expect("opened");
    let opened = working.opened();
    let (_, opened) = opened
        .iter()
        .find(|(stream, _)| *stream == StreamId::Execution(again))
        .expect("it is in the log");
    assert_eq!((opened.trigger, opened.rerun_of), (Trigger::Backfill, Some(failed)));
    assert_eq!(opened.idempotency_key, failed.to_string());
}

#[tokio::test(start_paused = true)]
async fn what_the_state_has_forgotten_is_taken_from_the_ledger() {
    let working = paused_for_hours("").await;
    let last_ok = Some(at("2026-11-21T23:00:00Z"));
    let slots = vec![Candidate { slot: hour(2), last_ok, ..Candidate::default() }];
    ask(&working, Backfill { slots, ..backfill([]) }).await;
    let (_, opened) = working.opened().pop().expect("opened");
    assert_eq!((opened.last_ok_slot, opened.previous_slot), (last_ok, Some(hour(1))));
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_backfill_runs_again_although_others_of_it_wait() {
    let working = paused_for_hours("on_interrupt = \"rerun\"").await;
    ask(&working, backfill([hour(1), hour(2)])).await;
    working.settle().await;
    let log = working.killed();
    let text =
        "[schedules.sales]\ncron = \"0 * * * *\"\ncommand = [\"true\"]\non_interrupt = \"rerun\"\n";
    let second = Given { log, ..Given::new(text, "2026-11-22T04:31:00Z", MINUTE) }.start().await;
    second.settle().await;
    let reruns = second.opened().iter().filter(|(_, it)| it.trigger == Trigger::Rerun).count();
    assert_eq!(reruns, 1, "{:?}", runs(&second));
}

#[tokio::test(start_paused = true)]
async fn slots_of_a_time_down_are_caught_up_beside_a_backfill_that_waits() {
    let working = paused_for_hours("").await;
    let rate = Some(Rate { count: 1, per_ms: 36_000_000 });
    ask(&working, Backfill { rate, ..backfill([hour(1), hour(2)]) }).await;
    working.pass(15 * MINUTE).await;
    working.settle().await;
    let log = working.killed();
    let text = "[schedules.sales]\ncron = \"0 * * * *\"\ncommand = [\"true\"]\n";
    // The newest slot of the time down is on time.
    let second = Given { log, ..Given::new(text, "2026-11-22T08:00:10Z", MINUTE) }.start().await;
    second.settle().await;
    let (started, passed) = slots(&second.events());
    assert_eq!(started, ["2026-11-22T08:00:00.000Z"]);
    assert!(passed.last().is_some_and(|run| run.starts_with("coalesced")), "{passed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_is_not_there_is_refused() {
    let working = paused_for_hours("").await;
    let schedule = "shop/nothing".parse().expect("a name");
    let refused = working.handle.backfill(Actor::Daybook, Backfill { schedule, ..backfill([]) });
    let what = "schedule `shop/nothing`".to_owned();
    assert_eq!(refused.await, Err(Refusal::NotFound { what }));
}
