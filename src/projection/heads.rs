//! The newest version of streams that the log itself does not hold in memory.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{OnceLock, Weak};

use super::bytes::Reader;
use super::follow::{Projections, Shared};
use super::rows::{RowError, Rows};
use super::view::Execution;
use super::{execution_row, keys, schedule_row};
use crate::ids::{ExecutionId, StreamId};
use crate::store::{ColdHead, ColdHeads};

/// The version of a stream's newest folded event; 0 when there is none.
pub(super) fn version<R: Rows>(rows: &R, stream: &StreamId) -> Result<u64, RowError> {
    match stream {
        StreamId::Schedule(schedule) => Ok(schedule_row::load(rows, schedule)?.version),
        StreamId::Execution(id) => match execution_row::find(rows, *id)? {
            Some(row) => Ok(row.version),
            None => written(rows, stream),
        },
        StreamId::Daemon | StreamId::Interface(_) => written(rows, stream),
    }
}

fn written<R: Rows>(rows: &R, stream: &StreamId) -> Result<u64, RowError> {
    rows.get(&keys::version(stream))?
        .map_or(Ok(0), |value| Reader::new(&value, "a stream's version").number())
}

impl Projections {
    /// An answer for somebody who must not end with sled, which panics at some damage: none then, and the rows are thrown away.
    pub(super) fn unless_sled_panics<T>(&self, ask: impl FnOnce() -> T) -> Option<T> {
        let answer = catch_unwind(AssertUnwindSafe(ask));
        if answer.is_err() {
            self.discard_after_panic();
        }
        answer.ok()
    }

    /// An execution that was folded a moment ago, for somebody who may not block: its row is in memory. None while the index
    /// cannot say.
    pub fn just_opened(&self, id: ExecutionId) -> Option<Execution> {
        self.unless_sled_panics(|| self.execution(id))?.ok()?
    }
}

impl ColdHeads for Projections {
    fn version_of(&self, stream: &StreamId) -> ColdHead {
        match self.unless_sled_panics(|| self.ask(|rows| Ok(version(rows, stream)?))) {
            Some(Ok(version)) => ColdHead::Known(version),
            Some(Err(_)) | None => ColdHead::Rebuilding,
        }
    }
}

/// Stands in for the index while the log opens, since the index needs the log and the log the index.
///
/// Answers [`ColdHead::Rebuilding`] until [`LateHeads::attach`]. Holds the index weakly: it goes when its owner goes.
#[derive(Debug, Default)]
pub struct LateHeads {
    index: OnceLock<Weak<Shared>>,
}

impl LateHeads {
    /// Hands over the index. Only the first call counts.
    pub fn attach(&self, index: &Projections) {
        self.index.get_or_init(|| index.downgrade());
    }
}

impl ColdHeads for LateHeads {
    fn version_of(&self, stream: &StreamId) -> ColdHead {
        self.index
            .get()
            .and_then(Projections::upgrade)
            .map_or(ColdHead::Rebuilding, |index| index.version_of(stream))
    }
}
