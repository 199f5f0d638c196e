//! Whose move is it? Classification of a command's output, line by line and run by run.
//!
//! Order: what the program marks itself, the interface's own rules, the built-in table. The same judgement serves the stream
//! ([`Session`], which decides a line once, when it arrives, with bounded memory) and a whole run at once ([`analyse()`]).
//! Rules that hold: an error that no rule knows is Technical (`TEC-UNCLASSIFIED`), never silently External; a cascade points to an
//! earlier line; a line that wraps a cause gets the innermost one's class; the frames of a trace are detail, not errors.
//!
//! Sources: the contract, sections 3 ("What a command says") and 8; the rule table of the classification reference.

mod analyse;
mod codes;
mod context;
mod judge;
mod level;
mod marks;
mod phrase;
mod plain;
mod prefix;
mod retell;
mod root;
mod rules;
mod session;
mod shape;
mod text;
mod trace;
mod triggers;

use std::borrow::Cow;

use regex::{Regex, RegexSet};

use super::cause::Cause;
use super::class::{Class, Level};
use super::definition::{Match, Rule};

pub use analyse::{Analysis, analyse, analyse_all, classify_one};
pub use plain::surely_plain;
pub use root::RootFinder;
pub use session::{Memory, Session};

/// What was decided about a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// How serious. An error line has level `Error`; a warning may have a class too.
    pub level: Level,
    /// Whose move it is; none when the line calls for no action.
    pub class: Option<Class>,
    /// The cause under the class; always of that class, and present when the class is.
    pub cause: Option<Cause>,
    /// The program named the class itself. With level `Error` this turns the run red.
    pub marked: bool,
    /// For a cascade: the earlier line of the same attempt that caused it.
    pub cascade_of: Option<u64>,
    /// The earlier error line of the same attempt whose cause this line states: the end of a trace whose first line did not say why.
    pub explains: Option<u64>,
    /// Replaces the raw text: the message of a JSON line, or a marked line with its class in front (`Mapping: …`).
    pub text: Option<String>,
    /// The object of a JSON line.
    pub fields: Option<serde_json::Value>,
}

impl Judgement {
    /// A line that calls for no action.
    pub(crate) const fn plain(level: Level) -> Self {
        Self {
            level,
            class: None,
            cause: None,
            marked: false,
            cascade_of: None,
            explains: None,
            text: None,
            fields: None,
        }
    }
}

/// An interface's rule that cannot be compiled.
#[derive(Debug, thiserror::Error)]
#[error("rule {} has a pattern that is no regular expression", index + 1)]
pub struct RuleError {
    /// Which, from 0.
    pub index: usize,
    /// What is wrong with it.
    #[source]
    pub source: regex::Error,
}

/// The rules of an interface, compiled, in front of the built-in table.
#[derive(Debug)]
pub struct Classifier {
    set: RegexSet,
    outcomes: Vec<(Class, Cause)>,
}

impl Classifier {
    /// Compiles an interface's own rules.
    ///
    /// # Errors
    /// [`RuleError`] for the first rule whose pattern is no regular expression or too large.
    pub fn new(rules: &[Rule]) -> Result<Self, RuleError> {
        let mut patterns = Vec::with_capacity(rules.len());
        for (index, rule) in rules.iter().enumerate() {
            let pattern = match &rule.when {
                Match::Contains(text) => format!("(?i){}", regex::escape(text)),
                Match::Equals(text) => format!(r"(?i)^\s*{}\s*$", regex::escape(text.trim())),
                Match::Matches(pattern) => pattern.clone(),
            };
            Regex::new(&pattern).map_err(|source| RuleError { index, source })?;
            patterns.push(pattern);
        }
        let last = rules.len().saturating_sub(1);
        let set = RegexSet::new(&patterns).map_err(|source| RuleError { index: last, source })?;
        Ok(Self { set, outcomes: rules.iter().map(|rule| (rule.class, rule.cause)).collect() })
    }

    /// Whether the interface has rules of its own; [`surely_plain`] says nothing about those.
    pub fn has_own_rules(&self) -> bool {
        !self.outcomes.is_empty()
    }

    /// What the first own rule that matches says.
    fn own(&self, line: &str) -> Option<(Class, Cause)> {
        if self.outcomes.is_empty() {
            return None;
        }
        let first = self.set.matches(line).iter().next()?;
        self.outcomes.get(first).copied()
    }
}

/// The cause of a class that was named without one.
pub const fn unnamed(class: Class) -> Cause {
    match class {
        Class::External => Cause::ExtOther,
        Class::Configuration => Cause::CfgOther,
        Class::Mapping => Cause::MapOther,
        Class::Technical => Cause::TecUnclassified,
        Class::Cascade => Cause::CasOther,
    }
}

/// The text of an error line with its type indicator in front: `External: …` (S3-6). Adds it only where it is not there yet.
pub fn indicated(class: Class, text: &str) -> Cow<'_, str> {
    let title = class.title();
    if text.strip_prefix(title).is_some_and(|rest| rest.starts_with(':')) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(format!("{title}: {text}"))
    }
}

#[cfg(test)]
mod tests;
