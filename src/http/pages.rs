//! Reads that go on page by page until their end, for exports. They block.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::parts::App;
use crate::domain::line::Line;
use crate::error_text::in_full;
use crate::export::{ExportError, Moment};
use crate::ids::{ExecutionId, StreamId};
use crate::instant::Instant;
use crate::projection::ExecutionFilter;
use crate::projection::view::{Execution, Page};
use crate::store::lines::{LineQuery, pruned_row};

/// Executions read at once.
pub const EXECUTIONS: usize = 500;
/// Lines read at once.
const LINES: usize = 2_000;
/// Text of so many lines, in bytes.
const LINES_BYTES: usize = 256 << 10;
/// Events read at once.
const EVENTS: usize = 500;

/// An execution's log. Lines that cannot be read have one row in their place, and so have those that retention took.
pub struct Lines {
    app: App,
    id: ExecutionId,
    query: LineQuery,
    /// When retention took the lines, and how many there were.
    pruned: Option<(Instant, u64)>,
    stop: CancellationToken,
}

impl Lines {
    /// The log of `execution`, until `stop`.
    pub fn of(app: &App, execution: &Execution, stop: CancellationToken) -> Self {
        let query = LineQuery { limit: LINES, text_bytes: LINES_BYTES, ..LineQuery::default() };
        let pruned = execution.lines_pruned_at.map(|at| (at, execution.lines));
        Self { app: Arc::clone(app), id: execution.id, query, pruned, stop }
    }
}

impl Iterator for Lines {
    type Item = Result<Vec<Line>, ExportError>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.stop.is_cancelled() {
            return Some(Err(ExportError::GivenUp));
        }
        if let Some((at, count)) = self.pruned {
            let is_first = self.query.after < count;
            self.query.after = count;
            return is_first.then(|| Ok(vec![pruned_row(at, count)]));
        }
        let (mut lines, gap) = match self.app.lines.read_to_gap(self.id, &self.query) {
            Ok(read) => read,
            Err(err) => return Some(Err(ExportError::Unreadable(in_full(&err)))),
        };
        if let Some(gap) = gap {
            tracing::error!(execution = %self.id, why = %gap.why, "lines cannot be read");
            lines.push(gap.row(lines.last(), self.app.clock.now()));
        }
        self.query.after = lines.last()?.line;
        Some(Ok(lines))
    }
}

/// Executions that fit a filter, the newest first.
pub struct Executions {
    app: App,
    filter: ExecutionFilter,
    /// The page that was read before.
    first: Option<Page<Execution>>,
    /// Where the next page begins.
    cursor: Option<String>,
    stop: CancellationToken,
}

impl Executions {
    /// Those that fit, from the first page on, which was read before; until `stop`.
    pub fn of(
        app: &App,
        (filter, first): (ExecutionFilter, Page<Execution>),
        stop: CancellationToken,
    ) -> Self {
        Self { app: Arc::clone(app), filter, first: Some(first), cursor: None, stop }
    }
}

impl Iterator for Executions {
    type Item = Result<Vec<Execution>, ExportError>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.stop.is_cancelled() {
            return Some(Err(ExportError::GivenUp));
        }
        let page = match self.first.take() {
            Some(first) => first,
            None => {
                let cursor = self.cursor.take()?;
                let page = self.app.projections.executions(&self.filter, EXECUTIONS, Some(&cursor));
                match page {
                    Ok(page) => page,
                    Err(err) => return Some(Err(ExportError::Unreadable(in_full(&err)))),
                }
            }
        };
        self.cursor = page.next;
        Some(Ok(page.items))
    }
}

/// What happened to an execution: the events of its stream, in order.
///
/// # Errors
/// The log cannot be read.
pub fn timeline(app: &App, id: ExecutionId) -> Result<Vec<Moment>, ExportError> {
    let stream = StreamId::Execution(id);
    let mut moments = Vec::new();
    let mut after = 0;
    loop {
        let events = app.log.read_stream(&stream, after, EVENTS);
        let events = events.map_err(|err| ExportError::Unreadable(in_full(&err)))?;
        let Some(last) = events.last() else { return Ok(moments) };
        after = last.version;
        for envelope in &events {
            let moment = Moment::of(envelope);
            moments.push(moment.map_err(|err| ExportError::Unreadable(in_full(&err)))?);
        }
    }
}
