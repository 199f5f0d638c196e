//! Lists of executions, and what their rows say together: re-runs, solved, superseded, red.

use std::ops::ControlFlow;

use super::execution_row::{self, ExecutionRow};
use super::keys::{self, List};
use super::lists::{self, Source};
use super::rows::{RowError, Rows};
use super::view::{self, Last, Page, Status};
use super::{Rebuilding, bytes, chain, ok_slots, schedule_row};
use crate::domain::class::Class;
use crate::domain::event::Trigger;
use crate::ids::{ExecutionId, InterfaceId, Position, ScheduleId, ScheduleRef};
use crate::instant::Instant;
use crate::store::ReadError;

/// Rows on a page at most (contract, section 5).
pub(super) const LIMIT_MAX: usize = 1_000;

/// Why a question was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The index is being folded again.
    #[error(transparent)]
    Rebuilding(#[from] Rebuilding),
    /// The cursor is none that a page of this list ended with.
    #[error("`{given}` is not a cursor of this list: use the `next` of its last page, unchanged")]
    Cursor {
        /// The text that was given.
        given: String,
    },
    /// The index answers nothing of use. Callers see [`QueryError::Rebuilding`] in its place.
    #[error("{why}")]
    Index {
        /// What is wrong with it.
        why: String,
    },
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] ReadError),
}

impl From<RowError> for QueryError {
    fn from(err: RowError) -> Self {
        Self::Index { why: err.to_string() }
    }
}

/// Which executions to list. The default is all of them; each field that is set narrows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecutionFilter {
    /// Of this interface.
    pub interface: Option<InterfaceId>,
    /// Of schedules with this bare id.
    pub schedule: Option<ScheduleId>,
    /// In any of these states; empty means in any at all.
    pub status: Vec<Status>,
    /// KO with any of these classes; empty means in any state and class.
    pub class: Vec<Class>,
    /// Started by this.
    pub trigger: Option<Trigger>,
    /// Created at or after this instant.
    pub from: Option<Instant>,
    /// Created before this instant.
    pub to: Option<Instant>,
    /// With this text, in whatever case, in the first error, the id or a parameter's value.
    pub text: Option<String>,
    /// With this external reference.
    pub reference: Option<String>,
    /// Finished, and at least this long.
    pub min_ms: Option<u64>,
    /// Finished, and at most this long.
    pub max_ms: Option<u64>,
}

impl ExecutionFilter {
    fn sources(&self) -> Vec<Source> {
        let mut sources = Vec::new();
        sources.extend(any_of(self.status.iter().map(|status| List::Status(*status))));
        sources.extend(any_of(self.class.iter().map(|class| List::Class(*class))));
        if let Some(reference) = &self.reference {
            sources.push(Source::stored(&List::Reference(reference)));
        }
        match (&self.interface, &self.schedule) {
            (Some(interface), Some(schedule)) => {
                let (interface, schedule) = (interface.clone(), schedule.clone());
                sources.push(Source::stored(&List::Schedule(&ScheduleRef { interface, schedule })));
            }
            (Some(interface), None) => sources.push(Source::stored(&List::Interface(interface))),
            (None, _) => (),
        }
        if let Some(trigger) = self.trigger {
            sources.push(Source::stored(&List::Trigger(trigger)));
        }
        sources
    }

    /// Asks the row itself, also what a list answered: a list may be a moment ahead of a row, or behind it.
    fn accepts(&self, row: &ExecutionRow) -> bool {
        self.interface.as_ref().is_none_or(|interface| row.schedule.interface == *interface)
            && self.schedule.as_ref().is_none_or(|schedule| row.schedule.schedule == *schedule)
            && (self.status.is_empty() || self.status.contains(&row.status))
            && (self.class.is_empty() || row.class.is_some_and(|class| self.class.contains(&class)))
            && self.trigger.is_none_or(|trigger| row.trigger == trigger)
            && self.from.is_none_or(|from| row.created_at >= from)
            && self.to.is_none_or(|to| row.created_at < to)
            && self.reference.as_ref().is_none_or(|wanted| row.references.contains(wanted))
            && self.min_ms.is_none_or(|least| row.duration_ms.is_some_and(|ms| ms >= least))
            && self.max_ms.is_none_or(|most| row.duration_ms.is_some_and(|ms| ms <= most))
    }
}

