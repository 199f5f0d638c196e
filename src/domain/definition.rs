//! An interface's definition as it stands in its file, normalised: every default filled in, every name checked.
//!
//! It is stored as JSON inside `InterfaceDefined`, so a new key needs a serde default and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::blackout::Blackout;
use super::calendar::Calendar;
use super::cause::Cause;
use super::class::Class;
use super::event::{Outcome, Trigger};
use crate::ids::{CalendarId, InterfaceId, ScheduleId, ScheduleRef};
use crate::instant::Instant;

/// One external interface: `schedules/<id>.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interface {
    /// The file's stem.
    pub id: InterfaceId,
    /// What people call it; the id unless given.
    pub name: String,
    /// The kind of external system, such as `external-sales`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// IANA name; default for the schedules.
    pub timezone: String,
    /// Who looks after it.
    pub owner: Option<String>,
    /// Where its runbook is.
    pub runbook: Option<String>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// How long history is kept.
    pub retention: Retention,
    /// Where notices go.
    pub notify: Option<String>,
    /// Variables for every command.
    pub env: BTreeMap<String, EnvValue>,
    /// How much at once and how often.
    pub limits: Limits,
    /// Classification rules, tried in order before the built-in ones.
    pub rules: Vec<Rule>,
    /// When nothing of it runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blackout: Vec<Blackout>,
    /// The calendars that it and its schedules name, as their files said when it was accepted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub calendars: BTreeMap<CalendarId, Calendar>,
    /// The schedules by bare id.
    pub schedules: BTreeMap<ScheduleId, Schedule>,
}

/// How long an interface's history is kept; none means for ever.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Retention {
    /// Executions that ended ok, in milliseconds.
    pub ok_ms: Option<u64>,
    /// Executions that ended ko, in milliseconds.
    pub ko_ms: Option<u64>,
    /// Log lines, in milliseconds.
    pub lines_ms: Option<u64>,
    /// Executions at most.
    pub count: Option<u64>,
    /// Bytes of lines at most.
    pub bytes: Option<u64>,
}

/// A variable's value, or where to read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvValue {
    /// The text itself; may hold templates.
    Text(String),
    /// A credential by name: `$CREDENTIALS_DIRECTORY/x`, else `<data>/credentials/x`. Secret.
    Credential(String),
    /// A file. Secret.
    File(String),
    /// A variable of the daemon. Secret.
    FromEnv(String),
}

/// How much at once and how often.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Executions of the interface at once; none means only the daemon's limit.
    pub concurrent: Option<u32>,
    /// Calls to the external system.
    pub rate: Option<Rate>,
}

/// So many in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// The period in milliseconds.
    pub per_ms: u64,
}

/// A classification rule of an interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// How the line is compared.
    pub when: Match,
    /// The class it gets.
    pub class: Class,
    /// The cause it gets; the class's `…-OTHER`, or `TEC-UNCLASSIFIED`, unless given.
    pub cause: Cause,
}

/// How a rule compares a line. Letters' case does not count in `Contains` and `Equals`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Match {
    /// The text stands somewhere in the line.
    Contains(String),
    /// The line is this text, apart from white space around it.
    Equals(String),
    /// A regular expression matches somewhere in the line.
    Matches(String),
}

/// One schedule of an interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// False switches it off; its slots are `skipped(disabled)`.
    pub enabled: bool,
    /// When.
    pub timing: Timing,
    /// IANA name; the interface's unless given.
    pub timezone: String,
    /// What.
    pub job: Job,
    /// The working folder; relative to the folder that holds the schedules folder.
    pub cwd: String,
    /// Declared parameters.
    pub params: BTreeMap<String, Param>,
    /// Exit statuses that count as success.
    pub ok_exit: Vec<i32>,
    /// For each attempt; none means no timeout.
    pub timeout_ms: Option<u64>,
    /// An anomaly from here on.
    pub anomaly_after_ms: u64,
    /// Automatic retries.
    pub retry: Retry,
    /// What to do when an execution is open already.
    pub overlap: Overlap,
    /// What to do about slots that were not run in time.
    pub catch_up: CatchUp,
    /// What daylight saving does to it.
    pub dst: Dst,
    /// Its part in the interface.
    pub role: Role,
    /// What to do when the daemon or machine stopped under it.
    pub on_interrupt: OnInterrupt,
    /// After so many bytes only error lines are kept.
    pub max_log_bytes: u64,
    /// The dead-man monitor's URL. A secret of sorts: never in a label or a line.
    pub ping: Option<String>,
    /// Larger runs first.
    pub priority: i32,
    /// A lock by name, shared by the schedules of all interfaces that must not run together.
    #[serde(default)]
    pub lock: Option<String>,
    /// Live slots start up to so many milliseconds later, always by the same delay.
    #[serde(default)]
    pub splay_ms: u64,
    /// On which dates it runs. Boxed, since most of many schedules have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendars: Option<Box<ScheduleCalendars>>,
}

