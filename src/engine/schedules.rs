//! The folds of all schedules, found without comparing names one by one.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::domain::schedule::Schedule;
use crate::ids::{InterfaceId, ScheduleId, ScheduleRef};

/// All schedules ever anchored, by interface and bare id.
///
/// A slot looks its schedule up a dozen times, and a second of a hundred thousand schedules has thousands of slots: an
/// ordered map of full names spends most of an engine's time in comparing text. Boxed, because half of a hash map is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Schedules(BTreeMap<InterfaceId, HashMap<ScheduleId, Box<Schedule>>>);

impl Schedules {
    /// The schedule of this name.
    pub fn get(&self, id: &ScheduleRef) -> Option<&Schedule> {
        self.0.get(&id.interface)?.get(&id.schedule).map(Box::as_ref)
    }

    /// The schedule of this name, to be changed.
    pub fn get_mut(&mut self, id: &ScheduleRef) -> Option<&mut Schedule> {
        self.0.get_mut(&id.interface)?.get_mut(&id.schedule).map(Box::as_mut)
    }

    /// The schedule of this name; an empty one from now on when there was none.
    pub fn get_or_default(&mut self, id: &ScheduleRef) -> &mut Schedule {
        self.0.entry(id.interface.clone()).or_default().entry(id.schedule.clone()).or_default()
    }

    /// The names of an interface's schedules, in order.
    pub fn names_of(&self, interface: &InterfaceId) -> Vec<ScheduleRef> {
        let ids = self.0.get(interface).into_iter().flat_map(HashMap::keys);
        let mut names: Vec<_> = ids
            .map(|id| ScheduleRef { interface: interface.clone(), schedule: id.clone() })
            .collect();
        names.sort_unstable();
        names
    }

    /// All names, in order.
    pub fn names(&self) -> Vec<ScheduleRef> {
        self.0.keys().flat_map(|interface| self.names_of(interface)).collect()
    }

    /// All schedules, those of an interface in no order.
    pub fn values(&self) -> impl Iterator<Item = &Schedule> {
        self.0.values().flat_map(HashMap::values).map(Box::as_ref)
    }

    /// All schedules to be changed, those of an interface in no order.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Schedule> {
        self.0.values_mut().flat_map(HashMap::values_mut).map(Box::as_mut)
    }

    /// The names, in order, of the schedules that are `so`.
    pub fn names_where(&self, so: impl Fn(&Schedule) -> bool) -> Vec<ScheduleRef> {
        let mut names = self.names();
        names.retain(|id| self.get(id).is_some_and(&so));
        names
    }
}
