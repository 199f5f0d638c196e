//! The slots' ledger: one entry for each decision, one slot for each instant when it is listed.

use std::ops::ControlFlow;
use std::time::Duration;

use super::bytes::{Reader, Writer};
use super::execution_row::opened_at;
use super::query::QueryError;
use super::rows::{Overlay, RowError, Rows};
use super::view::{Page, Slot, SlotOutcome};
use super::{keys, schedule_row};
use crate::domain::event::{SlotAwaited, SlotStarted, SlotsPassed};
use crate::domain::slot::{Reason, Verdict};
use crate::ids::{ExecutionId, Position, ScheduleRef};
use crate::instant::Instant;

mod entry;
mod forgetting;

use self::entry::{CHUNK_BYTES, Decision, Entry, HEAD_BYTES, Passed, WHAT, entries_of, span_of};
pub(super) use entry::each_entry;
pub(super) use forgetting::{forget, forgettable, started_for};

/// Enters that a slot waits for another schedule.
pub(super) fn awaited<R: Rows>(
    rows: &mut Overlay<R>,
    schedule: &ScheduleRef,
    position: Position,
    event: &SlotAwaited,
) -> Result<(), RowError> {
    append(rows, schedule, &Entry { position, decision: Decision::Awaited { slot: event.slot } })
}

fn append<R: Rows>(
    rows: &mut Overlay<R>,
    schedule: &ScheduleRef,
    entry: &Entry,
) -> Result<(), RowError> {
    let prefix = keys::ledger(schedule);
    let bytes = entry.encode();
    let (first, last) = entry.span();
    let (mut low, mut high) = (keys::ordered(first), keys::ordered(last));
    let tail = rows.last_in(&prefix, &keys::after_numbered(&prefix, u64::MAX))?;
    let (key, entries) = match tail {
        Some((key, value)) if value.len() + bytes.len() <= CHUNK_BYTES => {
            if let Some((known_low, known_high)) = span_of(&value) {
                low = low.min(known_low);
                high = high.max(known_high);
            }
            (key, value.get(HEAD_BYTES..).unwrap_or_default().to_vec())
        }
        _ => (keys::numbered(&prefix, entry.position.0), Vec::new()),
    };
    let mut value = Writer::with_capacity(HEAD_BYTES + entries.len() + bytes.len());
    value.raw(&low.to_be_bytes());
    value.raw(&high.to_be_bytes());
    value.raw(&entries);
    value.raw(&bytes);
    rows.put(key, value.finish());
    Ok(())
}

/// Enters a slot that was started.
pub(super) fn started<R: Rows>(
    rows: &mut Overlay<R>,
    schedule: &ScheduleRef,
    position: Position,
    event: &SlotStarted,
) -> Result<(), RowError> {
    let own = event.execution == ExecutionId::for_slot(schedule, event.slot);
    let execution = (!own).then_some(event.execution);
    let decision = Decision::Started { slot: event.slot, execution };
    append(rows, schedule, &Entry { position, decision })
}

/// Enters a run of slots that started nothing.
pub(super) fn passed<R: Rows>(
    rows: &mut Overlay<R>,
    schedule: &ScheduleRef,
    position: Position,
    event: &SlotsPassed,
) -> Result<(), RowError> {
    let complete = event.instants.len() as u64 >= event.count;
    let decision = Decision::Passed(Passed {
        first: event.first,
        last: event.last,
        count: event.count,
        verdict: event.verdict,
        reason: event.reason,
        definition_version: event.definition_version,
        listed: complete.then(|| event.instants.clone()),
    });
    append(rows, schedule, &Entry { position, decision })
}

/// Which slots of a schedule to list: nominal instants from `from` up to but without `to`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotRange {
    /// The earliest one.
    pub from: Option<Instant>,
    /// Where they end.
    pub to: Option<Instant>,
}

impl SlotRange {
    fn meets(&self, first: Instant, last: Instant) -> bool {
        self.from.is_none_or(|from| from <= last) && self.to.is_none_or(|to| first < to)
    }

    fn contains(&self, at: Instant) -> bool {
        self.meets(at, at)
    }
}

