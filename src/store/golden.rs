//! The stored bytes of each version of each event, kept in `tests/golden/` for good.

use std::path::PathBuf;

use super::{codec, samples, upcast};
use crate::domain::event::{Actor, EVENT_NAMES, Event};
use crate::ids::{EventId, Position, StreamId};

/// Each event is stored with another actor and other links, so that the headers are kept too.
fn header_of(code: u16) -> (Actor, Option<EventId>, Option<EventId>) {
    let id = EventId::derive(&StreamId::Daemon, u64::from(code), samples::at());
    match code % 4 {
        0 => (Actor::Daybook, None, None),
        1 => (Actor::Local(1000), Some(id), None),
        2 => (Actor::Token("grafana".to_owned()), None, Some(id)),
        _ => (Actor::Session("p7".to_owned()), Some(id), Some(id)),
    }
}

fn stored_bytes(event: &Event) -> Vec<u8> {
    let (actor, correlation, causation) = header_of(event.code());
    let stored = codec::Stored {
        stream: &samples::stream_of(event.code()),
        version: u64::from(event.code()),
        at: samples::at(),
        actor: &actor,
        correlation,
        causation,
        event,
    };
    let mut bytes = Vec::new();
    codec::encode(&stored, &mut bytes).unwrap();
    bytes
}

fn golden_file(event: &Event, version: u16) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!(
        "{:02}-{}-v{version}.bin",
        event.code(),
        event.name()
    ))
}

fn newest(event: &Event) -> u16 {
    upcast::newest_of(event)
}

#[test]
fn each_event_has_a_sample() {
    let sampled: Vec<u16> = samples::all().iter().map(Event::code).collect();
    let known: Vec<u16> = EVENT_NAMES.iter().map(|(code, _)| *code).collect();
    assert_eq!(sampled, known);
}

#[test]
fn each_version_of_each_event_has_golden_bytes_that_still_decode() {
    for event in samples::all() {
        for version in 1..=newest(&event) {
            let path = golden_file(&event, version);
            let bytes = std::fs::read(&path).unwrap_or_else(|err| {
                panic!(
                    "{}: {err}; write the missing files with `cargo test golden -- --ignored`",
                    path.display()
                )
            });
            let envelope = codec::decode(Position(9), &bytes)
                .unwrap_or_else(|err| panic!("{}: {err}", path.display()));
            let (actor, correlation, causation) = header_of(event.code());
            assert_eq!(envelope.stream, samples::stream_of(event.code()));
            assert_eq!(envelope.version, u64::from(event.code()));
            assert_eq!(envelope.at, samples::at());
            assert_eq!(
                (envelope.actor, envelope.correlation, envelope.causation),
                (actor, correlation, causation)
            );
            if version == newest(&event) {
                assert_eq!(envelope.event, event, "{}", path.display());
                assert_eq!(stored_bytes(&event), bytes, "{}", path.display());
            }
        }
    }
}

#[test]
fn the_bytes_of_one_small_event_are_these() {
    let event: Event = crate::domain::event::AttemptStarted { attempt: 2 }.into();
    let stored = codec::Stored {
        stream: &StreamId::Interface("ab".parse().unwrap()),
        version: 3,
        at: crate::instant::Instant::from_millis(4),
        actor: &Actor::Local(5),
        correlation: None,
        causation: None,
        event: &event,
    };
    let mut bytes = Vec::new();
    codec::encode(&stored, &mut bytes).unwrap();
    let id = EventId::derive(stored.stream, 3, stored.at);
    let mut expected = vec![61, 0, 1, 0, 1]; // code, version, codec
    expected.extend([1, 2, b'a', b'b']); // interface, two letters
    expected.extend([3, 0, 0, 0, 0, 0, 0, 0]); // version in the stream
    expected.extend(id.0.as_bytes());
    expected.extend([4, 0, 0, 0, 0, 0, 0, 0]); // instant
    expected.extend([1, 5, 0, 0, 0]); // local user 5
    expected.extend([0, 2]); // no links; attempt 2
    assert_eq!(bytes, expected);
}

