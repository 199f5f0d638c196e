//! The one place that asks the projections and the line store.
//!
//! A read reflects every command that was answered before it (contract, rule 2): it waits up to 2 s for the lists, else it
//! is answered 503. Queries block on files, so they run on the threads for that.

mod filter;
mod log;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::Uri;
use http::request::Parts;

use super::parts::App;
use super::problem::{Code, Problem};
use crate::domain::event::Envelope;
use crate::domain::{definition, event};
use crate::engine::board;
use crate::ids::{ExecutionId, InterfaceId, Position, ScheduleRef, StreamId};
use crate::instant::Instant;
use crate::projection::view::{Event, Execution, Page, Slot, SlotsPruned, Status};
use crate::projection::{
    EventFilter, ExecutionFilter, ExpandRequest, Order, QueryError, ResolveError, SlotRange,
};

pub use filter::{ExecutionQuery, classes, execution_filter};
pub use log::{LogQuery, after_all_but, follow, lines};

/// The header with a command's position; a read that sends it back waits for that position.
pub const POSITION_HEADER: &str = "x-daybook-position";

/// Slots of one run that are computed for one page at most: a year of minutes is half a million.
const EXPANDED_MAX: usize = 600_000;

/// The lists, as new as the caller may expect.
#[derive(Clone)]
pub struct Reads(App);

impl FromRequestParts<App> for Reads {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let header = parts.headers.get(POSITION_HEADER).map(|value| value.to_str().unwrap_or("?"));
        let query = asked_in_query(&parts.uri);
        let mut at_least = app.memory.newest_answer();
        for (pointer, text) in [("X-Daybook-Position", header), ("?at_least", query.as_deref())] {
            if let Some(text) = text {
                at_least = at_least.max(asked_position(app, pointer, text)?);
            }
        }
        Self::at(app, at_least).await
    }
}

/// The position that a query names. What else is wrong with the query is for whoever reads all of it.
fn asked_in_query(uri: &Uri) -> Option<String> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(uri.query()?).ok()?;
    pairs.into_iter().find(|(name, _)| name == "at_least").map(|(_, value)| value)
}

fn asked_position(app: &App, pointer: &str, text: &str) -> Result<Position, Problem> {
    let wrong = |why: String| Problem::invalid_field(pointer, why);
    let position = text
        .parse()
        .map(Position)
        .map_err(|_err| wrong(format!("must be a position such as 12, not `{text}`")))?;
    let newest = *app.log.durable().borrow();
    if position > newest {
        return Err(wrong(format!("lies beyond the newest event, which is at {newest}")));
    }
    Ok(position)
}

impl Reads {
    /// The lists, at least as new as `position`.
    ///
    /// # Errors
    /// They are being rebuilt, or did not get there in time.
    pub async fn at(app: &App, position: Position) -> Result<Self, Problem> {
        if let Some(percent) = app.projections.rebuilding() {
            return Err(Problem::rebuilding(percent));
        }
        app.projections
            .caught_up(position)
            .await
            .map_err(|rebuilding| Problem::rebuilding(rebuilding.percent))?;
        Ok(Self(Arc::clone(app)))
    }

    /// One execution.
    ///
    /// # Errors
    /// It does not exist, or the lists cannot be read.
    pub async fn execution(&self, id: ExecutionId) -> Result<Execution, Problem> {
        let app = Arc::clone(&self.0);
        let row = blocking(move || app.projections.execution(id)).await?.map_err(query_problem)?;
        match row {
            Some(row) => Ok(row),
            None => Err(self.gone(id).await),
        }
    }

    /// How executions stand, by id; those that were pruned are left out.
    ///
    /// # Errors
    /// The lists cannot be read.
    pub async fn ends(&self, ids: Vec<ExecutionId>) -> Result<HashMap<ExecutionId, End>, Problem> {
        let app = Arc::clone(&self.0);
        blocking(move || {
            let mut ends = HashMap::with_capacity(ids.len());
            for id in ids {
                if let Some(row) = app.projections.execution(id)? {
                    let solved = row.solved_by.is_some();
                    ends.insert(id, End { status: row.status, solved });
                }
            }
            Ok(ends)
        })
        .await?
        .map_err(query_problem)
    }

    /// Why there is no execution with this id.
    async fn gone(&self, id: ExecutionId) -> Problem {
        let app = Arc::clone(&self.0);
        match blocking(move || app.projections.pruned_at(id)).await {
            Ok(Ok(Some(at))) => Problem::new(
                Code::NotFound,
                format!("execution `{id}` was pruned by retention on {at}"),
            ),
            // When that cannot be told, it is still not there.
            Ok(Ok(None) | Err(_)) | Err(_) => Problem::not_found(format_args!("execution `{id}`")),
        }
    }