/// Asks for the nominal instants of a schedule inside a run that was too long to list them (above 1,000).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpandRequest<'a> {
    /// The schedule.
    pub schedule: &'a ScheduleRef,
    /// The version of the interface's definition that was in force.
    pub definition_version: u32,
    /// The first instant asked for.
    pub first: Instant,
    /// The last instant asked for; it belongs to them.
    pub last: Instant,
}

/// Answers an [`ExpandRequest`] with instants in ascending order; none when the plan of that time is not known.
pub type Expand<'a> = &'a dyn Fn(&ExpandRequest<'_>) -> Option<Vec<Instant>>;

/// Where a page ended: inside the event at this position, at this instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    position: Position,
    at: Instant,
}

impl Mark {
    fn parse(text: &str) -> Result<Self, QueryError> {
        let refuse = || QueryError::Cursor { given: text.to_owned() };
        let (position, millis) = text.split_once('.').ok_or_else(refuse)?;
        let position = position.parse().map_err(|_not_a_number| refuse())?;
        let millis = millis.parse().map_err(|_not_a_number| refuse())?;
        Ok(Self { position: Position(position), at: Instant::from_millis(millis) })
    }
}

fn just_before(at: Instant) -> Instant {
    at - Duration::from_millis(1)
}

/// One listing under way.
struct Listing<'a, R> {
    rows: &'a R,
    schedule: &'a ScheduleRef,
    range: SlotRange,
    mark: Option<Mark>,
    expand: Expand<'a>,
    has_backfills: bool,
    limit: usize,
    found: Vec<(Mark, Slot)>,
}

/// Lists a schedule's slots, newest decision first, at most `limit` of them after `cursor`.
pub(super) fn list<R: Rows>(
    rows: &R,
    schedule: &ScheduleRef,
    range: SlotRange,
    (limit, cursor): (usize, Option<&str>),
    expand: Expand<'_>,
) -> Result<Page<Slot>, QueryError> {
    let mark = cursor.map(Mark::parse).transpose()?;
    let mut found = find(rows, schedule, range, (limit, mark), expand)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found
        .last()
        .filter(|_| more)
        .map(|(mark, _)| format!("{}.{}", mark.position, mark.at.millis()));
    Ok(Page { items: found.into_iter().map(|(_, slot)| slot).collect(), next })
}

/// A schedule's slots with the positions of the events that decided them, newest decision first.
pub(super) fn decided<R: Rows>(
    rows: &R,
    schedule: &ScheduleRef,
    range: SlotRange,
    limit: usize,
    expand: Expand<'_>,
) -> Result<Vec<(Position, Slot)>, QueryError> {
    let mut found = find(rows, schedule, range, (limit, None), expand)?;
    found.truncate(limit);
    Ok(found.into_iter().map(|(mark, slot)| (mark.position, slot)).collect())
}

/// One more than `limit` tells that there are more.
fn find<R: Rows>(
    rows: &R,
    schedule: &ScheduleRef,
    range: SlotRange,
    (limit, mark): (usize, Option<Mark>),
    expand: Expand<'_>,
) -> Result<Vec<(Mark, Slot)>, QueryError> {
    let has_backfills = schedule_row::load(rows, schedule)?.backfills > 0;
    let mut listing =
        Listing { rows, schedule, range, mark, expand, has_backfills, limit, found: Vec::new() };
    let prefix = keys::ledger(schedule);
    let end = mark.map_or(u64::MAX, |mark| mark.position.0);
    let mut failed = None;
    rows.scan_back(&prefix, &keys::after_numbered(&prefix, end), &mut |_key, value| match listing
        .chunk(value)
    {
        Ok(()) if listing.is_full() => ControlFlow::Break(()),
        Ok(()) => ControlFlow::Continue(()),
        Err(err) => {
            failed = Some(err);
            ControlFlow::Break(())
        }
    })?;
    match failed {
        Some(err) => Err(err.into()),
        None => Ok(listing.found),
    }
}

