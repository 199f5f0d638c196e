//! What the index can offer to the log.

use crate::ids::{Position, StreamId};

/// Where a stream's events stand, as far as the index has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indexed {
    /// Positions of the stream's events above the asked version, in order, at most as many as asked for.
    pub positions: Vec<Position>,
    /// Up to here the index has everything; the log reads the rest by itself.
    pub until: Position,
}

/// An index by stream. Everything in it can be rebuilt from the log.
pub trait Positions: Send + Sync {
    /// Up to `limit` positions of events of `stream` with versions above `after_version`; none while the index is
    /// rebuilt, and the log then reads through its segments.
    fn positions(&self, stream: &StreamId, after_version: u64, limit: usize) -> Option<Indexed>;
}
