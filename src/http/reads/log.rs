//! Pages of logs.

use tokio::sync::watch;

use super::blocking;
use crate::domain::class::{Class, Level};
use crate::domain::line::Line;
use crate::http::parts::App;
use crate::http::problem::Problem;
use crate::ids::ExecutionId;
use crate::store::lines::{FollowState, Gap, LineQuery, Sought};

/// Which lines of a log.
#[derive(Clone, Debug, Default)]
pub struct LogQuery {
    /// Lines after this one.
    pub after: u64,
    /// Lines before this one.
    pub before: Option<u64>,
    /// Lines of at least this level.
    pub level: Option<Level>,
    /// Lines of these classes.
    pub classes: Vec<Class>,
    /// Error lines alone.
    pub errors: bool,
    /// Lines of this attempt.
    pub attempt: Option<u32>,
    /// Lines that this matches.
    pub grep: Option<regex::Regex>,
    /// Lines that hold this.
    pub text: Option<Sought>,
}

impl LogQuery {
    fn at_most(&self, limit: usize) -> LineQuery {
        LineQuery {
            after: self.after,
            before: self.before.unwrap_or(u64::MAX),
            limit,
            text_bytes: LOG_PAGE_BYTES,
            level: self.level,
            classes: self.classes.clone(),
            errors_only: self.errors,
            attempt: self.attempt,
            regex: self.grep.clone(),
            text: self.text.clone(),
        }
    }
}

/// Text of a page of a log, in bytes; the line that reaches it is the last one.
const LOG_PAGE_BYTES: usize = 256 * 1024;

/// A page of an execution's log: up to `limit` lines that fit `query`, of so much text that a slow reader costs little, and
/// the lines that cannot be read, if they end there.
///
/// # Errors
/// The log cannot be read.
pub async fn lines(
    app: &App,
    execution: ExecutionId,
    query: &LogQuery,
    limit: usize,
) -> Result<(Vec<Line>, Option<Gap>), Problem> {
    let query = query.at_most(limit);
    let store = app.lines.clone();
    blocking(move || store.read_to_gap(execution, &query))
        .await?
        .map_err(|err| Problem::internal("the log cannot be read", &err))
}

/// The number after which the last `count` rows stand that fit `query`, or its own `after` when there are not so many.
///
/// # Errors
/// The log cannot be read.
pub async fn after_all_but(
    app: &App,
    execution: ExecutionId,
    query: &LogQuery,
    count: usize,
) -> Result<u64, Problem> {
    let (query, store) = (query.at_most(count), app.lines.clone());
    blocking(move || store.after_all_but(execution, &query, count))
        .await?
        .map_err(|err| Problem::internal("the log cannot be read", &err))
}

/// The newest line of a log, as a value that can be waited on.
pub fn follow(app: &App, execution: ExecutionId) -> watch::Receiver<FollowState> {
    app.lines.follow(execution)
}
