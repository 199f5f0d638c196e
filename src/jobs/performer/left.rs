//! Executions that a former daemon left: an attempt that goes on, or one that nobody has any more.

use tokio::sync::mpsc;

use super::{Log, Shared, finish, judged, unwritten};
use crate::domain::cause::Cause;
use crate::domain::event::AttemptEnded;
use crate::domain::execution::{Command, Conclusion};
use crate::domain::verdict::End;
use crate::engine::ports::{Reporter, Unfinished, Work};
use crate::jobs::attempt::AttemptContext;
use crate::jobs::conclude::secrets_of;
use crate::jobs::follow::Followed;
use crate::jobs::runner::AttemptKey;
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
            left.let_go().await;
            return self.interrupted(&work, reporter).await;
        };
        let (seen, news) = mpsc::unbounded_channel();
        let taken = tokio::select! {
            taken = self.take_up(&work, left, seen) => taken,
            // It may wait for the end of a runner that cannot be asked.
            () = self.settings.interrupt.cancelled() => return,
        };
        let (scribe, followed) = match taken {
            Ok(taken) => taken,
            Err(err) => {
                let unseen = AttemptEnded::unseen(work.attempts, Cause::TecDisk);
                let close = Command::Close(unwritten(&err));
                return reporter.tell(vec![Command::EndAttempt(unseen), close]);
            }
        };
        let tidings = Tidings::new(news, &self.lines, work.execution);
        let context = AttemptContext { attempt: work.attempts, ..context };
        let log = Log { scribe, tidings };
        let planned = self.attempt(context, log, Some(followed), reporter).await;
        self.go_on(planned, reporter).await;
    }

    /// The log of `work` and what is left of its attempt, which goes on where the log ends.
    async fn take_up(
        &self,
        work: &Work,
        left: Left,
        seen: mpsc::UnboundedSender<ScribeNews>,
    ) -> Result<(Scribe, Followed), LinesError> {
        let writer = self.lines.reopen_writer(work.execution)?;
        let mut scribe = self.scribe(work, writer, seen);
        scribe.begin_attempt(work.attempts);
        // What the runner has replaced before may come back where a line is taken apart.
        scribe.learn(&secrets_of(work, &self.settings.credentials).0);
        let concluder = self.concluder();
        let errors = |last| concluder.errors_up_to(work, last).map(|(errors, _)| errors);
        let followed = Followed::take_over(left, &mut scribe, &self.lines, errors).await?;
        Ok((scribe, followed))
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
        let (mut scribe, mut followed) = self.take_up(work, left, seen).await?;
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
        Ok(finish(scribe, &report).await)
    }
}
