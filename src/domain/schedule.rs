//! One schedule's life: how far its slots are decided, whether it is paused, how its newest executions ended.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::definition::Rate;
use super::event::{Actor, Closed, Event, Opened, Outcome, SlotAwaited};
use crate::ids::ExecutionId;
use crate::instant::Instant;

/// A schedule, folded from its own stream and from the streams of its executions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The stream's version: events applied so far.
    pub version: u64,
    /// Everything up to here is decided; none before it is first anchored.
    pub cursor: Option<Instant>,
    /// The newest nominal instant ever decided. A slot beyond it is surely new; the cursor alone may have been moved back.
    pub decided_up_to: Option<Instant>,
    /// A person paused it.
    pub paused: Option<Box<Pause>>,
    /// It is no longer in its file.
    pub removed: bool,
    /// Its executions that are not over.
    pub open: BTreeSet<ExecutionId>,
    /// Slots that wait for another schedule's execution, by nominal instant.
    pub awaiting: BTreeMap<Instant, Awaiting>,
    /// Retention forgot what became of the slots up to here. They are decided, whatever else is known of them.
    pub forgotten: Option<Instant>,
    /// The slot that somebody asked to skip. Boxed, since hardly any of many schedules has one.
    pub skip_next: Option<Box<Instant>>,
    /// Its newest backfill. Boxed, since hardly any of many schedules has one.
    pub backfill: Option<Box<Backfilling>>,
    /// The newest slot whose execution or re-run ended ok.
    pub last_ok_slot: Option<Instant>,
    /// When an execution last ended ok.
    pub last_ok_at: Option<Instant>,
    /// The newest execution, by opening.
    pub newest: Option<Newest>,
    /// The newest finished execution that was not cancelled, by opening.
    pub finished: Option<Finished>,
}

/// That somebody paused something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// When.
    pub at: Instant,
    /// Who; the event does not say it, its envelope does.
    pub actor: Option<Actor>,
    /// Why, in the operator's words.
    pub note: Option<String>,
    /// When it resumes by itself.
    pub until: Option<Instant>,
}

/// What a backfill left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backfilling {
    /// Its pace, which all backfilled executions of the schedule keep.
    pub rate: Option<Rate>,
    /// The stream's version with it.
    pub version: u64,
}

/// What a slot waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaiting {
    /// The execution, or a re-run of it.
    pub execution: ExecutionId,
    /// Until when.
    pub deadline: Instant,
}

/// A schedule's newest execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Newest {
    /// Its id.
    pub execution: ExecutionId,
    /// When it was opened.
    pub at: Instant,
    /// How and when it ended; none while it is open.
    pub ended: Option<(Outcome, Instant)>,
}

/// A schedule's newest finished execution that was not cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// Its id.
    pub execution: ExecutionId,
    /// Its opening's place among all openings.
    pub ordinal: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// When it ended.
    pub at: Instant,
    /// A person has dealt with it.
    pub acknowledged: bool,
}

impl Schedule {
    /// Whether the newest finished execution is an open KO (contract, rule 5).
    pub fn red(&self) -> bool {
        self.finished
            .as_ref()
            .is_some_and(|newest| newest.outcome == Outcome::Ko && !newest.acknowledged)
    }

    /// The newest slot before `slot` that ended ok, as far as this state knows.
    pub fn last_ok_before(&self, slot: Option<Instant>) -> Option<Instant> {
        self.last_ok_slot.filter(|ok| slot.is_none_or(|slot| *ok < slot))
    }

    /// Folds one recorded fact of its own stream.
    pub fn apply(&mut self, at: Instant, event: &Event) {
        self.version += 1;
        match event {
            Event::ScheduleAnchored(anchored) => {
                self.cursor = Some(anchored.cursor);
                self.removed = false;
            }
            Event::SlotStarted(started) => {
                self.decided(at, started.slot);
                self.awaiting.remove(&started.slot);
            }
            Event::SlotsPassed(passed) => {
                self.decided(at, passed.last);
                // Not all between first and last: one that ran before the clock was set back has another story.
                let listed_to = passed.instants.last().copied();
                self.awaiting.retain(|slot, _| {
                    let beyond = Some(*slot) > listed_to && *slot <= passed.last;
                    !beyond && passed.instants.binary_search(slot).is_err()
                });
            }
            Event::SlotAwaited(awaited) => {
                let SlotAwaited { slot, execution, deadline, .. } = *awaited;
                self.awaiting.insert(slot, Awaiting { execution, deadline });
            }
            Event::BackfillAsked(asked) => {
                let (rate, version) = (asked.rate, self.version);
                self.backfill = Some(Box::new(Backfilling { rate, version }));
            }
            Event::SchedulePaused(paused) => {
                let (note, until) = (paused.note.clone(), paused.until);
                self.paused = Some(Box::new(Pause { at, actor: None, note, until }));
            }
            Event::ScheduleResumed(_) => self.paused = None,
            Event::SkipNextAsked(asked) => self.skip_next = Some(Box::new(asked.slot)),
            Event::SkipNextUndone(_) => self.skip_next = None,
            Event::ScheduleRemoved(_) => {
                self.removed = true;
                self.skip_next = None;
            }
            other => debug_assert!(false, "{} in a schedule's stream", other.name()),
        }
    }

