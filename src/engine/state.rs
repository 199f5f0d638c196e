//! All that the engine decides from: one fold over the whole log.
//!
//! The same `apply` serves replay at start-up and live decisions, so a restart cannot remember differently.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::schedules::Schedules;
use crate::domain::effect::{Effect, EffectKind};
use crate::domain::event::{
    Actor, Closed, DeliveryEnded, Envelope, Event, HistoryPruned, Opened, Outcome, PruneStep,
    ZoneRules,
};
use crate::domain::execution::Execution;
use crate::domain::interface::Interface;
use crate::domain::schedule::Schedule;
use crate::domain::slot::Verdict;
use crate::ids::{EventId, ExecutionId, InterfaceId, ScheduleRef, StreamId};
use crate::instant::Instant;

/// The version of [`State`]'s form in checkpoints. Raise it with every change of a type that `State` holds; an older
/// checkpoint is then dropped and the log folded again.
pub const STATE_VERSION: u32 = 8;

/// How long an answer to a request with an idempotency key is kept, in milliseconds (contract, section 6).
pub const ANSWER_KEPT_MS: i64 = 24 * 3_600_000;

/// Everything that decisions depend on. Open executions only; finished ones are the projections' business.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The daemon's own stream.
    pub daemon: Daemon,
    /// All interfaces ever defined.
    pub interfaces: BTreeMap<InterfaceId, Interface>,
    /// All schedules ever anchored.
    pub schedules: Schedules,
    /// Executions that are not over.
    pub executions: BTreeMap<ExecutionId, Execution>,
    /// Deliveries that are owed, in the order in which they arose for each cause.
    pub outbox: BTreeMap<(EventId, EffectKind), Effect>,
    /// Executions opened so far.
    pub opened: u64,
    /// Deliveries that arose since the engine last took them; not part of the fold.
    #[serde(skip)]
    pub fresh: Vec<Effect>,
}

/// The fold of the daemon's stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Daemon {
    /// The stream's version: events applied so far.
    pub version: u64,
    /// The boot id of the last start.
    pub boot_id: Option<String>,
    /// The zone data of the last start.
    pub zone_data: Option<String>,
    /// The rules of the zones in use for the years ahead, as they were read last, by name.
    pub zones: BTreeMap<String, ZoneRules>,
    /// Valid API tokens by short id.
    pub tokens: BTreeMap<String, Token>,
    /// Answers to requests with an idempotency key, by key.
    pub answers: BTreeMap<String, Answer>,
    /// How far retention has come.
    pub retention: RetentionState,
    /// The newest steps of the clock to a later instant, from where to where.
    pub stepped: Vec<(Instant, Instant)>,
}

/// How far retention has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionState {
    /// The newest pass.
    pub pass: u64,
    /// When a pass last came to its end.
    pub ended_at: Option<Instant>,
    /// Whether bytes may be left of what a pass forgot.
    pub unfreed: bool,
}

/// Steps of the clock that are remembered: each concerns only slots that were undecided when it happened.
const STEPS_KEPT: usize = 8;

/// A valid API token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Short id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// `viewer`, `operator` or `admin`.
    pub role: String,
    /// SHA-256 of the token, in hex.
    pub hash: String,
    /// When it was made.
    pub created_at: Instant,
}

/// What a request with an idempotency key was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// When.
    pub at: Instant,
    /// BLAKE3 of method, path and body, in hex.
    pub fingerprint: String,
    /// The HTTP status.
    pub status: u16,
    /// The `Location`.
    pub location: Option<String>,
    /// The body.
    pub body: String,
}

impl State {
    /// Folds an event read back from the log.
    pub fn replay(&mut self, envelope: &Envelope) {
        // Events before it may have been pruned.
        if let StreamId::Schedule(id) = &envelope.stream {
            self.schedules.get_or_default(id).version = envelope.version - 1;
        }
        self.apply(&envelope.stream, envelope.at, &envelope.event);
        if let Event::InterfacePaused(_) | Event::SchedulePaused(_) = &envelope.event {
            self.paused_by(&envelope.stream, &envelope.actor);
        }
    }

    /// Notes who paused `stream` just now.
    pub fn paused_by(&mut self, stream: &StreamId, actor: &Actor) {
        let pause = match stream {
            StreamId::Interface(id) => {
                self.interfaces.get_mut(id).and_then(|row| row.paused.as_mut())
            }
            StreamId::Schedule(id) => {
                self.schedules.get_mut(id).and_then(|row| row.paused.as_mut())
            }
            StreamId::Daemon | StreamId::Execution(_) => None,
        };
        if let Some(pause) = pause {
            pause.actor = Some(actor.clone());
        }
    }

