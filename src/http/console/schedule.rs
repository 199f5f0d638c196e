//! `/schedules/{interface}/{schedule}`: what is next, what became of each slot, and what an operator may do about it.

use std::fmt;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use chrono::NaiveDate;

use super::form::{Filters, Posted, address, when};
use super::ledger::{self, Calendar, Ledger, Listed};
use super::marks::{Badge, Rest};
use super::shell::{Section, Shell, page, see_other};
use super::words;
use crate::civil::Zone;
use crate::domain::masking::sounds_secret;
use crate::engine::handle::{Order, Target};
use crate::http::access::Caller;
use crate::http::api::interfaces::pause_of;
use crate::http::api::schedules::{Ahead, Name, ahead, existing, params};
use crate::http::api::why::{Why, tell};
use crate::http::parts::App;
use crate::http::problem::Problem;
use crate::http::reads::Reads;
use crate::ids::{ExecutionId, ScheduleRef};
use crate::instant::Instant;
use crate::projection::view::{Schedule, State as Living};

/// Slots ahead that are shown.
const NEXT: usize = 8;

/// A declared parameter.
struct Param {
    name: String,
    default: Option<String>,
}

/// A slot that lies ahead, with its instant as the clocks of the schedule's zone show it.
struct Coming {
    ahead: Ahead,
    local: String,
}

#[derive(Template)]
#[template(path = "schedule.html", config = "src/http/console/askama.toml")]
struct Page {
    shell: Shell,
    schedule: Schedule,
    /// The execution for which it is red.
    red: Option<ExecutionId>,
    params: Vec<Param>,
    next: Vec<Coming>,
    /// The slot that is to be skipped.
    skipped: Option<Instant>,
    calendar: Calendar,
    /// The month that the calendar ends with, as addresses name it.
    month: String,
    day: Option<Listed>,
    /// A week ago and now, on the clocks of the zone, for the form of a backfill.
    week: (String, String),
}

impl Page {
    fn path(&self) -> String {
        format!("/schedules/{}/{}", self.schedule.interface, self.schedule.schedule)
    }

    fn stream(&self) -> String {
        format!("schedule/{}/{}", self.schedule.interface, self.schedule.schedule)
    }

    fn is_removed(&self) -> bool {
        self.schedule.state == Living::Removed
    }

    /// Whether a day's slots are listed below.
    fn is_day(&self, date: &NaiveDate) -> bool {
        self.day.as_ref().is_some_and(|day| day.date == *date)
    }

    fn link(&self, state: &[(&str, &str)]) -> String {
        address(&self.path(), state)
    }

    fn day_link(&self, date: &NaiveDate) -> String {
        self.link(&[("month", &self.month), ("day", &date.to_string())]) + "#day"
    }
}

/// One schedule.
///
/// # Errors
/// It does not exist, a parameter is wrong, or the lists are being rebuilt.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<Name>,
    Filters(mut input): Filters,
    reads: Reads,
) -> Result<Response, Problem> {
    let day = input.with("day", ledger::day);
    let month = input.with("month", ledger::month);
    let cursor = input.text("cursor", 200);
    input.finish()?;
    let (name, schedule) = existing(&app, &name)?;
    let zone = zone_of(&schedule);
    let now = app.clock.now();
    let month = month.or(day).unwrap_or_else(|| zone.date(now));
    let month = ledger::first_of_month(month);
    let looked_at = Ledger { app: &app, reads: &reads, name: &name, zone: &zone };
    let calendar = looked_at.calendar(month).await?;
    let day = match day {
        Some(day) => Some(looked_at.day(day, cursor).await?),
        None => None,
    };
    let coming = |ahead: Ahead| Coming { local: words::local(&zone, ahead.slot.at), ahead };
    let (red, skipped) = app.engine.board().read(|state| {
        let row = state.schedules.get(&name);
        row.map_or((None, None), |row| (row.red, row.skip_next.as_deref().copied()))
    });
    let reading = |at: Instant| zone.local(at).naive().format("%Y-%m-%dT%H:%M").to_string();
    page(&Page {
        shell: Shell::of(&app, &caller, Section::Schedules, &name.to_string()),
        red,
        params: declared(&app, &name),
        next: ahead(&app, &name, now, NEXT).into_iter().map(coming).collect(),
        skipped,
        calendar,
        month: month.format("%Y-%m").to_string(),
        day,
        week: (reading(Instant::from_millis(now.millis() - 7 * 86_400_000)), reading(now)),
        schedule,
    })
}

