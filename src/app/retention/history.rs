//! A history as an engine would have recorded it, made from a seed: slots that ran, waited or passed, re-runs, notes,
//! backfills, deliveries and lines.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::app::store::Stores;
use crate::domain::class::{Level, Source};
use crate::domain::event::*;
use crate::domain::slot::{Reason, Verdict};
use crate::engine::state::State;
use crate::ids::{ExecutionId, ScheduleRef, StreamId};
use crate::instant::Instant;
use crate::store::lines::NewLine;
use crate::store::{Append, AppendTicket, EventLog, Expected, Links, StreamAppend};

/// Small numbers that look random and are the same in every run.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.below(sides) == 0
    }
}

/// An execution as it was written.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) outcome: Outcome,
    pub(super) ended: Instant,
    pub(super) acknowledged: bool,
    pub(super) lines: Vec<String>,
}

/// What is being written.
pub(super) struct History<'a> {
    stores: &'a Stores,
    dice: Dice,
    state: State,
    at: Instant,
    tickets: Vec<AppendTicket>,
    pub(super) written: BTreeMap<ExecutionId, Written>,
}

impl<'a> History<'a> {
    pub(super) fn new(stores: &'a Stores, seed: u64) -> Self {
        let at = Instant::default();
        let (tickets, written) = (Vec::new(), BTreeMap::new());
        Self { stores, dice: Dice(seed), state: State::default(), at, tickets, written }
    }

    /// Defines `interface` and writes `days` days up to `until`.
    pub(super) async fn write(&mut self, definition: &str, days: u64, until: Instant) {
        let schedules: Vec<ScheduleRef> =
            ["fnac/sales", "fnac/stock", "fnac/after"].map(|it| it.parse().expect("valid")).into();
        let begin = until - Duration::from_secs(days * 86_400);
        self.at = begin;
        let defined = InterfaceDefined {
            definition_version: 1,
            definition: definition.to_owned(),
            changes: Vec::new(),
        };
        let interface = StreamId::Interface(schedules[0].interface.clone());
        self.append(vec![(interface, vec![defined.into()])]);
        for schedule in &schedules {
            let anchored =
                ScheduleAnchored { cursor: begin, definition_version: 1, why: Anchor::Created };
            self.append(vec![(StreamId::Schedule(schedule.clone()), vec![anchored.into()])]);
        }
        for hour in (3..days * 24).step_by(3) {
            let slot = begin + Duration::from_secs(hour * 3_600);
            self.slot(&schedules[0], slot).await;
            if hour % 2 == 0 {
                self.slot(&schedules[1], slot).await;
            } else {
                self.follower(&schedules[2], slot).await;
            }
        }
        for ticket in std::mem::take(&mut self.tickets) {
            ticket.await.expect("on disk");
        }
    }

    async fn slot(&mut self, schedule: &ScheduleRef, slot: Instant) {
        self.at = slot + Duration::from_millis(self.dice.below(900));
        match self.dice.below(10) {
            0 => self.pass(schedule, slot, (Verdict::Skipped, Reason::Overlap)),
            1 => {
                self.pass(schedule, slot, (Verdict::Missed, Reason::Down));
                if self.dice.one_in(4) {
                    self.at = self.at + Duration::from_secs(40 * 60);
                    let id = ExecutionId::for_slot(schedule, slot);
                    self.run(schedule, (id, id, None), (Some(slot), Trigger::Backfill)).await;
                }
            }
            _ => {
                let id = ExecutionId::for_slot(schedule, slot);
                self.run(schedule, (id, id, None), (Some(slot), Trigger::Cron)).await;
            }
        }
        if self.dice.one_in(15) {
            let id = self.id();
            self.run(schedule, (id, id, None), (None, Trigger::Manual)).await;
        }
    }

    /// A slot of a schedule that follows another one: it waits, then runs or passes.
    async fn follower(&mut self, schedule: &ScheduleRef, slot: Instant) {
        self.at = slot + Duration::from_secs(60);
        let awaited = SlotAwaited {
            slot,
            execution: self.id(),
            deadline: slot + Duration::from_secs(7_200),
            definition_version: 1,
        };
        self.append(vec![(StreamId::Schedule(schedule.clone()), vec![awaited.into()])]);
        self.at = self.at + Duration::from_secs(60);
        if self.dice.one_in(3) {
            self.pass(schedule, slot, (Verdict::Skipped, Reason::Dependency));
        } else {
            let id = ExecutionId::for_slot(schedule, slot);
            self.run(schedule, (id, id, None), (Some(slot), Trigger::After)).await;
        }
    }

    fn pass(
        &mut self,
        schedule: &ScheduleRef,
        slot: Instant,
        (verdict, reason): (Verdict, Reason),
    ) {
        let passed = SlotsPassed {
            first: slot,
            last: slot,
            count: 1,
            verdict,
            reason,
            definition_version: 1,
            zone_data: "2026b".to_owned(),
            instants: vec![slot],
            execution: None,
        };
        self.append(vec![(StreamId::Schedule(schedule.clone()), vec![passed.into()])]);
    }

