//! `/events`: who did what and when, and whether the chain of it is whole.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::Value;

use super::form::{Filters, Posted, address};
use super::markdown::Inline;
use super::shell::{Section, Shell, page};
use super::words;
use crate::domain::event::EVENT_NAMES;
use crate::http::access::Caller;
use crate::http::api::events::{event, filter_of};
use crate::http::api::store::check_store;
use crate::http::parts::{App, StoreVerified};
use crate::http::problem::Problem;
use crate::http::reads::Reads;
use crate::projection::view;

/// Events of a page: each carries what it holds.
const ROWS: usize = 50;
/// Characters of what an event holds, in a list; the rest is on its own page.
const DATA_MAX: usize = 1_200;
/// The same on its own page; the rest is in the API's answer.
const WHOLE_MAX: usize = 60_000;
/// Characters of the line that says what an event holds.
const GIST_MAX: usize = 140;

/// An event as a row shows it.
struct Row {
    event: view::Event,
    /// The page of what its stream is about.
    about: Option<String>,
    gist: String,
    data: Shown,
}

/// What an event holds, as far as it is shown.
struct Shown {
    text: String,
    /// There is more of it.
    cut: bool,
}

impl Row {
    fn of(event: view::Event, most: usize) -> Self {
        let text = serde_json::to_string_pretty(&event.data).unwrap_or_default();
        let cut = text.chars().count() > most;
        let text = if cut { text.chars().take(most).collect() } else { text };
        Self {
            about: about(&event.stream),
            gist: gist(&event.data),
            data: Shown { text, cut },
            event,
        }
    }
}

/// The page of what a stream is about; the daemon has none.
pub(super) fn about(stream: &str) -> Option<String> {
    let (kind, name) = stream.split_once('/')?;
    Some(format!("/{kind}s/{name}"))
}

/// What an event holds, in a line: the values that are short.
fn gist(data: &Value) -> String {
    let mut said = String::new();
    for (name, value) in data.as_object().into_iter().flatten() {
        let value = match value {
            Value::String(text) if text.len() <= 80 => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(true) => "yes".to_owned(),
            Value::Array(list) if !list.is_empty() => words::count(list.len(), "item"),
            Value::Null
            | Value::Bool(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => {
                continue;
            }
        };
        if !said.is_empty() {
            said.push_str(" · ");
        }
        said.push_str(&format!("{} {value}", name.replace('_', " ")));
        if said.chars().count() > GIST_MAX {
            return words::cut(&said, GIST_MAX);
        }
    }
    said
}

#[derive(Template)]
#[template(path = "events.html", config = "src/http/console/askama.toml")]
struct Events {
    shell: Shell,
    rows: Vec<Row>,
    stream: String,
    kind: String,
    actor: String,
    after: String,
    /// The first page, when this is a later one.
    first: Option<String>,
    /// The page after this one.
    next: Option<String>,
}

impl Events {
    fn is_filtered(&self) -> bool {
        [&self.stream, &self.kind, &self.actor, &self.after].iter().any(|one| !one.is_empty())
    }

    fn is_kind(&self, name: &str) -> bool {
        self.kind == name
    }

    fn kinds(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = EVENT_NAMES.iter().map(|(_, name)| *name).collect();
        names.sort_unstable();
        names
    }
}

/// The newest events, or those that fit.
///
/// # Errors
/// A filter is wrong, or the lists are being rebuilt.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Filters(mut input): Filters,
    reads: Reads,
) -> Result<Response, Problem> {
    let mut given = input.clone();
    let (filter, order) = filter_of(&mut input);
    let cursor = input.text("cursor", 200);
    input.finish()?;
    let mut text = |name| given.text(name, 300).unwrap_or_default();
    let (stream, kind, actor, after) = (text("stream"), text("type"), text("actor"), text("after"));
    let is_later = cursor.is_some();
    let found = reads.events(filter, order, (ROWS, cursor)).await?;
    let state = [
        ("stream", stream.as_str()),
        ("type", kind.as_str()),
        ("actor", actor.as_str()),
        ("after", after.as_str()),
    ];
    let first = address("/events", &state);
    let next = found.next.map(|next| {
        let state = [&state[..], &[("cursor", next.as_str())]].concat();
        address("/events", &state)
    });
    page(&Events {
        shell: Shell::of(&app, &caller, Section::Events, "Events"),
        rows: found.items.into_iter().map(|event| Row::of(event, DATA_MAX)).collect(),
        stream,
        kind,
        actor,
        after,
        first: is_later.then_some(first),
        next,
    })
}

#[derive(Template)]
#[template(path = "event.html", config = "src/http/console/askama.toml")]
struct OneEvent {
    shell: Shell,
    row: Row,
    newest: u64,
}

/// One event.
///
/// # Errors
/// There is none at that position, or the log cannot be read.
pub(super) async fn one(
    State(app): State<App>,
    caller: Caller,
    Path(position): Path<String>,
    Filters(input): Filters,
) -> Result<Response, Problem> {
    input.finish()?;
    let row = Row::of(event(&app, &position).await?, WHOLE_MAX);
    let newest = app.log.durable().borrow().0;
    let title = format!("Event {}", row.event.position);
    let shell = Shell::of(&app, &caller, Section::Events, &title);
    page(&OneEvent { shell, row, newest })
}

#[derive(Template)]
#[template(path = "verified.html", config = "src/http/console/askama.toml")]
struct Verified {
    shell: Shell,
    found: StoreVerified,
}

/// Checks every byte of the store and the chain through all events, and shows what it found.
///
/// # Errors
/// The store cannot be read; another check or backup goes on; a value is wrong.
pub(super) async fn verify(
    State(app): State<App>,
    caller: Caller,
    Posted(input): Posted,
) -> Result<Response, Problem> {
    let found = check_store(&app, input).await?;
    page(&Verified {
        shell: Shell::of(&app, &caller, Section::Events, "The store, checked"),
        found,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_event_holds_is_said_in_a_line_of_its_short_values() {
        let data =
            json!({"note": "shop is down", "until": null, "forced": false, "ids": [1, 2], "x": {}});
        assert_eq!(gist(&data), "ids 2 items · note shop is down");
        let long = json!({"a": "x".repeat(79), "b": "y".repeat(79)});
        assert!(gist(&long).ends_with('…'));
    }

    #[test]
    fn a_stream_leads_to_the_page_of_what_it_is_about() {
        assert_eq!(about("daemon"), None);
        assert_eq!(about("schedule/fnac/sales").as_deref(), Some("/schedules/fnac/sales"));
        assert_eq!(about("interface/fnac").as_deref(), Some("/interfaces/fnac"));
    }
}
