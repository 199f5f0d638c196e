//! Histories to fold: a log in memory whose events the tests write themselves.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use proptest::prelude::*;
use tokio::sync::watch;

use crate::domain::cause::Cause;
use crate::domain::class::Class;
use crate::domain::event::{
    Actor, AnomalySeen, AttemptEnded, AttemptStarted, Closed, DaemonStarted, Envelope, ErrorCounts,
    ErrorSeen, Event, FirstError, InterfaceRemoved, Noted, Opened, Outcome, SlotStarted,
    SlotsPassed, Trigger,
};
use crate::domain::slot::{Reason, Verdict};
use crate::ids::{EventId, ExecutionId, InterfaceId, Position, ScheduleRef, StreamId};
use crate::instant::Instant;
use crate::projection::fold::{self, Checkpoint};
use crate::projection::rows::{MemoryRows, Overlay};
use crate::store::{Append, AppendError, AppendTicket, EventLog, ReadError};

pub(super) const START: i64 = 1_790_000_000;

pub(super) fn at(secs: i64) -> Instant {
    Instant::from_secs(START + secs)
}

pub(super) fn schedule(name: &str) -> ScheduleRef {
    name.parse().expect("a schedule's name")
}

/// Events as they are recorded, one after another.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    pub(super) events: Vec<Envelope>,
    versions: HashMap<StreamId, u64>,
    opened: HashMap<ExecutionId, Opened>,
    now: i64,
}

impl History {
    pub(super) fn now(&self) -> Instant {
        at(self.now)
    }

    pub(super) fn wait(&mut self, secs: i64) {
        self.now += secs;
    }

    pub(super) fn record(&mut self, stream: StreamId, event: impl Into<Event>) {
        let event = event.into();
        let version = self.versions.entry(stream.clone()).or_default();
        *version += 1;
        let position = Position(self.events.len() as u64 + 1);
        let before = self.events.last().map_or([0; 32], |event| event.hash);
        let mut hash = blake3::Hasher::new();
        hash.update(&before).update(format!("{stream} {version} {event:?}").as_bytes());
        // What the daemon decides by itself, what a program asks for, and what a person does.
        let actor = match &event {
            Event::SlotStarted(_) | Event::SlotsPassed(_) | Event::Closed(_) => Actor::Daybook,
            Event::Opened(_) => Actor::Token("ci".to_owned()),
            _ => Actor::Local(1000),
        };
        self.events.push(Envelope {
            position,
            id: EventId::derive(&stream, *version, at(self.now)),
            version: *version,
            stream,
            at: at(self.now),
            actor,
            correlation: None,
            causation: None,
            hash: *hash.finalize().as_bytes(),
            event,
        });
        self.now += 1;
    }

    pub(super) fn start_daemon(&mut self) {
        self.record(
            StreamId::Daemon,
            DaemonStarted {
                version: "0.1.0".to_owned(),
                boot_id: "boot".to_owned(),
                zone_data: "2026b".to_owned(),
                interrupted: 0,
                taken_over: 0,
            },
        );
    }

    pub(super) fn remove_interface(&mut self, id: &InterfaceId) {
        self.record(StreamId::Interface(id.clone()), InterfaceRemoved {});
    }

    fn open(&mut self, id: ExecutionId, opened: Opened) -> ExecutionId {
        self.opened.insert(id, opened.clone());
        self.record(StreamId::Execution(id), opened);
        id
    }

    fn first(schedule: &ScheduleRef, id: ExecutionId, trigger: Trigger) -> Opened {
        Opened {
            schedule: schedule.clone(),
            slot: None,
            trigger,
            definition_version: 1,
            params: BTreeMap::new(),
            rerun_of: None,
            root: id,
            idempotency_key: id.to_string(),
            previous_slot: None,
            last_ok_slot: None,
            priority: 0,
            forced: false,
        }
    }

    /// A slot that starts: its decision and the opening of its execution.
    pub(super) fn slot(&mut self, schedule: &ScheduleRef, slot: Instant) -> ExecutionId {
        let id = ExecutionId::for_slot(schedule, slot);
        let decision = SlotStarted { slot, execution: id, definition_version: 1, late_ms: 0 };
        self.record(StreamId::Schedule(schedule.clone()), decision);
        let opened = Self::first(schedule, id, Trigger::Cron);
        self.open(id, Opened { slot: Some(slot), ..opened })
    }

    /// A slot of the past that is opened after all.
    pub(super) fn backfill(&mut self, schedule: &ScheduleRef, slot: Instant) -> ExecutionId {
        let id = ExecutionId::for_slot(schedule, slot);
        let opened = Self::first(schedule, id, Trigger::Backfill);
        self.open(id, Opened { slot: Some(slot), ..opened })
    }

