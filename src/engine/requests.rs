//! What people ask of the engine, and its answers.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use super::commit::After;
use super::core::{Draft, Engine, Timer};
use super::params;
use super::ports::{Files, News, Unfinished};
use super::refusal::Refusal;
use crate::domain::definition::Overlap;
use crate::domain::event::{
    Actor, DeliveryEnded, Event, InterfacePaused, InterfaceResumed, Opened, SchedulePaused, ScheduleResumed, Trigger,
};
use crate::domain::execution::{Command, Phase};
use crate::ids::{ExecutionId, InterfaceId, Position, ScheduleRef, StreamId};
use crate::instant::Instant;

/// Where an answer goes: the value and the position up to which the log is on disk.
pub type Reply<T> = oneshot::Sender<(T, Position)>;

/// A look at the engine between two decisions.
pub type Look = Box<dyn FnOnce(&Engine) -> Box<dyn FnOnce(Position) + Send> + Send>;

/// Something that somebody asks.
pub enum Request {
    /// Run a schedule now.
    Run(Actor, RunNow, Reply<Result<ExecutionId, Refusal>>),
    /// Run an earlier execution again.
    Rerun(Actor, Box<Original>, Reply<Result<ExecutionId, Refusal>>),
    /// End an execution.
    Cancel(Actor, ExecutionId, Option<String>, Reply<Result<(), Refusal>>),
    /// Pause a schedule, or resume it when the pause is none.
    PauseSchedule(Actor, ScheduleRef, Option<Pausing>, Reply<Result<(), Refusal>>),
    /// Pause an interface, or resume it when the pause is none.
    PauseInterface(Actor, InterfaceId, Option<Pausing>, Reply<Result<(), Refusal>>),
    /// Take over what the files say.
    Apply(Actor, Files, Reply<Applied>),
    /// Record a fact that no decision hangs on.
    Record(Actor, StreamId, Event, Reply<()>),
    /// Start no more executions.
    Drain(Reply<()>),
    /// Look at the state.
    Look(Look),
}

/// A schedule that is to run now.
#[derive(Debug)]
pub struct RunNow {
    /// The schedule.
    pub schedule: ScheduleRef,
    /// Parameters that differ from their defaults.
    pub params: BTreeMap<String, String>,
    /// Do not ask limits and overlap.
    pub force: bool,
}

/// An execution that is to run again.
#[derive(Debug)]
pub struct Original {
    /// Its id.
    pub id: ExecutionId,
    /// What it was opened with.
    pub opened: Opened,
    /// Do not ask limits and overlap.
    pub force: bool,
}

/// How something is paused.
#[derive(Clone, Debug)]
pub struct Pausing {
    /// Why.
    pub note: Option<String>,
    /// When it resumes by itself.
    pub until: Option<Instant>,
}

/// What taking over the files changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Interfaces with a new definition version.
    pub changed: Vec<InterfaceId>,
    /// Interfaces whose file is gone.
    pub removed: Vec<InterfaceId>,
    /// What is wrong with the files.
    pub problems: Vec<String>,
}

impl Engine {
    pub(super) fn answer(&mut self, request: Request) {
        match request {
            Request::Run(actor, run, reply) => self.decide(actor, reply, |engine, draft| engine.run_now(draft, run)),
            Request::Rerun(actor, original, reply) => {
                self.decide(actor, reply, |engine, draft| engine.rerun(draft, *original));
            }
            Request::Cancel(actor, id, note, reply) => {
                self.decide(actor, reply, |engine, draft| engine.cancel(draft, id, note));
            }
            Request::PauseSchedule(actor, id, pausing, reply) => {
                self.decide(actor, reply, |engine, draft| engine.pause_schedule(draft, &id, pausing));
            }
            Request::PauseInterface(actor, id, pausing, reply) => {
                self.decide(actor, reply, |engine, draft| engine.pause_interface(draft, &id, pausing));
            }
            Request::Apply(actor, files, reply) => self.decide(actor, reply, |engine, draft| engine.apply(draft, files)),
            Request::Record(actor, stream, event, reply) => {
                self.decide(actor, reply, |engine, draft| engine.record(draft, &stream, event));
            }
            Request::Drain(reply) => self.decide(Actor::Daybook, reply, |engine, _| engine.draining = true),
            Request::Look(look) => {
                let answer = look(self);
                let mut draft = Draft::new(self.now(), Actor::Daybook);
                draft.then(After::Answer(answer));
                self.submit(draft);
            }
        }
    }

