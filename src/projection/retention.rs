//! What retention asks of the rows.

use std::collections::HashSet;

use super::execution_row::{self, ExecutionRow};
use super::follow::Projections;
use super::forget::PrunedOf;
use super::keys::{self, List};
use super::postings::Cursor;
use super::query::{self, QueryError};
use super::rows::{RowError, Rows};
use super::view::{SlotsPruned, Status};
use super::{bytes, ledger};
use crate::domain::event::{Event, Forgotten, HistoryPruned, Outcome, PruneStep, Trigger};
use crate::domain::retention::Summary;
use crate::ids::{ExecutionId, InterfaceId, Position, ScheduleRef};
use crate::instant::Instant;

/// Events of retention that are looked at for an execution that may have been pruned.
const LOOKED_AT: usize = 64;

impl Projections {
    /// Up to `limit` executions of an interface, from the newest opening before `before` to older ones, each with the
    /// positions of its events, ascending.
    ///
    /// # Errors
    /// [`QueryError::Rebuilding`].
    pub fn summaries(
        &self,
        interface: &InterfaceId,
        before: Position,
        limit: usize,
    ) -> Result<Vec<(Vec<u64>, Summary)>, QueryError> {
        self.ask(|rows| {
            let mut cursor = Cursor::new(List::Interface(interface).prefix());
            let mut found = Vec::new();
            let mut most = before.0.checked_sub(1);
            while let Some(top) = most.filter(|_| found.len() < limit) {
                let Some(position) = cursor.at_most(rows, top)? else { break };
                if let Some(row) = execution_row::load(rows, Position(position))? {
                    let summary = summary(rows, &row)?;
                    found.push((row.events, summary));
                }
                most = position.checked_sub(1);
            }
            Ok(found)
        })
    }

    /// The positions of a schedule's events about slots up to `until` that started nothing.
    ///
    /// # Errors
    /// [`QueryError::Rebuilding`].
    pub fn forgettable_slots(
        &self,
        schedule: &ScheduleRef,
        until: Instant,
    ) -> Result<Vec<u64>, QueryError> {
        self.ask(|rows| Ok(ledger::forgettable(rows, schedule, until)?))
    }

    /// The positions of the events that started the slots of `executions`.
    ///
    /// # Errors
    /// [`QueryError::Rebuilding`].
    pub fn started_slots(
        &self,
        schedule: &ScheduleRef,
        executions: &HashSet<ExecutionId>,
    ) -> Result<Vec<u64>, QueryError> {
        self.ask(|rows| Ok(ledger::started_for(rows, schedule, executions)?))
    }

    /// How much retention took of each interface.
    ///
    /// # Errors
    /// [`QueryError::Rebuilding`].
    pub fn pruned(&self) -> Result<Vec<(InterfaceId, PrunedOf)>, QueryError> {
        self.ask(|rows| {
            let (mut from, to) = keys::pruned_of_all();
            let mut found = Vec::new();
            while let Some((key, value)) = rows.first_in(&from, &to)? {
                let pruned = PrunedOf::decode(&value)?;
                found.extend(keys::interface_of(&key).map(|interface| (interface, pruned)));
                from = key;
                from.push(0);
            }
            Ok(found)
        })
    }

    /// When retention took the execution with this id; none when it did not, as far as its newest events tell.
    ///
    /// # Errors
    /// [`QueryError::Rebuilding`], [`QueryError::Log`].
    pub fn pruned_at(&self, id: ExecutionId) -> Result<Option<Instant>, QueryError> {
        let positions = self.ask(|rows| Ok(events_around(rows, id.instant())?))?;
        for position in positions {
            let events = self.log().read(Position(position.0.saturating_sub(1)), 1)?;
            let Some(envelope) = events.first() else { continue };
            if let Event::HistoryPruned(HistoryPruned { step: PruneStep::Forgotten(all), .. }) =
                &envelope.event
                && all.iter().any(|forgotten| forgotten.executions.contains(&id))
            {
                return Ok(Some(envelope.at));
            }
        }
        Ok(None)
    }

    /// Up to where retention took slots of a schedule; none when it never did.
    ///
    /// # Errors
    /// [`QueryError::Rebuilding`].
    pub fn slots_pruned(&self, schedule: &ScheduleRef) -> Result<Option<SlotsPruned>, QueryError> {
        self.ask(|rows| {
            let value = rows.get(&keys::pruned_slots(schedule))?;
            Ok(value.map(|value| SlotsPruned::decode(&value)).transpose()?)
        })
    }

    /// What retention forgot since it last freed bytes, oldest first.
    ///
    /// # Errors
    /// [`QueryError::Rebuilding`], [`QueryError::Log`].
    pub fn unfreed(&self) -> Result<Vec<Forgotten>, QueryError> {
        let mut found = Vec::new();
        let mut most = Some(u64::MAX);
        while let Some(top) = most {
            let list = List::EventKind(HistoryPruned::CODE).prefix();
            let at = self.ask(|rows| Ok(Cursor::new(list.clone()).at_most(rows, top)?))?;
            let Some(position) = at else { break };
            let events = self.log().read(Position(position - 1), 1)?;
            if let Some(Event::HistoryPruned(pruned)) = events.first().map(|it| &it.event) {
                match &pruned.step {
                    PruneStep::Forgotten(all) => found.extend(all.iter().rev().cloned()),
                    PruneStep::Decided { .. } => (),
                    PruneStep::Freed { .. } => break,
                }
            }
            most = position.checked_sub(1);
        }
        found.reverse();
        Ok(found)
    }
}

fn summary<R: Rows>(rows: &R, row: &ExecutionRow) -> Result<Summary, RowError> {
    let outcome = match row.status {
        Status::Queued | Status::Running => None,
        Status::Ok => Some(Outcome::Ok),
        Status::Ko => Some(Outcome::Ko),
        Status::Cancelled => Some(Outcome::Cancelled),
    };
    Ok(Summary {
        id: row.id,
        root: row.root,
        chained: row.has_reruns || row.rerun_of.is_some(),
        schedule: row.schedule.clone(),
        slot: row.slot,
        ended: outcome.zip(row.ended_at),
        acknowledged: row.acknowledged.is_some(),
        open_ko: query::is_open_ko(rows, row)?,
        backfilled: row.trigger == Trigger::Backfill && row.rerun_of.is_none(),
        lines_bytes: u64::from(row.lines > 0 && row.lines_pruned_at.is_none()),
    })
}

/// The events of retention that may name an id with this instant.
fn events_around<R: Rows>(rows: &R, at: Instant) -> Result<Vec<Position>, RowError> {
    let (from, mut to) = keys::pruned_up_to(at);
    let mut found = Vec::new();
    for _ in 0..LOOKED_AT {
        let Some((key, value)) = rows.last_in(&from, &to)? else { break };
        let highest = bytes::Reader::new(&value, "what retention took").instant()?;
        if highest >= at {
            found.extend(keys::last_number(&key).map(Position));
        }
        to = key;
    }
    Ok(found)
}
