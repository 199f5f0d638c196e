//! `/executions/{id}/log`: what one execution said, 500 lines a page. `log.js` makes millions of lines scroll.

mod address;
mod rows;
#[cfg(test)]
mod tests;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderValue, Uri, header};

use self::address::{Kept, Span};
use self::rows::{Row, rows};
use super::form::Filters;
use super::marks::Badge;
use super::shell::{Section, Shell, page};
use super::words;
use crate::domain::class::{Class, Level};
use crate::domain::line::Line;
use crate::http::access::Caller;
use crate::http::api::log::{self, PAGE};
use crate::http::input::{Input, Params};
use crate::http::parts::App;
use crate::http::problem::Problem;
use crate::http::reads::{self, LogQuery, Reads, resolve};
use crate::instant::Instant;
use crate::projection::view::Execution;

/// Lines shown before the one that an address names.
const ABOVE: usize = 20;
/// The longest text that is looked for.
const FIND_MAX: usize = 1_000;

/// What an address asks for.
struct Wanted {
    query: LogQuery,
    /// The lines that it names.
    span: Option<Span>,
    /// The last so many.
    last: Option<usize>,
}

impl Wanted {
    fn read(input: &mut Input) -> Self {
        let wanted = Self {
            query: log::log_query(input),
            span: input.parsed("line"),
            last: input.few("last"),
        };
        // How the script shows the lines, and what it looked for.
        input.flag("wrap");
        input.flag("fold");
        input.text("find", FIND_MAX);
        wanted
    }
}

#[derive(Template)]
#[template(path = "log.html", config = "src/http/console/askama.toml")]
struct LogPage {
    shell: Shell,
    execution: Execution,
    /// Lines that it has so far.
    total: u64,
    total_text: String,
    query: LogQuery,
    kept: Kept,
    rows: Vec<Row>,
    pages: Option<Pages>,
}

/// Which lines are shown, and the ways to others.
struct Pages {
    shown: String,
    older: Option<String>,
    newer: Option<String>,
    newest: String,
}

/// A class or all errors, with their number, and the way to see them alone or not any more.
struct Chip {
    name: &'static str,
    count: Option<String>,
    address: String,
    is_on: bool,
    action: String,
}

impl LogPage {
    fn is_live(&self) -> bool {
        !self.execution.status.is_final()
    }

    /// When its first line may have been said.
    fn began(&self) -> Instant {
        self.execution.started_at.unwrap_or(self.execution.created_at)
    }

    fn is_filtered(&self) -> bool {
        !self.kept.is_empty()
    }

    /// While it runs, nobody has counted yet.
    fn chips(&self) -> Vec<Chip> {
        let errors = &self.execution.errors;
        let counts = [
            (Class::External, errors.external),
            (Class::Configuration, errors.configuration),
            (Class::Mapping, errors.mapping),
            (Class::Technical, errors.technical),
            (Class::Cascade, errors.cascade),
        ];
        let all = counts.iter().map(|(_, count)| count).sum();
        let errors = Chip {
            name: "errors",
            count: (!self.is_live()).then(|| words::number(all)),
            address: self.kept.toggled("errors", "true"),
            is_on: self.query.errors,
            action: "Error lines alone".to_owned(),
        };
        let shown = |(class, count): &(Class, u64)| {
            self.is_live() || *count > 0 || self.query.classes.contains(class)
        };
        let classes = counts.into_iter().filter(shown).map(|(class, count)| Chip {
            name: class.as_str(),
            count: (!self.is_live()).then(|| words::number(count)),
            address: self.kept.toggled("class", class.as_str()),
            is_on: self.query.classes.contains(&class),
            action: class.action(None),
        });
        std::iter::once(errors).chain(classes).collect()
    }

    /// The line that named the class, and the button's words.
    fn first_error(&self) -> Option<(u64, String)> {
        let line = self.execution.first_error.as_ref()?.line;
        Some((line, format!("First error: line {}", words::number(line))))
    }

    fn levels(&self) -> [(Level, bool); 4] {
        [Level::Debug, Level::Info, Level::Warning, Level::Error]
            .map(|level| (level, self.query.level == Some(level)))
    }

