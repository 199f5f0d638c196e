//! One record of an execution's log.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::cause::Cause;
use super::class::{Class, Level, Source};
use super::classify::indicated;
use crate::instant::Instant;

/// A line's longest text, in bytes. Longer output is split, each part but the first marked as a continuation.
pub const LINE_MAX_BYTES: usize = 64 * 1024;

/// One line of an execution's log (contract, section 5.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// From 1, over all attempts.
    pub line: u64,
    /// When it was read.
    pub at: Instant,
    /// The attempt that wrote it, from 1.
    pub attempt: u32,
    /// Where it came from.
    #[serde(rename = "stream")]
    pub source: Source,
    /// How serious.
    pub level: Level,
    /// Whose move it is; none for a line that calls for no action.
    pub class: Option<Class>,
    /// The cause under the class.
    pub cause: Option<Cause>,
    /// The text, secrets replaced.
    pub text: String,
    /// For a cascade: the earlier line of the same attempt that caused it.
    pub cascade_of: Option<u64>,
    /// Further fields as a JSON object: those of a JSON line, or an exchange.
    pub fields: Option<serde_json::Value>,
}

impl Line {
    /// The text as people read it: its class in front (S3-6), and for a consequence the line to look at (S3-9).
    pub fn shown(&self) -> Cow<'_, str> {
        let text = match self.class {
            Some(class) => indicated(class, &self.text),
            None => Cow::Borrowed(self.text.as_str()),
        };
        match self.cascade_of {
            Some(cause) => Cow::Owned(format!("{text} (look at line {cause})")),
            None => text,
        }
    }
}

/// How many lines of each kind a log has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounts([[u64; 1 + Class::ALL.len()]; 4]);

impl LineCounts {
    const LEVELS: [Level; 4] = [Level::Debug, Level::Info, Level::Warning, Level::Error];

    /// Counts `count` lines more.
    pub const fn add(&mut self, level: Level, class: Option<Class>, count: u64) {
        let column = match class {
            None => 0,
            Some(class) => 1 + class as usize,
        };
        self.0[level as usize][column] += count;
    }

    /// The kinds that occur, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (Level, Option<Class>, u64)> {
        let classes = std::iter::once(None).chain(Class::ALL.map(Some));
        let kinds = Self::LEVELS
            .into_iter()
            .flat_map(move |level| classes.clone().map(move |class| (level, class)));
        let counts = self.0.as_flattened().iter();
        kinds
            .zip(counts)
            .filter(|(_, count)| **count > 0)
            .map(|((level, class), count)| (level, class, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_by_level_and_class() {
        let mut counts = LineCounts::default();
        counts.add(Level::Info, None, 7);
        counts.add(Level::Warning, Some(Class::External), 1);
        counts.add(Level::Error, Some(Class::Cascade), 2);
        counts.add(Level::Error, Some(Class::Cascade), 1);
        let counted: Vec<_> = counts.iter().collect();
        assert_eq!(
            counted,
            [
                (Level::Info, None, 7),
                (Level::Warning, Some(Class::External), 1),
                (Level::Error, Some(Class::Cascade), 3),
            ]
        );
    }

    // S3-6, S3-9
    #[test]
    fn a_consequence_names_its_class_and_the_line_to_look_at() {
        let line = Line {
            line: 9,
            at: Instant::default(),
            attempt: 1,
            source: Source::Stderr,
            level: Level::Error,
            class: Some(Class::Cascade),
            cause: Some(Cause::CasExit),
            text: "exit status 1".to_owned(),
            cascade_of: Some(4),
            fields: None,
        };
        assert_eq!(line.shown(), "Cascade: exit status 1 (look at line 4)");
        let alone = Line { class: None, cascade_of: None, ..line };
        assert_eq!(alone.shown(), "exit status 1");
    }
}
