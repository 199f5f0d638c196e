//! The shapes that people and programs see: the same over HTTP and in `--json` (contract, section 5.1).
//!
//! Unknown is null, never absent. Instants are RFC 3339 UTC with milliseconds, durations end in `_ms`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::cause::Cause;
use crate::domain::class::Class;
use crate::domain::event::{ErrorCounts, Outcome, Trigger};
use crate::domain::slot::Reason;
use crate::ids::{ExecutionId, InterfaceId, Position, ScheduleId};
use crate::instant::Instant;

/// Where an execution is in its life.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Opened, waits for its turn.
    Queued,
    /// An attempt runs, or a retry is planned.
    Running,
    /// Ended well.
    Ok,
    /// Ended badly.
    Ko,
    /// A person stopped it.
    Cancelled,
}

impl Status {
    /// The name used in JSON and filters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Ok => "ok",
            Self::Ko => "ko",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it is over.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Ok | Self::Ko | Self::Cancelled => true,
        }
    }
}

impl From<Outcome> for Status {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Ok => Self::Ok,
            Outcome::Ko => Self::Ko,
            Outcome::Cancelled => Self::Cancelled,
        }
    }
}

/// One execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Execution {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    pub id: ExecutionId,
    /// The interface.
    #[schema(value_type = String)]
    pub interface: InterfaceId,
    /// The bare id of the schedule.
    #[schema(value_type = String)]
    pub schedule: ScheduleId,
    /// The nominal instant.
    #[schema(value_type = Option<String>, format = "date-time")]
    pub slot: Option<Instant>,
    /// What started it.
    #[schema(value_type = String)]
    pub trigger: Trigger,
    /// Where it is in its life.
    pub status: Status,
    /// Whose move it is; only for `ko`.
    #[schema(value_type = Option<String>)]
    pub class: Option<Class>,
    /// The cause under the class.
    #[schema(value_type = Option<String>)]
    pub cause: Option<Cause>,
    /// When it was opened.
    #[schema(value_type = String, format = "date-time")]
    pub created_at: Instant,
    /// When its first attempt started.
    #[schema(value_type = Option<String>, format = "date-time")]
    pub started_at: Option<Instant>,
    /// When it was closed.
    #[schema(value_type = Option<String>, format = "date-time")]
    pub ended_at: Option<Instant>,
    /// From the first attempt's start to the end.
    pub duration_ms: Option<u64>,
    /// Attempts started.
    pub attempts: u32,
    /// Exit status of the last attempt, or its HTTP status.
    pub exit_code: Option<i32>,
    /// Parameters by name.
    pub params: BTreeMap<String, String>,
    /// The direct parent of a re-run.
    #[schema(value_type = Option<String>, format = "uuid")]
    pub rerun_of: Option<ExecutionId>,
    /// The first of the re-run chain; itself when it is no re-run.
    #[schema(value_type = String, format = "uuid")]
    pub root: ExecutionId,
    /// All descendants, oldest first.
    #[schema(value_type = Vec<String>)]
    pub reruns: Vec<ExecutionId>,
    /// The descendant that ended ok.
    #[schema(value_type = Option<String>, format = "uuid")]
    pub solved_by: Option<ExecutionId>,
    /// The execution of a later slot that ended ok.
    #[schema(value_type = Option<String>, format = "uuid")]
    pub superseded_by: Option<ExecutionId>,
    /// Who dealt with it.
    pub acknowledged: Option<Remark>,
    /// What people wrote beside it, oldest first.
    pub notes: Vec<Note>,
    /// Who asked for its end.
    pub cancel_requested: Option<Remark>,
    /// Numbers of external tickets.
    pub references: Vec<String>,
    /// What external systems may use to recognise a repetition.
    pub idempotency_key: String,
    /// The definition version that it runs with.
    pub definition_version: u32,
    /// Lines in its log.
    pub lines: u64,
    /// When retention took its lines; null while they are there.
    #[schema(value_type = Option<String>, format = "date-time")]
    pub lines_pruned_at: Option<Instant>,
    /// Error lines by class.
    #[schema(value_type = Object)]
    pub errors: ErrorCounts,
    /// The line that names the class.
    pub first_error: Option<FirstError>,
    /// That it took longer than it should.
    pub anomaly: Option<Anomaly>,
    /// The position of its opening; lists go by it.
    #[schema(value_type = u64)]
    pub position: Position,
}

/// Who did something by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Remark {
    /// When.
    #[schema(value_type = String, format = "date-time")]
    pub at: Instant,
    /// Who.
    pub actor: String,
    /// What they wrote.
    pub note: Option<String>,
}

/// What somebody wrote beside an execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Note {
    /// When.
    #[schema(value_type = String, format = "date-time")]
    pub at: Instant,
    /// Who.
    pub actor: String,
    /// The text.
    pub text: String,
}

/// A pause that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Paused {
    /// When it was said.
    #[schema(value_type = String, format = "date-time")]
    pub at: Instant,
    /// By whom.
    pub actor: Option<String>,
    /// Why, in their words.
    pub note: Option<String>,
    /// When it ends by itself; null means when somebody ends it.
    #[schema(value_type = Option<String>, format = "date-time")]
    pub until: Option<Instant>,
}

/// The line that names an execution's class, with its required action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FirstError {
    /// Its number, from 1.
    pub line: u64,
    /// Its class.
    #[schema(value_type = String)]
    pub class: Class,
    /// Its cause.
    #[schema(value_type = String)]
    pub cause: Cause,
    /// Its text, cut to 2,000 characters.
    pub text: String,
    /// What to do.
    pub action: String,
}

