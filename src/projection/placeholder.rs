//! Placeholder.
use std::path::Path;
use std::sync::Arc;

use super::view;
use crate::domain::class::Class;
use crate::domain::event::{Event, Trigger};
use crate::ids::{ExecutionId, InterfaceId, Position, ScheduleId, ScheduleRef, StreamId};
use crate::instant::Instant;
use crate::store::EventLog;

/// Filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecutionFilter {
    /// .
    pub interface: Option<InterfaceId>,
    /// .
    pub schedule: Option<ScheduleId>,
    /// .
    pub status: Option<view::Status>,
    /// .
    pub class: Option<Class>,
    /// .
    pub trigger: Option<Trigger>,
    /// .
    pub from: Option<Instant>,
    /// .
    pub to: Option<Instant>,
    /// .
    pub text: Option<String>,
    /// .
    pub reference: Option<String>,
    /// .
    pub min_ms: Option<u64>,
    /// .
    pub max_ms: Option<u64>,
}
/// Status.
#[derive(Clone, Copy, Debug)]
pub struct ProjectionStatus {
    /// .
    pub position: Position,
    /// .
    pub rebuilding: Option<u8>,
}
/// Rebuilding.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the lists are being rebuilt: {percent} %")]
pub struct Rebuilding {
    /// .
    pub percent: u8,
}
/// Query error.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueryError {
    /// .
    #[error(transparent)]
    Rebuilding(#[from] Rebuilding),
    /// .
    #[error("`{given}` is not a cursor")]
    Cursor {
        /// .
        given: String,
    },
    /// .
    #[error("{0}")]
    Store(String),
}
/// Resolve error.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ResolveError {
    /// .
    #[error("no execution")]
    NotFound,
    /// .
    #[error("several executions")]
    Ambiguous(Vec<ExecutionId>),
    /// .
    #[error(transparent)]
    Query(#[from] QueryError),
}
/// Projections.
#[derive(Clone)]
pub struct Projections {
    log: Arc<dyn EventLog>,
}
impl Projections {
    /// Open.
    pub fn open(_dir: &Path, log: Arc<dyn EventLog>) -> Result<Self, QueryError> {
        Ok(Self { log })
    }
    /// Status.
    pub fn status(&self) -> ProjectionStatus {
        ProjectionStatus { position: *self.log.durable().borrow(), rebuilding: None }
    }
    /// Caught up.
    pub async fn caught_up(&self, position: Position) -> Result<(), Rebuilding> {
        tokio::task::yield_now().await;
        if *self.log.durable().borrow() >= position {
            Ok(())
        } else {
            Err(Rebuilding { percent: 0 })
        }
    }
    fn all(&self) -> Vec<view::Execution> {
        let mut rows: Vec<view::Execution> = Vec::new();
        for envelope in self.log.read(Position(0), 1_000_000).expect("memory") {
            let StreamId::Execution(id) = envelope.stream else { continue };
            let row = rows.iter_mut().find(|r| r.id == id);
            match (&envelope.event, row) {
                (Event::Opened(o), _) => {
                    rows.push(view::Execution {
                        id,
                        interface: o.schedule.interface.clone(),
                        schedule: o.schedule.schedule.clone(),
                        slot: o.slot,
                        trigger: o.trigger,
                        status: view::Status::Queued,
                        class: None,
                        cause: None,
                        created_at: envelope.at,
                        started_at: None,
                        ended_at: None,
                        duration_ms: None,
                        attempts: 0,
                        exit_code: None,
                        params: o.params.clone(),
                        rerun_of: o.rerun_of,
                        root: o.root,
                        reruns: vec![],
                        solved_by: None,
                        superseded_by: None,
                        acknowledged: None,
                        references: vec![],
                        idempotency_key: o.idempotency_key.clone(),
                        definition_version: o.definition_version,
                        lines: 0,
                        errors: Default::default(),
                        first_error: None,
                        anomaly: None,
                        position: envelope.position,
                    });
                }
                (Event::AttemptStarted(_), Some(row)) => {
                    row.status = view::Status::Running;
                    row.started_at = Some(envelope.at);
                }
                (Event::Closed(c), Some(row)) => {
                    row.status = c.outcome.into();
                    row.class = c.class;
                    row.cause = c.cause;
                    row.ended_at = Some(envelope.at);
                    row.lines = c.lines;
                }
                (Event::Noted(n), Some(row)) => row.references.extend(n.reference.clone()),
                _ => {}
            }
        }
        rows
    }
    /// One.
    pub fn execution(&self, id: ExecutionId) -> Result<Option<view::Execution>, QueryError> {
        Ok(self.all().into_iter().find(|r| r.id == id))
    }
    /// Resolve.
    pub fn resolve(&self, text: &str) -> Result<ExecutionId, ResolveError> {
        let rows = self.all();
        let found: Vec<_> = match text {
            "latest" => rows.iter().rev().take(1).collect(),
            "latest-ko" => {
                rows.iter().rev().filter(|r| r.status == view::Status::Ko).take(1).collect()
            }
            _ => rows.iter().filter(|r| r.id.to_string().starts_with(text)).collect(),
        };
        match found.as_slice() {
            [] => Err(ResolveError::NotFound),
            [one] => Ok(one.id),
            many => Err(ResolveError::Ambiguous(many.iter().map(|r| r.id).collect())),
        }
    }
    /// List.
    pub fn executions(
        &self,
        filter: &ExecutionFilter,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<view::Page<view::Execution>, QueryError> {
        let before = match cursor {
            None => u64::MAX,
            Some(text) => {
                text.parse().map_err(|_| QueryError::Cursor { given: text.to_owned() })?
            }
        };
        let mut rows: Vec<_> = self
            .all()
            .into_iter()
            .rev()
            .filter(|r| r.position.0 < before)
            .filter(|r| filter.interface.as_ref().is_none_or(|i| r.interface == *i))
            .filter(|r| filter.status.is_none_or(|s| r.status == s))
            .collect();
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = more.then(|| rows.last().map(|r| r.position.to_string())).flatten();
        Ok(view::Page { items: rows, next })
    }
    /// Slots.
    pub fn slots(
        &self,
        schedule: &ScheduleRef,
        from: Option<Instant>,
        to: Option<Instant>,
        limit: usize,
        _cursor: Option<&str>,
    ) -> Result<view::Page<view::Slot>, QueryError> {
        let mut items = Vec::new();
        for envelope in self.log.read(Position(0), 1_000_000).expect("memory") {
            if envelope.stream != StreamId::Schedule(schedule.clone()) {
                continue;
            }
            if let Event::SlotStarted(s) = envelope.event
                && from.is_none_or(|f| s.slot >= f)
                && to.is_none_or(|t| s.slot < t)
            {
                items.insert(
                    0,
                    view::Slot {
                        interface: schedule.interface.clone(),
                        schedule: schedule.schedule.clone(),
                        at: s.slot,
                        outcome: view::SlotOutcome::Started,
                        reason: None,
                        execution: Some(s.execution),
                    },
                );
            }
        }
        items.truncate(limit);
        Ok(view::Page { items, next: None })
    }
}
