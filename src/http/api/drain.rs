//! `POST /api/drain`: nothing starts any more, and the daemon ends when nothing runs.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::done;
use crate::engine::board;
use crate::http::access::Caller;
use crate::http::input::Fields;
use crate::http::parts::App;
use crate::http::problem::{Problem, ProblemBody};
use crate::instant::Instant;

/// What a drain is asked for with, as the document shows it.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "read field by field, so that every wrong one is named")]
pub struct DrainBody {
    /// The daemon ends by then also when something still runs: commands go on without it, calls are broken off. Without one
    /// it waits for all, or until the deadline that was named before.
    #[schema(value_type = Option<String>, format = "date-time")]
    deadline: Option<Instant>,
}

/// The daemon is about to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Draining {
    /// When that was asked for first.
    #[schema(value_type = String, format = "date-time")]
    pub since: Instant,
    /// It ends by then also when something still runs; null when it waits for all.
    #[schema(value_type = Option<String>, format = "date-time")]
    pub deadline: Option<Instant>,
}

impl From<board::Draining> for Draining {
    fn from(draining: board::Draining) -> Self {
        let board::Draining { since, deadline } = draining;
        Self { since, deadline }
    }
}

/// What was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Drained {
    /// Since when and until when it drains.
    pub draining: Draining,
    /// Executions that run, and are waited for.
    pub running: u64,
    /// Executions that wait for their turn: for the next start.
    pub queued: u64,
    /// When the daemon began to decide: one that began later is another one.
    #[schema(value_type = String, format = "date-time")]
    pub started_at: Instant,
    /// The daemon's process; it is gone when all is over.
    pub pid: u32,
}

/// A caller's clock may be so much behind: it means now.
const SKEW_MAX: Duration = Duration::from_secs(60);

/// Starts nothing any more, and ends the daemon when nothing runs, or at the deadline. Slots are decided as usual; their
/// executions wait in the queue for the next start. Asked again, only a deadline that is named changes anything.
///
/// # Errors
/// A field is wrong, or the deadline has passed.
#[utoipa::path(post, path = "/api/drain", tag = "daemon", request_body = DrainBody,
    responses((status = 202, body = Drained), (status = "default", body = ProblemBody)))]
pub async fn drain(
    State(app): State<App>,
    caller: Caller,
    Fields(mut input): Fields,
) -> Result<Response, Problem> {
    let deadline = input.instant("deadline");
    let now = app.clock.now();
    if let Some(past) = deadline.filter(|deadline| now.since(*deadline) > SKEW_MAX) {
        input.refuse("deadline", format!("is {past}, which has passed; `{now}` ends it at once"));
    }
    input.finish()?;
    let drain = app.engine.drain(caller.actor, deadline).await?;
    let status = app.engine.status();
    let body = Drained {
        draining: drain.value.into(),
        running: status.running,
        queued: status.queued,
        started_at: status.started_at,
        pid: std::process::id(),
    };
    Ok(done(&app, StatusCode::ACCEPTED, &drain, body))
}
