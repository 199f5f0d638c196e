//! `GET /api/status`: the whole daemon on one screen. `POST /api/reload`.

use std::collections::BinaryHeap;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check::Problems;
use super::done;
use super::drain::Draining;
use crate::domain::class::Class;
use crate::domain::policy::{Paused, Unwanted};
use crate::domain::space::Room;
use crate::engine::board::{self, ScheduleRow};
use crate::engine::ports::FileProblem;
use crate::http::access::Caller;
use crate::http::health::{Unready, unready};
use crate::http::input::{Fields, Params};
use crate::http::parts::App;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::reads::Reads;
use crate::ids::{ExecutionId, InterfaceId, Position, ScheduleId, ScheduleRef};
use crate::instant::Instant;
use crate::jobs::RunnerState;
use crate::projection::view;
use crate::store::space::Space;

/// Slots shown as next.
const NEXT: usize = 10;
/// Open executions shown.
const OPEN: usize = 100;

/// The daemon on one screen.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = DaemonStatus)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// The revision that it was built from; null when the build was not told.
    pub revision: Option<String>,
    /// Now, by the daemon's clock.
    #[schema(value_type = String, format = "date-time")]
    pub now: Instant,
    /// When it began to decide.
    #[schema(value_type = String, format = "date-time")]
    pub started_at: Instant,
    /// The newest event on disk.
    #[schema(value_type = u64)]
    pub position: Position,
    /// It is about to end; null when it is not.
    pub draining: Option<Draining>,
    /// Everything works.
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<Unready>,
    /// The process that owns the commands; null while there is none.
    pub runner: Option<Runner>,
    /// Executions that run.
    pub running: u64,
    /// Executions that wait.
    pub queued: u64,
    /// Those, first what runs, the longest first; up to 100.
    pub open: Vec<Open>,
    /// How many schedules are red.
    pub red_count: u64,
    /// The first 100 of them.
    pub red: Vec<Red>,
    /// The interfaces.
    pub interfaces: Vec<view::Interface>,
    /// The ten next slots that are to start.
    pub next: Vec<view::Slot>,
    /// Problems in the files; empty when all are accepted.
    pub problems: Vec<String>,
    /// The room on the data folder's disk.
    pub disk: Disk,
}

/// The room on the data folder's disk.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Disk {
    /// `enough`, `low` (only error lines are kept) or `full` (nothing new is started either).
    #[schema(value_type = String)]
    pub state: Room,
    /// Bytes that are free, without what the reserve lacks.
    pub free_bytes: u64,
    /// Bytes that the file system has.
    pub total_bytes: u64,
    /// Bytes beside them that only the log may take.
    pub reserve_bytes: u64,
    /// Whether the log waits for room: nothing is acknowledged.
    pub log_waits: bool,
    /// Lines that jobs printed since the start and that were not kept for want of room.
    pub lines_dropped: u64,
}

impl Disk {
    fn of(space: &Space) -> Self {
        let seen = space.seen();
        Self {
            state: seen.room(),
            free_bytes: seen.measured.free,
            total_bytes: seen.measured.total,
            reserve_bytes: seen.reserve,
            log_waits: seen.log_waits,
            lines_dropped: space.dropped_so_far().0,
        }
    }
}

/// The process that owns the commands, so that they outlive the daemon.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Runner {
    /// Its name, that of its folder in the data folder's `runs/`.
    pub generation: String,
    /// Its process.
    pub pid: i32,
    /// Attempts that it has: they run, or their end is about to be recorded.
    pub running: u64,
}

impl From<RunnerState> for Runner {
    fn from(state: RunnerState) -> Self {
        let RunnerState { generation, pid, running } = state;
        Self { generation, pid, running: running as u64 }
    }
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

/// A schedule whose newest finished execution is an open KO.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Red {
    /// The interface.
    #[schema(value_type = String)]
    pub interface: InterfaceId,
    /// The bare id of the schedule.
    #[schema(value_type = String)]
    pub schedule: ScheduleId,
    /// The execution.
    #[schema(value_type = String, format = "uuid")]
    pub execution: ExecutionId,
    /// Whose move it is; null while the lists are rebuilt.
    #[schema(value_type = Option<String>)]
    pub class: Option<Class>,
    /// The line that names the class.
    pub first_error: Option<view::FirstError>,
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
    pub problems: Vec<Problems>,
}

/// The daemon on one screen: interfaces, running, next, red.
///
/// # Errors
/// An unknown parameter.
#[utoipa::path(get, path = "/api/status", operation_id = "status", tag = "daemon",
    responses((status = 200, body = Status), (status = "default", body = ProblemBody)))]
