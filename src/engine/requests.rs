//! What people ask of the engine, and its answers.

use std::sync::Arc;

use super::commit::After;
use super::core::{Draft, Engine, Timer};
use super::handle::{
    Asked, Done, Order, Pause, Refusal, ReloadReport, Reply, Request, Rerun, Target,
};
use super::params;
use super::ports::{Continuation, News, Unfinished};
use super::slots::Opening;
use crate::domain::definition::Overlap;
use crate::domain::event::{
    Actor, Event, InterfacePaused, InterfaceResumed, Noted, Opened, RequestAnswered,
    SchedulePaused, ScheduleResumed, TokenCreated, TokenRevoked, Trigger,
};
use crate::domain::execution::{Command, Phase};
use crate::ids::{ExecutionId, Position, ScheduleRef, StreamId};

/// A larger answer is not remembered: each stays in memory for a day.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// An execution that is to run again.
#[derive(Debug)]
pub(super) struct Original {
    pub(super) id: ExecutionId,
    pub(super) opened: Opened,
    pub(super) force: bool,
}

impl Engine {
    pub(super) fn answer(&mut self, asked: Asked) {
        let Asked { actor, request } = asked;
        match request {
            Request::Run { order, reply } => {
                self.decide(actor, reply, |engine, draft| engine.run_now(draft, order))
            }
            Request::Rerun { executions, force, reply } => {
                self.look_up_originals(actor, executions, force, reply)
            }
            Request::Backfill { backfill, reply } => self.look_up_backfill(actor, backfill, reply),
            Request::Cancel { execution, note, reply } => {
                self.decide(actor, reply, |engine, draft| engine.cancel(draft, execution, note));
            }
            Request::Note { execution, noted, reply } => {
                self.look_up_noted(actor, execution, noted, reply)
            }
            Request::Pause { pause, reply } => {
                let by = actor.clone();
                self.decide(actor, reply, move |engine, draft| engine.pause(draft, pause, &by));
            }
            Request::Resume { target, reply } => {
                self.decide(actor, reply, |engine, draft| engine.resume(draft, &target));
            }
            Request::SkipNext { schedule, reply } => {
                self.decide(actor, reply, |engine, draft| engine.skip_next(draft, &schedule));
            }
            Request::UndoSkipNext { schedule, reply } => {
                self.decide(actor, reply, |engine, draft| engine.undo_skip_next(draft, &schedule));
            }
            Request::Drain { deadline, reply } => {
                self.decide(actor, reply, |engine, draft| engine.drain(draft, deadline));
            }
            Request::Reload { reply } => self.read_files(actor, reply),
            Request::CreateToken { token, reply } => {
                self.decide(actor, reply, |engine, draft| engine.create_token(draft, token));
            }
            Request::RevokeToken { id, reply } => {
                self.decide(actor, reply, |engine, draft| engine.revoke_token(draft, id));
            }
            Request::RecordLogin { login, reply } => self.decide(actor, reply, |engine, draft| {
                engine.record(draft, &StreamId::Daemon, login.into());
                Ok(())
            }),
            Request::RecordBackup { backup, reply } => {
                self.decide(actor, reply, |engine, draft| {
                    engine.record(draft, &StreamId::Daemon, backup.into());
                    Ok(())
                })
            }
            // What it belongs to was done: a repetition must find it.
            Request::RememberAnswer { answer, reply } => {
                self.decide_anyway(actor, reply, |engine, draft| engine.remember(draft, answer))
            }
        }
    }

