//! Which lines somebody wants, and a line as it stands in its chunk.

use regex::{Regex, RegexBuilder};

use crate::domain::cause::Cause;
use crate::domain::class::{Class, Level, Source};
use crate::domain::line::Line;
use crate::instant::Instant;

use super::chunk::{class_number, level_number};
use super::frame::Head;

/// Which lines of an execution; the default is all of them. Conditions are joined by and.
#[derive(Clone, Debug)]
pub struct LineQuery {
    /// Only lines with a higher number.
    pub after: u64,
    /// Only lines with a lower number.
    pub before: u64,
    /// At most so many.
    pub limit: usize,
    /// No more behind the line that reaches so many bytes of text: what a reader holds in memory.
    pub text_bytes: usize,
    /// At least this level.
    pub level: Option<Level>,
    /// Of one of these classes; of any, and of none, when there are none here.
    pub classes: Vec<Class>,
    /// Only errors.
    pub errors_only: bool,
    /// The text holds this.
    pub text: Option<Sought>,
    /// The text matches this.
    pub regex: Option<Regex>,
    /// Of this attempt.
    pub attempt: Option<u32>,
}

impl Default for LineQuery {
    fn default() -> Self {
        Self {
            after: 0,
            before: u64::MAX,
            limit: usize::MAX,
            text_bytes: usize::MAX,
            level: None,
            classes: Vec::new(),
            errors_only: false,
            text: None,
            regex: None,
            attempt: None,
        }
    }
}

impl LineQuery {
    /// The first line that is an error (S3-7).
    pub fn first_error() -> Self {
        Self { limit: 1, errors_only: true, ..Self::default() }
    }

    /// Whether the chunk may hold a matching line, by its description alone.
    pub(super) fn may_match(&self, head: &Head) -> bool {
        let least = self.least_level();
        head.last_line() > self.after
            && head.first_line < self.before
            && head.levels >> level_number(least) != 0
            && (self.classes.is_empty() || head.classes & self.class_bits() != 0)
            && self.attempt.is_none_or(|n| (head.attempt_min..=head.attempt_max).contains(&n))
    }

    /// Whether everything but the text of `line` matches.
    pub(super) fn matches_labels(&self, line: &LineRef<'_>) -> bool {
        line.line > self.after
            && line.line < self.before
            && line.level >= self.least_level()
            && (self.classes.is_empty()
                || line.class.is_some_and(|class| self.classes.contains(&class)))
            && self.attempt.is_none_or(|attempt| line.attempt == attempt)
    }

    fn class_bits(&self) -> u8 {
        self.classes.iter().fold(0, |bits, class| bits | 1 << class_number(*class))
    }

    fn least_level(&self) -> Level {
        if self.errors_only { Level::Error } else { self.level.unwrap_or(Level::Debug) }
    }
}

/// A text that lines hold: letter by letter when it has a capital, else whether small or capital.
#[derive(Clone, Debug)]
pub struct Sought {
    text: String,
    regex: Regex,
}

impl Sought {
    /// Looks for `text`.
    ///
    /// # Errors
    /// It is too long to be looked for.
    pub fn new(text: &str) -> Result<Self, regex::Error> {
        let exact = text.chars().any(char::is_uppercase);
        let regex = RegexBuilder::new(&regex::escape(text)).case_insensitive(!exact).build()?;
        Ok(Self { text: text.to_owned(), regex })
    }

    /// What is looked for.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether `text` holds it.
    pub fn is_in(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

/// A line, borrowed from its chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineRef<'a> {
    /// From 1, over all attempts.
    pub line: u64,
    /// When it was read.
    pub at: Instant,
    /// The attempt that wrote it, from 1.
    pub attempt: u32,
    /// Where it came from.
    pub source: Source,
    /// How serious.
    pub level: Level,
    /// Whose move it is.
    pub class: Option<Class>,
    /// The cause under the class.
    pub cause: Option<Cause>,
    /// The text, secrets replaced.
    pub text: &'a str,
    /// For a cascade: the earlier line that caused it.
    pub cascade_of: Option<u64>,
    /// Further fields, as JSON text.
    pub fields: Option<&'a str>,
}

impl LineRef<'_> {
    /// The line on its own.
    ///
    /// # Errors
    /// The stored fields are not JSON.
    pub fn to_line(&self) -> Result<Line, serde_json::Error> {
        Ok(Line {
            line: self.line,
            at: self.at,
            attempt: self.attempt,
            source: self.source,
            level: self.level,
            class: self.class,
            cause: self.cause,
            text: self.text.to_owned(),
            cascade_of: self.cascade_of,
            fields: self.fields.map(serde_json::from_str).transpose()?,
        })
    }
}