    /// The newest executions that fit `filter`.
    ///
    /// # Errors
    /// The cursor is none of ours, or the lists cannot be read.
    pub async fn executions(
        &self,
        filter: ExecutionFilter,
        limit: usize,
        cursor: Option<String>,
    ) -> Result<Page<Execution>, Problem> {
        let app = Arc::clone(&self.0);
        blocking(move || app.projections.executions(&filter, limit, cursor.as_deref()))
            .await?
            .map_err(query_problem)
    }

    /// A schedule's ledger, newest first.
    ///
    /// # Errors
    /// The cursor is none of ours, or the lists cannot be read.
    pub async fn slots(&self, schedule: ScheduleRef, span: Span) -> Result<Page<Slot>, Problem> {
        let app = Arc::clone(&self.0);
        let Span { from, to, limit, cursor } = span;
        blocking(move || {
            let page = (limit, cursor.as_deref());
            let expand = |request: &ExpandRequest<'_>| expand(&app, request);
            app.projections.slots(&schedule, SlotRange { from, to }, page, &expand)
        })
        .await?
        .map_err(query_problem)
    }

    /// Up to where retention took slots of a schedule.
    ///
    /// # Errors
    /// The lists cannot be read.
    pub async fn slots_pruned(
        &self,
        schedule: ScheduleRef,
    ) -> Result<Option<SlotsPruned>, Problem> {
        let app = Arc::clone(&self.0);
        blocking(move || app.projections.slots_pruned(&schedule)).await?.map_err(query_problem)
    }

    /// The newest decisions on a schedule's slots from `range`, with the positions of their events.
    ///
    /// # Errors
    /// The lists cannot be read.
    pub async fn decided(
        &self,
        schedule: ScheduleRef,
        range: SlotRange,
        limit: usize,
    ) -> Result<Vec<(Position, Slot)>, Problem> {
        let app = Arc::clone(&self.0);
        blocking(move || {
            let expand = |request: &ExpandRequest<'_>| expand(&app, request);
            app.projections.decided(&schedule, range, limit, &expand)
        })
        .await?
        .map_err(query_problem)
    }

    /// The newest slot before `before` whose execution or a re-run of it ended ok.
    ///
    /// # Errors
    /// The lists cannot be read.
    pub async fn last_ok_slot(
        &self,
        schedule: ScheduleRef,
        before: Instant,
    ) -> Result<Option<Instant>, Problem> {
        let app = Arc::clone(&self.0);
        blocking(move || app.projections.last_ok_slot(&schedule, before))
            .await?
            .map_err(query_problem)
    }

    /// The events of one execution, oldest first, at most `limit`.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn story(&self, id: ExecutionId, limit: usize) -> Result<Vec<Envelope>, Problem> {
        let app = Arc::clone(&self.0);
        blocking(move || app.log.read_stream(&StreamId::Execution(id), 0, limit))
            .await?
            .map_err(|err| Problem::internal("the log cannot be read", &err))
    }

    /// An interface's definition of some version; none that is not in the log.
    ///
    /// # Errors
    /// The query did not finish.
    pub async fn definition(
        &self,
        id: InterfaceId,
        version: u32,
    ) -> Result<Option<Arc<definition::Interface>>, Problem> {
        let app = Arc::clone(&self.0);
        blocking(move || definition_of(&app, &id, version)).await
    }

    /// One event; none that was pruned.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn event_at(&self, position: Position) -> Result<Option<Event>, Problem> {
        let app = Arc::clone(&self.0);
        blocking(move || app.projections.event(position)).await?.map_err(query_problem)
    }

    /// The newest events that fit `filter`, at most `limit`.
    ///
    /// # Errors
    /// The lists or the log cannot be read.
    pub async fn newest_events(
        &self,
        filter: EventFilter,
        limit: usize,
    ) -> Result<Vec<Event>, Problem> {
        Ok(self.events(filter, Order::NewestFirst, (limit, None)).await?.items)
    }

    /// The newest event with this name before `position`.
    ///
    /// # Errors
    /// The lists or the log cannot be read.
    pub async fn newest_before(
        &self,
        name: &str,
        position: Position,
    ) -> Result<Option<Event>, Problem> {
        self.newest_of_before(None, name, position).await
    }

    /// The same, of one stream when one is given.
    ///
    /// # Errors
    /// The lists or the log cannot be read.
    pub async fn newest_of_before(
        &self,
        stream: Option<StreamId>,
        name: &str,
        position: Position,
    ) -> Result<Option<Event>, Problem> {
        let filter =
            EventFilter { stream, kind: EventFilter::code_of(name), ..EventFilter::default() };
        let page = (1, Some(position.to_string()));
        Ok(self.events(filter, Order::NewestFirst, page).await?.items.into_iter().next())
    }

    /// The oldest event of a stream with this name after `position`.
    ///
    /// # Errors
    /// The lists or the log cannot be read.
    pub async fn oldest_of_after(
        &self,
        stream: StreamId,
        name: &str,
        position: Position,
    ) -> Result<Option<Event>, Problem> {
        let kind = EventFilter::code_of(name);
        let filter = EventFilter {
            stream: Some(stream),
            kind,
            after: Some(position),
            ..EventFilter::default()
        };
        Ok(self.events(filter, Order::OldestFirst, (1, None)).await?.items.into_iter().next())
    }

    /// Events that fit `filter`.
    ///
    /// # Errors
    /// The cursor is none of ours, or the log or the lists cannot be read.
    pub async fn events(
        &self,
        filter: EventFilter,
        order: Order,
        (limit, cursor): (usize, Option<String>),
    ) -> Result<Page<Event>, Problem> {
        let app = Arc::clone(&self.0);
        blocking(move || app.projections.events(&filter, order, (limit, cursor.as_deref())))
            .await?
            .map_err(query_problem)
    }
}