    /// Makes one draft of what `decision` records, and answers when it is on disk.
    fn decide<T: Send + 'static>(
        &mut self,
        actor: Actor,
        reply: Reply<T>,
        decision: impl FnOnce(&mut Self, &mut Draft) -> T,
    ) {
        let mut draft = Draft::new(self.now(), actor);
        let value = decision(self, &mut draft);
        self.start_ready(&mut draft);
        Self::answer_with(&mut draft, reply, value);
        self.submit(draft);
    }

    fn run_now(&mut self, draft: &mut Draft, run: RunNow) -> Result<ExecutionId, Refusal> {
        let id = &run.schedule;
        let Some((_, _, definition)) = self.definition(id) else { return Err(Refusal::no_schedule(id)) };
        params::check(&run.params, definition).map_err(|(field, why)| Refusal::Invalid { field, why })?;
        self.refuse_overlap(id, run.force)?;
        let execution = ExecutionId::random(draft.at, (self.parts.entropy)());
        let mut opened = self.opening(id, execution, Trigger::Manual, None);
        opened.params.extend(run.params);
        opened.forced = run.force;
        self.open(draft, execution, opened);
        Ok(execution)
    }

    fn rerun(&mut self, draft: &mut Draft, original: Original) -> Result<ExecutionId, Refusal> {
        let id = &original.opened.schedule;
        self.refuse_rerun(&original)?;
        let execution = ExecutionId::random(draft.at, (self.parts.entropy)());
        let fresh = self.opening(id, execution, Trigger::Rerun, None);
        let mut params = fresh.params;
        params.extend(original.opened.params);
        let opened = Opened {
            trigger: Trigger::Rerun,
            definition_version: fresh.definition_version,
            priority: fresh.priority,
            rerun_of: Some(original.id),
            params,
            forced: original.force,
            ..original.opened
        };
        self.open(draft, execution, opened);
        Ok(execution)
    }

    /// Why an execution may not run again now.
    pub(super) fn refuse_rerun(&self, original: &Original) -> Result<(), Refusal> {
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
        let Some((_, _, definition)) = self.definition(id) else { return Err(Refusal::no_schedule(id)) };
        let open = self.state.schedules.get(id).and_then(|schedule| schedule.open.first());
        match open {
            Some(open) if definition.overlap == Overlap::Skip && !force => Err(Refusal::Conflict {
                why: format!("execution {open} of `{id}` is not over yet; --force runs it beside that one"),
                execution: Some(*open),
            }),
            Some(_) | None => Ok(()),
        }
    }

    fn cancel(&mut self, draft: &mut Draft, id: ExecutionId, note: Option<String>) -> Result<(), Refusal> {
        let Some(execution) = self.state.executions.get(&id) else {
            let why = format!("execution {id} is over");
            return Err(Refusal::Conflict { why, execution: Some(id) });
        };
        let Ok(requested) = execution.decide(draft.at, Command::Cancel(note)) else { return Ok(()) };
        let queued = execution.phase == Phase::Queued && self.ready.leave(id, execution);
        self.record(draft, &StreamId::Execution(id), requested);
        if queued {
            if let Some(work) = self.work(id) {
                draft.then(After::Conclude(work, Unfinished::CancelledInQueue, self.reporter(id)));
            }
        } else if let Some(token) = self.cancels.get(&id) {
            draft.then(After::Cancel(token.clone()));
        }
        Ok(())
    }

    fn pause_schedule(
        &mut self,
        draft: &mut Draft,
        id: &ScheduleRef,
        pausing: Option<Pausing>,
    ) -> Result<(), Refusal> {
        if self.definition(id).is_none() {
            return Err(Refusal::no_schedule(id));
        }
        // What was due before is decided as it was then.
        self.decide_slots(draft, id);
        let stream = StreamId::Schedule(id.clone());
        match pausing {
            Some(Pausing { note, until }) => {
                self.record(draft, &stream, SchedulePaused { note, until }.into());
                until.into_iter().for_each(|at| self.timers.push(at, Timer::Resume(id.clone())));
            }
            None if self.state.schedules.get(id).is_some_and(|schedule| schedule.paused.is_some()) => {
                self.record(draft, &stream, ScheduleResumed {}.into());
            }
            None => (),
        }
        self.plan_next(id);
        Ok(())
    }

    fn pause_interface(
        &mut self,
        draft: &mut Draft,
        id: &InterfaceId,
        pausing: Option<Pausing>,
    ) -> Result<(), Refusal> {
        let Some(interface) = self.state.interfaces.get(id).filter(|interface| !interface.removed) else {
            return Err(Refusal::NotFound { what: format!("interface `{id}`") });
        };
        let paused = interface.paused.is_some();
        let schedules = self.schedules_of(id);
        schedules.iter().for_each(|schedule| self.decide_slots(draft, schedule));
        let stream = StreamId::Interface(id.clone());
        match pausing {
            Some(Pausing { note, until }) => {
                self.record(draft, &stream, InterfacePaused { note, until }.into());
                until.into_iter().for_each(|at| self.timers.push(at, Timer::ResumeInterface(id.clone())));
            }
            None if paused => self.record(draft, &stream, InterfaceResumed {}.into()),
            None => (),
        }
        schedules.iter().for_each(|schedule| self.plan_next(schedule));
        Ok(())
    }

    /// Takes in what a performer or courier reports.
    pub(super) fn hear(&mut self, news: News) {
        let mut draft = Draft::new(self.now(), Actor::Daybook);
        match news {
            News::Happened { execution, commands, done } => {
                commands.into_iter().for_each(|command| self.happened(&mut draft, execution, command));
                self.start_ready(&mut draft);
                if let Some(done) = done {
                    draft.then(After::Answer(Box::new(move |_| drop(done.send(())))));
                }
            }
            News::Delivered { stream, ended } => self.delivered(&mut draft, &stream, ended),
        }
        self.submit(draft);
    }

    fn happened(&mut self, draft: &mut Draft, id: ExecutionId, command: Command) {
        let Some(execution) = self.state.executions.get(&id) else { return };
        let performed = execution.phase != Phase::Queued;
        let closes = matches!(command, Command::Close(_));
        let event = match execution.decide(draft.at, command) {
            Ok(event) => event,
            Err(why) => {
                tracing::debug!(execution = %id, %why, "a report was not recorded");
                return;
            }
        };
        let interface = execution.opened.schedule.interface.clone();
        self.record(draft, &StreamId::Execution(id), event);
        if closes {
            self.cancels.remove(&id);
            self.timers.remove(&Timer::Anomaly(id));
            if performed {
                self.ready.finish(&interface);
            }
        }
    }

    fn delivered(&mut self, draft: &mut Draft, stream: &StreamId, ended: DeliveryEnded) {
        self.record(draft, stream, ended.into());
    }
}
