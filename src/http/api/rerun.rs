//! `POST /api/executions/rerun`: one, several, or all that fit a query.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::executions::{listed, matching};
use super::rerun_query::passed_over;
use super::{done, located};
use crate::domain::definition::Overlap;
use crate::engine::handle::{Refusal, Rerun};
use crate::http::access::Caller;
use crate::http::input::{Fields, Input, LIMIT_MAX};
use crate::http::parts::App;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::reads::{ExecutionQuery, Reads, execution_filter, resolve};
use crate::ids::{ExecutionId, ScheduleRef};
use crate::projection::ExecutionFilter;
use crate::projection::view::{Execution, State as Living};

/// What to run again, as the document shows it: either `ids` or `query`.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "read field by field; this is the form in the OpenAPI document")]
pub struct RerunBody {
    /// Ids, unique prefixes of them, `latest` or `latest-ko`.
    ids: Option<Vec<String>>,
    /// The filters of `GET /api/executions`.
    query: Option<ExecutionQuery>,
    /// Only tell what would run again.
    dry_run: Option<bool>,
    /// Limits, locks and overlap are not asked.
    force: Option<bool>,
}

/// What became of each.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Reruns {
    /// Nothing was started.
    pub dry_run: bool,
    /// One for each execution that was asked for, oldest first; empty when the query fits none.
    pub items: Vec<RerunItem>,
    /// Always null: there is one page.
    pub next: Option<String>,
}

/// What became of one execution that was to run again.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RerunItem {
    /// The execution that was asked for.
    #[schema(value_type = String, format = "uuid")]
    pub of: ExecutionId,
    /// The new one's id; null when there is none.
    #[schema(value_type = Option<String>, format = "uuid")]
    pub id: Option<ExecutionId>,
    /// The new one; null when there is none, or the lists are being rebuilt.
    pub execution: Option<Execution>,
    /// Why there is none.
    pub problem: Option<ProblemBody>,
}

impl RerunItem {
    /// One that did not run again, or in a dry run would.
    fn refused(of: ExecutionId, why: Option<&Problem>) -> Self {
        let problem = why.map(|problem| problem.body(None, None));
        Self { of, id: None, execution: None, problem }
    }
}

/// Which executions are to run again.
pub enum Wanted {
    /// These, by id, unique prefix, `latest` or `latest-ko`.
    Ids(Vec<String>),
    /// All that fit.
    Query(Box<ExecutionFilter>),
}

impl Wanted {
    /// All that fit `filters`.
    ///
    /// # Errors
    /// A filter is wrong, or there is none.
    pub fn query(mut filters: Input) -> Result<Self, Problem> {
        let filter = execution_filter(&mut filters);
        filters.finish()?;
        if filter == ExecutionFilter::default() {
            let why = "is empty, which would mean every execution; give a filter";
            return Err(Problem::invalid_field("/query", why));
        }
        Ok(Self::Query(Box::new(filter)))
    }
}

struct Plan {
    wanted: Wanted,
    dry_run: bool,
    force: bool,
}

fn plan(mut input: Input) -> Result<Plan, Problem> {
    let ids: Option<Vec<String>> = input.json("ids");
    let query: Option<Value> = input.json("query");
    let (dry_run, force) = (input.flag("dry_run"), input.flag("force"));
    if ids.is_some() == query.is_some() {
        input.refuse("ids", "give either `ids` or `query`");
    }
    let count = ids.as_ref().map_or(1, Vec::len);
    if !(1..=LIMIT_MAX).contains(&count) {
        input.refuse("ids", format!("must name 1 to {LIMIT_MAX} executions, not {count}"));
    }
    input.finish()?;
    let wanted = match (ids, query) {
        (_, Some(query)) => Wanted::query(Input::from_json(query, "/query/")?)?,
        (ids, None) => Wanted::Ids(ids.unwrap_or_default()),
    };
    Ok(Plan { wanted, dry_run, force })
}

/// The executions that were asked for.
struct Batch {
    ids: Vec<ExecutionId>,
    /// Those that a query found and does not run again.
    passed: BTreeMap<ExecutionId, Problem>,
    /// One was named, so its refusal is the answer.
    single: bool,
}

async fn batch(app: &App, wanted: Wanted, force: bool) -> Result<Batch, Problem> {
    let filter = match wanted {
        Wanted::Ids(names) => {
            let ids = resolved(app, &names).await?;
            return Ok(Batch { ids, passed: BTreeMap::new(), single: names.len() == 1 });
        }
        Wanted::Query(filter) => filter,
    };
    let mut rows = matching(app, *filter, LIMIT_MAX).await?;
    rows.sort_by_key(|row| row.position);
    let passed = if force {
        BTreeMap::new()
    } else {
        let reads = Reads::at(app, app.memory.newest_answer()).await?;
        passed_over(&reads, &rows).await?
    };
    Ok(Batch { ids: rows.into_iter().map(|row| row.id).collect(), passed, single: false })
}

/// Runs executions again, oldest first: each as a new one with the current definition and the original's slot, parameters and
/// idempotency key.
///
/// A single refused one is answered with its problem; of several, each has its own. A query passes over a KO that is not
/// open any more, and over all runs of one root but the newest; those have the problem `not-open`.
///
/// # Errors
/// An id fits none or several, or a field is wrong.
#[utoipa::path(post, path = "/api/executions/rerun", tag = "executions", request_body = RerunBody,
    responses((status = 202, body = Reruns, headers(("Location" = String, description = "Of a single one"))),
        (status = 200, body = Reruns, description = "Nothing was started: a dry run, nothing fits, or all refused"),
        (status = "default", body = ProblemBody)))]
