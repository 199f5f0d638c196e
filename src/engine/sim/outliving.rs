//! Which attempts outlive whom: what may be interrupted, and must be.

use std::collections::BTreeSet;

use super::append::Append;
use super::{Checked, ensure};
use crate::domain::cause::Cause;
use crate::domain::event::{Envelope, Event};
use crate::ids::{ExecutionId, StreamId};

/// The attempts that run according to the log, since the newest start.
#[derive(Default)]
pub(super) struct Lives {
    /// They ran on without the former process.
    go_on: BTreeSet<ExecutionId>,
    /// Nobody runs them: each is interrupted, once.
    gone: BTreeSet<ExecutionId>,
    /// What the start has to say: how many were interrupted, and how many ran on.
    counts: (u64, u64),
}

impl Lives {
    /// A new process; of each attempt that runs, whether it runs on and whether it is to end.
    pub(super) fn restart(&mut self, running: impl Iterator<Item = (ExecutionId, bool, bool)>) {
        *self = Self::default();
        for (id, goes_on, cancelling) in running {
            if goes_on {
                self.go_on.insert(id);
                self.counts.1 += 1;
            } else {
                self.gone.insert(id);
                self.counts.0 += u64::from(!cancelling);
            }
        }
    }

    /// Nobody runs these any more.
    pub(super) fn lose(&mut self, running: impl Iterator<Item = ExecutionId>) {
        self.gone.extend(running);
    }

    pub(super) fn goes_on(&self, id: ExecutionId) -> bool {
        self.go_on.contains(&id)
    }

    /// An execution is over with these events. Gives whether it was interrupted.
    pub(super) fn ends(&mut self, id: ExecutionId, events: &[Envelope]) -> Checked<bool> {
        let ended = events.iter().find_map(|envelope| match &envelope.event {
            Event::AttemptEnded(ended) if envelope.stream == StreamId::Execution(id) => Some(ended),
            _ => None,
        });
        let interrupted = ended.is_some_and(|end| end.cause == Some(Cause::TecInterrupted));
        let gone = self.gone.remove(&id);
        ensure(interrupted == gone, || {
            format!("{id} is interrupted: {interrupted}, and nobody runs it: {gone}")
        })?;
        Ok(interrupted)
    }

    /// What a start and a stop say of it.
    pub(super) fn read(&self, append: &Append<'_>, running: u64) -> Checked {
        for envelope in append.events {
            match &envelope.event {
                Event::DaemonStarted(started) => {
                    let told = (started.interrupted, started.taken_over);
                    ensure(told == self.counts, || {
                        format!("the start tells {told:?}, expected {:?}", self.counts)
                    })?;
                }
                Event::DaemonStopped(stopped) => ensure(stopped.running == running, || {
                    format!("the stop tells {}, and {running} run", stopped.running)
                })?,
                _ => (),
            }
        }
        Ok(())
    }

    /// Nothing is left that nobody runs.
    pub(super) fn check_quiet(&self) -> Checked {
        ensure(self.gone.is_empty(), || format!("{:?} run, and nobody runs them", self.gone))
    }
}
