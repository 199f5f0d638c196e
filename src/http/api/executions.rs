//! `/api/executions`: list, show, cancel, notes.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{StatusCode, Uri};
use utoipa::ToSchema;

use super::interfaces::NOTE_MAX;
use super::{done, page_answer};
use crate::domain::event::{ErrorCounts, Noted, Trigger};
use crate::engine::handle::{Done, Refusal};
use crate::http::access::Caller;
use crate::http::input::{Fields, Input, Params};
use crate::http::parts::App;
use crate::http::problem::{Code, Problem, ProblemBody};
use crate::http::reads::{ExecutionQuery, Reads, execution_filter, resolve};
use crate::ids::{ExecutionId, ScheduleRef};
use crate::projection::view::{Execution, Page, Status};

/// Characters of a ticket's number at most.
const REFERENCE_MAX: usize = 200;

/// Why it is cancelled, as the document shows it.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "read field by field; this is the form in the OpenAPI document")]
pub struct CancelBody {
    /// Why, in the operator's words.
    note: Option<String>,
}

/// What is written beside it, as the document shows it; at least one of them.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "read field by field; this is the form in the OpenAPI document")]
pub struct NoteBody {
    /// Free text.
    text: Option<String>,
    /// The number of an external ticket.
    reference: Option<String>,
    /// An open KO counts as dealt with.
    acknowledged: Option<bool>,
}

/// Executions, newest first.
///
/// # Errors
/// A parameter is wrong, or the lists are being rebuilt.
#[utoipa::path(get, path = "/api/executions", tag = "executions",
    params(ExecutionQuery,
        ("limit" = Option<usize>, Query, description = "1 to 1,000; 100 unless given"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, body = Page<Execution>), (status = "default", body = ProblemBody)))]
pub async fn list(reads: Reads, uri: Uri, Params(mut input): Params) -> Result<Response, Problem> {
    let filter = execution_filter(&mut input);
    let limit = input.limit();
    let cursor = input.text("cursor", 200);
    input.finish()?;
    Ok(page_answer(&uri, reads.executions(filter, limit, cursor).await?))
}

/// One execution, by its id, a unique prefix of it, `latest` or `latest-ko`.
///
/// # Errors
/// None or several fit, or the lists are being rebuilt.
#[utoipa::path(get, path = "/api/executions/{execution}", tag = "executions",
    params(("execution" = String, Path)),
    responses((status = 200, body = Execution), (status = "default", body = ProblemBody)))]
pub async fn show(
    State(app): State<App>,
    Path(name): Path<String>,
    Params(input): Params,
    reads: Reads,
) -> Result<Json<Execution>, Problem> {
    input.finish()?;
    let id = resolve(&app, &name).await?;
    reads.execution(id).await.map(Json)
}

/// Asks for its end. The answer comes when that is on record; its status follows.
///
/// # Errors
/// It does not exist, or is over already.
#[utoipa::path(post, path = "/api/executions/{execution}/cancel", tag = "executions",
    params(("execution" = String, Path)), request_body = CancelBody,
    responses((status = 202, body = Execution), (status = "default", body = ProblemBody)))]
pub async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Fields(input): Fields,
) -> Result<Response, Problem> {
    let (id, cancelled) = ask_to_cancel(&app, caller, &name, input).await?;
    let execution = listed(&app, &cancelled, id).await;
    Ok(done(&app, StatusCode::ACCEPTED, &cancelled, execution))
}

/// Asks for the end of the execution that `name` means, as `input` says why.
///
/// # Errors
/// It does not exist, is over already, or a field is wrong.
pub async fn ask_to_cancel(
    app: &App,
    caller: Caller,
    name: &str,
    mut input: Input,
) -> Result<(ExecutionId, Done<()>), Problem> {
    let note = input.text("note", NOTE_MAX);
    input.finish()?;
    let id = resolve(app, name).await?;
    match app.engine.cancel(caller.actor, id, note).await {
        Ok(cancelled) => Ok((id, cancelled)),
        Err(refusal) => Err(not_cancelled(app, id, refusal).await),
    }
}

/// The engine knows open executions alone: one that is over and one that never was look the same to it.
async fn not_cancelled(app: &App, id: ExecutionId, refusal: Refusal) -> Problem {
    let newest = *app.log.durable().borrow();
    if matches!(refusal, Refusal::Conflict { .. })
        && let Ok(reads) = Reads::at(app, newest).await
        && let Err(problem) = reads.execution(id).await
        && problem.code() == Code::NotFound
    {
        return problem;
    }
    refusal.into()
}

