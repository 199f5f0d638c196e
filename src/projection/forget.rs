//! The fold of what retention forgot: it leaves the rows as they would be if it had never been there.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::bytes::{Reader, Writer};
use super::execution_row::{self, ExecutionRow};
use super::fold::Checkpoint;
use super::keys::{self, List};
use super::postings::{self, Cursor};
use super::rows::{Overlay, RowError, Rows};
use super::view::SlotsPruned;
use super::{chain, ledger, ok_slots, schedule_row};
use crate::domain::event::{EVENT_NAMES, Forgotten, Trigger};
use crate::ids::{ExecutionId, InterfaceId, Position, StreamId};
use crate::instant::Instant;

/// How much retention took of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrunedOf {
    /// Executions.
    pub executions: u64,
    /// Executions that lost their lines alone.
    pub lines_of: u64,
    /// When it last took something.
    pub at: Option<Instant>,
}

impl PrunedOf {
    pub(super) fn decode(value: &[u8]) -> Result<Self, RowError> {
        let from = &mut Reader::new(value, "what retention took");
        Ok(Self {
            executions: from.number()?,
            lines_of: from.number()?,
            at: from.optional(Reader::instant)?,
        })
    }

    fn encode(&self) -> Vec<u8> {
        let mut to = Writer::with_capacity(16);
        to.number(self.executions);
        to.number(self.lines_of);
        to.optional(self.at, Writer::instant);
        to.finish()
    }
}

/// What goes out of the posting lists, gathered so that each of their rows is written once.
#[derive(Default)]
struct Gone {
    /// Executions by list, by the positions of their openings.
    lists: BTreeMap<Vec<u8>, BTreeSet<u64>>,
    /// Events.
    events: BTreeSet<u64>,
    days: BTreeMap<Vec<u8>, i64>,
}

/// Folds that `all` is forgotten.
pub(super) fn apply<R: Rows>(
    rows: &mut Overlay<R>,
    checkpoint: &mut Checkpoint,
    (position, at): (Position, Instant),
    all: &[Forgotten],
) -> Result<(), RowError> {
    let mut gone = Gone::default();
    for forgotten in all {
        let executions: HashSet<ExecutionId> = forgotten.executions.iter().copied().collect();
        let slots = ledger::forget(rows, &forgotten.schedule, forgotten.slots_until, &executions)?;
        let stream = StreamId::Schedule(forgotten.schedule.clone());
        postings::remove_all(rows, &List::Stream(&stream).prefix(), &slots)?;
        gone.events.extend(slots);
        for id in &forgotten.executions {
            match execution_row::find(rows, *id)? {
                Some(row) => execution(rows, &row, &mut gone)?,
                None => checkpoint.orphans -= orphan(rows, *id, &mut gone)?.min(checkpoint.orphans),
            }
        }
        for id in &forgotten.lines {
            if let Some(mut row) = execution_row::find(rows, *id)? {
                row.lines_pruned_at = Some(at);
                execution_row::store(rows, &row)?;
            }
        }
        count(rows, &forgotten.schedule.interface, forgotten, at)?;
        note_slots(rows, forgotten, (position, at))?;
    }
    let ids = all.iter().flat_map(|forgotten| &forgotten.executions).map(|id| id.instant());
    if let (Some(lowest), Some(highest)) = (ids.clone().min(), ids.max()) {
        let mut to = Writer::with_capacity(8);
        to.instant(highest);
        rows.put(keys::pruned(lowest, position), to.finish());
    }
    gone.take_out(rows)
}

fn count<R: Rows>(
    rows: &mut Overlay<R>,
    interface: &InterfaceId,
    forgotten: &Forgotten,
    at: Instant,
) -> Result<(), RowError> {
    let key = keys::pruned_of(interface);
    let mut pruned =
        rows.get(&key)?.map_or_else(|| Ok(PrunedOf::default()), |it| PrunedOf::decode(&it))?;
    pruned.executions += forgotten.executions.len() as u64;
    pruned.lines_of += forgotten.lines.len() as u64;
    pruned.at = Some(at);
    rows.put(key, pruned.encode());
    Ok(())
}

/// Notes up to where slots may be gone. It follows from the event alone: a fold of what is left knows nothing of what went.
fn note_slots<R: Rows>(
    rows: &mut Overlay<R>,
    forgotten: &Forgotten,
    (position, at): (Position, Instant),
) -> Result<(), RowError> {
    let started = forgotten.decided_until.filter(|_| !forgotten.executions.is_empty());
    let Some(until) = started.max(forgotten.slots_until) else { return Ok(()) };
    let key = keys::pruned_slots(&forgotten.schedule);
    let known = rows.get(&key)?.map(|value| SlotsPruned::decode(&value)).transpose()?;
    let until = known.map_or(until, |known| until.max(known.until));
    rows.put(key, SlotsPruned { until, at, position }.encode());
    Ok(())
}

impl SlotsPruned {
    pub(super) fn decode(value: &[u8]) -> Result<Self, RowError> {
        let from = &mut Reader::new(value, "up to where retention took slots");
        let (until, at) = (from.instant()?, from.instant()?);
        Ok(Self { until, at, position: Position(from.number()?) })
    }

