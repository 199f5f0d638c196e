//! How the rest of the program talks to the engine: requests go through a channel to the one task that decides; reads come
//! from the [`Board`] and never wait for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::backfill::{Backfill, Backfilled};
use super::board::{Board, Draining};
use super::ports::FileProblem;
use crate::domain::event::{
    Actor, BackupMade, LoginLinkCreated, Noted, RequestAnswered, TokenCreated,
};
use crate::ids::{ExecutionId, InterfaceId, Position, ScheduleRef};
use crate::instant::Instant;

/// A command's answer, with the position of its last event: the next read waits for it (contract, rule 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done<T> {
    /// The answer.
    pub value: T,
    /// Where its events end; on disk when this is seen.
    pub position: Position,
}

/// Why a command was refused. Nothing was recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such thing.
    #[error("{what} does not exist")]
    NotFound {
        /// The kind and the name, such as ``schedule `fnac/sales` ``.
        what: String,
    },
    /// It does not fit what is so now.
    #[error("{why}")]
    Conflict {
        /// Why, and how to go on.
        why: String,
        /// The execution in the way.
        execution: Option<ExecutionId>,
    },
    /// A value is not acceptable.
    #[error("`{field}`: {why}")]
    Invalid {
        /// The field, such as `params.day`.
        field: String,
        /// What was expected.
        why: String,
    },
    /// It cannot be told while the index is rebuilt.
    #[error("{what} cannot be checked while the index is rebuilt")]
    Rebuilding {
        /// What would have been looked up.
        what: String,
    },
    /// The disk is full.
    #[error("{why}")]
    DiskFull {
        /// What to do.
        why: String,
    },
    /// The daemon cannot take it now: it is draining, or the log accepts nothing.
    #[error("{why}")]
    Unavailable {
        /// Why.
        why: String,
    },
}

/// The answer's way back.
pub type Reply<T> = oneshot::Sender<Result<Done<T>, Refusal>>;

/// What `run` starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The schedule.
    pub schedule: ScheduleRef,
    /// Parameters by name; the declared defaults fill in the others.
    pub params: BTreeMap<String, String>,
    /// Limits, locks and overlap are not asked.
    pub force: bool,
}

/// What is paused or resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// All schedules of an interface.
    Interface(InterfaceId),
    /// One schedule.
    Schedule(ScheduleRef),
}

/// A pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// What is paused.
    pub target: Target,
    /// Why, in the operator's words.
    pub note: Option<String>,
    /// When it resumes by itself.
    pub until: Option<Instant>,
}

/// What became of one execution that was to run again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rerun {
    /// The execution that was asked for.
    pub of: ExecutionId,
    /// The new one, or why there is none.
    pub answer: Result<ExecutionId, Refusal>,
}

/// What a reload of the files did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReloadReport {
    /// Interfaces whose definition is new or changed.
    pub accepted: Vec<InterfaceId>,
    /// Interfaces whose file is gone.
    pub removed: Vec<InterfaceId>,
    /// Problems; their files keep the last accepted version.
    pub problems: Vec<FileProblem>,
}

/// A command, with the way back.
#[derive(Debug)]
pub enum Request {
    /// Starts an execution at once.
    Run {
        /// What is started.
        order: Order,
        /// The new execution.
        reply: Reply<ExecutionId>,
    },
    /// Starts executions again.
    Rerun {
        /// The executions.
        executions: Vec<ExecutionId>,
        /// Limits, locks and overlap are not asked.
        force: bool,
        /// One answer for each, what was opened first first.
        reply: Reply<Vec<Rerun>>,
    },
    /// Runs slots of the past.
    Backfill {
        /// Which.
        backfill: Backfill,
        /// One answer for each, in their order.
        reply: Reply<Vec<Backfilled>>,
    },
    /// Ends an execution. Answered when the wish is on disk, not when the execution has ended.
    Cancel {
        /// The execution.
        execution: ExecutionId,
        /// Why, in the operator's words.
        note: Option<String>,
        /// That it is recorded.
        reply: Reply<()>,
    },
    /// Writes something beside an execution.
    Note {
        /// The execution.
        execution: ExecutionId,
        /// What is written.
        noted: Noted,
        /// That it is recorded.
        reply: Reply<()>,
    },
    /// Pauses.
    Pause {
        /// What, why and until when.
        pause: Pause,
        /// That it is recorded.
        reply: Reply<()>,
    },
    /// Ends a pause.
    Resume {
        /// What is resumed.
        target: Target,
        /// That it is recorded.
        reply: Reply<()>,
    },
    /// Skips the next slot that would run.
    SkipNext {
        /// The schedule.
        schedule: ScheduleRef,
        /// The slot.
        reply: Reply<Instant>,
    },
    /// Does not skip it after all.
    UndoSkipNext {
        /// The schedule.
        schedule: ScheduleRef,
        /// The slot.
        reply: Reply<Instant>,
    },
    /// Starts nothing any more, and lets the daemon end when nothing runs.
    Drain {
        /// It ends by then in any case; none leaves that as it is.
        deadline: Option<Instant>,
        /// What is so now.
        reply: Reply<Draining>,
    },
    /// Reads the files again.
    Reload {
        /// What that did.
        reply: Reply<ReloadReport>,
    },
    /// Records a token. A live one with the same name is a conflict: actors are known by the token's name.
    CreateToken {
        /// The token, as its hash.
        token: TokenCreated,
        /// That it is recorded.
        reply: Reply<()>,
    },
    /// Ends a token.
    RevokeToken {
        /// Its short id.
        id: String,
        /// That it is recorded.
        reply: Reply<()>,
    },
    /// Records a login link.
    RecordLogin {
        /// The link, without its secret.
        login: LoginLinkCreated,
        /// That it is recorded.
        reply: Reply<()>,
    },
    /// Records a backup.
    RecordBackup {
        /// The backup.
        backup: BackupMade,
        /// That it is recorded.
        reply: Reply<()>,
    },
    /// Records the answer to a request with an idempotency key.
    RememberAnswer {
        /// Key, fingerprint and answer.
        answer: RequestAnswered,
        /// That it is recorded.
        reply: Reply<()>,
    },
}

