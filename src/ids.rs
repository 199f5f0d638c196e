//! Names and numbers of things: slugs from the files, execution ids, streams, positions.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::instant::Instant;

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is no name.
    #[error(
        "`{given}` is not a name: 1 to 63 of a-z, 0-9 and `-`, beginning with a letter or digit"
    )]
    Malformed {
        /// The text that was given.
        given: String,
    },
    /// A schedule is named together with its interface.
    #[error("`{given}` is not a schedule's full name: write `<interface>/<schedule>`")]
    NotFull {
        /// The text that was given.
        given: String,
    },
}

fn check_slug(text: &str) -> Result<Arc<str>, NameError> {
    let mut bytes = text.bytes();
    let head = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let tail = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if head && tail && text.len() <= 63 {
        Ok(Arc::from(text))
    } else {
        Err(NameError::Malformed { given: text.to_owned() })
    }
}

macro_rules! slug {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` against `[a-z0-9][a-z0-9-]{0,62}`.
            ///
            /// # Errors
            /// [`NameError::Malformed`] when it does not match.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check_slug(text).map(Self)
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                Self::new(&Cow::<str>::deserialize(from)?).map_err(de::Error::custom)
            }
        }
    };
}

slug! {
    /// The id of an external interface: the stem of its file.
    InterfaceId
}
slug! {
    /// The bare id of a schedule: its key in the interface's file. Unique only within its interface.
    ScheduleId
}
slug! {
    /// The name of a calendar: the stem of its file.
    CalendarId
}

/// A schedule's full name, `interface/schedule`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ScheduleRef {
    /// The interface that it belongs to (S3-2).
    pub interface: InterfaceId,
    /// Its bare id.
    pub schedule: ScheduleId,
}

impl fmt::Display for ScheduleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.interface, self.schedule)
    }
}

impl FromStr for ScheduleRef {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (interface, schedule) =
            text.split_once('/').ok_or_else(|| NameError::NotFull { given: text.to_owned() })?;
        Ok(Self { interface: interface.parse()?, schedule: schedule.parse()? })
    }
}

/// An execution's id: a UUID of version 8.
///
/// 48 bits of milliseconds (the nominal instant for slots, the creation for the others), then bits of
/// BLAKE3(interface, schedule, nominal instant), or random ones. Source: contract, rule 4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExecutionId(Uuid);

impl ExecutionId {
    /// The id of the one execution that a slot may start by itself: a pure function of its arguments.
    pub fn for_slot(schedule: &ScheduleRef, nominal: Instant) -> Self {
        let mut hash = blake3::Hasher::new();
        for name in [schedule.interface.as_str(), schedule.schedule.as_str()] {
            hash.update(&(name.len() as u64).to_be_bytes());
            hash.update(name.as_bytes());
        }
        hash.update(&nominal.millis().to_be_bytes());
        Self(uuid_v8(nominal, hash.finalize().as_bytes()))
    }

    /// When it was created, or its slot for one that has a slot: the id begins with it.
    pub fn instant(self) -> Instant {
        let [a, b, c, d, e, f, ..] = *self.0.as_bytes();
        let millis = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        Instant::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }

    /// The id of an execution without a slot, from its creation and 10 random bytes that the caller hands in.
    pub fn random(created: Instant, entropy: [u8; 10]) -> Self {
        Self(uuid_v8(created, &entropy))
    }

    /// The underlying UUID.
    pub const fn uuid(self) -> Uuid {
        self.0
    }

    /// Wraps a UUID read back from storage or a request.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

/// Lays 48 bits of milliseconds and the first 10 bytes of `bits` out as a version 8 UUID (RFC 9562, section 5.8).
///
/// # Panics
/// When `bits` has fewer than 10 bytes.
fn uuid_v8(at: Instant, bits: &[u8]) -> Uuid {
    let mut bytes = [0u8; 16];
    bytes[..6].copy_from_slice(&at.millis().to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&bits[..10]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

impl ScheduleRef {
    /// A delay of at most `longest_ms` milliseconds that is always the same for this schedule.
    pub fn splay_ms(&self, longest_ms: u64) -> u64 {
        let hash = blake3::hash(self.to_string().as_bytes());
        let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
        let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        longest_ms.checked_add(1).map_or(number, |lengths| number % lengths)
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for ExecutionId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

/// The events of one aggregate, with consecutive versions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamId {
    /// The daemon itself: starts, stops, clock steps, tokens.
    Daemon,
    /// One external interface: definitions, pauses.
    Interface(InterfaceId),
    /// One schedule: its slots' outcomes, pauses.
    Schedule(ScheduleRef),
    /// One execution from its opening to its closing, and notes after it.
    Execution(ExecutionId),
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Daemon => f.write_str("daemon"),
            Self::Interface(id) => write!(f, "interface/{id}"),
            Self::Schedule(id) => write!(f, "schedule/{id}"),
            Self::Execution(id) => write!(f, "execution/{id}"),
        }
    }
}

/// Why a stream's name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` is not a stream: daemon, interface/<id>, schedule/<interface>/<id> or execution/<uuid>"
)]
pub struct StreamIdError {
    /// The text that was given.
    pub given: String,
}

