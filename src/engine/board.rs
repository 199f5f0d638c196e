//! What the engine shows: compact rows that it changes one by one, and readers copy out without asking it.
//!
//! The lock is held for the length of a copy, never across an await. Only the engine writes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use super::slots::zone_of;
use crate::domain::closing::Closings;
use crate::domain::definition::{self, Timing};
use crate::domain::event::RequestAnswered;
use crate::domain::policy::{Paused, Wishes};
use crate::domain::schedule::Awaiting;
use crate::domain::timing::Plan;
use crate::ids::{ExecutionId, InterfaceId, Position, ScheduleId, ScheduleRef};
use crate::instant::Instant;
use crate::projection::view;

/// What readers see.
#[derive(Debug, Default)]
pub struct Board {
    state: RwLock<BoardState>,
}

impl Board {
    /// Copies something out.
    pub fn read<T>(&self, copy: impl FnOnce(&BoardState) -> T) -> T {
        copy(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes something. For the engine alone.
    pub fn write<T>(&self, change: impl FnOnce(&mut BoardState) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// All rows.
#[derive(Debug, Default)]
pub struct BoardState {
    /// When the daemon began to decide.
    pub started_at: Instant,
    /// The newest event on disk that the engine knows of.
    pub position: Position,
    /// Interfaces by id, removed ones included.
    pub interfaces: BTreeMap<InterfaceId, InterfaceRow>,
    /// Schedules by name, removed ones included.
    pub schedules: BTreeMap<ScheduleRef, ScheduleRow>,
    /// Executions that wait or run.
    pub open: BTreeMap<ExecutionId, OpenRow>,
    /// Live tokens, oldest first.
    pub tokens: Vec<TokenRow>,
    /// Answers of the last 24 hours by idempotency key.
    pub answers: HashMap<String, AnswerRow>,
    /// What is accepted of the files.
    pub files: Files,
    /// Whether the engine can decide and record.
    pub health: Health,
}

impl BoardState {
    /// The schedules of an interface, by name.
    pub fn schedules_of<'b>(
        &'b self,
        interface: &'b InterfaceId,
    ) -> impl Iterator<Item = (&'b ScheduleRef, &'b ScheduleRow)> + 'b {
        let defined = self.interfaces.get(interface).into_iter();
        let named = defined.flat_map(|row| row.definition.schedules.keys());
        named.filter_map(|schedule| {
            let name = ScheduleRef { interface: interface.clone(), schedule: schedule.clone() };
            self.schedules.get_key_value(&name)
        })
    }
}

/// An interface.
#[derive(Clone, Debug)]
pub struct InterfaceRow {
    /// The newest accepted definition.
    pub definition: Arc<definition::Interface>,
    /// Its version.
    pub definition_version: u32,
    /// Active, paused or removed.
    pub state: view::State,
    /// Its pause.
    pub paused: Option<view::Paused>,
    /// Whether a schedule's newest finished execution is an open KO.
    pub red: bool,
    /// When an execution last ended ok.
    pub last_ok_at: Option<Instant>,
}

/// A schedule.
#[derive(Clone, Debug)]
pub struct ScheduleRow {
    /// The newest accepted definition of its interface; a removed schedule is not in it.
    pub definition: Arc<definition::Interface>,
    /// Whether its slots run.
    pub state: view::State,
    /// Its pause, or its interface's when that one lasts longer.
    pub paused: Option<Box<view::Paused>>,
    /// The next nominal instant.
    pub next: Option<Instant>,
    /// The slot that somebody asked to skip.
    pub skip_next: Option<Box<Instant>>,
    /// Slots that wait for the schedule that it follows, by nominal instant. Boxed, since hardly any of many schedules has one.
    pub awaiting: Option<Box<BTreeMap<Instant, Awaiting>>>,
    /// The newest execution.
    pub last: Option<view::Last>,
    /// The newest finished execution when it is an open KO.
    pub red: Option<ExecutionId>,
    /// When an execution last ended ok.
    pub last_ok_at: Option<Instant>,
}

/// An execution that waits or runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRow {
    /// Its schedule.
    pub schedule: ScheduleRef,
    /// Queued or running.
    pub status: view::Status,
    /// Since when it is that.
    pub since: Instant,
}

impl ScheduleRow {
    /// What people and files want of its slots, as things stand; `id` is its own bare id.
    pub fn wishes(&self, id: &ScheduleId) -> Wishes<'_> {
        let until = self.paused.as_ref().and_then(|paused| paused.until);
        let definition = self.definition.schedules.get(id);
        Wishes {
            disabled: self.state == view::State::Disabled,
            paused: (self.state == view::State::Paused).then_some(Paused { until }),
            closings: definition.and_then(|one| Closings::of(&self.definition, one, zone_of)),
            skip_next: self.skip_next.as_deref().copied(),
        }
    }
}