    pub(super) fn manual(&mut self, schedule: &ScheduleRef, day: &str) -> ExecutionId {
        let mut entropy = [0; 10];
        entropy[..8].copy_from_slice(&(self.events.len() as u64).to_be_bytes());
        let id = ExecutionId::random(at(self.now), entropy);
        let mut opened = Self::first(schedule, id, Trigger::Manual);
        opened.params.insert("day".to_owned(), day.to_owned());
        self.open(id, opened)
    }

    pub(super) fn rerun(&mut self, of: ExecutionId) -> ExecutionId {
        let mut entropy = [1; 10];
        entropy[..8].copy_from_slice(&(self.events.len() as u64).to_be_bytes());
        let id = ExecutionId::random(at(self.now), entropy);
        let original = self.opened[&of].clone();
        self.open(id, Opened { trigger: Trigger::Rerun, rerun_of: Some(of), ..original })
    }

    pub(super) fn start(&mut self, id: ExecutionId, attempt: u32) {
        self.record(StreamId::Execution(id), AttemptStarted { attempt });
    }

    pub(super) fn error(class: Class, cause: Cause, text: &str) -> FirstError {
        FirstError { line: 3, class, cause, text: text.to_owned() }
    }

    pub(super) fn see_error(&mut self, id: ExecutionId, error: FirstError) {
        self.record(StreamId::Execution(id), ErrorSeen { error });
    }

    pub(super) fn see_anomaly(&mut self, id: ExecutionId) {
        self.record(StreamId::Execution(id), AnomalySeen { after_ms: 3_600_000 });
    }

    pub(super) fn close(
        &mut self,
        id: ExecutionId,
        outcome: Outcome,
        error: Option<FirstError>,
        duration_ms: u64,
    ) {
        let ended = AttemptEnded {
            attempt: 1,
            exit_code: Some(i32::from(outcome != Outcome::Ok)),
            signal: None,
            usage: None,
            outcome,
            cause: error.as_ref().map(|error| error.cause),
        };
        self.record(StreamId::Execution(id), ended);
        let mut errors = ErrorCounts::default();
        if let Some(error) = &error {
            errors.add(error.class);
        }
        let closed = Closed {
            outcome,
            class: error.as_ref().map(|error| error.class),
            cause: error.as_ref().map(|error| error.cause),
            exit_code: Some(i32::from(outcome != Outcome::Ok)),
            attempts: 1,
            lines: 10,
            errors,
            first_error: error,
            log_hash: [0; 32],
            duration_ms,
        };
        self.record(StreamId::Execution(id), closed);
    }

    /// Starts and ends it at once.
    pub(super) fn run(&mut self, id: ExecutionId, outcome: Outcome) -> ExecutionId {
        self.start(id, 1);
        let error = (outcome == Outcome::Ko)
            .then(|| Self::error(Class::Mapping, Cause::MapField, "no product for code FNAC-77"));
        self.close(id, outcome, error, 1_000);
        id
    }

    pub(super) fn note(&mut self, id: ExecutionId, noted: Noted) {
        self.record(StreamId::Execution(id), noted);
    }

    pub(super) fn acknowledge(&mut self, id: ExecutionId) {
        let text = Some("known, mended at the source".to_owned());
        self.note(id, Noted { text, reference: None, acknowledged: true });
    }

    pub(super) fn refer(&mut self, id: ExecutionId, ticket: &str) {
        let reference = Some(ticket.to_owned());
        self.note(id, Noted { text: None, reference, acknowledged: false });
    }

    pub(super) fn pass(
        &mut self,
        schedule: &ScheduleRef,
        (verdict, reason): (Verdict, Reason),
        (first, count, period): (Instant, u64, i64),
    ) {
        let nth = |n: u64| Instant::from_millis(first.millis() + period * 1000 * n as i64);
        let passed = SlotsPassed {
            first,
            last: nth(count - 1),
            count,
            verdict,
            reason,
            definition_version: 1,
            zone_data: "2026b".to_owned(),
            instants: (0..count.min(1000)).map(nth).collect(),
            execution: None,
        };
        self.record(StreamId::Schedule(schedule.clone()), passed);
    }

    /// The rows of the whole history, written every `batch` events.
    pub(super) fn fold(&self, batch: usize) -> (MemoryRows, Checkpoint) {
        let mut rows = Overlay::new(MemoryRows::default());
        let mut checkpoint = Checkpoint::default();
        for events in self.events.chunks(batch) {
            for event in events {
                fold::apply(&mut rows, &mut checkpoint, event).expect("rows are sound");
            }
            let changes = rows.take_changes();
            rows.base_mut().take(changes);
        }
        (rows.base().clone(), checkpoint)
    }

    pub(super) fn rows(&self) -> MemoryRows {
        self.fold(64).0
    }
}

