//! Slots that are due: decided by the policy, recorded, and opened as executions.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::commit::After;
use super::core::{Draft, Engine, Timer};
use super::ports::Work;
use super::ready::{Asks, Seat};
use crate::civil::Zone;
use crate::domain::closing::Closings;
use crate::domain::definition::{self, Overlap, Timing};
use crate::domain::event::{
    Anchor, InterfaceResumed, Opened, ScheduleAnchored, ScheduleResumed, SlotStarted, SlotsPassed,
    Trigger,
};
use crate::domain::execution::{Command, Execution, Phase};
use crate::domain::policy::{self, Decision, Paused, Run, Situation, Wishes};
use crate::domain::schedule::{Pause, Schedule};
use crate::ids::{ExecutionId, InterfaceId, ScheduleRef, StreamId};
use crate::instant::Instant;

/// The zone of a name in an accepted definition. None when the zone data lost it since: such a schedule has no plan.
pub(super) fn zone_of(name: &str) -> Option<Zone> {
    Zone::load(name).ok()
}

/// What an execution is opened as.
#[derive(Clone, Copy)]
pub(super) struct Opening {
    pub(super) execution: ExecutionId,
    pub(super) trigger: Trigger,
    pub(super) slot: Option<Instant>,
    /// When it is opened.
    pub(super) at: Instant,
}

/// What is known of a schedule that is in its file.
#[derive(Clone, Copy)]
struct Known<'a> {
    schedule: &'a Schedule,
    definition: &'a definition::Schedule,
    interface: &'a definition::Interface,
    /// The interface's.
    pause: Option<&'a Pause>,
}

