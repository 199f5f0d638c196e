//! `/api/schedules`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{StatusCode, Uri};
use utoipa::ToSchema;

use super::executions::opened;
use super::interfaces::{PauseBody, pause_of};
use super::{done, located, page_answer, page_of};
use crate::domain::event::Trigger;
use crate::engine::board;
use crate::engine::handle::{Order, Target};
use crate::http::access::Caller;
use crate::http::input::{Fields, LIMIT_MAX, Params};
use crate::http::parts::App;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::reads::{Reads, Span};
use crate::ids::{InterfaceId, ScheduleRef};
use crate::projection::view::{Execution, Page, Schedule, Slot, SlotOutcome};

/// Slots shown by `next` unless the caller says otherwise.
const NEXT: usize = 5;
/// Characters of a parameter's value at most.
const PARAM_MAX: usize = 64 * 1024;

type Name = Path<(String, String)>;

/// What to run, as the document shows it.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "read field by field; this is the form in the OpenAPI document")]
pub struct RunBody {
    /// Parameters by name; the declared defaults fill in the others.
    params: Option<BTreeMap<String, String>>,
    /// Limits, locks and overlap are not asked.
    force: Option<bool>,
}

fn named(name: &(String, String)) -> Result<ScheduleRef, Problem> {
    let parsed = name
        .0
        .parse()
        .and_then(|interface| Ok(ScheduleRef { interface, schedule: name.1.parse()? }));
    parsed.map_err(|_err| missing(&format!("{}/{}", name.0, name.1)))
}

fn missing(name: &str) -> Problem {
    let name: String = name.chars().take(127).collect();
    Problem::not_found(format_args!("schedule `{}`", name.escape_debug()))
}

/// The schedule with this name, which must exist.
fn existing(app: &App, name: &(String, String)) -> Result<(ScheduleRef, Schedule), Problem> {
    let name = named(name)?;
    let schedule = app.engine.schedule(&name).ok_or_else(|| missing(&name.to_string()))?;
    Ok((name, schedule))
}

/// All schedules, by name.
///
/// # Errors
/// A parameter is wrong.
#[utoipa::path(get, path = "/api/schedules", tag = "schedules",
    params(("interface" = Option<String>, Query, description = "Of this interface"),
        ("limit" = Option<usize>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = Page<Schedule>), (status = "default", body = ProblemBody)))]
pub async fn list(
    State(app): State<App>,
    uri: Uri,
    Params(mut input): Params,
) -> Result<Response, Problem> {
    let interface: Option<InterfaceId> = input.parsed("interface");
    let cursor: Option<ScheduleRef> = input.parsed("cursor");
    let limit = input.limit();
    input.finish()?;
    let rows = app.engine.schedules(interface.as_ref(), cursor.as_ref(), limit + 1);
    let name = |row: &Schedule| format!("{}/{}", row.interface, row.schedule);
    Ok(page_answer(&uri, page_of(rows, limit, name)))
}

/// One schedule.
///
/// # Errors
/// It does not exist.
#[utoipa::path(get, path = "/api/schedules/{interface}/{schedule}", tag = "schedules",
    params(("interface" = String, Path), ("schedule" = String, Path)),
    responses((status = 200, body = Schedule), (status = "default", body = ProblemBody)))]
pub async fn show(
    State(app): State<App>,
    Path(name): Name,
    Params(input): Params,
) -> Result<Json<Schedule>, Problem> {
    input.finish()?;
    existing(&app, &name).map(|(_, schedule)| Json(schedule))
}

/// The ledger: what became of each slot, newest first.
///
/// # Errors
/// It does not exist, a parameter is wrong, or the lists are being rebuilt.
#[utoipa::path(get, path = "/api/schedules/{interface}/{schedule}/slots", tag = "schedules",
    params(("interface" = String, Path), ("schedule" = String, Path),
        ("from" = Option<String>, Query, description = "At this instant or later"),
        ("to" = Option<String>, Query, description = "Before this instant"),
        ("limit" = Option<usize>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = Page<Slot>), (status = "default", body = ProblemBody)))]
pub async fn slots(
    State(app): State<App>,
    Path(name): Name,
    uri: Uri,
    Params(mut input): Params,
    reads: Reads,
) -> Result<Response, Problem> {
    let (from, to) = (input.instant("from"), input.instant("to"));
    let span = Span { from, to, limit: input.limit(), cursor: input.text("cursor", 200) };
    input.finish()?;
    let (name, _) = existing(&app, &name)?;
    Ok(page_answer(&uri, reads.slots(name, span).await?))
}

