//! A schedule's ledger as its rows hold it: entries in chunks, each with the span of slots that it speaks of.

use std::collections::HashSet;

use crate::domain::slot::{Reason, Verdict};
use crate::ids::{ExecutionId, Position, ScheduleRef};
use crate::instant::Instant;
use crate::projection::bytes::{Reader, Writer};
use crate::projection::execution_row::known;
use crate::projection::rows::RowError;
use crate::projection::{codes, keys};

/// A row takes no further entry beyond this; one entry with 1,000 irregular instants has up to 6,000 bytes.
pub(super) const CHUNK_BYTES: usize = 1024;
pub(super) const HEAD_BYTES: usize = 16;
pub(super) const WHAT: &str = "a schedule's ledger";

/// What became of the slots that one event decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
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
pub(super) struct Passed {
    pub(super) first: Instant,
    pub(super) last: Instant,
    pub(super) count: u64,
    pub(super) verdict: Verdict,
    pub(super) reason: Reason,
    pub(super) definition_version: u32,
    /// All instants, ascending, when the event lists them all.
    pub(super) listed: Option<Vec<Instant>>,
}

/// One event's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) position: Position,
    pub(super) decision: Decision,
}

impl Entry {
    pub(super) fn span(&self) -> (Instant, Instant) {
        match &self.decision {
            Decision::Started { slot, .. } | Decision::Awaited { slot } => (*slot, *slot),
            Decision::Passed(passed) => (passed.first, passed.last),
        }
    }

    /// Whether it started one of `executions`.
    pub(super) fn is_of(&self, schedule: &ScheduleRef, executions: &HashSet<ExecutionId>) -> bool {
        let Decision::Started { slot, execution } = &self.decision else { return false };
        executions.contains(&execution.unwrap_or_else(|| ExecutionId::for_slot(schedule, *slot)))
    }

    /// Whether it started nothing, and speaks of no slot after `until`.
    pub(super) fn is_over(&self, until: Option<Instant>) -> bool {
        match &self.decision {
            Decision::Started { .. } => false,
            Decision::Passed(passed) => Some(passed.last) <= until,
            Decision::Awaited { slot } => Some(*slot) <= until,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
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

/// The entries of a chunk.
pub(super) fn entries_of(value: &[u8]) -> Result<Vec<Entry>, RowError> {
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
pub(in crate::projection) fn each_entry(
    value: &[u8],
    visit: &mut dyn FnMut(&[u8]),
) -> Result<(), RowError> {
    entries_of(value)?.iter().for_each(|entry| visit(&entry.encode()));
    Ok(())
}

/// A chunk of these entries; none when there are none.
pub(super) fn chunk_of(entries: &[Entry]) -> Option<Vec<u8>> {
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

pub(super) fn span_of(value: &[u8]) -> Option<(u64, u64)> {
    let (low, rest) = value.split_first_chunk::<8>()?;
    let high = rest.first_chunk::<8>()?;
    Some((u64::from_be_bytes(*low), u64::from_be_bytes(*high)))
}