impl<'a> Known<'a> {
    fn wishes(self) -> Wishes<'a> {
        let pauses =
            self.schedule.paused.as_deref().into_iter().chain(self.pause).map(|pause| pause.until);
        let longest = pauses.max_by_key(|until| (until.is_none(), *until));
        Wishes {
            disabled: !self.definition.enabled,
            paused: longest.map(|until| Paused { until }),
            closings: Closings::of(self.interface, self.definition, zone_of),
            skip_next: self.schedule.skip_next.as_deref().copied(),
        }
    }
}

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

    pub(super) fn slot_due(&mut self, draft: &mut Draft, id: &ScheduleRef) {
        self.decide_slots_until(draft, id, draft.at);
        self.plan_next(id);
    }

    /// Decides every undecided slot of a schedule up to the draft's instant; for one that follows others, their slots.
    pub(super) fn decide_slots(&mut self, draft: &mut Draft, id: &ScheduleRef) {
        let mut followed = vec![id.clone()];
        while let Some(next) = followed.last().and_then(|last| self.followed_by(last))
            && !followed.contains(&next)
        {
            followed.push(next);
        }
        for id in followed.iter().rev() {
            self.decide_slots_until(draft, id, draft.at);
        }
    }

    fn decide_slots_until(&mut self, draft: &mut Draft, id: &ScheduleRef, until: Instant) {
        let Some(schedule) = self.state.schedules.get(id) else { return };
        let Some(cursor) = schedule.cursor else { return };
        let decided_up_to = schedule.decided_up_to;
        let Some(plan) = self.plans.get(id).cloned() else { return };
        let mut ran = None;
        let due = plan.slots_after(cursor).take_while(|slot| *slot <= until).filter(|slot| {
            let before = decided_up_to >= Some(*slot) && self.ran_before(id, *slot);
            if before {
                ran = Some(*slot);
            }
            !before
        });
        let decide = |situation: &Situation<'_>| policy::decide(due, draft.at, situation);
        let decisions = self.in_situation(id, decide).unwrap_or_default();
        decisions.into_iter().for_each(|decision| self.carry_out(draft, id, decision));
        // A slot that ran keeps its outcome; only the cursor passes over it.
        if let Some(slot) = ran
            && self.state.schedules.get(id).is_some_and(|schedule| schedule.cursor < Some(slot))
        {
            self.move_cursor(draft, id, slot);
        }
    }

    /// Answers a question about what is true of a schedule that is in its file.
    pub(super) fn in_situation<T>(
        &self,
        id: &ScheduleRef,
        ask: impl FnOnce(&Situation<'_>) -> T,
    ) -> Option<T> {
        let known = self.known(id)?;
        let Known { schedule, definition, .. } = known;
        Some(ask(&Situation {
            wishes: &known.wishes(),
            stepped: &self.state.daemon.stepped,
            open: schedule.open.first().copied(),
            open_live: self.open_live(schedule).next(),
            overlap: definition.overlap,
            catch_up: &definition.catch_up,
        }))
    }

    /// What people and files want of the slots of a schedule that is in its file.
    pub(super) fn wishes(&self, id: &ScheduleRef) -> Option<Wishes<'_>> {
        self.known(id).map(|known| known.wishes())
    }

    /// A schedule that is in its file. Each look-up costs, so that whoever needs several of these takes them together.
    fn known(&self, id: &ScheduleRef) -> Option<Known<'_>> {
        let state = self.state.interfaces.get(&id.interface)?;
        let schedule = self.state.schedules.get(id)?;
        let interface = state.definition().filter(|_| !state.removed && !schedule.removed)?;
        let definition = interface.schedules.get(&id.schedule)?;
        Some(Known { schedule, definition, interface, pause: state.paused.as_deref() })
    }

    /// The open executions of a schedule that belong to no series.
    fn open_live<'a>(
        &'a self,
        schedule: &'a Schedule,
    ) -> impl Iterator<Item = ExecutionId> + use<'a> {
        let live = |id: &&ExecutionId| {
            let execution = self.state.executions.get(id);
            execution.is_some_and(|execution| !execution.opened.trigger.is_series())
        };
        schedule.open.iter().filter(live).copied()
    }

    /// Decides a slot that waited for another schedule.
    pub(super) fn decide_delivered(&mut self, draft: &mut Draft, id: &ScheduleRef, slot: Instant) {
        let now = draft.at;
        if let Some(decision) = self.in_situation(id, |so| policy::decide_delivered(slot, now, so))
        {
            self.carry_out(draft, id, decision);
        }
    }

    fn carry_out(&mut self, draft: &mut Draft, id: &ScheduleRef, decision: Decision) {
        match decision {
            Decision::Start { slot, caught_up } => self.start_slot(draft, id, slot, caught_up),
            Decision::Pass(run) => self.pass_slots(draft, id, run),
        }
    }

    /// Starts a slot: its execution is open from now on, even if it still waits.
    fn start_slot(&mut self, draft: &mut Draft, id: &ScheduleRef, slot: Instant, caught_up: bool) {
        let Some((_, definition_version, definition)) = self.definition(id) else { return };
        let trigger = if caught_up { Trigger::CatchUp } else { definition.timing.trigger() };
        let overlap = definition.overlap;
        let execution = ExecutionId::for_slot(id, slot);
        let late_ms = u64::try_from(draft.at.since(slot).as_millis()).unwrap_or(u64::MAX);
        let started = SlotStarted { slot, execution, definition_version, late_ms };
        let opening = Opening { execution, trigger, slot: Some(slot), at: draft.at };
        let opened = self.opening(id, opening);
        self.record(draft, &StreamId::Schedule(id.clone()), started.into());
        if !trigger.is_series() {
            self.make_way(draft, id, overlap);
        }
        self.open(draft, execution, opened);
    }

    /// Cancels the executions that a newer live slot takes the place of.
    fn make_way(&mut self, draft: &mut Draft, id: &ScheduleRef, overlap: Overlap) {
        let only_waiting = match overlap {
            Overlap::Queue => true,
            Overlap::CancelRunning => false,
            Overlap::Skip | Overlap::Allow | Overlap::QueueAll => return,
        };
        let Some(schedule) = self.state.schedules.get(id) else { return };
        let gives_way = |open: &ExecutionId| {
            // What a person asked for waits on.
            let waiting_slot = |execution: &Execution| {
                let by_hand = matches!(execution.opened.trigger, Trigger::Manual | Trigger::Rerun);
                execution.phase == Phase::Queued && !by_hand
            };
            !only_waiting || self.state.executions.get(open).is_some_and(waiting_slot)
        };
        let giving_way: Vec<_> = self.open_live(schedule).filter(gives_way).collect();
        for open in giving_way {
            self.cancel_one(draft, open, Some("a newer slot takes its place".to_owned()));
        }
    }

    /// Whether a slot's execution exists already: only possible behind a cursor that was moved back. A log that cannot
    /// tell means yes, since a slot runs at most once by itself (contract, rule 4).
    pub(super) fn ran_before(&self, id: &ScheduleRef, slot: Instant) -> bool {
        let execution = ExecutionId::for_slot(id, slot);
        let forgotten = self.state.schedules.get(id).and_then(|schedule| schedule.forgotten);
        // What became of a forgotten slot can no longer be read.
        if forgotten >= Some(slot) || self.state.executions.contains_key(&execution) {
            return true;
        }
        match self.parts.log.read_stream(&StreamId::Execution(execution), 0, 1) {
            Ok(events) => !events.is_empty(),
            Err(err) => {
                tracing::error!(schedule = %id, %slot, error = %err, "a slot does not run: whether it ran before cannot be read");
                true
            }
        }
    }

    pub(super) fn pass_slots(&mut self, draft: &mut Draft, id: &ScheduleRef, run: Run) {
        let definition_version = self
            .state
            .interfaces
            .get(&id.interface)
            .map_or(0, |interface| interface.definition_version);
        let for_followers = self.followers.contains_key(id).then(|| run.clone());
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
        if let Some(run) = for_followers {
            self.pass_to_followers(draft, id, &run);
        }
    }

    /// What an execution of a schedule is opened with; parameters have their defaults.
    pub(super) fn opening(&self, id: &ScheduleRef, opening: Opening) -> Opened {
        let Opening { execution, trigger, slot, at: _ } = opening;
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
            previous_slot: slot.and_then(|slot| match definition {
                // The newest one that it knows: its slots follow no plan.
                Some((_, _, definition)) if matches!(definition.timing, Timing::After(_)) => {
                    schedule?.decided_up_to.filter(|before| *before < slot)
                }
                _ => self.plans.get(id)?.previous_before(slot),
            }),
            last_ok_slot: schedule.and_then(|schedule| schedule.last_ok_before(slot)),
            priority: definition.as_ref().map_or(0, |(_, _, schedule)| schedule.priority),
            forced: false,
        };
        if let Some((_, _, definition)) = definition {
            super::params::fill_defaults(&mut opened, opening, definition);
        }
        opened
    }

    /// Records the opening; the execution waits for its turn unless it is forced.
    pub(super) fn open(&mut self, draft: &mut Draft, id: ExecutionId, opened: Opened) {
        let forced = opened.forced;
        self.record(draft, &StreamId::Execution(id), opened.into());
        self.await_opened(draft, id);
        let Some(execution) = self.state.executions.get(&id) else { return };
        let asks = self.asks(execution, draft.at);
        if forced {
            self.ready.start_at_once(id, &execution.opened.schedule.interface, asks, draft.at);
            self.start_execution(draft, id);
        } else {
            self.ready.wait(id, execution, asks);
        }
    }

    /// Starts executions whose turn it is, as long as there is room.
    pub(super) fn start_ready(&mut self, draft: &mut Draft) {
        while self.gives_turns()
            && let Some(id) = self.ready.next(draft.at)
        {
            self.start_execution(draft, id);
        }
        // While nobody's turn comes, what is waited for would be due at once, again and again.
        match self.ready.next_wake().filter(|_| self.gives_turns()) {
            Some(at) => self.timers.push(at, Timer::Turn),
            None => drop(self.timers.remove(&Timer::Turn)),
        }
    }

    /// What an execution asks for before it starts.
    pub(super) fn asks(&self, execution: &Execution, now: Instant) -> Asks {
        let opened = &execution.opened;
        let id = &opened.schedule;
        let Some(definition) = self.definition_of(execution) else { return Asks::default() };
        let series = opened.trigger.is_series();
        let one_by_one = series || definition.overlap != Overlap::Allow;
        let mut seats: Vec<_> =
            one_by_one.then(|| Arc::new(Seat::Schedule(id.clone()))).into_iter().collect();
        seats.extend(definition.lock.clone().map(|name| Arc::new(Seat::Lock(name))));
        let delayed = definition.splay_ms > 0 && opened.trigger == definition.timing.trigger();
        let not_before = opened
            .slot
            .filter(|_| delayed)
            .map(|slot| slot + Duration::from_millis(id.splay_ms(definition.splay_ms)));
        let not_before = not_before.filter(|at| *at > now);
        let pace = match opened.trigger {
            Trigger::CatchUp => definition.catch_up.rate,
            Trigger::Backfill => {
                self.state.schedules.get(id).and_then(|known| known.backfill.as_ref()?.rate)
            }
            _ => None,
        };
        Asks { seats, not_before, in_series: series, pace }
    }

    fn start_execution(&mut self, draft: &mut Draft, id: ExecutionId) {
        let Some(execution) = self.state.executions.get(&id) else { return };
        let Some(work) = self.work(id) else { return };
        let Ok(started) = execution.decide(draft.at, Command::StartAttempt) else { return };
        if let Some(after_ms) = self.definition_of(execution).map(|it| it.anomaly_after_ms) {
            let at = draft.at + Duration::from_millis(after_ms);
            self.timers.push(at, Timer::Anomaly(id));
        }
        self.record(draft, &StreamId::Execution(id), started);
        self.cancels.insert(id, work.cancel.clone());
        draft.then(After::Perform(work, self.reporter(id)));
    }

    /// The definition that an execution runs with.
    fn definition_of(&self, execution: &Execution) -> Option<&definition::Schedule> {
        let opened = &execution.opened;
        let interface = self.state.interfaces.get(&opened.schedule.interface)?;
        let definition = interface.definitions.get(&opened.definition_version)?;
        definition.0.schedules.get(&opened.schedule.schedule)
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

    pub(super) fn anomaly_due(&mut self, draft: &mut Draft, id: ExecutionId) {
        let Some(execution) = self.state.executions.get(&id) else { return };
        let Some(definition) = self.definition_of(execution) else { return };
        let after_ms = definition.anomaly_after_ms;
        // Rejected when it has not started, or was seen before.
        if let Ok(seen) = execution.decide(draft.at, Command::SeeAnomaly(after_ms)) {
            self.record(draft, &StreamId::Execution(id), seen);
        }
    }

    pub(super) fn resume_due(&mut self, draft: &mut Draft, id: &ScheduleRef) {
        let until =
            self.state.schedules.get(id).and_then(|schedule| schedule.paused.as_ref()?.until);
        let Some(until) = until.filter(|until| *until <= draft.at) else { return };
        self.end_pause(draft, id, until);
        self.plan_next(id);
    }

    /// Slots up to `until` were paused; from then on the schedule runs again.
    pub(super) fn end_pause(&mut self, draft: &mut Draft, id: &ScheduleRef, until: Instant) {
        self.decide_slots_until(draft, id, until);
        self.record(draft, &StreamId::Schedule(id.clone()), ScheduleResumed {}.into());
    }

    pub(super) fn resume_interface_due(&mut self, draft: &mut Draft, id: &InterfaceId) {
        let until =
            self.state.interfaces.get(id).and_then(|interface| interface.paused.as_ref()?.until);
        let Some(until) = until.filter(|until| *until <= draft.at) else { return };
        self.end_interface_pause(draft, id, until);
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
        self.state.schedules.names_of(id)
    }

    /// Moves the cursors of `schedules` to the draft's instant, after a clock that had been wrong by hours.
    pub(super) fn anchor_again(&mut self, draft: &mut Draft, schedules: Vec<ScheduleRef>) {
        for id in schedules {
            self.move_cursor(draft, &id, draft.at);
            self.plan_next(&id);
        }
    }

    fn move_cursor(&mut self, draft: &mut Draft, id: &ScheduleRef, cursor: Instant) {
        let Some((_, definition_version, _)) = self.definition(id) else { return };
        let anchored = ScheduleAnchored { cursor, definition_version, why: Anchor::Clock };
        self.record(draft, &StreamId::Schedule(id.clone()), anchored.into());
    }
}
