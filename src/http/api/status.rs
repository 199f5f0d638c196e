//! `GET /api/status`: the whole daemon on one screen. `POST /api/reload`.

use std::collections::BinaryHeap;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::done;
use crate::http::access::Caller;
use crate::http::health::{Unready, unready};
use crate::http::input::{Fields, Params};
use crate::http::parts::App;
use crate::http::problem::{Problem, ProblemBody};
use crate::ids::{ExecutionId, InterfaceId, Position, ScheduleId, ScheduleRef};
use crate::instant::Instant;
use crate::projection::view;

/// Slots shown as next.
const NEXT: usize = 10;
/// Open executions shown.
const OPEN: usize = 100;

/// The daemon on one screen.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// The revision that it was built from.
    pub revision: String,
    /// Now, by the daemon's clock.
    #[schema(value_type = String, format = "date-time")]
    pub now: Instant,
    /// When it began to decide.
    #[schema(value_type = String, format = "date-time")]
    pub started_at: Instant,
    /// The newest event on disk.
    #[schema(value_type = u64)]
    pub position: Position,
    /// Everything works.
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<Unready>,
    /// Executions that run.
    pub running: u64,
    /// Executions that wait.
    pub queued: u64,
    /// Those, the longest first; up to 100.
    pub open: Vec<Open>,
    /// Ids of red interfaces.
    #[schema(value_type = Vec<String>)]
    pub red: Vec<InterfaceId>,
    /// The interfaces.
    pub interfaces: Vec<view::Interface>,
    /// The ten next slots.
    pub next: Vec<view::Slot>,
    /// Problems in the files; empty when all are accepted.
    pub problems: Vec<String>,
}

/// An execution that waits or runs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Open {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    pub execution: ExecutionId,
    /// The interface.
    #[schema(value_type = String)]
    pub interface: InterfaceId,
    /// The bare id of the schedule.
    #[schema(value_type = String)]
    pub schedule: ScheduleId,
    /// `queued` or `running`.
    pub status: view::Status,
    /// Since when.
    #[schema(value_type = String, format = "date-time")]
    pub since: Instant,
}

/// What a reload did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    /// Interfaces whose definition is new or changed.
    #[schema(value_type = Vec<String>)]
    pub accepted: Vec<InterfaceId>,
    /// Interfaces whose file is gone.
    #[schema(value_type = Vec<String>)]
    pub removed: Vec<InterfaceId>,
    /// Problems; their files keep the last accepted version.
    pub problems: Vec<String>,
}

/// The daemon on one screen: interfaces, running, next, red.
///
/// # Errors
/// An unknown parameter.
#[utoipa::path(get, path = "/api/status", tag = "daemon",
    responses((status = 200, body = Status), (status = "default", body = ProblemBody)))]
pub async fn show(State(app): State<App>, Params(input): Params) -> Result<Json<Status>, Problem> {
    input.finish()?;
    let status = app.engine.status();
    let reasons = unready(&app);
    let interfaces = app.engine.interfaces();
    Ok(Json(Status {
        version: app.settings.version.clone(),
        revision: app.settings.revision.clone(),
        now: app.clock.now(),
        started_at: status.started_at,
        position: *app.log.durable().borrow(),
        ready: reasons.is_empty(),
        reasons,
        running: status.running,
        queued: status.queued,
        open: open(&app),
        red: interfaces.iter().filter(|row| row.red).map(|row| row.id.clone()).collect(),
        interfaces,
        next: next(&app),
        problems: status.files.problems,
    }))
}

fn open(app: &App) -> Vec<Open> {
    let mut rows: Vec<Open> = app.engine.board().read(|state| {
        let row = |(id, row): (&ExecutionId, &crate::engine::board::OpenRow)| Open {
            execution: *id,
            interface: row.schedule.interface.clone(),
            schedule: row.schedule.schedule.clone(),
            status: row.status,
            since: row.since,
        };
        state.open.iter().map(row).collect()
    });
    rows.sort_by_key(|row| (row.since, row.execution));
    rows.truncate(OPEN);
    rows
}

/// The nearest slots of all schedules, in one pass: there may be 100,000 of them.
fn next(app: &App) -> Vec<view::Slot> {
    let nearest: BinaryHeap<(Instant, ScheduleRef)> = app.engine.board().read(|state| {
        let mut nearest = BinaryHeap::with_capacity(NEXT + 1);
        for (name, row) in &state.schedules {
            let Some(at) = row.next else { continue };
            let full = nearest.len() == NEXT;
            if full && nearest.peek().is_some_and(|(last, _): &(Instant, ScheduleRef)| at >= *last)
            {
                continue;
            }
            nearest.push((at, name.clone()));
            if full {
                nearest.pop();
            }
        }
        nearest
    });
    let pending = |(at, name): (Instant, ScheduleRef)| view::Slot {
        interface: name.interface,
        schedule: name.schedule,
        at,
        outcome: view::SlotOutcome::Pending,
        reason: None,
        execution: None,
    };
    nearest.into_sorted_vec().into_iter().map(pending).collect()
}

/// Reads the files again.
///
/// # Errors
/// The daemon is stopping.
#[utoipa::path(post, path = "/api/reload", tag = "daemon",
    responses((status = 200, body = Reloaded), (status = "default", body = ProblemBody)))]
pub async fn reload(
    State(app): State<App>,
    caller: Caller,
    Fields(input): Fields,
) -> Result<Response, Problem> {
    input.finish()?;
    let report = app.engine.reload(caller.actor).await?;
    let body = Reloaded {
        accepted: report.value.accepted.clone(),
        removed: report.value.removed.clone(),
        problems: report.value.problems.clone(),
    };
    Ok(done(&app, StatusCode::OK, &report, body))
}
