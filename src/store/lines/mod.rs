//! PLACEHOLDER with the seams' signatures; the real one replaces it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::cause::Cause;
use crate::domain::class::{Class, Level, Source};
use crate::domain::line::Line;
use crate::ids::ExecutionId;
use crate::instant::Instant;

/// Why lines could not be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("lines")]
pub struct LinesError {}

/// Settings.
#[derive(Clone, Debug, Default)]
pub struct LineOptions {}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct LinesRecovery {}

/// What to read.
#[derive(Clone, Debug, Default)]
pub struct LineQuery {
    /// After this line.
    pub after: u64,
    /// At most.
    pub limit: usize,
}

/// The lines.
#[derive(Clone, Default)]
pub struct LineStore {
    lines: Arc<Mutex<HashMap<ExecutionId, Vec<Line>>>>,
}

impl LineStore {
    /// Opens.
    ///
    /// # Errors
    /// Never.
    pub fn open(_dir: &Path, _options: LineOptions) -> Result<(Self, LinesRecovery), LinesError> {
        Ok((Self::default(), LinesRecovery {}))
    }

    /// A writer.
    pub fn writer(&self, execution: ExecutionId) -> LogWriter {
        LogWriter { store: self.clone(), execution, lines: Vec::new(), bytes: 0, count: 0 }
    }

    /// Reads.
    ///
    /// # Errors
    /// Never.
    pub fn read(&self, execution: ExecutionId, query: &LineQuery) -> Result<Vec<Line>, LinesError> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(lines
            .get(&execution)
            .into_iter()
            .flatten()
            .filter(|line| line.line > query.after)
            .take(query.limit)
            .cloned()
            .collect())
    }
}

/// A line to be written.
pub struct NewLine<'a> {
    /// When.
    pub at: Instant,
    /// Which attempt.
    pub attempt: u32,
    /// From where.
    pub source: Source,
    /// How serious.
    pub level: Level,
    /// Whose move.
    pub class: Option<Class>,
    /// Why.
    pub cause: Option<Cause>,
    /// What.
    pub text: &'a str,
    /// The causing line.
    pub cascade_of: Option<u64>,
    /// More.
    pub fields: Option<&'a serde_json::Value>,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSummary {
    /// How many.
    pub lines: u64,
    /// Bytes of text.
    pub bytes: u64,
    /// The hash.
    pub hash: [u8; 32],
}

/// Writes one execution's lines.
pub struct LogWriter {
    store: LineStore,
    execution: ExecutionId,
    lines: Vec<Line>,
    bytes: u64,
    count: u64,
}

impl LogWriter {
    /// Takes a line.
    pub fn push(&mut self, line: NewLine<'_>) -> u64 {
        self.count += 1;
        self.bytes += line.text.len() as u64;
        self.lines.push(Line {
            line: self.count,
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
        self.count
    }

    /// Back-pressure.
    ///
    /// # Errors
    /// Never.
    #[expect(clippy::unused_async, reason = "placeholder")]
    pub async fn ready(&mut self) -> Result<(), LinesError> {
        Ok(())
    }

    /// Hands on.
    pub fn cut(&mut self) {
        let mut lines = self.store.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.entry(self.execution).or_default().append(&mut self.lines);
    }

    /// How many.
    pub fn lines(&self) -> u64 {
        self.count
    }

    /// Bytes of text.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The end.
    ///
    /// # Errors
    /// Never.
    #[expect(clippy::unused_async, reason = "placeholder")]
    pub async fn finish(mut self) -> Result<LogSummary, LinesError> {
        self.cut();
        Ok(LogSummary { lines: self.count, bytes: self.bytes, hash: [0; 32] })
    }
}