/// bincode stores the place of a variant in its enum. These numbers are on disk: a new variant gets the next one.
#[test]
fn the_stored_numbers_of_variants_do_not_move() {
    use crate::domain::event::{Anchor, Delivery, Outcome, Trigger};
    use crate::domain::slot::{Reason, Verdict};
    fn check<T: serde::Serialize + Copy>(
        variants: &[T],
        name: impl Fn(T) -> &'static str,
        names: &str,
    ) {
        let shown: Vec<_> = variants.iter().map(|variant| name(*variant)).collect();
        assert_eq!(shown.join(" "), names);
        for (number, variant) in (0..).zip(variants) {
            let mut bytes = Vec::new();
            codec::pack(variant, &mut bytes).unwrap();
            assert_eq!(bytes, [number], "{}", name(*variant));
        }
    }
    {
        use Trigger::*;
        let all =
            [Cron, Every, At, Manual, Rerun, Backfill, CatchUp, Realtime, Webhook, Reboot, After];
        let names = "cron every at manual rerun backfill catch-up realtime webhook reboot after";
        check(&all, Trigger::as_str, names);
    }
    {
        use Reason::*;
        let all = [
            Down, Paused, Disabled, Overlap, Calendar, Blackout, SkipNext, Coalesced, TooLate, Max,
            Dependency, Clock,
        ];
        let names = "down paused disabled overlap calendar blackout skip-next coalesced too-late max dependency clock";
        check(&all, Reason::as_str, names);
    }
    check(&[Outcome::Ok, Outcome::Ko, Outcome::Cancelled], Outcome::as_str, "ok ko cancelled");
    check(&[Verdict::Skipped, Verdict::Missed], Verdict::as_str, "skipped missed");
    let anchor = |anchor: Anchor| match anchor {
        Anchor::Created => "created",
        Anchor::Edited => "edited",
        Anchor::Clock => "clock",
    };
    check(&[Anchor::Created, Anchor::Edited, Anchor::Clock], anchor, "created edited clock");
    let delivery = |delivery: Delivery| match delivery {
        Delivery::Sent => "sent",
        Delivery::Dropped => "dropped",
        Delivery::Failed => "failed",
    };
    check(&[Delivery::Sent, Delivery::Dropped, Delivery::Failed], delivery, "sent dropped failed");
}

#[test]
fn bytes_cut_anywhere_are_an_error_and_never_another_event() {
    for event in samples::all() {
        let bytes = stored_bytes(&event);
        for length in 0..bytes.len() {
            let read = codec::decode(Position(1), &bytes[..length]);
            assert!(read.is_err(), "{} cut to {length}: {read:?}", event.name());
        }
    }
}

#[test]
fn a_changed_byte_never_panics() {
    for event in samples::all() {
        let bytes = stored_bytes(&event);
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[place] ^= 1 << bit;
                // The checksum around it tells; here only that nothing breaks.
                drop(codec::decode(Position(1), &damaged));
            }
        }
    }
}

#[test]
fn an_event_of_a_newer_program_is_refused_by_name() {
    let mut bytes = stored_bytes(&samples::all()[0]);
    bytes[2] = 9;
    assert_eq!(
        codec::decode(Position(1), &bytes).unwrap_err().to_string(),
        "version 9 of event `daemon-started` is not known here, the newest is 2: a newer daybook wrote it, so run that version"
    );
    bytes[0] = 0xE7;
    bytes[1] = 3;
    assert_eq!(
        codec::decode(Position(1), &bytes).unwrap_err().to_string(),
        "event code 999 (version 9) is not known here: a newer daybook wrote it, so run that version"
    );
}

/// Run by hand after adding an event or a version. An existing file is never touched.
#[test]
#[ignore = "writes the golden files that are missing"]
fn writes_missing_golden_files() {
    for event in samples::all() {
        let path = golden_file(&event, newest(&event));
        if !path.exists() {
            std::fs::write(path, stored_bytes(&event)).unwrap();
        }
    }
}
