//! An engine's surroundings in which nothing takes time: executions end at once, and nobody is told.

use daybook::domain::effect::Effect;
use daybook::domain::event::{AttemptEnded, ErrorCounts, Outcome};
use daybook::domain::execution::{Command, Conclusion};
use daybook::engine::ports::{BoxFuture, Courier, Held, Performer, Reporter, Unfinished, Work};
use daybook::instant::Instant;

/// Ends every execution well, at once.
pub(crate) struct AtOnce;

const DONE: Conclusion = Conclusion {
    outcome: Outcome::Ok,
    class: None,
    cause: None,
    exit_code: Some(0),
    lines: 0,
    errors: ErrorCounts { external: 0, configuration: 0, mapping: 0, technical: 0, cascade: 0 },
    first_error: None,
    log_hash: [0; 32],
    interrupted: false,
};

impl Performer for AtOnce {
    fn perform(&self, work: Work, reporter: Reporter) -> BoxFuture<()> {
        let ended = AttemptEnded {
            attempt: work.attempts + 1,
            exit_code: Some(0),
            signal: None,
            usage: None,
            outcome: Outcome::Ok,
            cause: None,
        };
        reporter.tell(vec![Command::EndAttempt(ended), Command::Close(DONE)]);
        Box::pin(std::future::ready(()))
    }

    fn resume(&self, work: Work, _at: Instant, reporter: Reporter) -> BoxFuture<()> {
        self.perform(work, reporter)
    }

    fn held(&self) -> BoxFuture<Held> {
        Box::pin(std::future::ready(Held::new()))
    }

    fn take_over(&self, work: Work, reporter: Reporter) -> BoxFuture<()> {
        self.perform(work, reporter)
    }

    fn let_go(&self, _unwanted: Held) -> BoxFuture<()> {
        Box::pin(std::future::ready(()))
    }

    fn conclude(&self, _work: Work, _why: Unfinished) -> BoxFuture<Conclusion> {
        Box::pin(std::future::ready(DONE))
    }
}

/// Nobody is owed a ping or notice.
pub(crate) struct Nobody;

impl Courier for Nobody {
    fn deliver(&self, _effect: Effect) {}
}
