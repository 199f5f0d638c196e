//! What machines ask: does the process answer, is it ready, and the metrics.

use std::path::Path;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::parts::App;
use super::problem::Problem;
use super::reads::blocking;
use crate::engine::board::Draining;
use crate::telemetry::metrics::CONTENT_TYPE;
use crate::telemetry::state::{ScheduleTimes, StateFigures};

/// With less free space than this the next large append may fail, which ends the daemon.
const FULL_BYTES: u64 = 16 * 1024 * 1024;

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
    if let Some((code, detail)) = trouble(free_bytes(&app.settings.data)) {
        add(code, detail, None);
    }
    if let Some(why) = &health.append_error {
        add("append", format!("the log takes no events: {why}"), None);
    }
    if let Some(first) = status.files.problems.first() {
        let count = status.files.problems.len();
        add("config", format!("{count} problem(s) in the files; the first: {first}"), None);
    }
    if let Some(percent) = app.projections.status().rebuilding {
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

/// What is wrong with the place of the log, by the bytes that are free there.
fn trouble(free: rustix::io::Result<u64>) -> Option<(&'static str, String)> {
    match free {
        Ok(free) if free < FULL_BYTES => {
            Some(("disk-full", "the log cannot grow: the disk is full".to_owned()))
        }
        Ok(_) => None,
        Err(err) => Some(("append", format!("the folder of the log cannot be used: {err}"))),
    }
}

/// Bytes that are free for `folder`, as far as the daemon's user may take them.
///
/// # Errors
/// The system does not say.
pub fn free_bytes(folder: &Path) -> rustix::io::Result<u64> {
    let stat = rustix::fs::statvfs(folder)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
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
        interfaces,
        schedules,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_lost_folder_are_told_apart() {
        assert_eq!(trouble(Ok(FULL_BYTES)), None);
        assert_eq!(trouble(Ok(FULL_BYTES - 1)).map(|(code, _)| code), Some("disk-full"));
        let gone = trouble(Err(rustix::io::Errno::NOENT)).map(|(code, _)| code);
        assert_eq!(gone, Some("append"));
    }
}
