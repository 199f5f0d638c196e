//! `/api/interfaces`.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{done, page_answer, page_of};
use crate::engine::handle::{Pause, Target};
use crate::http::access::Caller;
use crate::http::input::{Fields, Input, Params};
use crate::http::parts::App;
use crate::http::problem::{Problem, ProblemBody};
use crate::ids::InterfaceId;
use crate::instant::Instant;
use crate::jobs::probe::Report;
use crate::projection::view::{Freshness, Interface, Page};

/// Characters of a note at most.
pub const NOTE_MAX: usize = 4_000;

/// A pause, as the document shows it.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "read field by field; this is the form in the OpenAPI document")]
pub struct PauseBody {
    /// Why, in the operator's words.
    note: Option<String>,
    /// When it resumes by itself.
    #[schema(format = "date-time")]
    until: Option<String>,
}

/// Reads a pause of `target` that ends at `until`, which was read before: people may write it as their clocks show it.
///
/// # Errors
/// A field is wrong.
pub fn pause_of(
    app: &App,
    mut input: Input,
    target: Target,
    until: Option<Instant>,
) -> Result<Pause, Problem> {
    let note = input.text("note", NOTE_MAX);
    if until.is_some_and(|until| until <= app.clock.now()) {
        input.refuse("until", "must lie in the future");
    }
    input.finish()?;
    Ok(Pause { target, note, until })
}

/// A name from a path; one that cannot be a name does not exist.
///
/// # Errors
/// It is no name.
pub fn interface_id(text: &str) -> Result<InterfaceId, Problem> {
    text.parse().map_err(|_err| missing(text))
}

fn missing(name: &str) -> Problem {
    let name: String = name.chars().take(63).collect();
    Problem::not_found(format_args!("interface `{}`", name.escape_debug()))
}

/// All interfaces, by id.
///
/// # Errors
/// A parameter is wrong.
#[utoipa::path(get, path = "/api/interfaces", tag = "interfaces",
    params(("limit" = Option<usize>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = Page<Interface>), (status = "default", body = ProblemBody)))]
pub async fn list(
    State(app): State<App>,
    uri: Uri,
    Params(mut input): Params,
) -> Result<Response, Problem> {
    let limit = input.limit();
    let cursor: Option<InterfaceId> = input.parsed("cursor");
    input.finish()?;
    let mut rows = app.engine.interfaces();
    rows.retain(|row| cursor.as_ref().is_none_or(|cursor| row.id > *cursor));
    Ok(page_answer(&uri, page_of(rows, limit, |row| row.id.to_string())))
}

/// One interface, with how fresh its data are.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = InterfaceShown)]
pub struct Shown {
    /// The interface.
    #[serde(flatten)]
    pub interface: Interface,
    /// What is to be expected of it; null while no schedule with slots to come has ended ok.
    pub freshness: Option<Freshness>,
}

/// One interface.
///
/// # Errors
/// It does not exist.
#[utoipa::path(get, path = "/api/interfaces/{interface}", tag = "interfaces",
    params(("interface" = String, Path)),
    responses((status = 200, body = Shown), (status = "default", body = ProblemBody)))]
pub async fn show(
    State(app): State<App>,
    Path(id): Path<String>,
    Params(input): Params,
) -> Result<Json<Shown>, Problem> {
    input.finish()?;
    let interface = existing(&app, &id)?;
    let freshness = fresh(&app, &interface);
    Ok(Json(Shown { interface, freshness }))
}

/// How fresh its data are now.
pub fn fresh(app: &App, interface: &Interface) -> Option<Freshness> {
    app.engine.freshness(std::slice::from_ref(&interface.id), app.clock.now()).pop().flatten()
}

/// The interface with this name.
///
/// # Errors
/// There is none.
pub fn existing(app: &App, id: &str) -> Result<Interface, Problem> {
    app.engine.interface(&interface_id(id)?).ok_or_else(|| missing(id))
}

/// Looks whether its jobs could run: programs, credentials, and DNS, TCP and TLS of its hosts. Runs nothing, pings nothing.
///
/// # Errors
/// It does not exist.
#[utoipa::path(post, path = "/api/interfaces/{interface}/test", tag = "interfaces",
    params(("interface" = String, Path)),
    responses((status = 200, body = Report), (status = "default", body = ProblemBody)))]
pub async fn test(
    State(app): State<App>,
    Path(id): Path<String>,
    Fields(input): Fields,
) -> Result<Json<Report>, Problem> {
    input.finish()?;
    look(&app, &id).await.map(Json)
}

/// Looks whether the jobs of the interface with this name could run.
///
/// # Errors
/// There is none.
pub async fn look(app: &App, id: &str) -> Result<Report, Problem> {
    let (definition, _) = app.engine.definition(&interface_id(id)?).ok_or_else(|| missing(id))?;
    Ok(app.probe.interface(&definition).await)
}

/// Pauses all its schedules: their slots are skipped from now on. A pause that is in force keeps what is not named.
///
/// # Errors
/// It does not exist, or a field is wrong.
#[utoipa::path(post, path = "/api/interfaces/{interface}/pause", tag = "interfaces",
    params(("interface" = String, Path)), request_body = PauseBody,
    responses((status = 200, body = Interface), (status = "default", body = ProblemBody)))]
pub async fn pause(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Fields(mut input): Fields,
) -> Result<Response, Problem> {
    let id = interface_id(&id)?;
    let until = input.instant("until");
    let pause = pause_of(&app, input, Target::Interface(id.clone()), until)?;
    let paused = app.engine.pause(caller.actor, pause).await?;
    Ok(done(&app, StatusCode::OK, &paused, app.engine.interface(&id)))
}

/// Ends its pause, if it is paused.
///
/// # Errors
/// It does not exist.
#[utoipa::path(post, path = "/api/interfaces/{interface}/resume", tag = "interfaces",
    params(("interface" = String, Path)),
    responses((status = 200, body = Interface), (status = "default", body = ProblemBody)))]
pub async fn resume(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Fields(input): Fields,
) -> Result<Response, Problem> {
    input.finish()?;
    let id = interface_id(&id)?;
    let resumed = app.engine.resume(caller.actor, Target::Interface(id.clone())).await?;
    Ok(done(&app, StatusCode::OK, &resumed, app.engine.interface(&id)))
}
