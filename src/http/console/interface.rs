//! `/interfaces/{interface}`: how it is defined and was, how its executions went, and what an operator may do about it.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::Value;

use super::charts::{BARS_MAX, Durations, Grid};
use super::form::{Filters, Posted, when};
use super::markdown::Inline;
use super::marks::{Badge, Fresh, Rest};
use super::schedule::{Wish, wrong};
use super::shell::{Section, Shell, page, see_other};
use super::words;
use crate::civil::Zone;
use crate::config::document;
use crate::domain::masking::masked;
use crate::engine::handle::Target;
use crate::http::access::Caller;
use crate::http::api::interfaces::{existing, fresh, look, pause_of};
use crate::http::parts::App;
use crate::http::problem::Problem;
use crate::http::reads::Reads;
use crate::ids::{InterfaceId, ScheduleId, StreamId};
use crate::jobs::probe::{self, Report};
use crate::projection::view::{Event, Execution, Freshness, Interface, Schedule, State as Living};
use crate::projection::{EventFilter, ExecutionFilter};

/// Schedules that are listed; the others are behind a link.
const SCHEDULES: usize = 50;
/// Events of its history that are listed; the others are behind a link.
const HISTORY: usize = 20;
/// Changes of one version that are listed.
const CHANGES: usize = 30;
/// Characters of a changed value that are shown.
const VALUE_MAX: usize = 200;
/// Characters of a definition that are shown.
const DEFINITION_MAX: usize = 30_000;

/// What differs from the version before.
struct Change {
    path: String,
    from: Option<String>,
    to: Option<String>,
}

/// Something that was done to it.
struct Done {
    event: Event,
    /// The version that an `interface-defined` made.
    version: Option<u64>,
    changes: Vec<Change>,
    /// Changes that are not listed.
    more: usize,
    note: Option<String>,
}

impl Done {
    fn of(event: Event) -> Self {
        let all = event.data["changes"].as_array();
        let changes: Vec<Change> = all.into_iter().flatten().take(CHANGES).map(change).collect();
        Self {
            version: event.data["definition_version"].as_u64(),
            more: all.map_or(0, Vec::len) - changes.len(),
            changes,
            note: event.data["note"].as_str().map(str::to_owned),
            event,
        }
    }
}

fn change(change: &Value) -> Change {
    let value = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(cut(text, VALUE_MAX)),
        other => Some(cut(&other.to_string(), VALUE_MAX)),
    };
    Change {
        path: change["path"].as_str().unwrap_or_default().to_owned(),
        from: value(&change["from"]),
        to: value(&change["to"]),
    }
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most).chain(['…']).collect()
}

/// What is beside the interface in its file.
#[derive(Default)]
struct Beside {
    runbook: Option<String>,
    labels: BTreeMap<String, String>,
    /// As its file would say it, with secrets masked.
    text: String,
}

#[derive(Template)]
#[template(path = "interface.html", config = "src/http/console/askama.toml")]
struct Page {
    shell: Shell,
    interface: Interface,
    freshness: Option<Freshness>,
    beside: Beside,
    schedules: Vec<Schedule>,
    executions: Vec<Execution>,
    /// Those whose durations are shown: of one schedule, if one was chosen.
    timed: Vec<Execution>,
    schedule: String,
    history: Vec<Done>,
}

impl Page {
    fn stream(&self) -> String {
        format!("interface/{}", self.interface.id)
    }

    /// A runbook may be an address or a sentence.
    fn runbook_link(&self) -> Option<&str> {
        let runbook = self.beside.runbook.as_deref()?;
        ["https://", "http://"].iter().any(|scheme| runbook.starts_with(scheme)).then_some(runbook)
    }
}

/// One interface.
///
/// # Errors
/// It does not exist, a parameter is wrong, or the lists are being rebuilt.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Filters(mut input): Filters,
    reads: Reads,
) -> Result<Response, Problem> {
    let schedule: Option<ScheduleId> = input.parsed("schedule");
    input.finish()?;
    let interface = existing(&app, &id)?;
    let filter =
        ExecutionFilter { interface: Some(interface.id.clone()), ..ExecutionFilter::default() };
    let executions = reads.executions(filter.clone(), BARS_MAX, None).await?.items;
    let timed = match &schedule {
        Some(schedule) => {
            let filter = ExecutionFilter { schedule: Some(schedule.clone()), ..filter };
            reads.executions(filter, BARS_MAX, None).await?.items
        }
        None => executions.clone(),
    };
    let stream = Some(StreamId::Interface(interface.id.clone()));
    let history = EventFilter { stream, ..EventFilter::default() };
    let history = reads.newest_events(history, HISTORY).await?;
    page(&Page {
        shell: Shell::of(&app, &caller, Section::Interfaces, &interface.name),
        freshness: fresh(&app, &interface),
        beside: beside(&app, &interface.id),
        schedules: app.engine.schedules(Some(&interface.id), None, SCHEDULES),
        executions,
        timed,
        schedule: schedule.map(|schedule| schedule.to_string()).unwrap_or_default(),
        history: history.into_iter().map(Done::of).collect(),
        interface,
    })
}

fn beside(app: &App, id: &InterfaceId) -> Beside {
    let Some((definition, _)) = app.engine.definition(id) else { return Beside::default() };
    let shown = masked("", &document(&definition));
    Beside {
        runbook: definition.runbook.clone(),
        labels: definition.labels.clone(),
        text: cut(&toml::to_string_pretty(&shown).unwrap_or_default(), DEFINITION_MAX),
    }
}

/// Pauses all its schedules, or ends that.
///
/// # Errors
/// It does not exist, or a field is wrong.
pub(super) async fn act(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Posted(mut input): Posted,
) -> Result<Response, Problem> {
    let interface = existing(&app, &id)?;
    let target = Target::Interface(interface.id.clone());
    let done = match input.with("do", Wish::read) {
        Some(Wish::Pause) => {
            let zone = Zone::load(&interface.timezone).unwrap_or_else(|_unknown| Zone::utc());
            let until = when(&mut input, "until", &zone);
            let pause = pause_of(&app, input, target, until)?;
            app.engine.pause(caller.actor, pause).await?
        }
        Some(Wish::Resume) => {
            input.finish()?;
            app.engine.resume(caller.actor, target).await?
        }
        Some(other @ (Wish::Run | Wish::SkipNext | Wish::UndoSkipNext)) => {
            input.refuse("do", format!("`{other}` is done on a schedule's page"));
            return Err(wrong(input));
        }
        None => return Err(wrong(input)),
    };
    app.memory.answered(done.position);
    see_other(&format!("/interfaces/{}", interface.id))
}

#[derive(Template)]
#[template(path = "tested.html", config = "src/http/console/askama.toml")]
struct Tested {
    shell: Shell,
    interface: Interface,
    report: Report,
}

/// A state as its class, its sign and its word.
pub(super) const fn said(state: &probe::State) -> (&'static str, &'static str, &'static str) {
    match state {
        probe::State::Ok => ("ok", "✔", "ok"),
        probe::State::Failed => ("ko", "✖", "failed"),
        probe::State::Unknown => ("warning", "◐", "known when it runs"),
    }
}

/// Looks whether its jobs could run, and shows what it found.
///
/// # Errors
/// It does not exist.
pub(super) async fn test(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Posted(input): Posted,
) -> Result<Response, Problem> {
    input.finish()?;
    let interface = existing(&app, &id)?;
    let report = look(&app, &id).await?;
    let title = format!("Test: {}", interface.name);
    page(&Tested {
        shell: Shell::of(&app, &caller, Section::Interfaces, &title),
        interface,
        report,
    })
}
