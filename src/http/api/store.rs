//! `GET /api/store`, `POST /api/store/verify`, `POST /api/store/compact`.

use axum::Json;
use axum::extract::State;

use crate::http::input::{Fields, Params};
use crate::http::parts::{App, PruneMode, StoreInfo, StorePruned, StoreVerified};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::reads::blocking;

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
    let info = blocking(move || (app.store.info)()).await?;
    info.map(Json).map_err(|err| Problem::internal("the store cannot be read", &err))
}

/// Checks every byte of the journal and the lines. What it finds stands in the answer, also when something is damaged.
///
/// # Errors
/// The store cannot be read.
#[utoipa::path(post, path = "/api/store/verify", tag = "store",
    responses((status = 200, body = StoreVerified), (status = "default", body = ProblemBody)))]
pub async fn verify(
    State(app): State<App>,
    Fields(input): Fields,
) -> Result<Json<StoreVerified>, Problem> {
    input.finish()?;
    let verified = blocking(move || (app.store.verify)()).await?;
    verified.map(Json).map_err(|err| Problem::internal("the store cannot be checked", &err))
}

/// Removes what is over by the interfaces' retention now, as the daemon does by itself; `dry_run` only tells what that is.
///
/// # Errors
/// A pass of retention is under way, the lists are rebuilt, or the store cannot be written.
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
    pruned.map(Json).map_err(|err| Problem::internal("the store cannot be compacted", &err))
}