/// The schedule's zone; UTC when the zone data lost it.
pub(super) fn zone_of(schedule: &Schedule) -> Zone {
    Zone::load(&schedule.timezone).unwrap_or_else(|_unknown| Zone::utc())
}

/// The parameters that it declares; a default that is a secret is not shown.
fn declared(app: &App, name: &ScheduleRef) -> Vec<Param> {
    let definition = app.engine.definition(&name.interface);
    let schedule = definition.as_ref().and_then(|(it, _)| it.schedules.get(&name.schedule));
    let params = schedule.into_iter().flat_map(|schedule| &schedule.params);
    let shown = |(name, param): (&String, &crate::domain::definition::Param)| {
        let mask =
            |text: &String| if sounds_secret(name) { "***".to_owned() } else { text.clone() };
        Param { name: name.clone(), default: param.default.as_ref().map(mask) }
    };
    params.map(shown).collect()
}

/// What a form of the page asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Run,
    Pause,
    Resume,
    SkipNext,
    UndoSkipNext,
}

impl Wish {
    const ALL: [Self; 5] =
        [Self::Run, Self::Pause, Self::Resume, Self::SkipNext, Self::UndoSkipNext];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::SkipNext => "skip-next",
            Self::UndoSkipNext => "undo-skip-next",
        }
    }

    /// Reads the word that a button stands for.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|wish| wish.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is nothing that can be done here"))
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Runs it, pauses it, ends its pause, skips its next slot or does not.
///
/// # Errors
/// It does not exist, something stands in the way, or a field is wrong.
pub(super) async fn act(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<Name>,
    Posted(mut input): Posted,
) -> Result<Response, Problem> {
    let wish = input.with("do", Wish::read);
    let wish = input.require("do", wish);
    let Some(wish) = wish else { return Err(wrong(input)) };
    let (name, schedule) = existing(&app, &name)?;
    let (path, actor) = (format!("/schedules/{name}"), caller.actor);
    let target = Target::Schedule(name.clone());
    let position = match wish {
        Wish::Run => {
            let (params, force) = (params(&mut input), input.flag("force"));
            input.finish()?;
            let started = app.engine.run(actor, Order { schedule: name, params, force }).await?;
            app.memory.answered(started.position);
            return see_other(&format!("/executions/{}", started.value));
        }
        Wish::Pause => {
            let until = when(&mut input, "until", &zone_of(&schedule));
            let pause = pause_of(&app, input, target, until)?;
            app.engine.pause(actor, pause).await?.position
        }
        Wish::Resume => {
            input.finish()?;
            app.engine.resume(actor, target).await?.position
        }
        Wish::SkipNext => {
            input.finish()?;
            app.engine.skip_next(actor, name).await?.position
        }
        Wish::UndoSkipNext => {
            input.finish()?;
            app.engine.undo_skip_next(actor, name).await?.position
        }
    };
    app.memory.answered(position);
    see_other(&path)
}

/// What is wrong with a form.
pub(super) fn wrong(input: crate::http::input::Input) -> Problem {
    match input.finish() {
        Err(problem) => problem,
        Ok(()) => Problem::invalid_field("do", "is required"),
    }
}

#[derive(Template)]
#[template(path = "why.html", config = "src/http/console/askama.toml")]
struct WhyPage {
    shell: Shell,
    why: Why,
    /// The slot as the clocks of the schedule's zone show it.
    local: Option<String>,
    zone: String,
}

/// Why a slot did what it did; the newest and the next one unless `at` names one.
///
/// # Errors
/// The schedule does not exist, a parameter is wrong, or the lists are being rebuilt.
pub(super) async fn why(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<Name>,
    Filters(mut input): Filters,
    reads: Reads,
) -> Result<Response, Problem> {
    let (_, schedule) = existing(&app, &name)?;
    let zone = zone_of(&schedule);
    let at = when(&mut input, "at", &zone);
    input.finish()?;
    let why = tell(&app, &reads, &name, at).await?;
    let local = why.slot.as_ref().map(|slot| words::local(&zone, slot.at));
    let title = format!("Why: {}/{}", why.interface, why.schedule);
    let shell = Shell::of(&app, &caller, Section::Schedules, &title);
    page(&WhyPage { shell, why, local, zone: schedule.timezone })
}