    /// Makes one draft of what `decision` records, and answers when it is on disk.
    pub(super) fn decide<T: Send + 'static>(
        &mut self,
        actor: Actor,
        reply: Reply<T>,
        decision: impl FnOnce(&mut Self, &mut Draft) -> Result<T, Refusal>,
    ) {
        if self.disk.log_waits() {
            // Whatever is decided now would be answered only when there is room.
            drop(reply.send(Err(super::disk::full())));
            return;
        }
        self.decide_anyway(actor, reply, decision);
    }

    fn decide_anyway<T: Send + 'static>(
        &mut self,
        actor: Actor,
        reply: Reply<T>,
        decision: impl FnOnce(&mut Self, &mut Draft) -> Result<T, Refusal>,
    ) {
        let mut draft = Draft::new(self.now(), actor);
        let value = decision(self, &mut draft);
        self.start_ready(&mut draft);
        // Whoever asked may have gone away; the decision stands.
        draft.then(After::Answer(Box::new(move |position| {
            drop(reply.send(value.map(|value| Done { value, position })));
        })));
        self.submit(draft);
    }

    /// Reads something away from the engine's task, and goes on in it.
    pub(super) fn away<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
        go_on: impl FnOnce(&mut Self, T) + Send + 'static,
    ) {
        let news = self.news.clone();
        tokio::task::spawn_blocking(move || {
            let found = read();
            let go_on: Continuation = Box::new(move |engine| go_on(engine, found));
            drop(news.send(News::GoOn(go_on)));
        });
    }

    fn look_up_originals(
        &self,
        actor: Actor,
        ids: Vec<ExecutionId>,
        force: bool,
        reply: Reply<Vec<Rerun>>,
    ) {
        let log = Arc::clone(&self.parts.log);
        let read = move || {
            let mut found: Vec<_> = ids.into_iter().map(|id| (id, opening_of(&*log, id))).collect();
            // What was opened first runs first.
            found.sort_by_key(|(_, opened)| {
                opened.as_ref().map_or_else(|_refused| Position::default(), |(at, _)| *at)
            });
            found
        };
        self.away(read, move |engine, found| {
            engine.decide(actor, reply, |engine, draft| {
                let rerun =
                    |(id, opened): (ExecutionId, Result<(Position, Opened), Refusal>)| Rerun {
                        of: id,
                        answer: opened.and_then(|(_, opened)| {
                            engine.rerun(draft, Original { id, opened, force })
                        }),
                    };
                Ok(found.into_iter().map(rerun).collect())
            });
        });
    }

    fn look_up_noted(&self, actor: Actor, id: ExecutionId, noted: Noted, reply: Reply<()>) {
        let log = Arc::clone(&self.parts.log);
        self.away(
            move || opening_of(&*log, id),
            move |engine, opened| {
                engine.decide(actor, reply, |engine, draft| {
                    opened?;
                    let stream = StreamId::Execution(id);
                    if !engine.is_countable(&stream) {
                        return Err(Refusal::Rebuilding { what: format!("execution {id}") });
                    }
                    engine.record(draft, &stream, noted.into());
                    Ok(())
                });
            },
        );
    }

    fn read_files(&self, actor: Actor, reply: Reply<ReloadReport>) {
        let definitions = Arc::clone(&self.parts.definitions);
        self.away(
            move || definitions.load(),
            move |engine, files| {
                engine.decide(actor, reply, |engine, draft| Ok(engine.apply(draft, files)))
            },
        );
    }

    fn create_token(&mut self, draft: &mut Draft, token: TokenCreated) -> Result<(), Refusal> {
        if self.state.daemon.tokens.values().any(|live| live.name == token.name) {
            let why = format!(
                "a token named `{}` exists; revoke it first, or choose another name",
                token.name
            );
            return Err(Refusal::Conflict { why, execution: None });
        }
        self.record(draft, &StreamId::Daemon, token.into());
        Ok(())
    }

    fn revoke_token(&mut self, draft: &mut Draft, id: String) -> Result<(), Refusal> {
        if !self.state.daemon.tokens.contains_key(&id) {
            return Err(Refusal::NotFound { what: format!("token `{id}`") });
        }
        self.record(draft, &StreamId::Daemon, TokenRevoked { id }.into());
        Ok(())
    }

    fn remember(&mut self, draft: &mut Draft, answer: RequestAnswered) -> Result<(), Refusal> {
        let bytes = answer.body.len();
        if bytes > ANSWER_BYTES_MAX {
            let why = format!("has {bytes} bytes, at most {ANSWER_BYTES_MAX} are remembered");
            return Err(Refusal::Invalid { field: "body".to_owned(), why });
        }
        self.record(draft, &StreamId::Daemon, answer.into());
        Ok(())
    }

    fn run_now(&mut self, draft: &mut Draft, run: Order) -> Result<ExecutionId, Refusal> {
        self.refuse_draining()?;
        let id = &run.schedule;
        let Some((_, _, definition)) = self.definition(id) else { return Err(no_schedule(id)) };
        params::check(&run.params, definition)
            .map_err(|(name, why)| Refusal::Invalid { field: format!("params.{name}"), why })?;
        self.refuse_overlap(id, run.force)?;
        let execution = ExecutionId::random(draft.at, (self.parts.entropy)());
        let opening = Opening { execution, trigger: Trigger::Manual, slot: None, at: draft.at };
        let mut opened = self.opening(id, opening);
        opened.params.extend(run.params);
        opened.forced = run.force;
        self.open(draft, execution, opened);
        Ok(execution)
    }

    fn rerun(&mut self, draft: &mut Draft, original: Original) -> Result<ExecutionId, Refusal> {
        self.refuse_draining()?;
        self.refuse_rerun(&original)?;
        Ok(self.open_again(draft, original, Trigger::Rerun))
    }

    /// Opens a re-run: with the current definition, and the original's slot, parameters and idempotency key.
    pub(super) fn open_again(
        &mut self,
        draft: &mut Draft,
        original: Original,
        trigger: Trigger,
    ) -> ExecutionId {
        let before = original.opened;
        let execution = ExecutionId::random(draft.at, (self.parts.entropy)());
        let slot = before.slot;
        let opening = Opening { execution, trigger, slot, at: draft.at };
        let fresh = self.opening(&before.schedule, opening);
        let mut params = fresh.params;
        params.extend(before.params);
        let opened = Opened {
            trigger,
            definition_version: fresh.definition_version,
            priority: fresh.priority,
            rerun_of: Some(original.id),
            params,
            forced: original.force,
            ..before
        };
        self.open(draft, execution, opened);
        execution
    }

    /// Why an execution may not run again now.
    fn refuse_rerun(&self, original: &Original) -> Result<(), Refusal> {
        let id = &original.opened.schedule;
        if self.state.executions.contains_key(&original.id) {
            let why = format!("execution {} is not over yet", original.id);
            return Err(Refusal::Conflict { why, execution: Some(original.id) });
        }
        if self.definition(id).is_none() {
            let why = format!("schedule `{id}` is no longer in its file");
            return Err(Refusal::Conflict { why, execution: None });
        }
        self.refuse_overlap(id, original.force)
    }

    fn refuse_overlap(&self, id: &ScheduleRef, force: bool) -> Result<(), Refusal> {
        let Some((_, _, definition)) = self.definition(id) else { return Err(no_schedule(id)) };
        let open = self.state.schedules.get(id).and_then(|schedule| schedule.open.first());
        match open {
            Some(open) if definition.overlap != Overlap::Allow && !force => {
                Err(Refusal::Conflict {
                    why: format!(
                        "execution {open} of `{id}` is not over yet; --force runs it beside that one"
                    ),
                    execution: Some(*open),
                })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn cancel(
        &mut self,
        draft: &mut Draft,
        id: ExecutionId,
        note: Option<String>,
    ) -> Result<(), Refusal> {
        if !self.state.executions.contains_key(&id) {
            let why = format!("execution {id} is over");
            return Err(Refusal::Conflict { why, execution: Some(id) });
        }
        self.cancel_one(draft, id, note);
        Ok(())
    }

    /// Asks for the end of an open execution, unless that was asked already.
    pub(super) fn cancel_one(&mut self, draft: &mut Draft, id: ExecutionId, note: Option<String>) {
        let Some(execution) = self.state.executions.get(&id) else { return };
        let Ok(requested) = execution.decide(draft.at, Command::Cancel(note)) else { return };
        let queued = execution.phase == Phase::Queued && self.ready.leave(id, execution);
        self.record(draft, &StreamId::Execution(id), requested);
        if queued {
            if let Some(work) = self.work(id) {
                draft.then(After::Conclude(work, Unfinished::CancelledInQueue, self.reporter(id)));
            }
        } else if let Some(token) = self.cancels.get(&id) {
            draft.then(After::Cancel(token.clone()));
        }
    }

    /// Pauses; what a pause in force says and this one does not, stays so.
    fn pause(&mut self, draft: &mut Draft, pause: Pause, by: &Actor) -> Result<(), Refusal> {
        let Pause { target, note, until } = pause;
        self.target_exists(&target)?;
        let before = match &target {
            Target::Schedule(id) => self.state.schedules.get(id).and_then(|row| row.paused.clone()),
            Target::Interface(id) => {
                self.state.interfaces.get(id).and_then(|row| row.paused.clone())
            }
        };
        let (old_note, old_until) = before.map_or((None, None), |old| (old.note, old.until));
        let (note, until) = (note.or(old_note), until.or(old_until));
        let schedules = self.schedules_under(&target);
        // What was due before is decided as it was then.
        schedules.iter().for_each(|schedule| self.decide_slots(draft, schedule));
        let (stream, event, timer) = match target {
            Target::Schedule(id) => (
                StreamId::Schedule(id.clone()),
                Event::from(SchedulePaused { note, until }),
                Timer::Resume(id),
            ),
            Target::Interface(id) => (
                StreamId::Interface(id.clone()),
                InterfacePaused { note, until }.into(),
                Timer::ResumeInterface(id),
            ),
        };
        self.record(draft, &stream, event);
        self.state.paused_by(&stream, by);
        match until {
            Some(at) => self.timers.push(at, timer),
            None => drop(self.timers.remove(&timer)),
        }
        schedules.iter().for_each(|schedule| self.plan_next(schedule));
        Ok(())
    }

    fn resume(&mut self, draft: &mut Draft, target: &Target) -> Result<(), Refusal> {
        self.target_exists(target)?;
        let schedules = self.schedules_under(target);
        schedules.iter().for_each(|schedule| self.decide_slots(draft, schedule));
        match target {
            Target::Schedule(id)
                if self.state.schedules.get(id).is_some_and(|known| known.paused.is_some()) =>
            {
                self.record(draft, &StreamId::Schedule(id.clone()), ScheduleResumed {}.into());
            }
            Target::Interface(id)
                if self.state.interfaces.get(id).is_some_and(|known| known.paused.is_some()) =>
            {
                self.record(draft, &StreamId::Interface(id.clone()), InterfaceResumed {}.into());
            }
            Target::Schedule(_) | Target::Interface(_) => (),
        }
        schedules.iter().for_each(|schedule| self.plan_next(schedule));
        Ok(())
    }

    fn target_exists(&self, target: &Target) -> Result<(), Refusal> {
        match target {
            Target::Schedule(id) if self.definition(id).is_none() => Err(no_schedule(id)),
            Target::Interface(id)
                if self.state.interfaces.get(id).is_none_or(|interface| interface.removed) =>
            {
                Err(Refusal::NotFound { what: format!("interface `{id}`") })
            }
            Target::Schedule(_) | Target::Interface(_) => Ok(()),
        }
    }

    fn schedules_under(&self, target: &Target) -> Vec<ScheduleRef> {
        match target {
            Target::Schedule(id) => vec![id.clone()],
            Target::Interface(id) => self.schedules_of(id),
        }
    }
}

pub(super) fn no_schedule(id: &ScheduleRef) -> Refusal {
    Refusal::NotFound { what: format!("schedule `{id}`") }
}

/// Where and as what an execution was opened, from the log.
pub(super) fn opening_of(
    log: &dyn crate::store::EventLog,
    id: ExecutionId,
) -> Result<(Position, Opened), Refusal> {
    let what = format!("execution {id}");
    let events = log
        .read_stream(&StreamId::Execution(id), 0, 1)
        .map_err(|err| Refusal::Unavailable { why: err.to_string() })?;
    match events.into_iter().next().map(|envelope| (envelope.position, envelope.event)) {
        Some((position, Event::Opened(opened))) => Ok((position, opened)),
        Some(_) | None => Err(Refusal::NotFound { what }),
    }
}
