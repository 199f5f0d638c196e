//! An execution's row: what its own events say. What other executions say of it is looked up when it is shown.

use std::collections::BTreeMap;

use super::bytes::{Reader, Writer};
use super::codes;
use super::keys::{self, VALUE_MAX_BYTES};
use super::rows::{Overlay, RowError, Rows};
use super::view::{Anomaly, Note, Remark, Status};
use crate::domain::cause::Cause;
use crate::domain::class::Class;
use crate::domain::event::{ErrorCounts, FirstError, Trigger};
use crate::ids::{ExecutionId, Position, ScheduleRef};
use crate::instant::Instant;

const WHAT: &str = "an execution's row";

/// One execution, as its own stream tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExecutionRow {
    /// The position of `Opened`; the row's key.
    pub(super) position: Position,
    pub(super) id: ExecutionId,
    pub(super) schedule: ScheduleRef,
    pub(super) slot: Option<Instant>,
    pub(super) trigger: Trigger,
    pub(super) status: Status,
    pub(super) class: Option<Class>,
    pub(super) cause: Option<Cause>,
    pub(super) created_at: Instant,
    pub(super) started_at: Option<Instant>,
    pub(super) ended_at: Option<Instant>,
    pub(super) duration_ms: Option<u64>,
    pub(super) attempts: u32,
    pub(super) exit_code: Option<i32>,
    pub(super) params: BTreeMap<String, String>,
    pub(super) rerun_of: Option<ExecutionId>,
    pub(super) root: ExecutionId,
    pub(super) idempotency_key: String,
    pub(super) definition_version: u32,
    pub(super) lines: u64,
    pub(super) errors: ErrorCounts,
    pub(super) first_error: Option<FirstError>,
    pub(super) anomaly: Option<Anomaly>,
    pub(super) acknowledged: Option<Remark>,
    pub(super) notes: Vec<Note>,
    pub(super) cancel_requested: Option<Remark>,
    pub(super) references: Vec<String>,
    /// A re-run of it exists, so its chain is worth a look.
    pub(super) has_reruns: bool,
    /// When retention took its lines.
    pub(super) lines_pruned_at: Option<Instant>,
    /// The version of its stream's newest event.
    pub(super) version: u64,
    /// The positions of its stream's events that the log still had when this was folded, ascending.
    pub(super) events: Vec<u64>,
}

impl ExecutionRow {
    fn encode(&self) -> Vec<u8> {
        let mut to = Writer::with_capacity(256);
        to.id(self.id);
        to.text(self.schedule.interface.as_str());
        to.text(self.schedule.schedule.as_str());
        to.optional(self.slot, Writer::instant);
        to.byte(codes::trigger_code(self.trigger));
        to.byte(codes::status_code(self.status));
        to.optional(self.class, |to, class| to.byte(codes::class_code(class)));
        to.optional(self.cause, |to, cause| to.number(u64::from(cause.number())));
        to.instant(self.created_at);
        to.optional(self.started_at, Writer::instant);
        to.optional(self.ended_at, Writer::instant);
        to.optional(self.duration_ms, Writer::number);
        to.number(u64::from(self.attempts));
        to.optional(self.exit_code, |to, code| to.signed(i64::from(code)));
        to.number(self.params.len() as u64);
        for (name, value) in &self.params {
            to.text(name);
            to.text(value);
        }
        to.optional(self.rerun_of, Writer::id);
        to.optional((self.root != self.id).then_some(self.root), Writer::id);
        let own_key = self.idempotency_key == self.id.to_string();
        to.optional((!own_key).then_some(self.idempotency_key.as_str()), Writer::text);
        to.number(u64::from(self.definition_version));
        to.number(self.lines);
        for count in counts(&self.errors) {
            to.number(count);
        }
        self.encode_remarks(&mut to);
        to.finish()
    }

