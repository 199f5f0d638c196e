//! The slots of a schedule that ended ok, by nominal instant: what supersedes a KO, and what `last_ok_slot` is.

use super::bytes::{Reader, Writer};
use super::keys;
use super::rows::{Overlay, RowError, Rows};
use crate::ids::{ExecutionId, ScheduleRef};
use crate::instant::Instant;

/// Slots in one row at most; a row stays far below 7 KiB also when all of them were mended by re-runs.
const CHUNK_MAX: usize = 128;

/// A slot with the first execution of it that ended ok.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OkSlot {
    pub(super) slot: Instant,
    /// Which re-run it was; none for the slot's own execution, whose id is a function of the slot.
    rerun: Option<ExecutionId>,
}

impl OkSlot {
    pub(super) fn new(schedule: &ScheduleRef, slot: Instant, execution: ExecutionId) -> Self {
        let own = execution == ExecutionId::for_slot(schedule, slot);
        Self { slot, rerun: (!own).then_some(execution) }
    }

    pub(super) fn execution(&self, schedule: &ScheduleRef) -> ExecutionId {
        self.rerun.unwrap_or_else(|| ExecutionId::for_slot(schedule, self.slot))
    }
}

fn encode(slots: &[OkSlot]) -> Vec<u8> {
    let mut to = Writer::with_capacity(slots.len() * 6);
    let mut before = 0;
    for ok in slots {
        to.signed(ok.slot.millis().wrapping_sub(before));
        before = ok.slot.millis();
        to.optional(ok.rerun, Writer::id);
    }
    to.finish()
}

fn decode(bytes: &[u8]) -> Result<Vec<OkSlot>, RowError> {
    let mut from = Reader::new(bytes, "a schedule's ok slots");
    let mut slots = Vec::new();
    let mut millis: i64 = 0;
    while !from.is_done() {
        millis = millis.wrapping_add(from.signed()?);
        let rerun = from.optional(Reader::id)?;
        slots.push(OkSlot { slot: Instant::from_millis(millis), rerun });
    }
    Ok(slots)
}

