//! `limits.rate`: how many calls an interface's external system gets in a period.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::definition::Rate;
use crate::ids::InterfaceId;

/// When each interface's newest calls were made, or are to be made.
///
/// Any period, wherever it begins, holds at most the rate's count: a call may be made one period after the one that is
/// `count` calls older. What the daemon did before its start is not known, so a restart begins with the whole count.
#[derive(Debug, Default)]
pub(super) struct Pace {
    calls: Mutex<HashMap<InterfaceId, VecDeque<Instant>>>,
}

impl Pace {
    /// Takes the next turn and says when it is. Turns go by the order of asking.
    pub(super) fn next_turn(&self, interface: &InterfaceId, rate: Rate, now: Instant) -> Instant {
        let count = rate.count as usize;
        let mut all = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = all.entry(interface.clone()).or_default();
        // The count may have become smaller with a new definition.
        calls.drain(..calls.len().saturating_sub(count));
        let mut at = now;
        if calls.len() == count
            && let Some(oldest) = calls.pop_front()
        {
            at = at.max(oldest + Duration::from_millis(rate.per_ms));
        }
        calls.push_back(at);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_period_holds_more_calls_than_the_rate_allows() {
        let pace = Pace::default();
        let shop: InterfaceId = "shop".parse().expect("valid");
        let rate = Rate { count: 2, per_ms: 1_000 };
        let start = Instant::now();
        let asked_at_ms = [0, 100, 200, 300, 2_050, 5_000];
        let turns: Vec<_> = asked_at_ms
            .iter()
            .map(|ms| pace.next_turn(&shop, rate, start + Duration::from_millis(*ms)) - start)
            .map(|turn| turn.as_millis())
            .collect();
        assert_eq!(turns, [0, 100, 1_000, 1_100, 2_050, 5_000]);
    }

    #[test]
    fn interfaces_do_not_wait_for_each_other_and_a_new_rate_holds_at_once() {
        let pace = Pace::default();
        let (shop, crm): (InterfaceId, InterfaceId) =
            ("shop".parse().expect("valid"), "crm".parse().expect("valid"));
        let start = Instant::now();
        let rate = |count| Rate { count, per_ms: 60_000 };
        let minute = start + Duration::from_secs(60);
        assert_eq!(pace.next_turn(&shop, rate(2), start), start);
        assert_eq!(pace.next_turn(&shop, rate(2), start), start);
        assert_eq!(pace.next_turn(&crm, rate(2), start), start);
        assert_eq!(pace.next_turn(&shop, rate(1), start), minute);
        assert_eq!(pace.next_turn(&shop, rate(3), start), start);
    }
}
