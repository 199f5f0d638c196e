//! `/executions/rerun`: what would run again and what not, then, when it is posted, what became of it.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use http::Uri;
use serde_json::Value;

use super::executions::Row;
use super::filter::{Chosen, encoded};
use super::form::Posted;
use super::markdown::Inline;
use super::shell::{Section, Shell, page};
use super::words;
use crate::engine::handle::Rerun;
use crate::http::access::Caller;
use crate::http::api::rerun::{self, RerunItem, Wanted};
use crate::http::input::{Input, LIMIT_MAX};
use crate::http::parts::App;
use crate::http::problem::{Code, Problem, ProblemBody};
use crate::http::reads::{Reads, resolve};
use crate::ids::{ExecutionId, Position};
use crate::instant::Instant;
use crate::projection::view::Execution;

/// Rows of each kind that are shown; the others are counted.
const SHOWN_MAX: usize = 100;
/// Refused ones that an address names; the others are counted.
const NAMED_MAX: usize = 100;
/// Ids in one field at most: as many as a batch may have, with blanks.
const IDS_MAX: usize = LIMIT_MAX * 37;
const QUERY_MAX: usize = 4_000;

/// One that does not run again, and why.
struct Left {
    row: Row,
    why: ProblemBody,
}

#[derive(Template)]
#[template(path = "rerun.html", config = "src/http/console/askama.toml")]
struct Preview {
    shell: Shell,
    /// Those that would run.
    run: Vec<Row>,
    left: Vec<Left>,
    /// Ids of all that would run, for the form.
    ids: String,
    /// What was asked for, to ask for it again by force.
    asked: Vec<(String, String)>,
    /// Limits, locks and overlap are not asked.
    force: bool,
    /// The newest event that the preview knows.
    seen: Position,
    /// What was just started, for the page after it.
    started: Option<Started>,
}

/// What was started by a form.
struct Started {
    count: usize,
    /// The list of the new ones.
    list: String,
    /// How many did not start, beyond those that are shown.
    more: usize,
}

impl Preview {
    fn shown<'a, T>(&self, rows: &'a [T]) -> &'a [T] {
        rows.split_at(rows.len().min(SHOWN_MAX)).0
    }

    fn hidden<T>(&self, rows: &[T]) -> usize {
        rows.len().saturating_sub(SHOWN_MAX)
    }

    /// Whether force would let more of them run.
    fn forcible(&self) -> bool {
        let names = [Code::Conflict.as_str(), Code::NotOpen.as_str()];
        !self.force && self.left.iter().any(|left| names.contains(&left.why.code.as_str()))
    }

    fn heading(&self) -> String {
        match (&self.started, self.run.len()) {
            (Some(started), _) => format!("{} run again", words::number(started.count as u64)),
            (None, 0) => "Nothing would run again".to_owned(),
            (None, count) => format!("Run {} again?", words::count(count, "execution")),
        }
    }
}

/// What would run again.
///
/// # Errors
/// An id fits none or several, a filter is wrong, or nothing was chosen.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    uri: Uri,
    reads: Reads,
) -> Result<Response, Problem> {
    let shell = Shell::of(&app, &caller, Section::Executions, "Run again");
    let asked = Chosen::read(uri.query().unwrap_or_default(), shell.now)?;
    let mut input = asked.input()?;
    let (ids, query) = (ids(&mut input), input.text("query", QUERY_MAX));
    let (from, to) = (input.instant("from"), input.instant("to"));
    let (count, more) = (input.number("started"), input.number("more").unwrap_or(0));
    let force = input.flag("force");
    input.finish()?;
    let started = match (count, from, to) {
        (Some(count), Some(from), Some(to)) => Some(Started { count, list: list(from, to), more }),
        _ => None,
    };
    let seen = *app.log.durable().borrow();
    let wanted = match query {
        Some(query) => Wanted::query(Chosen::read(&query, shell.now)?.filters()?)?,
        None if ids.is_empty() => return Err(nothing()),
        None => Wanted::Ids(ids),
    };
    let items = rerun::preview(&app, wanted, force).await?.items;
    let (mut run, mut left) = (Vec::new(), Vec::new());
    for RerunItem { of, problem, .. } in items {
        let row = Row(reads.execution(of).await?);
        match problem {
            None => run.push(row),
            Some(why) => left.push(Left { row, why }),
        }
    }
    let names: Vec<String> = run.iter().map(Row::id).collect();
    let pairs = ["ids", "query"].map(|name| (name.to_owned(), asked.value(name).to_owned()));
    let asked = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    page(&Preview { shell, run, left, ids: names.join(" "), asked, force, seen, started })
}