/// Writes something beside it: a text, a ticket's number, that an open KO is dealt with.
///
/// # Errors
/// It does not exist, or there is nothing to write.
#[utoipa::path(post, path = "/api/executions/{execution}/notes", tag = "executions",
    params(("execution" = String, Path)), request_body = NoteBody,
    responses((status = 201, body = Execution), (status = "default", body = ProblemBody)))]
pub async fn notes(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Fields(input): Fields,
) -> Result<Response, Problem> {
    let (id, written) = write_note(&app, caller, &name, input).await?;
    let execution = listed(&app, &written, id).await;
    Ok(done(&app, StatusCode::CREATED, &written, execution))
}

/// Writes what `input` says beside the execution that `name` means.
///
/// # Errors
/// It does not exist, there is nothing to write, or a field is wrong.
pub async fn write_note(
    app: &App,
    caller: Caller,
    name: &str,
    mut input: Input,
) -> Result<(ExecutionId, Done<()>), Problem> {
    let noted = Noted {
        text: input.text("text", NOTE_MAX).filter(|text| !text.trim().is_empty()),
        reference: input.text("reference", REFERENCE_MAX).filter(|text| !text.trim().is_empty()),
        acknowledged: input.flag("acknowledged"),
    };
    if noted.text.is_none() && noted.reference.is_none() && !noted.acknowledged {
        input.refuse("text", "give a `text`, a `reference` or `acknowledged`");
    }
    input.finish()?;
    let id = resolve(app, name).await?;
    Ok((id, app.engine.note(caller.actor, id, noted).await?))
}

/// The execution after a command; none while the lists are rebuilt: the command itself is done.
pub async fn listed<T>(app: &App, done: &Done<T>, id: ExecutionId) -> Option<Execution> {
    let reads = Reads::at(app, done.position).await.ok()?;
    reads.execution(id).await.ok()
}

/// The execution that was just opened; while the lists are rebuilt, what is known without them.
pub async fn opened(
    app: &App,
    done: &Done<ExecutionId>,
    otherwise: impl FnOnce(&App) -> Execution,
) -> Execution {
    let reached = Reads::at(app, done.position).await;
    let listed = reached.ok().and_then(|_lists| app.projections.just_opened(done.value));
    listed.unwrap_or_else(|| otherwise(app))
}

/// A new execution that no list shows yet.
pub fn unlisted(
    app: &App,
    schedule: &ScheduleRef,
    id: ExecutionId,
    trigger: Trigger,
    params: BTreeMap<String, String>,
) -> Execution {
    let definition = app.engine.definition(&schedule.interface);
    let status = app.engine.status();
    Execution {
        id,
        interface: schedule.interface.clone(),
        schedule: schedule.schedule.clone(),
        slot: None,
        trigger,
        status: Status::Queued,
        class: None,
        cause: None,
        created_at: app.clock.now(),
        started_at: None,
        ended_at: None,
        duration_ms: None,
        attempts: 0,
        exit_code: None,
        params,
        rerun_of: None,
        root: id,
        reruns: Vec::new(),
        solved_by: None,
        superseded_by: None,
        acknowledged: None,
        notes: Vec::new(),
        cancel_requested: None,
        references: Vec::new(),
        idempotency_key: id.to_string(),
        definition_version: definition.map_or(0, |(_, version)| version),
        lines: 0,
        lines_pruned_at: None,
        errors: ErrorCounts::default(),
        first_error: None,
        anomaly: None,
        position: status.position,
    }
}

/// All executions that fit a query, as long as they are at most `most`.
///
/// # Errors
/// They are more, or the lists cannot be read.
pub async fn matching(
    app: &App,
    filter: crate::projection::ExecutionFilter,
    most: usize,
) -> Result<Vec<Execution>, Problem> {
    let reads = Reads::at(app, app.memory.newest_answer()).await?;
    let page = reads.executions(filter, most, None).await?;
    if page.next.is_some() {
        let detail =
            format!("fits more than {most} executions; narrow it, by `from` and `to` for example");
        return Err(Problem::invalid_field("/query", detail));
    }
    Ok(page.items)
}
