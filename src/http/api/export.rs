//! `GET /api/executions/{execution}/export.*` and `GET /api/executions/export.*`: as a workbook, as CSV, as JSON Lines.
//!
//! CSV and JSON Lines are written while they are taken. A workbook is finished first, on a thread that may block, in files
//! without a name in the data folder; whoever goes away before ends it.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::Uri;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::error_text::in_full;
use crate::export::xlsx::{self, Making, SHEET_ROWS};
use crate::export::{Column, EXECUTION, ExportError, Jsonl, LINE, Pages, Watch, csv, jsonl};
use crate::http::download::{self, Label};
use crate::http::input::{Input, Params};
use crate::http::pages::{self, Executions, Lines};
use crate::http::parts::App;
use crate::http::problem::{Code, Problem, ProblemBody};
use crate::http::reads::{ExecutionQuery, Reads, blocking, execution_filter, resolve};
use crate::instant::Instant;
use crate::projection::ExecutionFilter;
use crate::projection::view::{Execution, Page};
use crate::store::space::is_no_room;

const XLSX: Form = Form {
    extension: "xlsx",
    media_type: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
};
const CSV: Form = Form { extension: "csv", media_type: "text/csv; charset=utf-8" };
const JSONL: Form = Form { extension: "jsonl", media_type: "application/x-ndjson" };

#[derive(Clone, Copy)]
struct Form {
    extension: &'static str,
    media_type: &'static str,
}

impl Form {
    fn label(self, parts: &[&str]) -> Label {
        let name = format!("{}.{}", parts.join("-"), self.extension);
        Label { name, media_type: self.media_type }
    }
}

/// One execution as a workbook: `Summary`, `Errors`, `Log` (and `Log 2` and so on, where a sheet is full), `Exchanges` and
/// `Timeline`, with the required action beside each error.
///
/// # Errors
/// The execution does not exist; too many exports go on; the disk has too little room to make it.
#[utoipa::path(get, path = "/api/executions/{execution}/export.xlsx", operation_id = "export_xlsx", tag = "executions",
    params(("execution" = String, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (status = "default", body = ProblemBody)))]
pub async fn execution_xlsx(
    State(app): State<App>,
    Path(name): Path<String>,
    Params(input): Params,
    reads: Reads,
) -> Result<Response, Problem> {
    let one = One::find(app, &name, input, &reads).await?;
    let label = one.label(XLSX);
    let One { app, execution, permit } = one;
    book(Arc::clone(&app), (label, permit), move |making, stop| {
        let timeline = pages::timeline(&app, execution.id)?;
        xlsx::execution((&execution, &timeline), &mut Lines::of(&app, &execution, stop), making)
    })
    .await
}

/// One execution's lines as CSV, with the required action beside each error.
///
/// # Errors
/// The execution does not exist; too many exports go on.
#[utoipa::path(get, path = "/api/executions/{execution}/export.csv", operation_id = "export_csv", tag = "executions",
    params(("execution" = String, Path)),
    responses((status = 200, body = String, content_type = "text/csv"), (status = "default", body = ProblemBody)))]
pub async fn execution_csv(
    State(app): State<App>,
    Path(name): Path<String>,
    Params(input): Params,
    reads: Reads,
) -> Result<Response, Problem> {
    let one = One::find(app, &name, input, &reads).await?;
    let label = one.label(CSV);
    let One { app, execution, permit } = one;
    Ok(written(&label, permit, move |to| {
        csv(LINE, &mut Lines::of(&app, &execution, app.stop.clone()), to)
    }))
}

/// One execution as JSON Lines: a row `execution`, a row `line` for each line, a row `event` for each event.
///
/// # Errors
/// The execution does not exist; too many exports go on.
#[utoipa::path(get, path = "/api/executions/{execution}/export.jsonl", operation_id = "export_jsonl", tag = "executions",
    params(("execution" = String, Path)),
    responses((status = 200, body = String, content_type = "application/x-ndjson"),
        (status = "default", body = ProblemBody)))]
