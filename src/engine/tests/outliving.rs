//! Executions that outlive the daemon.

use super::turns::lives;
use super::*;
use crate::clock::Clock;
use crate::engine::ports::Performer;
use crate::engine::testing::{Runner, Working};
use crate::ids::ExecutionId;

/// `sales` at every full hour, and `books` ten minutes later, which shares a lock with it.
fn shop(sales: &str) -> String {
    let schedule = |name: &str, minute: &str, more: &str| {
        format!(
            "[schedules.{name}]\ncron = \"{minute} * * * *\"\ncommand = [\"true\"]\nlock = \"ledger\"\n{more}\n"
        )
    };
    schedule("sales", "0", sales) + &schedule("books", "10", "overlap = \"queue-all\"")
}

const TWENTY_TO_ONE: &str = "2026-11-22T00:40:00Z";

fn sales_at(instant: &str) -> ExecutionId {
    ExecutionId::for_slot(&sales(), Instant::parse(instant).expect("an instant"))
}

/// A daemon and its runner, a minute after the slot of one o'clock began.
async fn first(text: &str, takes: Duration) -> (Working, Runner, ExecutionId) {
    let given = Given::new(text, TWENTY_TO_ONE, MINUTE);
    let runner = Runner::new(takes, &given.clock);
    let working = Given { performer: Arc::new(runner.clone()), ..given }.start().await;
    working.pass(21 * MINUTE).await;
    (working, runner, sales_at("2026-11-22T01:00:00Z"))
}

/// The daemon that follows on one that is killed, after `down`.
async fn next(
    text: &str,
    before: Working,
    down: Duration,
    performer: impl Performer + 'static,
) -> Working {
    let clock = Arc::clone(&before.clock);
    let log = before.killed();
    let end = clock.now() + down;
    clock.sleep_until(end).await;
    let given = Given::new(text, TWENTY_TO_ONE, MINUTE);
    Given { log, clock, performer: Arc::new(performer), ..given }.start().await
}

/// How many were interrupted and how many were taken over, at each start.
fn starts(working: &Working) -> Vec<(u64, u64)> {
    let started = |(_, event)| match event {
        Event::DaemonStarted(started) => Some((started.interrupted, started.taken_over)),
        _ => None,
    };
    working.events().into_iter().filter_map(started).collect()
}

#[tokio::test(start_paused = true)]
async fn what_its_runner_has_goes_on_under_the_next_daemon_with_all_that_it_holds() {
    let text = shop("overlap = \"skip\"");
    let (working, runner, id) = first(&text, 150 * MINUTE).await;
    let second = next(&text, working, Duration::ZERO, runner).await;
    second.pass(3 * HOUR).await;
    assert_eq!(starts(&second), [(0, 0), (0, 1)]);
    let story = ["opened", "attempt-started", "anomaly-seen", "attempt-ended", "closed"];
    assert_eq!(second.story(id), story);
    assert_eq!(
        lives(&second)[..2],
        ["sales cron 01:00 ok", "books cron 03:30 open"],
        "the lock goes on to the next one at its end"
    );
    let (_, passed) = slots(&second.events());
    let skipped = |hour: u32| {
        let slot = format!("2026-11-22T0{hour}:00:00.000Z");
        format!("overlap {slot} to {slot}")
    };
    assert_eq!(passed, [skipped(2), skipped(3)]);
}

