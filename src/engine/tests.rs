//! The engine on a virtual clock and a log in memory. Nothing here knows tokio-cron-scheduler: slots need none of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::handle::{Pause, Refusal, Target};
use super::ports::{Definitions, FileProblem, Files, News, go_on};
use super::testing::{Broken, Given, Kept, Plans, Readings, Stuck, Text, sales};
use crate::domain::effect::EffectKind;
use crate::domain::event::{
    Actor, Delivery, DeliveryEnded, Envelope, Event, Noted, RequestAnswered,
};
use crate::ids::{EventId, ExecutionId, StreamId};
use crate::instant::Instant;
use crate::projection::view;
use crate::store::{ColdHead, ColdHeads, EventLog};

mod backfills;
mod closed;
mod disk;
mod draining;
mod freshness;
mod outliving;
mod settling;
mod turns;
mod zones;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Runs the engine on `text` from `from` for `time`, every execution taking `takes`; gives all events.
async fn events_of(
    text: &str,
    from: &str,
    takes: Duration,
    time: Duration,
) -> Vec<(Instant, Event)> {
    let working = Given::new(text, from, takes).start().await;
    working.pass(time).await;
    working.events()
}

/// The instants of the slots that were started, and what became of the others.
fn slots(events: &[(Instant, Event)]) -> (Vec<String>, Vec<String>) {
    let (mut started, mut passed) = (Vec::new(), Vec::new());
    for (_, event) in events {
        match event {
            Event::SlotStarted(slot) => started.push(slot.slot.to_string()),
            Event::SlotsPassed(run) => {
                let (first, last) = (run.first, run.last);
                passed.push(format!("{} {first} to {last}", run.reason.as_str()));
            }
            _ => (),
        }
    }
    (started, passed)
}

fn named(events: &[(Instant, Event)], name: &str) -> Vec<Instant> {
    events.iter().filter(|(_, event)| event.name() == name).map(|(at, _)| *at).collect()
}

const EVERY_TWO_HOURS: &str = "[schedules.sales]\ncron = \"0 */2 * * *\"\ncommand = [\"true\"]\n";

/// S3-13: every two hours, a day long, one execution for each.
#[tokio::test(start_paused = true)]
async fn a_day_of_two_hourly_slots_has_twelve_executions() {
    let day = Duration::from_secs(24 * 3600);
    let events =
        events_of(EVERY_TWO_HOURS, "2026-11-22T00:30:00Z", Duration::from_secs(60), day).await;
    let opened = named(&events, "opened");
    assert_eq!(opened.len(), 12, "{opened:?}");
    assert_eq!(opened[0].to_string(), "2026-11-22T02:00:00.000Z");
    assert_eq!(named(&events, "slot-started").len(), 12);
    assert_eq!(named(&events, "closed").len(), 12);
}

