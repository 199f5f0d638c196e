//! What happens when a decision is on disk, and never before.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::ports::{BoxFuture, Courier, Performer, Reporter, Unfinished, Work, go_on};
use super::view::Patch;
use crate::crash;
use crate::domain::cause::Cause;
use crate::domain::effect::Effect;
use crate::domain::execution::{Command, Conclusion};
use crate::ids::{ExecutionId, Position};
use crate::instant::Instant;
use crate::store::AppendTicket;
use crate::task;

/// An append on its way to the disk, and what follows from it. Without a ticket it only waits for those before it.
pub struct Commit {
    pub(super) ticket: Option<AppendTicket>,
    pub(super) after: Vec<After>,
}

/// Something that others see.
pub(super) enum After {
    /// Readers see the new state.
    Show(Patch),
    /// Start-up is over: slots are decided.
    Ready,
    /// An execution's first attempt starts.
    Perform(Work, Reporter),
    /// An execution goes on to wait for the attempt that is planned for this instant.
    Resume(Work, Instant, Reporter),
    /// An execution goes on whose attempt outlived the former daemon.
    TakeOver(Work, Reporter),
    /// An execution ends without being performed any further.
    Conclude(Work, Unfinished, Reporter),
    /// A running execution is asked to end.
    Cancel(CancellationToken),
    /// A ping or notice is sent.
    Deliver(Effect),
    /// Somebody gets an answer, with the position up to which the log is on disk.
    Answer(Box<dyn FnOnce(Position) + Send>),
}

/// Follows the engine's appends in order.
pub struct Committer {
    /// Who performs executions.
    pub performer: Arc<dyn Performer>,
    /// Who delivers pings and notices.
    pub courier: Arc<dyn Courier>,
    /// Where readers look.
    pub board: Arc<Board>,
    /// Set to the first error: the daemon must end.
    pub failed: watch::Sender<Option<String>>,
}

impl Committer {
    /// Follows until the engine ends or an append fails; `position` is where the log ended before.
    pub async fn run(self, mut commits: mpsc::UnboundedReceiver<Commit>, mut position: Position) {
        while let Some(commit) = commits.recv().await {
            match commit.ticket {
                None => (),
                Some(ticket) => match ticket.await {
                    Ok(appended) => position = appended.last,
                    Err(err) => {
                        tracing::error!(error = %err, "an append failed; the daemon ends");
                        self.board.write(|state| state.health.append_error = Some(err.to_string()));
                        self.failed.send_replace(Some(format!("the event log failed: {err}")));
                        return;
                    }
                },
            }
            for after in commit.after {
                self.follow(after, position);
            }
        }
    }

    fn follow(&self, after: After, position: Position) {
        match after {
            After::Show(patch) => {
                self.board.write(|state| patch.apply(state, position));
                crash::point(crash::Point::DecisionShown);
            }
            After::Ready => self.board.write(|state| state.health.deciding = true),
            After::Perform(work, reporter) => {
                crash::point(crash::Point::CommandDue);
                let performing = self.performer.perform(work, reporter.clone());
                task::spawn("a performer", performed(performing, reporter));
            }
            After::Resume(work, at, reporter) => {
                let performing = self.performer.resume(work, at, reporter.clone());
                task::spawn("a performer", performed(performing, reporter));
            }
            After::TakeOver(work, reporter) => {
                let performing = self.performer.take_over(work, reporter.clone());
                task::spawn("a performer", performed(performing, reporter));
            }
            After::Conclude(work, why, reporter) => {
                let concluding = self.performer.conclude(work, why);
                task::spawn("a conclusion", concluded(concluding, reporter));
            }
            After::Cancel(token) => token.cancel(),
            After::Deliver(effect) => {
                crash::point(crash::Point::DeliveryDue);
                self.courier.deliver(effect);
            }
            After::Answer(answer) => {
                crash::point(crash::Point::AnswerDue);
                answer(position);
            }
        }
    }
}

/// Performs an execution, and has it closed even when that panics: its place and its row must not stay taken.
async fn performed(performing: BoxFuture<()>, reporter: Reporter) {
    let Reporter { execution, news } = reporter;
    // What a panic leaves half-done is not looked at again.
    if AssertUnwindSafe(performing).catch_unwind().await.is_err() {
        tracing::error!(%execution, "performing it panicked");
        go_on(&news, move |engine| engine.give_up(execution));
    }
}

/// Closes an execution that is not performed any further.
async fn concluded(concluding: BoxFuture<Conclusion>, reporter: Reporter) {
    let conclusion = conclusion(reporter.execution, concluding).await;
    reporter.tell(vec![Command::Close(conclusion)]);
}

/// How an execution ends that is not performed any further, also when its log cannot be summed up.
pub(super) async fn conclusion(
    execution: ExecutionId,
    concluding: BoxFuture<Conclusion>,
) -> Conclusion {
    AssertUnwindSafe(concluding).catch_unwind().await.unwrap_or_else(|panic| {
        let why = task::words(&*panic);
        tracing::error!(%execution, why, "concluding it panicked");
        Conclusion::unknown(Cause::TecCrash, format!("Daybook itself failed at its end: {why}"))
    })
}
