//! Jobs: how long each takes and how it ends follows from the seed and from what it is run for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::disk::Disk;
use super::random::{Random, mixed};
use super::{Checked, ensure};
use crate::clock::Clock;
use crate::domain::event::{AttemptEnded, ErrorCounts, Outcome, RetryPlanned};
use crate::domain::execution::{Command, Conclusion};
use crate::engine::ports::{BoxFuture, Held, Performer, Reporter, Unfinished, Work};
use crate::ids::{ExecutionId, StreamId};
use crate::instant::Instant;
use crate::store::EventLog;

/// How long a job takes to end after it was asked to.
const GRACE: Duration = Duration::from_millis(5_003);

/// What the engine asked for.
pub(super) struct Taken {
    pub(super) work: Work,
    pub(super) reporter: Reporter,
    /// When the next attempt is planned, for one that a former process left.
    pub(super) resumed_at: Option<Instant>,
}

/// Where the engine puts down what is to be performed.
pub(super) struct Bench {
    disk: Arc<Disk>,
    real_jobs: bool,
    taken: Mutex<Vec<Taken>>,
}

impl Bench {
    pub(super) fn new(disk: Arc<Disk>, real_jobs: bool) -> Self {
        Self { disk, real_jobs, taken: Mutex::default() }
    }

    /// What was put down since the last look. Nothing may be performed whose start is not on disk.
    pub(super) fn take(&self) -> Checked<Vec<Taken>> {
        let taken = std::mem::take(&mut *self.taken.lock().unwrap_or_else(PoisonError::into_inner));
        for Taken { work, resumed_at, .. } in &taken {
            let stream = StreamId::Execution(work.execution);
            let story = self.disk.read_stream(&stream, 0, usize::MAX).expect("memory");
            let names: Vec<_> = story.iter().map(|envelope| envelope.event.name()).collect();
            let starts = names.iter().filter(|name| **name == "attempt-started").count();
            let so = if resumed_at.is_some() { starts > 0 } else { starts == 1 };
            ensure(so && !names.contains(&"closed"), || {
                format!("{} is performed with {names:?} on disk", work.execution)
            })?;
        }
        Ok(taken)
    }

    fn put(&self, taken: Taken) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).push(taken);
    }
}

fn conclusion(outcome: Outcome) -> Conclusion {
    Conclusion {
        outcome,
        class: None,
        cause: None,
        exit_code: None,
        lines: 0,
        errors: ErrorCounts::default(),
        first_error: None,
        log_hash: [0; 32],
        interrupted: false,
    }
}

fn ended(attempt: u32, outcome: Outcome) -> Command {
    Command::EndAttempt(AttemptEnded {
        attempt,
        exit_code: Some(i32::from(outcome != Outcome::Ok)),
        signal: None,
        usage: None,
        outcome,
        cause: None,
    })
}

impl Performer for Bench {
    fn perform(&self, work: Work, reporter: Reporter) -> BoxFuture<()> {
        if self.real_jobs {
            self.put(Taken { work, reporter, resumed_at: None });
        } else {
            reporter.tell(vec![ended(1, Outcome::Ok), Command::Close(conclusion(Outcome::Ok))]);
        }
        Box::pin(std::future::ready(()))
    }