    fn encode_remarks(&self, to: &mut Writer) {
        to.optional(self.first_error.as_ref(), |to, error| {
            to.number(error.line);
            to.byte(codes::class_code(error.class));
            to.number(u64::from(error.cause.number()));
            to.text(&error.text);
        });
        to.optional(self.anomaly.as_ref(), |to, anomaly| {
            to.instant(anomaly.at);
            to.number(anomaly.after_ms);
        });
        to.optional(self.acknowledged.as_ref(), write_remark);
        to.number(self.notes.len() as u64);
        for note in &self.notes {
            to.instant(note.at);
            to.text(&note.actor);
            to.text(&note.text);
        }
        to.optional(self.cancel_requested.as_ref(), write_remark);
        to.number(self.references.len() as u64);
        for reference in &self.references {
            to.text(reference);
        }
        to.byte(u8::from(self.has_reruns));
        to.optional(self.lines_pruned_at, Writer::instant);
        to.number(self.version);
        to.number(self.events.len() as u64);
        let mut before = self.position.0;
        for position in &self.events {
            to.number(position.wrapping_sub(before));
            before = *position;
        }
    }

    fn decode(position: Position, bytes: &[u8]) -> Result<Self, RowError> {
        let from = &mut Reader::new(bytes, WHAT);
        let id = from.id()?;
        let schedule = ScheduleRef { interface: name(from)?, schedule: name(from)? };
        let slot = from.optional(Reader::instant)?;
        let trigger = known(from, codes::trigger_from)?;
        let status = known(from, codes::status_from)?;
        let class = from.optional(|from| known(from, codes::class_from))?;
        let cause = from.optional(read_cause)?;
        let created_at = from.instant()?;
        let started_at = from.optional(Reader::instant)?;
        let ended_at = from.optional(Reader::instant)?;
        let duration_ms = from.optional(Reader::number)?;
        let attempts = from.small()?;
        let exit_code = from.optional(Reader::signed)?.map(|code| code as i32);
        let mut params = BTreeMap::new();
        for _ in 0..from.number()? {
            params.insert(from.text()?.to_owned(), from.text()?.to_owned());
        }
        let rerun_of = from.optional(Reader::id)?;
        let root = from.optional(Reader::id)?.unwrap_or(id);
        let idempotency_key =
            from.optional(Reader::text)?.map_or_else(|| id.to_string(), str::to_owned);
        let definition_version = from.small()?;
        let lines = from.number()?;
        let errors = read_counts(from)?;
        let mut row = Self {
            position,
            id,
            schedule,
            slot,
            trigger,
            status,
            class,
            cause,
            created_at,
            started_at,
            ended_at,
            duration_ms,
            attempts,
            exit_code,
            params,
            rerun_of,
            root,
            idempotency_key,
            definition_version,
            lines,
            errors,
            first_error: None,
            anomaly: None,
            acknowledged: None,
            notes: Vec::new(),
            cancel_requested: None,
            references: Vec::new(),
            has_reruns: false,
            lines_pruned_at: None,
            version: 0,
            events: Vec::new(),
        };
        row.decode_remarks(from)?;
        Ok(row)
    }

    fn decode_remarks(&mut self, from: &mut Reader<'_>) -> Result<(), RowError> {
        self.first_error = from.optional(|from| {
            Ok(FirstError {
                line: from.number()?,
                class: known(from, codes::class_from)?,
                cause: read_cause(from)?,
                text: from.text()?.to_owned(),
            })
        })?;
        self.anomaly =
            from.optional(|from| Ok(Anomaly { at: from.instant()?, after_ms: from.number()? }))?;
        self.acknowledged = from.optional(read_remark)?;
        for _ in 0..from.number()? {
            self.notes.push(Note {
                at: from.instant()?,
                actor: from.text()?.to_owned(),
                text: from.text()?.to_owned(),
            });
        }
        self.cancel_requested = from.optional(read_remark)?;
        for _ in 0..from.number()? {
            self.references.push(from.text()?.to_owned());
        }
        self.has_reruns = from.byte()? == 1;
        self.lines_pruned_at = from.optional(Reader::instant)?;
        self.version = from.number()?;
        let mut position = self.position.0;
        for _ in 0..from.number()? {
            position = position.wrapping_add(from.number()?);
            self.events.push(position);
        }
        if from.is_done() { Ok(()) } else { Err(from.damaged("it goes on behind its end")) }
    }
}

fn write_remark(to: &mut Writer, remark: &Remark) {
    to.instant(remark.at);
    to.text(&remark.actor);
    to.optional(remark.note.as_deref(), Writer::text);
}

