//! What others read of the engine: copied off the board, without asking the one task that decides.

use std::ops::Bound;
use std::sync::Arc;

use super::board::{Board, Files, Health, ScheduleRow, TokenRow, interface_view, schedule_view};
use super::freshness::{facts, freshness};
use super::handle::Handle;
use crate::domain::definition;
use crate::domain::event::RequestAnswered;
use crate::ids::{ExecutionId, InterfaceId, Position, ScheduleId, ScheduleRef};
use crate::instant::Instant;
use crate::projection::view;

/// What `status` shows besides interfaces and schedules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// When the daemon began to decide.
    pub started_at: Instant,
    /// The newest event on disk that the engine knows of.
    pub position: Position,
    /// Executions that run.
    pub running: u64,
    /// Executions that wait.
    pub queued: u64,
    /// What is accepted of the files.
    pub files: Files,
    /// Whether it can decide and record.
    pub health: Health,
}

impl Handle {
    /// The answer given to `key` after `since`, and when.
    pub fn recall_answer(&self, key: &str, since: Instant) -> Option<RequestAnswered> {
        self.board.read(|state| {
            let row = state.answers.get(key)?;
            (row.at > since).then(|| row.answer.clone())
        })
    }

    /// What the engine shows of itself.
    pub fn status(&self) -> Status {
        self.board.read(|state| {
            let queued =
                state.open.values().filter(|row| row.status == view::Status::Queued).count();
            Status {
                started_at: state.started_at,
                position: state.position,
                running: (state.open.len() - queued) as u64,
                queued: queued as u64,
                files: state.files.clone(),
                health: state.health.clone(),
            }
        })
    }

    /// The board itself, for reads that none of the methods offers.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// All interfaces, by id.
    pub fn interfaces(&self) -> Vec<view::Interface> {
        self.board.read(|state| {
            let ids = state.interfaces.keys();
            ids.filter_map(|id| interface_view(state, id)).collect()
        })
    }

    /// One interface.
    pub fn interface(&self, id: &InterfaceId) -> Option<view::Interface> {
        self.board.read(|state| interface_view(state, id))
    }

    /// How fresh the data of each of `interfaces` are at `now`.
    pub fn freshness(
        &self,
        interfaces: &[InterfaceId],
        now: Instant,
    ) -> Vec<Option<view::Freshness>> {
        let facts = self.board.read(|state| facts(state, interfaces));
        facts.into_iter().map(|facts| freshness(facts, now)).collect()
    }

    /// The red schedules of an interface, each with the execution that made it so.
    pub fn red_of(&self, interface: &InterfaceId) -> Vec<(ScheduleId, ExecutionId)> {
        self.board.read(|state| {
            let schedules = state.schedules_of(interface);
            schedules.filter_map(|(name, row)| Some((name.schedule.clone(), row.red?))).collect()
        })
    }

    /// The newest accepted definition of an interface, with its version.
    pub fn definition(&self, id: &InterfaceId) -> Option<(Arc<definition::Interface>, u32)> {
        self.board.read(|state| {
            let row = state.interfaces.get(id)?;
            Some((Arc::clone(&row.definition), row.definition_version))
        })
    }

    /// Up to `limit` schedules after `after` by name, of `interface` alone if given.
    pub fn schedules(
        &self,
        interface: Option<&InterfaceId>,
        after: Option<&ScheduleRef>,
        limit: usize,
    ) -> Vec<view::Schedule> {
        let rows = self.schedule_rows(interface, after, limit);
        rows.iter().map(|(name, row)| schedule_view(name, row)).collect()
    }

    /// The same as they stand on the board: a view takes a plan of the timing, which is much for one that nobody wants.
    pub fn schedule_rows(
        &self,
        interface: Option<&InterfaceId>,
        after: Option<&ScheduleRef>,
        limit: usize,
    ) -> Vec<(ScheduleRef, ScheduleRow)> {
        self.board.read(|state| {
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let rows = state.schedules.range((from, Bound::Unbounded));
            rows.filter(|(name, _)| interface.is_none_or(|id| name.interface == *id))
                .take(limit)
                .map(|(name, row)| (name.clone(), row.clone()))
                .collect()
        })
    }

    /// One schedule.
    pub fn schedule(&self, name: &ScheduleRef) -> Option<view::Schedule> {
        let row = self.board.read(|state| state.schedules.get(name).cloned())?;
        Some(schedule_view(name, &row))
    }

    /// The live tokens, oldest first.
    pub fn tokens(&self) -> Vec<TokenRow> {
        self.board.read(|state| state.tokens.clone())
    }
}