/// The calendars of a schedule; they count in its zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScheduleCalendars {
    /// It does not run on their dates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<CalendarId>,
    /// It runs on their dates alone, unless empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<CalendarId>,
}

/// When a schedule's slots are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    /// A cron pattern in the schedule's zone.
    Cron(String),
    /// A fixed period, from 1970-01-01T00:00Z or from the anchor.
    Every {
        /// The period.
        period_ms: u64,
        /// Where counting starts.
        anchor: Option<Instant>,
    },
    /// Once, at a local time in the schedule's zone (`2026-12-24T18:00`).
    At(String),
    /// Only when somebody asks.
    Manual,
    /// Once for each start of the machine.
    Reboot,
    /// When another schedule's execution for the same slot has ended.
    After(After),
}

/// Which end of another schedule's execution a slot waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct After {
    /// The schedule that is followed, of any interface.
    pub schedule: ScheduleRef,
    /// How its execution must end.
    pub outcome: Awaited,
    /// How long after its opening it may end so, in milliseconds; then the slot is `skipped(dependency)`.
    pub deadline_ms: u64,
}

/// How an execution that is waited for must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Awaited {
    /// Well.
    Ok,
    /// Badly.
    Ko,
    /// Either way; a cancelled one has not ended so.
    Any,
}

impl Awaited {
    /// Whether an execution that ended with `outcome` is what is waited for.
    pub const fn met_by(self, outcome: Outcome) -> bool {
        match self {
            Self::Ok => matches!(outcome, Outcome::Ok),
            Self::Ko => matches!(outcome, Outcome::Ko),
            Self::Any => matches!(outcome, Outcome::Ok | Outcome::Ko),
        }
    }

    /// The name used in the files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Ko => "ko",
            Self::Any => "any",
        }
    }
}

impl Timing {
    /// The trigger of executions that it starts by itself; for a manual one, that of a person.
    pub const fn trigger(&self) -> Trigger {
        match self {
            Self::Cron(_) => Trigger::Cron,
            Self::Every { .. } => Trigger::Every,
            Self::At(_) => Trigger::At,
            Self::Manual => Trigger::Manual,
            Self::Reboot => Trigger::Reboot,
            Self::After(_) => Trigger::After,
        }
    }

    /// The name shown as a schedule's kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Cron(_) => "cron",
            Self::Every { .. } => "every",
            Self::At(_) => "at",
            Self::Manual => "manual",
            Self::Reboot => "reboot",
            Self::After(_) => "after",
        }
    }
}

impl Interface {
    /// Whether the two differ in a key that moves a schedule's slots: its timing, zone or daylight saving rule.
    pub fn retimed(&self, newer: &Self, schedule: &ScheduleId) -> bool {
        let timing = |interface: &Self| {
            interface.schedules.get(schedule).map(|s| (s.timing.clone(), s.timezone.clone(), s.dst))
        };
        timing(self) != timing(newer)
    }

    /// The calendars that it and its schedules name.
    pub fn named_calendars(&self) -> BTreeSet<&CalendarId> {
        let blackouts = self.blackout.iter().filter_map(|blackout| match blackout {
            Blackout::Calendar(name) => Some(name),
            Blackout::Weekly { .. } | Blackout::Once { .. } => None,
        });
        let schedules = self.schedules.values().filter_map(|one| one.calendars.as_deref());
        blackouts
            .chain(schedules.flat_map(|named| named.exclude.iter().chain(&named.only)))
            .collect()
    }
}