/// S3-17: longer than an hour is an anomaly, at the hour, once, while it goes on.
#[tokio::test(start_paused = true)]
async fn an_execution_of_61_minutes_is_an_anomaly_at_the_hour() {
    let time = Duration::from_secs(4 * 3600 - 1800);
    let events =
        events_of(EVERY_TWO_HOURS, "2026-11-22T00:30:00Z", Duration::from_secs(61 * 60), time)
            .await;
    let seen = named(&events, "anomaly-seen");
    assert_eq!(seen.len(), 1, "{events:?}");
    assert_eq!(seen[0].to_string(), "2026-11-22T03:00:00.000Z");
    assert_eq!(named(&events, "closed")[0].to_string(), "2026-11-22T03:01:00.000Z");
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_skipped_while_the_one_before_still_runs() {
    let time = Duration::from_secs(4 * 3600);
    let events =
        events_of(EVERY_TWO_HOURS, "2026-11-22T00:30:00Z", Duration::from_secs(3 * 3600), time)
            .await;
    assert_eq!(named(&events, "opened").len(), 1);
    let passed = events.iter().find_map(|(_, event)| match event {
        Event::SlotsPassed(passed) => Some((passed.reason.as_str(), passed.count)),
        _ => None,
    });
    assert_eq!(passed, Some(("overlap", 1)));
}

/// Part 2 of the event model: an event names the opening that it belongs to, and what led to it.
#[tokio::test(start_paused = true)]
async fn an_executions_events_name_its_opening_and_the_opening_names_its_slot() {
    let given = Given::new(EVERY_TWO_HOURS, "2026-11-22T00:30:00Z", MINUTE);
    let working = given.start().await;
    working.pass(2 * HOUR).await;
    let all = working.all();
    let of = |name: &str| {
        all.iter().find(|envelope| envelope.event.name() == name).expect("it is there")
    };
    let (slot, opened) = (of("slot-started"), of("opened"));
    assert_eq!(opened.causation, Some(slot.id));
    for name in ["slot-started", "opened", "attempt-started", "attempt-ended", "closed"] {
        assert_eq!(of(name).correlation, Some(opened.id), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_slots_that_are_decided_together_each_names_its_own_opening() {
    let text = EVERY_TWO_HOURS.replace("0 */2 * * *", "0 * * * *");
    let first = Given::new(&text, "2026-11-22T00:30:00Z", MINUTE).start().await;
    first.settle().await;
    let log = first.killed();
    let given = Given::new(&text, "2026-11-22T03:00:30Z", MINUTE);
    let second = Given { log, ..given }.start().await;
    second.settle().await;
    let all = second.all();
    let of = |name: &str| {
        all.iter().filter(|envelope| envelope.event.name() == name).collect::<Vec<_>>()
    };
    assert_eq!(of("slots-passed").len(), 1);
    assert_eq!(of("slots-passed")[0].correlation, None);
    let (slots, opened) = (of("slot-started"), of("opened"));
    assert_eq!((slots.len(), opened.len()), (1, 1));
    assert_eq!(slots[0].correlation, Some(opened[0].id));
    assert_eq!(opened[0].causation, Some(slots[0].id));
}

/// A mistake of ours costs one execution: the next one of the same interface finds its place free.
#[tokio::test(start_paused = true)]
async fn an_execution_whose_performer_panics_is_closed_and_gives_its_place_back() {
    let text = format!("[limits]\nconcurrent = 1\n{EVERY_TWO_HOURS}");
    let given = Given::new(&text, "2026-11-22T00:30:00Z", MINUTE);
    let working = Given { performer: Arc::new(Broken), ..given }.start().await;
    working.pass(4 * HOUR).await;
    let opened = working.opened();
    assert_eq!(opened.len(), 2, "the second slot runs as well");
    for (stream, _) in opened {
        let StreamId::Execution(id) = stream else { panic!("{stream}") };
        let story = ["opened", "attempt-started", "attempt-ended", "closed"];
        assert_eq!(working.story(id), story);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slots_date_is_that_of_the_run_when_there_is_no_slot() {
    let text = format!("{EVERY_TWO_HOURS}params.day = {{ default = \"{{{{ slot.date }}}}\" }}\n");
    let working = Given::new(&text, "2026-11-21T22:30:00Z", MINUTE).start().await;
    working.run().await.expect("started");
    working.pass(2 * HOUR).await;
    let days: Vec<_> =
        working.opened().iter().map(|(_, opened)| opened.params["day"].clone()).collect();
    assert_eq!(days, ["2026-11-21", "2026-11-22"]);
}

#[tokio::test(start_paused = true)]
async fn of_what_is_due_at_once_the_larger_priority_starts_first() {
    let schedule = |name: &str, priority: u8| {
        format!(
            "[schedules.{name}]\ncron = \"0 * * * *\"\ncommand = [\"true\"]\npriority = {priority}\n"
        )
    };
    let text = format!("[limits]\nconcurrent = 1\n{}{}", schedule("a", 0), schedule("b", 5));
    let working = Given::new(&text, "2026-11-22T00:30:00Z", MINUTE).start().await;
    working.pass(40 * MINUTE).await;
    let name = |stream: &StreamId| {
        let opened = working.opened();
        let found = opened.into_iter().find(|(opened, _)| opened == stream).expect("opened");
        found.1.schedule.schedule.to_string()
    };
    let started = |envelope: &Envelope| {
        (envelope.event.name() == "attempt-started").then(|| name(&envelope.stream))
    };
    let order: Vec<_> = working.all().iter().filter_map(started).collect();
    assert_eq!(order, ["b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_by_hours_runs_no_slot_again() {
    let working = Given::new(EVERY_TWO_HOURS, "2026-11-22T00:30:00Z", MINUTE).start().await;
    working.pass(6 * HOUR).await;
    working.clock.step_back(5 * HOUR);
    working.pass(7 * HOUR).await;
    let (started, passed) = slots(&working.events());
    let expected = [2, 4, 6, 8].map(|hour| format!("2026-11-22T0{hour}:00:00.000Z"));
    assert_eq!(started, expected);
    assert_eq!(passed, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_by_hours_while_the_daemon_was_down_silences_nothing() {
    let first = Given::new(EVERY_TWO_HOURS, "2026-11-22T00:30:00Z", MINUTE).start().await;
    first.pass(6 * HOUR).await;
    let log = first.killed();
    let second = Given { log, ..Given::new(EVERY_TWO_HOURS, "2026-11-21T22:30:00Z", MINUTE) };
    let second = second.start().await;
    second.pass(2 * HOUR).await;
    let (started, _) = slots(&second.events());
    assert_eq!(started.last().map(String::as_str), Some("2026-11-22T00:00:00.000Z"));
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_ended_during_a_suspend_skips_only_the_slots_before_its_end() {
    let working = Given::new(EVERY_TWO_HOURS, "2026-11-22T00:30:00Z", MINUTE).start().await;
    let until = Instant::parse("2026-11-22T03:00:00Z").ok();
    let pause = Pause { target: Target::Schedule(sales()), note: None, until };
    working.handle.pause(Actor::Daybook, pause).await.expect("paused");
    working.clock.step_forward(4 * HOUR);
    working.pass(MINUTE).await;
    let (started, passed) = slots(&working.events());
    assert_eq!(started, ["2026-11-22T04:00:00.000Z"]);
    assert_eq!(passed, ["paused 2026-11-22T02:00:00.000Z to 2026-11-22T02:00:00.000Z"]);
}

const ONE_AT_A_TIME: &str = "[limits]\nconcurrent = 1\n[schedules.sales]\nmanual = true\ncommand = [\"true\"]\noverlap = \"allow\"\non_interrupt = \"rerun\"\n";

#[tokio::test(start_paused = true)]
async fn what_was_cancelled_in_the_queue_does_not_run_after_a_crash() {
    let given = Given::new(ONE_AT_A_TIME, "2026-11-22T00:30:00Z", MINUTE);
    let first = Given { performer: Arc::new(Stuck), ..given }.start().await;
    let running = first.run().await.expect("started");
    let waiting = first.run().await.expect("queued");
    first.handle.cancel(Actor::Daybook, waiting, None).await.expect("recorded");
    let log = first.killed();
    let given = Given::new(ONE_AT_A_TIME, "2026-11-22T00:31:00Z", MINUTE);
    let second = Given { log, ..given }.start().await;
    second.pass(5 * MINUTE).await;
    assert_eq!(second.story(waiting), ["opened", "cancel-requested", "closed"]);
    let reruns: Vec<_> = second.opened().iter().filter_map(|(_, opened)| opened.rerun_of).collect();
    assert_eq!(reruns, [running], "only what was interrupted runs again");
}

/// Nothing ran when the daemon ended, so nothing was interrupted.
#[tokio::test(start_paused = true)]
async fn a_planned_attempt_is_made_at_its_time_by_the_next_daemon() {
    let planned = Instant::parse("2026-11-22T00:40:00Z").expect("an instant");
    let given = Given::new(ONE_AT_A_TIME, "2026-11-22T00:30:00Z", MINUTE);
    let first = Given { performer: Arc::new(Plans(planned)), ..given }.start().await;
    let waiting = first.run().await.expect("started");
    first.pass(MINUTE).await;
    let log = first.killed();
    let given = Given::new(ONE_AT_A_TIME, "2026-11-22T00:32:00Z", MINUTE);
    let second = Given { log, ..given }.start().await;
    let behind = second.run().await.expect("queued");
    second.pass(HOUR).await;
    let story = ["opened", "attempt-started", "attempt-ended", "retry-planned"];
    let further = ["attempt-started", "attempt-ended", "closed"];
    assert_eq!(second.story(waiting), [&story[..], &further[..]].concat());
    let started = named(&second.events(), "attempt-started");
    assert_eq!(started[1], planned);
    assert_eq!(started[2], planned + MINUTE, "it holds its interface's place while it waits");
    assert_eq!(second.story(behind), [&story[..1], &further[..]].concat());
}

#[tokio::test(start_paused = true)]
async fn a_waiting_execution_that_was_cancelled_ends_as_cancelled_after_a_crash() {
    let planned = Instant::parse("2026-11-22T00:40:00Z").expect("an instant");
    let given = Given::new(ONE_AT_A_TIME, "2026-11-22T00:30:00Z", MINUTE);
    let first = Given { performer: Arc::new(Plans(planned)), ..given }.start().await;
    let waiting = first.run().await.expect("started");
    first.pass(MINUTE).await;
    first.handle.cancel(Actor::Daybook, waiting, None).await.expect("recorded");
    let log = first.killed();
    let given = Given::new(ONE_AT_A_TIME, "2026-11-22T00:32:00Z", MINUTE);
    let second = Given { log, ..given }.start().await;
    second.pass(HOUR).await;
    assert_eq!(second.story(waiting).last(), Some(&"closed"));
    let last = second.handle.schedule(&sales()).and_then(|schedule| schedule.last);
    assert_eq!(last.map(|last| last.status), Some(view::Status::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn the_newest_execution_is_shown_also_when_it_was_cancelled() {
    let working = Given::new(ONE_AT_A_TIME, "2026-11-22T00:30:00Z", HOUR).start().await;
    working.run().await.expect("started");
    let waiting = working.run().await.expect("queued");
    working.handle.cancel(Actor::Daybook, waiting, None).await.expect("recorded");
    working.pass(MINUTE).await;
    let last = working.handle.schedule(&sales()).and_then(|schedule| schedule.last);
    let last = last.map(|last| (last.execution, last.status));
    assert_eq!(last, Some((waiting, view::Status::Cancelled)));
}

const WATCHED: &str = "notify = \"https://chat.example/hook\"\n[schedules.sales]\nmanual = true\ncommand = [\"true\"]\nping = \"https://hc.example/x\"\n";

#[tokio::test(start_paused = true)]
async fn a_start_delivers_what_is_owed_once_and_in_order() {
    let given = Given::new(WATCHED, "2026-11-22T00:30:00Z", MINUTE);
    let first = Given { performer: Arc::new(Stuck), ..given }.start().await;
    first.run().await.expect("started");
    let log = first.killed();
    let given = Given { log, ..Given::new(WATCHED, "2026-11-22T00:31:00Z", MINUTE) };
    let courier = Arc::new(Kept(Arc::clone(&given.board), Mutex::default()));
    let second = Given { courier: Arc::clone(&courier) as _, ..given }.start().await;
    second.settle().await;
    let kept = courier.1.lock().expect("no panic").clone();
    let expected = [EffectKind::PingStart, EffectKind::PingFail, EffectKind::NoticeKo];
    assert_eq!(kept, expected.map(|kind| (kind, true)));
}

/// The index: it knows a stream's version, or is being rebuilt.
struct Index(Option<u64>);

impl ColdHeads for Index {
    fn version_of(&self, _stream: &StreamId) -> ColdHead {
        self.0.map_or(ColdHead::Rebuilding, ColdHead::Known)
    }
}

#[tokio::test(start_paused = true)]
async fn what_ended_long_ago_is_written_to_when_the_index_is_back() {
    let working = Given::new(WATCHED, "2026-11-22T00:30:00Z", MINUTE).start().await;
    let id = working.run().await.expect("started");
    working.pass(HOUR).await;
    working.log.forget(*working.log.durable().borrow());
    working.log.attach_cold(Arc::new(Index(None)));
    let stream = StreamId::Execution(id);
    let ended = DeliveryEnded {
        cause: EventId::derive(&stream, 2, Instant::default()),
        kind: "start".to_owned(),
        result: Delivery::Sent,
        tries: 1,
        reason: None,
    };
    let story = working.story(id);
    assert!(working.news.send(News::Delivered { stream, ended }).is_ok());
    let noted = Noted { text: None, reference: None, acknowledged: true };
    let refused = working.handle.note(Actor::Daybook, id, noted).await;
    assert!(matches!(refused, Err(Refusal::Rebuilding { .. })), "{refused:?}");
    working.pass(MINUTE).await;
    assert_eq!((&*working.failed.borrow(), working.story(id)), (&None, story.clone()));
    working.log.attach_cold(Arc::new(Index(Some(story.len() as u64))));
    working.pass(MINUTE).await;
    assert_eq!(working.story(id).last(), Some(&"delivery-ended"));
}

#[tokio::test(start_paused = true)]
async fn problems_in_the_files_are_shown_until_they_are_mended() {
    let good = || Text(EVERY_TWO_HOURS.to_owned()).load();
    let refused = Files {
        refused: ["shop".parse().expect("a name")].into(),
        problems: vec![FileProblem {
            text: "shop.toml:3:1: unknown key `corn`".to_owned(),
            ..FileProblem::default()
        }],
        ..Files::default()
    };
    let definitions = Readings::new([good(), refused, good()]);
    let given = Given::new("", "2026-11-22T00:30:00Z", MINUTE);
    let working = Given { definitions, ..given }.start().await;
    let mut shown = Vec::new();
    for _ in 0..2 {
        working.handle.reload(Actor::Daybook).await.expect("read");
        shown.push(working.handle.status().files.problems.len());
    }
    assert_eq!(shown, [1, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_comes_back_does_not_miss_the_slot_that_it_ran() {
    let once = "[schedules.sales]\nat = \"2026-11-22T01:00\"\ncommand = [\"true\"]\n";
    let file = || Text(once.to_owned()).load();
    let definitions = Readings::new([file(), Files::default(), file()]);
    let given = Given::new("", "2026-11-22T00:30:00Z", MINUTE);
    let working = Given { definitions, ..given }.start().await;
    working.pass(HOUR).await;
    for _ in 0..2 {
        working.handle.reload(Actor::Daybook).await.expect("read");
    }
    let (started, passed) = slots(&working.events());
    assert_eq!((started.len(), passed), (1, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn each_answer_is_remembered_beside_the_others_for_a_day() {
    let working = Given::new(WATCHED, "2026-11-22T00:30:00Z", MINUTE).start().await;
    for (key, wait) in [("one", HOUR), ("two", 23 * HOUR), ("three", MINUTE)] {
        let answer = RequestAnswered {
            key: key.to_owned(),
            fingerprint: String::new(),
            status: 202,
            location: None,
            body: String::new(),
        };
        working.handle.remember_answer(Actor::Daybook, answer).await.expect("recorded");
        working.pass(wait).await;
    }
    let board = working.handle.board();
    let known =
        board.read(|state| ["one", "two", "three"].map(|key| state.answers.contains_key(key)));
    assert_eq!(known, [false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn of_several_the_oldest_runs_again_first_whatever_the_order_asked_for() {
    let working = Given::new(EVERY_TWO_HOURS, "2026-11-22T00:30:00Z", MINUTE).start().await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(working.run().await.expect("nothing is open"));
        working.pass(2 * MINUTE).await;
    }
    let asked = vec![runs[2], runs[0], runs[1]];
    let answer = working.handle.rerun(Actor::Daybook, asked, false).await.expect("looked at");
    let answers: Vec<_> =
        answer.value.iter().map(|rerun| (rerun.of, rerun.answer.is_ok())).collect();
    assert_eq!(answers, [(runs[0], true), (runs[1], false), (runs[2], false)]);
}

#[tokio::test(start_paused = true)]
async fn a_pause_shows_who_why_and_until_when_and_a_second_one_keeps_what_it_does_not_name() {
    let given = Given::new(EVERY_TWO_HOURS, "2026-11-22T00:30:00Z", MINUTE);
    let board = Arc::clone(&given.board);
    let working = given.start().await;
    let until = Instant::parse("2026-11-22T06:00:00Z").expect("an instant");
    let pause =
        |target, note: Option<&str>, until| Pause { target, note: note.map(str::to_owned), until };
    let (schedule, interface) = (Target::Schedule(sales()), Target::Interface(sales().interface));
    let say = async |actor, pause| working.handle.pause(actor, pause).await.expect("paused");
    say(Actor::Local(7), pause(schedule.clone(), Some("maintenance"), None)).await;
    say(Actor::Token("ci".to_owned()), pause(schedule, None, Some(until))).await;
    let shown = working.handle.schedule(&sales()).and_then(|row| row.paused).expect("paused");
    assert_eq!(shown.actor.as_deref(), Some("token:ci"));
    assert_eq!((shown.note.as_deref(), shown.until), (Some("maintenance"), Some(until)));
    let skips = |hour: u32| {
        let at = Instant::parse(&format!("2026-11-22T0{hour}:00:00Z")).expect("an instant");
        board.read(|state| {
            let wishes = state.schedules[&sales()].wishes(&sales().schedule);
            wishes.against(at).map(|why| why.reason().as_str())
        })
    };
    assert_eq!((skips(6), skips(8)), (Some("paused"), None), "it ends with the slot at its end");

    say(Actor::Local(8), pause(interface, Some("for good"), None)).await;
    let shown = working.handle.schedule(&sales()).and_then(|row| row.paused).expect("paused");
    assert_eq!(shown.note.as_deref(), Some("for good"), "the one that lasts longer");
    assert_eq!(skips(8), Some("paused"));

    // A restart folds the log again.
    let again = Given {
        log: working.killed(),
        ..Given::new(EVERY_TWO_HOURS, "2026-11-22T01:00:00Z", MINUTE)
    };
    let working = again.start().await;
    working.settle().await;
    let shown = working.handle.interface(&sales().interface).and_then(|row| row.paused);
    assert_eq!(shown.and_then(|paused| paused.actor).as_deref(), Some("local:8"));
}