/// How an execution stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Where it is in its life.
    pub status: Status,
    /// A re-run of it ended ok.
    pub solved: bool,
}

/// A part of a ledger: from `from` on, before `to`.
#[derive(Clone, Debug)]
pub struct Span {
    /// The first instant.
    pub from: Option<Instant>,
    /// The instant after the last.
    pub to: Option<Instant>,
    /// Rows at most.
    pub limit: usize,
    /// Where the former page ended.
    pub cursor: Option<String>,
}

/// The execution that `text` means: an id, a unique prefix of one, `latest` or `latest-ko`.
///
/// A whole id needs no list, so that an execution can be cancelled while they are rebuilt.
///
/// # Errors
/// None or several fit, or the text is no id.
pub async fn resolve(app: &App, text: &str) -> Result<ExecutionId, Problem> {
    if let Ok(id) = text.parse::<ExecutionId>() {
        return Ok(id);
    }
    let is_prefix = text.len() < 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    if text.is_empty() || !(is_prefix || text == "latest" || text == "latest-ko") {
        return Err(Problem::not_found(format_args!(
            "an execution named `{}`",
            text.chars().take(64).collect::<String>().escape_debug()
        )));
    }
    let reads = Reads::at(app, app.memory.newest_answer()).await?;
    let name = text.to_ascii_lowercase();
    let found = blocking(move || reads.0.projections.resolve(&name)).await?;
    found.map_err(|err| match err {
        ResolveError::NotFound { .. } => Problem::not_found(format_args!("execution `{text}`")),
        ResolveError::Ambiguous { candidates, .. } => {
            let few: Vec<String> = candidates.iter().take(5).map(ToString::to_string).collect();
            let detail = format!("`{text}` fits several executions: {}", few.join(", "));
            Problem::new(Code::Ambiguous, detail)
        }
        ResolveError::Rebuilding(rebuilding) => Problem::rebuilding(rebuilding.percent),
        ResolveError::Index { why } => Problem::internal("the lists cannot be read", &why),
    })
}

fn query_problem(err: QueryError) -> Problem {
    match err {
        QueryError::Rebuilding(rebuilding) => Problem::rebuilding(rebuilding.percent),
        QueryError::Cursor { .. } => Problem::invalid_field("?cursor", err.to_string()),
        QueryError::Index { why } => Problem::internal("the lists cannot be read", &why),
        QueryError::Log(err) => Problem::internal("the log cannot be read", &err),
    }
}

/// The slots of a run that was too long to be listed in its event, by the plan of that time.
fn expand(app: &App, request: &ExpandRequest<'_>) -> Option<Vec<Instant>> {
    let definition = definition_of(app, &request.schedule.interface, request.definition_version)?;
    let plan = board::plan(definition.schedules.get(&request.schedule.schedule)?)?;
    let before = request.first - Duration::from_millis(1);
    let slots = std::iter::successors(plan.next_after(before), |at| plan.next_after(*at));
    let slots: Vec<Instant> =
        slots.take_while(|at| *at <= request.last).take(EXPANDED_MAX + 1).collect();
    (slots.len() <= EXPANDED_MAX).then_some(slots)
}

/// An interface's definition of some version: the one in force, else from the log.
fn definition_of(app: &App, id: &InterfaceId, version: u32) -> Option<Arc<definition::Interface>> {
    if let Some((definition, current)) = app.engine.definition(id)
        && current == version
    {
        return Some(definition);
    }
    let stream = StreamId::Interface(id.clone());
    let mut after = 0;
    loop {
        let events = app.log.read_stream(&stream, after, 100).ok()?;
        after = events.last()?.version;
        for envelope in events {
            if let event::Event::InterfaceDefined(defined) = envelope.event
                && defined.definition_version == version
            {
                return serde_json::from_str(&defined.definition).map(Arc::new).ok();
            }
        }
    }
}

/// One event, straight from the log.
///
/// # Errors
/// There is none at that position, or the log cannot be read.
pub async fn event(app: &App, position: Position) -> Result<Event, Problem> {
    let app = Arc::clone(app);
    let found = blocking(move || app.projections.event(position)).await?.map_err(query_problem)?;
    found.ok_or_else(|| Problem::not_found(format_args!("an event at {position}")))
}

/// Runs `work` where blocking is allowed.
///
/// # Errors
/// It panicked.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|err| Problem::internal("a query did not finish", &err))
}
