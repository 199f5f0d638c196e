//! `/api/events`.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use http::Uri;

use super::page_answer;
use crate::domain::event::EVENT_NAMES;
use crate::http::input::{Input, Params, nearest};
use crate::http::parts::App;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::reads::{self, Reads};
use crate::ids::Position;
use crate::projection::view::{Event, Page};
use crate::projection::{By, EventFilter, Order};

/// Events: newest first, or with `after` oldest first from there on, to follow the log.
///
/// # Errors
/// A parameter is wrong, or the lists are being rebuilt.
#[utoipa::path(get, path = "/api/events", tag = "events",
    params(
        ("after" = Option<u64>, Query, description = "Oldest first, after this position"),
        ("stream" = Option<String>, Query, description = "`daemon`, `interface/<id>`, `schedule/<i>/<s>`, `execution/<uuid>`"),
        ("type" = Option<String>, Query, description = "Of this type, such as `closed`"),
        ("actor" = Option<String>, Query, description = "Of this actor, such as `token:ci`; `people` for all but the daemon itself"),
        ("limit" = Option<usize>, Query, description = "1 to 1,000; 100 unless given"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, body = Page<Event>), (status = "default", body = ProblemBody)))]
pub async fn list(reads: Reads, uri: Uri, Params(mut input): Params) -> Result<Response, Problem> {
    let (filter, order) = filter_of(&mut input);
    let page = (input.limit(), input.text("cursor", 200));
    input.finish()?;
    Ok(page_answer(&uri, reads.events(filter, order, page).await?))
}

/// Reads which events are wanted, and in which order.
pub fn filter_of(input: &mut Input) -> (EventFilter, Order) {
    let filter = EventFilter {
        stream: input.parsed("stream"),
        kind: input.with("type", |text| EventFilter::code_of(text).ok_or_else(|| no_type(text))),
        by: input.with("actor", by),
        after: input.number("after").map(Position),
    };
    let order = if filter.after.is_some() { Order::OldestFirst } else { Order::NewestFirst };
    (filter, order)
}

fn by(text: &str) -> Result<By, String> {
    match text.split_once(':') {
        None if text == "people" => Ok(By::People),
        Some(("local" | "token" | "session", name)) if !name.is_empty() => {
            Ok(By::Actor(text.to_owned()))
        }
        _ => Err(format!(
            "`{text}` is nobody: `local:` with a user's number, `token:` with its name, `session:` with its id, or `people` for all of them"
        )),
    }
}

fn no_type(text: &str) -> String {
    match nearest(text, EVENT_NAMES.iter().map(|(_, name)| *name)) {
        Some(name) => format!("`{text}` is no type of event; did you mean `{name}`?"),
        None => format!("`{text}` is no type of event, such as `slot-started` or `closed`"),
    }
}

/// One event.
///
/// # Errors
/// There is none at that position, or the log cannot be read.
#[utoipa::path(get, path = "/api/events/{position}", tag = "events",
    params(("position" = u64, Path, description = "Place in the whole log, from 1")),
    responses((status = 200, body = Event), (status = "default", body = ProblemBody)))]
pub async fn show(
    State(app): State<App>,
    Path(position): Path<String>,
    Params(input): Params,
) -> Result<Json<Event>, Problem> {
    input.finish()?;
    event(&app, &position).await.map(Json)
}

/// The event at the position that `text` names.
///
/// # Errors
/// There is none, or the log cannot be read.
pub async fn event(app: &App, text: &str) -> Result<Event, Problem> {
    let missing = |_err| Problem::not_found(format_args!("an event at `{}`", text.escape_debug()));
    let position = text.parse().map(Position).map_err(missing)?;
    reads::event(app, position).await
}