    /// Folds the next event of `stream`, recorded `at`.
    pub fn apply(&mut self, stream: &StreamId, at: Instant, event: &Event) {
        match stream {
            StreamId::Daemon => self.apply_daemon(at, event),
            StreamId::Interface(id) => {
                self.interfaces.entry(id.clone()).or_default().apply(at, event);
                self.forget_definitions(id);
            }
            StreamId::Schedule(id) => self.apply_schedule(id, at, event),
            StreamId::Execution(id) => self.apply_execution(*id, at, event),
        }
    }

    /// The same state as another one says it that was folded from a log of which more or less was pruned: openings are
    /// counted from the oldest that is known here. Only their order means something.
    pub fn comparable(mut self) -> Self {
        let finished =
            self.schedules.values_mut().filter_map(|schedule| schedule.finished.as_mut());
        let finished = finished.map(|finished| &mut finished.ordinal);
        let open = self.executions.values_mut().map(|execution| &mut execution.ordinal);
        let mut places: Vec<&mut u64> = finished.chain(open).collect();
        places.sort_unstable();
        self.opened = 0;
        for place in places {
            self.opened += 1;
            *place = self.opened;
        }
        self.fresh.clear();
        self
    }

    /// The version of `stream` as far as it is known here; none for an execution that is over or never was.
    pub fn version(&self, stream: &StreamId) -> Option<u64> {
        match stream {
            StreamId::Daemon => Some(self.daemon.version),
            StreamId::Interface(id) => {
                Some(self.interfaces.get(id).map_or(0, |interface| interface.version))
            }
            StreamId::Schedule(id) => {
                Some(self.schedules.get(id).map_or(0, |schedule| schedule.version))
            }
            StreamId::Execution(id) => self.executions.get(id).map(|execution| execution.version),
        }
    }

    fn apply_daemon(&mut self, at: Instant, event: &Event) {
        self.daemon.version += 1;
        match event {
            Event::DaemonStarted(started) => {
                self.daemon.boot_id = Some(started.boot_id.clone());
                self.daemon.zone_data = Some(started.zone_data.clone());
            }
            Event::ZonesRead(read) => {
                if read.before.is_some() {
                    self.daemon.zones.clear();
                }
                let zones = read.zones.iter().map(|zone| (zone.name.clone(), zone.clone()));
                self.daemon.zones.extend(zones);
            }
            Event::ClockStepped(step) if step.from < step.to => {
                if self.daemon.stepped.len() == STEPS_KEPT {
                    self.daemon.stepped.remove(0);
                }
                self.daemon.stepped.push((step.from, step.to));
            }
            Event::TokenCreated(token) => {
                let created = Token {
                    id: token.id.clone(),
                    name: token.name.clone(),
                    role: token.role.clone(),
                    hash: token.hash.clone(),
                    created_at: at,
                };
                self.daemon.tokens.insert(token.id.clone(), created);
            }
            Event::TokenRevoked(token) => {
                self.daemon.tokens.remove(&token.id);
            }
            Event::HistoryPruned(pruned) => self.pruned(at, pruned),
            Event::RequestAnswered(answered) => {
                self.daemon.answers.retain(|_, old| at.millis() - old.at.millis() < ANSWER_KEPT_MS);
                let answer = Answer {
                    at,
                    fingerprint: answered.fingerprint.clone(),
                    status: answered.status,
                    location: answered.location.clone(),
                    body: answered.body.clone(),
                };
                self.daemon.answers.insert(answered.key.clone(), answer);
            }
            _ => (),
        }
    }

    fn apply_schedule(&mut self, id: &ScheduleRef, at: Instant, event: &Event) {
        let schedule = self.schedules.get_or_default(id);
        if let Event::DeliveryEnded(ended) = event {
            schedule.version += 1;
            self.settle(ended);
            return;
        }
        schedule.apply(at, event);
        if let Event::SlotsPassed(passed) = event
            && passed.verdict == Verdict::Missed
        {
            let stream = StreamId::Schedule(id.clone());
            let cause = EventId::derive(&stream, schedule.version, at);
            let (kind, slot, reason) =
                (EffectKind::NoticeMissed, Some(passed.last), Some(passed.reason));
            self.owe(Effect {
                cause,
                at,
                schedule: id.clone(),
                execution: None,
                slot,
                reason,
                kind,
            });
        }
    }