pub async fn show(State(app): State<App>, Params(input): Params) -> Result<Json<Status>, Problem> {
    input.finish()?;
    Ok(Json(gather(&app, NEXT).await))
}

/// The daemon on one screen, with so many of the next slots.
pub async fn gather(app: &App, next: usize) -> Status {
    let status = app.engine.status();
    let reasons = unready(app);
    let interfaces = app.engine.interfaces();
    let (red_count, red) = red(app).await;
    Status {
        version: app.settings.version.clone(),
        revision: app.settings.revision.clone(),
        now: app.clock.now(),
        started_at: status.started_at,
        position: *app.log.durable().borrow(),
        draining: status.health.draining.map(Draining::from),
        ready: reasons.is_empty(),
        reasons,
        runner: app.runners.state().map(Runner::from),
        running: status.running,
        queued: status.queued,
        open: open(app),
        red_count,
        red,
        interfaces,
        next: nearest(app, next),
        problems: status.files.problems,
        disk: Disk::of(&app.space),
    }
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
    let waits = |row: &Open| row.status == view::Status::Queued;
    rows.sort_by_key(|row| (waits(row), row.since, row.execution));
    rows.truncate(OPEN);
    rows
}

/// What is red, from the board; what it said, from the lists, unless they are being rebuilt.
async fn red(app: &App) -> (u64, Vec<Red>) {
    let mut rows: Vec<(ScheduleRef, ExecutionId)> = app.engine.board().read(|state| {
        let red = |(name, row): (&ScheduleRef, &crate::engine::board::ScheduleRow)| {
            row.red.map(|execution| (name.clone(), execution))
        };
        state.schedules.iter().filter_map(red).collect()
    });
    let count = rows.len() as u64;
    rows.truncate(OPEN);
    let reads = Reads::at(app, app.memory.newest_answer()).await.ok();
    let mut shown = Vec::with_capacity(rows.len());
    for (name, execution) in rows {
        let known = match &reads {
            Some(reads) => reads.execution(execution).await.ok(),
            None => None,
        };
        let (class, first_error) = known.map_or((None, None), |row| (row.class, row.first_error));
        let ScheduleRef { interface, schedule } = name;
        shown.push(Red { interface, schedule, execution, class, first_error });
    }
    (count, shown)
}

/// The `count` nearest slots that are to start, of as many schedules, in one pass: there may be 100,000 of them.
fn nearest(app: &App, count: usize) -> Vec<view::Slot> {
    let nearest: BinaryHeap<(Instant, ScheduleRef)> = app.engine.board().read(|state| {
        let mut nearest = BinaryHeap::with_capacity(count + 1);
        for (name, row) in &state.schedules {
            let full = nearest.len() == count;
            let last = nearest.peek().map(|(last, _): &(Instant, ScheduleRef)| *last);
            let soon = |at: &Instant| !full || last.is_none_or(|last| *at < last);
            let next = row.next.filter(soon).and_then(|at| first_to_run(name, row, at));
            let Some(at) = next.filter(soon) else { continue };
            nearest.push((at, name.clone()));
            if full {
                nearest.pop();
            }
        }
        nearest
    });
    nearest.into_sorted_vec().into_iter().map(pending).collect()
}

fn pending((at, name): (Instant, ScheduleRef)) -> view::Slot {
    view::Slot {
        interface: name.interface,
        schedule: name.schedule,
        at,
        outcome: view::SlotOutcome::Pending,
        reason: None,
        execution: None,
    }
}

/// The slot at `at`, or the first one after it that nothing speaks against as things stand.
fn first_to_run(name: &ScheduleRef, row: &ScheduleRow, at: Instant) -> Option<Instant> {
    let wishes = row.wishes(&name.schedule);
    match wishes.against(at) {
        None => Some(at),
        Some(Unwanted::Disabled | Unwanted::Paused(Paused { until: None })) => None,
        Some(Unwanted::Paused(_) | Unwanted::Closed(_) | Unwanted::SkipNext) => {
            let plan = board::plan(row.definition.schedules.get(&name.schedule)?)?;
            wishes.next_wanted(&plan, at)
        }
    }
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
        problems: report.value.problems.iter().map(problem).collect(),
    };
    Ok(done(&app, StatusCode::OK, &report, body))
}

fn problem(problem: &FileProblem) -> Problems {
    let FileProblem { file, line, column, message, hint, .. } = problem.clone();
    Problems { severity: "error".to_owned(), file, line, column, message, hint }
}
