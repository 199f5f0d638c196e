//! The slots' ledger: one entry for each decision, one slot for each instant when it is listed.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::Duration;

use super::bytes::{Reader, Writer};
use super::execution_row::{known, opened_at};
use super::query::QueryError;
use super::rows::{Overlay, RowError, Rows};
use super::view::{Page, Slot, SlotOutcome};
use super::{codes, keys, schedule_row};
use crate::domain::event::{SlotAwaited, SlotStarted, SlotsPassed};
use crate::domain::slot::{Reason, Verdict};
use crate::ids::{ExecutionId, Position, ScheduleRef};
use crate::instant::Instant;

mod forgetting;

pub(super) use forgetting::{forget, forgettable, started_for};

/// A row takes no further entry beyond this; one entry with 1,000 irregular instants has up to 6,000 bytes.
const CHUNK_BYTES: usize = 1024;
const HEAD_BYTES: usize = 16;
const WHAT: &str = "a schedule's ledger";

/// What became of the slots that one event decided.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Decision {
    Started {
        slot: Instant,
        execution: Option<ExecutionId>,
    },
    Passed(Passed),
    /// Nothing yet; here so that it is known which event of the stream speaks of the slot.
    Awaited {
        slot: Instant,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Passed {
    first: Instant,
    last: Instant,
    count: u64,
    verdict: Verdict,
    reason: Reason,
    definition_version: u32,
    /// All instants, ascending, when the event lists them all.
    listed: Option<Vec<Instant>>,
}

/// One event's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    position: Position,
    decision: Decision,
}

impl Entry {
    fn span(&self) -> (Instant, Instant) {
        match &self.decision {
            Decision::Started { slot, .. } | Decision::Awaited { slot } => (*slot, *slot),
            Decision::Passed(passed) => (passed.first, passed.last),
        }
    }

    /// Whether it started one of `executions`.
    fn is_of(&self, schedule: &ScheduleRef, executions: &HashSet<ExecutionId>) -> bool {
        let Decision::Started { slot, execution } = &self.decision else { return false };
        executions.contains(&execution.unwrap_or_else(|| ExecutionId::for_slot(schedule, *slot)))
    }

    /// Whether it started nothing, and speaks of no slot after `until`.
    fn is_over(&self, until: Option<Instant>) -> bool {
        match &self.decision {
            Decision::Started { .. } => false,
            Decision::Passed(passed) => Some(passed.last) <= until,
            Decision::Awaited { slot } => Some(*slot) <= until,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut to = Writer::with_capacity(24);
        to.number(self.position.0);
        match &self.decision {
            Decision::Started { slot, execution } => {
                to.byte(0);
                to.instant(*slot);
                to.optional(*execution, Writer::id);
            }
            Decision::Awaited { slot } => {
                to.byte(2);
                to.instant(*slot);
            }
            Decision::Passed(passed) => {
                to.byte(1);
                to.instant(passed.first);
                to.instant(passed.last);
                to.number(passed.count);
                to.byte(codes::verdict_code(passed.verdict));
                to.byte(codes::reason_code(passed.reason));
                to.number(u64::from(passed.definition_version));
                to.optional(passed.listed.as_deref(), |to, listed| {
                    encode_instants(to, passed.first, listed);
                });
            }
        }
        to.finish()
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, RowError> {
        let position = Position(from.number()?);
        let decision = match from.byte()? {
            0 => Decision::Started { slot: from.instant()?, execution: from.optional(Reader::id)? },
            1 => {
                let (first, last) = (from.instant()?, from.instant()?);
                Decision::Passed(Passed {
                    first,
                    last,
                    count: from.number()?,
                    verdict: known(from, codes::verdict_from)?,
                    reason: known(from, codes::reason_from)?,
                    definition_version: from.small()?,
                    listed: from.optional(|from| decode_instants(from, first))?,
                })
            }
            2 => Decision::Awaited { slot: from.instant()? },
            _other => return Err(from.damaged("an entry is of no known kind")),
        };
        Ok(Self { position, decision })
    }
}

/// Instants as runs of equal distances: most schedules have one or two.
fn encode_instants(to: &mut Writer, first: Instant, instants: &[Instant]) {
    let mut runs: Vec<(i64, u64)> = Vec::new();
    let mut before = first.millis();
    for at in instants {
        let distance = at.millis().wrapping_sub(before);
        before = at.millis();
        match runs.last_mut() {
            Some((known, times)) if *known == distance => *times += 1,
            _ => runs.push((distance, 1)),
        }
    }
    to.number(runs.len() as u64);
    for (distance, times) in runs {
        to.signed(distance);
        to.number(times);
    }
}

fn decode_instants(from: &mut Reader<'_>, first: Instant) -> Result<Vec<Instant>, RowError> {
    let mut instants = Vec::new();
    let mut millis = first.millis();
    for _ in 0..from.number()? {
        let (distance, times) = (from.signed()?, from.number()?);
        for _ in 0..times {
            millis = millis.wrapping_add(distance);
            instants.push(Instant::from_millis(millis));
        }
    }
    Ok(instants)
}

/// Enters that a slot waits for another schedule.
pub(super) fn awaited<R: Rows>(
    rows: &mut Overlay<R>,
    schedule: &ScheduleRef,
    position: Position,
    event: &SlotAwaited,
) -> Result<(), RowError> {
    append(rows, schedule, &Entry { position, decision: Decision::Awaited { slot: event.slot } })
}

/// The entries of a chunk.
fn entries_of(value: &[u8]) -> Result<Vec<Entry>, RowError> {
    let mut from = Reader::new(value, WHAT);
    from.raw(HEAD_BYTES)?;
    let mut entries = Vec::new();
    while !from.is_done() {
        entries.push(Entry::decode(&mut from)?);
    }
    Ok(entries)
}

/// Shows the entries of a row as bytes.
///
/// # Errors
/// The row is damaged.
pub(super) fn each_entry(value: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<(), RowError> {
    entries_of(value)?.iter().for_each(|entry| visit(&entry.encode()));
    Ok(())
}

/// A chunk of these entries; none when there are none.
fn chunk_of(entries: &[Entry]) -> Option<Vec<u8>> {
    let low = entries.iter().map(|entry| entry.span().0).min()?;
    let high = entries.iter().map(|entry| entry.span().1).max()?;
    let mut value = Writer::with_capacity(CHUNK_BYTES);
    value.raw(&keys::ordered(low).to_be_bytes());
    value.raw(&keys::ordered(high).to_be_bytes());
    for entry in entries {
        value.raw(&entry.encode());
    }
    Some(value.finish())
}

fn span_of(value: &[u8]) -> Option<(u64, u64)> {
    let (low, rest) = value.split_first_chunk::<8>()?;
    let high = rest.first_chunk::<8>()?;
    Some((u64::from_be_bytes(*low), u64::from_be_bytes(*high)))
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
