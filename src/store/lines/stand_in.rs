//! Rows in the place of lines that nobody can read any more.

use serde_json::json;

use super::read::Gap;
use crate::domain::class::{Level, Source};
use crate::domain::line::Line;
use crate::instant::Instant;

/// The field of a row in the place of lines that cannot be read.
pub const UNREADABLE: &str = "unreadable_lines";
/// The field of the row in the place of lines that retention took.
pub const PRUNED: &str = "pruned_lines";

/// The row in the place of lines that retention took at `at`; there were `count`.
pub fn pruned_row(at: Instant, count: u64) -> Line {
    Line {
        level: Level::Info,
        text: format!("lines 1 to {count} were pruned by retention on {at}"),
        fields: Some(json!({PRUNED: {"first": 1, "last": count}})),
        ..of_daybook(count, at)
    }
}

impl Gap {
    /// The row in the place of these lines. Its number is the last one's: whoever goes on after it gets the rest. Of what
    /// the line before had, it has the instant and the attempt; of nothing, `otherwise`.
    pub fn row(&self, before: Option<&Line>, otherwise: Instant) -> Line {
        let Self { first, last, damaged, .. } = self;
        let what = if *damaged { "damaged" } else { "missing" };
        let (at, attempt) = before.map_or((otherwise, 1), |before| (before.at, before.attempt));
        Line {
            attempt,
            text: format!("lines {first} to {last} are {what}"),
            fields: Some(json!({UNREADABLE: {"first": first, "last": last}})),
            ..of_daybook(*last, at)
        }
    }
}

fn of_daybook(line: u64, at: Instant) -> Line {
    Line {
        line,
        at,
        attempt: 1,
        source: Source::Daybook,
        level: Level::Error,
        class: None,
        cause: None,
        text: String::new(),
        cascade_of: None,
        fields: None,
    }
}
