//! The engine on a virtual clock and a log in memory. Nothing here knows tokio-cron-scheduler: slots need none of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::board::Board;
use super::commit::Committer;
use super::handle::Handle;
use super::ports::{BoxFuture, Courier, Definitions, Files, Performer, Reporter, Unfinished, Work};
use super::state::State;
use super::{Engine, Identity, Parts};
use crate::app::checks;
use crate::clock::{Clock, VirtualClock};
use crate::config::{self, load_text};
use crate::domain::definition::Interface;
use crate::domain::effect::Effect;
use crate::domain::event::{AttemptEnded, Change, ErrorCounts, Event, Outcome};
use crate::domain::execution::{Command, Conclusion};
use crate::ids::{InterfaceId, Position};
use crate::instant::Instant;
use crate::store::EventLog;
use crate::store::memory::MemoryLog;

/// Ends every execution well, so long after its start.
struct Takes(Duration, Arc<VirtualClock>);

fn conclusion(outcome: Outcome) -> Conclusion {
    Conclusion {
        outcome,
        class: None,
        cause: None,
        exit_code: Some(0),
        lines: 0,
        errors: ErrorCounts::default(),
        first_error: None,
        log_hash: [0; 32],
    }
}

impl Performer for Takes {
    fn perform(&self, _work: Work, reporter: Reporter) -> BoxFuture<()> {
        let (clock, end) = (Arc::clone(&self.1), self.1.now() + self.0);
        Box::pin(async move {
            clock.sleep_until(end).await;
            let ended = AttemptEnded {
                attempt: 1,
                exit_code: Some(0),
                signal: None,
                usage: None,
                outcome: Outcome::Ok,
                cause: None,
            };
            reporter
                .tell(vec![Command::EndAttempt(ended), Command::Close(conclusion(Outcome::Ok))]);
        })
    }

    fn conclude(&self, _work: Work, _why: Unfinished) -> BoxFuture<Conclusion> {
        Box::pin(async { conclusion(Outcome::Ko) })
    }
}

struct Nobody;

impl Courier for Nobody {
    fn deliver(&self, _effect: Effect) {}
}

struct Text(String);

impl Definitions for Text {
    fn load(&self) -> Files {
        let id: InterfaceId = "shop".parse().expect("a name");
        let (interface, problems) = load_text(&id, "shop.toml", &self.0, checks());
        let interface = interface.unwrap_or_else(|| panic!("{problems:?}"));
        Files { accepted: [(id, interface)].into(), ..Files::default() }
    }

    fn changes(&self, old: Option<&Interface>, new: Option<&Interface>) -> Vec<Change> {
        config::diff(old, new)
    }
}

/// Runs the engine on `text` from `from` for `time`, every execution taking `takes`; gives all events.
async fn events_of(
    text: &str,
    from: &str,
    takes: Duration,
    time: Duration,
) -> Vec<(Instant, Event)> {
    let clock = Arc::new(VirtualClock::new(Instant::parse(from).expect("an instant")));
    let log = Arc::new(MemoryLog::new());
    let shared: Arc<dyn EventLog> = Arc::clone(&log) as _;
    let performer: Arc<dyn Performer> = Arc::new(Takes(takes, Arc::clone(&clock)));
    let courier: Arc<dyn Courier> = Arc::new(Nobody);
    let board = Arc::new(Board::default());
    let (news, heard) = mpsc::unbounded_channel();
    let (commits, committed) = mpsc::unbounded_channel();
    let (failed, _failure) = watch::channel(None);
    let committer = Committer {
        performer: Arc::clone(&performer),
        courier: Arc::clone(&courier),
        board: Arc::clone(&board),
        failed,
    };
    tokio::spawn(committer.run(committed, Position(0)));
    let definitions = Arc::new(Text(text.to_owned()));
    let files = definitions.load();
    let counter = Mutex::new(0u8);
    let parts = Parts {
        log: Arc::clone(&shared),
        clock: Arc::clone(&clock) as _,
        performer,
        courier,
        definitions,
        board: Arc::clone(&board),
        observers: Vec::new(),
        entropy: Box::new(move || {
            let mut counter = counter.lock().expect("no panic");
            *counter += 1;
            [*counter; 10]
        }),
        max_concurrent: 16,
        identity: Identity {
            version: "test".to_owned(),
            boot_id: "one".to_owned(),
            zone_data: "test".to_owned(),
        },
    };
    let (_handle, requests) = Handle::new(board, 16);
    let mut engine = Engine::new(parts, State::default(), commits, news);
    engine.start(files).await;
    let running = tokio::spawn(engine.run(requests, heard));
    let end = clock.now() + time;
    while clock.now() < end {
        clock.sleep_until(end).await;
    }
    running.abort();
    let events = shared.read(Position(0), 100_000).expect("readable");
    events.into_iter().map(|envelope| (envelope.at, envelope.event)).collect()
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
