//! The event log in memory: the same rules without a disk, and with failures on demand.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{oneshot, watch};

use super::codec;
use super::heads::Heads;
use super::{
    Append, AppendError, AppendTicket, Appended, ColdHeads, EventLog, NoColdStreams, ReadError,
};
use crate::domain::event::Envelope;
use crate::ids::{EventId, Position, StreamId};

/// An event log that is gone with the process.
///
/// Its disk is a border inside the list of events: what lies before it survives [`MemoryLog::restarted`].
pub struct MemoryLog {
    inner: Mutex<Inner>,
    durable: watch::Sender<Position>,
}

struct Inner {
    events: Vec<Envelope>,
    /// Indexes into `events`.
    streams: HashMap<StreamId, Vec<usize>>,
    heads: Heads,
    cold: Arc<dyn ColdHeads>,
    waiting: VecDeque<Waiting>,
    disk: Disk,
    closed: Option<String>,
}

struct Waiting {
    appended: Appended,
    ticket: oneshot::Sender<Result<Appended, AppendError>>,
}

/// What the next sync does.
enum Disk {
    Syncs,
    Holds,
    Fails(String),
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryLog {
    /// An empty log.
    pub fn new() -> Self {
        Self::with_events(Vec::new())
    }

    fn with_events(events: Vec<Envelope>) -> Self {
        let mut inner = Inner {
            events: Vec::new(),
            streams: HashMap::new(),
            heads: Heads::default(),
            cold: Arc::new(NoColdStreams),
            waiting: VecDeque::new(),
            disk: Disk::Syncs,
            closed: None,
        };
        let durable = watch::Sender::new(Position(events.len() as u64));
        for event in events {
            let closes = matches!(event.event, crate::domain::event::Event::Closed(_));
            inner.heads.recover(&event.stream, event.version, event.position, closes);
            inner.store(event);
        }
        Self { inner: Mutex::new(inner), durable }
    }

    /// From now on asks `cold` about streams that were forgotten.
    pub fn attach_cold(&self, cold: Arc<dyn ColdHeads>) {
        self.inner().cold = cold;
    }

    /// Lets appends wait until [`Self::release_syncs`].
    pub fn hold_syncs(&self) {
        self.inner().disk = Disk::Holds;
    }

    /// Brings all that waits to the disk, and all that comes.
    pub fn release_syncs(&self) {
        let mut inner = self.inner();
        inner.disk = Disk::Syncs;
        self.sync(&mut inner);
    }

    /// The next sync fails with `why`: nothing that waits is acknowledged, and the log is closed for good.
    pub fn fail_next_sync(&self, why: &str) {
        self.inner().disk = Disk::Fails(why.to_owned());
    }

    /// The log as a process finds it that starts after this one was killed: only what was on disk.
    #[must_use]
    pub fn restarted(&self) -> Self {
        let inner = self.inner();
        let durable = usize::try_from(self.durable.borrow().0).unwrap_or(usize::MAX);
        Self::with_events(inner.events.iter().take(durable).cloned().collect())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sync(&self, inner: &mut Inner) {
        match &inner.disk {
            Disk::Holds => {}
            Disk::Syncs => {
                self.durable.send_replace(Position(inner.events.len() as u64));
                for waiting in inner.waiting.drain(..) {
                    // Nobody may wait for it any more.
                    drop(waiting.ticket.send(Ok(waiting.appended)));
                }
            }
            Disk::Fails(why) => {
                let why = why.clone();
                for waiting in inner.waiting.drain(..) {
                    drop(waiting.ticket.send(Err(AppendError::Closed { why: why.clone() })));
                }
                inner.closed = Some(why);
            }
        }
    }

    fn enqueue(&self, append: &Append) -> Result<AppendTicket, AppendError> {
        let mut inner = self.inner();
        if let Some(why) = &inner.closed {
            return Err(AppendError::Closed { why: why.clone() });
        }
        let before = inner.heads.check(append, &*inner.cold)?;
        let first = Position(inner.events.len() as u64 + 1);
        let envelopes = envelopes(append, &before, first)?;
        if envelopes.is_empty() {
            let durable = *self.durable.borrow();
            let nothing = Appended { first: durable, last: durable };
            return Ok(Box::pin(std::future::ready(Ok(nothing))));
        }
        inner.heads.take(append, &before, first);
        for envelope in envelopes {
            inner.store(envelope);
        }
        let last = Position(inner.events.len() as u64);
        let (ticket, receipt) = oneshot::channel();
        inner.waiting.push_back(Waiting { appended: Appended { first, last }, ticket });
        self.sync(&mut inner);
        Ok(Box::pin(async move {
            receipt.await.unwrap_or_else(|_| {
                Err(AppendError::Closed { why: "the log was dropped".to_owned() })
            })
        }))
    }

    fn durable_count(&self) -> usize {
        usize::try_from(self.durable.borrow().0).unwrap_or(usize::MAX)
    }
}

impl Inner {
    fn store(&mut self, envelope: Envelope) {
        self.streams.entry(envelope.stream.clone()).or_default().push(self.events.len());
        self.events.push(envelope);
    }
}

/// The events of `append` as they will be read, hashes included.
fn envelopes(
    append: &Append,
    before: &[u64],
    first: Position,
) -> Result<Vec<Envelope>, AppendError> {
    let mut made = Vec::new();
    for (part, before) in append.streams.iter().zip(before) {
        for (event, version) in part.events.iter().zip(before + 1..) {
            let stored = codec::Stored {
                stream: &part.stream,
                version,
                at: append.at,
                actor: &append.actor,
                correlation: part.links.correlation,
                causation: part.links.causation,
                event,
            };
            let mut bytes = Vec::new();
            codec::encode(&stored, &mut bytes).map_err(|err| AppendError::Unstorable {
                stream: part.stream.clone(),
                why: err.to_string(),
            })?;
            made.push(Envelope {
                position: first.plus(made.len() as u64),
                stream: part.stream.clone(),
                version,
                id: EventId::derive(&part.stream, version, append.at),
                at: append.at,
                actor: append.actor.clone(),
                correlation: part.links.correlation,
                causation: part.links.causation,
                hash: codec::hash(&bytes),
                event: event.clone(),
            });
        }
    }
    Ok(made)
}

impl EventLog for MemoryLog {
    fn append(&self, append: Append) -> AppendTicket {
        self.enqueue(&append).unwrap_or_else(|err| Box::pin(std::future::ready(Err(err))))
    }

    fn read(&self, after: Position, limit: usize) -> Result<Vec<Envelope>, ReadError> {
        let after = usize::try_from(after.0).unwrap_or(usize::MAX);
        let count = self.durable_count();
        let inner = self.inner();
        Ok(inner.events.iter().take(count).skip(after).take(limit).cloned().collect())
    }

    fn read_stream(
        &self,
        stream: &StreamId,
        after_version: u64,
        limit: usize,
    ) -> Result<Vec<Envelope>, ReadError> {
        let count = self.durable_count();
        let inner = self.inner();
        let indexes = inner.streams.get(stream).map_or(&[][..], Vec::as_slice);
        Ok(indexes
            .iter()
            .filter(|index| **index < count)
            .filter_map(|index| inner.events.get(*index))
            .filter(|event| event.version > after_version)
            .take(limit)
            .cloned()
            .collect())
    }

    fn durable(&self) -> watch::Receiver<Position> {
        self.durable.subscribe()
    }

    fn can_check(&self, stream: &StreamId) -> bool {
        let inner = self.inner();
        inner.heads.can_check(stream, &*inner.cold)
    }

    fn forget(&self, indexed: Position) {
        self.inner().heads.forget(indexed);
    }
}