pub async fn execution_jsonl(
    State(app): State<App>,
    Path(name): Path<String>,
    Params(input): Params,
    reads: Reads,
) -> Result<Response, Problem> {
    let one = One::find(app, &name, input, &reads).await?;
    let label = one.label(JSONL);
    let One { app, execution, permit } = one;
    Ok(written(&label, permit, move |to| {
        let timeline = pages::timeline(&app, execution.id)?;
        let lines = &mut Lines::of(&app, &execution, app.stop.clone());
        Jsonl { execution: &execution, timeline: &timeline }.write(lines, to)
    }))
}

/// All executions that fit, as a workbook, the newest first.
///
/// # Errors
/// A parameter is wrong; too many exports go on; the disk has too little room to make it.
#[utoipa::path(get, path = "/api/executions/export.xlsx", operation_id = "export_list_xlsx", tag = "executions",
    params(ExecutionQuery),
    responses((status = 200, body = Vec<u8>, content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        (status = "default", body = ProblemBody)))]
pub async fn list_xlsx(
    State(app): State<App>,
    uri: Uri,
    Params(input): Params,
    reads: Reads,
) -> Result<Response, Problem> {
    let many = Many::find(app, input, &reads).await?;
    let label = many.label(XLSX);
    let asked = filters(&uri);
    let Many { app, filter, first, permit } = many;
    book(Arc::clone(&app), (label, permit), move |making, stop| {
        xlsx::executions(&asked, &mut Executions::of(&app, (filter, first), stop), making)
    })
    .await
}

/// All executions that fit, as CSV, the newest first.
///
/// # Errors
/// A parameter is wrong; too many exports go on.
#[utoipa::path(get, path = "/api/executions/export.csv", operation_id = "export_list_csv", tag = "executions",
    params(ExecutionQuery),
    responses((status = 200, body = String, content_type = "text/csv"), (status = "default", body = ProblemBody)))]
pub async fn list_csv(
    State(app): State<App>,
    Params(input): Params,
    reads: Reads,
) -> Result<Response, Problem> {
    Ok(Many::find(app, input, &reads).await?.rows(CSV, csv))
}

/// All executions that fit, as JSON Lines, the newest first.
///
/// # Errors
/// A parameter is wrong; too many exports go on.
#[utoipa::path(get, path = "/api/executions/export.jsonl", operation_id = "export_list_jsonl", tag = "executions",
    params(ExecutionQuery),
    responses((status = 200, body = String, content_type = "application/x-ndjson"),
        (status = "default", body = ProblemBody)))]
pub async fn list_jsonl(
    State(app): State<App>,
    Params(input): Params,
    reads: Reads,
) -> Result<Response, Problem> {
    Ok(Many::find(app, input, &reads).await?.rows(JSONL, jsonl))
}

/// One execution that is to be exported.
struct One {
    app: App,
    execution: Execution,
    permit: OwnedSemaphorePermit,
}

impl One {
    async fn find(app: App, name: &str, input: Input, reads: &Reads) -> Result<Self, Problem> {
        input.finish()?;
        let id = resolve(&app, name).await?;
        let execution = reads.execution(id).await?;
        let permit = app.memory.exports.begin()?;
        Ok(Self { app, execution, permit })
    }

    /// The file's name: what ran, when, and its id.
    fn label(&self, form: Form) -> Label {
        let Execution { id, interface, schedule, .. } = &self.execution;
        let at = stamp(self.execution.slot.unwrap_or(self.execution.created_at));
        form.label(&[interface.as_str(), schedule.as_str(), &at, &id.to_string()])
    }
}

/// Executions that are to be exported.
struct Many {
    app: App,
    filter: ExecutionFilter,
    /// What is wrong with the question, or with the lists, is known before the answer begins.
    first: Page<Execution>,
    permit: OwnedSemaphorePermit,
}

