//! Commands whose turn has come: who ends lets them start first, and so does who moves processes about.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::ids::ExecutionId;

/// Nobody waits for starts by more than this.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// More than so many are a herd: others give way to it.
const HERD: usize = 32;

/// Executions whose turn has come and whose command has not started yet.
#[derive(Debug, Default)]
pub(in crate::jobs) struct Starting {
    waiting: Mutex<HashSet<ExecutionId>>,
    fewer: Condvar,
}

impl Starting {
    pub(super) fn add(&self, execution: ExecutionId) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(execution);
    }

    pub(super) fn remove(&self, execution: ExecutionId) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.remove(&execution) && (waiting.is_empty() || waiting.len() == HERD) {
            self.fewer.notify_all();
        }
    }

    /// Waits until all have started, but not for long. True when they have.
    pub(super) fn wait_for_all(&self) -> bool {
        self.wait(0, 0, WAIT_MAX)
    }

    /// Waits until all of a herd have started, but not for long.
    pub(super) fn wait_for_a_herd(&self) {
        self.wait(HERD, 0, WAIT_MAX);
    }

    /// Waits until those that are left are no herd any more, but not for long.
    pub(super) fn wait_for_most_of_a_herd(&self) {
        self.wait(HERD, HERD, WAIT_MAX);
    }

    /// Waits, if there are more than so `many`, until no more than so many are `left`. False when that takes too long.
    fn wait(&self, many: usize, left: usize, most: Duration) -> bool {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() <= many {
            return true;
        }
        let more = |waiting: &mut HashSet<ExecutionId>| waiting.len() > left;
        let waited = self.fewer.wait_timeout_while(waiting, most, more);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::instant::Instant;

    fn execution(number: u8) -> ExecutionId {
        ExecutionId::random(Instant::default(), [number; 10])
    }

    #[test]
    fn who_ends_waits_for_the_starts_whose_turn_has_come_but_not_for_ever() {
        let starting = Arc::new(Starting::default());
        assert!(starting.wait_for_all(), "nobody is to start");
        starting.add(execution(1));
        starting.add(execution(2));
        let waiting = Arc::clone(&starting);
        let waited = std::thread::spawn(move || waiting.wait(0, 0, Duration::from_secs(60)));
        starting.remove(execution(1));
        assert!(!starting.wait(0, 0, Duration::from_millis(1)), "one is left");
        assert!(starting.wait(HERD, 0, Duration::from_millis(1)), "which is no herd");
        starting.remove(execution(2));
        assert!(waited.join().expect("no panic"));
    }

    #[test]
    fn a_herd_is_waited_for_to_its_last_one_or_to_its_last_few() {
        let starting = Starting::default();
        let herd: Vec<_> = (0..=HERD).map(|n| execution(u8::try_from(n).expect("few"))).collect();
        herd.iter().for_each(|one| starting.add(*one));
        let soon = Duration::from_millis(1);
        assert!(!starting.wait(HERD, HERD, soon), "one too many");
        let waits = std::thread::scope(|scope| {
            let whole = scope.spawn(|| starting.wait(HERD, 0, Duration::from_secs(60)));
            let most = scope.spawn(|| starting.wait(HERD, HERD, Duration::from_secs(60)));
            herd.iter().for_each(|one| starting.remove(*one));
            [whole, most].map(|waited| waited.join().expect("no panic"))
        });
        assert_eq!(waits, [true, true]);
    }
}
