//! A schedule's row: its newest executions, so that nobody has to look for them.

use super::bytes::{Reader, Writer};
use super::keys;
use super::rows::{Overlay, RowError, Rows};
use super::view::Status;
use crate::ids::{Position, ScheduleRef};
use crate::instant::Instant;

/// What is known of a schedule's executions as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ScheduleRow {
    /// The version of its stream's newest event.
    pub(super) version: u64,
    /// The opening of its newest execution.
    pub(super) newest: Option<Position>,
    /// The opening of its newest execution among the finished ones.
    pub(super) newest_finished: Option<Position>,
    /// Whether that one is a KO.
    pub(super) newest_finished_is_ko: bool,
    /// When one last ended ok.
    pub(super) last_ok_at: Option<Instant>,
    /// Executions opened by backfills: while there are none, a slot that was passed over has none.
    pub(super) backfills: u64,
}

impl ScheduleRow {
    fn encode(&self) -> Vec<u8> {
        let mut to = Writer::with_capacity(32);
        to.number(self.version);
        to.optional(self.newest, |to, position| to.number(position.0));
        to.optional(self.newest_finished, |to, position| to.number(position.0));
        to.byte(u8::from(self.newest_finished_is_ko));
        to.optional(self.last_ok_at, Writer::instant);
        to.number(self.backfills);
        to.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, RowError> {
        let from = &mut Reader::new(bytes, "a schedule's row");
        Ok(Self {
            version: from.number()?,
            newest: from.optional(Reader::number)?.map(Position),
            newest_finished: from.optional(Reader::number)?.map(Position),
            newest_finished_is_ko: from.byte()? == 1,
            last_ok_at: from.optional(Reader::instant)?,
            backfills: from.number()?,
        })
    }

    /// Takes note of a finished execution; answers whether the mark of a KO schedule has to change.
    pub(super) fn finished(&mut self, opened: Position, status: Status, at: Instant) -> bool {
        if status == Status::Ok {
            self.last_ok_at = self.last_ok_at.max(Some(at));
        }
        if self.newest_finished > Some(opened) {
            return false;
        }
        let was_ko = self.newest_finished_is_ko;
        self.newest_finished = Some(opened);
        self.newest_finished_is_ko = status == Status::Ko;
        was_ko != self.newest_finished_is_ko
    }
}

/// Reads a schedule's row; an unknown schedule has an empty one.
pub(super) fn load<R: Rows>(rows: &R, schedule: &ScheduleRef) -> Result<ScheduleRow, RowError> {
    rows.get(&keys::schedule(schedule))?
        .map_or_else(|| Ok(ScheduleRow::default()), |value| ScheduleRow::decode(&value))
}

/// Writes a schedule's row.
pub(super) fn store<R: Rows>(rows: &mut Overlay<R>, schedule: &ScheduleRef, row: &ScheduleRow) {
    rows.put(keys::schedule(schedule), row.encode());
}
