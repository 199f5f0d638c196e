//! Which versions of which event can be read, and how an old one becomes the newest.
//!
//! To change a payload: move the struct as it is into this module under the name `<Event>V<n>`, give it a `From` into
//! the new form, and write it into the table below as `<Event> = <n + 1>, <n> => <Event>V<n>`. The golden bytes of the
//! old version stay; the test says which file the new one lacks.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::codec::{pack, unpack};
use crate::domain::event::{self, Event};

/// Why a payload could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// No event has that code.
    Code,
    /// The event has no such version here.
    Version {
        /// The newest one.
        newest: u16,
    },
    /// The bytes are not what they should be.
    Payload(String),
}

/// A payload with its versions.
trait Versioned: Serialize + DeserializeOwned {
    /// Reads any version up to the newest.
    fn decode(version: u16, payload: &[u8]) -> Result<Self, Unread>;
}

/// Implements [`Versioned`]: `<Type> = <newest version>, <older version> => <frozen struct>, …;`
macro_rules! versions {
    ($($payload:ty = $newest:literal $(, $older:literal => $frozen:ty)*;)*) => {$(
        impl Versioned for $payload {
            fn decode(version: u16, payload: &[u8]) -> Result<Self, Unread> {
                match version {
                    $newest => unpack::<Self>(payload).map_err(Unread::Payload),
                    $($older => unpack::<$frozen>(payload).map(Self::from).map_err(Unread::Payload),)*
                    _ => Err(Unread::Version { newest: $newest }),
                }
            }
        }
    )*};
}

/// Declares the dispatch by code: `<code> <Event> = <newest version> …;` with the versions as in `versions!`.
macro_rules! stored_events {
    ($($code:literal $event:ident = $newest:literal $(, $older:literal => $frozen:ty)*;)*) => {
        versions! { $(event::$event = $newest $(, $older => $frozen)*;)* }

        /// Every code in the table.
        #[cfg(test)]
        const CODES: &[u16] = &[$($code,)*];

        /// The version that `event` is written in.
        pub(super) const fn newest_of(event: &Event) -> u16 {
            match event { $(Event::$event(_) => $newest,)* }
        }

        /// Writes the payload in its newest version.
        pub(super) fn encode_payload(event: &Event, into: &mut Vec<u8>) -> Result<(), String> {
            match event { $(Event::$event(payload) => pack(payload, into),)* }
        }

        /// Reads the payload of event `code`, written in `version`.
        pub(super) fn decode_payload(code: u16, version: u16, payload: &[u8]) -> Result<Event, Unread> {
            match code {
                $($code => <event::$event as Versioned>::decode(version, payload).map(Event::$event),)*
                _ => Err(Unread::Code),
            }
        }
    };
}

stored_events! {
    1 DaemonStarted = 2, 1 => DaemonStartedV1;
    2 DaemonStopped = 2, 1 => DaemonStoppedV1;
    3 ClockStepped = 1;
    4 TokenCreated = 1;
    5 TokenRevoked = 1;
    6 LoginLinkCreated = 1;
    7 RequestAnswered = 1;
    8 FilesRefused = 1;
    9 ZonesRead = 1;
    10 DrainAsked = 1;
    12 DiskLow = 1;
    13 DiskRecovered = 1;
    14 HistoryPruned = 1;
    15 BackupMade = 1;
    20 InterfaceDefined = 1;
    21 InterfaceRemoved = 1;
    22 InterfacePaused = 1;
    23 InterfaceResumed = 1;
    40 ScheduleAnchored = 1;
    41 SlotStarted = 1;
    42 SlotsPassed = 1;
    43 SchedulePaused = 1;
    44 ScheduleResumed = 1;
    45 ScheduleRemoved = 1;
    46 SlotAwaited = 1;
    47 SkipNextAsked = 1;
    48 SkipNextUndone = 1;
    49 BackfillAsked = 1;
    60 Opened = 1;
    61 AttemptStarted = 1;
    62 AttemptEnded = 1;
    63 RetryPlanned = 1;
    64 ErrorSeen = 1;
    65 AnomalySeen = 1;
    66 CancelRequested = 1;
    67 LogLimited = 1;
    68 Closed = 1;
    69 Noted = 1;
    71 LogCurtailed = 1;
    80 DeliveryEnded = 1;
}

/// As it was when no execution outlived the daemon.
#[derive(Serialize, Deserialize)]
struct DaemonStartedV1 {
    version: String,
    boot_id: String,
    zone_data: String,
    interrupted: u64,
}

impl From<DaemonStartedV1> for event::DaemonStarted {
    fn from(old: DaemonStartedV1) -> Self {
        let DaemonStartedV1 { version, boot_id, zone_data, interrupted } = old;
        Self { version, boot_id, zone_data, interrupted, taken_over: 0 }
    }
}

/// As it was when no execution outlived the daemon.
#[derive(Serialize, Deserialize)]
struct DaemonStoppedV1 {
    reason: String,
}

impl From<DaemonStoppedV1> for event::DaemonStopped {
    fn from(old: DaemonStoppedV1) -> Self {
        Self { reason: old.reason, running: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The newest form of an event that once had no `count`, and before that another name for `text`.
    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Counted {
        text: String,
        count: u32,
    }

    #[derive(Serialize, Deserialize)]
    struct CountedV1 {
        note: Option<String>,
    }

    #[derive(Serialize, Deserialize)]
    struct CountedV2 {
        text: String,
    }

    impl From<CountedV1> for CountedV2 {
        fn from(old: CountedV1) -> Self {
            Self { text: old.note.unwrap_or_default() }
        }
    }

    impl From<CountedV2> for Counted {
        fn from(old: CountedV2) -> Self {
            Self { text: old.text, count: 1 }
        }
    }

    impl From<CountedV1> for Counted {
        fn from(old: CountedV1) -> Self {
            CountedV2::from(old).into()
        }
    }

    versions! { Counted = 3, 1 => CountedV1, 2 => CountedV2; }

    fn packed<T: Serialize>(value: &T) -> Vec<u8> {
        let mut bytes = Vec::new();
        pack(value, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn every_older_form_of_an_event_becomes_the_newest() {
        let newest = packed(&Counted { text: "a".to_owned(), count: 7 });
        let expected = Counted { text: "a".to_owned(), count: 7 };
        assert_eq!(Counted::decode(3, &newest), Ok(expected));
        let second = packed(&CountedV2 { text: "b".to_owned() });
        let expected = Counted { text: "b".to_owned(), count: 1 };
        assert_eq!(Counted::decode(2, &second), Ok(expected));
        let first = packed(&CountedV1 { note: Some("c".to_owned()) });
        let expected = Counted { text: "c".to_owned(), count: 1 };
        assert_eq!(Counted::decode(1, &first), Ok(expected));
    }

    #[test]
    fn a_version_from_the_future_is_named_with_the_newest_one_known() {
        assert_eq!(Counted::decode(4, &[]), Err(Unread::Version { newest: 3 }));
        assert_eq!(Counted::decode(0, &[]), Err(Unread::Version { newest: 3 }));
    }

    #[test]
    fn the_table_has_each_event_of_the_domain_under_its_code() {
        let known: Vec<u16> = event::EVENT_NAMES.iter().map(|(code, _)| *code).collect();
        assert_eq!(CODES, known);
    }
}