    fn resume(&self, work: Work, at: Instant, reporter: Reporter) -> BoxFuture<()> {
        self.put(Taken { work, reporter, resumed_at: Some(at) });
        Box::pin(std::future::ready(()))
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

    fn conclude(&self, _work: Work, why: Unfinished) -> BoxFuture<Conclusion> {
        Box::pin(std::future::ready(conclusion(match why {
            Unfinished::Interrupted | Unfinished::Crashed => Outcome::Ko,
            Unfinished::CancelledInQueue | Unfinished::CancelledInTheMiddle => Outcome::Cancelled,
        })))
    }
}

/// A job at work.
pub(super) struct Job {
    pub(super) execution: ExecutionId,
    reporter: Reporter,
    cancel: CancellationToken,
    random: Random,
    attempt: u32,
    now: Phase,
    /// It has noticed that it is to end.
    ending: bool,
}

enum Phase {
    /// Until so much time has elapsed.
    Runs(Duration),
    /// Until the wall clock shows this.
    Waits(Instant),
}

impl Job {
    pub(super) fn new(
        seed: u64,
        (work, reporter): (Work, Reporter),
        elapsed: Duration,
        resumed_at: Option<Instant>,
    ) -> Self {
        let id = work.execution.uuid().as_u128().to_be_bytes();
        let (high, low) = id.split_at(8);
        let number = |half: &[u8]| u64::from_be_bytes(half.try_into().expect("eight bytes"));
        let parts = [seed, number(high), number(low), u64::from(work.attempts)];
        let mut random = Random::new(mixed(&parts));
        let now = match resumed_at {
            Some(at) => Phase::Waits(at),
            None => Phase::Runs(elapsed + length(&mut random)),
        };
        let (execution, cancel) = (work.execution, work.cancel);
        let attempt = work.attempts.max(1);
        Self { execution, reporter, cancel, random, attempt, now, ending: false }
    }

    /// When it has something to report.
    pub(super) fn due(&self, clock: &dyn Clock) -> Instant {
        let now = clock.now();
        match self.now {
            Phase::Runs(end) => now + end.saturating_sub(clock.elapsed()),
            Phase::Waits(_) if self.ending => now,
            Phase::Waits(at) => at.max(now),
        }
    }

    /// It looks whether it is to end.
    pub(super) fn look(&mut self, elapsed: Duration) {
        if self.cancel.is_cancelled() && !self.ending {
            self.ending = true;
            if let Phase::Runs(end) = &mut self.now {
                *end = (*end).min(elapsed + GRACE);
            }
        }
    }

    /// It stands still while the machine sleeps.
    pub(super) fn sleep_through(&mut self, time: Duration) {
        if let Phase::Runs(end) = &mut self.now {
            *end += time;
        }
    }

    /// Says what has happened to it. True when it is over.
    pub(super) fn report(&mut self, clock: &dyn Clock) -> bool {
        let cancelled = self.ending;
        let close = |outcome| Command::Close(conclusion(outcome));
        let mut told = Vec::new();
        match self.now {
            Phase::Waits(_) if cancelled => told.push(close(Outcome::Cancelled)),
            Phase::Waits(_) => {
                told.push(Command::StartAttempt);
                self.attempt += 1;
                self.now = Phase::Runs(clock.elapsed() + length(&mut self.random));
            }
            Phase::Runs(_) if cancelled => {
                told.extend([ended(self.attempt, Outcome::Cancelled), close(Outcome::Cancelled)]);
            }
            Phase::Runs(_) => match self.random.below(100) {
                0..70 => told.extend([ended(self.attempt, Outcome::Ok), close(Outcome::Ok)]),
                70..88 => told.extend([ended(self.attempt, Outcome::Ko), close(Outcome::Ko)]),
                _ => {
                    let delay = Duration::from_secs(self.random.between(1, 1_200));
                    let at = clock.now() + delay;
                    let delay_ms = u64::try_from(delay.as_millis()).expect("small");
                    let attempt = self.attempt + 1;
                    let planned = RetryPlanned { attempt, at, delay_ms, asked: false };
                    told.extend([ended(self.attempt, Outcome::Ko), Command::PlanRetry(planned)]);
                    self.now = Phase::Waits(at);
                }
            },
        }
        let over = told.iter().any(|command| matches!(command, Command::Close(_)));
        self.reporter.tell(told);
        over
    }
}

/// Most are short, some outlast the next slot, few take hours.
fn length(random: &mut Random) -> Duration {
    let most = random.pick(&[2_000, 60_000, 60_000, 600_000, 5_400_000, 14_400_000]);
    Duration::from_millis(random.between(1, most))
}