/// A log of events that are simply there.
#[derive(Debug)]
pub(super) struct TestLog {
    events: Mutex<Vec<Envelope>>,
    durable: watch::Sender<Position>,
}

impl TestLog {
    pub(super) fn of(history: &History) -> Self {
        let log = Self { events: Mutex::new(Vec::new()), durable: watch::Sender::default() };
        log.grow_to(history);
        log
    }

    /// Takes over what `history` has more.
    pub(super) fn grow_to(&self, history: &History) {
        *self.events.lock().expect("no test panicked") = history.events.clone();
        self.durable.send_replace(Position(history.events.len() as u64));
    }
}

impl EventLog for TestLog {
    fn append(&self, _append: Append) -> AppendTicket {
        Box::pin(async { Err(AppendError::Closed { why: "for reading only".to_owned() }) })
    }

    fn read(&self, after: Position, limit: usize) -> Result<Vec<Envelope>, ReadError> {
        let events = self.events.lock().expect("no test panicked");
        Ok(events.iter().skip(after.0 as usize).take(limit).cloned().collect())
    }

    fn read_stream(
        &self,
        stream: &StreamId,
        after_version: u64,
        limit: usize,
    ) -> Result<Vec<Envelope>, ReadError> {
        let events = self.events.lock().expect("no test panicked");
        let wanted = |event: &&Envelope| event.stream == *stream && event.version > after_version;
        Ok(events.iter().filter(wanted).take(limit).cloned().collect())
    }

    fn durable(&self) -> watch::Receiver<Position> {
        self.durable.subscribe()
    }
}

/// Histories as a daemon could have written them, from random choices.
pub(super) fn histories(steps: usize) -> impl Strategy<Value = History> {
    proptest::collection::vec((0u8..20, 0usize..1000), 1..steps).prop_map(|choices| {
        let mut story = Story::default();
        for (kind, pick) in choices {
            story.step(kind, pick);
        }
        story.history
    })
}

#[derive(Default)]
struct Story {
    history: History,
    queued: Vec<ExecutionId>,
    running: Vec<ExecutionId>,
    closed: Vec<ExecutionId>,
    passed: Vec<(ScheduleRef, Instant)>,
}

const SCHEDULES: [&str; 4] = ["fnac/sales", "fnac/stock", "fnac-2/sales", "zoo/sales"];

impl Story {
    fn step(&mut self, kind: u8, pick: usize) {
        let name = schedule(SCHEDULES[pick % SCHEDULES.len()]);
        match kind {
            0..=4 => {
                self.history.wait(60);
                let slot = self.history.now();
                let id = self.history.slot(&name, slot);
                self.queued.push(id);
            }
            5 => {
                let id = self.history.manual(&name, "2026-11-22");
                self.queued.push(id);
            }
            6..=9 if !self.queued.is_empty() => {
                let id = self.queued.remove(pick % self.queued.len());
                self.history.start(id, 1);
                self.running.push(id);
            }
            10..=14 if !self.running.is_empty() => self.close(pick),
            15 if !self.closed.is_empty() => {
                let of = self.closed[pick % self.closed.len()];
                let id = self.history.rerun(of);
                self.queued.push(id);
            }
            16 if !self.closed.is_empty() => self.remark(pick),
            17 => {
                self.history.wait(600);
                let first = self.history.now();
                let count = pick as u64 % 7 + 1;
                self.history.pass(&name, (Verdict::Missed, Reason::Down), (first, count, 60));
                self.passed.push((name, first));
                self.history.wait(600);
            }
            18 if !self.passed.is_empty() => {
                let (name, slot) = self.passed.remove(pick % self.passed.len());
                let id = self.history.backfill(&name, slot);
                self.queued.push(id);
            }
            _ if pick.is_multiple_of(2) => self.history.start_daemon(),
            _ => self.history.remove_interface(&name.interface),
        }
    }

    fn close(&mut self, pick: usize) {
        let id = self.running.remove(pick % self.running.len());
        let class = Class::ALL[pick % 5];
        let error = History::error(class, Cause::MapField, &format!("error number {pick}"));
        match pick % 7 {
            0 => self.history.close(id, Outcome::Cancelled, None, 10),
            1 | 2 => self.history.close(id, Outcome::Ok, None, pick as u64),
            3 => {
                self.history.see_error(id, error.clone());
                self.history.close(id, Outcome::Ko, Some(error), pick as u64);
            }
            _ => self.history.close(id, Outcome::Ko, Some(error), pick as u64),
        }
        self.closed.push(id);
    }

    fn remark(&mut self, pick: usize) {
        let id = self.closed[pick % self.closed.len()];
        match pick % 3 {
            0 => self.history.acknowledge(id),
            1 => self.history.refer(id, &format!("KAY-{}", pick % 5)),
            _ => self.history.see_anomaly(id),
        }
    }
}
