//! Placeholder.
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::domain::cause::Cause;
use crate::domain::class::{Class, Level, Source};
use crate::domain::line::Line;
use crate::ids::ExecutionId;
use crate::instant::Instant;

type Log = (Vec<Line>, watch::Sender<FollowState>);
/// Lines.
#[derive(Clone, Debug, Default)]
pub struct LineStore {
    logs: Arc<Mutex<HashMap<ExecutionId, Log>>>,
}
/// Follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FollowState {
    /// Last.
    pub last_line: u64,
    /// Over.
    pub finished: bool,
}
/// Query.
#[derive(Clone, Debug, Default)]
pub struct LineQuery {
    /// After.
    pub after: u64,
    /// Limit.
    pub limit: usize,
    /// Level.
    pub level: Option<Level>,
    /// Class.
    pub class: Option<Class>,
    /// Errors.
    pub errors_only: bool,
    /// Attempt.
    pub attempt: Option<u32>,
    /// Contains.
    pub contains: Option<String>,
    /// Regex.
    pub regex: Option<regex::Regex>,
}
/// Options.
#[derive(Clone, Debug, Default)]
pub struct LinesOptions {}
/// Recovery.
#[derive(Clone, Debug, Default)]
pub struct LinesRecovery {}
/// Error.
#[derive(Debug, thiserror::Error)]
#[error("lines")]
pub struct LinesError;
/// New line.
pub struct NewLine<'a> {
    /// At.
    pub at: Instant,
    /// Attempt.
    pub attempt: u32,
    /// Source.
    pub source: Source,
    /// Level.
    pub level: Level,
    /// Class.
    pub class: Option<Class>,
    /// Cause.
    pub cause: Option<Cause>,
    /// Text.
    pub text: &'a str,
    /// Cascade.
    pub cascade_of: Option<u64>,
    /// Fields.
    pub fields: Option<&'a serde_json::Value>,
}
/// Writer.
pub struct LogWriter {
    store: LineStore,
    execution: ExecutionId,
}
impl LineStore {
    /// Open.
    pub fn open(_dir: &Path, _options: LinesOptions) -> Result<(Self, LinesRecovery), LinesError> {
        Ok((Self::default(), LinesRecovery {}))
    }
    /// Writer.
    pub fn writer(&self, execution: ExecutionId) -> LogWriter {
        LogWriter { store: self.clone(), execution }
    }
    /// Read.
    pub fn read(&self, execution: ExecutionId, query: &LineQuery) -> Result<Vec<Line>, LinesError> {
        let logs = self.logs.lock().expect("unpoisoned");
        let Some((lines, _)) = logs.get(&execution) else { return Ok(Vec::new()) };
        Ok(lines
            .iter()
            .filter(|l| l.line > query.after)
            .filter(|l| query.level.is_none_or(|level| l.level >= level))
            .filter(|l| query.class.is_none_or(|class| l.class == Some(class)))
            .filter(|l| !query.errors_only || l.level == Level::Error)
            .filter(|l| query.attempt.is_none_or(|n| l.attempt == n))
            .filter(|l| query.regex.as_ref().is_none_or(|r| r.is_match(&l.text)))
            .take(query.limit)
            .cloned()
            .collect())
    }
    /// Follow.
    pub fn follow(&self, execution: ExecutionId) -> watch::Receiver<FollowState> {
        let mut logs = self.logs.lock().expect("unpoisoned");
        logs.entry(execution).or_default().1.subscribe()
    }
    /// Size.
    pub fn size_bytes(&self) -> u64 {
        0
    }
}
impl LogWriter {
    /// Push.
    pub fn push(&mut self, line: NewLine<'_>) -> u64 {
        let mut logs = self.store.logs.lock().expect("unpoisoned");
        let log = logs.entry(self.execution).or_default();
        let number = log.0.len() as u64 + 1;
        log.0.push(Line {
            line: number,
            at: line.at,
            attempt: line.attempt,
            source: line.source,
            level: line.level,
            class: line.class,
            cause: line.cause,
            text: line.text.to_owned(),
            cascade_of: line.cascade_of,
            fields: line.fields.cloned(),
        });
        log.1.send_modify(|s| s.last_line = number);
        number
    }
    /// Cut.
    pub fn cut(&mut self) {}
    /// Finish.
    pub async fn finish(self) -> Result<(), LinesError> {
        let mut logs = self.store.logs.lock().expect("unpoisoned");
        logs.entry(self.execution).or_default().1.send_modify(|s| s.finished = true);
        Ok(())
    }
}
