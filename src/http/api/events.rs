//! `GET /api/events`: straight from the log, so it also answers while the lists are rebuilt.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use http::Uri;

use super::page_answer;
use crate::domain::event::{Actor, EVENT_NAMES, Envelope};
use crate::http::auth::hex;
use crate::http::input::Params;
use crate::http::parts::App;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::reads::blocking;
use crate::ids::{Position, StreamId};
use crate::projection::view::{Event, Page};
use crate::store::{EventLog, ReadError};

/// Events looked at for one page at most; then the page ends early, with a cursor.
const LOOKED_AT: u64 = 50_000;
/// Events read at once.
const WINDOW: u64 = 1_000;

/// Which events.
struct Query {
    stream: Option<StreamId>,
    kind: Option<String>,
    limit: usize,
}

/// Where the page begins: positions in the whole log, or versions in the stream when one is asked for.
enum From {
    /// Oldest first, after this place: to follow the log.
    After(u64),
    /// Newest first, before this place.
    Before(u64),
}

/// Events: newest first, or with `after` oldest first from there on.
///
/// # Errors
/// A parameter is wrong, or the log cannot be read.
#[utoipa::path(get, path = "/api/events", tag = "events",
    params(
        ("after" = Option<u64>, Query, description = "Oldest first, after this position"),
        ("stream" = Option<String>, Query, description = "`daemon`, `interface/<id>`, `schedule/<i>/<s>`, `execution/<uuid>`"),
        ("type" = Option<String>, Query, description = "Of this type, such as `closed`"),
        ("limit" = Option<usize>, Query, description = "1 to 1,000; 100 unless given"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, body = Page<Event>), (status = "default", body = ProblemBody)))]
pub async fn list(
    State(app): State<App>,
    uri: Uri,
    Params(mut input): Params,
) -> Result<Response, Problem> {
    let query = Query {
        stream: input.parsed("stream"),
        kind: input.with("type", |text| {
            let known = EVENT_NAMES.iter().any(|(_, name)| *name == text);
            known.then(|| text.to_owned()).ok_or_else(|| format!("`{text}` is no type of event"))
        }),
        limit: input.limit(),
    };
    let after: Option<u64> = input.parsed("after");
    let cursor = input.with("cursor", parse_cursor);
    input.finish()?;
    let from = cursor.or(after.map(From::After)).unwrap_or(From::Before(u64::MAX));
    let log = Arc::clone(&app.log);
    let page = blocking(move || page(&*log, &query, &from)).await?.map_err(read_problem)?;
    Ok(page_answer(&uri, page))
}

