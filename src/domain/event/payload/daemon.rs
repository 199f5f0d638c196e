//! What the events of the daemon's own stream hold.

use serde::{Deserialize, Serialize};

use crate::domain::space::Room;
use crate::ids::{ExecutionId, Position, ScheduleRef};
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
