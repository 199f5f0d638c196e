//! `GET /api/store` and what is done with the store as a whole: `POST /api/store/verify`, `POST /api/store/backup`,
//! `POST /api/store/compact`, `GET /api/store/export.jsonl`.

use std::sync::PoisonError;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use utoipa::ToSchema;

use super::done;
use crate::archive::{Asked, BackupError, Tick, backup_folder, parse_hash};
use crate::domain::event::BackupMade;
use crate::error_text::in_full;
use crate::http::access::Caller;
use crate::http::download::{self, Label};
use crate::http::input::{Fields, Input, Params};
use crate::http::parts::{
    App, PruneError, PruneMode, StoreBackup, StoreInfo, StorePruned, StoreVerified, StoreWork,
};
use crate::http::problem::{Code, Problem, ProblemBody};
use crate::http::reads::blocking;
use crate::ids::Position;

/// Backups that can be kept at most.
const KEEP_MAX: usize = 10_000;

/// What to look for beyond soundness, as the document shows it.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "read field by field; this is the form in the OpenAPI document")]
pub struct VerifyBody {
    /// The log had this head once, in hex: from a backup's manifest, or from the daemon's log.
    head: Option<String>,
    /// At this position; anywhere unless it is given.
    at: Option<u64>,
}

/// How to make a backup, as the document shows it.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "read field by field; this is the form in the OpenAPI document")]
pub struct BackupBody {
    /// A folder below the setting `backups`; that folder itself unless it is given.
    dir: Option<String>,
    /// Older backups of this data folder beyond so many are deleted there.
    keep: Option<u64>,
}

/// What the store holds.
///
/// # Errors
/// The store cannot be read.
#[utoipa::path(get, path = "/api/store", tag = "store",
    responses((status = 200, body = StoreInfo), (status = "default", body = ProblemBody)))]
pub async fn show(
    State(app): State<App>,
    Params(input): Params,
) -> Result<Json<StoreInfo>, Problem> {
    input.finish()?;
    let work = *app.memory.tick.lock().unwrap_or_else(PoisonError::into_inner);
    let info = blocking(move || (app.store.info)()).await?;
    let mut info = info.map_err(|err| Problem::internal("the store cannot be read", &err))?;
    info.work =
        work.map(|Tick { what, done, total }| StoreWork { what: what.to_owned(), done, total });
    Ok(Json(info))
}

/// Checks every byte, folds the log from zero, and compares that with the checkpoint, the lists and the lines. What it finds
/// stands in the answer, also when something is damaged.
///
/// # Errors
/// The store cannot be read; another check or backup goes on; a value is wrong.
#[utoipa::path(post, path = "/api/store/verify", tag = "store", request_body = VerifyBody,
    responses((status = 200, body = StoreVerified), (status = "default", body = ProblemBody)))]
pub async fn verify(
    State(app): State<App>,
    Fields(input): Fields,
) -> Result<Json<StoreVerified>, Problem> {
    check_store(&app, input).await.map(Json)
}

/// Checks the store as `input` asks.
///
/// # Errors
/// The store cannot be read; another check or backup goes on; a value is wrong.
pub async fn check_store(app: &App, mut input: Input) -> Result<StoreVerified, Problem> {
    let head = input.with("head", parse_hash);
    let at = input.number("at").map(Position);
    if at.is_some() && head.is_none() {
        input.refuse("at", "needs `head` beside it");
    }
    input.finish()?;
    let checked = at_work(app, move |app| {
        (app.store.verify)(Asked { head, at }, &mut |tick| note(app, tick))
    });
    let checked = checked.await?;
    let checked = checked.map_err(|err| Problem::internal("the store cannot be checked", &err))?;
    Ok(StoreVerified::of(&checked))
}

/// Makes a backup of everything up to one position, reads it back and checks it. Neither secrets nor the lists are in it.
///
/// # Errors
/// The folder does not lie below the setting `backups`; another check or backup goes on (409); the disk has no room for it
/// (507); lines are written without a pause (503); it cannot be written, or is not sound.
#[utoipa::path(post, path = "/api/store/backup", tag = "store", request_body = BackupBody,
    responses((status = 201, body = StoreBackup), (status = "default", body = ProblemBody)))]
pub async fn backup(
    State(app): State<App>,
    caller: Caller,
    Fields(mut input): Fields,
) -> Result<Response, Problem> {
    let allowed = app.settings.backups.clone();
    let asked = input.text("dir", 4_096);
    let keep = input.with("keep", |text| match text.parse() {
        Ok(keep @ 1..=KEEP_MAX) => Ok(keep),
        Ok(_) | Err(_) => Err(format!("must be a number from 1 to {KEEP_MAX}, not `{text}`")),
    });
    let dir = match backup_folder(&allowed, asked.as_deref()) {
        Ok(dir) => dir,
        Err(why) => {
            input.refuse("dir", why);
            allowed
        }
    };
    input.finish()?;
    let made =
        at_work(&app, move |app| (app.store.backup)(&dir, keep, &mut |tick| note(app, tick)));
    let made = made.await?.map_err(|err| no_backup(&err))?;
    let shown = StoreBackup::of(&made);
    if made.was_there {
        return Ok((StatusCode::OK, Json(shown)).into_response());
    }
    let record = BackupMade {
        position: shown.position,
        head: shown.head.clone(),
        path: shown.path.clone(),
        bytes: shown.bytes,
        removed: shown.removed.clone(),
    };
    tracing::info!(position = %shown.position, head = %shown.head, path = %shown.path, "a backup was made");
    let recorded = app.engine.record_backup(caller.actor, record).await?;
    Ok(done(&app, StatusCode::CREATED, &recorded, shown))
}