/// The new executions that were opened in a span.
fn list(from: Instant, to: Instant) -> String {
    let pairs =
        [("trigger", "rerun".to_owned()), ("from", from.to_string()), ("to", to.to_string())];
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value));
    format!("/executions?{}", encoded(pairs.iter()))
}

/// Ids from one field or several, with blanks or commas between them.
fn ids(input: &mut Input) -> Vec<String> {
    let texts = match input.json::<Value>("ids") {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(all)) => {
            all.into_iter().filter_map(|one| one.as_str().map(str::to_owned)).collect()
        }
        Some(_) | None => Vec::new(),
    };
    let length: usize = texts.iter().map(String::len).sum();
    let words = texts.iter().flat_map(|text| text.split([' ', ',']));
    let ids: Vec<String> = words.filter(|id| !id.is_empty()).map(str::to_owned).collect();
    if ids.len() > LIMIT_MAX || length > IDS_MAX {
        input.refuse("ids", format!("must name at most {LIMIT_MAX} executions"));
        return Vec::new();
    }
    ids
}

fn nothing() -> Problem {
    let why = "names no execution: go back, select some, and try again";
    Problem::invalid_field("ids", why)
}

/// Runs executions again, as the preview said. One that somebody has run again since then is left alone, so that a form
/// which is sent twice runs nothing twice.
///
/// # Errors
/// An id fits none or several, or the engine refuses all.
pub(super) async fn run(
    State(app): State<App>,
    caller: Caller,
    Posted(mut input): Posted,
) -> Result<Response, Problem> {
    let names = ids(&mut input);
    let seen: Option<u64> = input.number("seen");
    let seen = input.require("seen", seen).map(Position);
    let force = input.flag("force");
    input.finish()?;
    if names.is_empty() {
        return Err(nothing());
    }
    // From the look at the lists until what was started stands in them.
    let _alone = app.memory.backfills.lock().await;
    let (wanted, mut refused) = unchanged(&app, &names, seen.unwrap_or_default()).await?;
    let from = app.clock.now();
    let mut new = Vec::new();
    if !wanted.is_empty() {
        let reran = app.engine.rerun(caller.actor, wanted, force).await?;
        app.memory.answered(reran.position);
        for Rerun { of, answer } in reran.value {
            match answer {
                Ok(id) => new.push(id),
                Err(_) => refused.push(of),
            }
        }
    }
    let to = Instant::from_millis(app.clock.now().millis() + 1);
    let place = match (new.as_slice(), refused.as_slice()) {
        ([id], []) => format!("/executions/{id}"),
        (_, []) => list(from, to),
        (_, refused) => {
            let few: Vec<String> =
                refused.iter().take(NAMED_MAX).map(ToString::to_string).collect();
            let pairs = [
                ("ids", few.join(" ")),
                ("started", new.len().to_string()),
                ("more", (refused.len() - few.len()).to_string()),
                ("from", from.to_string()),
                ("to", to.to_string()),
            ];
            let pairs = pairs.map(|(name, value)| (name.to_owned(), value));
            format!("/executions/rerun?{}", encoded(pairs.iter()))
        }
    };
    Ok(Redirect::to(&place).into_response())
}

/// The executions that are as the preview showed them, each once, and those that were run again since.
async fn unchanged(
    app: &App,
    names: &[String],
    seen: Position,
) -> Result<(Vec<ExecutionId>, Vec<ExecutionId>), Problem> {
    let reads = Reads::at(app, app.memory.newest_answer()).await?;
    let mut known = BTreeSet::new();
    let (mut same, mut changed) = (Vec::new(), Vec::new());
    for name in names {
        let id = resolve(app, name).await?;
        if !known.insert(id) {
            continue;
        }
        let row = reads.execution(id).await?;
        if ran_since(&reads, &row, seen).await? { changed.push(id) } else { same.push(id) }
    }
    Ok((same, changed))
}

async fn ran_since(reads: &Reads, row: &Execution, seen: Position) -> Result<bool, Problem> {
    match row.reruns.last() {
        None => Ok(false),
        Some(newest) => Ok(reads.execution(*newest).await?.position > seen),
    }
}
