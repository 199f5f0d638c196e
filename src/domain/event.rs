//! Every event that Daybook records, and the envelope around it.
//!
//! Stored as `code`, `version` and a bincode payload (see `store/codec.rs`); shown as JSON with the same field names.
//! Payload structs are positional on disk: **never change one**. A new form gets the next version, the old struct moves
//! to the codec's upcasts, and `tests/golden/` keeps the bytes of each version.

mod payload;

use serde::{Deserialize, Serialize};

pub use self::payload::*;
use super::cause::Cause;
use super::class::Class;
use crate::ids::{EventId, Position, StreamId};
use crate::instant::Instant;

/// Who caused an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// The daemon by itself.
    Daybook,
    /// A person or program at the Unix socket, by its user id.
    Local(u32),
    /// The holder of an API token, by the token's name.
    Token(String),
    /// A session of the console, by the login's id.
    Session(String),
}

/// What started an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// A cron pattern's slot.
    Cron,
    /// A slot of a fixed period.
    Every,
    /// A one-shot slot.
    At,
    /// A person asked.
    Manual,
    /// A person asked for an earlier execution again.
    Rerun,
    /// A person asked for slots of the past.
    Backfill,
    /// A slot that was due while the daemon could not run it.
    CatchUp,
    /// The day's real-time execution.
    Realtime,
    /// A call from outside.
    Webhook,
    /// The machine's start.
    Reboot,
    /// Another schedule's outcome.
    After,
}

impl Trigger {
    /// Whether executions that it starts belong to a series: one after another, oldest first.
    pub const fn is_series(self) -> bool {
        matches!(self, Self::CatchUp | Self::Backfill)
    }

    /// The name used in JSON, labels and the job's environment.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cron => "cron",
            Self::Every => "every",
            Self::At => "at",
            Self::Manual => "manual",
            Self::Rerun => "rerun",
            Self::Backfill => "backfill",
            Self::CatchUp => "catch-up",
            Self::Realtime => "realtime",
            Self::Webhook => "webhook",
            Self::Reboot => "reboot",
            Self::After => "after",
        }
    }
}

/// How a finished execution ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It did what it should.
    Ok,
    /// It did not; a line says why.
    Ko,
    /// A person stopped it.
    Cancelled,
}

impl Outcome {
    /// The name used in JSON and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Ko => "ko",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Error lines by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorCounts {
    /// Lines of class External.
    pub external: u64,
    /// Lines of class Configuration.
    pub configuration: u64,
    /// Lines of class Mapping.
    pub mapping: u64,
    /// Lines of class Technical.
    pub technical: u64,
    /// Lines of class Cascade.
    pub cascade: u64,
}

impl ErrorCounts {
    /// Counts one error line.
    pub const fn add(&mut self, class: Class) {
        match class {
            Class::External => self.external += 1,
            Class::Configuration => self.configuration += 1,
            Class::Mapping => self.mapping += 1,
            Class::Technical => self.technical += 1,
            Class::Cascade => self.cascade += 1,
        }
    }
}

/// The line that names an execution's class: the first error of its last attempt that is no cascade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstError {
    /// Its number, from 1.
    pub line: u64,
    /// Its class.
    pub class: Class,
    /// Its cause.
    pub cause: Cause,
    /// Its text, cut to 2,000 characters.
    pub text: String,
}

/// What a finished command used. Times of the main process and its waited-for children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time in user mode, in milliseconds.
    pub user_ms: u64,
    /// Processor time in the kernel, in milliseconds.
    pub system_ms: u64,
    /// Largest resident set, in bytes; 0 when it was no larger than the daemon's own, which cannot be told from it.
    pub max_rss_bytes: u64,
}

/// One difference between two definitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Dotted path of the key, such as `schedules.sales.cron`.
    pub path: String,
    /// The value before, as JSON; none when it is new.
    pub from: Option<String>,
    /// The value after, as JSON; none when it was removed.
    pub to: Option<String>,
}

