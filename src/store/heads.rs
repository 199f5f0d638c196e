//! The newest version of each stream that may still change, and the checks that hang on it.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{Append, AppendError, Expected};
use crate::domain::event::Event;
use crate::ids::{Position, StreamId};

/// What is known of a stream that is not held in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColdHead {
    /// Its newest version; 0 when it has no event.
    Known(u64),
    /// The index cannot tell yet.
    Rebuilding,
}

/// Tells the versions of streams that the log no longer holds in memory. The index offers it.
///
/// Asked only about executions, and only once [`super::EventLog::forget`] has said that the index holds all those that
/// were let go of, also by former processes. Asked under the log's lock: answers at once, and never calls the log.
pub trait ColdHeads: Send + Sync {
    /// The newest version of `stream`.
    fn version_of(&self, stream: &StreamId) -> ColdHead;
}

/// For a log that holds all its streams in memory: what is not there does not exist.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoColdStreams;

impl ColdHeads for NoColdStreams {
    fn version_of(&self, _stream: &StreamId) -> ColdHead {
        ColdHead::Known(0)
    }
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its newest version.
    pub version: u64,
    /// A position at or before that of its first event; 0 when it is not known.
    pub first: Position,
    /// The position of its newest event.
    pub last: Position,
    /// Whether it is an execution that has ended, so that hardly anything will follow.
    pub closed: bool,
}

/// The heads in memory: every stream but executions that ended and are in the index.
#[derive(Debug, Default)]
pub(super) struct Heads {
    hot: HashMap<StreamId, Head>,
    /// Ended executions with the position of an event of theirs, in the order of positions.
    ended: VecDeque<(Position, StreamId)>,
    /// The newest event of any stream that was let go of; 0 when all are in memory.
    forgotten: Position,
    /// Up to here the index has everything, as far as it has told this process.
    indexed: Position,
}

impl Heads {
    /// Takes the heads of a checkpoint.
    pub(super) fn restore(
        heads: impl IntoIterator<Item = (StreamId, Head)>,
        forgotten: Position,
    ) -> Self {
        let hot: HashMap<StreamId, Head> = heads.into_iter().collect();
        let mut ended: Vec<(Position, StreamId)> = hot
            .iter()
            .filter(|(_, head)| head.closed)
            .map(|(stream, head)| (head.last, stream.clone()))
            .collect();
        ended.sort_unstable_by_key(|(position, _)| *position);
        Self { hot, ended: ended.into(), forgotten, indexed: Position(0) }
    }

    pub(super) fn get(&self, stream: &StreamId) -> Option<Head> {
        self.hot.get(stream).copied()
    }

    pub(super) fn all(&self) -> Vec<(StreamId, Head)> {
        self.hot.iter().map(|(stream, head)| (stream.clone(), *head)).collect()
    }

    pub(super) const fn forgotten(&self) -> Position {
        self.forgotten
    }

    /// The version of a stream that is not in memory.
    pub(super) fn cold(&self, stream: &StreamId, cold: &dyn ColdHeads) -> ColdHead {
        let may_be_forgotten = matches!(stream, StreamId::Execution(_)) && self.forgotten.0 > 0;
        if !may_be_forgotten {
            ColdHead::Known(0)
        } else if self.indexed < self.forgotten {
            // The index may have lost its newest rows with the former process, and would tell an older version.
            ColdHead::Rebuilding
        } else {
            cold.version_of(stream)
        }
    }

    /// Whether [`Self::check`] can tell where `stream` stands.
    pub(super) fn can_check(&self, stream: &StreamId, cold: &dyn ColdHeads) -> bool {
        self.hot.contains_key(stream) || self.cold(stream, cold) != ColdHead::Rebuilding
    }

    /// The newest position that they tell of.
    pub(super) fn newest(&self) -> Position {
        self.hot.values().map(|head| head.last).fold(self.forgotten, Position::max)
    }

    pub(super) fn len(&self) -> usize {
        self.hot.len()
    }

    /// Checks what the appender believes; answers with the version of each stream before the append.
    pub(super) fn check(
        &self,
        append: &Append,
        cold: &dyn ColdHeads,
    ) -> Result<Vec<u64>, AppendError> {
        let mut within: HashMap<&StreamId, u64> = HashMap::new();
        let several = append.streams.len() > 1;
        let mut before = Vec::with_capacity(append.streams.len());
        for part in &append.streams {
            let stream = &part.stream;
            let hot = within.get(stream).copied().or_else(|| self.get(stream).map(|h| h.version));
            let actual = match (hot, part.expected) {
                (Some(version), _) => version,
                (None, Expected::Fresh) => 0,
                (None, Expected::Exact(_) | Expected::Any) => match self.cold(stream, cold) {
                    ColdHead::Known(version) => version,
                    ColdHead::Rebuilding => {
                        return Err(AppendError::Rebuilding { stream: stream.clone() });
                    }
                },
            };
            let expected = match part.expected {
                Expected::Exact(version) => version,
                Expected::Fresh => 0,
                Expected::Any => actual,
            };
            if expected != actual {
                return Err(AppendError::Conflict { stream: stream.clone(), expected, actual });
            }
            if several {
                within.insert(stream, actual + part.events.len() as u64);
            }
            before.push(actual);
        }
        Ok(before)
    }

    /// Takes an append that passed [`Self::check`] and begins at `first`.
    pub(super) fn take(&mut self, append: &Append, before: &[u64], first: Position) {
        let mut position = first;
        for (part, version) in append.streams.iter().zip(before) {
            let count = part.events.len() as u64;
            if count == 0 {
                continue;
            }
            let closes = part.events.iter().any(|event| matches!(event, Event::Closed(_)));
            let last = position.plus(count - 1);
            self.put(&part.stream, version + count, (position, last), closes);
            position = position.plus(count);
        }
    }

