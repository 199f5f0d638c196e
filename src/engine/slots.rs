//! Slots that are due: decided by the policy, recorded, and opened as executions.

use std::iter;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::commit::After;
use super::core::{Draft, Engine, Timer};
use super::ports::Work;
use crate::domain::definition::{self, Timing};
use crate::domain::event::{
    Actor, Anchor, InterfaceResumed, Opened, ScheduleAnchored, ScheduleResumed, SlotStarted,
    SlotsPassed, Trigger,
};
use crate::domain::execution::{Command, Phase};
use crate::domain::policy::{self, Decision, Run, Situation};
use crate::ids::{ExecutionId, InterfaceId, ScheduleRef, StreamId};
use crate::instant::Instant;

impl Engine {
    /// The definition in force of a schedule that is still in its file.
    pub(super) fn definition(
        &self,
        id: &ScheduleRef,
    ) -> Option<(Arc<definition::Interface>, u32, &definition::Schedule)> {
        let interface = self.state.interfaces.get(&id.interface)?;
        if interface.removed || self.state.schedules.get(id).is_none_or(|schedule| schedule.removed)
        {
            return None;
        }
        let definition = interface.definition()?;
        let schedule = definition.schedules.get(&id.schedule)?;
        Some((Arc::clone(definition), interface.definition_version, schedule))
    }

    pub(super) fn slot_due(&mut self, id: &ScheduleRef, now: Instant) {
        let mut draft = Draft::new(now, Actor::Daybook);
        self.decide_slots(&mut draft, id);
        self.start_ready(&mut draft);
        self.submit(draft);
        self.plan_next(id);
    }

    /// Decides every undecided slot of a schedule up to the draft's instant.
    pub(super) fn decide_slots(&mut self, draft: &mut Draft, id: &ScheduleRef) {
        self.decide_slots_until(draft, id, draft.at);
    }

    fn decide_slots_until(&mut self, draft: &mut Draft, id: &ScheduleRef, until: Instant) {
        let Some(situation) = self.situation(id) else { return };
        let Some(cursor) = self.state.schedules.get(id).and_then(|schedule| schedule.cursor) else {
            return;
        };
        let Some(plan) = self.plans.get(id).cloned() else { return };
        let due = iter::successors(plan.next_after(cursor), |slot| plan.next_after(*slot))
            .take_while(|at| *at <= until);
        for decision in policy::decide(due, draft.at, &situation) {
            match decision {
                Decision::Start { slot, caught_up } => self.start_slot(draft, id, slot, caught_up),
                Decision::Pass(run) => self.pass_slots(draft, id, run),
            }
        }
    }

    fn situation(&self, id: &ScheduleRef) -> Option<Situation> {
        let (_, _, definition) = self.definition(id)?;
        let schedule = self.state.schedules.get(id)?;
        let interface = self.state.interfaces.get(&id.interface)?;
        Some(Situation {
            disabled: !definition.enabled,
            paused: schedule.paused.is_some() || interface.paused.is_some(),
            open: schedule.open.first().copied(),
            overlap: definition.overlap,
            catch_up: definition.catch_up.clone(),
        })
    }

    fn start_slot(&mut self, draft: &mut Draft, id: &ScheduleRef, slot: Instant, caught_up: bool) {
        let Some((_, definition_version, definition)) = self.definition(id) else { return };
        let trigger = match (&definition.timing, caught_up) {
            (_, true) => Trigger::CatchUp,
            (Timing::Every { .. }, false) => Trigger::Every,
            (Timing::At(_), false) => Trigger::At,
            (Timing::Cron(_) | Timing::Manual | Timing::Reboot, false) => Trigger::Cron,
        };
        let execution = ExecutionId::for_slot(id, slot);
        if self.ran_before(id, slot, execution) {
            return;
        }
        let late_ms = u64::try_from(draft.at.since(slot).as_millis()).unwrap_or(u64::MAX);
        let started = SlotStarted { slot, execution, definition_version, late_ms };
        let opened = self.opening(id, execution, trigger, Some(slot));
        self.record(draft, &StreamId::Schedule(id.clone()), started.into());
        self.open(draft, execution, opened);
    }

