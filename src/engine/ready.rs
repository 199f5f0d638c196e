//! The executions that wait for their turn, and what makes them wait: limits, seats that only one may hold, and time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::definition::Rate;
use crate::domain::execution::Execution;
use crate::ids::{ExecutionId, InterfaceId, ScheduleRef};
use crate::instant::Instant;

/// The order of turns: larger priority, then earlier slot (or opening), then earlier opening.
type Turn = (Reverse<i32>, Instant, u64, ExecutionId);

/// What only one execution holds while it runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Seat {
    /// Executions of the schedule run one after another.
    Schedule(ScheduleRef),
    /// The lock of this name is shared by several schedules.
    Lock(String),
}

/// What an execution asks for before it starts, and holds until it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asks {
    /// All of them must be free.
    pub(super) seats: Vec<Arc<Seat>>,
    /// It does not start earlier.
    pub(super) not_before: Option<Instant>,
    /// It belongs to the series of its first seat, which is the schedule's: one after another, the oldest first.
    pub(super) in_series: bool,
    /// The series goes on at this pace behind it.
    pub(super) pace: Option<Rate>,
}

impl Asks {
    /// What names its series. Its members may have been opened by definitions of several versions, with and without a pace.
    fn series(&self) -> Option<&Arc<Seat>> {
        self.seats.first().filter(|_| self.in_series)
    }
}

/// Waiting executions and running counts, all derived from the open executions and never stored.
///
/// A waiting execution stands in one of three places: `waiting` (its turn may come), `blocked` (a seat that it asks for is
/// taken) or `sleeping` (its time has not come).
#[derive(Debug)]
pub(super) struct Ready {
    limit: usize,
    running: usize,
    running_of: HashMap<InterfaceId, u32>,
    limit_of: HashMap<InterfaceId, u32>,
    waiting: BTreeMap<InterfaceId, BTreeSet<Turn>>,
    /// The first turn of each interface that has one waiting and room for it.
    heads: BTreeSet<(Turn, InterfaceId)>,
    blocked: HashMap<Arc<Seat>, BTreeMap<Turn, InterfaceId>>,
    /// Seats that were given back to the first of several that wait for them. It may not take it: it may lack room or
    /// another seat, or sleep.
    given_back: Vec<Arc<Seat>>,
    sleeping: BTreeMap<(Instant, ExecutionId), (Turn, InterfaceId)>,
    /// How many hold each seat: more than one only when forced.
    held: HashMap<Arc<Seat>, u32>,
    asks: HashMap<ExecutionId, Asks>,
    /// When the next one of a series may start.
    paced: HashMap<Arc<Seat>, Instant>,
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
            blocked: HashMap::new(),
            given_back: Vec::new(),
            sleeping: BTreeMap::new(),
            held: HashMap::new(),
            asks: HashMap::new(),
            paced: HashMap::new(),
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
    pub(super) fn wait(&mut self, id: ExecutionId, execution: &Execution, asks: Asks) {
        let interface = &execution.opened.schedule.interface;
        let turn = turn(id, execution);
        match asks.not_before {
            Some(at) => drop(self.sleeping.insert((at, id), (turn, interface.clone()))),
            None => self.queue(turn, interface),
        }
        self.asks.insert(id, asks);
    }

    /// Takes `execution` out of the queue. False when it was not in it.
    pub(super) fn leave(&mut self, id: ExecutionId, execution: &Execution) -> bool {
        let interface = &execution.opened.schedule.interface;
        let turn = turn(id, execution);
        let queued = self.change(interface, |ready| ready.take(interface, &turn));
        let sleeping = self.sleeping.len();
        self.sleeping.retain(|(_, sleeper), _| *sleeper != id);
        let woken = self.sleeping.len() < sleeping;
        let Some(asks) = self.asks.get(&id).cloned() else { return false };
        let mut found = queued || woken;
        for seat in &asks.seats {
            if let Some(turns) = self.blocked.get_mut(seat) {
                found |= turns.remove(&turn).is_some();
            }
        }
        if found {
            self.asks.remove(&id);
            asks.seats.iter().for_each(|seat| self.unblock(seat));
        }
        found
    }

    /// The execution whose turn it is, taken out of the queue and counted as running.
    pub(super) fn next(&mut self, now: Instant) -> Option<ExecutionId> {
        self.wake(now);
        while self.running < self.limit {
            let Some((turn, interface)) = self.heads.first().cloned() else {
                let seat = self.given_back.pop()?;
                self.unblock_another(&seat, now);
                continue;
            };
            self.change(&interface, |ready| ready.take(&interface, &turn));
            match self.obstacle(turn.3, now) {
                None => {
                    self.start(turn.3, now, &interface);
                    return Some(turn.3);
                }
                Some(Obstacle::Taken(seat)) => {
                    self.blocked.entry(seat).or_default().insert(turn, interface);
                }
                Some(Obstacle::Until(at)) => {
                    self.sleeping.insert((at, turn.3), (turn, interface));
                }
            }
        }
        None
    }