    /// Takes one event that was read back.
    pub(super) fn recover(
        &mut self,
        stream: &StreamId,
        version: u64,
        position: Position,
        closes: bool,
    ) {
        self.put(stream, version, (position, position), closes);
    }

    fn put(
        &mut self,
        stream: &StreamId,
        version: u64,
        (first, last): (Position, Position),
        closes: bool,
    ) {
        let closed = if let Some(head) = self.hot.get_mut(stream) {
            head.version = version;
            head.last = last;
            head.closed |= closes;
            head.closed
        } else {
            // Events before these are elsewhere, so the first position is only known for a new stream.
            let added = last.0 - first.0 + 1;
            let first = if version == added { first } else { Position(0) };
            let closed = closes || (version > added && matches!(stream, StreamId::Execution(_)));
            self.hot.insert(stream.clone(), Head { version, first, last, closed });
            closed
        };
        if closed {
            self.ended.push_back((last, stream.clone()));
        }
    }

    /// Lets go of ended executions whose events all stand at or before `indexed`.
    pub(super) fn forget(&mut self, indexed: Position) {
        self.indexed = self.indexed.max(indexed);
        while self.ended.front().is_some_and(|(position, _)| *position <= indexed) {
            let Some((position, stream)) = self.ended.pop_front() else { return };
            if self.hot.get(&stream).is_some_and(|head| head.last == position) {
                self.hot.remove(&stream);
                self.forgotten = self.forgotten.max(position);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::AttemptStarted;
    use crate::store::samples;
    use crate::store::testing::{append, closing, execution_stream, part};

    struct Known(u64);
    impl ColdHeads for Known {
        fn version_of(&self, _stream: &StreamId) -> ColdHead {
            ColdHead::Known(self.0)
        }
    }
    struct Busy;
    impl ColdHeads for Busy {
        fn version_of(&self, _stream: &StreamId) -> ColdHead {
            ColdHead::Rebuilding
        }
    }

    /// Heads after an execution was let go of.
    fn with_cold_history() -> Heads {
        let mut heads = Heads::default();
        heads.take(&append(vec![closing(execution_stream(9))]), &[0], Position(1));
        heads.forget(Position(1));
        heads
    }

    fn started(expected: Expected) -> Append {
        append(vec![part(
            StreamId::Execution(samples::execution()),
            expected,
            AttemptStarted { attempt: 1 },
        )])
    }

    #[test]
    fn a_stream_that_is_not_in_memory_is_looked_up() {
        let heads = with_cold_history();
        assert_eq!(heads.check(&started(Expected::Exact(4)), &Known(4)), Ok(vec![4]));
        assert_eq!(heads.check(&started(Expected::Any), &Known(4)), Ok(vec![4]));
        assert_eq!(
            heads.check(&started(Expected::Exact(0)), &Known(4)),
            Err(AppendError::Conflict {
                stream: StreamId::Execution(samples::execution()),
                expected: 0,
                actual: 4
            })
        );
    }

    #[test]
    fn while_the_index_is_rebuilt_only_a_fresh_stream_can_be_appended_to() {
        let heads = with_cold_history();
        assert_eq!(heads.check(&started(Expected::Fresh), &Busy), Ok(vec![0]));
        assert!(matches!(
            heads.check(&started(Expected::Any), &Busy),
            Err(AppendError::Rebuilding { .. })
        ));
    }

    #[test]
    fn nobody_is_asked_about_a_stream_that_was_never_let_go_of() {
        let all_in_memory = Heads::default();
        assert_eq!(all_in_memory.check(&started(Expected::Exact(0)), &Busy), Ok(vec![0]));
        let definition = append(vec![part(
            StreamId::Interface(samples::schedule().interface),
            Expected::Exact(0),
            AttemptStarted { attempt: 1 },
        )]);
        assert_eq!(with_cold_history().check(&definition, &Busy), Ok(vec![0]));
    }

    #[test]
    fn after_a_start_the_index_is_believed_once_it_holds_all_that_was_let_go_of() {
        let before = with_cold_history();
        let mut heads = Heads::restore(before.all(), before.forgotten());
        assert!(matches!(
            heads.check(&started(Expected::Any), &Known(4)),
            Err(AppendError::Rebuilding { .. })
        ));
        heads.forget(Position(1));
        assert_eq!(heads.check(&started(Expected::Any), &Known(4)), Ok(vec![4]));
    }

    #[test]
    fn only_ended_executions_that_are_in_the_index_are_forgotten() {
        let mut heads = Heads::default();
        for (position, number) in [(1, 1), (2, 2), (3, 3)] {
            let ended = append(vec![closing(execution_stream(number))]);
            heads.take(&ended, &[0], Position(position));
        }
        let open =
            append(vec![part(execution_stream(4), Expected::Fresh, AttemptStarted { attempt: 1 })]);
        heads.take(&open, &[0], Position(4));
        // A note follows on the first one: its newest event is not in the index yet.
        let note =
            append(vec![part(execution_stream(1), Expected::Any, AttemptStarted { attempt: 2 })]);
        heads.take(&note, &[1], Position(5));
        heads.forget(Position(4));
        assert_eq!(heads.get(&execution_stream(1)).map(|head| head.version), Some(2));
        assert_eq!(heads.get(&execution_stream(2)), None);
        assert_eq!(heads.get(&execution_stream(3)), None);
        assert_eq!(heads.get(&execution_stream(4)).map(|head| head.version), Some(1));
        heads.forget(Position(5));
        assert_eq!(heads.len(), 1);
    }
}
