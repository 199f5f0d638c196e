//! A daemon that is to end.

use super::turns::lives;
use super::*;
use crate::clock::Clock;
use crate::engine::board::Draining;
use crate::engine::testing::{Runner, Working};

const HOURLY: &str =
    "[schedules.sales]\ncron = \"0 * * * *\"\noverlap = \"queue-all\"\ncommand = [\"true\"]\n";

/// The wishes for an end, with who had them.
fn drains(working: &Working) -> Vec<(Actor, String, Option<Instant>)> {
    let asked = |envelope: Envelope| match envelope.event {
        Event::DrainAsked(asked) => Some((envelope.actor, asked.by, asked.deadline)),
        _ => None,
    };
    working.all().into_iter().filter_map(asked).collect()
}

async fn at_half_past() -> Working {
    Given::new(HOURLY, "2026-11-22T00:30:00Z", MINUTE).start().await
}

#[tokio::test(start_paused = true)]
async fn while_it_drains_slots_are_decided_and_wait_for_the_next_start() {
    let working = at_half_past().await;
    working.handle.drain(Actor::Daybook, None).await.expect("recorded");
    working.pass(100 * MINUTE).await;
    assert_eq!(lives(&working), ["sales cron - open", "sales cron - open"]);
    let given = Given::new(HOURLY, "2026-11-22T02:10:00Z", MINUTE);
    let second = Given { log: working.killed(), ..given }.start().await;
    second.pass(10 * MINUTE).await;
    assert_eq!(lives(&second), ["sales cron 02:10 ok", "sales cron 02:11 ok"]);
    assert_eq!(second.handle.status().health.draining, None);
}

#[tokio::test(start_paused = true)]
async fn what_runs_when_a_drain_begins_comes_to_its_end() {
    let given = Given::new(HOURLY, "2026-11-22T00:30:00Z", 90 * MINUTE);
    let working = given.start().await;
    working.pass(31 * MINUTE).await;
    working.handle.drain(Actor::Daybook, None).await.expect("recorded");
    working.pass(2 * HOUR).await;
    assert_eq!(lives(&working)[..2], ["sales cron 01:00 ok", "sales cron - open"]);
}

#[tokio::test(start_paused = true)]
async fn while_it_drains_nobody_starts_anything_and_is_told_why() {
    let working = at_half_past().await;
    let until = Instant::parse("2026-11-22T01:30:00Z").ok();
    working.handle.drain(Actor::Daybook, until).await.expect("recorded");
    let refused = working.run().await.expect_err("it drains");
    assert_eq!(
        refused.to_string(),
        "the daemon is draining: it starts nothing, and ends when nothing runs, at 2026-11-22T01:30:00.000Z at the latest; ask again when it is back"
    );
    assert_eq!(working.opened(), []);
}

#[tokio::test(start_paused = true)]
async fn a_second_wish_changes_the_deadline_that_it_names_and_nothing_else() {
    let working = at_half_past().await;
    let [two, three] = ["2026-11-22T02:00:00Z", "2026-11-22T03:00:00Z"]
        .map(|text| Instant::parse(text).expect("an instant"));
    let since = working.clock.now();
    let ask = async |actor, deadline| {
        let done = working.handle.drain(actor, deadline).await.expect("recorded");
        assert_eq!(working.handle.status().health.draining, Some(done.value));
        done.value
    };
    assert_eq!(ask(Actor::Local(7), None).await, Draining { since, deadline: None });
    working.pass(MINUTE).await;
    assert_eq!(ask(Actor::Local(8), Some(three)).await, Draining { since, deadline: Some(three) });
    for again in [Some(three), None] {
        assert_eq!(ask(Actor::Local(9), again).await.deadline, Some(three));
    }
    assert_eq!(ask(Actor::Local(9), Some(two)).await.deadline, Some(two));
    let drain = |actor, deadline| (Actor::Local(actor), "drain".to_owned(), deadline);
    assert_eq!(drains(&working), [drain(7, None), drain(8, Some(three)), drain(9, Some(two))]);
}

#[tokio::test(start_paused = true)]
async fn a_signal_leaves_slots_to_the_next_start_and_waits_no_longer_than_was_asked_before() {
    let working = at_half_past().await;
    let two = Instant::parse("2026-11-22T02:00:00Z").expect("an instant");
    working.handle.drain(Actor::Daybook, Some(two)).await.expect("recorded");
    let later = two + HOUR;
    assert!(go_on(&working.news, move |engine| engine.stop("SIGTERM", later)));
    working.settle().await;
    let draining = working.handle.status().health.draining;
    assert_eq!(draining.and_then(|draining| draining.deadline), Some(two));
    working.pass(HOUR).await;
    assert_eq!(slots(&working.events()), (Vec::new(), Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_stop_says_how_many_run_on() {
    let given = Given::new(HOURLY, "2026-11-22T00:30:00Z", MINUTE);
    let runner = Runner::new(5 * HOUR, &given.clock);
    let working = Given { performer: Arc::new(runner), ..given }.start().await;
    working.pass(100 * MINUTE).await;
    assert!(go_on(&working.news, |engine| engine.record_stop("SIGTERM")));
    working.settle().await;
    let stopped = working.events().into_iter().find_map(|(_, event)| match event {
        Event::DaemonStopped(stopped) => Some((stopped.reason, stopped.running)),
        _ => None,
    });
    assert_eq!(stopped, Some(("SIGTERM".to_owned(), 1)), "the one of two o'clock waits");
}
