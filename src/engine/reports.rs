//! Reports: what performers and couriers tell the engine, and what follows from it.

use std::time::Duration;

use super::commit::After;
use super::core::{Draft, Engine, Timer};
use super::ports::{News, Unfinished};
use crate::crash;
use crate::domain::cause::Cause;
use crate::domain::event::{Actor, AttemptEnded};
use crate::domain::execution::{Command, Phase};
use crate::ids::{ExecutionId, StreamId};

/// How long a courier's report waits when the log cannot take it yet.
const AGAIN: Duration = Duration::from_secs(1);

impl Engine {
    /// Takes in what a performer or courier reports.
    pub(super) fn hear(&mut self, news: News) {
        let mut draft = Draft::new(self.now(), Actor::Daybook);
        match news {
            News::Happened { execution, commands, done } => {
                commands
                    .into_iter()
                    .for_each(|command| self.happened(&mut draft, execution, command));
                self.start_ready(&mut draft);
                if let Some(done) = done {
                    draft.then(After::Answer(Box::new(move |_| done.send(()).unwrap_or_default())));
                }
            }
            News::Delivered { stream, ended } if self.is_countable(&stream) => {
                self.record(&mut draft, &stream, ended.into());
            }
            News::Delivered { .. } => return self.hear_again(news),
            News::GoOn(go_on) => return go_on(self),
        }
        self.submit(draft);
    }

    /// Hears of it once more in a while. Until then the outbox holds the delivery, as it would over a restart.
    fn hear_again(&self, news: News) {
        let ear = self.news.clone();
        crate::task::spawn("a report that waits", async move {
            tokio::time::sleep(AGAIN).await;
            drop(ear.send(news));
        });
    }

    /// Whether the log can tell where `stream` stands. While the index is rebuilt it cannot for executions that it let go
    /// of; it would refuse to append to them, and a refused append ends the daemon.
    pub(super) fn is_countable(&self, stream: &StreamId) -> bool {
        self.state.version(stream).is_some() || self.parts.log.can_check(stream)
    }

    /// Closes an execution whose performer broke down.
    pub(super) fn give_up(&mut self, id: ExecutionId) {
        let Some(work) = self.work(id) else { return };
        let mut draft = Draft::new(self.now(), Actor::Daybook);
        let ended = AttemptEnded::unseen(work.attempts, Cause::TecCrash);
        self.happened(&mut draft, id, Command::EndAttempt(ended));
        draft.then(After::Conclude(work, Unfinished::Crashed, self.reporter(id)));
        self.submit(draft);
    }

    pub(super) fn happened(&mut self, draft: &mut Draft, id: ExecutionId, command: Command) {
        let Some(execution) = self.state.executions.get(&id) else { return };
        let performed = execution.phase != Phase::Queued;
        let (outcome, interrupted) = match &command {
            Command::Close(conclusion) => (Some(conclusion.outcome), conclusion.interrupted),
            _ => (None, false),
        };
        let event = match execution.decide(draft.at, command) {
            Ok(event) => event,
            Err(why) => {
                tracing::debug!(execution = %id, %why, "a report was not recorded");
                return;
            }
        };
        if outcome.is_some() {
            crash::point(crash::Point::EndReported);
        }
        let interrupted = interrupted && !execution.cancelling;
        let again = interrupted.then(|| self.work(id)).flatten();
        let interface = execution.opened.schedule.interface.clone();
        let followed = self.followers.contains_key(&execution.opened.schedule);
        let followed = followed.then(|| execution.opened.clone());
        self.record(draft, &StreamId::Execution(id), event);
        if let Some(outcome) = outcome {
            self.cancels.remove(&id);
            self.timers.remove(&Timer::Anomaly(id));
            if performed {
                self.ready.finish(id, &interface);
            }
            if let Some(opened) = followed {
                self.deliver_to_followers(draft, &opened, outcome);
            }
            if let Some(work) = again {
                self.rerun_interrupted(draft, &work);
            }
        }
    }
}
