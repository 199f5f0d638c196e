//! A performer whose attempts outlive the daemon.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::performers::{concluded, conclusion};
use crate::clock::{Clock, VirtualClock};
use crate::domain::cause::Cause;
use crate::domain::event::{AttemptEnded, Outcome, RetryPlanned};
use crate::domain::execution::{Command, Conclusion};
use crate::engine::ports::{BoxFuture, Held, HeldAttempt, Performer, Reporter, Unfinished, Work};
use crate::ids::ExecutionId;
use crate::instant::Instant;

/// Performs as a runner does: its attempts outlive the daemon, and end in its stead.
#[derive(Clone)]
pub(in crate::engine) struct Runner(Arc<Runs>);

struct Runs {
    takes: Duration,
    clock: Arc<VirtualClock>,
    /// The attempts that run or have ended, with their end.
    held: Mutex<BTreeMap<ExecutionId, (u32, Instant)>>,
    /// What it was told to let go of, and whether it has.
    let_go: watch::Sender<(Vec<(ExecutionId, u32)>, bool)>,
    /// It is gone, and all that it ran.
    lost: CancellationToken,
    /// First attempts fail, and another one follows after this.
    retry_after: Mutex<Option<Duration>>,
}

impl Runner {
    /// A runner whose attempts take so long each.
    pub(in crate::engine) fn new(takes: Duration, clock: &Arc<VirtualClock>) -> Self {
        Self(Arc::new(Runs {
            takes,
            clock: Arc::clone(clock),
            held: Mutex::default(),
            let_go: watch::Sender::new((Vec::new(), true)),
            lost: CancellationToken::new(),
            retry_after: Mutex::default(),
        }))
    }

    /// Holds this attempt too.
    pub(in crate::engine) fn hold(&self, id: ExecutionId, attempt: u32) {
        let end = self.0.clock.now() + self.0.takes;
        self.0.held.lock().expect("no panic").insert(id, (attempt, end));
    }

    /// It ends, and all that it runs.
    pub(in crate::engine) fn dies(&self) {
        self.0.held.lock().expect("no panic").clear();
        self.0.lost.cancel();
    }

    /// First attempts fail from now on, and another one follows after `delay`.
    pub(in crate::engine) fn fail_first(&self, delay: Duration) {
        *self.0.retry_after.lock().expect("no panic") = Some(delay);
    }

    /// Lets what it is to let go of linger until it is told otherwise.
    pub(in crate::engine) fn linger(&self, lingers: bool) {
        self.0.let_go.send_modify(|(_, gone)| *gone = !lingers);
    }

    /// What it was told to let go of.
    pub(in crate::engine) fn let_go_of(&self) -> Vec<(ExecutionId, u32)> {
        self.0.let_go.borrow().0.clone()
    }

    async fn go_on(self, attempt: u32, work: Work, reporter: Reporter) {
        let end = self.0.held.lock().expect("no panic").get(&work.execution).map(|held| held.1);
        let (outcome, cause, interrupted) = tokio::select! {
            biased;
            () = self.0.lost.cancelled() => (Outcome::Ko, Some(Cause::TecInterrupted), true),
            () = work.cancel.cancelled() => (Outcome::Cancelled, None, false),
            _ = self.0.clock.sleep_until(end.unwrap_or_default()) => {
                let delay = *self.0.retry_after.lock().expect("no panic");
                match delay.filter(|_| attempt == 1) {
                    Some(delay) => return self.try_again(attempt, delay, work, reporter).await,
                    None => (Outcome::Ok, None, false),
                }
            }
        };
        let ended =
            AttemptEnded { attempt, exit_code: None, signal: None, usage: None, outcome, cause };
        let close = Conclusion { interrupted, ..conclusion(outcome) };
        reporter.record(vec![Command::EndAttempt(ended), Command::Close(close)]).await;
        self.0.held.lock().expect("no panic").remove(&work.execution);
    }

    async fn try_again(self, attempt: u32, delay: Duration, work: Work, reporter: Reporter) {
        let at = self.0.clock.now() + delay;
        let delay_ms = u64::try_from(delay.as_millis()).expect("short");
        let planned = RetryPlanned { attempt: attempt + 1, at, delay_ms, asked: false };
        let (outcome, cause) = (Outcome::Ko, None);
        let ended =
            AttemptEnded { attempt, exit_code: None, signal: None, usage: None, outcome, cause };
        reporter.record(vec![Command::EndAttempt(ended), Command::PlanRetry(planned)]).await;
        self.0.held.lock().expect("no panic").remove(&work.execution);
        let work = Work { attempts: attempt, ..work };
        self.resume(work, at, reporter).await;
    }
}

impl Performer for Runner {
    fn perform(&self, work: Work, reporter: Reporter) -> BoxFuture<()> {
        self.hold(work.execution, 1);
        Box::pin(self.clone().go_on(1, work, reporter))
    }

    fn resume(&self, work: Work, at: Instant, reporter: Reporter) -> BoxFuture<()> {
        let (runner, attempt) = (self.clone(), work.attempts + 1);
        Box::pin(async move {
            runner.0.clock.sleep_until(at).await;
            reporter.record(vec![Command::StartAttempt]).await;
            runner.hold(work.execution, attempt);
            runner.go_on(attempt, work, reporter).await;
        })
    }

    fn held(&self) -> BoxFuture<Held> {
        let held = self.0.held.lock().expect("no panic");
        let now = self.0.clock.now();
        let attempt = |(id, (number, end)): (&ExecutionId, &(u32, Instant))| {
            (*id, HeldAttempt { number: *number, ended: *end <= now })
        };
        Box::pin(std::future::ready(held.iter().map(attempt).collect()))
    }

    fn take_over(&self, work: Work, reporter: Reporter) -> BoxFuture<()> {
        Box::pin(self.clone().go_on(work.attempts, work, reporter))
    }

    fn let_go(&self, unwanted: Held) -> BoxFuture<()> {
        let mut held = self.0.held.lock().expect("no panic");
        held.retain(|id, _| !unwanted.contains_key(id));
        let unwanted = unwanted.into_iter().map(|(id, held)| (id, held.number));
        self.0.let_go.send_modify(|(all, _)| all.extend(unwanted));
        let mut gone = self.0.let_go.subscribe();
        Box::pin(async move {
            gone.wait_for(|(_, gone)| *gone).await.expect("it lives");
        })
    }

    fn conclude(&self, _work: Work, why: Unfinished) -> BoxFuture<Conclusion> {
        concluded(why)
    }
}