    fn text(&self) -> &str {
        self.query.text.as_ref().map_or("", |sought| sought.text())
    }

    /// What each class asks of whoever reads it.
    fn actions(&self) -> [(&'static str, String); 5] {
        Class::ALL.map(|class| (class.as_str(), class.action(None)))
    }
}

/// The page.
///
/// # Errors
/// The execution does not exist, or a parameter is wrong.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    (Path(name), uri): (Path<String>, Uri),
    Filters(mut input): Filters,
    reads: Reads,
) -> Result<Response, Problem> {
    let wanted = Wanted::read(&mut input);
    input.finish()?;
    let id = resolve(&app, &name).await?;
    if id.to_string() != name {
        // Tomorrow, `latest` is another one: what is copied from here must hold.
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        return Ok(Redirect::to(&format!("/executions/{id}/log{query}")).into_response());
    }
    let execution = reads.execution(id).await?;
    let shell = Shell::of(&app, &caller, Section::Executions, &title(&execution));
    let newest = reads::follow(&app, id).borrow().last_line;
    let total = execution.lines.max(newest);
    let kept = Kept::of(&wanted.query);
    let (lines, older, newer) = lines(&app, &execution, &wanted, total).await?;
    let pages = lines.first().zip(lines.last()).map(|(first, last)| {
        let ends = [first.line, last.line, total].map(words::number);
        let at = |name, line: u64| kept.address(name, &line.to_string());
        Pages {
            shown: format!("lines {} to {} of {}", ends[0], ends[1], ends[2]),
            older: older.then(|| at("before", first.line)),
            newer: newer.then(|| at("after", last.line)),
            newest: at("last", PAGE as u64),
        }
    });
    page(&LogPage {
        rows: rows(&lines, &wanted.query, wanted.span),
        query: wanted.query,
        shell,
        execution,
        total,
        total_text: words::number(total),
        kept,
        pages,
    })
}

fn title(execution: &Execution) -> String {
    format!("Log of {}/{}", execution.interface, execution.schedule)
}

/// The lines of the page, and whether there are others before and behind them.
async fn lines(
    app: &App,
    execution: &Execution,
    wanted: &Wanted,
    total: u64,
) -> Result<(Vec<Line>, bool, bool), Problem> {
    let mut query = wanted.query.clone();
    let id = execution.id;
    if let Some(span) = wanted.span {
        let above = LogQuery { before: Some(span.first), ..query.clone() };
        query.after = reads::after_all_but(app, id, &above, ABOVE).await?;
    } else if let Some(count) = wanted.last {
        query.after = reads::after_all_but(app, id, &query, count.min(PAGE)).await?;
    } else if query.before.is_some() {
        query.after = reads::after_all_but(app, id, &query, PAGE).await?;
    }
    let lines = log::page(app, execution, query.clone(), PAGE).await?;
    let (Some(first), Some(last)) = (lines.first(), lines.last()) else {
        return Ok((lines, query.after > 0, false));
    };
    let behind = LogQuery { after: last.line, before: None, ..query.clone() };
    let newer = last.line < total && !log::page(app, execution, behind, 1).await?.is_empty();
    // From the top on, none can be before.
    let older = query.after > 0 && {
        let before = LogQuery { after: 0, before: Some(first.line), ..query };
        let after = reads::after_all_but(app, id, &before, 1).await?;
        !log::page(app, execution, LogQuery { after, ..before }, 1).await?.is_empty()
    };
    Ok((lines, older, newer))
}

/// The log as a file of text, with the page's filters.
///
/// # Errors
/// The execution does not exist, or a parameter is wrong.
pub(super) async fn download(
    State(app): State<App>,
    Path(name): Path<String>,
    Params(mut input): Params,
    reads: Reads,
) -> Result<Response, Problem> {
    let query = log::log_query(&mut input);
    input.finish()?;
    let execution = reads.execution(resolve(&app, &name).await?).await?;
    let mut answer = log::text(&app, &execution, query);
    let (interface, schedule) = (&execution.interface, &execution.schedule);
    let file = format!("{interface}-{schedule}-{}.txt", words::short(&execution.id));
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{file}\"")) {
        answer.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(answer)
}
