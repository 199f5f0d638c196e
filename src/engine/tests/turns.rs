//! Overlap, locks, catch-up, splay and schedules that follow others, from the file to the events.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use super::*;
use crate::app::checks;
use crate::config::load_text;
use crate::domain::event::{Opened, Trigger};
use crate::engine::core::Timer;
use crate::engine::handle::Order;
use crate::engine::state::State;
use crate::engine::testing::Working;
use crate::ids::{InterfaceId, ScheduleRef};

const HALF_PAST: &str = "2026-11-22T00:30:00Z";

fn hourly(more: &str) -> String {
    format!("[schedules.sales]\ncron = \"0 * * * *\"\ncommand = [\"true\"]\n{more}\n")
}

async fn after_hours(text: &str, takes: Duration, hours: u32) -> Working {
    let working = Given::new(text, HALF_PAST, takes).start().await;
    working.pass(hours * HOUR).await;
    working.settle().await;
    working
}

/// `01:20`.
pub(super) fn clock_time(at: Instant) -> String {
    at.to_string().chars().skip(11).take(5).collect()
}

/// When attempts started and how executions ended, by schedule, in the order of openings.
pub(super) fn lives(working: &Working) -> Vec<String> {
    let all = working.all();
    let life = |(stream, opened): (StreamId, Opened)| {
        let of = |name: &str| {
            let found = all
                .iter()
                .find(|envelope| envelope.stream == stream && envelope.event.name() == name);
            found.map_or_else(|| "-".to_owned(), |envelope| clock_time(envelope.at))
        };
        let ended = all.iter().find_map(|envelope| match &envelope.event {
            Event::Closed(closed) if envelope.stream == stream => Some(closed.outcome.as_str()),
            _ => None,
        });
        let (name, trigger) = (opened.schedule.schedule, opened.trigger.as_str());
        format!("{name} {trigger} {} {}", of("attempt-started"), ended.unwrap_or("open"))
    };
    working.opened().into_iter().map(life).collect()
}

#[tokio::test(start_paused = true)]
async fn under_queue_a_newer_slot_cancels_the_waiting_one() {
    let working = after_hours(&hourly("overlap = \"queue\""), 150 * MINUTE, 4).await;
    assert_eq!(
        lives(&working),
        [
            "sales cron 01:00 ok",
            "sales cron - cancelled",
            "sales cron 03:30 open",
            "sales cron - open"
        ]
    );
    assert_eq!(named(&working.events(), "slot-started").len(), 4, "both slots are started");
}

