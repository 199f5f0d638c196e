//! An answer while it is put together.

use crate::projection::view::{Event, Execution, Slot};

/// Sentences and what proves them.
#[derive(Default)]
pub(super) struct Story {
    sentences: Vec<String>,
    events: Vec<Event>,
    pub(super) slot: Option<Slot>,
    pub(super) execution: Option<Execution>,
}

impl Story {
    /// Adds a sentence.
    pub(super) fn say(&mut self, sentence: impl Into<String>) {
        self.sentences.push(sentence.into());
    }

    /// Adds an event behind the sentences.
    pub(super) fn cite(&mut self, event: impl IntoIterator<Item = Event>) {
        self.events.extend(event);
    }

    /// The paragraph, and the events by position, each once.
    pub(super) fn told(mut self) -> (String, Vec<Event>) {
        self.events.sort_by_key(|event| event.position);
        self.events.dedup_by_key(|event| event.position);
        (self.sentences.join(" "), self.events)
    }
}