    fn apply_execution(&mut self, id: ExecutionId, at: Instant, event: &Event) {
        match event {
            Event::Opened(opened) => {
                self.opened += 1;
                self.schedules.get_or_default(&opened.schedule).opened(id, at);
                self.executions.insert(id, Execution::open(opened.clone(), at, self.opened));
                return;
            }
            Event::DeliveryEnded(ended) => {
                self.settle(ended);
            }
            Event::Noted(noted) if noted.acknowledged => {
                self.schedules.values_mut().for_each(|schedule| schedule.acknowledged(id));
            }
            _ => (),
        }
        let Some(execution) = self.executions.get_mut(&id) else { return };
        execution.apply(at, event);
        let cause = EventId::derive(&StreamId::Execution(id), execution.version, at);
        let (schedule, slot) = (execution.opened.schedule.clone(), execution.opened.slot);
        let kind = match event {
            Event::AttemptStarted(started) if started.attempt == 1 => EffectKind::PingStart,
            Event::AnomalySeen(_) => EffectKind::NoticeAnomaly,
            Event::Closed(closed) => return self.close(id, at, cause, closed),
            _ => return,
        };
        self.owe(Effect { cause, at, schedule, execution: Some(id), slot, reason: None, kind });
    }

    fn close(&mut self, id: ExecutionId, at: Instant, cause: EventId, closed: &Closed) {
        let Some(execution) = self.executions.remove(&id) else { return };
        let opened: &Opened = &execution.opened;
        let schedule = self.schedules.get_or_default(&opened.schedule);
        let before = schedule.finished.as_ref().map(|finished| finished.outcome);
        schedule.closed(id, at, (opened, execution.ordinal), closed);
        // An older one that ends late changes nothing: the newest decides what people are told.
        let newest = schedule.finished.as_ref().is_some_and(|finished| finished.execution == id);
        let (ping, notice) = match closed.outcome {
            Outcome::Ok => (
                EffectKind::PingSuccess,
                (newest && before == Some(Outcome::Ko)).then_some(EffectKind::NoticeRecovery),
            ),
            Outcome::Ko => (
                EffectKind::PingFail,
                (newest && before != Some(Outcome::Ko)).then_some(EffectKind::NoticeKo),
            ),
            Outcome::Cancelled => (EffectKind::PingLog, None),
        };
        for kind in [Some(ping), notice].into_iter().flatten() {
            let (schedule, slot) = (opened.schedule.clone(), opened.slot);
            self.owe(Effect { cause, at, schedule, execution: Some(id), slot, reason: None, kind });
        }
        self.forget_definitions(&opened.schedule.interface);
    }

    /// Folds a step of retention. What is folded from a log without what was pruned must come to the same.
    fn pruned(&mut self, at: Instant, pruned: &HistoryPruned) {
        let retention = &mut self.daemon.retention;
        retention.pass = pruned.pass;
        match &pruned.step {
            PruneStep::Forgotten(all) => {
                retention.unfreed = true;
                for forgotten in all {
                    if let Some(until) = forgotten.decided_until {
                        self.schedules.get_or_default(&forgotten.schedule).forgets(until);
                    }
                }
            }
            PruneStep::Decided { settled_before, .. } => {
                // Without the execution before it, one that is still there looks like news. It was told at its time.
                self.outbox.retain(|_, effect| effect.at >= *settled_before);
                self.schedules.values_mut().for_each(Schedule::settle_forgotten);
            }
            PruneStep::Freed { .. } => {
                retention.unfreed = false;
                retention.ended_at = Some(at);
            }
        }
    }

    /// Takes a delivery that ended out of the outbox.
    fn settle(&mut self, ended: &DeliveryEnded) {
        let kind = EffectKind::ALL.into_iter().find(|kind| kind.as_str() == ended.kind);
        if let Some(kind) = kind {
            self.outbox.remove(&(ended.cause, kind));
        }
    }

    /// Puts a delivery into the outbox if somebody is there to receive it.
    fn owe(&mut self, effect: Effect) {
        let id = &effect.schedule;
        let Some(definition) = self.interfaces.get(&id.interface).and_then(Interface::definition)
        else {
            return;
        };
        let wanted = if effect.kind.is_ping() {
            definition.schedules.get(&id.schedule).is_some_and(|schedule| schedule.ping.is_some())
        } else {
            definition.notify.is_some()
        };
        if wanted {
            self.fresh.push(effect.clone());
            self.outbox.insert((effect.cause, effect.kind), effect);
        }
    }

    /// Drops definitions that neither are in force nor have an open execution.
    fn forget_definitions(&mut self, id: &InterfaceId) {
        let Some(interface) = self.interfaces.get_mut(id) else { return };
        if interface.definitions.len() < 2 {
            return;
        }
        let current = interface.definition_version;
        let executions = &self.executions;
        interface.definitions.retain(|version, _| {
            let used = |execution: &Execution| {
                execution.opened.schedule.interface == *id
                    && execution.opened.definition_version == *version
            };
            *version == current || executions.values().any(used)
        });
    }
}

#[cfg(test)]
mod tests;