/// The caller has the disk to mend, and may read why.
fn no_backup(err: &BackupError) -> Problem {
    let why = in_full(err);
    tracing::error!(%why, "no backup was made");
    let code = match err {
        BackupError::Busy { .. } | BackupError::AnotherLog { .. } => Code::Conflict,
        BackupError::Full { .. } => Code::DiskFull,
        BackupError::NoMoment(_) => Code::Unavailable,
        BackupError::Unsound(_) | BackupError::Unchecked(_) | BackupError::Io { .. } => {
            Code::Internal
        }
    };
    Problem::new(code, format!("no backup was made: {why}"))
}

/// Everything as JSON Lines: each event with its stored bytes, each log line. `daybook store import` makes the same store of
/// it. The last row has `"row":"end"`; without it the export is not complete.
///
/// # Errors
/// Too many exports go on.
#[utoipa::path(get, path = "/api/store/export.jsonl", tag = "store",
    responses((status = 200, body = String, content_type = "application/x-ndjson"),
        (status = "default", body = ProblemBody)))]
pub async fn export(State(app): State<App>, Params(input): Params) -> Result<Response, Problem> {
    input.finish()?;
    let permit = app.memory.store_exports.begin()?;
    let label = Label { name: "daybook.jsonl".to_owned(), media_type: "application/x-ndjson" };
    Ok(download::written(&label, permit, move |mut to| (app.store.export)(&mut to)))
}

/// Does long work, one at a time, on a thread that may block. It goes on when the caller is gone.
async fn at_work<T: Send + 'static>(
    app: &App,
    work: impl FnOnce(&App) -> T + Send + 'static,
) -> Result<T, Problem> {
    let held = app.memory.store_work.clone().try_lock_owned();
    let held = held.map_err(|_busy| {
        Problem::new(
            Code::Conflict,
            "another check or backup of the store goes on; wait for its end",
        )
        .with_retry_after(10)
    })?;
    let app = app.clone();
    blocking(move || {
        let done = work(&app);
        *app.memory.tick.lock().unwrap_or_else(PoisonError::into_inner) = None;
        drop(held);
        done
    })
    .await
}

fn note(app: &App, tick: Tick) {
    *app.memory.tick.lock().unwrap_or_else(PoisonError::into_inner) = Some(tick);
}

/// Removes what is over by the interfaces' retention now, as the daemon does by itself; `dry_run` only tells what that is.
///
/// # Errors
/// A pass of retention, a check, a backup or an export is under way, or a delivery is owed for too long (409); the lists are
/// rebuilt, or the daemon ends (503); the store cannot be read or written.
#[utoipa::path(post, path = "/api/store/compact", tag = "store",
    responses((status = 200, body = StorePruned), (status = "default", body = ProblemBody)))]
pub async fn compact(
    State(app): State<App>,
    Fields(mut input): Fields,
) -> Result<Json<StorePruned>, Problem> {
    let dry_run = input.flag("dry_run");
    input.finish()?;
    let mode = if dry_run { PruneMode::Plan } else { PruneMode::Remove };
    let pruned = (app.store.prune)(mode).await;
    pruned.map(Json).map_err(not_pruned)
}

fn not_pruned(err: PruneError) -> Problem {
    match err {
        PruneError::UnderWay { why } => Problem::new(Code::Conflict, why).with_retry_after(10),
        PruneError::Rebuilding { percent } => Problem::rebuilding(percent),
        PruneError::Closing { why } => Problem::new(Code::Unavailable, why),
        PruneError::Failed { why } => Problem::internal("the store cannot be compacted", &why),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn whoever_may_try_again_is_told_so_by_the_status() {
        let why = || "because".to_owned();
        let dir = || std::path::PathBuf::from("/backups");
        let refused = io::Error::from(io::ErrorKind::PermissionDenied);
        let cases = [
            (not_pruned(PruneError::UnderWay { why: why() }), 409),
            (not_pruned(PruneError::Rebuilding { percent: 40 }), 503),
            (not_pruned(PruneError::Closing { why: why() }), 503),
            (not_pruned(PruneError::Failed { why: why() }), 500),
            (no_backup(&BackupError::Busy { dir: dir() }), 409),
            (no_backup(&BackupError::AnotherLog { path: dir() }), 409),
            (no_backup(&BackupError::Full { dir: dir(), free: 1, needed: 2 }), 507),
            (no_backup(&BackupError::NoMoment(why())), 503),
            (no_backup(&BackupError::Unchecked(why())), 500),
            (no_backup(&BackupError::Io { path: dir(), err: refused }), 500),
        ];
        for (problem, status) in cases {
            assert_eq!(problem.code().status().as_u16(), status, "{}", problem.detail());
        }
    }
}
