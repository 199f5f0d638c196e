//! Backfills: slots of the past that a person wants run, one after another, oldest first.

use std::collections::HashMap;
use std::sync::Arc;

use super::core::{Draft, Engine};
use super::handle::{Done, Handle, Refusal, Reply, Request};
use super::requests::{Original, no_schedule, opening_of};
use super::slots::Opening;
use crate::domain::definition::Rate;
use crate::domain::event::{Actor, BackfillAsked, Opened, Trigger};
use crate::ids::{ExecutionId, ScheduleRef, StreamId};
use crate::instant::Instant;
use crate::store::{EventLog, ReadError};

/// Slots of one backfill at most: each is an open execution until its turn has come and gone.
pub const BACKFILL_MAX: usize = 10_000;

/// Slots in one append.
const PART: usize = 500;

/// What is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backfill {
    /// The schedule.
    pub schedule: ScheduleRef,
    /// The earliest nominal instant asked for.
    pub from: Instant,
    /// Where they end.
    pub to: Instant,
    /// Slots out of the ledger, ascending, at most [`BACKFILL_MAX`].
    pub slots: Vec<Candidate>,
    /// How many start in a period; the pace of catching up unless given.
    pub rate: Option<Rate>,
    /// Only tell what would run.
    pub dry_run: bool,
}

/// A decided slot that is to run, or to run again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// Its nominal instant.
    pub slot: Instant,
    /// The KO that is to run again; none when it never ran.
    pub failed: Option<ExecutionId>,
    /// The slot before it, for one that follows another schedule: no plan tells it.
    pub previous: Option<Instant>,
    /// The newest slot before it whose execution or a re-run of it ended ok.
    pub last_ok: Option<Instant>,
}

/// What became of one slot, or in a dry run would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backfilled {
    /// The slot.
    pub slot: Instant,
    /// The execution that runs again.
    pub rerun_of: Option<ExecutionId>,
    /// The execution that is opened; none for a slot that is left, and for a re-run in a dry run.
    pub execution: Option<ExecutionId>,
    /// Why the slot is left as it is.
    pub left: Option<String>,
}

/// What the log says of a candidate.
struct Found {
    candidate: Candidate,
    /// The opening of the KO that is to run again.
    opened: Option<Opened>,
    /// Why there is nothing to do.
    left: Option<String>,
}

impl Handle {
    /// Opens executions for slots of the past; each slot at most once, however often it is asked.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn backfill(
        &self,
        actor: Actor,
        backfill: Backfill,
    ) -> Result<Done<Vec<Backfilled>>, Refusal> {
        self.ask(actor, |reply| Request::Backfill { backfill, reply }).await
    }
}

impl Engine {
    /// Asks the log which slots have run meanwhile, away from the engine's task, and goes on with the answer.
    pub(super) fn look_up_backfill(
        &self,
        actor: Actor,
        backfill: Backfill,
        reply: Reply<Vec<Backfilled>>,
    ) {
        let log = Arc::clone(&self.parts.log);
        let newest = self.newest_backfill(&backfill.schedule);
        let slots = backfill.slots.clone();
        let schedule = backfill.schedule.clone();
        let read = move || {
            let found = slots.into_iter().map(|candidate| found(&*log, &schedule, candidate));
            found.collect::<Result<Vec<_>, Refusal>>()
        };
        self.away(read, move |engine, found| {
            // Another backfill may have opened some of them since; nobody else opens slots of the past.
            if engine.newest_backfill(&backfill.schedule) != newest && !reply.is_closed() {
                return engine.look_up_backfill(actor, backfill, reply);
            }
            engine.decide(actor, reply, |engine, draft| engine.backfill(draft, &backfill, found?));
        });
    }

    fn newest_backfill(&self, id: &ScheduleRef) -> Option<u64> {
        Some(self.state.schedules.get(id)?.backfill.as_ref()?.version)
    }