fn read_remark(from: &mut Reader<'_>) -> Result<Remark, RowError> {
    Ok(Remark {
        at: from.instant()?,
        actor: from.text()?.to_owned(),
        note: from.optional(Reader::text)?.map(str::to_owned),
    })
}

const fn counts(errors: &ErrorCounts) -> [u64; 5] {
    [errors.external, errors.configuration, errors.mapping, errors.technical, errors.cascade]
}

fn read_counts(from: &mut Reader<'_>) -> Result<ErrorCounts, RowError> {
    Ok(ErrorCounts {
        external: from.number()?,
        configuration: from.number()?,
        mapping: from.number()?,
        technical: from.number()?,
        cascade: from.number()?,
    })
}

fn read_cause(from: &mut Reader<'_>) -> Result<Cause, RowError> {
    Cause::from_number(from.small()?).ok_or_else(|| from.damaged("a cause is unknown"))
}

/// Reads the number of a member of a closed set.
pub(super) fn known<T>(
    from: &mut Reader<'_>,
    member: impl FnOnce(u8) -> Option<T>,
) -> Result<T, RowError> {
    member(from.byte()?).ok_or_else(|| from.damaged("a code is unknown"))
}

fn name<T: std::str::FromStr>(from: &mut Reader<'_>) -> Result<T, RowError> {
    from.text()?.parse().map_err(|_not_a_name| from.damaged("a name is none"))
}

/// Bytes of each part of a row that is too large for one: texts of errors and parameters have no limit of ours.
const PART_BYTES: usize = VALUE_MAX_BYTES - 64;

/// Reads an execution's row by the position of its opening.
pub(super) fn load<R: Rows>(rows: &R, opened: Position) -> Result<Option<ExecutionRow>, RowError> {
    match rows.get(&keys::execution(opened))? {
        None => Ok(None),
        Some(value) => unpack(rows, opened, &value).map(Some),
    }
}

/// Reads an execution's row by its id.
pub(super) fn find<R: Rows>(rows: &R, id: ExecutionId) -> Result<Option<ExecutionRow>, RowError> {
    match opened_at(rows, id)? {
        None => Ok(None),
        Some(opened) => load(rows, opened),
    }
}

/// The position at which an execution was opened.
pub(super) fn opened_at<R: Rows>(rows: &R, id: ExecutionId) -> Result<Option<Position>, RowError> {
    rows.get(&keys::id(id))?
        .map(|value| Reader::new(&value, "an execution's id").number().map(Position))
        .transpose()
}

/// Decodes the value that stands under [`keys::execution`], with its further parts.
pub(super) fn unpack<R: Rows>(
    rows: &R,
    opened: Position,
    value: &[u8],
) -> Result<ExecutionRow, RowError> {
    let mut reader = Reader::new(value, WHAT);
    let parts: u16 = reader.small()?;
    let head = value.get(varint_bytes(u64::from(parts))..).unwrap_or_default();
    if parts == 0 {
        return ExecutionRow::decode(opened, head);
    }
    let mut whole = head.to_vec();
    for part in 0..parts {
        let more = rows
            .get(&keys::execution_part(opened, part))?
            .ok_or_else(|| reader.damaged("a further part is missing"))?;
        whole.extend_from_slice(&more);
    }
    ExecutionRow::decode(opened, &whole)
}

const fn varint_bytes(number: u64) -> usize {
    if number < 0x80 {
        1
    } else if number < 0x4000 {
        2
    } else {
        3
    }
}

/// Writes an execution's row.
pub(super) fn store<R: Rows>(rows: &mut Overlay<R>, row: &ExecutionRow) -> Result<(), RowError> {
    let whole = row.encode();
    let key = keys::execution(row.position);
    // Rows grow and hardly shrink; parts that are left over are never read, since the head counts them.
    let (head, rest) = whole.split_at(whole.len().min(PART_BYTES));
    let parts = u16::try_from(rest.len().div_ceil(PART_BYTES)).map_err(|_too_many| {
        RowError::Damaged { what: format!("{WHAT}: {} bytes are too many", whole.len()) }
    })?;
    let mut to = Writer::with_capacity(head.len() + 3);
    to.number(u64::from(parts));
    to.raw(head);
    rows.put(key, to.finish());
    for (part, bytes) in (0..parts).zip(rest.chunks(PART_BYTES)) {
        rows.put(keys::execution_part(row.position, part), bytes.to_vec());
    }
    Ok(())
}

