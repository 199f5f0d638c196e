//! The event log and the log lines: what was acknowledged is on disk.

pub mod checkpoint;
pub mod codec;
mod heads;
pub mod journal;
pub mod lines;
pub mod memory;
pub mod space;
mod upcast;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod golden;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod testing;

pub use heads::{ColdHead, ColdHeads, Head, NoColdStreams};

use std::fs::File;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;

use crate::domain::event::{Actor, Envelope, Event};
use crate::ids::{EventId, Position, StreamId};
use crate::instant::Instant;

/// What an appender believes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Its newest event has this version; 0 means that the stream has none. Checked also against cold history.
    Exact(u64),
    /// It has no event, which the appender can prove without asking (a fresh random id, a slot beyond all decided ones).
    Fresh,
    /// Whatever it has: for facts that no decision hangs on (notes, deliveries).
    Any,
}

/// New events of one stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamAppend {
    /// The stream.
    pub stream: StreamId,
    /// What the appender believes of it.
    pub expected: Expected,
    /// The events, in order; at least one.
    pub events: Vec<Event>,
    /// What they belong to and follow from.
    pub links: Links,
}

/// What events belong to and follow from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// The first event of the story that they belong to: an execution's opening.
    pub correlation: Option<EventId>,
    /// The event that led to them.
    pub causation: Option<EventId>,
}

/// One append: events of one or several streams, all or none.
#[derive(Clone, Debug, PartialEq)]
pub struct Append {
    /// The streams. One that stands here twice continues from its first part.
    pub streams: Vec<StreamAppend>,
    /// When it is recorded.
    pub at: Instant,
    /// Who caused it.
    pub actor: Actor,
}

/// Where an append's events stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The first event's position.
    pub first: Position,
    /// The last event's position.
    pub last: Position,
}

/// Why nothing was appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Another writer got there first: fold again and decide again.
    #[error("stream `{stream}` is at version {actual}, not at {expected}")]
    Conflict {
        /// The stream.
        stream: StreamId,
        /// What the appender believed.
        expected: u64,
        /// What is true.
        actual: u64,
    },
    /// An event cannot be stored: it is too large. Nothing was appended.
    #[error("an event of stream `{stream}` cannot be stored: {why}")]
    Unstorable {
        /// The stream.
        stream: StreamId,
        /// What is wrong with it.
        why: String,
    },
    /// Whether the stream exists can only be told when the index has been rebuilt.
    #[error("stream `{stream}` cannot be checked while the index is rebuilt")]
    Rebuilding {
        /// The stream.
        stream: StreamId,
    },
    /// The log no longer accepts anything; the daemon must end.
    #[error("the event log is closed: {why}")]
    Closed {
        /// The first error.
        why: String,
    },
}

/// Why events could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The stored bytes are damaged, or a newer version of Daybook wrote them; `what` tells.
    #[error("{place}: {what}")]
    Damaged {
        /// File and offset.
        place: String,
        /// What is wrong with it.
        what: String,
    },
    /// The operating system refused.
    #[error("cannot read `{path}`: {why}")]
    Io {
        /// The file.
        path: String,
        /// The system's words.
        why: String,
    },
}

/// Brings a folder's entries to disk: which files there are, and under which names.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The answer to an append, once it is on disk.
pub type AppendTicket = Pin<Box<dyn Future<Output = Result<Appended, AppendError>> + Send>>;

/// The append-only event log. Implementations: [`memory`], [`journal`]; both pass `conformance`.
pub trait EventLog: Send + Sync {
    /// Hands `append` to the writer. Order of calls is order in the log.
    ///
    /// The ticket resolves when the events are on disk, and never `Ok` before. A dropped ticket cancels nothing.
    /// Expectations are checked during the call, against everything that was handed in before, whether it is on disk
    /// yet or not: one appender may go on without waiting. An append without events does nothing.
    ///
    /// # Errors
    /// [`AppendError::Conflict`] when a stream is not where the appender believes; nothing was appended.
    /// [`AppendError::Rebuilding`] when the index must be asked and cannot tell yet; nothing was appended.
    /// [`AppendError::Unstorable`] when an event is too large; nothing was appended.
    /// [`AppendError::Closed`] after any failed write or sync, also for all that were still waiting.
    fn append(&self, append: Append) -> AppendTicket;

    /// Up to `limit` events after `after`, in order. Only what is on disk is ever returned.
    ///
    /// # Errors
    /// [`ReadError`].
    fn read(&self, after: Position, limit: usize) -> Result<Vec<Envelope>, ReadError>;

    /// Up to `limit` events of `stream` with versions above `after_version`, in order. Empty for an unknown stream.
    ///
    /// # Errors
    /// [`ReadError`].
    fn read_stream(
        &self,
        stream: &StreamId,
        after_version: u64,
        limit: usize,
    ) -> Result<Vec<Envelope>, ReadError>;

    /// The newest position on disk, as a value that can be waited on. Set before the ticket resolves.
    fn durable(&self) -> tokio::sync::watch::Receiver<Position>;

    /// Whether an append to `stream` can be checked now. If not, it would be answered with [`AppendError::Rebuilding`]:
    /// the stream is not in memory, and the index cannot tell yet.
    fn can_check(&self, _stream: &StreamId) -> bool {
        true
    }

    /// Tells the log that the index holds everything up to `indexed`: it may let go of the streams that have ended
    /// there, and asks the index about them from then on. Nothing to do for a log that keeps none in memory.
    fn forget(&self, _indexed: Position) {}
}
