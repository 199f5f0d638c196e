//! The routes under `/api`, one file for each resource, and the list of all handlers.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, Uri, header};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::input::next_link;
use super::parts::App;
use super::reads::POSITION_HEADER;
use super::{health, router};
use crate::engine::handle::Done;
use crate::projection::view::Page;

pub mod backfill;
pub mod check;
pub mod doctor;
pub mod drain;
pub mod events;
pub mod executions;
pub mod export;
pub mod interfaces;
pub mod log;
pub mod rerun;
mod rerun_query;
pub mod schedules;
pub mod settings;
pub mod status;
pub mod store;
pub mod tokens;
pub mod why;

/// All handlers with their documentation.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .routes(routes!(router::openapi_json))
        .routes(routes!(tokens::login))
        .routes(routes!(status::show))
        .routes(routes!(status::reload))
        .routes(routes!(drain::drain))
        .routes(routes!(doctor::show))
        .routes(routes!(settings::show))
        .routes(routes!(check::check))
        .routes(routes!(store::show))
        .routes(routes!(store::verify))
        .routes(routes!(store::backup))
        .routes(routes!(store::compact))
        .routes(routes!(store::export))
        .routes(routes!(events::list))
        .routes(routes!(events::show))
        .routes(routes!(interfaces::list))
        .routes(routes!(interfaces::show))
        .routes(routes!(interfaces::test))
        .routes(routes!(interfaces::pause))
        .routes(routes!(interfaces::resume))
        .routes(routes!(schedules::list))
        .routes(routes!(schedules::show))
        .routes(routes!(schedules::slots))
        .routes(routes!(schedules::next))
        .routes(routes!(why::why))
        .routes(routes!(schedules::run))
        .routes(routes!(backfill::backfill))
        .routes(routes!(schedules::pause))
        .routes(routes!(schedules::resume))
        .routes(routes!(schedules::skip_next))
        .routes(routes!(executions::list))
        .routes(routes!(executions::show))
        .routes(routes!(executions::cancel))
        .routes(routes!(executions::notes))
        .routes(routes!(rerun::rerun))
        .routes(routes!(log::show))
        .routes(routes!(export::execution_xlsx))
        .routes(routes!(export::execution_csv))
        .routes(routes!(export::execution_jsonl))
        .routes(routes!(export::list_xlsx))
        .routes(routes!(export::list_csv))
        .routes(routes!(export::list_jsonl))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(tokens::login_link))
}

/// A page of a list, with the `Link` to the next one.
pub fn page_answer<T: Serialize>(uri: &Uri, page: Page<T>) -> Response {
    let next = page.next.clone();
    linked(uri, next.as_deref(), page)
}

/// An answer that goes on at the cursor `next`.
pub fn linked(uri: &Uri, next: Option<&str>, body: impl Serialize) -> Response {
    let link = next.map(|cursor| next_link(uri, cursor));
    let mut response = Json(body).into_response();
    if let Some(link) = link.and_then(|link| HeaderValue::try_from(link).ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

/// Cuts rows, of which there may be one more than `limit`, to a page. `cursor` names a row.
pub fn page_of<T>(mut rows: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Page<T> {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = if more { rows.last().map(cursor) } else { None };
    Page { items: rows, next }
}

/// The answer to a command, with its position. Reads from now on reflect it.
pub fn done<T, B: Serialize>(app: &App, status: StatusCode, done: &Done<T>, body: B) -> Response {
    app.memory.answered(done.position);
    let mut response = if status == StatusCode::NO_CONTENT {
        status.into_response()
    } else {
        (status, Json(body)).into_response()
    };
    response.headers_mut().insert(POSITION_HEADER, HeaderValue::from(done.position.0));
    response
}

/// The same answer with a `Location`.
pub fn located(mut response: Response, location: &str) -> Response {
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