/// Deletes an execution's rows.
pub(super) fn delete<R: Rows>(rows: &mut Overlay<R>, row: &ExecutionRow) -> Result<(), RowError> {
    rows.delete(keys::id(row.id));
    rows.delete(keys::execution(row.position));
    for part in 0..u16::MAX {
        let key = keys::execution_part(row.position, part);
        if rows.get(&key)?.is_none() {
            break;
        }
        rows.delete(key);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projection::rows::MemoryRows;

    fn row() -> ExecutionRow {
        let schedule: ScheduleRef = "fnac/sales".parse().expect("valid");
        let id = ExecutionId::for_slot(&schedule, Instant::from_secs(1_000));
        ExecutionRow {
            position: Position(7),
            id,
            schedule,
            slot: Some(Instant::from_secs(1_000)),
            trigger: Trigger::CatchUp,
            status: Status::Ko,
            class: Some(Class::Mapping),
            cause: Some(Cause::MapField),
            created_at: Instant::from_millis(1_000_123),
            started_at: Some(Instant::from_millis(1_000_200)),
            ended_at: Some(Instant::from_millis(1_000_900)),
            duration_ms: Some(700),
            attempts: 2,
            exit_code: Some(-1),
            params: BTreeMap::from([("day".to_owned(), "2026-11-22".to_owned())]),
            rerun_of: Some(ExecutionId::random(Instant::from_secs(1), [1; 10])),
            root: ExecutionId::random(Instant::from_secs(2), [2; 10]),
            idempotency_key: "another key".to_owned(),
            definition_version: 3,
            lines: 12,
            errors: ErrorCounts { mapping: 1, cascade: 2, ..ErrorCounts::default() },
            first_error: Some(FirstError {
                line: 4,
                class: Class::Mapping,
                cause: Cause::MapField,
                text: "no product for code FNAC-77".to_owned(),
            }),
            anomaly: Some(Anomaly { at: Instant::from_secs(1_003), after_ms: 3_600_000 }),
            acknowledged: Some(Remark {
                at: Instant::from_secs(2_000),
                actor: "local:1000".to_owned(),
                note: Some("known".to_owned()),
            }),
            notes: vec![Note {
                at: Instant::from_secs(2_001),
                actor: "token:ci".to_owned(),
                text: "asked them".to_owned(),
            }],
            cancel_requested: Some(Remark {
                at: Instant::from_secs(999),
                actor: "local:0".to_owned(),
                note: None,
            }),
            references: vec!["KAY-77".to_owned()],
            has_reruns: true,
            lines_pruned_at: Some(Instant::from_secs(7)),
            version: 9,
            events: vec![7, 8, 40],
        }
    }

    #[test]
    fn an_execution_reads_back_as_it_was_written() {
        let mut rows = Overlay::new(MemoryRows::default());
        store(&mut rows, &row()).expect("rows are sound");
        assert_eq!(load(&rows, Position(7)), Ok(Some(row())));
    }

    #[test]
    fn no_value_is_longer_than_sled_takes_well_however_long_the_texts() {
        let mut large = row();
        large.params.insert("blob".to_owned(), "x".repeat(100_000));
        let mut rows = Overlay::new(MemoryRows::default());
        store(&mut rows, &large).expect("rows are sound");
        assert_eq!(load(&rows, Position(7)), Ok(Some(large)));
        for (key, value) in rows.take_changes() {
            let length = value.expect("nothing was deleted").len();
            assert!(length <= VALUE_MAX_BYTES, "{key:?} has {length} bytes");
        }
    }

    #[test]
    fn a_row_that_was_cut_is_an_error_and_no_panic() {
        let bytes = row().encode();
        for end in 0..bytes.len() {
            assert!(ExecutionRow::decode(Position(7), &bytes[..end]).is_err(), "cut at {end}");
        }
    }
}