/// What a schedule runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// A program with its arguments; templates are filled in, no shell is between.
    Command(Vec<String>),
    /// A text for `/bin/sh -c`; no templates, use the variables.
    Shell(String),
    /// One HTTP call; boxed, for most schedules have none.
    Http(Box<Http>),
}

/// One HTTP call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Http {
    /// `GET` unless given.
    pub method: String,
    /// The address; may hold templates.
    pub url: String,
    /// Headers; values may hold templates or be credentials.
    pub headers: BTreeMap<String, EnvValue>,
    /// The body; may hold templates.
    pub body: Option<String>,
    /// Statuses that count as success; any 2xx when empty.
    pub expect: Vec<u16>,
    /// Bytes of the answer that are read at most.
    pub max_body_bytes: u64,
}

/// A declared parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Param {
    /// The value unless given; may hold templates. None makes the parameter required.
    pub default: Option<String>,
}

/// Automatic retries inside an execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// All attempts, the first included; 1 means no retry.
    pub attempts: u32,
    /// The wait before the second attempt, in milliseconds.
    pub delay_ms: u64,
    /// What each further wait is multiplied by.
    pub factor: f64,
    /// The longest wait, in milliseconds.
    pub max_delay_ms: u64,
    /// Classes that are tried again; all when empty.
    pub on: Vec<Class>,
}

impl Default for Retry {
    /// One attempt; the waits apply as soon as `attempts` is raised.
    fn default() -> Self {
        Self { attempts: 1, delay_ms: 30_000, factor: 2.0, max_delay_ms: 600_000, on: Vec::new() }
    }
}

/// What to do when an execution of the schedule is open already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// The slot is `skipped(overlap)`.
    Skip,
    /// Both run.
    Allow,
    /// It waits, and takes the place of one that waits already: that one is cancelled.
    Queue,
    /// It waits; all run one after another.
    QueueAll,
    /// The open ones are cancelled, and it runs when they have ended.
    CancelRunning,
}

/// What to do about slots that were not run in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatchUp {
    /// Which of them run.
    pub mode: CatchUpMode,
    /// How far back, in milliseconds.
    pub window_ms: u64,
    /// In mode `all`: the newest so many.
    #[serde(default = "catch_up_max")]
    pub max: u32,
    /// How many of them start in a period; none means one after another without a pause.
    #[serde(default)]
    pub rate: Option<Rate>,
}

/// How many slots mode `all` catches up unless its file says otherwise (contract, section 3).
const CATCH_UP_MAX: u32 = 24;

const fn catch_up_max() -> u32 {
    CATCH_UP_MAX
}

impl Default for CatchUp {
    fn default() -> Self {
        let max = CATCH_UP_MAX;
        Self { mode: CatchUpMode::Last, window_ms: 86_400_000, max, rate: None }
    }
}

/// Which missed slots run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CatchUpMode {
    /// None of them.
    None,
    /// The newest one inside the window.
    Last,
    /// The newest `max` inside the window, oldest first.
    All,
}

/// What daylight saving does to a schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dst {
    /// For a local time that does not exist. None takes the pattern's own rule.
    pub gap: Option<Gap>,
    /// For a local time that comes twice. None takes the pattern's own rule.
    pub fold: Option<Fold>,
}

/// For a local time that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gap {
    /// Run at the first instant after the gap.
    Shift,
    /// Do not run.
    Skip,
}

/// For a local time that comes twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fold {
    /// Run on the first pass only.
    First,
    /// Run on the second pass only.
    Last,
    /// Run on both.
    Both,
}

/// A schedule's part in its interface (S2-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The regular exchange.
    Regular,
    /// The processing of earlier errors.
    Errors,
    /// Upkeep.
    Maintenance,
}

/// What to do when the daemon or machine stopped under an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnInterrupt {
    /// It is KO; a person decides.
    Ko,
    /// It is KO, and a new execution is opened at once.
    Rerun,
}
