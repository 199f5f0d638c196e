//! Building a chunk: lines as columns, so that plain output costs a copy and little else.
//!
//! ```text
//! payload  runs length | runs | extras length | extras | text        (lengths and numbers as varints)
//! runs     lines | instant − previous, zigzag | attempt | kind | cause, if kind says so
//! extras   index − previous | flags | cascade_of? | line ends inside? | length, JSON?
//! text     each line's text and a line end
//! ```
//! A run is a stretch of lines with equal instant, attempt, source, level, class and cause. Only lines with something
//! more than that have an extra.

use crate::domain::cause::Cause;
use crate::domain::class::{Class, Level, Source};
use crate::ids::ExecutionId;

use super::bytes::{put_varint, zigzag};
use super::frame::{Head, PLAIN};
use super::log_writer::NewLine;

/// A chunk ends before the line that would take it beyond this (contract, rule 11).
pub(super) const CHUNK_BYTES: usize = 64 * 1024;

/// The longest text and the longest fields of one line; what is longer is cut and says so. Output is split at
/// [`crate::domain::line::LINE_MAX_BYTES`] long before.
pub(super) const PIECE_MAX_BYTES: usize = 1 << 20;

pub(super) const HAS_CASCADE: u8 = 1;
pub(super) const HAS_LINE_ENDS: u8 = 2;
pub(super) const HAS_FIELDS: u8 = 4;
/// In a run's kind: a cause follows.
pub(super) const HAS_CAUSE: u8 = 0x80;

/// The number written for `level`. Never reused.
pub(super) const fn level_number(level: Level) -> u8 {
    match level {
        Level::Debug => 0,
        Level::Info => 1,
        Level::Warning => 2,
        Level::Error => 3,
    }
}

/// The number written for `class`. Never reused.
pub(super) const fn class_number(class: Class) -> u8 {
    match class {
        Class::External => 0,
        Class::Configuration => 1,
        Class::Mapping => 2,
        Class::Technical => 3,
        Class::Cascade => 4,
    }
}

const fn source_number(source: Source) -> u8 {
    match source {
        Source::Stdout => 0,
        Source::Stderr => 1,
        Source::Daybook => 2,
    }
}

/// What the lines of a run have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    at: i64,
    attempt: u32,
    source: Source,
    level: Level,
    class: Option<Class>,
    cause: Option<Cause>,
}

/// Lines of one execution that are not handed over yet.
#[derive(Debug, Default)]
pub(super) struct ChunkBuilder {
    text: Vec<u8>,
    runs: Vec<u8>,
    extras: Vec<u8>,
    run: Option<Run>,
    run_lines: u32,
    last_at: i64,
    last_extra: u32,
    lines: u32,
    at_min: i64,
    at_max: i64,
    attempt_min: u32,
    attempt_max: u32,
    levels: u8,
    classes: u8,
}

impl ChunkBuilder {
    /// Lines in it.
    pub(super) fn lines(&self) -> u32 {
        self.lines
    }

    /// Bytes that it holds in memory.
    pub(super) fn size(&self) -> usize {
        self.text.len() + self.runs.len() + self.extras.len()
    }

    /// Text bytes that still fit. An empty chunk takes any one line.
    pub(super) fn room(&self) -> usize {
        CHUNK_BYTES.saturating_sub(self.size())
    }

    /// Empties it and keeps its memory.
    pub(super) fn clear(&mut self) {
        let (mut text, mut runs, mut extras) = (
            std::mem::take(&mut self.text),
            std::mem::take(&mut self.runs),
            std::mem::take(&mut self.extras),
        );
        text.clear();
        runs.clear();
        extras.clear();
        *self = Self { text, runs, extras, ..Self::default() };
    }

    /// Adds a line and gives the length of its text.
    pub(super) fn push(&mut self, line: &NewLine<'_>) -> usize {
        self.enter(Run {
            at: line.at.millis(),
            attempt: line.attempt,
            source: line.source,
            level: line.level,
            class: line.class,
            cause: line.cause,
        });
        let cut;
        let text = if line.text.len() > PIECE_MAX_BYTES {
            cut = shortened(line.text);
            cut.as_bytes()
        } else {
            line.text.as_bytes()
        };
        let line_ends = memchr::memchr_iter(b'\n', text).count();
        if line.cascade_of.is_some() || line.fields.is_some() || line_ends > 0 {
            self.push_extra(line, line_ends);
        }
        self.text.extend_from_slice(text);
        self.text.push(b'\n');
        self.run_lines += 1;
        self.lines += 1;
        text.len()
    }