    /// Opens an execution, runs it to its end, and perhaps runs it again.
    async fn run(
        &mut self,
        schedule: &ScheduleRef,
        (id, root, rerun_of): (ExecutionId, ExecutionId, Option<ExecutionId>),
        (slot, trigger): (Option<Instant>, Trigger),
    ) {
        let opened = Opened {
            schedule: schedule.clone(),
            slot,
            trigger,
            definition_version: 1,
            params: BTreeMap::new(),
            rerun_of,
            root,
            idempotency_key: root.to_string(),
            previous_slot: None,
            last_ok_slot: None,
            priority: 0,
            forced: false,
        };
        let stream = StreamId::Execution(id);
        let mut parts = Vec::new();
        if let Some(slot) = slot.filter(|_| matches!(trigger, Trigger::Cron | Trigger::After)) {
            let started = SlotStarted { slot, execution: id, definition_version: 1, late_ms: 7 };
            parts.push((StreamId::Schedule(schedule.clone()), vec![started.into()]));
        }
        parts.push((stream.clone(), vec![opened.into(), AttemptStarted { attempt: 1 }.into()]));
        self.append(parts);
        let (lines, hash) = self.lines(id).await;
        self.at = self.at + Duration::from_secs(1 + self.dice.below(600));
        let outcome = match self.dice.below(10) {
            0 => Outcome::Cancelled,
            1 | 2 => Outcome::Ko,
            _ => Outcome::Ok,
        };
        self.close(&stream, outcome, (lines.len() as u64, hash));
        let acknowledged = outcome == Outcome::Ko && self.dice.one_in(3);
        let ended = self.at;
        self.written.insert(id, Written { outcome, ended, acknowledged, lines });
        if acknowledged {
            let note = Noted { text: None, reference: Some("T-1".to_owned()), acknowledged: true };
            self.append(vec![(stream, vec![note.into()])]);
        }
        if outcome == Outcome::Ko && self.dice.one_in(2) {
            self.at = self.at + Duration::from_secs(self.dice.below(900));
            let again = self.id();
            Box::pin(self.run(schedule, (again, root, Some(id)), (slot, Trigger::Rerun))).await;
        }
    }

    fn close(&mut self, stream: &StreamId, outcome: Outcome, (lines, log_hash): (u64, [u8; 32])) {
        let ended = AttemptEnded {
            attempt: 1,
            exit_code: Some(0),
            signal: None,
            usage: None,
            outcome,
            cause: None,
        };
        let closed = Closed {
            outcome,
            class: None,
            cause: None,
            exit_code: Some(0),
            attempts: 1,
            lines,
            errors: ErrorCounts::default(),
            first_error: None,
            log_hash,
            duration_ms: 5,
        };
        self.append(vec![(stream.clone(), vec![ended.into(), closed.into()])]);
    }

    /// Writes some lines or none, and gives them with their hash.
    async fn lines(&mut self, id: ExecutionId) -> (Vec<String>, [u8; 32]) {
        let count = self.dice.below(4);
        let text = |n, noise| format!("line {n} of {id}: {noise:x}");
        let lines: Vec<String> =
            (0..count).map(|n| text(n, self.dice.below(u64::MAX >> 34))).collect();
        if lines.is_empty() {
            return (lines, [0; 32]);
        }
        let mut writer = self.stores.lines.writer(id);
        for text in &lines {
            writer.push(NewLine {
                at: self.at,
                attempt: 1,
                source: Source::Stdout,
                level: Level::Info,
                class: None,
                cause: None,
                text,
                cascade_of: None,
                fields: None,
            });
        }
        let summary = writer.finish().await.expect("on disk");
        (lines, summary.hash)
    }

    fn id(&mut self) -> ExecutionId {
        let mut entropy = [0; 10];
        entropy[2..].copy_from_slice(&self.dice.below(u64::MAX >> 34).to_be_bytes());
        ExecutionId::random(self.at, entropy)
    }

    /// Appends, and lets every delivery that arises from it end at once.
    fn append(&mut self, parts: Vec<(StreamId, Vec<Event>)>) {
        let streams = parts.into_iter().map(|(stream, events)| {
            for event in &events {
                self.state.apply(&stream, self.at, event);
            }
            StreamAppend { stream, expected: Expected::Any, events, links: Links::default() }
        });
        let streams = streams.collect();
        let append = Append { streams, at: self.at, actor: Actor::Daybook };
        self.tickets.push(self.stores.log.append(append));
        let owed = std::mem::take(&mut self.state.fresh);
        for effect in owed {
            let stream = effect
                .execution
                .map_or_else(|| StreamId::Schedule(effect.schedule.clone()), StreamId::Execution);
            let ended = DeliveryEnded {
                cause: effect.cause,
                kind: effect.kind.as_str().to_owned(),
                result: Delivery::Sent,
                tries: 1,
                reason: None,
            };
            self.append(vec![(stream, vec![ended.into()])]);
        }
    }
}