    /// When the next sleeping one wakes.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.sleeping.first_key_value().map(|((at, _), _)| *at)
    }

    /// Counts an execution as running that did not wait: it was forced, or goes on.
    pub(super) fn start_at_once(
        &mut self,
        id: ExecutionId,
        interface: &InterfaceId,
        asks: Asks,
        now: Instant,
    ) {
        self.asks.insert(id, asks);
        self.start(id, now, interface);
    }

    /// An execution of `interface` no longer runs.
    pub(super) fn finish(&mut self, id: ExecutionId, interface: &InterfaceId) {
        self.change(interface, |ready| {
            ready.running = ready.running.saturating_sub(1);
            if let Some(count) = ready.running_of.get_mut(interface) {
                *count = count.saturating_sub(1);
            }
        });
        let Some(asks) = self.asks.remove(&id) else { return };
        for seat in &asks.seats {
            if let Some(count) = self.held.get_mut(seat) {
                *count -= 1;
                if *count == 0 {
                    self.held.remove(seat);
                }
            }
            self.unblock(seat);
        }
        if let Some(series) = asks.series() {
            let goes_on = self.asks.values().any(|other| other.series() == Some(series));
            if !goes_on {
                self.paced.remove(series);
            }
        }
    }
}

/// What keeps an execution from starting although its turn has come.
enum Obstacle {
    Taken(Arc<Seat>),
    Until(Instant),
}

impl Ready {
    fn queue(&mut self, turn: Turn, interface: &InterfaceId) {
        self.change(interface, |ready| {
            ready.waiting.entry(interface.clone()).or_default().insert(turn);
        });
    }

    /// Those whose time has come wait for their turn.
    fn wake(&mut self, now: Instant) {
        while let Some(first) = self.sleeping.first_entry().filter(|first| first.key().0 <= now) {
            let (turn, interface) = first.remove();
            self.queue(turn, &interface);
        }
    }

    fn obstacle(&self, id: ExecutionId, now: Instant) -> Option<Obstacle> {
        let asks = self.asks.get(&id)?;
        let taken = asks.seats.iter().find(|seat| self.held.contains_key(*seat));
        let paced = asks.series().and_then(|series| self.paced.get(series));
        let paced = paced.filter(|at| **at > now);
        taken
            .map(|seat| Obstacle::Taken(Arc::clone(seat)))
            .or_else(|| paced.map(|at| Obstacle::Until(*at)))
    }

    fn start(&mut self, id: ExecutionId, now: Instant, interface: &InterfaceId) {
        self.change(interface, |ready| {
            ready.running += 1;
            *ready.running_of.entry(interface.clone()).or_default() += 1;
        });
        let Some(asks) = self.asks.get(&id) else { return };
        for seat in &asks.seats {
            *self.held.entry(Arc::clone(seat)).or_default() += 1;
        }
        if let (Some(rate), Some(series)) = (asks.pace, asks.series()) {
            let step = Duration::from_millis(rate.per_ms / u64::from(rate.count.max(1)));
            self.paced.insert(Arc::clone(series), now + step);
        }
    }

    /// The first one that a free seat held up waits for its turn again.
    fn unblock(&mut self, seat: &Arc<Seat>) {
        if self.held.contains_key(seat) {
            return;
        }
        let Some(turns) = self.blocked.get_mut(seat) else { return };
        let first = turns.pop_first();
        if turns.is_empty() {
            self.blocked.remove(seat);
        } else if !self.given_back.contains(seat) {
            self.given_back.push(Arc::clone(seat));
        }
        if let Some((turn, interface)) = first {
            self.queue(turn, &interface);
        }
    }

    /// The same for one behind it; not for more of a series of which one sleeps until its pace allows a start: that one does so
    /// for all.
    fn unblock_another(&mut self, seat: &Arc<Seat>, now: Instant) {
        let of_series =
            |id: &ExecutionId| self.asks.get(id).is_some_and(|asks| asks.series() == Some(seat));
        let waits = self.paced.get(seat).is_some_and(|at| *at > now)
            && self.sleeping.keys().any(|(_, sleeper)| of_series(sleeper));
        let turns = self.blocked.get(seat).into_iter().flat_map(BTreeMap::keys);
        let first = turns.into_iter().find(|turn| !(waits && of_series(&turn.3))).copied();
        let Some(first) = first.filter(|_| !self.held.contains_key(seat)) else { return };
        let Some(turns) = self.blocked.get_mut(seat) else { return };
        let interface = turns.remove(&first);
        if turns.is_empty() {
            self.blocked.remove(seat);
        } else if !self.given_back.contains(seat) {
            self.given_back.push(Arc::clone(seat));
        }
        if let Some(interface) = interface {
            self.queue(first, &interface);
        }
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
mod occupancy;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(super) use occupancy::Occupancy;