/// That an execution took longer than it should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Anomaly {
    /// When it was noticed.
    #[schema(value_type = String, format = "date-time")]
    pub at: Instant,
    /// The limit that was passed.
    pub after_ms: u64,
}

/// What became of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SlotOutcome {
    /// An execution was opened.
    Started,
    /// Somebody or some rule wanted it so.
    Skipped,
    /// Nobody wanted it so.
    Missed,
    /// It lies ahead, or is being decided.
    Pending,
}

/// One row of a schedule's ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Slot {
    /// The interface.
    #[schema(value_type = String)]
    pub interface: InterfaceId,
    /// The bare id of the schedule.
    #[schema(value_type = String)]
    pub schedule: ScheduleId,
    /// The nominal instant.
    #[schema(value_type = String, format = "date-time")]
    pub at: Instant,
    /// What became of it.
    pub outcome: SlotOutcome,
    /// Why nothing was started; of a pending one, why it will be skipped as things stand.
    #[schema(value_type = Option<String>)]
    pub reason: Option<Reason>,
    /// The execution.
    #[schema(value_type = Option<String>, format = "uuid")]
    pub execution: Option<ExecutionId>,
}

/// Whether a schedule's slots run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = LivingState)]
pub enum State {
    /// They do.
    Active,
    /// A person paused it or its interface.
    Paused,
    /// Its file switches it off.
    Disabled,
    /// It is no longer in its file.
    Removed,
}

/// One schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Schedule {
    /// The interface.
    #[schema(value_type = String)]
    pub interface: InterfaceId,
    /// The bare id.
    #[schema(value_type = String)]
    pub schedule: ScheduleId,
    /// `cron`, `every`, `at`, `manual` or `reboot`.
    pub kind: String,
    /// The pattern, period or instant as it stands in the file.
    pub expression: Option<String>,
    /// The same in words.
    pub description: String,
    /// IANA name.
    pub timezone: String,
    /// Whether its slots run.
    pub state: State,
    /// Its pause, or its interface's when that one lasts longer; null when it is not paused.
    pub paused: Option<Paused>,
    /// The next nominal instants.
    #[schema(value_type = Vec<String>)]
    pub next: Vec<Instant>,
    /// The newest execution.
    pub last: Option<Last>,
}

/// A schedule's newest execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Last {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    pub execution: ExecutionId,
    /// Where it is in its life.
    pub status: Status,
    /// When it ended, or was opened while it is open.
    #[schema(value_type = String, format = "date-time")]
    pub at: Instant,
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Interface {
    /// Its id.
    #[schema(value_type = String)]
    pub id: InterfaceId,
    /// What people call it.
    pub name: String,
    /// The kind of external system.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// IANA name.
    pub timezone: String,
    /// Who looks after it.
    pub owner: Option<String>,
    /// Whether its schedules run.
    pub state: State,
    /// Its pause; null when it is not paused.
    pub paused: Option<Paused>,
    /// Whether a schedule's newest finished execution is an open KO.
    pub red: bool,
    /// Bare ids of its schedules.
    #[schema(value_type = Vec<String>)]
    pub schedules: Vec<ScheduleId>,
    /// When an execution last ended ok.
    #[schema(value_type = Option<String>, format = "date-time")]
    pub last_ok_at: Option<Instant>,
    /// The version in force.
    pub definition_version: u32,
}

/// How fresh an interface's data are: what is to be expected of the schedule that is furthest behind, or whose new data come first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Freshness {
    /// The bare id of the schedule.
    #[schema(value_type = String)]
    pub schedule: ScheduleId,
    /// When it last ended ok.
    #[schema(value_type = String, format = "date-time")]
    pub last_ok_at: Instant,
    /// Its first slot since then that nothing speaks against: new data were or are expected from it.
    #[schema(value_type = String, format = "date-time")]
    pub expected_at: Instant,
    /// Whether the slot after that one has come as well: an execution may take until then.
    pub behind: bool,
}

/// One event as people see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Place in the whole log.
    #[schema(value_type = u64)]
    pub position: Position,
    /// The stream.
    pub stream: String,
    /// Place in the stream.
    pub version: u64,
    /// Its name, such as `slot-started`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it was recorded.
    #[schema(value_type = String, format = "date-time")]
    pub at: Instant,
    /// Who caused it: `daybook`, `local:<uid>`, `token:<name>` or `session:<id>`.
    pub actor: String,
    /// The first event of the story.
    pub correlation: Option<String>,
    /// The event that led to it.
    pub causation: Option<String>,
    /// BLAKE3 over the stored bytes, in hex.
    pub hash: String,
    /// The payload.
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
}

/// Up to where retention took a schedule's slots: of those before, some or all are no longer known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SlotsPruned {
    /// Slots up to this instant, which belongs to them, may be gone.
    #[schema(value_type = String, format = "date-time")]
    pub until: Instant,
    /// When some were last taken.
    #[schema(value_type = String, format = "date-time")]
    pub at: Instant,
    /// The event `history-pruned` that says so.
    #[schema(value_type = u64)]
    pub position: Position,
}

/// A list of a schedule's slots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SlotPage {
    /// The rows.
    pub items: Vec<Slot>,
    /// The cursor of the next page.
    pub next: Option<String>,
    /// On the last page, when slots that were asked for are gone: what retention took.
    pub pruned: Option<SlotsPruned>,
}

/// A list of something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// The cursor of the next page.
    pub next: Option<String>,
}
