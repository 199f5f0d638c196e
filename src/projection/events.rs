//! Lists of events: the index says which positions, the log has the events.

use super::execution_row;
use super::fold::actor_text;
use super::heads;
use super::keys::List;
use super::lists::{self, Source};
use super::query::{LIMIT_MAX, QueryError, parse_cursor};
use super::rows::Rows;
use super::view::{self, Page};
use serde_json::Value;

use crate::domain::event::{EVENT_NAMES, Envelope, Event};
use crate::domain::masking::masked;
use crate::ids::{Position, StreamId};
use crate::store::{EventLog, ReadError};

/// Which events to list. The default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of this stream.
    pub stream: Option<StreamId>,
    /// With this code; see [`EventFilter::code_of`].
    pub kind: Option<u16>,
    /// Of whom.
    pub by: Option<By>,
    /// Behind this position.
    pub after: Option<Position>,
}

/// Who caused an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// Anybody but the daemon itself.
    People,
    /// The actor that people see like this, such as `token:ci`; see [`actor_text`].
    Actor(String),
}

impl EventFilter {
    /// The code of the events with this name, such as `slot-started`.
    pub fn code_of(name: &str) -> Option<u16> {
        EVENT_NAMES.iter().find(|(_, known)| *known == name).map(|(code, _)| *code)
    }
}

/// From which end a list goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest one first: for people.
    #[default]
    NewestFirst,
    /// The oldest one first: for whoever follows.
    OldestFirst,
}

/// Shows an event as people see it.
///
/// # Errors
/// [`ReadError::Damaged`] when its payload cannot be shown; no payload of ours is like that.
pub fn show(envelope: &Envelope) -> Result<view::Event, ReadError> {
    let data = data_of(&envelope.event).map_err(|err| ReadError::Damaged {
        place: format!("event {}", envelope.position),
        what: err.to_string(),
    })?;
    Ok(view::Event {
        position: envelope.position,
        stream: envelope.stream.to_string(),
        version: envelope.version,
        kind: envelope.event.name().to_owned(),
        at: envelope.at,
        actor: actor_text(&envelope.actor),
        correlation: envelope.correlation.map(|id| id.to_string()),
        causation: envelope.causation.map(|id| id.to_string()),
        hash: blake3::Hash::from_bytes(envelope.hash).to_hex().to_string(),
        data,
    })
}

/// The payload for people and programs: what is stored as bytes or as JSON text is shown as hex and as JSON.
fn data_of(event: &Event) -> serde_json::Result<Value> {
    let mut data = event.to_json()?;
    match event {
        Event::Closed(closed) => {
            let hash = blake3::Hash::from_bytes(closed.log_hash).to_hex();
            data["log_hash"] = Value::from(hash.as_str());
        }
        Event::InterfaceDefined(_) => {
            embed(&mut data["definition"]);
            data["definition"] = masked("", &data["definition"]);
            if let Some(changes) = data["changes"].as_array_mut() {
                for change in changes {
                    embed(&mut change["from"]);
                    embed(&mut change["to"]);
                }
            }
        }
        _ => (),
    }
    Ok(data)
}

/// Puts the JSON in the place of the text that holds it; a text that holds none stays.
fn embed(value: &mut Value) {
    if let Some(json) = value.as_str().and_then(|text| serde_json::from_str(text).ok()) {
        *value = json;
    }
}

/// Lists events, at most `limit` (up to 1,000) of them after `cursor`.
pub(super) fn list<R: Rows>(
    rows: &R,
    log: &dyn EventLog,
    filter: &EventFilter,
    order: Order,
    (limit, cursor): (usize, Option<&str>),
) -> Result<Page<view::Event>, QueryError> {
    let limit = limit.clamp(1, LIMIT_MAX);
    let cursor = parse_cursor(cursor)?;
    let durable = log.durable().borrow().0;
    let least = filter.after.map_or(1, |after| after.0.saturating_add(1));
    let (low, high) = match order {
        Order::NewestFirst => {
            (least, cursor.map_or(durable, |at| at.saturating_sub(1).min(durable)))
        }
        Order::OldestFirst => (cursor.map_or(least, |at| at.saturating_add(1).max(least)), durable),
    };
    let mut positions = if filter.stream.is_none() && filter.kind.is_none() && filter.by.is_none() {
        consecutive((low, high), order, limit + 1)
    } else {
        indexed(rows, filter, (low, high), (order, limit + 1))?
    };
    let more = positions.len() > limit;
    positions.truncate(limit);
    let next = positions.last().filter(|_| more).map(u64::to_string);
    let newest_first = order == Order::NewestFirst;
    if newest_first {
        positions.reverse();
    }
    let mut items = fetch(log, &positions)?;
    if newest_first {
        items.reverse();
    }
    Ok(Page { items, next })
}

