//! What each event holds. See [`Event`](super::Event) for the rules: **never change one** of these structs.

mod daemon;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::daemon::*;
use super::super::cause::Cause;
use super::super::class::Class;
use super::super::definition::Rate;
use super::super::slot::{Reason, Verdict};
use super::super::space::Room;
use super::{Change, ErrorCounts, FirstError, Outcome, Trigger, Usage};
use crate::ids::{EventId, ExecutionId, ScheduleRef};
use crate::instant::Instant;

/// A definition was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceDefined {
    /// Counts from 1 for each interface.
    pub definition_version: u32,
    /// The whole normalised definition as JSON; secrets are references.
    pub definition: String,
    /// What differs from the version before.
    pub changes: Vec<Change>,
}

/// The interface's file is gone. Its history stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceRemoved {}

/// All schedules of the interface are paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfacePaused {
    /// Why, in the operator's words.
    pub note: Option<String>,
    /// When it resumes by itself; none means until somebody resumes it.
    pub until: Option<Instant>,
}

/// The interface's pause ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceResumed {}

/// The schedule's cursor was set: everything up to it counts as decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleAnchored {
    /// The cursor: slots after it are the next to decide.
    pub cursor: Instant,
    /// The definition version in force.
    pub definition_version: u32,
    /// Why it was set.
    pub why: Anchor,
}

/// Why a schedule's cursor was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anchor {
    /// First seen, or seen again after it had been removed.
    Created,
    /// A timing key changed.
    Edited,
    /// The clock was stepped back by more than three hours.
    Clock,
}

/// A slot's outcome: its execution was opened, in the same append.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotStarted {
    /// The nominal instant.
    pub slot: Instant,
    /// The execution.
    pub execution: ExecutionId,
    /// The definition version in force.
    pub definition_version: u32,
    /// How long after the nominal instant it was decided, in milliseconds.
    pub late_ms: u64,
}

/// A run of slots that started nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotsPassed {
    /// The first nominal instant.
    pub first: Instant,
    /// The last nominal instant.
    pub last: Instant,
    /// How many there are.
    pub count: u64,
    /// `skipped` or `missed`.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The definition version in force.
    pub definition_version: u32,
    /// The version of the zone data in use.
    pub zone_data: String,
    /// The nominal instants, up to 1,000 of them.
    pub instants: Vec<Instant>,
    /// The execution that stood in the way (overlap).
    pub execution: Option<ExecutionId>,
}

/// Slots of the schedule are skipped from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulePaused {
    /// Why, in the operator's words.
    pub note: Option<String>,
    /// When it resumes by itself.
    pub until: Option<Instant>,
}

/// The schedule's pause ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleResumed {}

/// The schedule is no longer in its file. Its history stays; running executions finish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRemoved {}

/// A slot exists whose outcome depends on another schedule's execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotAwaited {
    /// The nominal instant: that of the execution waited for, or of its creation when it has none.
    pub slot: Instant,
    /// The execution waited for; a re-run of it counts for it.
    pub execution: ExecutionId,
    /// Until when it may end as wanted.
    pub deadline: Instant,
    /// The definition version in force.
    pub definition_version: u32,
}

/// A person wants slots of the past run. The openings follow, each an event of its execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillAsked {
    /// The earliest nominal instant asked for.
    pub from: Instant,
    /// Where they end.
    pub to: Instant,
    /// Executions that are opened.
    pub count: u64,
    /// How many of them start in a period; none means one after another without a pause.
    pub rate: Option<Rate>,
}

/// Somebody asked to skip a slot that lies ahead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkipNextAsked {
    /// The nominal instant.
    pub slot: Instant,
    /// The definition version in force.
    pub definition_version: u32,
}

/// The slot is not to be skipped after all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkipNextUndone {
    /// The nominal instant.
    pub slot: Instant,
}

