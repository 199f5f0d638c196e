//! The log in memory behind a disk that fails on demand.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::story::Fault;
use crate::domain::event::Envelope;
use crate::ids::{Position, StreamId};
use crate::store::memory::MemoryLog;
use crate::store::{Append, AppendTicket, EventLog, ReadError};

/// A log, with the borders of its appends.
pub(super) struct Disk {
    pub(super) log: MemoryLog,
    state: Mutex<State>,
    /// Set when the fault happens.
    tripped: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    /// Appends that still succeed, and what happens to the one after them.
    armed: Option<(u64, Fault)>,
    handed: u64,
    /// The last position of each append.
    ends: Vec<u64>,
    /// An append was refused: the daemon is to end by itself.
    refused: bool,
}

impl Disk {
    /// The disk as a process finds it that starts after the one before was killed; `ends` are those of former processes.
    pub(super) fn new(log: MemoryLog, ends: Vec<u64>) -> Self {
        let handed = log.durable().borrow().0;
        let state = State { armed: None, handed, ends, refused: false };
        Self { log, state: Mutex::new(state), tripped: watch::Sender::new(false) }
    }

    pub(super) fn arm(&self, after: u64, how: Fault) {
        self.state().armed = Some((after, how));
    }

    pub(super) fn tripped(&self) -> watch::Receiver<bool> {
        self.tripped.subscribe()
    }

    pub(super) fn is_refused(&self) -> bool {
        self.state().refused
    }

    pub(super) fn durable_count(&self) -> u64 {
        self.log.durable().borrow().0
    }

    /// The last positions of the appends that are on disk.
    pub(super) fn ends(&self) -> Vec<u64> {
        let durable = self.durable_count();
        let ends = self.state().ends.clone();
        ends.into_iter().take_while(|end| *end <= durable).collect()
    }

    /// What is on disk, append by append.
    pub(super) fn appends(&self) -> Vec<Vec<Envelope>> {
        let (mut events, mut after) = (self.since(0).into_iter(), 0);
        let mut cut = |end: u64| {
            let count = usize::try_from(end - after).expect("small");
            after = end;
            events.by_ref().take(count).collect()
        };
        self.ends().into_iter().map(&mut cut).collect()
    }

    /// The events after `after`, as far as they are on disk.
    pub(super) fn since(&self, after: u64) -> Vec<Envelope> {
        self.log.read(Position(after), usize::MAX).expect("memory")
    }

    /// What is left when the process is killed now.
    pub(super) fn restarted(&self) -> Self {
        Self::new(self.log.restarted(), self.ends())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the append, and says whether it is the one that fails.
    fn next(&self, append: &Append) -> Option<Fault> {
        let mut state = self.state();
        let events: usize = append.streams.iter().map(|part| part.events.len()).sum();
        state.handed += events as u64;
        let handed = state.handed;
        state.ends.push(handed);
        match state.armed.take() {
            Some((0, how)) => Some(how),
            later => {
                state.armed = later.map(|(after, how)| (after - 1, how));
                None
            }
        }
    }
}

impl EventLog for Disk {
    fn append(&self, append: Append) -> AppendTicket {
        let ticket = match self.next(&append) {
            None => return self.log.append(append),
            Some(Fault::LostBefore) => {
                self.log.hold_syncs();
                self.log.append(append)
            }
            Some(Fault::KilledAfter) => {
                drop(self.log.append(append));
                self.log.hold_syncs();
                Box::pin(std::future::pending())
            }
            Some(Fault::Refused) => {
                self.state().refused = true;
                self.log.fail_next_sync("no space left on the simulated disk");
                self.log.append(append)
            }
        };
        self.tripped.send_replace(true);
        ticket
    }

    fn read(&self, after: Position, limit: usize) -> Result<Vec<Envelope>, ReadError> {
        self.log.read(after, limit)
    }

    fn read_stream(
        &self,
        stream: &StreamId,
        after_version: u64,
        limit: usize,
    ) -> Result<Vec<Envelope>, ReadError> {
        self.log.read_stream(stream, after_version, limit)
    }

    fn durable(&self) -> watch::Receiver<Position> {
        self.log.durable()
    }
}
