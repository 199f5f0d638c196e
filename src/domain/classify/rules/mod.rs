//! The built-in table: what real systems say, and which cause it names.
//!
//! A rule is a cause, a strength and phrases. A phrase is compared with the normalised line (lower case, `_` and `-`
//! between letters as spaces, `CamelCase` as words, contractions and "could not", "unable to", "failed to" as `cannot`;
//! see `text`). In a phrase ` * ` stands for up to 160 bytes of anything, `#` for digits, and `~` at an end lets the word go on there.
//!
//! Of the phrases that match, the strongest wins; of equals the one that stands furthest right, because a line that wraps a cause
//! states the innermost one last ("Sync failed: HTTPError: 401 …"). Order by class decides between equal places.
//! Sources: the rule table of the classification reference, the manual's five classes (seed 003), and the wording of the systems themselves.

mod benign;
mod cascade;
mod configuration;
mod external;
mod mapping;
mod technical;

use crate::domain::cause::Cause;

pub(in crate::domain::classify) use benign::{ADVICE, FAILURE, HANDLED, PEACEFUL, RETRYING, SAID_CALMLY};

/// How much a phrase says about the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strength {
    /// Names only a subject. Counts on lines that are errors for another reason.
    Faint,
    /// Says that something failed, not why.
    Summary,
    /// Names what failed, if the line is an error at all.
    Topic,
    /// States a cause, and that alone makes a line an error.
    Stated,
    /// States a cause that no other reading of the line can change.
    Sure,
}

/// Cause, strength, phrases.
pub(super) struct Rule(pub(super) Cause, pub(super) Strength, pub(super) &'static [&'static str]);

/// The whole table, class by class.
pub(super) fn table() -> impl Iterator<Item = &'static Rule> {
    [external::RULES, configuration::RULES, mapping::RULES, technical::RULES, cascade::RULES].into_iter().flatten()
}