/// Writes rows in one form.
type WriteRows =
    fn(&[Column<Execution>], &mut Pages<'_, Execution>, &mut dyn Write) -> Result<(), ExportError>;

impl Many {
    /// The answer, row by row.
    fn rows(self, form: Form, write: WriteRows) -> Response {
        let label = self.label(form);
        let Self { app, filter, first, permit } = self;
        written(&label, permit, move |to| {
            let stop = app.stop.clone();
            write(EXECUTION, &mut Executions::of(&app, (filter, first), stop), to)
        })
    }

    async fn find(app: App, mut input: Input, reads: &Reads) -> Result<Self, Problem> {
        let filter = execution_filter(&mut input);
        input.finish()?;
        let first = reads.executions(filter.clone(), pages::EXECUTIONS, None).await?;
        let permit = app.memory.exports.begin()?;
        Ok(Self { app, filter, first, permit })
    }

    /// The file's name: the interface and the status that were asked for, and when.
    fn label(&self, form: Form) -> Label {
        let ExecutionFilter { interface, status, .. } = &self.filter;
        let mut parts = vec!["executions"];
        parts.extend(interface.as_ref().map(|interface| interface.as_str()));
        parts.extend(status.iter().map(|status| status.as_str()));
        let at = stamp(self.app.clock.now());
        parts.push(&at);
        form.label(&parts)
    }
}

/// An instant in a file's name.
fn stamp(at: Instant) -> String {
    at.utc().format("%Y%m%dT%H%M%SZ").to_string()
}

/// The filters as they were asked for.
fn filters(uri: &Uri) -> Vec<(String, String)> {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri).map(|Query(pairs)| pairs);
    let mut pairs = pairs.unwrap_or_default();
    pairs.retain(|(name, _)| name != "at_least");
    pairs
}

/// Writes a file while it is taken.
fn written(
    label: &Label,
    permit: OwnedSemaphorePermit,
    write: impl FnOnce(&mut dyn Write) -> Result<(), ExportError> + Send + 'static,
) -> Response {
    download::written(label, permit, |to| write(to).map_err(|err| in_full(&err)))
}

/// Finishes a workbook, and answers with it. When the caller goes away before, it is given up.
async fn book(
    app: App,
    (label, permit): (Label, OwnedSemaphorePermit),
    make: impl FnOnce(Making<'_>, CancellationToken) -> Result<File, ExportError> + Send + 'static,
) -> Result<Response, Problem> {
    let stop = app.stop.child_token();
    let _gone = stop.clone().drop_guard();
    let asked = Arc::clone(&app);
    let made = blocking(move || {
        let watch: &Watch<'_> = &|| match () {
            () if stop.is_cancelled() => Err(ExportError::GivenUp),
            () if !asked.space.has_room_to_spare() => Err(ExportError::NoRoom),
            () => Ok(()),
        };
        let making = Making {
            folder: &asked.settings.data,
            sheet_rows: SHEET_ROWS,
            at: asked.clock.now(),
            version: &asked.settings.version,
            watch,
        };
        make(making, stop.clone())
    });
    match made.await {
        Ok(Ok(file)) => download::finished(&label, permit, file)
            .map_err(|err| Problem::internal("the workbook cannot be read", &err)),
        Ok(Err(err)) => Err(not_made(&err)),
        // What writes workbooks panics when the disk is full.
        Err(_) if !app.space.has_room_to_spare() => Err(not_made(&ExportError::NoRoom)),
        Err(problem) => Err(problem),
    }
}

fn not_made(err: &ExportError) -> Problem {
    match err {
        ExportError::NoRoom => {
            let detail = format!("{err}; CSV and JSON Lines need none");
            Problem::new(Code::DiskFull, detail).with_retry_after(30)
        }
        ExportError::Io(io) if is_no_room(io) => not_made(&ExportError::NoRoom),
        ExportError::GivenUp => Problem::new(Code::Unavailable, "the daemon stops"),
        ExportError::Unreadable(_) | ExportError::Io(_) | ExportError::Book(_) => {
            Problem::internal("the workbook cannot be made", &in_full(err))
        }
    }
}