    fn backfill(
        &mut self,
        draft: &mut Draft,
        backfill: &Backfill,
        found: Vec<Found>,
    ) -> Result<Vec<Backfilled>, Refusal> {
        self.refuse_draining()?;
        let id = &backfill.schedule;
        let Some((_, _, definition)) = self.definition(id) else { return Err(no_schedule(id)) };
        let rate = backfill.rate.or(definition.catch_up.rate);
        let found = self.unless_open(id, found);
        let mut answer = Vec::with_capacity(found.len());
        let mut found = found.into_iter().peekable();
        while found.peek().is_some() {
            let part: Vec<Found> = found.by_ref().take(PART).collect();
            answer.extend(self.backfill_part(draft, backfill, rate, part));
            self.submit_if_large(draft);
        }
        Ok(answer)
    }

    /// Opens a part of a backfill: one append, which tells how many it holds.
    fn backfill_part(
        &mut self,
        draft: &mut Draft,
        backfill: &Backfill,
        rate: Option<Rate>,
        part: Vec<Found>,
    ) -> Vec<Backfilled> {
        let id = &backfill.schedule;
        let count = part.iter().filter(|found| found.left.is_none()).count() as u64;
        if count > 0 && !backfill.dry_run {
            let asked = BackfillAsked { from: backfill.from, to: backfill.to, count, rate };
            self.record(draft, &StreamId::Schedule(id.clone()), asked.into());
        }
        let mut answer = Vec::with_capacity(part.len());
        for Found { candidate, opened, left } in part {
            let Candidate { slot, failed, .. } = candidate;
            let own = ExecutionId::for_slot(id, slot);
            let execution = match (&left, opened) {
                (Some(_), _) => None,
                (None, opened) if backfill.dry_run => opened.is_none().then_some(own),
                (None, None) => Some(self.open_slot_of_the_past(draft, id, candidate)),
                (None, Some(opened)) => {
                    let original = Original { id: failed.unwrap_or(own), opened, force: false };
                    Some(self.open_again(draft, original, Trigger::Backfill))
                }
            };
            answer.push(Backfilled { slot, rerun_of: failed, execution, left });
        }
        answer
    }

    /// The same, but those are left whose slot has an open execution or is still to come.
    fn unless_open(&self, id: &ScheduleRef, mut found: Vec<Found>) -> Vec<Found> {
        let Some(schedule) = self.state.schedules.get(id) else { return found };
        let slot_of =
            |open: &ExecutionId| Some((self.state.executions.get(open)?.opened.slot?, *open));
        let open: HashMap<Instant, ExecutionId> =
            schedule.open.iter().filter_map(slot_of).collect();
        for Found { candidate, left, .. } in &mut found {
            if let Some(open) = open.get(&candidate.slot) {
                *left = Some(format!("execution {open} of it is not over yet"));
            } else if left.is_none() && schedule.decided_up_to < Some(candidate.slot) {
                *left = Some("it is not decided yet".to_owned());
            }
        }
        found
    }

    /// The slot keeps its outcome; the execution has the slot's own id.
    fn open_slot_of_the_past(
        &mut self,
        draft: &mut Draft,
        id: &ScheduleRef,
        candidate: Candidate,
    ) -> ExecutionId {
        let Candidate { slot, previous, last_ok, .. } = candidate;
        let execution = ExecutionId::for_slot(id, slot);
        let trigger = Trigger::Backfill;
        let opening = Opening { execution, trigger, slot: Some(slot), at: draft.at };
        let mut opened = self.opening(id, opening);
        // The state knows the newest ones alone.
        opened.previous_slot = opened.previous_slot.or(previous);
        opened.last_ok_slot = last_ok;
        self.open(draft, execution, opened);
        execution
    }
}

fn found(
    log: &dyn EventLog,
    schedule: &ScheduleRef,
    candidate: Candidate,
) -> Result<Found, Refusal> {
    if let Some(failed) = candidate.failed {
        let (_, opened) = opening_of(log, failed)?;
        return Ok(Found { candidate, opened: Some(opened), left: None });
    }
    let own = ExecutionId::for_slot(schedule, candidate.slot);
    let unreadable = |err: ReadError| Refusal::Unavailable { why: err.to_string() };
    let ran = !log.read_stream(&StreamId::Execution(own), 0, 1).map_err(unreadable)?.is_empty();
    let left = ran.then(|| format!("execution {own} ran for it"));
    Ok(Found { candidate, opened: None, left })
}
