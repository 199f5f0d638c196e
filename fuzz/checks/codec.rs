//! Stored bytes of an event: refused, or an event that is the same again when it is written in today's form.
use daybook::ids::Position;
use daybook::store::codec::{self, Stored};

pub(crate) fn check(bytes: &[u8]) {
    let Ok(event) = codec::decode(Position(7), bytes) else { return };
    let stored = Stored {
        stream: &event.stream,
        version: event.version,
        at: event.at,
        actor: &event.actor,
        correlation: event.correlation,
        causation: event.causation,
        event: &event.event,
    };
    let mut written = Vec::new();
    codec::encode(&stored, &mut written).expect("what was read can be written");
    let again = codec::decode(Position(7), &written).expect("what was written can be read");
    assert_eq!((&again.event, &again.stream, again.at), (&event.event, &event.stream, event.at));
    assert_eq!((again.version, &again.actor), (event.version, &event.actor));
}
