//! The rows of an export, one JSON object each.

use serde::{Deserialize, Serialize};

use crate::ids::{ExecutionId, Position};
use crate::instant::Instant;

/// The form of exports that is written and read here.
pub(super) const FORMAT: u32 = 1;

/// One row. Rows of people's interest have more fields than are read back: an event's shape, a line's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "row", rename_all = "kebab-case")]
pub(super) enum Row {
    /// The first one.
    Header {
        /// The form of the rows.
        format: u32,
        /// The program's version.
        version: String,
        /// When the export was made: the one thing in which two exports of the same store differ.
        created: Instant,
        /// The last event.
        position: Position,
        /// The chain hash after it, in hex.
        head: String,
        /// The log went on behind it: chunks of lines do not stand where they stood.
        cut: bool,
    },
    /// A segment of the event log begins.
    Segment {
        /// The position of its first event.
        first: Position,
        /// When the first append in it was recorded.
        created: Instant,
        /// Retention wrote it again.
        pruned: bool,
    },
    /// An append begins.
    Frame {
        /// The position of its first event.
        first: Position,
        /// How many events follow, pruned ones included.
        count: u64,
        /// The newest position on disk when it was written.
        synced: Position,
        /// The chain hash after it, in hex.
        chain: String,
    },
    /// An event.
    Event {
        /// Its place in the whole log.
        position: Position,
        /// BLAKE3 of its stored bytes, in hex.
        hash: String,
        /// Its stored bytes, in base64.
        stored: String,
    },
    /// An event that was pruned.
    Pruned {
        /// Its place in the whole log.
        position: Position,
        /// BLAKE3 of the bytes that it had, in hex.
        hash: String,
    },
    /// Appends of which nothing is left.
    PrunedRun {
        /// The position of the first event.
        first: Position,
        /// How many events there were.
        count: u64,
        /// The newest position on disk when the first append was written.
        synced: Position,
        /// The chain hash before them, in hex.
        before: String,
        /// The chain hash after them, in hex.
        after: String,
    },
    /// A segment of log lines begins.
    LinesSegment {
        /// Its number.
        number: u64,
        /// It does not grow any more.
        sealed: bool,
        /// Retention wrote it again without some of its chunks.
        #[serde(default)]
        pruned: bool,
    },
    /// A chunk of one execution's lines; they follow.
    Chunk {
        /// Whose.
        execution: ExecutionId,
        /// Its number in the log, from 0.
        chunk: u32,
        /// BLAKE3 of what it holds, in hex.
        hash: String,
        /// Its stored bytes, in base64.
        stored: String,
    },
    /// A line, for people and programs; the chunk before holds it already.
    Line {},
    /// Bytes that should be a chunk and are none.
    Damage {
        /// File and offset.
        place: String,
        /// What is wrong there.
        what: String,
    },
    /// The last one.
    End {
        /// The last event.
        position: Position,
        /// The chain hash after it, in hex.
        head: String,
        /// Events.
        events: u64,
        /// Chunks of lines.
        chunks: u64,
        /// Lines.
        lines: u64,
        /// Places in the lines that are damaged.
        damaged: u64,
        /// BLAKE3 of all rows between the first and this one, with their line ends, in hex.
        blake3: String,
    },
}
