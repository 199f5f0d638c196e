//! What a killed daemon left running, and takes its time to end.

use tokio::sync::Notify;

use super::turns::lives;
use super::*;
use crate::engine::testing::{Lingers, Working};
use crate::ids::ExecutionId;
use crate::store::memory::MemoryLog;

/// `sales` at every full hour, and `books` and `stock` ten minutes and half an hour later.
fn shop(sales: &str) -> String {
    let schedule = |name: &str, minute: &str, more: &str| {
        format!("[schedules.{name}]\ncron = \"{minute} * * * *\"\ncommand = [\"true\"]\n{more}\n")
    };
    let lock = "lock = \"ledger\"";
    schedule("sales", "0", &format!("{lock}\n{sales}"))
        + &schedule("books", "10", lock)
        + &schedule("stock", "30", "")
}

/// The log of a daemon that was killed while the slot of one o'clock ran, and that execution.
async fn killed(text: &str) -> (MemoryLog, ExecutionId) {
    let given = Given::new(text, "2026-11-22T00:40:00Z", MINUTE);
    let first = Given { performer: Arc::new(Stuck), ..given }.start().await;
    first.pass(21 * MINUTE).await;
    let slot = Instant::parse("2026-11-22T01:00:00Z").expect("an instant");
    (first.killed(), ExecutionId::for_slot(&sales(), slot))
}

/// The next daemon, five minutes after one; what is left of the execution is gone when the other says so.
async fn next(log: MemoryLog, text: &str) -> (Working, Arc<Notify>) {
    let given = Given::new(text, "2026-11-22T01:05:00Z", MINUTE);
    let gone = Arc::new(Notify::new());
    let performer = Lingers { others: Arc::clone(&given.performer), gone: Arc::clone(&gone) };
    let second = Given { log, performer: Arc::new(performer), ..given }.start().await;
    (second, gone)
}

const INTERRUPTED: [&str; 2] = ["opened", "attempt-started"];
const ENDED: [&str; 2] = ["attempt-ended", "closed"];

#[tokio::test(start_paused = true)]
async fn slots_of_others_run_while_what_a_killed_daemon_left_is_being_ended() {
    let text = shop("overlap = \"skip\"");
    let (log, left) = killed(&text).await;
    let (second, gone) = next(log, &text).await;
    second.pass(90 * MINUTE).await;
    assert_eq!(second.story(left), INTERRUPTED, "it is not over before its processes are gone");
    assert_eq!(
        lives(&second),
        [
            "sales cron 01:00 open",
            "books cron - open",
            "stock cron 01:30 ok",
            "stock cron 02:30 ok"
        ],
        "its schedule's slot of two o'clock is skipped, and its lock is held"
    );
    let (_, passed) = slots(&second.events());
    assert_eq!(
        passed,
        [
            "overlap 2026-11-22T02:00:00.000Z to 2026-11-22T02:00:00.000Z",
            "overlap 2026-11-22T02:10:00.000Z to 2026-11-22T02:10:00.000Z"
        ]
    );

    gone.notify_one();
    second.pass(30 * MINUTE).await;
    assert_eq!(second.story(left), [INTERRUPTED, ENDED].concat());
    assert_eq!(
        lives(&second),
        [
            "sales cron 01:00 ko",
            "books cron 02:35 ok",
            "stock cron 01:30 ok",
            "stock cron 02:30 ok",
            "sales cron 03:00 ok"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_to_run_again_does_so_when_the_interrupted_run_is_gone_and_not_before() {
    let text = shop("on_interrupt = \"rerun\"\noverlap = \"queue-all\"");
    let (log, left) = killed(&text).await;
    let (second, gone) = next(log, &text).await;
    second.pass(20 * MINUTE).await;
    let reruns = |working: &Working| {
        let opened = working.opened().into_iter();
        opened.filter_map(|(_, opened)| opened.rerun_of).collect::<Vec<_>>()
    };
    assert_eq!(reruns(&second), []);
    gone.notify_one();
    second.pass(15 * MINUTE).await;
    assert_eq!(reruns(&second), [left]);
    assert_eq!(
        lives(&second),
        [
            "sales cron 01:00 ko",
            "books cron 01:26 ok",
            "sales rerun 01:25 ok",
            "stock cron 01:30 ok"
        ]
    );
    let closed = second.all().into_iter().find(|it| it.event.name() == "closed").expect("it is");
    let rerun = second
        .all()
        .into_iter()
        .rfind(|it| matches!(&it.event, Event::Opened(opened) if opened.rerun_of.is_some()));
    assert_eq!(rerun.expect("it is").at, closed.at, "in one append");
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_run_whose_end_is_asked_for_meanwhile_does_not_run_again() {
    let text = shop("on_interrupt = \"rerun\"");
    let (log, left) = killed(&text).await;
    let (second, gone) = next(log, &text).await;
    second.handle.cancel(Actor::Daybook, left, None).await.expect("it is open");
    gone.notify_one();
    second.pass(MINUTE).await;
    assert_eq!(second.story(left), [&INTERRUPTED[..], &["cancel-requested"], &ENDED].concat());
    assert_eq!(second.opened().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_is_killed_meanwhile_leaves_it_to_the_next_one() {
    let text = shop("");
    let (log, left) = killed(&text).await;
    let (second, _gone) = next(log, &text).await;
    second.settle().await;
    let (third, gone) = next(second.killed(), &text).await;
    assert_eq!(third.story(left), INTERRUPTED);
    gone.notify_one();
    third.pass(MINUTE).await;
    assert_eq!(third.story(left), [INTERRUPTED, ENDED].concat());
    let interrupted: Vec<u64> = third
        .events()
        .into_iter()
        .filter_map(|(_, event)| match event {
            Event::DaemonStarted(started) => Some(started.interrupted),
            _ => None,
        })
        .collect();
    assert_eq!(interrupted, [0, 1, 1]);
}
