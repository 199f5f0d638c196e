//! The console: pages for people, written by the daemon (`docs/decisions/0014-console.md`).
//!
//! One file for each page, with its template of the same name in `templates/`. A page asks what the routes under `/api`
//! ask, and changes things by the same functions.

mod assets;
mod form;
mod log;
mod login;
mod marks;
mod overview;
mod refused;
mod shell;
mod words;

#[cfg(test)]
mod tests;

use axum::Router;
use axum::routing::{get, post};

use super::parts::App;
pub use refused::{Wanted, refused, wanted};

/// All pages.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/", get(overview::show))
        .route("/executions/{execution}/log", get(log::show))
        .route("/executions/{execution}/log.txt", get(log::download))
        .route("/login", get(login::show).post(login::enter))
        .route("/logout", post(login::leave))
        .route("/assets/{name}", get(assets::show))
        .route("/favicon.svg", get(marks::favicon))
}
