//! `/executions/{id}`: how it ended and why, whose move it is, what happened, and what can be done.

mod changes;
mod exchanges;
mod story;
mod support;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::Value;

use self::changes::Changes;
use self::exchanges::Exchange;
use self::story::Story;
use super::executions::Row;
use super::filter::{LIST, encoded};
use super::form::{Filters, Posted};
use super::shell::{Section, Shell, page};
use super::words;
use crate::domain::class::{Class, Level};
use crate::domain::definition::{self, Job};
use crate::domain::line::Line;
use crate::domain::masking::masked;
use crate::http::access::Caller;
use crate::http::api::executions::{ask_to_cancel, write_note};
use crate::http::parts::App;
use crate::http::problem::{Code, Problem};
use crate::http::reads::{self, LogQuery, Reads, resolve};
use crate::ids::{ExecutionId, Position, ScheduleRef};
use crate::projection::view::{Execution, Status};
use crate::runbooks;

/// Events that are told; an execution with more of them has hundreds of attempts or notes.
const EVENTS_MAX: usize = 600;
/// Runs of one chain that are shown.
const CHAIN_MAX: usize = 20;
/// Lines before and after the first error, or at the end of a log without one.
const AROUND: u64 = 10;
/// Errors in the text for support.
const ERRORS: usize = 5;
/// Characters of a line in the excerpt; the log's own page shows all of them.
const LINE_MAX: usize = 600;

#[derive(Template)]
#[template(path = "execution.html", config = "src/http/console/askama.toml")]
struct Page {
    shell: Shell,
    row: Row,
    story: Story,
    /// Parameters, secrets masked.
    params: Vec<(String, String)>,
    /// What to do about the cause, from its runbook.
    gist: Vec<String>,
    /// The interface's own runbook.
    runbook: Option<String>,
    changes: Option<Changes>,
    exchanges: Vec<Exchange>,
    /// The chain of re-runs, the first one at its head; empty when there is no other.
    chain: Vec<Row>,
    /// Runs of the chain that are not shown.
    chain_more: usize,
    lines: Vec<Line>,
    /// Lines in the log by now.
    count: u64,
    support: String,
    /// Its schedule can run it again.
    lives: bool,
}

impl Page {
    fn id(&self) -> ExecutionId {
        self.row.0.id
    }

    fn status(&self) -> Status {
        self.row.0.status
    }

    fn over(&self) -> bool {
        self.status().is_final()
    }

    /// How often the page looks for news: soon at first, later less often.
    fn pace(&self) -> &'static str {
        let age = self.shell.now.since(self.row.0.created_at).as_secs();
        if age < 120 { "every 2s" } else { "every 10s" }
    }

    fn errors(&self) -> Vec<(Class, u64)> {
        let errors = &self.row.0.errors;
        let counts = [
            (Class::External, errors.external),
            (Class::Configuration, errors.configuration),
            (Class::Mapping, errors.mapping),
            (Class::Technical, errors.technical),
            (Class::Cascade, errors.cascade),
        ];
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    fn elapsed(&self) -> Option<String> {
        let row = &self.row.0;
        let ms = match (row.duration_ms, row.started_at) {
            (Some(ms), _) => Some(ms),
            (None, Some(started)) => u64::try_from(self.shell.now.since(started).as_millis()).ok(),
            (None, None) => None,
        };
        ms.map(|ms| words::duration(&ms))
    }

    /// The settling of a KO, with the execution that did it.
    fn settled(&self) -> Option<(String, Option<ExecutionId>)> {
        let row = &self.row.0;
        match (row.solved_by, row.superseded_by, &row.acknowledged) {
            (Some(by), _, _) => Some(("Solved by a re-run".to_owned(), Some(by))),
            (None, Some(by), _) => Some(("A later slot ended OK".to_owned(), Some(by))),
            (None, None, Some(seen)) => Some((format!("Acknowledged by {}", seen.actor), None)),
            (None, None, None) => None,
        }
    }

    fn may_cancel(&self) -> bool {
        self.shell.may_operate() && !self.over() && self.row.0.cancel_requested.is_none()
    }

    fn line_text(&self, line: &Line) -> String {
        words::cut(&line.shown(), LINE_MAX)
    }

    /// The class of a line in the page.
    fn line_class(&self, line: &Line) -> String {
        let first = self.row.0.first_error.as_ref().is_some_and(|error| error.line == line.line);
        format!("{}{}", line.level.as_str(), if first { " first" } else { "" })
    }

    fn is_loud(&self, line: &Line) -> bool {
        line.level == Level::Warning || (line.level == Level::Error && line.class.is_none())
    }

    fn is_this(&self, row: &Row) -> bool {
        row.0.id == self.id()
    }

    fn number(&self, n: &u64) -> String {
        words::number(*n)
    }

    /// The executions with the same ticket.
    fn like(&self, ticket: &str) -> String {
        let pair = ("reference".to_owned(), ticket.to_owned());
        format!("{LIST}?{}", encoded(std::iter::once(&pair)))
    }

    fn runbook_is_link(&self) -> bool {
        self.runbook
            .as_deref()
            .is_some_and(|at| at.starts_with("https://") || at.starts_with("http://"))
    }
}

