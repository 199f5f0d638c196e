//! Small appends for tests.

use super::{Append, Expected, Links, StreamAppend, samples};
use crate::domain::event::{Actor, Event, Noted};
use crate::ids::{ExecutionId, StreamId};

/// An execution's stream, another one for each number.
pub(super) fn execution_stream(number: u64) -> StreamId {
    let mut entropy = [0; 10];
    entropy[2..].copy_from_slice(&number.to_be_bytes());
    StreamId::Execution(ExecutionId::random(samples::at(), entropy))
}

pub(super) fn append(streams: Vec<StreamAppend>) -> Append {
    Append { streams, at: samples::at(), actor: Actor::Daybook }
}

pub(super) fn part(stream: StreamId, expected: Expected, event: impl Into<Event>) -> StreamAppend {
    StreamAppend { stream, expected, events: vec![event.into()], links: Links::default() }
}

/// An event that holds `text`.
pub(super) fn note(text: &str) -> Event {
    Noted { text: Some(text.to_owned()), reference: None, acknowledged: false }.into()
}

/// One append of one event that holds `text`.
pub(super) fn noted(stream: StreamId, expected: Expected, text: &str) -> Append {
    append(vec![part(stream, expected, note(text))])
}

/// The last event of an execution, as the first of its stream.
pub(super) fn closing(stream: StreamId) -> StreamAppend {
    let closed =
        samples::all().into_iter().find(|event| matches!(event, Event::Closed(_))).unwrap();
    StreamAppend {
        stream,
        expected: Expected::Fresh,
        events: vec![closed],
        links: Links::default(),
    }
}