impl<R: Rows> Listing<'_, R> {
    /// One more than asked for tells that there are more.
    fn is_full(&self) -> bool {
        self.found.len() > self.limit
    }

    fn chunk(&mut self, value: &[u8]) -> Result<(), RowError> {
        let head =
            span_of(value).ok_or_else(|| Reader::new(value, WHAT).damaged("its head is cut"))?;
        if !self.range.meets(keys::unordered(head.0), keys::unordered(head.1)) {
            return Ok(());
        }
        for entry in entries_of(value)?.iter().rev() {
            let (first, last) = entry.span();
            let passed_over = self.mark.is_some_and(|mark| entry.position > mark.position);
            if !passed_over && self.range.meets(first, last) {
                self.entry(entry)?;
            }
            if self.is_full() {
                break;
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), RowError> {
        let passed = match &entry.decision {
            Decision::Started { slot, execution } => {
                let id = execution.unwrap_or_else(|| ExecutionId::for_slot(self.schedule, *slot));
                self.push(entry.position, *slot, SlotOutcome::Started, (None, Some(id)));
                return Ok(());
            }
            Decision::Awaited { .. } => return Ok(()),
            Decision::Passed(passed) => passed,
        };
        match &passed.listed {
            Some(listed) => {
                for at in listed.iter().rev() {
                    self.passed(entry.position, passed, *at)?;
                    if self.is_full() {
                        break;
                    }
                }
                Ok(())
            }
            None => self.expanded(entry.position, passed),
        }
    }

    /// Asks for the instants in windows of about a page: a long outage of a quick schedule has millions.
    fn expanded(&mut self, position: Position, passed: &Passed) -> Result<(), RowError> {
        let whole = (passed.last.millis().saturating_sub(passed.first.millis())).max(1);
        let gaps = i64::try_from(passed.count.saturating_sub(1)).unwrap_or(i64::MAX).max(1);
        let wanted = i64::try_from(self.limit).unwrap_or(i64::MAX).saturating_add(2);
        let window = (whole / gaps).max(1).saturating_mul(wanted);
        let mut last = passed.last;
        if let Some(to) = self.range.to {
            last = last.min(just_before(to));
        }
        if let Some(mark) = self.mark.filter(|mark| mark.position == position) {
            last = last.min(just_before(mark.at));
        }
        let least = self.range.from.map_or(passed.first, |from| from.max(passed.first));
        while last >= least && !self.is_full() {
            let first = least.max(Instant::from_millis(last.millis().saturating_sub(window)));
            let request = ExpandRequest {
                schedule: self.schedule,
                definition_version: passed.definition_version,
                first,
                last,
            };
            let Some(instants) = (self.expand)(&request) else {
                // The plan of that time is gone: the ends of the run are what is known for sure.
                self.passed(position, passed, passed.last)?;
                return self.passed(position, passed, passed.first);
            };
            for at in instants.iter().rev().filter(|at| (first..=last).contains(*at)) {
                self.passed(position, passed, *at)?;
                if self.is_full() {
                    break;
                }
            }
            last = just_before(first);
        }
        Ok(())
    }

    fn passed(&mut self, position: Position, passed: &Passed, at: Instant) -> Result<(), RowError> {
        let outcome = match passed.verdict {
            Verdict::Skipped => SlotOutcome::Skipped,
            Verdict::Missed => SlotOutcome::Missed,
        };
        // A backfill opens the slot's own id, so the id alone tells whether there was one.
        let own = ExecutionId::for_slot(self.schedule, at);
        let execution = if self.has_backfills && opened_at(self.rows, own)?.is_some() {
            Some(own)
        } else {
            None
        };
        self.push(position, at, outcome, (Some(passed.reason), execution));
        Ok(())
    }

    fn push(
        &mut self,
        position: Position,
        at: Instant,
        outcome: SlotOutcome,
        (reason, execution): (Option<Reason>, Option<ExecutionId>),
    ) {
        let listed_before =
            self.mark.is_some_and(|mark| mark.position == position && at >= mark.at);
        if listed_before || !self.range.contains(at) || self.is_full() {
            return;
        }
        let (interface, schedule) =
            (self.schedule.interface.clone(), self.schedule.schedule.clone());
        let slot = Slot { interface, schedule, at, outcome, reason, execution };
        self.found.push((Mark { position, at }, slot));
    }
}