/// What stands in any of `lists`; none when there are no lists, which then narrow nothing.
fn any_of<'a>(lists: impl Iterator<Item = List<'a>>) -> Option<Source> {
    let mut sources: Vec<Source> = lists.map(|list| Source::stored(&list)).collect();
    if sources.len() > 1 { Some(Source::Any(sources)) } else { sources.pop() }
}

fn has_text(row: &ExecutionRow, small_letters: &str) -> bool {
    let holds = |text: &str| text.to_lowercase().contains(small_letters);
    row.first_error.as_ref().is_some_and(|error| holds(&error.text))
        || holds(&row.id.to_string())
        || row.params.values().any(|value| holds(value))
}

/// The positions between which all executions created in the filter's time stand; none when there are none.
fn bounds<R: Rows>(rows: &R, filter: &ExecutionFilter) -> Result<Option<(u64, u64)>, RowError> {
    if filter.from.is_none() && filter.to.is_none() {
        return Ok(Some((1, u64::MAX)));
    }
    let from = filter.from.map_or(i64::MIN, Instant::millis);
    let first_day = keys::day(Instant::from_millis(from));
    let end = match filter.to {
        None => keys::days_end(),
        Some(to) => {
            let mut key = keys::day(to);
            key.push(0);
            key
        }
    };
    let mut span: Option<(u64, u64)> = None;
    let mut failed = None;
    rows.scan_back(&first_day, &end, &mut |_key, value| {
        let mut from = bytes::Reader::new(value, "a day");
        match (from.number(), from.number()) {
            (Ok(low), Ok(high)) => {
                let (lowest, highest) = span.unwrap_or((low, high));
                span = Some((lowest.min(low), highest.max(high)));
                ControlFlow::Continue(())
            }
            (Err(err), _) | (_, Err(err)) => {
                failed = Some(err);
                ControlFlow::Break(())
            }
        }
    })?;
    failed.map_or(Ok(span), Err)
}

/// Reads a cursor: the position of the last row of the page before.
pub(super) fn parse_cursor(cursor: Option<&str>) -> Result<Option<u64>, QueryError> {
    cursor
        .map(|text| {
            text.parse::<u64>()
                .map_err(|_not_a_number| QueryError::Cursor { given: text.to_owned() })
        })
        .transpose()
}

/// Lists executions, newest first, at most `limit` (up to 1,000) of them after `cursor`.
pub(super) fn executions<R: Rows>(
    rows: &R,
    filter: &ExecutionFilter,
    limit: usize,
    cursor: Option<&str>,
) -> Result<Page<view::Execution>, QueryError> {
    let limit = limit.clamp(1, LIMIT_MAX);
    let mut page = matching(rows, filter, limit + 1, parse_cursor(cursor)?)?;
    let more = page.len() > limit;
    page.truncate(limit);
    let next = page.last().filter(|_| more).map(|row| row.position.to_string());
    let items = page.into_iter().map(|row| show(rows, row)).collect::<Result<_, _>>()?;
    Ok(Page { items, next })
}

