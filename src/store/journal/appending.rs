//! What an appender does itself: it checks and encodes, so that the writer only writes.

use tokio::sync::oneshot;

use super::format::{Hash, MAX_APPEND_BYTES, put_record};
use super::log::JournalLog;
use super::writer::Pending;
use crate::ids::StreamId;
use crate::store::{Append, AppendError, Appended, Expected, codec};

impl JournalLog {
    /// Checks, encodes and queues an append.
    pub(super) fn enqueue(&self, append: &Append) -> Result<Receipt, AppendError> {
        // Encoded before the lock is taken, with the versions that are to be expected.
        let mut guess = self.guess(append);
        let mut encoded = Encoded::of(append, &guess)?;
        let mut state = self.shared.state();
        if let Some(why) = &state.closed {
            return Err(AppendError::Closed { why: why.clone() });
        }
        let before = state.heads.check(append, &*state.cold)?;
        if before != guess {
            guess = before;
            encoded = Encoded::of(append, &guess)?;
        }
        let count = encoded.hashes.len() as u64;
        if count == 0 {
            let durable = *self.shared.durable.borrow();
            return Ok(Receipt::Nothing(Appended { first: durable, last: durable }));
        }
        let first = state.next;
        state.heads.take(append, &guess, first);
        state.next = first.plus(count);
        let (ticket, receipt) = oneshot::channel();
        let must_wake = state.push(Pending {
            first,
            count: u32::try_from(count).unwrap_or(u32::MAX),
            at: append.at,
            records: encoded.records,
            hashes: encoded.hashes,
            ticket,
        });
        drop(state);
        if must_wake {
            self.shared.wake.notify_one();
        }
        Ok(Receipt::Pending(receipt))
    }

    /// The versions that the streams will probably have; only an unknown one needs the lock.
    fn guess(&self, append: &Append) -> Vec<u64> {
        let needs_heads = append.streams.iter().any(|part| part.expected == Expected::Any);
        let state = needs_heads.then(|| self.shared.state());
        let version = |stream: &StreamId| {
            state.as_ref().and_then(|state| state.heads.get(stream)).map_or(0, |head| head.version)
        };
        append
            .streams
            .iter()
            .map(|part| match part.expected {
                Expected::Exact(version) => version,
                Expected::Fresh => 0,
                Expected::Any => version(&part.stream),
            })
            .collect()
    }
}

/// What an appender waits for.
pub(super) enum Receipt {
    Pending(oneshot::Receiver<Result<Appended, AppendError>>),
    Nothing(Appended),
}

/// An append's records in their final form.
struct Encoded {
    records: Vec<u8>,
    hashes: Vec<Hash>,
}

impl Encoded {
    fn of(append: &Append, before: &[u64]) -> Result<Self, AppendError> {
        let count = append.streams.iter().map(|part| part.events.len()).sum();
        let mut encoded =
            Self { records: Vec::with_capacity(count * 256), hashes: Vec::with_capacity(count) };
        for (part, before) in append.streams.iter().zip(before) {
            let refuse = |why: String| AppendError::Unstorable { stream: part.stream.clone(), why };
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
                let hash = put_record(&mut encoded.records, |into| codec::encode(&stored, into))
                    .map_err(|err| refuse(err.to_string()))?;
                encoded.hashes.push(hash);
            }
            if encoded.records.len() > MAX_APPEND_BYTES {
                return Err(refuse(format!("the append is larger than {MAX_APPEND_BYTES} bytes")));
            }
        }
        Ok(encoded)
    }
}