fn consecutive((low, high): (u64, u64), order: Order, wanted: usize) -> Vec<u64> {
    match order {
        Order::NewestFirst => (low..=high).rev().take(wanted).collect(),
        Order::OldestFirst => (low..=high).take(wanted).collect(),
    }
}

fn indexed<R: Rows>(
    rows: &R,
    filter: &EventFilter,
    (low, high): (u64, u64),
    (order, wanted): (Order, usize),
) -> Result<Vec<u64>, QueryError> {
    let mut sources = Vec::new();
    if let Some(code) = filter.kind {
        sources.push(Source::stored(&List::EventKind(code)));
    }
    sources.extend(filter.by.as_ref().map(|by| match by {
        By::People => Source::stored(&List::People),
        By::Actor(actor) => Source::stored(&List::Actor(actor)),
    }));
    if let Some(stream) = &filter.stream {
        sources.push(stream_source(rows, stream)?);
    }
    let mut found = Vec::new();
    let mut next = match order {
        Order::NewestFirst => Some(high),
        Order::OldestFirst => Some(low),
    };
    while let Some(from) = next.filter(|at| (low..=high).contains(at) && found.len() < wanted) {
        let position = match order {
            Order::NewestFirst => lists::common_at_most(&mut sources, rows, from)?,
            Order::OldestFirst => lists::common_at_least(&mut sources, rows, from)?,
        };
        let Some(position) = position.filter(|position| (low..=high).contains(position)) else {
            break;
        };
        found.push(position);
        next = match order {
            Order::NewestFirst => position.checked_sub(1),
            Order::OldestFirst => position.checked_add(1),
        };
    }
    Ok(found)
}

fn stream_source<R: Rows>(rows: &R, stream: &StreamId) -> Result<Source, QueryError> {
    if let StreamId::Execution(id) = stream
        && let Some(row) = execution_row::find(rows, *id)?
    {
        return Ok(Source::Given(row.events));
    }
    Ok(Source::stored(&List::Stream(stream)))
}

/// Between two wanted events: to read over so many costs less than to find the next one's frame.
const NEAR: u64 = 64;

/// Events read at once.
const READ_MAX: usize = 4_096;

/// Reads the events at `positions`, ascending, in as few reads as there are wide gaps.
fn fetch(log: &dyn EventLog, positions: &[u64]) -> Result<Vec<view::Event>, QueryError> {
    let mut items = Vec::with_capacity(positions.len());
    for run in positions.chunk_by(|one, next| next - one <= NEAR) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        let mut wanted = run.iter().copied().peekable();
        let mut after = first.saturating_sub(1);
        while after < *last {
            let span = usize::try_from(last - after).unwrap_or(READ_MAX).min(READ_MAX);
            let events = log.read(Position(after), span)?;
            let Some(newest) = events.last().map(|event| event.position.0) else { break };
            for envelope in &events {
                if wanted.next_if_eq(&envelope.position.0).is_some() {
                    items.push(show(envelope)?);
                }
            }
            after = newest;
        }
    }
    Ok(items)
}

/// The positions of up to `limit` events of `stream` with versions above `after_version`, ascending.
pub(super) fn positions_of<R: Rows>(
    rows: &R,
    stream: &StreamId,
    after_version: u64,
    limit: usize,
) -> Result<Vec<Position>, QueryError> {
    loop {
        let newest = heads::version(rows, stream)?;
        let wanted = usize::try_from(newest.saturating_sub(after_version)).unwrap_or(usize::MAX);
        let mut found = newest_of(rows, stream, wanted)?;
        // Positions are counted from the newest one, so they must not be those of another version.
        if heads::version(rows, stream)? == newest {
            found.truncate(limit);
            return Ok(found);
        }
    }
}

/// The positions of the newest `wanted` events of `stream`, ascending. The oldest ones may have been pruned from the log.
fn newest_of<R: Rows>(
    rows: &R,
    stream: &StreamId,
    wanted: usize,
) -> Result<Vec<Position>, QueryError> {
    let mut source = [stream_source(rows, stream)?];
    let mut found = Vec::new();
    let mut most = Some(u64::MAX);
    while let Some(top) = most.filter(|_| found.len() < wanted) {
        let Some(position) = lists::common_at_most(&mut source, rows, top)? else {
            break;
        };
        found.push(Position(position));
        most = position.checked_sub(1);
    }
    found.reverse();
    Ok(found)
}
