//! What retention offers to forget, and what of it must stay because the state still speaks of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::commit::After;
use super::core::{Draft, Engine};
use super::state::RetentionState;
use crate::domain::definition::Retention;
use crate::domain::event::{Actor, Forgotten, HistoryPruned, PruneStep};
use crate::domain::interface::Interface;
use crate::domain::retention::{SETTLED_AFTER, divide};
use crate::domain::schedule::Schedule;
use crate::ids::{ExecutionId, InterfaceId, Position, ScheduleRef, StreamId};
use crate::instant::Instant;

/// Why a pass of retention has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// A ping or notice is owed for longer than any should be.
    #[error("a ping or notice has been owed since {since}; what it follows from must stay")]
    Owed {
        /// Since when.
        since: Instant,
    },
}

/// The members of each execution's re-run chain, itself included; none for one without re-runs.
pub type Chains = HashMap<ExecutionId, Arc<[ExecutionId]>>;

/// What an interface's files say of its history, and its schedules.
#[derive(Clone, Debug, PartialEq)]
pub struct Keeping {
    /// The interface.
    pub interface: InterfaceId,
    /// How long it is kept.
    pub retention: Retention,
    /// Its schedules, removed ones included.
    pub schedules: Vec<ScheduleRef>,
}

impl Engine {
    /// What each interface says of its history; one whose file is gone says what it said last.
    pub fn keeping(&self) -> Vec<Keeping> {
        let keeping = |(id, interface): (&InterfaceId, &Interface)| Keeping {
            interface: id.clone(),
            retention: interface.definition().map(|it| it.retention.clone()).unwrap_or_default(),
            schedules: self.state.schedules.names_of(id),
        };
        self.state.interfaces.iter().map(keeping).collect()
    }

    /// How far retention has come.
    pub const fn retention(&self) -> RetentionState {
        self.state.daemon.retention
    }

    /// The number of the next pass, unless one cannot begin now.
    ///
    /// # Errors
    /// [`NotNow`].
    pub fn next_pass(&self) -> Result<u64, NotNow> {
        let since = self.settled_before();
        if since < self.now() - SETTLED_AFTER {
            return Err(NotNow::Owed { since });
        }
        Ok(self.state.daemon.retention.pass + 1)
    }

    /// Records that what is offered is forgotten, but for what must stay; `then` learns, once it is on disk, what was.
    pub fn forget(
        &mut self,
        pass: u64,
        offered: Vec<Forgotten>,
        chains: &Chains,
        then: impl FnOnce(Vec<Forgotten>, Position) + Send + 'static,
    ) {
        let needed = self.needed_by(&offered);
        let spare = |mut one: Forgotten| {
            let schedule = self.state.schedules.get(&one.schedule);
            let is_needed = |id: &ExecutionId| {
                needed.contains(id) || schedule.is_some_and(|schedule| speaks_of(schedule, *id))
            };
            let most = schedule.and_then(Schedule::forgettable);
            for until in [&mut one.slots_until, &mut one.decided_until] {
                *until = until.zip(most).map(|(until, most)| until.min(most));
            }
            // A slot whose execution goes must lie among those taken for decided, or it could run once more (rule 4).
            let until = one.decided_until.max(schedule.and_then(|schedule| schedule.forgotten));
            let is_beyond = |id: &ExecutionId| {
                let slot = id.instant();
                Some(slot) > until && *id == ExecutionId::for_slot(&one.schedule, slot)
            };
            let stays = |id: &ExecutionId| is_needed(id) || is_beyond(id);
            // The members of a re-run chain say of each other how they were mended: all of them go, or none.
            one.executions.retain(|id| match chains.get(id) {
                Some(chain) => !chain.iter().any(stays),
                None => !stays(id),
            });
            one.lines.retain(|id| !needed.contains(id));
            let says_something =
                !(one.executions.is_empty() && one.lines.is_empty() && one.slots_until.is_none());
            says_something.then_some(one)
        };
        let forgotten: Vec<_> = offered.into_iter().filter_map(spare).collect();
        let mut draft = Draft::new(self.now(), Actor::Daybook);
        for part in divide(forgotten.clone(), NAMED_MAX) {
            let step = PruneStep::Forgotten(part);
            self.record(&mut draft, &StreamId::Daemon, HistoryPruned { pass, step }.into());
        }
        draft.then(After::Answer(Box::new(move |position| then(forgotten, position))));
        self.submit(draft);
    }

    /// Records that a pass has said all that it removes; `then` is called when that is on disk.
    pub fn decide_pass(
        &mut self,
        pass: u64,
        (executions, lines_of): (u64, u64),
        then: impl FnOnce(Position) + Send + 'static,
    ) {
        let settled_before = self.settled_before();
        self.record_pass(pass, PruneStep::Decided { settled_before, executions, lines_of }, then);
    }

    /// Records what a pass freed; `then` is called when that is on disk.
    pub fn end_pass(
        &mut self,
        pass: u64,
        (events, journal_bytes, lines_bytes): (u64, u64, u64),
        then: impl FnOnce(Position) + Send + 'static,
    ) {
        self.record_pass(pass, PruneStep::Freed { events, journal_bytes, lines_bytes }, then);
    }

    fn record_pass(
        &mut self,
        pass: u64,
        step: PruneStep,
        then: impl FnOnce(Position) + Send + 'static,
    ) {
        let mut draft = Draft::new(self.now(), Actor::Daybook);
        self.record(&mut draft, &StreamId::Daemon, HistoryPruned { pass, step }.into());
        draft.then(After::Answer(Box::new(then)));
        self.submit(draft);
    }

    /// No delivery that arose before this instant is still owed.
    fn settled_before(&self) -> Instant {
        let owed = self.state.outbox.values().map(|effect| effect.at);
        owed.min().map_or_else(|| self.now(), |oldest| oldest.min(self.now()))
    }

    /// Executions that others than their own schedule speak of: those that slots wait for, and those with deliveries.
    fn needed_by(&self, offered: &[Forgotten]) -> HashSet<ExecutionId> {
        let mut needed: HashSet<_> =
            self.state.outbox.values().filter_map(|effect| effect.execution).collect();
        let mut seen = HashSet::new();
        for one in offered {
            if !seen.insert(&one.schedule) {
                continue;
            }
            let followers = self.followers.get(&one.schedule).into_iter().flatten();
            let waiting = followers.filter_map(|follower| self.state.schedules.get(follower));
            needed.extend(
                waiting.flat_map(|follower| follower.awaiting.values()).map(|it| it.execution),
            );
        }
        needed
    }
}

/// Executions and schedules that one event names at most: the index takes them out in one batch, and large batches pin
/// sled's memory.
const NAMED_MAX: usize = 64;

/// Whether a schedule's own state names the execution.
fn speaks_of(schedule: &Schedule, id: ExecutionId) -> bool {
    schedule.open.contains(&id)
        || schedule.newest.as_ref().is_some_and(|newest| newest.execution == id)
        || schedule.finished.as_ref().is_some_and(|newest| newest.execution == id)
}
