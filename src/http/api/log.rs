//! `GET /api/executions/{id}/log`: as JSON Lines, as text, or as a stream of events that follows it.
//!
//! Every form reads the store page by page, and only when the caller has taken the page before: a slow one costs a page of
//! memory and holds nobody up.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, header};
use tokio::sync::watch;

use crate::domain::line::Line;
use crate::http::input::{Input, Params};
use crate::http::parts::App;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::reads::{self, LogQuery, Reads, resolve};
use crate::ids::ExecutionId;
use crate::instant::Instant;
use crate::projection::view::Status;
use crate::store::lines::{FollowState, pruned_row};

/// Lines read at once.
const PAGE: usize = 500;
/// How often a follower looks whether the execution is over: a log whose writer vanished never says so.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How often the end of an execution whose log is finished is looked for.
const SETTLE: Duration = Duration::from_millis(50);
/// A comment this often keeps proxies from closing a silent stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Why a follower that comes back has to say whom it followed.
const NEEDS_ID: &str = "goes on in one log: ask at the address that `Content-Location` named, with the execution's whole id";
/// The longest regular expression.
const GREP_MAX: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    JsonLines,
    Text,
    Events,
}

/// An execution's log: JSON Lines, or by `Accept` text (`text/plain`) or events that follow it (`text/event-stream`).
///
/// Events: `line`, with the line's number as id, and `end` when the execution is over. `Last-Event-ID` goes on from there; it
/// needs the whole id, which `Content-Location` names: `latest` and a prefix may mean another execution by then.
///
/// Lines that cannot be read have one row in their place, of the stream `daybook` and with the field `unreadable_lines`;
/// those that retention took have one with the field `pruned_lines`.
///
/// # Errors
/// The execution does not exist, or a parameter is wrong.
#[utoipa::path(get, path = "/api/executions/{execution}/log", operation_id = "log", tag = "executions",
    params(("execution" = String, Path),
        ("after" = Option<u64>, Query, description = "Lines after this one"),
        ("level" = Option<String>, Query, description = "At least `debug`, `info`, `warning` or `error`"),
        ("class" = Option<String>, Query, description = "Of this class"),
        ("errors" = Option<bool>, Query, description = "Error lines alone"),
        ("attempt" = Option<u32>, Query, description = "Of this attempt"),
        ("grep" = Option<String>, Query, description = "A regular expression that the text matches"),
        ("limit" = Option<usize>, Query, description = "Lines at most; all unless given")),
    responses((status = 200, body = String, content_type = "application/x-ndjson"),
        (status = "default", body = ProblemBody)))]
pub async fn show(
    State(app): State<App>,
    Path(name): Path<String>,
    Params(mut input): Params,
    headers: HeaderMap,
    reads: Reads,
) -> Result<Response, Problem> {
    let form = form(&headers);
    let mut query = log_query(&mut input);
    let limit: usize = input.number("limit").unwrap_or(usize::MAX);
    if form == Form::Events
        && let Some(last) = last_event_id(&headers)
    {
        query.after = last;
        if name.parse::<ExecutionId>().is_err() {
            return Err(Problem::invalid_field("Last-Event-ID", NEEDS_ID));
        }
    }
    input.finish()?;
    let id = resolve(&app, &name).await?;
    let execution = reads.execution(id).await?;
    let status = execution.status;
    let pruned = execution.lines_pruned_at.map(|at| (at, execution.lines));
    let tail = Tail { app, id, query, left: limit, ended: false, pruned };
    let mut response = match form {
        Form::JsonLines => whole(tail, "application/x-ndjson", json_row),
        Form::Text => whole(tail, "text/plain; charset=utf-8", text_row),
        Form::Events => events(tail, status),
    };
    if let Ok(place) = HeaderValue::try_from(format!("/api/executions/{id}/log")) {
        response.headers_mut().insert(header::CONTENT_LOCATION, place);
    }
    Ok(response)
}

