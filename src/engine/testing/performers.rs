//! Performers that do what a test wants.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::{Clock, VirtualClock};
use crate::domain::event::{AttemptEnded, ErrorCounts, Outcome, RetryPlanned};
use crate::domain::execution::{Command, Conclusion};
use crate::engine::ports::{BoxFuture, Held, Performer, Reporter, Unfinished, Work};
use crate::instant::Instant;

/// What most performers of tests have in common: they hold nothing of a former daemon.
pub(in crate::engine) trait Stub: Send + Sync {
    fn perform(&self, work: Work, reporter: Reporter) -> BoxFuture<()>;

    fn resume(&self, work: Work, _at: Instant, reporter: Reporter) -> BoxFuture<()> {
        self.perform(work, reporter)
    }

    fn conclude(&self, _work: Work, why: Unfinished) -> BoxFuture<Conclusion> {
        concluded(why)
    }
}

impl<T: Stub> Performer for T {
    fn perform(&self, work: Work, reporter: Reporter) -> BoxFuture<()> {
        Stub::perform(self, work, reporter)
    }

    fn resume(&self, work: Work, at: Instant, reporter: Reporter) -> BoxFuture<()> {
        Stub::resume(self, work, at, reporter)
    }

    fn held(&self) -> BoxFuture<Held> {
        nothing()
    }

    fn take_over(&self, work: Work, reporter: Reporter) -> BoxFuture<()> {
        Stub::perform(self, work, reporter)
    }

    fn let_go(&self, _unwanted: Held) -> BoxFuture<()> {
        nothing()
    }

    fn conclude(&self, work: Work, why: Unfinished) -> BoxFuture<Conclusion> {
        Stub::conclude(self, work, why)
    }
}

/// Ends every execution well, so long after its start.
pub(in crate::engine) struct Takes(
    pub(in crate::engine) Duration,
    pub(in crate::engine) Arc<VirtualClock>,
);

pub(super) fn conclusion(outcome: Outcome) -> Conclusion {
    Conclusion {
        outcome,
        class: None,
        cause: None,
        exit_code: Some(0),
        lines: 0,
        errors: ErrorCounts::default(),
        first_error: None,
        log_hash: [0; 32],
        interrupted: false,
    }
}

pub(super) fn concluded(why: Unfinished) -> BoxFuture<Conclusion> {
    let outcome = match why {
        Unfinished::Interrupted | Unfinished::Crashed => Outcome::Ko,
        Unfinished::CancelledInQueue | Unfinished::CancelledInTheMiddle => Outcome::Cancelled,
    };
    Box::pin(async move { conclusion(outcome) })
}

/// Nothing is held, or left to do.
fn nothing<T: Default + Send + 'static>() -> BoxFuture<T> {
    Box::pin(std::future::ready(T::default()))
}

impl Stub for Takes {
    fn perform(&self, _work: Work, reporter: Reporter) -> BoxFuture<()> {
        let (clock, end) = (Arc::clone(&self.1), self.1.now() + self.0);
        Box::pin(async move {
            clock.sleep_until(end).await;
            let ended = AttemptEnded {
                attempt: 1,
                exit_code: Some(0),
                signal: None,
                usage: None,
                outcome: Outcome::Ok,
                cause: None,
            };
            reporter
                .tell(vec![Command::EndAttempt(ended), Command::Close(conclusion(Outcome::Ok))]);
        })
    }

    fn resume(&self, work: Work, at: Instant, reporter: Reporter) -> BoxFuture<()> {
        let (clock, takes) = (Arc::clone(&self.1), Self(self.0, Arc::clone(&self.1)));
        Box::pin(async move {
            clock.sleep_until(at).await;
            reporter.record(vec![Command::StartAttempt]).await;
            Stub::perform(&takes, work, reporter).await;
        })
    }
}

/// Fails once, and plans another attempt for an instant that never comes.
pub(in crate::engine) struct Plans(pub(in crate::engine) Instant);

impl Stub for Plans {
    fn perform(&self, _work: Work, reporter: Reporter) -> BoxFuture<()> {
        let planned = RetryPlanned { attempt: 2, at: self.0, delay_ms: 0, asked: false };
        Box::pin(async move {
            let ended = AttemptEnded {
                attempt: 1,
                exit_code: Some(1),
                signal: None,
                usage: None,
                outcome: Outcome::Ko,
                cause: None,
            };
            reporter.tell(vec![Command::EndAttempt(ended), Command::PlanRetry(planned)]);
            std::future::pending().await
        })
    }

    fn resume(&self, _work: Work, _at: Instant, _reporter: Reporter) -> BoxFuture<()> {
        Box::pin(std::future::pending())
    }
}

/// Breaks down at once.
pub(in crate::engine) struct Broken;

impl Stub for Broken {
    fn perform(&self, _work: Work, _reporter: Reporter) -> BoxFuture<()> {
        Box::pin(async { panic!("a mistake of ours") })
    }
}

/// Never comes to an end, until the process does.
pub(in crate::engine) struct Stuck;

impl Stub for Stuck {
    fn perform(&self, _work: Work, _reporter: Reporter) -> BoxFuture<()> {
        Box::pin(std::future::pending())
    }

    fn conclude(&self, _work: Work, _why: Unfinished) -> BoxFuture<Conclusion> {
        Box::pin(std::future::pending())
    }
}

/// Performs as `others` do, and concludes an execution only when it is told that its processes are gone.
pub(in crate::engine) struct Lingers {
    pub(in crate::engine) others: Arc<dyn Performer>,
    pub(in crate::engine) gone: Arc<Notify>,
}

impl Stub for Lingers {
    fn perform(&self, work: Work, reporter: Reporter) -> BoxFuture<()> {
        self.others.perform(work, reporter)
    }

    fn resume(&self, work: Work, at: Instant, reporter: Reporter) -> BoxFuture<()> {
        self.others.resume(work, at, reporter)
    }

    fn conclude(&self, work: Work, why: Unfinished) -> BoxFuture<Conclusion> {
        let (gone, concluded) = (Arc::clone(&self.gone), self.others.conclude(work, why));
        Box::pin(async move {
            gone.notified().await;
            concluded.await
        })
    }
}