fn matching<R: Rows>(
    rows: &R,
    filter: &ExecutionFilter,
    wanted: usize,
    below: Option<u64>,
) -> Result<Vec<ExecutionRow>, QueryError> {
    let Some((low, high)) = bounds(rows, filter)? else {
        return Ok(Vec::new());
    };
    let Some(high) =
        below.map_or(Some(high), |below| below.checked_sub(1).map(|top| top.min(high)))
    else {
        return Ok(Vec::new());
    };
    let text = filter.text.as_deref().map(str::to_lowercase);
    let accepts = |row: &ExecutionRow| {
        filter.accepts(row) && text.as_deref().is_none_or(|text| has_text(row, text))
    };
    let mut found = Vec::new();
    let mut sources = filter.sources();
    if sources.is_empty() {
        all_between(rows, (low, high), &mut |row| {
            if accepts(&row) {
                found.push(row);
            }
            found.len() < wanted
        })?;
        return Ok(found);
    }
    let mut most = Some(high);
    while let Some(top) = most.filter(|top| *top >= low && found.len() < wanted) {
        let Some(position) = lists::common_at_most(&mut sources, rows, top)? else {
            break;
        };
        if position < low {
            break;
        }
        if let Some(row) = execution_row::load(rows, Position(position))?.filter(|row| accepts(row))
        {
            found.push(row);
        }
        most = position.checked_sub(1);
    }
    Ok(found)
}

/// Hands over all executions between two positions, newest first, while `visit` wants more.
fn all_between<R: Rows>(
    rows: &R,
    (low, high): (u64, u64),
    visit: &mut dyn FnMut(ExecutionRow) -> bool,
) -> Result<(), RowError> {
    let from = keys::execution(Position(low));
    let mut to = keys::execution(Position(high));
    to.push(0);
    let mut failed = None;
    rows.scan_back(&from, &to, &mut |key, value| {
        let opened = Position(keys::last_number(key).unwrap_or_default());
        match execution_row::unpack(rows, opened, value) {
            Ok(row) => {
                if visit(row) {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            }
            Err(err) => {
                failed = Some(err);
                ControlFlow::Break(())
            }
        }
    })?;
    failed.map_or(Ok(()), Err)
}

/// One execution by its id.
pub(super) fn execution<R: Rows>(
    rows: &R,
    id: ExecutionId,
) -> Result<Option<view::Execution>, QueryError> {
    execution_row::find(rows, id)?.map(|row| show(rows, row)).transpose()
}

/// What others did about an execution.
struct Mending {
    reruns: Vec<ExecutionId>,
    solved_by: Option<ExecutionId>,
    superseded_by: Option<ExecutionId>,
}

fn mending<R: Rows>(rows: &R, row: &ExecutionRow) -> Result<Mending, RowError> {
    let descendants = if row.has_reruns {
        chain::descendants(&chain::members(rows, row.root)?, row.id)
    } else {
        Vec::new()
    };
    let mut mending = Mending {
        reruns: descendants.iter().map(|member| member.id).collect(),
        solved_by: None,
        superseded_by: None,
    };
    if row.status == Status::Ko {
        mending.solved_by = chain::solver(&descendants);
        // Without a slot of its own, the instant of its creation takes the slot's place.
        let slot = row.slot.unwrap_or(row.created_at);
        mending.superseded_by = ok_slots::first_after(rows, &row.schedule, slot)?
            .map(|later| later.execution(&row.schedule));
    }
    Ok(mending)
}

/// Whether a row is a KO that nobody and nothing has dealt with (contract, rule 5).
pub(super) fn is_open_ko<R: Rows>(rows: &R, row: &ExecutionRow) -> Result<bool, RowError> {
    if row.status != Status::Ko || row.acknowledged.is_some() {
        return Ok(false);
    }
    let mending = mending(rows, row)?;
    Ok(mending.solved_by.is_none() && mending.superseded_by.is_none())
}

/// Shows a row with all that other rows say of it.
fn show<R: Rows>(rows: &R, row: ExecutionRow) -> Result<view::Execution, QueryError> {
    let mending = mending(rows, &row)?;
    let first_error = row.first_error.map(|error| view::FirstError {
        line: error.line,
        class: error.class,
        cause: error.cause,
        text: error.text,
        action: error.class.action(None),
    });
    Ok(view::Execution {
        id: row.id,
        interface: row.schedule.interface,
        schedule: row.schedule.schedule,
        slot: row.slot,
        trigger: row.trigger,
        status: row.status,
        class: row.class,
        cause: row.cause,
        created_at: row.created_at,
        started_at: row.started_at,
        ended_at: row.ended_at,
        duration_ms: row.duration_ms,
        attempts: row.attempts,
        exit_code: row.exit_code,
        params: row.params,
        rerun_of: row.rerun_of,
        root: row.root,
        reruns: mending.reruns,
        solved_by: mending.solved_by,
        superseded_by: mending.superseded_by,
        acknowledged: row.acknowledged,
        notes: row.notes,
        cancel_requested: row.cancel_requested,
        references: row.references,
        idempotency_key: row.idempotency_key,
        definition_version: row.definition_version,
        lines: row.lines,
        lines_pruned_at: row.lines_pruned_at,
        errors: row.errors,
        first_error,
        anomaly: row.anomaly,
        position: row.position,
    })
}

/// What a schedule's executions add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScheduleFacts {
    /// Its newest execution.
    pub last: Option<Last>,
    /// When one last ended ok.
    pub last_ok_at: Option<Instant>,
    /// Whether its newest finished execution is an open KO.
    pub red: bool,
}

