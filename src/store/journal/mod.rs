//! The event log in segment files: the truth on disk.
//!
//! A folder holds segments `<first position, 20 digits>.seg`, whose bytes `format.rs` describes, and a lock file. One
//! thread writes: it takes what is queued, writes it at once, calls `fdatasync` once, and only then acknowledges. A
//! failed write or sync acknowledges nothing and closes the log for good, since nobody can tell what is on disk after
//! it; the next start finds out, and writes the last group once more before it believes in it. A write that finds the
//! disk full is taken back and tried again, out of the [reserve](super::space) or once there is room.
//!
//! A start reads from the checkpoint's anchor to the end. Bytes there that are no whole frame were never
//! acknowledged; they are put aside in a `.torn` file. Anything else that does not fit is damage, and refused.
//!
//! Retention writes a full segment again without the events that it prunes; their hashes stay, so the chain does. The
//! new file takes the old one's name once it is on disk.

mod appending;
mod format;
mod frames;
mod log;
mod pieces;
mod positions;
mod recover;
mod rewrite;
mod scan;
mod segment;
mod verify;
mod versions;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

pub use log::{JournalLog, JournalOptions, LogState};
pub use pieces::{BuildError, JournalBuilder, JournalExtent, JournalFile, Piece};
pub use positions::{Indexed, Positions};
pub use recover::{Anchor, OpenError, Recovery, Torn};
pub use rewrite::{PrunedSegment, SealedSegment};
pub use scan::{RawEvent, Scan};
pub use verify::{Difference, VerifyReport, Watch};
pub use writer::{Commit, OnCommit};