/// Declares the events: variant, code (append only), name. The payload struct has the variant's name.
macro_rules! events {
    ($($variant:ident = $code:literal, $name:literal;)*) => {
        /// One recorded fact.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Event {
            $(#[doc = concat!("See [`", stringify!($variant), "`].")] $variant($variant),)*
        }

        impl Event {
            /// The number written in front of the payload on disk. Append only.
            pub const fn code(&self) -> u16 {
                match self { $(Self::$variant(_) => $code,)* }
            }

            /// The name shown as `type`.
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }

            /// The payload as JSON.
            ///
            /// # Errors
            /// Never for the types in this module; the signature is serde's.
            pub fn to_json(&self) -> serde_json::Result<serde_json::Value> {
                match self { $(Self::$variant(payload) => serde_json::to_value(payload),)* }
            }
        }

        /// All codes with their names, in table order.
        pub const EVENT_NAMES: &[(u16, &str)] = &[$(($code, $name),)*];

        $(impl From<$variant> for Event {
            fn from(payload: $variant) -> Self { Self::$variant(payload) }
        }

        impl $variant {
            /// The number of these events on disk.
            pub const CODE: u16 = $code;
        })*
    };
}

events! {
    DaemonStarted = 1, "daemon-started";
    DaemonStopped = 2, "daemon-stopped";
    ClockStepped = 3, "clock-stepped";
    TokenCreated = 4, "token-created";
    TokenRevoked = 5, "token-revoked";
    LoginLinkCreated = 6, "login-link-created";
    RequestAnswered = 7, "request-answered";
    FilesRefused = 8, "files-refused";
    ZonesRead = 9, "zones-read";
    DrainAsked = 10, "drain-asked";
    DiskLow = 12, "disk-low";
    DiskRecovered = 13, "disk-recovered";
    HistoryPruned = 14, "history-pruned";
    BackupMade = 15, "backup-made";
    InterfaceDefined = 20, "interface-defined";
    InterfaceRemoved = 21, "interface-removed";
    InterfacePaused = 22, "interface-paused";
    InterfaceResumed = 23, "interface-resumed";
    ScheduleAnchored = 40, "schedule-anchored";
    SlotStarted = 41, "slot-started";
    SlotsPassed = 42, "slots-passed";
    SchedulePaused = 43, "schedule-paused";
    ScheduleResumed = 44, "schedule-resumed";
    ScheduleRemoved = 45, "schedule-removed";
    SlotAwaited = 46, "slot-awaited";
    SkipNextAsked = 47, "skip-next-asked";
    SkipNextUndone = 48, "skip-next-undone";
    BackfillAsked = 49, "backfill-asked";
    Opened = 60, "opened";
    AttemptStarted = 61, "attempt-started";
    AttemptEnded = 62, "attempt-ended";
    RetryPlanned = 63, "retry-planned";
    ErrorSeen = 64, "error-seen";
    AnomalySeen = 65, "anomaly-seen";
    CancelRequested = 66, "cancel-requested";
    LogLimited = 67, "log-limited";
    Closed = 68, "closed";
    Noted = 69, "noted";
    LogCurtailed = 71, "log-curtailed";
    DeliveryEnded = 80, "delivery-ended";
}

/// An event with all that the log knows about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Place in the whole log.
    pub position: Position,
    /// The stream.
    pub stream: StreamId,
    /// Place in the stream, from 1.
    pub version: u64,
    /// Its id.
    pub id: EventId,
    /// When it was recorded.
    pub at: Instant,
    /// Who caused it.
    pub actor: Actor,
    /// What belongs together: the first event of the story.
    pub correlation: Option<EventId>,
    /// The event that led to this one.
    pub causation: Option<EventId>,
    /// BLAKE3 over the stored bytes.
    pub hash: [u8; 32],
    /// The fact.
    pub event: Event,
}
