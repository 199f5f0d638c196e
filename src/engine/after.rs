//! Schedules that follow others: their slots wait for the execution of the same slot, or for a re-run of it.

use std::time::Duration;

use super::core::{Draft, Engine, Timer};
use crate::domain::definition::{self, After, Timing};
use crate::domain::event::{Opened, Outcome, SlotAwaited};
use crate::domain::policy::Run;
use crate::domain::schedule::Awaiting;
use crate::domain::slot::{Reason, Verdict};
use crate::ids::{ExecutionId, InterfaceId, ScheduleRef, StreamId};
use crate::instant::Instant;

impl Engine {
    /// Takes over which schedules of an interface follow others.
    pub(super) fn adopt_followers(
        &mut self,
        interface: &InterfaceId,
        definition: &definition::Interface,
    ) {
        for followers in self.followers.values_mut() {
            followers.retain(|follower| follower.interface != *interface);
        }
        self.followers.retain(|_, followers| !followers.is_empty());
        for (name, schedule) in &definition.schedules {
            if let Timing::After(After { schedule: followed, .. }) = &schedule.timing {
                let follower = ScheduleRef { interface: interface.clone(), schedule: name.clone() };
                self.followers.entry(followed.clone()).or_default().push(follower);
            }
        }
    }

    /// Those whose definition in force follows `id`; a follower may have been removed since it was taken over.
    fn followers_of(&self, id: &ScheduleRef) -> Vec<ScheduleRef> {
        let known = self.followers.get(id).into_iter().flatten();
        known.filter(|follower| self.after(follower).is_some()).cloned().collect()
    }

    /// The schedule that `id` follows.
    pub(super) fn followed_by(&self, id: &ScheduleRef) -> Option<ScheduleRef> {
        self.after(id).map(|(after, _)| after.schedule.clone())
    }

    fn after(&self, id: &ScheduleRef) -> Option<(&After, u32)> {
        let (_, version, definition) = self.definition(id)?;
        match &definition.timing {
            Timing::After(after) => Some((after, version)),
            _ => None,
        }
    }

    /// Whether a follower neither waits for the slot nor has decided it. Behind a cursor that was moved back only what
    /// ran is known for sure, as for any other schedule.
    fn is_new_to(&self, follower: &ScheduleRef, slot: Instant) -> bool {
        self.state.schedules.get(follower).is_some_and(|known| {
            known.cursor < Some(slot)
                && !known.awaiting.contains_key(&slot)
                && (known.decided_up_to < Some(slot) || !self.ran_before(follower, slot))
        })
    }

    /// Lets the followers of an execution that was just opened wait for it.
    pub(super) fn await_opened(&mut self, draft: &mut Draft, id: ExecutionId) {
        let Some(execution) = self.state.executions.get(&id) else { return };
        let opened = &execution.opened;
        if opened.rerun_of.is_some() {
            return;
        }
        let slot = nominal(opened);
        for follower in self.followers_of(&opened.schedule) {
            let Some((after, definition_version)) = self.after(&follower) else { continue };
            if !self.is_new_to(&follower, slot) {
                continue;
            }
            let deadline = draft.at + Duration::from_millis(after.deadline_ms);
            let awaited = SlotAwaited { slot, execution: id, deadline, definition_version };
            self.record(draft, &StreamId::Schedule(follower.clone()), awaited.into());
            self.timers.push(deadline, Timer::Deadline(follower, slot));
        }
    }

    /// Decides the slots that waited for an execution that was just closed.
    pub(super) fn deliver_to_followers(
        &mut self,
        draft: &mut Draft,
        opened: &Opened,
        outcome: Outcome,
    ) {
        let slot = nominal(opened);
        for follower in self.followers_of(&opened.schedule) {
            let known = self.state.schedules.get(&follower);
            let awaited = known.and_then(|known| known.awaiting.get(&slot));
            let met = self.after(&follower).is_some_and(|(after, _)| after.outcome.met_by(outcome));
            // At a start the deadline may have passed, and its timer is not set yet.
            let in_time = |awaiting: &&Awaiting| awaiting.deadline > draft.at;
            let awaited = awaited.filter(|awaiting| awaiting.execution == opened.root);
            if met && awaited.filter(in_time).is_some() {
                self.timers.remove(&Timer::Deadline(follower.clone(), slot));
                self.decide_delivered(draft, &follower, slot);
            }
        }
    }

    /// A slot whose deadline has come is skipped, unless it was decided meanwhile.
    pub(super) fn deadline_passed(&mut self, draft: &mut Draft, id: &ScheduleRef, slot: Instant) {
        let Some(known) = self.state.schedules.get(id) else { return };
        let Some(awaiting) = known.awaiting.get(&slot).copied() else { return };
        let (verdict, reason) = (Verdict::Skipped, Reason::Dependency);
        self.pass_slots(draft, id, Run::of(slot, verdict, reason, Some(awaiting.execution)));
    }

    /// Slots that started nothing are not followed either.
    pub(super) fn pass_to_followers(&mut self, draft: &mut Draft, id: &ScheduleRef, run: &Run) {
        for follower in self.followers_of(id) {
            if !self.is_new_to(&follower, run.last) {
                continue;
            }
            let unwanted = self.in_situation(&follower, |so| so.unwanted()).flatten();
            let reason = unwanted.unwrap_or(Reason::Dependency);
            let passed = Run { verdict: Verdict::Skipped, reason, execution: None, ..run.clone() };
            self.pass_slots(draft, &follower, passed);
        }
    }

    /// Slots that still wait are skipped: the schedule no longer follows, or is gone.
    pub(super) fn abandon_awaited(&mut self, draft: &mut Draft, id: &ScheduleRef) {
        let known = self.state.schedules.get(id);
        let slots: Vec<_> =
            known.map(|known| known.awaiting.keys().copied().collect()).unwrap_or_default();
        for slot in slots {
            self.timers.remove(&Timer::Deadline(id.clone(), slot));
            self.deadline_passed(draft, id, slot);
        }
    }

    /// Sets the deadlines anew after a restart; those that have passed are due at once.
    pub(super) fn plan_deadlines(&mut self) {
        for id in self.followers.values().flatten() {
            let Some(known) = self.state.schedules.get(id) else { continue };
            for (slot, awaiting) in &known.awaiting {
                self.timers.push(awaiting.deadline, Timer::Deadline(id.clone(), *slot));
            }
        }
    }
}

/// The slot that followers of an execution have: its own, or the creation of the first of its chain when that has none.
fn nominal(opened: &Opened) -> Instant {
    opened.slot.unwrap_or_else(|| opened.root.instant())
}