#[tokio::test(start_paused = true)]
async fn an_anomaly_is_told_at_the_hour_whichever_daemon_started_it_and_at_once_when_that_has_passed()
 {
    for (down, told) in [(30, "02:00"), (90, "02:31")] {
        let text = shop("");
        let (working, runner, _) = first(&text, 5 * HOUR).await;
        let second = next(&text, working, down * MINUTE, runner).await;
        second.pass(HOUR).await;
        let seen = named(&second.events(), "anomaly-seen");
        let seen: Vec<_> = seen.into_iter().map(super::turns::clock_time).collect();
        assert_eq!(seen, [told], "down for {down} minutes");
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_asked_for_before_the_restart_is_passed_on_by_the_next_daemon() {
    let text = shop("");
    let given = Given::new(&text, TWENTY_TO_ONE, MINUTE);
    let working = Given { performer: Arc::new(Stuck), ..given }.start().await;
    working.pass(21 * MINUTE).await;
    let id = sales_at("2026-11-22T01:00:00Z");
    working.handle.cancel(Actor::Daybook, id, None).await.expect("it is open");
    let runner = Runner::new(5 * HOUR, &working.clock);
    runner.hold(id, 1);
    let second = next(&text, working, Duration::ZERO, runner).await;
    second.pass(MINUTE).await;
    let story = ["opened", "attempt-started", "cancel-requested", "attempt-ended", "closed"];
    assert_eq!(second.story(id), story);
    assert_eq!(lives(&second), ["sales cron 01:00 cancelled"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_to_end_after_the_restart_hears_of_it() {
    let text = shop("");
    let (working, runner, id) = first(&text, 5 * HOUR).await;
    let second = next(&text, working, Duration::ZERO, runner).await;
    second.handle.cancel(Actor::Daybook, id, None).await.expect("it is open");
    second.pass(MINUTE).await;
    assert_eq!(lives(&second), ["sales cron 01:00 cancelled"]);
}

#[tokio::test(start_paused = true)]
async fn what_ended_while_no_daemon_was_there_is_told_by_the_next_one() {
    let text = shop("");
    let (working, runner, id) = first(&text, 10 * MINUTE).await;
    let second = next(&text, working, 50 * MINUTE, runner).await;
    second.pass(MINUTE).await;
    assert_eq!(second.story(id), ["opened", "attempt-started", "attempt-ended", "closed"]);
    assert_eq!(starts(&second), [(0, 0), (0, 1)]);
}

#[tokio::test(start_paused = true)]
async fn what_ended_while_no_daemon_was_there_is_not_in_the_way_of_the_slots_since() {
    let text = shop("");
    // A changed file decides what its former definition is due.
    for text_since in [text.clone(), shop("anomaly_after = \"2h\"")] {
        let (working, runner, _) = first(&text, 10 * MINUTE).await;
        let second = next(&text_since, working, 150 * MINUTE, runner).await;
        second.pass(MINUTE).await;
        let (_, passed) = slots(&second.events());
        let passed: Vec<_> = passed.iter().filter(|row| row.contains(":00:00.000Z")).collect();
        let coalesced = "coalesced 2026-11-22T02:00:00.000Z to 2026-11-22T02:00:00.000Z";
        assert_eq!(passed, [coalesced]);
        let lives = lives(&second);
        assert!(lives.iter().any(|life| life.starts_with("sales catch-up 03:")), "{lives:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_goes_on_with_is_let_go_of() {
    let text = shop("");
    let (working, runner, running) = first(&text, 90 * MINUTE).await;
    let unknown = sales_at("2026-11-22T23:00:00Z");
    runner.hold(unknown, 1);
    runner.hold(running, 2);
    let second = next(&text, working, Duration::ZERO, runner.clone()).await;
    second.pass(MINUTE).await;
    let mut expected = [(unknown, 1), (running, 2)];
    expected.sort_unstable();
    let mut let_go = runner.let_go_of();
    let_go.sort_unstable();
    assert_eq!(let_go, expected, "one of which the log knows nothing, and another attempt");
    assert_eq!(starts(&second), [(0, 0), (1, 0)]);
    assert_eq!(second.story(running), ["opened", "attempt-started", "attempt-ended", "closed"]);
}

/// A log that was put back to a backup.
#[tokio::test(start_paused = true)]
async fn an_execution_does_not_start_again_beside_an_attempt_of_its_own() {
    let text =
        "[schedules.sales]\ncron = \"0 * * * *\"\ncommand = [\"true\"]\noverlap = \"queue-all\"\n";
    let (working, runner, _) = first(text, 90 * MINUTE).await;
    working.pass(HOUR).await;
    let waiting = sales_at("2026-11-22T02:00:00Z");
    assert_eq!(working.story(waiting), ["opened"]);
    runner.hold(waiting, 1);
    runner.linger(true);
    let clock = Arc::clone(&working.clock);
    let performer = runner.clone();
    let starting = tokio::spawn(next(text, working, Duration::ZERO, performer));
    let end = clock.now() + HOUR;
    clock.sleep_until(end).await;
    assert!(!starting.is_finished(), "its processes still run");
    runner.linger(false);
    let second = starting.await.expect("no panic");
    second.pass(MINUTE).await;
    assert_eq!(second.story(waiting), ["opened", "attempt-started"]);
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_dies_gives_place_and_lock_back_in_the_same_append_and_is_followed_by_one_re_run()
 {
    let text = shop("on_interrupt = \"rerun\"\noverlap = \"queue-all\"");
    let (working, runner, id) = first(&text, 5 * HOUR).await;
    working.pass(15 * MINUTE).await;
    runner.dies();
    working.pass(5 * MINUTE).await;
    // It runs nothing any more: whatever it is given is over at once.
    assert_eq!(
        lives(&working),
        ["sales cron 01:00 ko", "books cron 01:16 ko", "sales rerun 01:16 ko"],
        "the lock goes on, and a re-run is not run again"
    );
    let all = working.all();
    let position = |name: &str, of: &StreamId| {
        let found = all.iter().find(|it| it.event.name() == name && it.stream == *of);
        found.map(|it| (it.at, it.position.0)).expect("it is there")
    };
    let closed = position("closed", &StreamId::Execution(id));
    let opened = working.opened();
    let (rerun, of) = opened.iter().find(|(_, it)| it.rerun_of.is_some()).expect("it is there");
    assert_eq!(of.rerun_of, Some(id));
    // The re-run asks for the same place and the same lock.
    let (again, goes_on) = (position("opened", rerun), position("attempt-started", rerun));
    // Nothing else is recorded in between: these are parts of one append.
    assert_eq!((again, goes_on), ((closed.0, closed.1 + 1), (closed.0, closed.1 + 2)));
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_run_whose_end_was_asked_for_does_not_run_again_while_the_daemon_lives() {
    let text = shop("on_interrupt = \"rerun\"");
    let given = Given::new(&text, TWENTY_TO_ONE, MINUTE);
    let working = Given { performer: Arc::new(Stuck), ..given }.start().await;
    working.pass(21 * MINUTE).await;
    let id = sales_at("2026-11-22T01:00:00Z");
    working.handle.cancel(Actor::Daybook, id, None).await.expect("it is open");
    // The end is told as the daemon's, not as what was asked for.
    let runner = Runner::new(HOUR, &working.clock);
    runner.hold(id, 1);
    runner.dies();
    runner.hold(id, 1);
    let second = next(&text, working, Duration::ZERO, runner).await;
    second.pass(MINUTE).await;
    assert_eq!(
        (second.opened().len(), lives(&second)),
        (1, vec!["sales cron 01:00 ko".to_owned()])
    );
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_what_was_taken_over_come_to_its_end_and_starts_nothing_behind_it() {
    let text = shop("");
    let (working, runner, _) = first(&text, 90 * MINUTE).await;
    let second = next(&text, working, Duration::ZERO, runner).await;
    second.handle.drain(Actor::Daybook, None).await.expect("recorded");
    second.pass(2 * HOUR).await;
    let lives = lives(&second);
    assert_eq!(lives[..2], ["sales cron 01:00 ok", "books cron - open"], "the lock is free");
    assert!(lives[2..].iter().all(|life| life.ends_with(" - open")), "{lives:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_leaves_what_was_taken_over_to_the_daemon_after_it() {
    let text = shop("");
    let (working, runner, id) = first(&text, 5 * HOUR).await;
    let second = next(&text, working, Duration::ZERO, runner.clone()).await;
    let deadline = second.clock.now() + MINUTE;
    assert!(go_on(&second.news, move |engine| {
        engine.stop("SIGTERM", deadline);
        engine.record_stop("SIGTERM");
    }));
    second.settle().await;
    let stopped = second.events().into_iter().find_map(|(_, event)| match event {
        Event::DaemonStopped(stopped) => Some(stopped.running),
        _ => None,
    });
    assert_eq!(stopped, Some(1));
    let third = next(&text, second, 10 * MINUTE, runner).await;
    third.pass(5 * HOUR).await;
    assert_eq!(starts(&third), [(0, 0), (0, 1), (0, 1)]);
    let story = ["opened", "attempt-started", "anomaly-seen", "attempt-ended", "closed"];
    assert_eq!(third.story(id), story);
}

#[tokio::test(start_paused = true)]
async fn a_follower_hears_of_the_end_of_what_was_taken_over() {
    let bill = "[schedules.bill]\nafter = { schedule = \"shop/sales\" }\ncommand = [\"true\"]\n";
    for cancelled in [false, true] {
        let text = shop("") + bill;
        let (working, runner, id) = first(&text, 30 * MINUTE).await;
        let second = next(&text, working, Duration::ZERO, runner).await;
        if cancelled {
            second.handle.cancel(Actor::Daybook, id, None).await.expect("it is open");
        }
        second.pass(35 * MINUTE).await;
        let lives = lives(&second);
        let bills: Vec<_> = lives.iter().filter(|life| life.starts_with("bill")).collect();
        let expected: &[&str] = if cancelled { &[] } else { &["bill after 01:30 open"] };
        assert_eq!(bills, expected, "cancelled: {cancelled}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_attempt_follows_one_that_was_taken_over_also_under_the_daemon_after_that() {
    let story = [
        "opened",
        "attempt-started",
        "attempt-ended",
        "retry-planned",
        "attempt-started",
        "attempt-ended",
        "closed",
    ];
    for killed in [false, true] {
        let text = shop("");
        let (working, runner, id) = first(&text, 10 * MINUTE).await;
        runner.fail_first(20 * MINUTE);
        let mut daemon = next(&text, working, Duration::ZERO, runner.clone()).await;
        daemon.pass(14 * MINUTE).await;
        assert_eq!(daemon.story(id), story[..4]);
        if killed {
            daemon = next(&text, daemon, MINUTE, runner).await;
            assert_eq!(starts(&daemon), [(0, 0), (0, 1), (0, 0)], "no attempt runs");
        }
        daemon.pass(30 * MINUTE).await;
        assert_eq!(daemon.story(id), story, "killed: {killed}");
        let started = named(&daemon.events(), "attempt-started");
        assert_eq!(super::turns::clock_time(started[1]), "01:30", "killed: {killed}");
    }
}