/// Tells of one schedule; an unknown one has nothing to tell.
pub(super) fn schedule_facts<R: Rows>(
    rows: &R,
    schedule: &ScheduleRef,
) -> Result<ScheduleFacts, QueryError> {
    let row = schedule_row::load(rows, schedule)?;
    let newest = match row.newest {
        None => None,
        Some(opened) => execution_row::load(rows, opened)?,
    };
    let last = newest.map(|row| Last {
        execution: row.id,
        status: row.status,
        at: row.ended_at.unwrap_or(row.created_at),
    });
    Ok(ScheduleFacts { last, last_ok_at: row.last_ok_at, red: is_red(rows, schedule)? })
}

fn is_red<R: Rows>(rows: &R, schedule: &ScheduleRef) -> Result<bool, RowError> {
    let row = schedule_row::load(rows, schedule)?;
    let Some(opened) = row.newest_finished.filter(|_| row.newest_finished_is_ko) else {
        return Ok(false);
    };
    match execution_row::load(rows, opened)? {
        None => Ok(false),
        Some(newest) => is_open_ko(rows, &newest),
    }
}

/// The red schedules of an interface, or of all, in the order of their names.
pub(super) fn red_schedules<R: Rows>(
    rows: &R,
    interface: Option<&InterfaceId>,
) -> Result<Vec<ScheduleRef>, QueryError> {
    let (from, to) = keys::ko_schedules(interface);
    let mut candidates = Vec::new();
    rows.scan_back(&from, &to, &mut |key, _value| {
        candidates.extend(keys::schedule_of(key));
        ControlFlow::Continue(())
    })?;
    let mut red = Vec::new();
    for schedule in candidates.into_iter().rev() {
        if is_red(rows, &schedule)? {
            red.push(schedule);
        }
    }
    Ok(red)
}

/// When an execution of the interface last ended ok.
pub(super) fn interface_last_ok_at<R: Rows>(
    rows: &R,
    interface: &InterfaceId,
) -> Result<Option<Instant>, QueryError> {
    let (from, to) = keys::schedules_of(interface);
    let mut newest = None;
    let mut failed = None;
    rows.scan_back(
        &from,
        &to,
        &mut |_key, value| match schedule_row::ScheduleRow::decode(value) {
            Ok(row) => {
                newest = newest.max(row.last_ok_at);
                ControlFlow::Continue(())
            }
            Err(err) => {
                failed = Some(err);
                ControlFlow::Break(())
            }
        },
    )?;
    failed.map_or(Ok(newest), |err| Err(err.into()))
}

/// The executions of one slot: its own and all re-runs of it, oldest first.
pub(super) fn executions_of_slot<R: Rows>(
    rows: &R,
    schedule: &ScheduleRef,
    slot: Instant,
) -> Result<Vec<view::Execution>, QueryError> {
    let Some(own) = execution(rows, ExecutionId::for_slot(schedule, slot))? else {
        return Ok(Vec::new());
    };
    let reruns = own.reruns.clone();
    let mut found = vec![own];
    for id in reruns {
        found.extend(execution(rows, id)?);
    }
    Ok(found)
}