fn parse_cursor(text: &str) -> Result<From, String> {
    let wrong = || format!("`{text}` is not a cursor of this list");
    let (kind, place) = text.split_once('-').ok_or_else(wrong)?;
    let place = place.parse().map_err(|_err| wrong())?;
    match kind {
        "after" => Ok(From::After(place)),
        "before" => Ok(From::Before(place)),
        _ => Err(wrong()),
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
    let missing = || Problem::not_found(format_args!("an event at `{}`", position.escape_debug()));
    let place: u64 = position.parse().map_err(|_err| missing())?;
    let before = Position(place.checked_sub(1).ok_or_else(missing)?);
    let log = Arc::clone(&app.log);
    let found = blocking(move || log.read(before, 1)).await?.map_err(read_problem)?;
    let found = found.into_iter().find(|envelope| envelope.position == Position(place));
    Ok(Json(found.map(shown).ok_or_else(missing)?))
}

fn read_problem(err: ReadError) -> Problem {
    match err {
        ReadError::Rebuilding { percent } => Problem::rebuilding(percent),
        ReadError::Damaged { .. } | ReadError::Io { .. } => {
            Problem::internal("the log cannot be read", &err)
        }
    }
}

fn page(log: &dyn EventLog, query: &Query, from: &From) -> Result<Page<Event>, ReadError> {
    let place = |envelope: &Envelope| match query.stream {
        None => envelope.position.0,
        Some(_) => envelope.version,
    };
    let read = |after: u64, limit: usize| match &query.stream {
        None => log.read(Position(after), limit),
        Some(stream) => log.read_stream(stream, after, limit),
    };
    let fits = |e: &Envelope| query.kind.as_deref().is_none_or(|kind| e.event.name() == kind);
    match *from {
        From::After(after) => {
            let (mut items, mut at) = (Vec::new(), after);
            while items.len() < query.limit && at - after < LOOKED_AT {
                let rows = read(at, WINDOW as usize)?;
                let Some(last) = rows.last().map(place) else { break };
                let room = query.limit - items.len();
                let mut fitting = rows.into_iter().filter(fits).peekable();
                let mut taken: Vec<Envelope> = fitting.by_ref().take(room).collect();
                at = if fitting.peek().is_some() { taken.last().map_or(last, place) } else { last };
                items.append(&mut taken);
            }
            // A follower asks again from where it got to, also when there is nothing new yet.
            let next = (at > after).then(|| format!("after-{at}"));
            let last_page = read(at, 1)?.is_empty();
            let next = if last_page { None } else { next };
            Ok(Page { items: items.into_iter().map(shown).collect(), next })
        }
        From::Before(before) => {
            let newest = match &query.stream {
                None => log.durable().borrow().0,
                Some(stream) => newest_version(log, stream)?,
            };
            let start = before.min(newest + 1);
            let (mut items, mut at) = (Vec::new(), start);
            while items.len() < query.limit && at > 1 && start - at < LOOKED_AT {
                let after = at.saturating_sub(WINDOW + 1);
                let count = usize::try_from(at - 1 - after).unwrap_or(usize::MAX);
                let rows = read(after, count)?;
                at = after + 1;
                let room = query.limit - items.len();
                let mut fitting = rows.into_iter().rev().filter(fits).peekable();
                let mut taken: Vec<Envelope> = fitting.by_ref().take(room).collect();
                if fitting.peek().is_some() {
                    at = taken.last().map_or(at, place);
                }
                items.append(&mut taken);
            }
            let next = (at > 1).then(|| format!("before-{at}"));
            Ok(Page { items: items.into_iter().map(shown).collect(), next })
        }
    }
}

/// The version of a stream's newest event, by doubling and halving: the log offers only "after".
fn newest_version(log: &dyn EventLog, stream: &StreamId) -> Result<u64, ReadError> {
    let has_more = |after: u64| log.read_stream(stream, after, 1).map(|rows| !rows.is_empty());
    let mut beyond = 64;
    while has_more(beyond)? {
        beyond *= 2;
    }
    let mut below = 0;
    // The newest version lies in below..=beyond.
    while below < beyond {
        let middle = below + (beyond - below) / 2;
        if has_more(middle)? {
            below = middle + 1;
        } else {
            beyond = middle;
        }
    }
    Ok(below)
}

/// An event in the shape that people see.
fn shown(envelope: Envelope) -> Event {
    Event {
        position: envelope.position,
        stream: envelope.stream.to_string(),
        version: envelope.version,
        kind: envelope.event.name().to_owned(),
        at: envelope.at,
        actor: actor_name(&envelope.actor),
        correlation: envelope.correlation.map(|id| id.to_string()),
        causation: envelope.causation.map(|id| id.to_string()),
        hash: hex(&envelope.hash),
        data: envelope.event.to_json().unwrap_or_default(),
    }
}

/// An actor as a word.
pub fn actor_name(actor: &Actor) -> String {
    match actor {
        Actor::Daybook => "daybook".to_owned(),
        Actor::Local(uid) => format!("local:{uid}"),
        Actor::Token(name) => format!("token:{name}"),
        Actor::Session(id) => format!("session:{id}"),
    }
}
