//! Executions that a former daemon left: an attempt that goes on, or one that nobody has any more.

use tokio::sync::mpsc;

use super::closing::{finish, judged, unwritten};
use super::{Log, Shared};
use crate::domain::cause::Cause;
use crate::domain::event::AttemptEnded;
use crate::domain::execution::{Command, Conclusion};
use crate::domain::verdict::End;
use crate::engine::ports::{Reporter, Unfinished, Work};
use crate::jobs::attempt::AttemptContext;
use crate::jobs::conclude::secrets_of;
use crate::jobs::follow::{Followed, Remains};
use crate::jobs::runner::{AttemptKey, Place};
use crate::jobs::runners::Left;
use crate::jobs::scribe::{Scribe, ScribeNews};
use crate::jobs::tidings::Tidings;
use crate::store::lines::LinesError;

impl Shared {
    /// What a former daemon's runner has of the newest attempt of `work`.
    pub(super) fn left_of(&self, work: &Work) -> Option<Left> {
        let (execution, attempt) = (work.execution, work.attempts);
        self.settings.runners.claim(AttemptKey { execution, attempt })
    }

    /// Goes on with an attempt that a former daemon began.
    pub(super) async fn take_over(&self, work: Work, left: Option<Left>, reporter: &Reporter) {
        let Some(left) = left else { return self.interrupted(&work, reporter).await };
        let Some(context) = self.context(&work) else {
            if self.let_go(left).await {
                self.interrupted(&work, reporter).await;
            }
            return;
        };
        let (seen, news) = mpsc::unbounded_channel();
        let (scribe, place) = match self.take_up(&work, &left, seen) {
            Ok(taken) => taken,
            Err(err) => {
                if !self.let_go(left).await {
                    return;
                }
                let unseen = AttemptEnded::unseen(work.attempts, Cause::TecDisk);
                let close = Command::Close(unwritten(&err));
                return reporter.tell(vec![Command::EndAttempt(unseen), close]);
            }
        };
        let followed = Followed::take_over(left, place, &self.lines);
        let tidings = Tidings::new(news, &self.lines, work.execution);
        let context = AttemptContext { attempt: work.attempts, ..context };
        let log = Log { scribe, tidings };
        let planned = self.attempt(context, log, Some(followed), reporter).await;
        self.go_on(planned, reporter).await;
    }

    /// Nobody goes on with the attempt. False when the daemon stops before all of it is gone.
    async fn let_go(&self, left: Left) -> bool {
        tokio::select! {
            biased;
            () = left.let_go() => true,
            // It may be one of a runner that cannot be asked.
            () = self.settings.interrupt.cancelled() => false,
        }
    }

    /// The log of `work`, and the place in the output of its attempt from which it goes on.
    fn take_up(
        &self,
        work: &Work,
        left: &Left,
        seen: mpsc::UnboundedSender<ScribeNews>,
    ) -> Result<(Scribe, Place), LinesError> {
        let writer = self.lines.reopen_writer(work.execution)?;
        let mut scribe = self.scribe(work, writer, seen);
        scribe.begin_attempt(work.attempts);
        // What the runner has replaced before may come back where a line is taken apart.
        scribe.learn(&secrets_of(work, &self.settings.credentials).0);
        let concluder = self.concluder();
        let errors = |last| concluder.errors_up_to(work, last).map(|(errors, _)| errors);
        let place = Followed::stand(&mut scribe, left, errors)?;
        scribe.recall(&self.lines, work.execution);
        Ok((scribe, place))
    }

    /// Nobody has the attempt any more.
    async fn interrupted(&self, work: &Work, reporter: &Reporter) {
        let conclusion = self.conclude(work, Unfinished::Interrupted, None).await;
        let ended = AttemptEnded::unseen(work.attempts, Cause::TecInterrupted);
        reporter.tell(vec![Command::EndAttempt(ended), Command::Close(conclusion)]);
    }

    /// Ends the log of `work`. `left` is what its runner has left of an attempt that it did not see end.
    pub(super) async fn conclude(
        &self,
        work: &Work,
        why: Unfinished,
        left: Option<Left>,
    ) -> Conclusion {
        let concluded = match left {
            Some(left) => self.conclude_left(work, why, left).await,
            None => self.concluder().conclude(work, why).await,
        };
        concluded.unwrap_or_else(|err| unwritten(&err))
    }

    /// What the command had said up to its runner's end is part of its log.
    async fn conclude_left(
        &self,
        work: &Work,
        why: Unfinished,
        left: Left,
    ) -> Result<Conclusion, LinesError> {
        let survivors = self.concluder().end_survivors(work).await;
        let (seen, _news) = mpsc::unbounded_channel();
        // Whatever becomes of the log: the execution is over, and nobody asks for it again.
        let remains = Remains::of(&left);
        let taken = self.take_up(work, &left, seen);
        let (mut scribe, place) = taken.inspect_err(|_| remains.forget())?;
        let mut followed = Followed::take_over(left, place, &self.lines);
        if let Some(context) = self.context(work) {
            followed.read(&context, &mut scribe).await;
        }
        scribe.end_output();
        if let Some(warning) = &survivors {
            scribe.close_attempt(warning);
        }
        let cancelled = why == Unfinished::CancelledInTheMiddle;
        let end = if cancelled { End::Cancelled } else { End::Interrupted };
        let report = judged(&mut scribe, end);
        let conclusion = finish(scribe, &report).await;
        remains.forget();
        Ok(conclusion)
    }
}
