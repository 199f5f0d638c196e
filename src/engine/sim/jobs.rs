//! Jobs: how long each takes and how it ends follows from the seed and from what it is run for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::disk::Disk;
use super::random::{Random, mixed};
use super::{Checked, ensure};
use crate::clock::Clock;
use crate::domain::cause::Cause;
use crate::domain::event::{AttemptEnded, ErrorCounts, Outcome, RetryPlanned};
use crate::domain::execution::{Command, Conclusion};
use crate::engine::ports::{BoxFuture, Held, HeldAttempt, Performer, Reporter, Unfinished, Work};
use crate::ids::{ExecutionId, StreamId};
use crate::instant::Instant;
use crate::store::EventLog;
use crate::task::locked;

/// How long a job takes to end after it was asked to.
const GRACE: Duration = Duration::from_millis(5_003);

/// What the engine asked for.
pub(super) struct Taken {
    pub(super) work: Work,
    pub(super) reporter: Reporter,
    pub(super) how: How,
}

/// How an execution comes to be performed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Its first attempt has started.
    Begins,
    /// A former process planned its next attempt for then.
    Resumed(Instant),
    /// Its attempt outlived a former process.
    TakenOver,
}

/// Where the engine puts down what is to be performed.
pub(super) struct Bench {
    disk: Arc<Disk>,
    real_jobs: bool,
    taken: Mutex<Vec<Taken>>,
    /// What outlived the former process, and was neither taken over nor let go of yet.
    held: Mutex<BTreeMap<ExecutionId, u32>>,
    let_go: Mutex<Vec<ExecutionId>>,
}

impl Bench {
    pub(super) fn new(disk: Arc<Disk>, real_jobs: bool, held: BTreeMap<ExecutionId, u32>) -> Self {
        let (taken, let_go, held) = (Mutex::default(), Mutex::default(), Mutex::new(held));
        Self { disk, real_jobs, taken, held, let_go }
    }

    /// What was put down since the last look. Nothing may be performed whose start is not on disk.
    pub(super) fn take(&self) -> Checked<Vec<Taken>> {
        let taken = std::mem::take(&mut *locked(&self.taken));
        for Taken { work, how, .. } in &taken {
            let stream = StreamId::Execution(work.execution);
            let story = self.disk.read_stream(&stream, 0, usize::MAX).expect("memory");
            let names: Vec<_> = story.iter().map(|envelope| envelope.event.name()).collect();
            let starts = names.iter().filter(|name| **name == "attempt-started").count();
            let so = match how {
                How::Begins => starts == 1,
                How::Resumed(_) => starts > 0,
                How::TakenOver => starts == usize::try_from(work.attempts).expect("small"),
            };
            ensure(so && !names.contains(&"closed"), || {
                format!("{} is performed ({how:?}) with {names:?} on disk", work.execution)
            })?;
        }
        Ok(taken)
    }

    /// What was let go of since the last look.
    pub(super) fn let_go_of(&self) -> Vec<ExecutionId> {
        std::mem::take(&mut *locked(&self.let_go))
    }

    /// What nobody has said anything about.
    pub(super) fn left(&self) -> BTreeMap<ExecutionId, u32> {
        locked(&self.held).clone()
    }

    fn put(&self, work: Work, reporter: Reporter, how: How) -> BoxFuture<()> {
        locked(&self.taken).push(Taken { work, reporter, how });
        Box::pin(std::future::ready(()))
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
            return self.put(work, reporter, How::Begins);
        }
        reporter.tell(vec![ended(1, Outcome::Ok), close(Outcome::Ok)]);
        Box::pin(std::future::ready(()))
    }

    fn resume(&self, work: Work, at: Instant, reporter: Reporter) -> BoxFuture<()> {
        self.put(work, reporter, How::Resumed(at))
    }

    fn held(&self) -> BoxFuture<Held> {
        // An end that nobody has heard of is told as all others are: when the story gets to it.
        let attempt = |(id, number)| (id, HeldAttempt { number, ended: false });
        Box::pin(std::future::ready(self.left().into_iter().map(attempt).collect()))
    }

    fn take_over(&self, work: Work, reporter: Reporter) -> BoxFuture<()> {
        locked(&self.held).remove(&work.execution);
        self.put(work, reporter, How::TakenOver)
    }

    fn let_go(&self, unwanted: Held) -> BoxFuture<()> {
        locked(&self.held).retain(|id, _| !unwanted.contains_key(id));
        locked(&self.let_go).extend(unwanted.into_keys());
        Box::pin(std::future::ready(()))
    }

    fn conclude(&self, _work: Work, why: Unfinished) -> BoxFuture<Conclusion> {
        Box::pin(std::future::ready(conclusion(match why {
            Unfinished::Interrupted | Unfinished::Crashed => Outcome::Ko,
            Unfinished::CancelledInQueue | Unfinished::CancelledInTheMiddle => Outcome::Cancelled,
        })))
    }
}

fn close(outcome: Outcome) -> Command {
    Command::Close(conclusion(outcome))
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
    /// Its attempt has ended; whether the log knows is not sure.
    Ended(End),
    /// Until the wall clock shows this.
    Waits(Instant),
    /// Its next attempt is told; whether the log knows is not sure.
    Begins,
}