fn log_query(input: &mut Input) -> LogQuery {
    LogQuery {
        after: input.number("after").unwrap_or(0),
        level: input.json("level"),
        class: input.parsed("class"),
        errors: input.flag("errors"),
        attempt: input.number("attempt"),
        grep: input.with("grep", |text| {
            if text.len() > GREP_MAX {
                return Err(format!("must have at most {GREP_MAX} bytes, not {}", text.len()));
            }
            regex::Regex::new(text).map_err(|err| {
                // What comes before the last line draws the pattern with a caret.
                let why = err.to_string();
                let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
                format!("`{text}` is not a regular expression: {why}")
            })
        }),
    }
}

/// The first of our forms in `Accept`; JSON Lines unless another is named.
fn form(headers: &HeaderMap) -> Form {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let types = accept.flat_map(|value| value.split(','));
    let essence =
        |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    types
        .map(essence)
        .find_map(|essence| match essence.as_str() {
            "text/event-stream" => Some(Form::Events),
            "text/plain" | "text/*" => Some(Form::Text),
            "application/x-ndjson"
            | "application/jsonl"
            | "application/json"
            | "*/*"
            | "application/*" => Some(Form::JsonLines),
            _ => None,
        })
        .unwrap_or(Form::JsonLines)
}

fn last_event_id(headers: &HeaderMap) -> Option<u64> {
    headers.get("last-event-id")?.to_str().ok()?.trim().parse().ok()
}

/// What is left of a log to be sent.
struct Tail {
    app: App,
    id: ExecutionId,
    query: LogQuery,
    left: usize,
    ended: bool,
    /// When retention took the lines, and how many there were.
    pruned: Option<(Instant, u64)>,
}

impl Tail {
    /// The next page; empty at the end of what there is. Lines that cannot be read have one row in their place.
    async fn page(&mut self) -> Result<Vec<Line>, Problem> {
        if let Some((at, count)) = self.pruned {
            let row = (self.query.after < count).then(|| pruned_row(at, count));
            self.query.after = count;
            return Ok(row.into_iter().collect());
        }
        let limit = PAGE.min(self.left);
        let (mut lines, gap) = reads::lines(&self.app, self.id, &self.query, limit).await?;
        self.left = self.left.saturating_sub(lines.len());
        if let Some(gap) = gap {
            tracing::error!(execution = %self.id, why = %gap.why, "lines cannot be read");
            lines.push(gap.row(lines.last(), self.app.clock.now()));
        }
        if let Some(last) = lines.last() {
            self.query.after = last.line;
        }
        Ok(lines)
    }
}

fn json_row(rows: &mut String, line: &Line) {
    if let Ok(json) = serde_json::to_string(line) {
        rows.push_str(&json);
        rows.push('\n');
    }
}

/// Number, instant, level, then the text as people read it.
fn text_row(rows: &mut String, line: &Line) {
    // Writing to a `String` cannot fail.
    writeln!(rows, "{:>6} {} {:<7} {}", line.line, line.at, line.level, line.shown()).ok();
}

fn whole(tail: Tail, media_type: &'static str, row: fn(&mut String, &Line)) -> Response {
    let pages = stream::unfold(tail, move |mut tail| async move {
        if tail.ended || tail.left == 0 {
            return None;
        }
        let lines = match tail.page().await {
            Ok(lines) => lines,
            Err(problem) => {
                // The head is sent: breaking off is the only way to say that something is missing.
                tail.ended = true;
                let broken = std::io::Error::other(problem.body(None, None).detail);
                return Some((Err(broken), tail));
            }
        };
        if lines.is_empty() {
            return None;
        }
        let mut rows = String::with_capacity(lines.len() * 128);
        lines.iter().for_each(|line| row(&mut rows, line));
        Some((Ok(Bytes::from(rows)), tail))
    });
    ([(header::CONTENT_TYPE, media_type)], Body::from_stream(pages)).into_response()
}