    /// Whether a slot's execution exists already: only possible behind a cursor that was moved back.
    fn ran_before(&self, id: &ScheduleRef, slot: Instant, execution: ExecutionId) -> bool {
        if self.state.schedules.get(id).is_none_or(|schedule| schedule.decided_up_to < Some(slot)) {
            return false;
        }
        let stream = StreamId::Execution(execution);
        self.state.executions.contains_key(&execution)
            || self.parts.log.read_stream(&stream, 0, 1).is_ok_and(|events| !events.is_empty())
    }

    pub(super) fn pass_slots(&mut self, draft: &mut Draft, id: &ScheduleRef, run: Run) {
        let definition_version = self
            .state
            .interfaces
            .get(&id.interface)
            .map_or(0, |interface| interface.definition_version);
        let passed = SlotsPassed {
            first: run.first,
            last: run.last,
            count: run.count,
            verdict: run.verdict,
            reason: run.reason,
            definition_version,
            zone_data: self.parts.identity.zone_data.clone(),
            instants: run.instants,
            execution: run.execution,
        };
        self.record(draft, &StreamId::Schedule(id.clone()), passed.into());
    }

    /// What an execution of a schedule is opened with. Parameters are filled in by the caller.
    pub(super) fn opening(
        &self,
        id: &ScheduleRef,
        execution: ExecutionId,
        trigger: Trigger,
        slot: Option<Instant>,
    ) -> Opened {
        let definition = self.definition(id);
        let schedule = self.state.schedules.get(id);
        let mut opened = Opened {
            schedule: id.clone(),
            slot,
            trigger,
            definition_version: definition.as_ref().map_or(0, |(_, version, _)| *version),
            params: std::collections::BTreeMap::new(),
            rerun_of: None,
            root: execution,
            idempotency_key: execution.to_string(),
            previous_slot: slot.and_then(|slot| self.plans.get(id)?.previous_before(slot)),
            last_ok_slot: schedule.and_then(|schedule| schedule.last_ok_before(slot)),
            priority: definition.as_ref().map_or(0, |(_, _, schedule)| schedule.priority),
            forced: false,
        };
        if let Some((_, _, definition)) = definition {
            super::params::fill_defaults(&mut opened, execution, definition);
        }
        opened
    }

    /// Records the opening; the execution waits for its turn unless it is forced.
    pub(super) fn open(&mut self, draft: &mut Draft, id: ExecutionId, opened: Opened) {
        let (forced, interface) = (opened.forced, opened.schedule.interface.clone());
        self.record(draft, &StreamId::Execution(id), opened.into());
        if forced {
            self.ready.start(&interface);
            self.start_execution(draft, id);
        } else if let Some(execution) = self.state.executions.get(&id) {
            self.ready.wait(id, execution);
        }
    }

    /// Starts executions whose turn it is, as long as there is room.
    pub(super) fn start_ready(&mut self, draft: &mut Draft) {
        while !self.draining
            && let Some(id) = self.ready.next()
        {
            self.start_execution(draft, id);
        }
    }

    fn start_execution(&mut self, draft: &mut Draft, id: ExecutionId) {
        let Some(execution) = self.state.executions.get(&id) else { return };
        let work = self.work(id);
        let Ok(started) = execution.decide(draft.at, Command::StartAttempt) else { return };
        self.record(draft, &StreamId::Execution(id), started);
        let Some(work) = work else { return };
        if let Some(after_ms) = work.interface.as_ref().and_then(|interface| {
            interface
                .schedules
                .get(&work.opened.schedule.schedule)
                .map(|schedule| schedule.anomaly_after_ms)
        }) {
            let at = draft.at + std::time::Duration::from_millis(after_ms);
            self.timers.push(at, Timer::Anomaly(id));
        }
        self.cancels.insert(id, work.cancel.clone());
        draft.then(After::Perform(work, self.reporter(id)));
    }

