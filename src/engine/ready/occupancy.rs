//! What the turns hold, for comparison with what the open executions say.

use std::collections::BTreeSet;

use super::*;

/// Who waits and what is taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Occupancy {
    pub(in crate::engine) queued: BTreeSet<ExecutionId>,
    pub(in crate::engine) running: usize,
    pub(in crate::engine) running_of: BTreeMap<InterfaceId, u32>,
    /// By the name of the schedule or lock.
    pub(in crate::engine) held: BTreeMap<String, u32>,
}

impl Ready {
    /// All places counted.
    pub(in crate::engine) fn occupancy(&self) -> Result<Occupancy, String> {
        let waiting = self.waiting.values().flatten();
        let blocked = self.blocked.values().flat_map(BTreeMap::keys);
        let sleeping = self.sleeping.values().map(|(turn, _)| turn);
        let mut queued = BTreeSet::new();
        for turn in waiting.chain(blocked).chain(sleeping) {
            if !queued.insert(turn.3) {
                return Err(format!("{} waits in two places", turn.3));
            }
        }
        let running_of = self.running_of.iter().filter(|(_, count)| **count > 0);
        let name = |seat: &Seat| match seat {
            Seat::Schedule(id) => id.to_string(),
            Seat::Lock(name) => name.clone(),
        };
        Ok(Occupancy {
            queued,
            running: self.running,
            running_of: running_of.map(|(id, count)| (id.clone(), *count)).collect(),
            held: self.held.iter().map(|(seat, count)| (name(seat), *count)).collect(),
        })
    }
}