pub async fn rerun(
    State(app): State<App>,
    caller: Caller,
    Fields(input): Fields,
) -> Result<Response, Problem> {
    let Plan { wanted, dry_run, force } = plan(input)?;
    if dry_run {
        return preview(&app, wanted, force).await.map(|body| Json(body).into_response());
    }
    let batch = batch(&app, wanted, force).await?;
    let Batch { ids, passed, single } = batch;
    let (left, run): (Vec<_>, Vec<_>) = ids.iter().partition(|id| passed.contains_key(*id));
    let mut items: Vec<RerunItem> =
        left.into_iter().map(|of| RerunItem::refused(of, passed.get(&of))).collect();
    if run.is_empty() {
        return Ok(Json(Reruns { dry_run: false, items, next: None }).into_response());
    }
    let reran = app.engine.rerun(caller.actor, run, force).await?;
    if let ([Rerun { answer: Err(refusal), .. }], true) = (reran.value.as_slice(), single) {
        return Err(refusal.clone().into());
    }
    for Rerun { of, answer } in &reran.value {
        let (id, problem) = told(answer);
        let execution = match id {
            Some(id) => listed(&app, &reran, id).await,
            None => None,
        };
        items.push(RerunItem { of: *of, id, execution, problem });
    }
    if !passed.is_empty() {
        items.sort_by_key(|item| ids.iter().position(|id| *id == item.of));
    }
    let location = match items.as_slice() {
        [RerunItem { id: Some(id), .. }] => Some(format!("/api/executions/{id}")),
        _ => None,
    };
    let started = items.iter().any(|item| item.id.is_some());
    let status = if started { StatusCode::ACCEPTED } else { StatusCode::OK };
    let answer = done(&app, status, &reran, Reruns { dry_run: false, items, next: None });
    Ok(match location {
        Some(location) => located(answer, &location),
        None => answer,
    })
}

fn told(answer: &Result<ExecutionId, Refusal>) -> (Option<ExecutionId>, Option<ProblemBody>) {
    match answer {
        Ok(id) => (Some(*id), None),
        Err(refusal) => (None, Some(Problem::from(refusal.clone()).body(None, None))),
    }
}

/// Ids of the named executions, each once, in the order of the names.
async fn resolved(app: &App, names: &[String]) -> Result<Vec<ExecutionId>, Problem> {
    let mut ids = Vec::with_capacity(names.len());
    for name in names {
        let id = resolve(app, name).await?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// What would run again, and what stands in the way of the others: also the one before it in the batch.
///
/// # Errors
/// An id fits none or several, or the lists cannot be read.
pub async fn preview(app: &App, wanted: Wanted, force: bool) -> Result<Reruns, Problem> {
    let batch = batch(app, wanted, force).await?;
    let reads = Reads::at(app, app.memory.newest_answer()).await?;
    let mut rows = Vec::with_capacity(batch.ids.len());
    for of in batch.ids {
        rows.push(reads.execution(of).await?);
    }
    rows.sort_by_key(|row| row.position);
    let mut before: BTreeMap<ScheduleRef, ExecutionId> = BTreeMap::new();
    let mut items = Vec::with_capacity(rows.len());
    for row in &rows {
        let name = schedule_of(row);
        let problem = batch.passed.get(&row.id).cloned().or_else(|| {
            let overlap = || overlapped(app, &name, before.get(&name)).filter(|_| !force);
            refused(app, row).or_else(overlap).map(Problem::from)
        });
        if problem.is_none() {
            before.entry(name).or_insert(row.id);
        }
        items.push(RerunItem::refused(row.id, problem.as_ref()));
    }
    Ok(Reruns { dry_run: true, items, next: None })
}

fn schedule_of(row: &Execution) -> ScheduleRef {
    ScheduleRef { interface: row.interface.clone(), schedule: row.schedule.clone() }
}

/// Why an execution cannot run again now, whatever is asked (contract, rule 5).
fn refused(app: &App, row: &Execution) -> Option<Refusal> {
    if !row.status.is_final() {
        let why = format!("execution `{}` is {}", row.id, row.status.as_str());
        return Some(Refusal::Conflict { why, execution: Some(row.id) });
    }
    let name = schedule_of(row);
    let state = app.engine.board().read(|state| state.schedules.get(&name).map(|row| row.state));
    let gone = state.is_none_or(|state| state == Living::Removed);
    let why = || format!("schedule `{name}` is no longer in its file");
    gone.then(|| Refusal::Conflict { why: why(), execution: None })
}

/// What a re-run of the schedule would have to wait for, unless it is forced: an open execution, or `before`, which the same
/// batch runs again.
fn overlapped(app: &App, name: &ScheduleRef, before: Option<&ExecutionId>) -> Option<Refusal> {
    let (overlap, open) = app.engine.board().read(|state| {
        let definition = state.schedules.get(name)?.definition.schedules.get(&name.schedule)?;
        let open = state.open.iter().find(|(_, open)| open.schedule == *name).map(|(id, _)| *id);
        Some((definition.overlap, open))
    })?;
    if overlap == Overlap::Allow {
        return None;
    }
    let why = match (open, before) {
        (Some(open), _) => format!("execution {open} of `{name}` is not over yet"),
        (None, Some(before)) => {
            format!("the re-run of {before} comes before it, and `{name}` runs one at a time")
        }
        (None, None) => return None,
    };
    let execution = open.or_else(|| before.copied());
    Some(Refusal::Conflict { why: format!("{why}; `force` runs it beside that"), execution })
}