/// A token that is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Short id.
    pub id: String,
    /// What people call it; unique among the live ones.
    pub name: String,
    /// `viewer`, `operator` or `admin`.
    pub role: String,
    /// SHA-256 of the token, in hex.
    pub hash: String,
    /// When it was made.
    pub created_at: Instant,
}

/// An answer that a repetition gets again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerRow {
    /// When it was given.
    pub at: Instant,
    /// The answer.
    pub answer: RequestAnswered,
}

/// What is accepted of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Problems, one text for each; none when all files are accepted.
    pub problems: Vec<String>,
    /// When the files were last read.
    pub read_at: Option<Instant>,
}

/// The daemon is about to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draining {
    /// When that was asked for.
    pub since: Instant,
    /// It ends by then also when something still runs; none means that it waits for all.
    pub deadline: Option<Instant>,
}

/// Whether the engine can decide and record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Slots are decided: start-up is over.
    pub deciding: bool,
    /// Nothing is started any more; the daemon ends when nothing runs.
    pub draining: Option<Draining>,
    /// Why the log accepts nothing.
    pub append_error: Option<String>,
}

/// An interface in the shape that people see.
pub fn interface_view(state: &BoardState, id: &InterfaceId) -> Option<view::Interface> {
    let row = state.interfaces.get(id)?;
    let definition = &row.definition;
    Some(view::Interface {
        id: id.clone(),
        name: definition.name.clone(),
        kind: definition.kind.clone(),
        timezone: definition.timezone.clone(),
        owner: definition.owner.clone(),
        state: row.state,
        paused: row.paused.clone(),
        red: row.red,
        schedules: definition.schedules.keys().cloned().collect(),
        last_ok_at: row.last_ok_at,
        definition_version: row.definition_version,
    })
}

/// The plan of a schedule that is defined. Definitions were checked when they were accepted; none is left only when the
/// zone data lost the zone since.
pub fn plan(definition: &definition::Schedule) -> Option<Plan> {
    let zone = zone_of(&definition.timezone)?;
    Plan::new(&definition.timing, &zone, definition.dst).ok()
}

/// A schedule in the shape that people see.
pub fn schedule_view(name: &ScheduleRef, row: &ScheduleRow) -> view::Schedule {
    let definition = row.definition.schedules.get(&name.schedule);
    let timing = definition.map_or(&Timing::Manual, |definition| &definition.timing);
    let plan = definition.and_then(plan);
    view::Schedule {
        interface: name.interface.clone(),
        schedule: name.schedule.clone(),
        kind: timing.kind().to_owned(),
        expression: plan.as_ref().and_then(Plan::expression),
        description: plan.as_ref().map_or_else(String::new, Plan::describe),
        timezone: definition.map_or(&row.definition.timezone, |d| &d.timezone).clone(),
        state: row.state,
        paused: row.paused.as_deref().cloned(),
        next: row.next.into_iter().collect(),
        last: row.last.clone(),
    }
}
