//! One record of an execution's log.

use serde::{Deserialize, Serialize};

use super::cause::Cause;
use super::class::{Class, Level, Source};
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