/// One execution. A prefix of an id, `latest` and `latest-ko` lead to the address with the whole id.
///
/// # Errors
/// None or several fit, or the lists cannot be read.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Filters(input): Filters,
    reads: Reads,
) -> Result<Response, Problem> {
    input.finish()?;
    let id = resolve(&app, &name).await?;
    if name != id.to_string() {
        return Ok(Redirect::to(&format!("/executions/{id}")).into_response());
    }
    let row = reads.execution(id).await?;
    let title = format!("{}/{}", row.interface, row.schedule);
    let shell = Shell::of(&app, &caller, Section::Executions, &title);
    let definition = reads.definition(row.interface.clone(), row.definition_version).await?;
    let (lines, count) = excerpt(&app, &row).await?;
    let (chain, chain_more) = chain(&reads, &row).await?;
    let name = ScheduleRef { interface: row.interface.clone(), schedule: row.schedule.clone() };
    let exchanges = match calls(definition.as_deref(), &row) {
        true => exchanges::of(&app, id).await?,
        false => Vec::new(),
    };
    let errors = LogQuery { errors: true, ..LogQuery::default() };
    let (errors, _) = reads::lines(&app, id, &errors, ERRORS).await?;
    page(&Page {
        story: Story::of(&reads.story(id, EVENTS_MAX).await?),
        params: params(&row),
        gist: row.cause.map(runbooks::gist).unwrap_or_default(),
        runbook: definition.as_ref().and_then(|it| it.runbook.clone()),
        changes: Changes::since_last_ok(&reads, &row).await?,
        exchanges,
        chain,
        chain_more,
        lines,
        count,
        support: support::text(&app, &row, &errors),
        lives: app
            .engine
            .schedule(&name)
            .is_some_and(|it| it.state != crate::projection::view::State::Removed),
        shell,
        row: Row(row),
    })
}

fn params(row: &Execution) -> Vec<(String, String)> {
    let shown = |name: &str, value: &str| match masked(name, &Value::String(value.to_owned())) {
        Value::String(text) => text,
        other => other.to_string(),
    };
    row.params.iter().map(|(name, value)| (name.clone(), shown(name, value))).collect()
}

/// Whether its job is a call.
fn calls(definition: Option<&definition::Interface>, row: &Execution) -> bool {
    let schedule = definition.and_then(|it| it.schedules.get(&row.schedule));
    schedule.is_some_and(|schedule| matches!(schedule.job, Job::Http(_)))
}

/// The lines around the first error, else the newest ones; and how many there are by now.
async fn excerpt(app: &App, row: &Execution) -> Result<(Vec<Line>, u64), Problem> {
    let count = if row.status.is_final() {
        row.lines
    } else {
        reads::follow(app, row.id).borrow().last_line
    };
    let after = match &row.first_error {
        Some(error) => error.line.saturating_sub(AROUND + 1),
        None => count.saturating_sub(2 * AROUND),
    };
    if row.lines_pruned_at.is_some() {
        return Ok((Vec::new(), count));
    }
    let query = LogQuery { after, ..LogQuery::default() };
    let (lines, _) = reads::lines(app, row.id, &query, 2 * AROUND as usize + 1).await?;
    Ok((lines, count))
}

/// The first of the chain and its re-runs, and how many of them are left out.
async fn chain(reads: &Reads, row: &Execution) -> Result<(Vec<Row>, usize), Problem> {
    let root = if row.root == row.id { Some(row.clone()) } else { known(reads, row.root).await? };
    let reruns = root.as_ref().map_or(&row.reruns, |root| &root.reruns).clone();
    let more = reruns.len().saturating_sub(CHAIN_MAX);
    let mut chain: Vec<Row> = root.into_iter().map(Row).collect();
    for id in reruns.into_iter().skip(more) {
        let run = if id == row.id { Some(row.clone()) } else { known(reads, id).await? };
        chain.extend(run.map(Row));
    }
    if chain.iter().all(|run| run.0.id == row.id) {
        chain.clear();
    }
    Ok((chain, more))
}

/// An execution, unless retention has removed it.
async fn known(reads: &Reads, id: ExecutionId) -> Result<Option<Execution>, Problem> {
    match reads.execution(id).await {
        Ok(execution) => Ok(Some(execution)),
        Err(problem) if problem.code() == Code::NotFound => Ok(None),
        Err(problem) => Err(problem),
    }
}

/// Asks for its end.
///
/// # Errors
/// It does not exist, or is over already.
pub(super) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Posted(input): Posted,
) -> Result<Response, Problem> {
    let (id, done) = ask_to_cancel(&app, caller, &name, input).await?;
    Ok(back(&app, id, done.position, ""))
}

/// Writes a note, a ticket's number, or that it is dealt with.
///
/// # Errors
/// It does not exist, or there is nothing to write.
pub(super) async fn note(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Posted(input): Posted,
) -> Result<Response, Problem> {
    let (id, done) = write_note(&app, caller, &name, input).await?;
    Ok(back(&app, id, done.position, "#notes"))
}

/// To the page, which reflects what was just done.
fn back(app: &App, id: ExecutionId, position: Position, part: &str) -> Response {
    app.memory.answered(position);
    Redirect::to(&format!("/executions/{id}{part}")).into_response()
}