    fn decided(&mut self, at: Instant, last: Instant) {
        // One from before the clock was set back, which waits for another schedule or is handed on by it, lies ahead; those
        // before it are still to come.
        if last <= at {
            self.cursor = self.cursor.max(Some(last));
        }
        self.decided_up_to = self.decided_up_to.max(Some(last));
        // Also when there was no such slot: the wish is for no later one.
        if self.skip_next.as_deref().is_some_and(|slot| *slot <= last) {
            self.skip_next = None;
        }
    }

    /// Folds the opening of one of its executions.
    pub fn opened(&mut self, execution: ExecutionId, at: Instant) {
        self.open.insert(execution);
        self.newest = Some(Newest { execution, at, ended: None });
    }

    /// Folds the closing of one of its executions.
    pub fn closed(
        &mut self,
        execution: ExecutionId,
        at: Instant,
        opened: (&Opened, u64),
        closed: &Closed,
    ) {
        let (opened, ordinal) = opened;
        self.open.remove(&execution);
        if let Some(newest) = self.newest.as_mut().filter(|newest| newest.execution == execution) {
            newest.ended = Some((closed.outcome, at));
        }
        if closed.outcome == Outcome::Ok {
            self.last_ok_at = Some(at);
            self.last_ok_slot = self.last_ok_slot.max(opened.slot);
        }
        if closed.outcome != Outcome::Cancelled
            && self.finished.as_ref().is_none_or(|newest| newest.ordinal < ordinal)
        {
            self.finished = Some(Finished {
                execution,
                ordinal,
                outcome: closed.outcome,
                at,
                acknowledged: false,
            });
        }
    }

    /// Up to where retention may forget the slots: all of them are decided, and nothing waits for what they say.
    pub fn forgettable(&self) -> Option<Instant> {
        let just_before = |at: Instant| Instant::from_millis(at.millis() - 1);
        let decided = self.cursor.min(self.decided_up_to).map(just_before);
        let awaited = self.awaiting.keys().next().copied().map(just_before);
        decided.map(|decided| awaited.map_or(decided, |awaited| decided.min(awaited)))
    }

    /// Folds that retention forgot the slots up to `until`.
    pub fn forgets(&mut self, until: Instant) {
        self.forgotten = self.forgotten.max(Some(until));
    }

    /// Drops what stands for a forgotten slot only because the event that settled it was forgotten, too.
    pub fn settle_forgotten(&mut self) {
        let Some(until) = self.forgotten else { return };
        self.awaiting.retain(|slot, _| *slot > until);
        if self.skip_next.as_deref().is_some_and(|slot| *slot <= until) {
            self.skip_next = None;
        }
    }

    /// Folds that a person has dealt with one of its executions.
    pub fn acknowledged(&mut self, execution: ExecutionId) {
        if let Some(newest) = &mut self.finished
            && newest.execution == execution
        {
            newest.acknowledged = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::SlotsPassed;
    use crate::domain::slot::{Reason, Verdict};

    /// A follower of a follower hears of a slot that it did not wait for, in a time that is still to come once more.
    #[test]
    fn a_slot_that_lies_ahead_does_not_carry_the_cursor_there() {
        let at = Instant::from_secs;
        let passed = |slot| SlotsPassed {
            first: at(slot),
            last: at(slot),
            count: 1,
            verdict: Verdict::Skipped,
            reason: Reason::Dependency,
            definition_version: 1,
            zone_data: String::new(),
            instants: vec![at(slot)],
            execution: None,
        };
        let mut schedule = Schedule::default();
        schedule.apply(at(30), &passed(30).into());
        schedule.apply(at(40), &passed(90).into());
        assert_eq!((schedule.cursor, schedule.decided_up_to), (Some(at(30)), Some(at(90))));
    }

    #[test]
    fn a_slot_that_waits_between_two_that_passed_waits_on() {
        let at = Instant::from_secs;
        let execution = ExecutionId::random(at(20), [1; 10]);
        let (deadline, definition_version) = (at(900), 1);
        let mut schedule = Schedule::default();
        for slot in [at(10), at(20)] {
            let awaited = SlotAwaited { slot, execution, deadline, definition_version };
            schedule.apply(slot, &awaited.into());
        }
        let passed = SlotsPassed {
            first: at(10),
            last: at(30),
            count: 2,
            verdict: Verdict::Skipped,
            reason: Reason::Dependency,
            definition_version,
            zone_data: String::new(),
            instants: vec![at(10), at(30)],
            execution: None,
        };
        schedule.apply(at(30), &passed.into());
        assert_eq!(schedule.awaiting.keys().copied().collect::<Vec<_>>(), [at(20)]);
    }
}
