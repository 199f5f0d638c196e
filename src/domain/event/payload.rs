//! What each event holds. See [`Event`](super::Event) for the rules: **never change one** of these structs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::cause::Cause;
use super::super::class::Class;
use super::super::definition::Rate;
use super::super::slot::{Reason, Verdict};
use super::super::space::Room;
use super::{Change, ErrorCounts, FirstError, Outcome, Trigger, Usage};
use crate::ids::{EventId, ExecutionId, Position, ScheduleRef};
use crate::instant::Instant;

/// The daemon opened the log and begins to decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStarted {
    /// The program's version.
    pub version: String,
    /// The kernel's boot id; a `@reboot` schedule runs once for each.
    pub boot_id: String,
    /// The version of the zone data in use, such as `2026b`.
    pub zone_data: String,
    /// Executions that the former process left running, and of which nothing ran on.
    pub interrupted: u64,
    /// Executions that the former process left running, and that ran on.
    pub taken_over: u64,
}

/// The daemon stopped in good order. Absent after a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStopped {
    /// Why, such as `SIGTERM`.
    pub reason: String,
    /// Executions that run on without it, for the next process to take over.
    pub running: u64,
}

/// The daemon is to end once nothing runs any more. Until then it starts nothing, and slots wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainAsked {
    /// By what: `drain` for a request, else the signal, such as `SIGTERM`.
    pub by: String,
    /// It ends by then also when something still runs; none means that it waits for all.
    pub deadline: Option<Instant>,
}

/// The wall clock jumped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockStepped {
    /// The instant expected without the jump.
    pub from: Instant,
    /// The instant read after it.
    pub to: Instant,
}

/// A backup of the store was made, and read back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupMade {
    /// The last event in it.
    pub position: Position,
    /// The chain hash after that event, in hex.
    pub head: String,
    /// Its folder.
    pub path: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// Older ones that were deleted for it, by name.
    pub removed: Vec<String>,
}

/// The zones in use were read, for the first time or from other zone data than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZonesRead {
    /// The version of the zone data, such as `2026b`.
    pub zone_data: String,
    /// The version before; none unless it was another one.
    pub before: Option<String>,
    /// The rules of each zone in use for the years ahead, so that the next change can be told from them.
    pub zones: Vec<ZoneRules>,
    /// The zones whose rules for the years ahead are others than before.
    pub changed: Vec<String>,
    /// Slots that moved, the first around each change of a zone, up to 1,000.
    pub moved: Vec<MovedSlot>,
}

/// A zone's rules for a stretch of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneRules {
    /// The IANA name.
    pub name: String,
    /// Seconds east of Greenwich before the first shift.
    pub first_offset: i32,
    /// When the offset changes, in seconds since the epoch, and to how many seconds east of Greenwich; in order.
    pub shifts: Vec<(i64, i32)>,
}

/// A slot that other zone data moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedSlot {
    /// Its schedule.
    pub schedule: ScheduleRef,
    /// Its nominal instant by the zone data before; none when there was no slot.
    pub before: Option<Instant>,
    /// Its nominal instant by the new zone data.
    pub after: Option<Instant>,
}

/// An API token was made. The token itself is never recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCreated {
    /// Short id, shown in lists.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// `viewer`, `operator` or `admin`.
    pub role: String,
    /// SHA-256 of the token, in hex.
    pub hash: String,
}

/// An API token stopped being valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRevoked {
    /// Its short id.
    pub id: String,
}

/// A single-use login link for the console was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginLinkCreated {
    /// Short id of the login, shown as the actor of what its session does.
    pub id: String,
    /// Until when it may be used.
    pub expires: Instant,
}

/// Retention let go of history. A pass records what no longer counts, then that all of it is decided, then what it freed:
/// bytes leave the disk between the second and the third.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryPruned {
    /// Counts the passes, from 1.
    pub pass: u64,
    /// What the pass did.
    pub step: PruneStep,
}

/// What a pass of retention did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PruneStep {
    /// These no longer count from here on.
    Forgotten(Vec<Forgotten>),
    /// All is said that the pass removes. What is removed had no delivery left to make before this instant.
    Decided {
        /// No delivery that arose before it was still owed.
        settled_before: Instant,
        /// Executions, with their events and lines.
        executions: u64,
        /// Executions of which only the lines go.
        lines_of: u64,
    },
    /// The bytes are gone.
    Freed {
        /// Events whose bytes were removed.
        events: u64,
        /// Bytes that the event log became smaller by.
        journal_bytes: u64,
        /// Bytes that the lines became smaller by.
        lines_bytes: u64,
    },
}

/// What is forgotten of one schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// The schedule.
    pub schedule: ScheduleRef,
    /// Executions that go, with the slots that started them, their events and lines.
    pub executions: Vec<ExecutionId>,
    /// Executions that stay and lose their lines.
    pub lines: Vec<ExecutionId>,
    /// Skipped and missed slots up to here go.
    pub slots_until: Option<Instant>,
    /// Slots up to here are decided, whatever is still known of them.
    pub decided_until: Option<Instant>,
}

/// A request with an `Idempotency-Key` got its answer, which a repetition gets again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestAnswered {
    /// The caller's key.
    pub key: String,
    /// BLAKE3 of method, path and body, in hex.
    pub fingerprint: String,
    /// The HTTP status answered.
    pub status: u16,
    /// The `Location` answered.
    pub location: Option<String>,
    /// The body answered.
    pub body: String,
}

/// Files were not accepted; the last accepted versions stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesRefused {
    /// What is wrong, one text for each problem, `fnac.toml:3:8: …`.
    pub problems: Vec<String>,
}

/// The data folder's file system has less room than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskLow {
    /// What is done less from now on.
    pub room: Room,
    /// Bytes that were free, without what the reserve lacks.
    pub free_bytes: u64,
    /// Bytes that the file system has.
    pub total_bytes: u64,
}

/// It has more room than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskRecovered {
    /// What is still done less, unless it is enough.
    pub room: Room,
    /// Bytes that were free, without what the reserve lacks.
    pub free_bytes: u64,
    /// Bytes that the file system has.
    pub total_bytes: u64,
    /// Lines of all executions that were not kept for want of room, since the daemon's start.
    pub lines_dropped: u64,
}

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
