//! What machines ask: does the process answer, is it ready, and the metrics.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::parts::App;
use super::problem::Problem;
use super::reads::blocking;
use crate::domain::space::Room;
use crate::engine::board::Draining;
use crate::store::space::{Seen, measure};
use crate::telemetry::metrics::CONTENT_TYPE;
use crate::telemetry::state::{ScheduleTimes, StateFigures};

/// That the process answers.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Alive {
    /// Always `ok`.
    pub status: String,
}

/// Whether everything works.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// It does.
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<Unready>,
}

/// A reason why not everything works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Unready {
    /// `starting`, `draining`, `disk-full`, `append`, `config` or `rebuilding`.
    pub code: String,
    /// What is so.
    pub detail: String,
    /// How much of a rebuild is done, in percent.
    pub progress: Option<u8>,
}

/// Whether the process answers.
#[utoipa::path(get, path = "/healthz", tag = "daemon", security(()),
    responses((status = 200, body = Alive)))]
pub async fn healthz() -> Json<Alive> {
    Json(Alive { status: "ok".to_owned() })
}

/// Whether the files are accepted, the log takes events, slots run and the lists answer.
#[utoipa::path(get, path = "/readyz", tag = "daemon", security(()),
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)))]
pub async fn readyz(State(app): State<App>) -> Response {
    let reasons = unready(&app);
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, reasons })).into_response()
}

/// The reasons why not everything works; none when it does.
pub fn unready(app: &App) -> Vec<Unready> {
    let status = app.engine.status();
    let health = &status.health;
    let mut reasons = Vec::new();
    let mut add = |code: &str, detail: String, progress: Option<u8>| {
        reasons.push(Unready { code: code.to_owned(), detail, progress });
    };
    if !health.deciding {
        add("starting", "slots are not decided yet".to_owned(), None);
    }
    if let Some(draining) = health.draining {
        add("draining", told_of(draining, status.running), None);
    }
    if let Some(detail) = disk_full(&app.space.seen()) {
        add("disk-full", detail, None);
    }
    if let Err(err) = measure(&app.settings.data) {
        add("append", format!("the folder of the log cannot be used: {err}"), None);
    }
    if let Some(why) = &health.append_error {
        add("append", format!("the log takes no events: {why}"), None);
    }
    if let Some(first) = status.files.problems.first() {
        let count = status.files.problems.len();
        add("config", format!("{count} problem(s) in the files; the first: {first}"), None);
    }
    if let Some(percent) = app.projections.rebuilding() {
        add("rebuilding", format!("the lists are being rebuilt: {percent} % done"), Some(percent));
    }
    reasons
}

/// What a drain means to whoever looks.
fn told_of(Draining { since, deadline }: Draining, running: u64) -> String {
    let until = deadline.map_or_else(String::new, |at| format!(", at {at} at the latest"));
    format!(
        "since {since} nothing starts; the daemon ends when the {running} executions that run have ended{until}"
    )
}

/// What a full disk means now; nothing when it is not full.
fn disk_full(seen: &Seen) -> Option<String> {
    let free = seen.measured.free >> 20;
    match seen.room() {
        Room::Enough | Room::Low => None,
        Room::Full if seen.log_waits => Some(format!(
            "the disk is full ({free} MiB are free): the log waits for room, and nothing is acknowledged"
        )),
        Room::Full => Some(format!(
            "the disk is full ({free} MiB are free): nothing new is started, and of what jobs print only the first error is kept"
        )),
    }
}

/// The metrics, as Prometheus reads them.
///
/// # Errors
/// The metrics contradict each other: a mistake of ours.
#[utoipa::path(get, path = "/metrics", tag = "daemon", security((), ("token" = [])),
    responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn metrics(State(app): State<App>) -> Result<Response, Problem> {
    let text = blocking(move || app.metrics.text(&figures(&app))).await?;
    let text = text.map_err(|err| Problem::internal("the metrics cannot be shown", &err))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

fn figures(app: &App) -> StateFigures {
    let status = app.engine.status();
    let info = (app.store.info)().unwrap_or_default();
    let (interfaces, schedules) = app.engine.board().read(|state| {
        let interfaces = state.interfaces.iter().map(|(id, row)| (id.clone(), row.red)).collect();
        let schedules = state.schedules.iter().map(|(name, row)| ScheduleTimes {
            schedule: name.clone(),
            last_success: row.last_ok_at,
            last_run: row.last.as_ref().map(|last| last.at),
            next_slot: row.next,
        });
        (interfaces, schedules.collect())
    });
    StateFigures {
        config_ok: status.files.problems.is_empty(),
        running: status.running,
        queued: status.queued,
        projection_lag: app.projections.status().lag_events,
        store_bytes: info.journal_bytes + info.lines_bytes + info.index_bytes,
        disk: app.space.seen(),
        lines_dropped: app.space.dropped_so_far().0,
        interfaces,
        schedules,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_disk_is_a_reason_and_a_log_that_waits_is_told_of_first() {
        let mut seen = Seen { room: Room::Low, ..Seen::default() };
        assert_eq!(disk_full(&seen), None);
        seen.room = Room::Full;
        assert!(disk_full(&seen).is_some_and(|detail| detail.contains("nothing new is started")));
        (seen.room, seen.log_waits) = (Room::Low, true);
        assert!(disk_full(&seen).is_some_and(|detail| detail.contains("nothing is acknowledged")));
    }
}
