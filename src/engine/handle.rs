//! How everybody else talks to the engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::core::Engine;
use super::ports::{Definitions, Files};
use super::refusal::Refusal;
use super::requests::{Applied, Original, Pausing, Reply, Request, RunNow};
use crate::domain::event::{Actor, Event, Noted, Opened};
use crate::ids::{ExecutionId, InterfaceId, Position, ScheduleRef, StreamId};
use crate::store::EventLog;

/// An answer, and the position up to which the log was on disk when it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done<T> {
    /// The answer.
    pub value: T,
    /// A read that waits for this position sees what the command did.
    pub position: Position,
}

/// The engine, as seen by the HTTP handlers and the daemon's own tasks. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    log: Arc<dyn EventLog>,
    files: Arc<dyn Definitions>,
}

impl Handle {
    /// A handle that sends to an engine's ear.
    pub fn new(requests: mpsc::Sender<Request>, log: Arc<dyn EventLog>, files: Arc<dyn Definitions>) -> Self {
        Self { requests, log, files }
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<Done<T>, Refusal> {
        let ending = || Refusal::Unavailable { why: "the daemon is ending".to_owned() };
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_closed| ending())?;
        let (value, position) = answer.await.map_err(|_closed| ending())?;
        Ok(Done { value, position })
    }

    async fn ask_checked<T>(
        &self,
        request: impl FnOnce(Reply<Result<T, Refusal>>) -> Request,
    ) -> Result<Done<T>, Refusal> {
        let Done { value, position } = self.ask(request).await?;
        value.map(|value| Done { value, position })
    }

    /// Runs a schedule now (S3-14).
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for an unknown schedule, [`Refusal::Invalid`] for a parameter, [`Refusal::Conflict`] when an
    /// execution is open and the schedule does not allow two.
    pub async fn run(
        &self,
        actor: Actor,
        schedule: ScheduleRef,
        params: BTreeMap<String, String>,
        force: bool,
    ) -> Result<Done<ExecutionId>, Refusal> {
        self.ask_checked(|reply| Request::Run(actor, RunNow { schedule, params, force }, reply)).await
    }

    /// Runs a finished execution again (S3-15).
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for an unknown id, [`Refusal::Conflict`] when it is not over, its schedule is gone or has an
    /// open execution.
    pub async fn rerun(&self, actor: Actor, id: ExecutionId, force: bool) -> Result<Done<ExecutionId>, Refusal> {
        let opened = self.opened(id).await?;
        let original = Box::new(Original { id, opened, force });
        self.ask_checked(|reply| Request::Rerun(actor, original, reply)).await
    }

    /// What a re-run would be refused for, without doing it.
    ///
    /// # Errors
    /// As [`Self::rerun`].
    pub async fn can_rerun(&self, id: ExecutionId, force: bool) -> Result<Done<ScheduleRef>, Refusal> {
        let opened = self.opened(id).await?;
        let schedule = opened.schedule.clone();
        let looked = self.look(move |engine| engine.may_rerun(id, &opened, force)).await?;
        looked.value.map(|()| Done { value: schedule, position: looked.position })
    }

    /// What an execution was opened with, from the log.
    async fn opened(&self, id: ExecutionId) -> Result<Opened, Refusal> {
        let log = Arc::clone(&self.log);
        let read = move || log.read_stream(&StreamId::Execution(id), 0, 1);
        let unreadable = |why: String| Refusal::Unavailable { why };
        let events = tokio::task::spawn_blocking(read)
            .await
            .map_err(|err| unreadable(err.to_string()))?
            .map_err(|err| unreadable(err.to_string()))?;
        match events.into_iter().next().map(|envelope| envelope.event) {
            Some(Event::Opened(opened)) => Ok(opened),
            Some(_) | None => Err(Refusal::NotFound { what: format!("execution {id}") }),
        }
    }

    /// Ends an open execution.
    ///
    /// # Errors
    /// [`Refusal::Conflict`] when it is over.
    pub async fn cancel(&self, actor: Actor, id: ExecutionId, note: Option<String>) -> Result<Done<()>, Refusal> {
        self.ask_checked(|reply| Request::Cancel(actor, id, note, reply)).await
    }

    /// Writes something beside an execution.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for an unknown id.
    pub async fn note(&self, actor: Actor, id: ExecutionId, noted: Noted) -> Result<Done<()>, Refusal> {
        self.opened(id).await?;
        self.record(actor, StreamId::Execution(id), noted.into()).await
    }

    /// Pauses a schedule.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn pause_schedule(
        &self,
        actor: Actor,
        id: ScheduleRef,
        pausing: Pausing,
    ) -> Result<Done<()>, Refusal> {
        self.ask_checked(|reply| Request::PauseSchedule(actor, id, Some(pausing), reply)).await
    }

    /// Resumes a schedule; it goes on from this instant.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn resume_schedule(&self, actor: Actor, id: ScheduleRef) -> Result<Done<()>, Refusal> {
        self.ask_checked(|reply| Request::PauseSchedule(actor, id, None, reply)).await
    }

    /// Pauses all schedules of an interface.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn pause_interface(
        &self,
        actor: Actor,
        id: InterfaceId,
        pausing: Pausing,
    ) -> Result<Done<()>, Refusal> {
        self.ask_checked(|reply| Request::PauseInterface(actor, id, Some(pausing), reply)).await
    }

    /// Resumes an interface.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn resume_interface(&self, actor: Actor, id: InterfaceId) -> Result<Done<()>, Refusal> {
        self.ask_checked(|reply| Request::PauseInterface(actor, id, None, reply)).await
    }

    /// Reads the files and takes them over.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] when the daemon is ending.
    pub async fn reload(&self, actor: Actor) -> Result<Done<Applied>, Refusal> {
        let files = self.read_files().await?;
        self.ask(|reply| Request::Apply(actor, files, reply)).await
    }

    /// What the files say now, without taking it over.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] when the daemon is ending.
    pub async fn read_files(&self) -> Result<Files, Refusal> {
        let files = Arc::clone(&self.files);
        let read = tokio::task::spawn_blocking(move || files.load()).await;
        read.map_err(|err| Refusal::Unavailable { why: err.to_string() })
    }

    /// Records a fact that no decision hangs on.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] when the daemon is ending.
    pub async fn record(&self, actor: Actor, stream: StreamId, event: Event) -> Result<Done<()>, Refusal> {
        self.ask(|reply| Request::Record(actor, stream, event, reply)).await
    }

    /// Starts no more executions; those that run go on.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] when the daemon is ending.
    pub async fn drain(&self) -> Result<Done<()>, Refusal> {
        self.ask(Request::Drain).await
    }

    /// Looks at the engine's state; the answer comes when everything that it rests on is on disk.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] when the daemon is ending.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Engine) -> T + Send + 'static,
    ) -> Result<Done<T>, Refusal> {
        self.ask(|reply: Reply<T>| {
            Request::Look(Box::new(move |engine| {
                let seen = look(engine);
                Box::new(move |position| drop(reply.send((seen, position))))
            }))
        })
        .await
    }
}
