//! What retention takes out of a schedule's ledger.

use std::collections::HashSet;
use std::ops::ControlFlow;

use super::entry::{Entry, chunk_of, entries_of, span_of};
use crate::ids::{ExecutionId, ScheduleRef};
use crate::instant::Instant;
use crate::projection::keys;
use crate::projection::rows::{Overlay, RowError, Rows};

/// Forgets the slots that started one of `executions` and, of the others, those up to `until`. Answers the positions of
/// the events that said so, ascending.
pub(in crate::projection) fn forget<R: Rows>(
    rows: &mut Overlay<R>,
    schedule: &ScheduleRef,
    until: Option<Instant>,
    executions: &HashSet<ExecutionId>,
) -> Result<Vec<u64>, RowError> {
    let Some(newest) = executions.iter().map(|id| id.instant()).max().max(until) else {
        return Ok(Vec::new());
    };
    let mut gone = Vec::new();
    let mut changes = Vec::new();
    each_chunk(rows, schedule, newest, &mut |key, entries| {
        let before = gone.len();
        let mut left = Vec::new();
        for entry in entries {
            if entry.is_of(schedule, executions) || entry.is_over(until) {
                gone.push(entry.position.0);
            } else {
                left.push(entry);
            }
        }
        if gone.len() > before {
            changes.push((key, chunk_of(&left)));
        }
    })?;
    for (key, value) in changes {
        match value {
            None => rows.delete(key),
            Some(value) => rows.put(key, value),
        }
    }
    gone.sort_unstable();
    Ok(gone)
}

/// The positions of a schedule's events about slots up to `until` that started nothing.
pub(in crate::projection) fn forgettable<R: Rows>(
    rows: &R,
    schedule: &ScheduleRef,
    until: Instant,
) -> Result<Vec<u64>, RowError> {
    let mut found = Vec::new();
    each_chunk(rows, schedule, until, &mut |_, entries| {
        let over = entries.iter().filter(|entry| entry.is_over(Some(until)));
        found.extend(over.map(|entry| entry.position.0));
    })?;
    Ok(found)
}

/// The positions of the events that started the slots of `executions`.
pub(in crate::projection) fn started_for<R: Rows>(
    rows: &R,
    schedule: &ScheduleRef,
    executions: &HashSet<ExecutionId>,
) -> Result<Vec<u64>, RowError> {
    let mut found = Vec::new();
    let Some(newest) = executions.iter().map(|id| id.instant()).max() else { return Ok(found) };
    each_chunk(rows, schedule, newest, &mut |_, entries| {
        let of_them = entries.iter().filter(|entry| entry.is_of(schedule, executions));
        found.extend(of_them.map(|entry| entry.position.0));
    })?;
    Ok(found)
}

/// Shows the chunks of a schedule's ledger to `visit`, the newest first, but for those that speak of slots after `newest`
/// alone. They may stand anywhere: a clock that was ahead once had later slots decided first.
fn each_chunk<R: Rows>(
    rows: &R,
    schedule: &ScheduleRef,
    newest: Instant,
    visit: &mut dyn FnMut(Vec<u8>, Vec<Entry>),
) -> Result<(), RowError> {
    let prefix = keys::ledger(schedule);
    let mut failed = None;
    // In one go: most of many years' chunks are only passed by, with each batch that a pass forgets.
    rows.scan_back(&prefix, &keys::after_numbered(&prefix, u64::MAX), &mut |key, value| {
        if span_of(value).is_some_and(|(low, _)| low > keys::ordered(newest)) {
            return ControlFlow::Continue(());
        }
        match entries_of(value) {
            Ok(entries) => {
                visit(key.to_vec(), entries);
                ControlFlow::Continue(())
            }
            Err(err) => {
                failed = Some(err);
                ControlFlow::Break(())
            }
        }
    })?;
    failed.map_or(Ok(()), Err)
}