/// What travels to the engine.
#[derive(Debug)]
pub struct Asked {
    /// Who asks.
    pub actor: Actor,
    /// For what.
    pub request: Request,
}

/// The way to the engine. Clones are cheap and share it.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: mpsc::Sender<Asked>,
    pub(super) board: Arc<Board>,
}

impl Handle {
    /// A handle, and the end of the channel that the engine's task reads.
    pub fn new(board: Arc<Board>, waiting: usize) -> (Self, mpsc::Receiver<Asked>) {
        let (requests, inbox) = mpsc::channel(waiting);
        (Self { requests, board }, inbox)
    }

    pub(super) async fn ask<T>(
        &self,
        actor: Actor,
        request: impl FnOnce(Reply<T>) -> Request,
    ) -> Result<Done<T>, Refusal> {
        let stopped = || Refusal::Unavailable { why: "the daemon is stopping".to_owned() };
        let (reply, answer) = oneshot::channel();
        let asked = Asked { actor, request: request(reply) };
        self.requests.send(asked).await.map_err(|_asked| stopped())?;
        answer.await.unwrap_or_else(|_gone| Err(stopped()))
    }

    /// Starts an execution at once. The schedule's cursor does not move (S3-14).
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn run(&self, actor: Actor, order: Order) -> Result<Done<ExecutionId>, Refusal> {
        self.ask(actor, |reply| Request::Run { order, reply }).await
    }

    /// Starts executions again, each as a new one with the current definition (contract, rule 5).
    ///
    /// # Errors
    /// [`Refusal`] when none could be looked at; a refusal of a single one stands in the answer.
    pub async fn rerun(
        &self,
        actor: Actor,
        executions: Vec<ExecutionId>,
        force: bool,
    ) -> Result<Done<Vec<Rerun>>, Refusal> {
        self.ask(actor, |reply| Request::Rerun { executions, force, reply }).await
    }

    /// Asks for an execution's end.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn cancel(
        &self,
        actor: Actor,
        execution: ExecutionId,
        note: Option<String>,
    ) -> Result<Done<()>, Refusal> {
        self.ask(actor, |reply| Request::Cancel { execution, note, reply }).await
    }

    /// Writes something beside an execution.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn note(
        &self,
        actor: Actor,
        execution: ExecutionId,
        noted: Noted,
    ) -> Result<Done<()>, Refusal> {
        self.ask(actor, |reply| Request::Note { execution, noted, reply }).await
    }

    /// Pauses an interface or a schedule.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn pause(&self, actor: Actor, pause: Pause) -> Result<Done<()>, Refusal> {
        self.ask(actor, |reply| Request::Pause { pause, reply }).await
    }

    /// Ends a pause.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn resume(&self, actor: Actor, target: Target) -> Result<Done<()>, Refusal> {
        self.ask(actor, |reply| Request::Resume { target, reply }).await
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// [`Refusal`]; files that are not accepted are no refusal, they stand in the report.
    pub async fn reload(&self, actor: Actor) -> Result<Done<ReloadReport>, Refusal> {
        self.ask(actor, |reply| Request::Reload { reply }).await
    }

    /// Records a token.
    ///
    /// # Errors
    /// [`Refusal::Conflict`] when a live token has the same name.
    pub async fn create_token(
        &self,
        actor: Actor,
        token: TokenCreated,
    ) -> Result<Done<()>, Refusal> {
        self.ask(actor, |reply| Request::CreateToken { token, reply }).await
    }

    /// Ends a token.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn revoke_token(&self, actor: Actor, id: String) -> Result<Done<()>, Refusal> {
        self.ask(actor, |reply| Request::RevokeToken { id, reply }).await
    }

    /// Records that a login link was made.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn record_login(
        &self,
        actor: Actor,
        login: LoginLinkCreated,
    ) -> Result<Done<()>, Refusal> {
        self.ask(actor, |reply| Request::RecordLogin { login, reply }).await
    }

    /// Records that a backup was made.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn record_backup(
        &self,
        actor: Actor,
        backup: BackupMade,
    ) -> Result<Done<()>, Refusal> {
        self.ask(actor, |reply| Request::RecordBackup { backup, reply }).await
    }

    /// Records the answer to a request with an idempotency key.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn remember_answer(
        &self,
        actor: Actor,
        answer: RequestAnswered,
    ) -> Result<Done<()>, Refusal> {
        self.ask(actor, |reply| Request::RememberAnswer { answer, reply }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stopped_engine_refuses_instead_of_hanging() {
        let (handle, inbox) = Handle::new(Arc::new(Board::default()), 1);
        drop(inbox);
        let refused = handle.reload(Actor::Daybook).await.expect_err("nobody answers");
        assert_eq!(refused, Refusal::Unavailable { why: "the daemon is stopping".to_owned() });
    }

    #[tokio::test]
    async fn a_request_that_is_dropped_unanswered_is_refused() {
        let (handle, mut inbox) = Handle::new(Arc::new(Board::default()), 1);
        let target = Target::Interface("fnac".parse().expect("a name"));
        let (answer, ()) = tokio::join!(handle.resume(Actor::Daybook, target), async {
            drop(inbox.recv().await);
        });
        assert!(matches!(answer, Err(Refusal::Unavailable { .. })), "{answer:?}");
    }
}
