//! `limits.rate`: how many calls an interface's external system gets in a period.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::domain::definition::Rate;
use crate::ids::InterfaceId;

/// When each interface's newest calls were made, and who waits for the next ones.
///
/// Any period, wherever it begins, holds at most the rate's count: a call may be made one period after the one that is
/// `count` calls older. What the daemon did before its start is not known, so a restart begins with the whole count.
#[derive(Debug, Default)]
pub(super) struct Pace {
    interfaces: Mutex<HashMap<InterfaceId, Calls>>,
    /// Told when somebody no longer waits.
    left: Notify,
}

#[derive(Debug, Default)]
struct Calls {
    made: VecDeque<Instant>,
    /// Who waits, in the order of coming.
    waiting: BTreeSet<u64>,
    next: u64,
}

impl Calls {
    /// When it is `ticket`'s turn, as far as is known at `now`.
    fn turn_of(&self, ticket: u64, rate: Rate, now: Instant) -> Instant {
        let count = (rate.count as usize).max(1);
        let period = Duration::from_millis(rate.per_ms);
        let ahead = self.waiting.range(..ticket).count();
        let newest = self.made.len().saturating_sub(count);
        let mut turns: Vec<Instant> = self.made.range(newest..).copied().collect();
        let mut turn = now;
        for _ in 0..=ahead {
            if let Some(place) = turns.len().checked_sub(count) {
                turn = turn.max(turns[place] + period);
            }
            turns.push(turn);
        }
        turn
    }
}

impl Pace {
    /// Begins to wait for a call. Turns go by the order of coming; whoever gives up lets those behind move up.
    pub(super) fn queue(&self, interface: &InterfaceId, rate: Rate) -> Place<'_> {
        let mut all = self.calls();
        let calls = all.entry(interface.clone()).or_default();
        let ticket = calls.next;
        calls.next += 1;
        calls.waiting.insert(ticket);
        Place { pace: self, interface: interface.clone(), rate, ticket }
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<InterfaceId, Calls>> {
        self.interfaces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue of an interface. Dropped, it is free again.
pub(super) struct Place<'a> {
    pace: &'a Pace,
    interface: InterfaceId,
    rate: Rate,
    ticket: u64,
}

impl Place<'_> {
    /// When its turn is, as far as is known at `now`.
    pub(super) fn turn(&self, now: Instant) -> Instant {
        let all = self.pace.calls();
        all.get(&self.interface).map_or(now, |calls| calls.turn_of(self.ticket, self.rate, now))
    }

    /// Waits for its turn and takes it.
    pub(super) async fn come(self) {
        loop {
            let left = self.pace.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            let now = Instant::now();
            let turn = self.turn(now);
            if turn <= now {
                return self.take(now);
            }
            tokio::select! {
                () = sleep_until(turn) => (),
                () = left => (),
            }
        }
    }

    fn take(&self, now: Instant) {
        let mut all = self.pace.calls();
        let Some(calls) = all.get_mut(&self.interface) else { return };
        calls.waiting.remove(&self.ticket);
        // The count may have become smaller with a new definition.
        let count = (self.rate.count as usize).max(1);
        let spare = (calls.made.len() + 1).saturating_sub(count);
        calls.made.drain(..spare);
        calls.made.push_back(now);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let waited = self
            .pace
            .calls()
            .get_mut(&self.interface)
            .is_some_and(|calls| calls.waiting.remove(&self.ticket));
        if waited {
            self.pace.left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str) -> InterfaceId {
        name.parse().expect("valid")
    }

    /// When the call that is asked for now is made, in milliseconds after `start`.
    async fn call(pace: &Pace, count: u32, start: Instant) -> u128 {
        pace.queue(&interface("shop"), Rate { count, per_ms: 1_000 }).come().await;
        start.elapsed().as_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn no_period_holds_more_calls_than_the_rate_allows() {
        let (pace, start) = (Pace::default(), Instant::now());
        let asked_at_ms = [0, 100, 200, 300, 2_050, 5_000];
        let turns = asked_at_ms.map(|ms| {
            let pace = &pace;
            async move {
                sleep_until(start + Duration::from_millis(ms)).await;
                call(pace, 2, start).await
            }
        });
        let turns = futures_util::future::join_all(turns).await;
        assert_eq!(turns, [0, 100, 1_000, 1_100, 2_050, 5_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_given_up_gives_its_turn_to_those_behind() {
        let (pace, start) = (Pace::default(), Instant::now());
        assert_eq!(call(&pace, 1, start).await, 0);
        let given_up = pace.queue(&interface("shop"), Rate { count: 1, per_ms: 1_000 });
        let behind = call(&pace, 1, start);
        let gives_up = async {
            sleep_until(start + Duration::from_millis(500)).await;
            drop(given_up);
        };
        assert_eq!(tokio::join!(behind, gives_up).0, 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn interfaces_do_not_wait_for_each_other_and_a_new_rate_holds_at_once() {
        let (pace, start) = (Pace::default(), Instant::now());
        assert_eq!(call(&pace, 2, start).await, 0);
        assert_eq!(call(&pace, 2, start).await, 0);
        pace.queue(&interface("crm"), Rate { count: 1, per_ms: 1_000 }).come().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(call(&pace, 1, start).await, 1_000);
        assert_eq!(call(&pace, 3, start).await, 1_000);
    }
}