#[tokio::test(start_paused = true)]
async fn under_queue_all_slots_run_one_after_another() {
    let working = after_hours(&hourly("overlap = \"queue-all\""), 90 * MINUTE, 4).await;
    assert_eq!(
        lives(&working),
        [
            "sales cron 01:00 ok",
            "sales cron 02:30 ok",
            "sales cron 04:00 open",
            "sales cron - open"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn under_cancel_running_the_newer_slot_ends_the_older_one() {
    let text = hourly("overlap = \"cancel-running\"");
    let working = after_hours(&text, 90 * MINUTE, 1).await;
    working.pass(45 * MINUTE).await;
    let opened = working.opened();
    let StreamId::Execution(older) = opened[0].0 else { panic!("{opened:?}") };
    assert_eq!(working.story(older).last(), Some(&"cancel-requested"));
    assert_eq!(lives(&working)[1], "sales cron - open", "it waits until the older one has ended");
    // The performer of this test does not listen, so the older one runs on to its own end.
    working.pass(HOUR).await;
    assert_eq!(lives(&working)[1], "sales cron 02:30 open");
}

#[tokio::test(start_paused = true)]
async fn under_queue_what_a_person_started_is_not_cancelled_for_a_newer_slot() {
    let text = format!(
        "{}[schedules.errors]\ncron = \"0 1 * * *\"\ncommand = [\"true\"]\nlock = \"shop\"\npriority = 9\n",
        hourly("overlap = \"queue\"\nlock = \"shop\"").replace("0 * * * *", "0 2 * * *")
    );
    let working = after_hours(&text, 90 * MINUTE, 1).await;
    working.run().await.expect("it waits for the lock");
    working.pass(45 * MINUTE).await;
    working.settle().await;
    let expected = ["errors cron 01:00 open", "sales manual - open", "sales cron - open"];
    assert_eq!(lives(&working), expected);
}

#[tokio::test(start_paused = true)]
async fn what_was_interrupted_runs_again_beside_those_that_wait_under_queue_all() {
    for (overlap, reruns) in [("queue-all", 1), ("skip", 0)] {
        let text = hourly(&format!("overlap = \"{overlap}\"\non_interrupt = \"rerun\""));
        let first = after_hours(&text, 90 * MINUTE, 1).await;
        let log = first.killed();
        let given = Given::new(&text, "2026-11-22T02:00:30Z", MINUTE);
        let second = Given { log, ..given }.start().await;
        second.settle().await;
        let opened = second.opened();
        assert_eq!(
            opened.iter().filter(|(_, opened)| opened.trigger == Trigger::Rerun).count(),
            reruns,
            "{overlap}: {opened:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn slots_that_a_set_clock_passed_over_are_missed_for_that() {
    let text = hourly("catch_up = { mode = \"none\" }");
    let working = Given::new(&text, HALF_PAST, MINUTE).start().await;
    working.pass(MINUTE).await;
    working.clock.step_forward(3 * HOUR);
    working.pass(MINUTE).await;
    working.settle().await;
    let (_, passed) = slots(&working.events());
    assert_eq!(passed, ["clock 2026-11-22T01:00:00.000Z to 2026-11-22T03:00:00.000Z"]);
}

#[tokio::test(start_paused = true)]
async fn schedules_with_one_lock_do_not_run_together() {
    let text = format!(
        "{}[schedules.errors]\ncron = \"5 * * * *\"\ncommand = [\"true\"]\nlock = \"shop\"\n",
        hourly("lock = \"shop\"")
    );
    let working = after_hours(&text, 20 * MINUTE, 1).await;
    assert_eq!(lives(&working), ["sales cron 01:00 ok", "errors cron 01:20 open"]);
}

#[tokio::test(start_paused = true)]
async fn run_now_against_an_open_execution_is_a_conflict_that_names_it() {
    for overlap in ["skip", "queue", "queue-all", "cancel-running"] {
        let text = hourly(&format!("overlap = \"{overlap}\""));
        let working = after_hours(&text, 2 * HOUR, 1).await;
        let open = working.opened()[0].0.clone();
        let Err(Refusal::Conflict { execution: Some(named), .. }) = working.run().await else {
            panic!("{overlap}")
        };
        assert_eq!(StreamId::Execution(named), open, "{overlap}");
    }
    let working = after_hours(&hourly("overlap = \"allow\""), 2 * HOUR, 1).await;
    assert!(working.run().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn all_missed_slots_up_to_max_run_one_after_another_at_their_pace() {
    let text = hourly("catch_up = { mode = \"all\", max = 3, rate = \"4/h\" }");
    let first = Given::new(&text, HALF_PAST, MINUTE).start().await;
    first.settle().await;
    let log = first.killed();
    let given = Given::new(&text, "2026-11-22T05:30:00Z", MINUTE);
    let second = Given { log, ..given }.start().await;
    second.pass(40 * MINUTE).await;
    second.settle().await;
    let expected =
        ["sales catch-up 05:30 ok", "sales catch-up 05:45 ok", "sales catch-up 06:00 ok"];
    assert_eq!(lives(&second)[..3], expected);
    let (started, passed) = slots(&second.events());
    assert_eq!(passed[0], "max 2026-11-22T01:00:00.000Z to 2026-11-22T02:00:00.000Z");
    assert_eq!(started[..3].concat().matches(":00:00.000Z").count(), 3, "{started:?}");
}

#[tokio::test(start_paused = true)]
async fn splay_delays_the_start_and_leaves_the_slot_where_it_is() {
    let working = after_hours(&hourly("splay = \"20m\""), MINUTE, 1).await;
    let delay = Duration::from_millis(sales().splay_ms(20 * 60 * 1000));
    assert!(delay > Duration::ZERO);
    let events = working.events();
    let slot = Instant::parse("2026-11-22T01:00:00Z").expect("an instant");
    assert_eq!(named(&events, "opened"), [slot]);
    assert_eq!(named(&events, "attempt-started"), [slot + delay]);
}

#[tokio::test(start_paused = true)]
async fn while_it_drains_the_engine_does_not_wake_for_turns_that_it_does_not_give() {
    let working = Given::new(&hourly("splay = \"20m\""), HALF_PAST, MINUTE).start().await;
    working.pass(30 * MINUTE).await;
    working.settle().await;
    let woken = async || {
        let (reply, answer) = oneshot::channel();
        assert!(go_on(&working.news, |engine| {
            let woken = engine.timers.remove(&Timer::Turn);
            assert_eq!(reply.send(woken.is_some()), Ok(()), "nobody waits");
        }));
        answer.await.expect("answered")
    };
    assert!(woken().await, "it sleeps");
    working.handle.drain(Actor::Daybook, None).await.expect("recorded");
    assert!(working.run().await.is_err());
    assert!(!woken().await);
}

fn with_follower(after: &str) -> String {
    let follower = format!("[schedules.bill]\nafter = {{ {after} }}\ncommand = [\"true\"]\n");
    hourly("") + &follower
}

#[tokio::test(start_paused = true)]
async fn a_follower_runs_for_the_same_slot_when_the_followed_one_is_ok() {
    let text = with_follower("schedule = \"shop/sales\"");
    let working = after_hours(&text, 20 * MINUTE, 1).await;
    assert_eq!(lives(&working), ["sales cron 01:00 ok", "bill after 01:20 open"]);
    let opened = working.opened();
    assert_eq!(opened[0].1.slot, opened[1].1.slot);
    assert_eq!(opened[1].1.trigger, Trigger::After);
    assert_eq!(named(&working.events(), "slot-awaited").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_follower_is_skipped_when_its_deadline_passes_also_over_a_restart() {
    let text = with_follower("schedule = \"shop/sales\", outcome = \"ko\", deadline = \"2h\"");
    let first = after_hours(&text, 20 * MINUTE, 1).await;
    let log = first.killed();
    let given = Given::new(&text, "2026-11-22T01:40:00Z", 20 * MINUTE);
    let second = Given { log, ..given }.start().await;
    second.pass(85 * MINUTE).await;
    second.settle().await;
    let (_, passed) = slots(&second.events());
    assert_eq!(passed, ["dependency 2026-11-22T01:00:00.000Z to 2026-11-22T01:00:00.000Z"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_interrupted_does_not_meet_a_deadline_that_passed_while_the_daemon_was_down() {
    for (again, outcomes) in [("01:40", (2, 0)), ("03:30", (1, 1))] {
        let text = with_follower("schedule = \"shop/sales\", outcome = \"ko\", deadline = \"2h\"")
            .replace("0 * * * *", "0 1 * * *");
        let first = after_hours(&text, 90 * MINUTE, 1).await;
        let log = first.killed();
        let given = Given::new(&text, &format!("2026-11-22T{again}:00Z"), MINUTE);
        let second = Given { log, ..given }.start().await;
        second.pass(MINUTE).await;
        second.settle().await;
        let (started, passed) = slots(&second.events());
        assert_eq!((started.len(), passed.len()), outcomes, "{again}: {started:?} {passed:?}");
    }
}

/// At a start nothing of the former process runs any more.
#[tokio::test(start_paused = true)]
async fn a_follower_is_not_skipped_for_what_was_interrupted_with_the_followed_one() {
    let text = with_follower("schedule = \"shop/sales\", outcome = \"any\"")
        .replace("0 * * * *\"", "0 * * * *\"\noverlap = \"allow\"");
    let given = Given::new(&text, HALF_PAST, MINUTE);
    let first = Given { performer: Arc::new(Stuck), ..given }.start().await;
    let follower: ScheduleRef = "shop/bill".parse().expect("a name");
    let order = Order { schedule: follower, params: BTreeMap::new(), force: false };
    // Later than the followed one's slot, so that it is closed after it.
    first.pass(40 * MINUTE).await;
    first.handle.run(Actor::Daybook, order).await.expect("started");
    let log = first.killed();
    let second = Given { log, ..Given::new(&text, "2026-11-22T01:40:00Z", MINUTE) }.start().await;
    second.settle().await;
    assert_eq!(lives(&second)[2..], ["bill after 01:40 open"]);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_ended_while_the_daemon_was_down_skips_no_follower_that_is_decided_later() {
    let text = with_follower("schedule = \"shop/sales\", outcome = \"ko\"");
    let given = Given::new(&text, HALF_PAST, MINUTE);
    let first = Given { performer: Arc::new(Stuck), ..given }.start().await;
    first.pass(40 * MINUTE).await;
    let until = Instant::parse("2026-11-22T01:20:00Z").ok();
    let target = Target::Schedule("shop/bill".parse().expect("a name"));
    let pause = Pause { target, note: None, until };
    first.handle.pause(Actor::Daybook, pause).await.expect("paused");
    let log = first.killed();
    let second = Given { log, ..Given::new(&text, "2026-11-22T01:40:00Z", MINUTE) }.start().await;
    second.settle().await;
    assert_eq!(lives(&second)[1..], ["bill after 01:40 open"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_followed_one_does_not_run_is_skipped_by_its_follower_at_once() {
    let text = with_follower("schedule = \"shop/sales\"");
    let working = after_hours(&text, 90 * MINUTE, 2).await;
    let (_, passed) = slots(&working.events());
    let second = "2026-11-22T02:00:00.000Z";
    assert_eq!(
        passed,
        [format!("overlap {second} to {second}"), format!("dependency {second} to {second}")]
    );
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_was_removed_hears_of_nothing_more() {
    let text = with_follower("schedule = \"shop/sales\"");
    let readings = Readings::new([Text(text).load(), Text(hourly("")).load()]);
    let given = Given::new("", HALF_PAST, 90 * MINUTE);
    let working = Given { definitions: readings, ..given }.start().await;
    working.handle.reload(Actor::Daybook).await.expect("read");
    working.pass(2 * HOUR).await;
    working.settle().await;
    let (started, passed) = slots(&working.events());
    assert_eq!((started.len(), passed.len()), (1, 1), "{started:?} {passed:?}");
    assert_eq!(named(&working.events(), "slot-awaited").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_waits_while_the_clock_is_set_back_by_hours_is_not_silent_either() {
    let text = with_follower("schedule = \"shop/sales\"");
    let working = Given::new(&text, HALF_PAST, 20 * MINUTE).start().await;
    working.pass(40 * MINUTE).await;
    working.clock.step_back(24 * HOUR);
    working.pass(75 * MINUTE).await;
    working.settle().await;
    // The jobs of these tests end when the clock is set.
    let expected = ["sales cron 01:00 ok", "bill after 01:10 ok", "sales cron 02:00 ok"];
    let lives = lives(&working);
    assert_eq!((&lives[..3], lives.len()), (&expected.map(str::to_owned)[..], 4), "{lives:?}");
}

/// The followed one is of another file, which has not changed.
#[tokio::test(start_paused = true)]
async fn a_follower_that_was_removed_while_the_daemon_was_down_has_its_slots_up_to_then() {
    let read = |id: &str, text: &str| {
        let id: InterfaceId = id.parse().expect("a name");
        let (interface, problems) = load_text(&id, "x.toml", text, checks());
        (id, interface.unwrap_or_else(|| panic!("{problems:?}")))
    };
    let own = hourly("").replace("sales", "other");
    let follower = "[schedules.bill]\nafter = { schedule = \"web/sales\" }\ncommand = [\"true\"]\n";
    let web = || read("web", &hourly("catch_up = { mode = \"none\" }"));
    let both = [read("shop", &format!("{own}{follower}")), web()];
    let first = Given {
        definitions: Readings::new([Files { accepted: both.into(), ..Files::default() }]),
        ..Given::new("", HALF_PAST, MINUTE)
    };
    let first = first.start().await;
    first.settle().await;
    let accepted = [read("shop", &own), web()].into();
    let second = Given {
        log: first.killed(),
        definitions: Readings::new([Files { accepted, ..Files::default() }]),
        ..Given::new("", "2026-11-22T02:30:00Z", MINUTE)
    };
    let second = second.start().await;
    second.settle().await;
    let (_, passed) = slots(&second.events());
    let run = "2026-11-22T01:00:00.000Z to 2026-11-22T02:00:00.000Z";
    assert!(passed.contains(&format!("dependency {run}")), "{passed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_follower_is_not_silent_after_the_clock_was_set_back_by_hours() {
    let text = with_follower("schedule = \"shop/sales\"");
    let working = after_hours(&text, MINUTE, 2).await;
    working.clock.step_back(24 * HOUR);
    working.pass(HOUR).await;
    working.settle().await;
    let lives = lives(&working);
    assert_eq!(lives.len(), 6, "{lives:?}");
    assert_eq!(lives[5], "bill after 03:01 ok");
}

/// What is decided with the old definition in the append that brings the new one keeps the old one over a restart.
#[tokio::test(start_paused = true)]
async fn the_fold_of_an_append_with_a_pause_an_opening_and_a_definition_is_the_state() {
    let more = "[schedules.other]\nmanual = true\ncommand = [\"true\"]\n";
    let first = after_hours(&(hourly("") + more), MINUTE, 0).await;
    let until = Instant::parse("2026-11-22T01:20:00Z").ok();
    let pause = Pause { target: Target::Interface(sales().interface), note: None, until };
    first.handle.pause(Actor::Daybook, pause).await.expect("paused");
    let given = Given::new(more, "2026-11-22T02:30:00Z", MINUTE);
    let second = Given { log: first.killed(), ..given }.start().await;
    second.settle().await;
    let (reply, answer) = oneshot::channel();
    assert!(go_on(&second.news, |engine| {
        assert!(reply.send(engine.state().clone()).is_ok(), "nobody waits");
    }));
    let mut folded = State::default();
    second.all().iter().for_each(|envelope| folded.replay(envelope));
    folded.fresh.clear();
    let state = answer.await.expect("answered");
    assert_eq!(state.executions.len(), 1);
    assert_eq!(state, folded);
}
