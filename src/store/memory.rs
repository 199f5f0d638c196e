//! Placeholder.
use std::sync::Mutex;

use tokio::sync::watch;

use super::*;
/// In memory.
#[derive(Debug)]
pub struct MemoryLog {
    events: Mutex<Vec<Envelope>>,
    durable: watch::Sender<Position>,
}
impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}
impl MemoryLog {
    /// New.
    pub fn new() -> Self {
        Self { events: Mutex::default(), durable: watch::Sender::new(Position(0)) }
    }
}
impl EventLog for MemoryLog {
    fn append(&self, append: Append) -> AppendTicket {
        let mut events = self.events.lock().expect("unpoisoned");
        let first = Position(events.len() as u64 + 1);
        for stream in append.streams {
            for event in stream.events {
                let version =
                    events.iter().filter(|e| e.stream == stream.stream).count() as u64 + 1;
                let position = Position(events.len() as u64 + 1);
                events.push(Envelope {
                    position,
                    stream: stream.stream.clone(),
                    version,
                    id: EventId::derive(&stream.stream, version, append.at),
                    at: append.at,
                    actor: append.actor.clone(),
                    correlation: append.correlation,
                    causation: append.causation,
                    hash: [7; 32],
                    event,
                });
            }
        }
        let last = Position(events.len() as u64);
        self.durable.send_replace(last);
        Box::pin(async move { Ok(Appended { first, last }) })
    }
    fn read(&self, after: Position, limit: usize) -> Result<Vec<Envelope>, ReadError> {
        let events = self.events.lock().expect("unpoisoned");
        Ok(events.iter().filter(|e| e.position > after).take(limit).cloned().collect())
    }
    fn read_stream(
        &self,
        stream: &StreamId,
        after_version: u64,
        limit: usize,
    ) -> Result<Vec<Envelope>, ReadError> {
        let events = self.events.lock().expect("unpoisoned");
        Ok(events
            .iter()
            .filter(|e| e.stream == *stream && e.version > after_version)
            .take(limit)
            .cloned()
            .collect())
    }
    fn durable(&self) -> watch::Receiver<Position> {
        self.durable.subscribe()
    }
}
