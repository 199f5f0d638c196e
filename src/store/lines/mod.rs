//! The log lines: what the executions said, in compressed chunks, apart from the events.
//!
//! Lines are part of the truth but not events (contract, rule 11), so they have segment files of their own,
//! `<number>.seg`, and heavy output never stands in front of a state change:
//!
//! ```text
//! segment  header 32 | chunk | chunk | …                        while it grows
//!          header 32 | chunk | … | index | bloom | trailer 128  once sealed
//! chunk    magic 4 | CRC32C 4 | description 120 | payload (zstd, or plain when that is shorter)
//! index    for each chunk, sorted by execution and first line: offset 8 | description 120 | CRC32C 4
//! ```
//!
//! A chunk holds lines of one execution. Its description says which, what levels, classes, attempts and instants
//! occur, and carries the chunk's BLAKE3 hash; most questions are answered, and most chunks skipped, by descriptions
//! alone. One thread compresses, appends and syncs; only then are lines published, so nobody sees a line that is
//! not on disk. The index of a sealed segment stays in the file and is searched there: memory grows with the number
//! of segments and with the chunks of the newest one, not with history.
//!
//! A segment depends on no other, so that retention can drop whole files. One that holds lines of executions that stay is
//! written again without the others, beside the old file, and renamed over it.

mod bytes;
mod chunk;
mod decode;
mod error;
mod extent;
mod frame;
mod index;
mod log_writer;
mod pieces;
mod prune;
mod query;
mod read;
mod recover;
mod sealed;
mod segment;
mod stand_in;
mod store;
mod survey;
mod verify;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

pub use error::LinesError;
pub use extent::{LinesExtent, LinesFile};
pub use log_writer::{LogWriter, NewLine};
pub use pieces::{LinePiece, LinesBuilder, Moved, StoredChunk};
pub use prune::{PrunedLines, Pruning};
pub use query::{LineQuery, LineRef};
pub use read::Gap;
pub use stand_in::{PRUNED, UNREADABLE, pruned_row};
pub use store::{Damage, FollowState, LineStore, LinesOptions, LinesRecovery, LogSummary};
pub use survey::{LinesSurvey, Logged};
pub use verify::LinesReport;