#[derive(Clone, Copy)]
enum End {
    Over(Outcome),
    /// Another attempt follows after this time.
    Again(Duration),
    /// Whoever ran it is gone.
    Lost,
}

impl Job {
    pub(super) fn new(seed: u64, taken: Taken, elapsed: Duration) -> Self {
        let Taken { work, reporter, how } = taken;
        let id = work.execution.uuid().as_u128().to_be_bytes();
        let (high, low) = id.split_at(8);
        let number = |half: &[u8]| u64::from_be_bytes(half.try_into().expect("eight bytes"));
        let parts = [seed, number(high), number(low), u64::from(work.attempts)];
        let mut random = Random::new(mixed(&parts));
        let now = match how {
            How::Resumed(at) => Phase::Waits(at),
            How::Begins | How::TakenOver => Phase::Runs(elapsed + length(&mut random)),
        };
        let (execution, cancel) = (work.execution, work.cancel);
        let attempt = work.attempts.max(1);
        Self { execution, reporter, cancel, random, attempt, now, ending: false }
    }

    /// The attempt that goes on when the daemon is gone. What waits does so in the daemon.
    pub(super) const fn held(&self) -> Option<u32> {
        match self.now {
            Phase::Runs(_) | Phase::Ended(End::Over(_) | End::Again(_)) => Some(self.attempt),
            Phase::Ended(End::Lost) | Phase::Waits(_) | Phase::Begins => None,
        }
    }

    /// Another daemon hears of it from now on.
    pub(super) fn taken_over(&mut self, taken: Taken) -> Checked {
        let Taken { work, reporter, .. } = taken;
        ensure(self.held() == Some(work.attempts), || {
            format!("attempt {} of {} is taken over", work.attempts, self.execution)
        })?;
        (self.reporter, self.cancel) = (reporter, work.cancel);
        Ok(())
    }

    /// Whoever runs it is gone. False when it does not run: an end that is on record is not lost.
    pub(super) const fn lose(&mut self) -> bool {
        let runs = matches!(self.now, Phase::Runs(_));
        if runs {
            self.now = Phase::Ended(End::Lost);
        }
        runs
    }

    /// When it has something to report.
    pub(super) fn due(&self, clock: &dyn Clock) -> Instant {
        let now = clock.now();
        match self.now {
            Phase::Runs(end) => now + end.saturating_sub(clock.elapsed()),
            Phase::Waits(at) if !self.ending => at.max(now),
            Phase::Waits(_) | Phase::Ended(_) | Phase::Begins => now,
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

    /// Says what has happened to it. Nothing of it is sure before [`Self::recorded`].
    pub(super) fn report(&mut self, clock: &dyn Clock) {
        if let Phase::Runs(_) = self.now {
            self.now = Phase::Ended(self.end());
        }
        self.reporter.tell(match self.now {
            Phase::Waits(_) if self.ending => vec![close(Outcome::Cancelled)],
            Phase::Waits(_) => {
                self.now = Phase::Begins;
                vec![Command::StartAttempt]
            }
            Phase::Ended(End::Over(outcome)) => vec![ended(self.attempt, outcome), close(outcome)],
            Phase::Ended(End::Again(delay)) => {
                let planned = RetryPlanned {
                    attempt: self.attempt + 1,
                    at: clock.now() + delay,
                    delay_ms: u64::try_from(delay.as_millis()).expect("small"),
                    asked: false,
                };
                vec![ended(self.attempt, Outcome::Ko), Command::PlanRetry(planned)]
            }
            Phase::Ended(End::Lost) => {
                let unseen = AttemptEnded::unseen(self.attempt, Cause::TecInterrupted);
                let conclusion = Conclusion { interrupted: true, ..conclusion(Outcome::Ko) };
                vec![Command::EndAttempt(unseen), Command::Close(conclusion)]
            }
            Phase::Runs(_) | Phase::Begins => Vec::new(),
        });
    }

    fn end(&mut self) -> End {
        if self.ending {
            return End::Over(Outcome::Cancelled);
        }
        match self.random.below(100) {
            0..70 => End::Over(Outcome::Ok),
            70..88 => End::Over(Outcome::Ko),
            _ => End::Again(Duration::from_secs(self.random.between(1, 1_200))),
        }
    }

    /// What it has reported is on disk; nobody needs to remember it any more. True when it is over.
    pub(super) fn recorded(&mut self, clock: &dyn Clock) -> bool {
        match self.now {
            Phase::Ended(End::Over(_) | End::Lost) => return true,
            Phase::Waits(_) => return self.ending,
            Phase::Ended(End::Again(delay)) => self.now = Phase::Waits(clock.now() + delay),
            Phase::Begins => {
                self.attempt += 1;
                self.now = Phase::Runs(clock.elapsed() + length(&mut self.random));
            }
            Phase::Runs(_) => (),
        }
        false
    }
}

/// Most are short, some outlast the next slot, few take hours.
fn length(random: &mut Random) -> Duration {
    let most = random.pick(&[2_000, 60_000, 60_000, 600_000, 5_400_000, 14_400_000]);
    Duration::from_millis(random.between(1, most))
}
