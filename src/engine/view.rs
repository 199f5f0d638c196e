//! The engine's state in the shapes that people see.

use super::core::Engine;
use super::requests::Original;
use super::refusal::Refusal;
use super::state::{Answer, Token};
use crate::domain::event::Opened;
use crate::domain::execution::Phase;
use crate::domain::schedule::Schedule;
use crate::ids::{ExecutionId, InterfaceId, ScheduleRef};
use crate::instant::Instant;
use crate::projection::view::{self, Last, State, Status};

/// How many coming slots a schedule shows.
const NEXT_SHOWN: usize = 5;

/// Counts for the status screen, the metrics and the service manager.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Schedules in the files.
    pub schedules: usize,
    /// Executions that run.
    pub running: usize,
    /// Executions that wait.
    pub queued: usize,
    /// Deliveries that are owed.
    pub owed: usize,
}

impl Engine {
    /// All interfaces that are or were in the files.
    pub fn interfaces(&self) -> Vec<view::Interface> {
        self.state.interfaces.keys().filter_map(|id| self.interface(id)).collect()
    }

    /// One interface.
    pub fn interface(&self, id: &InterfaceId) -> Option<view::Interface> {
        let interface = self.state.interfaces.get(id)?;
        let definition = interface.definition()?;
        let schedules: Vec<(&ScheduleRef, &Schedule)> =
            self.state.schedules.iter().filter(|(schedule, _)| schedule.interface == *id).collect();
        let state = match (interface.removed, interface.paused.is_some()) {
            (true, _) => State::Removed,
            (false, true) => State::Paused,
            (false, false) => State::Active,
        };
        Some(view::Interface {
            id: id.clone(),
            name: definition.name.clone(),
            kind: definition.kind.clone(),
            timezone: definition.timezone.clone(),
            owner: definition.owner.clone(),
            state,
            red: schedules.iter().any(|(_, schedule)| !schedule.removed && schedule.red()),
            schedules: definition.schedules.keys().cloned().collect(),
            last_ok_at: schedules.iter().filter_map(|(_, schedule)| schedule.last_ok_at).max(),
            definition_version: interface.definition_version,
        })
    }

    /// All schedules that are or were in the files.
    pub fn schedules(&self) -> Vec<view::Schedule> {
        self.state.schedules.keys().filter_map(|id| self.schedule(id)).collect()
    }

    /// One schedule.
    pub fn schedule(&self, id: &ScheduleRef) -> Option<view::Schedule> {
        let folded = self.state.schedules.get(id)?;
        let definition = self.definition(id).map(|(_, _, schedule)| schedule);
        let plan = self.plans.get(id);
        Some(view::Schedule {
            interface: id.interface.clone(),
            schedule: id.schedule.clone(),
            kind: definition.map_or("removed", |schedule| schedule.timing.kind()).to_owned(),
            expression: plan.and_then(crate::domain::timing::Plan::expression),
            description: plan.map_or_else(String::new, crate::domain::timing::Plan::describe),
            timezone: definition.map_or("UTC", |schedule| &schedule.timezone).to_owned(),
            state: self.schedule_state(id, folded),
            next: self.next_slots(id, self.now(), NEXT_SHOWN),
            last: self.last(folded),
        })
    }

    fn schedule_state(&self, id: &ScheduleRef, folded: &Schedule) -> State {
        let interface_paused =
            self.state.interfaces.get(&id.interface).is_some_and(|interface| interface.paused.is_some());
        match self.definition(id) {
            None => State::Removed,
            Some((_, _, schedule)) if !schedule.enabled => State::Disabled,
            Some(_) if folded.paused.is_some() || interface_paused => State::Paused,
            Some(_) => State::Active,
        }
    }

    /// The next `count` nominal instants of a schedule after `after`.
    pub fn next_slots(&self, id: &ScheduleRef, after: Instant, count: usize) -> Vec<Instant> {
        let Some(plan) = self.plans.get(id) else { return Vec::new() };
        std::iter::successors(plan.next_after(after), |slot| plan.next_after(*slot)).take(count).collect()
    }

    fn last(&self, folded: &Schedule) -> Option<Last> {
        let newest = folded.newest.as_ref()?;
        if let Some(open) = self.state.executions.get(&newest.execution) {
            let status = if open.phase == Phase::Queued { Status::Queued } else { Status::Running };
            return Some(Last { execution: newest.execution, status, at: newest.at });
        }
        let finished = folded.finished.as_ref()?;
        Some(Last { execution: finished.execution, status: finished.outcome.into(), at: finished.at })
    }

    /// Counts of what is going on.
    pub fn counts(&self) -> Counts {
        Counts {
            schedules: self.plans.len(),
            running: self.ready.running(),
            queued: self.ready.queued(),
            owed: self.state.outbox.len(),
        }
    }

    /// Valid API tokens.
    pub fn tokens(&self) -> Vec<Token> {
        self.state.daemon.tokens.values().cloned().collect()
    }

    /// What a request with this idempotency key was answered.
    pub fn answer_to(&self, key: &str) -> Option<Answer> {
        self.state.daemon.answers.get(key).cloned()
    }

    /// The definition in force of an interface.
    pub fn definition_of(&self, id: &InterfaceId) -> Option<std::sync::Arc<crate::domain::definition::Interface>> {
        self.state.interfaces.get(id)?.definition().cloned()
    }

    /// The plan of a schedule.
    pub fn plan_of(&self, id: &ScheduleRef) -> Option<crate::domain::timing::Plan> {
        self.plans.get(id).cloned()
    }

    /// Whether the executions that are open are none.
    pub fn idle(&self) -> bool {
        self.state.executions.is_empty()
    }

    /// The fold itself, for checkpoints.
    pub const fn state(&self) -> &super::state::State {
        &self.state
    }

    pub(super) fn may_rerun(&self, id: ExecutionId, opened: &Opened, force: bool) -> Result<(), Refusal> {
        self.refuse_rerun(&Original { id, opened: opened.clone(), force })
    }
}