struct Follower {
    tail: Tail,
    ready: VecDeque<Line>,
    news: watch::Receiver<FollowState>,
    over: bool,
    status: Status,
}

fn events(tail: Tail, status: Status) -> Response {
    let news = reads::follow(&tail.app, tail.id);
    let follower = Follower { tail, ready: VecDeque::new(), news, over: status.is_final(), status };
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.tail.ended {
                return None;
            }
            if let Some(line) = self.ready.pop_front() {
                let event = Event::default().event("line").id(line.line.to_string());
                return event.json_data(&line).ok();
            }
            // Read before looking whether it is over: lines that were written between the two are found.
            let over = self.over || self.news.borrow_and_update().finished;
            match self.tail.page().await {
                Ok(lines) if !lines.is_empty() => self.ready.extend(lines),
                Ok(_) if over || self.tail.left == 0 => return self.end().await,
                Ok(_) => self.wait().await?,
                Err(problem) => {
                    self.tail.ended = true;
                    let body = problem.body(None, None);
                    return Event::default().event("problem").json_data(&body).ok();
                }
            }
        }
    }

    /// Waits for news; none when the daemon stops.
    async fn wait(&mut self) -> Option<()> {
        let stop = self.tail.app.stop.clone();
        let news = async {
            let changed = tokio::time::timeout(LOOK_AGAIN, self.news.changed()).await;
            if matches!(changed, Ok(Err(_))) {
                // Nobody is left who could tell news.
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            matches!(changed, Ok(Ok(())))
        };
        let is_news = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            is_news = news => is_news,
        };
        if !is_news && let Some(status) = self.look().await {
            self.status = status;
            self.over = status.is_final();
        }
        Some(())
    }

    async fn look(&self) -> Option<Status> {
        let app = &self.tail.app;
        let reads = Reads::at(app, app.memory.newest_answer()).await.ok()?;
        Some(reads.execution(self.tail.id).await.ok()?.status)
    }

    /// Tells the end; none when the daemon stops. A log's last line is on disk a moment before the execution is closed, so
    /// its status is waited for, unless the caller wanted no more lines.
    async fn end(&mut self) -> Option<Event> {
        self.tail.ended = true;
        let (stop, known, cut) = (self.tail.app.stop.clone(), self.status, self.tail.left == 0);
        let settled = async {
            loop {
                match self.look().await {
                    Some(status) if status.is_final() || cut => return status,
                    Some(_) | None => tokio::time::sleep(SETTLE).await,
                }
            }
        };
        let status = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            status = tokio::time::timeout(LOOK_AGAIN, settled) => status.unwrap_or(known),
        };
        let body = serde_json::json!({"execution": self.tail.id, "status": status});
        Event::default().event("end").json_data(body).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::class::{Class, Level, Source};

    fn line(text: &str) -> Line {
        Line {
            line: 12,
            at: Instant::from_secs(0),
            attempt: 1,
            source: Source::Stderr,
            level: Level::Error,
            class: Some(Class::External),
            cause: None,
            text: text.to_owned(),
            cascade_of: None,
            fields: None,
        }
    }

    /// S3-6.
    #[test]
    fn a_row_of_text_names_the_class_once() {
        let mut rows = String::new();
        text_row(&mut rows, &line("no answer"));
        text_row(&mut rows, &line("External: no answer"));
        let row = "    12 1970-01-01T00:00:00.000Z error   External: no answer\n";
        assert_eq!(rows, format!("{row}{row}"));
    }

    #[test]
    fn the_first_known_media_type_decides() {
        let form_of = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, http::HeaderValue::from_static(accept));
            form(&headers)
        };
        assert_eq!(form_of("text/event-stream"), Form::Events);
        assert_eq!(form_of("text/html, text/plain;q=0.8"), Form::Text);
        assert_eq!(form_of("image/png"), Form::JsonLines);
        assert_eq!(form(&HeaderMap::new()), Form::JsonLines);
    }
}
