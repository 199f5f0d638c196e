//! The last lines that fit a query, found from the end backwards.

use std::ops::ControlFlow;

use crate::ids::ExecutionId;

use super::error::LinesError;
use super::query::LineQuery;
use super::store::LineStore;

/// Lines that are looked through first; each further stretch is larger, so that a seldom line costs few questions.
const STRETCH: u64 = 2_000;
/// How much larger.
const GROWTH: u64 = 4;
/// The longest stretch: what is looked through in vain when its last line is the one.
const STRETCH_MAX: u64 = 500_000;

impl LineStore {
    /// The number after which the last `count` rows stand that `query` asks for, or its `after` when there are not so many;
    /// 0 counts as 1. Lines that cannot be read are one row, as in [`LineStore::read_to_gap`].
    ///
    /// # Errors
    /// [`LinesError::Io`].
    pub fn after_all_but(
        &self,
        execution: ExecutionId,
        query: &LineQuery,
        count: usize,
    ) -> Result<u64, LinesError> {
        let last_line = self.follow(execution).borrow().last_line;
        let mut before = query.before.min(last_line.saturating_add(1));
        let (mut wanted, mut stretch) = (count.max(1), STRETCH);
        while before > query.after.saturating_add(1) {
            let after = before.saturating_sub(stretch.saturating_add(1)).max(query.after);
            let (limit, text_bytes) = (usize::MAX, usize::MAX);
            let within = LineQuery { after, before, limit, text_bytes, ..query.clone() };
            let rows = self.rows_within(execution, within)?;
            if let Some(at) = rows.len().checked_sub(wanted)
                && let Some(first) = rows.get(at)
            {
                return Ok(first - 1);
            }
            wanted -= rows.len();
            before = after.saturating_add(1);
            stretch = stretch.saturating_mul(GROWTH).min(STRETCH_MAX);
        }
        Ok(query.after)
    }

    /// The first lines of the rows that `query` asks for.
    fn rows_within(
        &self,
        execution: ExecutionId,
        mut query: LineQuery,
    ) -> Result<Vec<u64>, LinesError> {
        let mut rows = Vec::new();
        loop {
            let gap = self.for_each_to_gap(execution, &query, &mut |line| {
                rows.push(line.line);
                ControlFlow::Continue(())
            })?;
            let Some(gap) = gap else { return Ok(rows) };
            rows.push(gap.first);
            query.after = gap.last;
        }
    }
}