    /// What a performer needs for an open execution.
    pub(super) fn work(&self, id: ExecutionId) -> Option<Work> {
        let execution = self.state.executions.get(&id)?;
        let opened = &execution.opened;
        let interface = self.state.interfaces.get(&opened.schedule.interface);
        let definition =
            interface.and_then(|interface| interface.definitions.get(&opened.definition_version));
        Some(Work {
            execution: id,
            opened: Arc::new(opened.clone()),
            interface: definition.map(|definition| Arc::clone(&definition.0)),
            attempts: execution.attempts,
            cancel: CancellationToken::new(),
        })
    }

    /// Asks to be woken for a schedule's next slot.
    pub(super) fn plan_next(&mut self, id: &ScheduleRef) {
        let next = self.plans.get(id).and_then(|plan| {
            let cursor = self.state.schedules.get(id)?.cursor?;
            plan.next_after(cursor)
        });
        match next {
            Some(at) if self.definition(id).is_some() => {
                self.timers.push(at, Timer::Slot(id.clone()))
            }
            Some(_) | None => drop(self.timers.remove(&Timer::Slot(id.clone()))),
        }
    }

    pub(super) fn anomaly_due(&mut self, id: ExecutionId, now: Instant) {
        let Some(execution) = self.state.executions.get(&id) else { return };
        if let Phase::Queued | Phase::Closed(_) = execution.phase {
            return;
        }
        let limit = self.work(id).and_then(|work| {
            Some(work.interface?.schedules.get(&work.opened.schedule.schedule)?.anomaly_after_ms)
        });
        let Ok(seen) = execution.decide(now, Command::SeeAnomaly(limit.unwrap_or(0))) else {
            return;
        };
        let mut draft = Draft::new(now, Actor::Daybook);
        self.record(&mut draft, &StreamId::Execution(id), seen);
        self.submit(draft);
    }

    pub(super) fn resume_due(&mut self, id: &ScheduleRef, now: Instant) {
        let until =
            self.state.schedules.get(id).and_then(|schedule| schedule.paused.as_ref()?.until);
        let Some(until) = until.filter(|until| *until <= now) else { return };
        let mut draft = Draft::new(now, Actor::Daybook);
        self.end_pause(&mut draft, id, until);
        self.submit(draft);
        self.plan_next(id);
    }

    /// Slots up to `until` were paused; from then on the schedule runs again.
    pub(super) fn end_pause(&mut self, draft: &mut Draft, id: &ScheduleRef, until: Instant) {
        self.decide_slots_until(draft, id, until);
        self.record(draft, &StreamId::Schedule(id.clone()), ScheduleResumed {}.into());
    }

    pub(super) fn resume_interface_due(&mut self, id: &InterfaceId, now: Instant) {
        let until =
            self.state.interfaces.get(id).and_then(|interface| interface.paused.as_ref()?.until);
        let Some(until) = until.filter(|until| *until <= now) else { return };
        let mut draft = Draft::new(now, Actor::Daybook);
        self.end_interface_pause(&mut draft, id, until);
        self.submit(draft);
        for schedule in self.schedules_of(id) {
            self.plan_next(&schedule);
        }
    }

    pub(super) fn end_interface_pause(
        &mut self,
        draft: &mut Draft,
        id: &InterfaceId,
        until: Instant,
    ) {
        for schedule in self.schedules_of(id) {
            self.decide_slots_until(draft, &schedule, until);
        }
        self.record(draft, &StreamId::Interface(id.clone()), InterfaceResumed {}.into());
    }

    /// The schedules ever seen of an interface.
    pub(super) fn schedules_of(&self, id: &InterfaceId) -> Vec<ScheduleRef> {
        self.state.schedules.keys().filter(|schedule| schedule.interface == *id).cloned().collect()
    }

    /// Moves every cursor to `now`, after a clock that had been wrong by hours.
    pub(super) fn anchor_all_at(&mut self, draft: &mut Draft, now: Instant) {
        let all: Vec<_> = self.state.schedules.keys().cloned().collect();
        for id in all {
            let Some((_, definition_version, _)) = self.definition(&id) else { continue };
            let anchored = ScheduleAnchored { cursor: now, definition_version, why: Anchor::Clock };
            self.record(draft, &StreamId::Schedule(id.clone()), anchored.into());
            self.plan_next(&id);
        }
    }
}