    /// Adds a block of plain information lines, each with its line end, and gives their number.
    pub(super) fn push_block(&mut self, line: &NewLine<'_>, block: &[u8]) -> u32 {
        self.enter(Run {
            at: line.at.millis(),
            attempt: line.attempt,
            source: line.source,
            level: line.level,
            class: line.class,
            cause: line.cause,
        });
        let lines = u32::try_from(memchr::memchr_iter(b'\n', block).count()).unwrap_or(u32::MAX);
        self.text.extend_from_slice(block);
        self.run_lines += lines;
        self.lines += lines;
        lines
    }

    fn enter(&mut self, run: Run) {
        if self.run == Some(run) {
            return;
        }
        self.end_run();
        if self.lines == 0 {
            (self.at_min, self.at_max) = (run.at, run.at);
            (self.attempt_min, self.attempt_max) = (run.attempt, run.attempt);
        }
        self.at_min = self.at_min.min(run.at);
        self.at_max = self.at_max.max(run.at);
        self.attempt_min = self.attempt_min.min(run.attempt);
        self.attempt_max = self.attempt_max.max(run.attempt);
        self.levels |= 1 << level_number(run.level);
        self.classes |= run.class.map_or(0, |class| 1 << class_number(class));
        self.run = Some(run);
    }

    fn end_run(&mut self) {
        let Some(run) = self.run.take() else { return };
        let class = run.class.map_or(0, |class| class_number(class) + 1);
        let kind = source_number(run.source) | (level_number(run.level) << 2) | (class << 4);
        put_varint(&mut self.runs, u64::from(self.run_lines));
        put_varint(&mut self.runs, zigzag(run.at.wrapping_sub(self.last_at)));
        put_varint(&mut self.runs, u64::from(run.attempt));
        match run.cause {
            Some(cause) => {
                self.runs.push(kind | HAS_CAUSE);
                put_varint(&mut self.runs, u64::from(cause.number()));
            }
            None => self.runs.push(kind),
        }
        self.last_at = run.at;
        self.run_lines = 0;
    }

    fn push_extra(&mut self, line: &NewLine<'_>, line_ends: usize) {
        put_varint(&mut self.extras, u64::from(self.lines - self.last_extra));
        self.last_extra = self.lines;
        let flags_at = self.extras.len();
        self.extras.push(0);
        let mut flags = 0;
        if let Some(cause_line) = line.cascade_of {
            flags |= HAS_CASCADE;
            put_varint(&mut self.extras, cause_line);
        }
        if line_ends > 0 {
            flags |= HAS_LINE_ENDS;
            put_varint(&mut self.extras, line_ends as u64);
        }
        if let Some(fields) = line.fields {
            flags |= HAS_FIELDS;
            let mut json = fields.to_string();
            if json.len() > PIECE_MAX_BYTES {
                json = format!("{{\"dropped_bytes\":{}}}", json.len());
            }
            put_varint(&mut self.extras, json.len() as u64);
            self.extras.extend_from_slice(json.as_bytes());
        }
        self.extras[flags_at] = flags;
    }

    /// Writes the payload, not yet compressed, to `to` and describes it.
    pub(super) fn finish(
        &mut self,
        execution: ExecutionId,
        first_line: u64,
        to: &mut Vec<u8>,
    ) -> Head {
        self.end_run();
        to.clear();
        put_varint(to, self.runs.len() as u64);
        to.extend_from_slice(&self.runs);
        put_varint(to, self.extras.len() as u64);
        to.extend_from_slice(&self.extras);
        to.extend_from_slice(&self.text);
        Head {
            payload_len: 0,
            payload_crc: 0,
            group_at: 0,
            hash: [0; 32],
            execution,
            first_line,
            at_min: self.at_min,
            at_max: self.at_max,
            chunk: 0,
            lines: self.lines,
            attempt_min: self.attempt_min,
            attempt_max: self.attempt_max,
            text_len: u32::try_from(self.text.len()).unwrap_or(u32::MAX) - self.lines,
            raw_len: u32::try_from(to.len()).unwrap_or(u32::MAX),
            levels: self.levels,
            classes: self.classes,
            codec: PLAIN,
        }
    }
}

fn shortened(text: &str) -> String {
    let mut end = PIECE_MAX_BYTES - 64;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{} [cut: {} bytes]", text.get(..end).unwrap_or_default(), text.len())
}
