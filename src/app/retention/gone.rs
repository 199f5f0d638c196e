//! What retention took, as the segments are asked for it.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::domain::event::{Event, Forgotten};
use crate::ids::{ExecutionId, Position, ScheduleRef, StreamId};
use crate::instant::Instant;
use crate::store::journal::RawEvent;

/// What has to leave the segments.
#[derive(Default)]
pub(super) struct Gone {
    pub(super) executions: HashSet<ExecutionId>,
    pub(super) lines: BTreeSet<ExecutionId>,
    pub(super) slots: HashMap<ScheduleRef, Instant>,
    /// Positions of events that go, one for each stretch that is likely to lie in one segment; none when all segments are
    /// to be looked at.
    pub(super) near: Option<BTreeSet<u64>>,
}

/// Events that lie within so many positions are looked for together.
const STRETCH: u64 = 1_024;

impl Gone {
    pub(super) fn take(&mut self, all: &[Forgotten]) {
        for forgotten in all {
            self.executions.extend(&forgotten.executions);
            self.lines.extend(forgotten.executions.iter().chain(&forgotten.lines));
            if let Some(until) = forgotten.slots_until {
                let known = self.slots.entry(forgotten.schedule.clone()).or_insert(until);
                *known = (*known).max(until);
            }
        }
    }

    pub(super) fn at(&mut self, positions: &[u64]) {
        if let Some(near) = &mut self.near {
            near.extend(positions.iter().map(|position| position / STRETCH));
        }
    }

    pub(super) fn may_be_between(&self, first: Position, last: Position) -> bool {
        let stretches = first.0 / STRETCH..=last.0 / STRETCH;
        self.near.as_ref().is_none_or(|near| near.range(stretches).next().is_some())
    }

    /// Whether the bytes of an event go.
    pub(super) fn takes(&self, event: RawEvent<'_>) -> bool {
        let Ok(header) = event.header() else { return false };
        match &header.stream {
            StreamId::Execution(id) => self.executions.contains(id),
            StreamId::Schedule(schedule) => {
                let until = self.slots.get(schedule).copied();
                match event.decode().map(|envelope| envelope.event) {
                    Ok(Event::SlotStarted(started)) => self.executions.contains(&started.execution),
                    Ok(Event::SlotsPassed(passed)) => Some(passed.last) <= until,
                    Ok(Event::SlotAwaited(awaited)) => Some(awaited.slot) <= until,
                    _ => false,
                }
            }
            StreamId::Daemon | StreamId::Interface(_) => false,
        }
    }
}