impl FromStr for StreamId {
    type Err = StreamIdError;
    fn from_str(text: &str) -> Result<Self, StreamIdError> {
        let refuse = || StreamIdError { given: text.to_owned() };
        if text == "daemon" {
            return Ok(Self::Daemon);
        }
        let (kind, name) = text.split_once('/').ok_or_else(refuse)?;
        match kind {
            "interface" => name.parse().map(Self::Interface).ok(),
            "schedule" => name.parse().map(Self::Schedule).ok(),
            "execution" => name.parse().map(Self::Execution).ok(),
            _ => None,
        }
        .ok_or_else(refuse)
    }
}

impl Serialize for StreamId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StreamId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// An event's place in the whole log, from 1 and without gaps in the embedded store.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    /// The position `by` places further on.
    #[must_use]
    pub const fn plus(self, by: u64) -> Self {
        Self(self.0 + by)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// An event's id: the key of what follows from it (pings, notices).
///
/// A pure function of the stream, the version in it and the instant, so that it needs no randomness and never repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub Uuid);

impl EventId {
    /// The id of the event with `version` in `stream`, recorded `at`.
    pub fn derive(stream: &StreamId, version: u64, at: Instant) -> Self {
        let mut hash = blake3::Hasher::new();
        hash.update(stream.to_string().as_bytes());
        hash.update(&version.to_be_bytes());
        Self(uuid_v8(at, hash.finalize().as_bytes()))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Bytes as lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> ScheduleRef {
        "fnac/integrate-sales".parse().expect("valid")
    }

    /// S3-13.
    #[test]
    fn a_slots_execution_id_is_a_pure_function_and_sorts_by_its_instant() {
        let slot = Instant::parse("2026-11-22T10:00:00Z").expect("valid");
        let id = ExecutionId::for_slot(&schedule(), slot);
        assert_eq!(id, ExecutionId::for_slot(&schedule(), slot));
        assert_eq!(id.uuid().get_version_num(), 8);
        assert!(id < ExecutionId::for_slot(&schedule(), Instant::from_millis(slot.millis() + 1)));
        // Frozen: a change of this value would let every slot of a running system start twice.
        assert_eq!(id.to_string(), "01a202b2-c500-88df-b7dd-8d69dc399f45");
    }

    #[test]
    fn an_id_begins_with_its_instant() {
        let at = Instant::from_millis(1_795_428_000_123);
        assert_eq!(ExecutionId::for_slot(&schedule(), at).instant(), at);
        assert_eq!(ExecutionId::random(at, [255; 10]).instant(), at);
    }

    #[test]
    fn a_splay_is_the_schedules_own_and_within_its_length() {
        let of =
            |n: u32| format!("shop/s{n}").parse::<ScheduleRef>().expect("valid").splay_ms(30_000);
        let delays: std::collections::BTreeSet<u64> = (0..100).map(of).collect();
        assert!(delays.len() > 90, "they differ: {delays:?}");
        assert!(delays.last() <= Some(&30_000) && delays.first() < Some(&5_000), "{delays:?}");
        assert_eq!(schedule().splay_ms(0), 0);
        // Frozen: a change would move the starts of a running system.
        assert_eq!(schedule().splay_ms(30_000), 10_823);
    }

    #[test]
    fn names_that_could_be_confused_do_not_share_an_id() {
        let at = Instant::from_secs(0);
        let one: ScheduleRef = "a/b-c".parse().expect("valid");
        let two: ScheduleRef = "a-b/c".parse().expect("valid");
        assert_ne!(ExecutionId::for_slot(&one, at), ExecutionId::for_slot(&two, at));
    }

    #[test]
    fn a_name_has_1_to_63_small_letters_digits_and_dashes() {
        for bad in ["", "-a", "A", "a_b", "é", "a/b", &"a".repeat(64)] {
            assert!(InterfaceId::new(bad).is_err(), "{bad:?}");
        }
        assert!(InterfaceId::new(&"a".repeat(63)).is_ok());
    }

    #[test]
    fn a_schedule_without_its_interface_is_told_how_to_be_named() {
        let refused = "sales".parse::<ScheduleRef>().expect_err("no interface");
        assert_eq!(
            refused.to_string(),
            "`sales` is not a schedule's full name: write `<interface>/<schedule>`"
        );
        assert!("fnac/Sales".parse::<ScheduleRef>().is_err());
    }

    #[test]
    fn a_stream_reads_back_from_its_text() {
        for text in [
            "daemon",
            "interface/fnac",
            "schedule/fnac/sales",
            "execution/0193522b-6a00-8abc-8def-0123456789ab",
        ] {
            assert_eq!(text.parse::<StreamId>().expect("valid").to_string(), text);
        }
    }
}
