//! The executions that wait for their turn, and the limits that make them wait.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::domain::execution::Execution;
use crate::ids::{ExecutionId, InterfaceId};
use crate::instant::Instant;

/// The order of turns: larger priority, then earlier slot (or opening), then earlier opening.
type Turn = (Reverse<i32>, Instant, u64, ExecutionId);

/// Waiting executions and running counts, both derived from the open executions and never stored.
#[derive(Debug)]
pub(super) struct Ready {
    limit: usize,
    running: usize,
    running_of: HashMap<InterfaceId, u32>,
    limit_of: HashMap<InterfaceId, u32>,
    waiting: BTreeMap<InterfaceId, BTreeSet<Turn>>,
    /// The first turn of each interface that has one waiting and room for it.
    heads: BTreeSet<(Turn, InterfaceId)>,
}

impl Ready {
    /// Nothing waits; at most `limit` executions run at once.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            running: 0,
            running_of: HashMap::new(),
            limit_of: HashMap::new(),
            waiting: BTreeMap::new(),
            heads: BTreeSet::new(),
        }
    }

    /// Sets how many executions of `interface` run at once; none means only the daemon's limit.
    pub(super) fn limit_interface(&mut self, interface: &InterfaceId, concurrent: Option<u32>) {
        self.change(interface, |ready| {
            match concurrent {
                Some(limit) => ready.limit_of.insert(interface.clone(), limit),
                None => ready.limit_of.remove(interface),
            };
        });
    }

    /// Lets `execution` wait for its turn.
    pub(super) fn wait(&mut self, id: ExecutionId, execution: &Execution) {
        let interface = &execution.opened.schedule.interface;
        self.change(interface, |ready| {
            ready.waiting.entry(interface.clone()).or_default().insert(turn(id, execution));
        });
    }

    /// Takes `execution` out of the queue. False when it was not in it.
    pub(super) fn leave(&mut self, id: ExecutionId, execution: &Execution) -> bool {
        let interface = &execution.opened.schedule.interface;
        self.change(interface, |ready| ready.take(interface, &turn(id, execution)))
    }

    /// The execution whose turn it is, taken out of the queue and counted as running.
    pub(super) fn next(&mut self) -> Option<ExecutionId> {
        if self.running >= self.limit {
            return None;
        }
        let (first, interface) = self.heads.first().cloned()?;
        self.change(&interface, |ready| {
            ready.take(&interface, &first);
            ready.count(&interface);
        });
        Some(first.3)
    }

    /// Counts an execution of `interface` as running that did not wait (forced).
    pub(super) fn start(&mut self, interface: &InterfaceId) {
        self.change(interface, |ready| ready.count(interface));
    }

    /// An execution of `interface` no longer runs.
    pub(super) fn finish(&mut self, interface: &InterfaceId) {
        self.change(interface, |ready| {
            ready.running = ready.running.saturating_sub(1);
            if let Some(count) = ready.running_of.get_mut(interface) {
                *count = count.saturating_sub(1);
            }
        });
    }

    /// Makes a change that concerns `interface`, and keeps its head true.
    fn change<T>(&mut self, interface: &InterfaceId, change: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.head(interface);
        let changed = change(self);
        let after = self.head(interface);
        if before != after {
            if let Some(turn) = before {
                self.heads.remove(&(turn, interface.clone()));
            }
            if let Some(turn) = after {
                self.heads.insert((turn, interface.clone()));
            }
        }
        changed
    }

    fn head(&self, interface: &InterfaceId) -> Option<Turn> {
        let first = self.waiting.get(interface)?.first()?;
        self.has_room(interface).then_some(*first)
    }

    fn take(&mut self, interface: &InterfaceId, turn: &Turn) -> bool {
        let Some(turns) = self.waiting.get_mut(interface) else { return false };
        let taken = turns.remove(turn);
        if turns.is_empty() {
            self.waiting.remove(interface);
        }
        taken
    }

    fn count(&mut self, interface: &InterfaceId) {
        self.running += 1;
        *self.running_of.entry(interface.clone()).or_default() += 1;
    }

    fn has_room(&self, interface: &InterfaceId) -> bool {
        let running = self.running_of.get(interface).copied().unwrap_or(0);
        self.limit_of.get(interface).is_none_or(|limit| running < *limit)
    }
}

fn turn(id: ExecutionId, execution: &Execution) -> Turn {
    let opened = &execution.opened;
    (Reverse(opened.priority), opened.slot.unwrap_or(execution.created_at), execution.ordinal, id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::event::{Opened, Trigger};

    fn waiting(schedule: &str, ordinal: u64, priority: i32) -> (ExecutionId, Execution) {
        let at = Instant::from_secs(i64::try_from(ordinal).expect("small"));
        let id = ExecutionId::random(at, [u8::try_from(ordinal).expect("small"); 10]);
        let opened = Opened {
            schedule: schedule.parse().expect("valid"),
            slot: None,
            trigger: Trigger::Manual,
            definition_version: 1,
            params: BTreeMap::new(),
            rerun_of: None,
            root: id,
            idempotency_key: String::new(),
            previous_slot: None,
            last_ok_slot: None,
            priority,
            forced: false,
        };
        (id, Execution::open(opened, at, ordinal))
    }

    #[test]
    fn turns_go_by_priority_then_by_age() {
        let mut ready = Ready::new(10);
        let all = [waiting("a/s", 1, 0), waiting("b/s", 2, 5), waiting("a/s", 3, 0)];
        for (id, execution) in &all {
            ready.wait(*id, execution);
        }
        let turns: Vec<_> = std::iter::from_fn(|| ready.next()).collect();
        assert_eq!(turns, [all[1].0, all[0].0, all[2].0]);
    }

    #[test]
    fn a_full_interface_holds_nobody_else_up() {
        let mut ready = Ready::new(3);
        let a: InterfaceId = "a".parse().expect("valid");
        ready.limit_interface(&a, Some(1));
        let all = [waiting("a/s", 1, 0), waiting("a/t", 2, 9), waiting("b/s", 3, 0)];
        for (id, execution) in &all {
            ready.wait(*id, execution);
        }
        assert_eq!(ready.next(), Some(all[1].0));
        assert_eq!(ready.next(), Some(all[2].0));
        assert_eq!(ready.next(), None);
        ready.finish(&a);
        assert_eq!(ready.next(), Some(all[0].0));
    }

    #[test]
    fn the_daemons_limit_holds_for_all_together() {
        let mut ready = Ready::new(1);
        let all = [waiting("a/s", 1, 0), waiting("b/s", 2, 0)];
        for (id, execution) in &all {
            ready.wait(*id, execution);
        }
        assert_eq!(ready.next(), Some(all[0].0));
        assert_eq!(ready.next(), None);
        ready.finish(&"a".parse().expect("valid"));
        assert_eq!(ready.next(), Some(all[1].0));
    }
}
