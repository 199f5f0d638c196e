//! Skip-next: somebody names the next slot that is not to run.
//!
//! The wish names one instant. The slot there is `skipped(skip-next)`, unless something stronger skips it; when the timing
//! no longer has a slot there, the wish lapses with the next slot that is decided, and no other slot is skipped for it.

use super::core::{Draft, Engine};
use super::handle::{Done, Handle, Refusal, Request};
use crate::domain::definition::Timing;
use crate::domain::event::{Actor, SkipNextAsked, SkipNextUndone};
use crate::ids::{ScheduleRef, StreamId};
use crate::instant::Instant;

impl Handle {
    /// Skips the next slot that would run, and answers with it. Asked again, it answers with the same slot.
    ///
    /// # Errors
    /// [`Refusal::Conflict`] when no slot lies ahead that would run.
    pub async fn skip_next(
        &self,
        actor: Actor,
        schedule: ScheduleRef,
    ) -> Result<Done<Instant>, Refusal> {
        self.ask(actor, |reply| Request::SkipNext { schedule, reply }).await
    }

    /// Takes the wish back, and answers with the slot that it named.
    ///
    /// # Errors
    /// [`Refusal::Conflict`] when there is none, or the slot is decided.
    pub async fn undo_skip_next(
        &self,
        actor: Actor,
        schedule: ScheduleRef,
    ) -> Result<Done<Instant>, Refusal> {
        self.ask(actor, |reply| Request::UndoSkipNext { schedule, reply }).await
    }
}

impl Engine {
    pub(super) fn skip_next(
        &mut self,
        draft: &mut Draft,
        id: &ScheduleRef,
    ) -> Result<Instant, Refusal> {
        let definition_version = self.decide_before(draft, id)?;
        let cursor = self.state.schedules.get(id).and_then(|schedule| schedule.cursor);
        let planned = self.plans.get(id).cloned().zip(cursor);
        let (plan, cursor) = planned.ok_or_else(|| self.no_slot_ahead(id, None))?;
        let asked = self.asked_to_skip(id);
        let mut wishes = self.wishes(id).unwrap_or_default();
        // A wish speaks against nothing here: it may have lapsed, or name a slot behind one that runs again.
        wishes.skip_next = None;
        let next = wishes.next_wanted(&plan, cursor);
        if let Some(slot) = asked.filter(|asked| next.is_none_or(|next| next >= *asked)) {
            return Ok(slot);
        }
        let Some(slot) = next else {
            let why = plan.next_after(cursor).and_then(|slot| wishes.against(slot));
            return Err(self.no_slot_ahead(id, why.map(|why| why.to_string())));
        };
        let asked = SkipNextAsked { slot, definition_version };
        self.record(draft, &StreamId::Schedule(id.clone()), asked.into());
        Ok(slot)
    }

    pub(super) fn undo_skip_next(
        &mut self,
        draft: &mut Draft,
        id: &ScheduleRef,
    ) -> Result<Instant, Refusal> {
        self.decide_before(draft, id)?;
        let Some(slot) = self.asked_to_skip(id) else {
            let why = format!("no slot of `{id}` is to be skipped: there is nothing to take back");
            return Err(Refusal::Conflict { why, execution: None });
        };
        self.record(draft, &StreamId::Schedule(id.clone()), SkipNextUndone { slot }.into());
        Ok(slot)
    }

    /// Decides what is due as things were; gives the definition version in force.
    fn decide_before(&mut self, draft: &mut Draft, id: &ScheduleRef) -> Result<u32, Refusal> {
        let known = self.definition(id).map(|(_, version, _)| version);
        let version =
            known.ok_or_else(|| Refusal::NotFound { what: format!("schedule `{id}`") })?;
        self.decide_slots(draft, id);
        self.plan_next(id);
        Ok(version)
    }

    /// The slot that is to be skipped. None also when the wish has lapsed: the plan has no slot there any more.
    fn asked_to_skip(&self, id: &ScheduleRef) -> Option<Instant> {
        let slot = self.state.schedules.get(id)?.skip_next.as_deref().copied()?;
        let just_before = Instant::from_millis(slot.millis().saturating_sub(1));
        (self.plans.get(id)?.next_after(just_before) == Some(slot)).then_some(slot)
    }

    fn no_slot_ahead(&self, id: &ScheduleRef, against: Option<String>) -> Refusal {
        let timing = self.definition(id).map(|(_, _, definition)| &definition.timing);
        let why = match (timing, against) {
            (_, Some(why)) => format!("no slot of `{id}` in sight would run: {why}"),
            (Some(Timing::After(after)), None) => {
                format!("`{id}` has no slots of its own: it follows `{}`", after.schedule)
            }
            (Some(timing @ (Timing::Manual | Timing::Reboot)), None) => {
                format!("`{id}` has no slots: it is a {} schedule", timing.kind())
            }
            (Some(_) | None, None) => format!("`{id}` has no slot ahead"),
        };
        Refusal::Conflict { why, execution: None }
    }
}