/// Shows the slots of a row as bytes, each by itself.
///
/// # Errors
/// The row is damaged.
pub(super) fn each_entry(value: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<(), RowError> {
    decode(value)?.iter().for_each(|ok| visit(&encode(&[*ok])));
    Ok(())
}

/// Takes note that an execution of `ok.slot` ended ok. The first one of a slot stays.
pub(super) fn insert<R: Rows>(
    rows: &mut Overlay<R>,
    schedule: &ScheduleRef,
    ok: OkSlot,
) -> Result<(), RowError> {
    let prefix = keys::ok_slots(schedule);
    let number = keys::ordered(ok.slot);
    let at_or_before = rows.last_in(&prefix, &keys::after_numbered(&prefix, number))?;
    let chunk = match at_or_before {
        Some(chunk) => Some(chunk),
        None => rows.first_in(&prefix, &keys::after_numbered(&prefix, u64::MAX))?,
    };
    let Some((key, value)) = chunk else {
        rows.put(keys::numbered(&prefix, number), encode(&[ok]));
        return Ok(());
    };
    let mut slots = decode(&value)?;
    let place = slots.partition_point(|known| known.slot < ok.slot);
    if slots.get(place).is_some_and(|known| known.slot == ok.slot) {
        return Ok(());
    }
    if place == CHUNK_MAX && slots.len() == CHUNK_MAX {
        rows.put(keys::numbered(&prefix, number), encode(&[ok]));
        return Ok(());
    }
    slots.insert(place, ok);
    if place == 0 {
        rows.delete(key);
    }
    let half = if slots.len() > CHUNK_MAX { slots.len() / 2 } else { 0 };
    let (low, high) = slots.split_at(half);
    for part in [low, high] {
        if let Some(first) = part.first() {
            rows.put(keys::numbered(&prefix, keys::ordered(first.slot)), encode(part));
        }
    }
    Ok(())
}

/// Forgets that `slot` ended ok, if it was `execution` that did.
pub(super) fn remove<R: Rows>(
    rows: &mut Overlay<R>,
    schedule: &ScheduleRef,
    slot: Instant,
    execution: ExecutionId,
) -> Result<(), RowError> {
    let prefix = keys::ok_slots(schedule);
    let end = keys::after_numbered(&prefix, keys::ordered(slot));
    let Some((key, value)) = rows.last_in(&prefix, &end)? else { return Ok(()) };
    let mut slots = decode(&value)?;
    let place = slots.iter().position(|ok| ok.slot == slot && ok.execution(schedule) == execution);
    let Some(place) = place else { return Ok(()) };
    slots.remove(place);
    rows.delete(key);
    if let Some(first) = slots.first() {
        rows.put(keys::numbered(&prefix, keys::ordered(first.slot)), encode(&slots));
    }
    Ok(())
}

/// The newest slot before `before` of which an execution ended ok.
pub(super) fn last_before<R: Rows>(
    rows: &R,
    schedule: &ScheduleRef,
    before: Instant,
) -> Result<Option<OkSlot>, RowError> {
    let prefix = keys::ok_slots(schedule);
    let end = keys::numbered(&prefix, keys::ordered(before));
    let Some((_, value)) = rows.last_in(&prefix, &end)? else {
        return Ok(None);
    };
    let slots = decode(&value)?;
    let above = slots.partition_point(|known| known.slot < before);
    Ok(above.checked_sub(1).and_then(|place| slots.get(place).copied()))
}

/// The first slot after `after` of which an execution ended ok.
pub(super) fn first_after<R: Rows>(
    rows: &R,
    schedule: &ScheduleRef,
    after: Instant,
) -> Result<Option<OkSlot>, RowError> {
    let prefix = keys::ok_slots(schedule);
    let from = keys::after_numbered(&prefix, keys::ordered(after));
    if let Some((_, value)) = rows.last_in(&prefix, &from)? {
        let slots = decode(&value)?;
        if let Some(found) = slots.iter().find(|known| known.slot > after) {
            return Ok(Some(*found));
        }
    }
    match rows.first_in(&from, &keys::after_numbered(&prefix, u64::MAX))? {
        None => Ok(None),
        Some((_, value)) => Ok(decode(&value)?.first().copied()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::projection::rows::MemoryRows;

    proptest! {
        #[test]
        fn the_ok_slots_around_an_instant_are_those_of_a_sorted_map(
            secs in proptest::collection::vec(-500i64..500, 1..700),
        ) {
            let schedule: ScheduleRef = "fnac/sales".parse().expect("valid");
            let mut model = BTreeMap::new();
            let mut rows = Overlay::new(MemoryRows::default());
            for (number, sec) in secs.into_iter().enumerate() {
                let slot = Instant::from_secs(sec);
                let execution = if number % 3 == 0 {
                    ExecutionId::random(slot, [7; 10])
                } else {
                    ExecutionId::for_slot(&schedule, slot)
                };
                model.entry(slot).or_insert(execution);
                let ok = OkSlot::new(&schedule, slot, execution);
                insert(&mut rows, &schedule, ok).expect("rows are sound");
            }
            for sec in -510i64..510 {
                let at = Instant::from_secs(sec);
                let before = last_before(&rows, &schedule, at).expect("rows are sound");
                let after = first_after(&rows, &schedule, at).expect("rows are sound");
                let pair = |ok: OkSlot| (ok.slot, ok.execution(&schedule));
                let next = Instant::from_millis(at.millis() + 1);
                prop_assert_eq!(before.map(pair), model.range(..at).next_back().map(|(slot, id)| (*slot, *id)));
                prop_assert_eq!(after.map(pair), model.range(next..).next().map(|(slot, id)| (*slot, *id)));
            }
        }
    }
}