    fn encode(&self) -> Vec<u8> {
        let mut to = Writer::with_capacity(24);
        to.instant(self.until);
        to.instant(self.at);
        to.number(self.position.0);
        to.finish()
    }
}

/// Takes an execution out of its own rows, and notes in which lists it stands.
fn execution<R: Rows>(
    rows: &mut Overlay<R>,
    row: &ExecutionRow,
    gone: &mut Gone,
) -> Result<(), RowError> {
    let mut lists = vec![
        List::Status(row.status),
        List::Interface(&row.schedule.interface),
        List::Schedule(&row.schedule),
        List::Trigger(row.trigger),
    ];
    lists.extend(row.class.map(List::Class));
    lists.extend(row.references.iter().map(|reference| List::Reference(reference)));
    for list in lists {
        gone.lists.entry(list.prefix()).or_default().insert(row.position.0);
    }
    gone.events.extend(row.events.iter().copied());
    gone.days.insert(keys::day(row.created_at), keys::day_of(row.created_at));
    execution_row::delete(rows, row)?;
    if row.has_reruns && row.rerun_of.is_none() {
        chain::forget(rows, row.id)?;
    }
    if let (super::view::Status::Ok, Some(slot)) = (row.status, row.slot) {
        ok_slots::remove(rows, &row.schedule, slot, row.id)?;
    }
    if row.trigger == Trigger::Backfill {
        let mut schedule = schedule_row::load(rows, &row.schedule)?;
        schedule.backfills = schedule.backfills.saturating_sub(1);
        schedule_row::store(rows, &row.schedule, &schedule);
    }
    Ok(())
}

/// Takes out events of an execution whose opening the log no longer has; answers how many.
fn orphan<R: Rows>(
    rows: &mut Overlay<R>,
    id: ExecutionId,
    gone: &mut Gone,
) -> Result<u64, RowError> {
    let stream = StreamId::Execution(id);
    let version = keys::version(&stream);
    if rows.get(&version)?.is_none() {
        return Ok(0);
    }
    rows.delete(version);
    let list = List::Stream(&stream).prefix();
    let (mut cursor, mut positions) = (Cursor::new(list.clone()), BTreeSet::new());
    let mut least = 0;
    while let Some(position) = cursor.at_least(rows, least)? {
        positions.insert(position);
        least = position + 1;
    }
    let count = positions.len() as u64;
    gone.events.extend(&positions);
    gone.lists.insert(list, positions);
    Ok(count)
}

impl Gone {
    fn take_out<R: Rows>(self, rows: &mut Overlay<R>) -> Result<(), RowError> {
        for (list, positions) in self.lists {
            postings::remove_all(rows, &list, &positions.into_iter().collect::<Vec<_>>())?;
        }
        let events: Vec<u64> = self.events.into_iter().collect();
        for (code, _) in EVENT_NAMES.iter().filter(|(code, _)| *code >= FIRST_OF_SCHEDULES) {
            postings::remove_all(rows, &List::EventKind(*code).prefix(), &events)?;
        }
        postings::remove_all(rows, &List::People.prefix(), &events)?;
        let mut behind: Option<Vec<u8>> = None;
        loop {
            let (from, to) = keys::actor_lists(behind.as_deref());
            let Some((chunk, _)) = rows.first_in(&from, &to)? else { break };
            let Some(list) = keys::actor_list_of(&chunk) else { break };
            postings::remove_all(rows, list, &events)?;
            behind = Some(list.to_vec());
        }
        for (key, day) in self.days {
            narrow_day(rows, key, day)?;
        }
        Ok(())
    }
}

/// The first code of events in schedules' and executions' streams: of no others are events forgotten.
const FIRST_OF_SCHEDULES: u16 = 40;

/// Lets a day reach from the first to the last opening that it still has.
fn narrow_day<R: Rows>(rows: &mut Overlay<R>, key: Vec<u8>, day: i64) -> Result<(), RowError> {
    let Some(value) = rows.get(&key)? else { return Ok(()) };
    let from = &mut Reader::new(&value, "a day");
    let (first, last) = (from.number()?, from.number()?);
    let is_of_day = |row: &ExecutionRow| keys::day_of(row.created_at) == day;
    let low = of_day(rows, first, last, is_of_day)?;
    let Some(low) = low else {
        rows.delete(key);
        return Ok(());
    };
    let mut to = Writer::with_capacity(10);
    to.number(low);
    // The end of a day only tells where a search may stop.
    to.number(last);
    rows.put(key, to.finish());
    Ok(())
}

/// The first opening between two positions that is `wanted`.
fn of_day<R: Rows>(
    rows: &Overlay<R>,
    first: u64,
    last: u64,
    wanted: impl Fn(&ExecutionRow) -> bool,
) -> Result<Option<u64>, RowError> {
    let (mut from, end) =
        (keys::execution(Position(first)), keys::execution(Position(last.saturating_add(1))));
    while let Some((key, value)) = rows.first_in(&from, &end)? {
        let position = keys::last_number(&key).unwrap_or(last);
        if wanted(&execution_row::unpack(rows, Position(position), &value)?) {
            return Ok(Some(position));
        }
        from = key;
        from.push(0);
    }
    Ok(None)
}