/// The next slots, all pending.
///
/// # Errors
/// It does not exist, or a parameter is wrong.
#[utoipa::path(get, path = "/api/schedules/{interface}/{schedule}/next", tag = "schedules",
    params(("interface" = String, Path), ("schedule" = String, Path),
        ("n" = Option<usize>, Query, description = "How many, 5 unless given"),
        ("after" = Option<String>, Query, description = "After this instant, now unless given")),
    responses((status = 200, body = Page<Slot>), (status = "default", body = ProblemBody)))]
pub async fn next(
    State(app): State<App>,
    Path(name): Name,
    Params(mut input): Params,
) -> Result<Json<Page<Slot>>, Problem> {
    let count = input.parsed("n").unwrap_or(NEXT);
    if !(1..=LIMIT_MAX).contains(&count) {
        input.refuse("n", format!("must be from 1 to {LIMIT_MAX}"));
    }
    let after = input.instant("after").unwrap_or_else(|| app.clock.now());
    input.finish()?;
    let (name, _) = existing(&app, &name)?;
    let row = app.engine.board().read(|state| state.schedules.get(&name).cloned());
    let definition = row.as_ref().and_then(|row| row.definition.schedules.get(&name.schedule));
    let plan = definition.and_then(board::plan);
    let instants =
        std::iter::successors(plan.as_ref().and_then(|plan| plan.next_after(after)), |at| {
            plan.as_ref().and_then(|plan| plan.next_after(*at))
        });
    let pending = |at| Slot {
        interface: name.interface.clone(),
        schedule: name.schedule.clone(),
        at,
        outcome: SlotOutcome::Pending,
        reason: None,
        execution: None,
    };
    Ok(Json(Page { items: instants.take(count).map(pending).collect(), next: None }))
}

/// Starts an execution at once. The next slot does not move.
///
/// # Errors
/// It does not exist, something stands in the way, or a field is wrong.
#[utoipa::path(post, path = "/api/schedules/{interface}/{schedule}/run", tag = "schedules",
    params(("interface" = String, Path), ("schedule" = String, Path)), request_body = RunBody,
    responses((status = 202, body = Execution, headers(("Location" = String))),
        (status = "default", body = ProblemBody)))]
pub async fn run(
    State(app): State<App>,
    caller: Caller,
    Path(name): Name,
    Fields(mut input): Fields,
) -> Result<Response, Problem> {
    let params: BTreeMap<String, String> = input.json("params").unwrap_or_default();
    if let Some((long, _)) = params.iter().find(|(_, value)| value.len() > PARAM_MAX) {
        input.refuse(&format!("params/{long}"), format!("must have at most {PARAM_MAX} bytes"));
    }
    let force = input.flag("force");
    input.finish()?;
    let schedule = named(&name)?;
    let order = Order { schedule: schedule.clone(), params: params.clone(), force };
    let started = app.engine.run(caller.actor, order).await?;
    let id = started.value;
    app.memory.answered(started.position);
    let execution = opened(&app, &started, |app| {
        super::executions::unlisted(app, &schedule, id, Trigger::Manual, params)
    });
    let answer = done(&app, StatusCode::ACCEPTED, &started, execution.await);
    Ok(located(answer, &format!("/api/executions/{id}")))
}

/// Pauses it: its slots are skipped from now on.
///
/// # Errors
/// It does not exist, is paused already, or a field is wrong.
#[utoipa::path(post, path = "/api/schedules/{interface}/{schedule}/pause", tag = "schedules",
    params(("interface" = String, Path), ("schedule" = String, Path)), request_body = PauseBody,
    responses((status = 200, body = Schedule), (status = "default", body = ProblemBody)))]
pub async fn pause(
    State(app): State<App>,
    caller: Caller,
    Path(name): Name,
    Fields(input): Fields,
) -> Result<Response, Problem> {
    let name = named(&name)?;
    let pause = pause_of(&app, input, Target::Schedule(name.clone()))?;
    let paused = app.engine.pause(caller.actor, pause).await?;
    Ok(done(&app, StatusCode::OK, &paused, app.engine.schedule(&name)))
}

/// Ends its pause. Slots go on from this instant.
///
/// # Errors
/// It does not exist, or is not paused.
#[utoipa::path(post, path = "/api/schedules/{interface}/{schedule}/resume", tag = "schedules",
    params(("interface" = String, Path), ("schedule" = String, Path)),
    responses((status = 200, body = Schedule), (status = "default", body = ProblemBody)))]
pub async fn resume(
    State(app): State<App>,
    caller: Caller,
    Path(name): Name,
    Fields(input): Fields,
) -> Result<Response, Problem> {
    input.finish()?;
    let name = named(&name)?;
    let resumed = app.engine.resume(caller.actor, Target::Schedule(name.clone())).await?;
    Ok(done(&app, StatusCode::OK, &resumed, app.engine.schedule(&name)))
}