/// An execution exists. It waits until an attempt starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// The schedule that it belongs to (S3-3).
    pub schedule: ScheduleRef,
    /// The nominal instant; none for manual and reboot executions.
    pub slot: Option<Instant>,
    /// What started it.
    pub trigger: Trigger,
    /// The definition version that it runs with, for good.
    pub definition_version: u32,
    /// Parameters by name.
    pub params: BTreeMap<String, String>,
    /// The direct parent of a re-run.
    pub rerun_of: Option<ExecutionId>,
    /// The first of the re-run chain; its own id when it is no re-run.
    pub root: ExecutionId,
    /// What external systems may use to recognise a repetition.
    pub idempotency_key: String,
    /// The preceding nominal instant.
    pub previous_slot: Option<Instant>,
    /// The newest earlier slot whose execution or re-run is ok.
    pub last_ok_slot: Option<Instant>,
    /// Larger runs first.
    pub priority: i32,
    /// Limits, locks and overlap are not asked.
    pub forced: bool,
}

/// An attempt begins. On disk before the command starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptStarted {
    /// From 1.
    pub attempt: u32,
}

/// An attempt is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptEnded {
    /// From 1.
    pub attempt: u32,
    /// The command's exit status, or the HTTP status.
    pub exit_code: Option<i32>,
    /// The signal that ended the command.
    pub signal: Option<i32>,
    /// What the command used.
    pub usage: Option<Usage>,
    /// Whether it did what it should.
    pub outcome: Outcome,
    /// Its cause when it did not.
    pub cause: Option<Cause>,
}

impl AttemptEnded {
    /// An attempt whose end nobody saw, because of `cause`.
    pub const fn unseen(attempt: u32, cause: Cause) -> Self {
        let (exit_code, signal, usage) = (None, None, None);
        Self { attempt, exit_code, signal, usage, outcome: Outcome::Ko, cause: Some(cause) }
    }
}

/// Another attempt follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPlanned {
    /// The attempt that will follow, from 2.
    pub attempt: u32,
    /// When it starts.
    pub at: Instant,
    /// The wait, in milliseconds.
    pub delay_ms: u64,
    /// Whether the external system asked for that wait (`Retry-After`).
    pub asked: bool,
}

/// The first error line of an execution that is still open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorSeen {
    /// The line.
    pub error: FirstError,
}

/// It has been running for longer than it should (S3-17). It goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnomalySeen {
    /// The limit that was passed, in milliseconds.
    pub after_ms: u64,
}

/// A person asked for its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRequested {
    /// Why, in the operator's words.
    pub note: Option<String>,
}

/// The log reached `max_log`; from here on only error lines are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLimited {
    /// The last line kept before.
    pub line: u64,
    /// The limit, in bytes.
    pub max_bytes: u64,
}

/// The disk has little room; from here on only error lines are kept, or fewer, until it has more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogCurtailed {
    /// The last line kept before.
    pub line: u64,
    /// How little.
    pub room: Room,
}

/// The execution is over. Nothing but notes and deliveries follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// How it ended.
    pub outcome: Outcome,
    /// Its class; only for `ko`.
    pub class: Option<Class>,
    /// Its cause; only for `ko`.
    pub cause: Option<Cause>,
    /// The exit status of the last attempt, or its HTTP status.
    pub exit_code: Option<i32>,
    /// Attempts made.
    pub attempts: u32,
    /// Lines in its log.
    pub lines: u64,
    /// Error lines by class, over all attempts.
    pub errors: ErrorCounts,
    /// The line that names the class.
    pub first_error: Option<FirstError>,
    /// BLAKE3 over the hashes of the log's chunks, in order.
    pub log_hash: [u8; 32],
    /// From the first attempt's start to the end, in milliseconds.
    pub duration_ms: u64,
}

/// Somebody wrote something beside an execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// Free text.
    pub text: Option<String>,
    /// The number of an external ticket (S3-12).
    pub reference: Option<String>,
    /// An open KO counts as dealt with.
    pub acknowledged: bool,
}

/// A ping or notice was delivered, or given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryEnded {
    /// The event that it followed from, and which of its effects.
    pub cause: EventId,
    /// `start`, `success`, `fail` or `log` for a ping; `ko`, `recovery`, `anomaly` or `missed` for a notice.
    pub kind: String,
    /// What became of it.
    pub result: Delivery,
    /// Tries made.
    pub tries: u32,
    /// Why it was given up; never an URL.
    pub reason: Option<String>,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// The other side took it.
    Sent,
    /// A later one overtook it, or it was too old.
    Dropped,
    /// The other side refused it for good.
    Failed,
}
