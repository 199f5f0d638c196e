//! The console: pages for people, written by the daemon (`docs/decisions/0014-console.md`).
//!
//! One file for each page, with its template of the same name in `templates/`. A page asks what the routes under `/api`
//! ask, and changes things by the same functions.

mod ahead;
mod assets;
mod backfill;
mod charts;
mod doctor;
mod events;
mod execution;
mod executions;
mod explain;
mod filter;
mod form;
mod interface;
mod interfaces;
mod ledger;
mod log;
mod login;
mod markdown;
mod marks;
mod overview;
mod reference;
mod refused;
mod rerun;
mod schedule;
mod schedules;
mod settings;
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
        .route("/schedules", get(schedules::show))
        .route("/schedules/{interface}/{schedule}", get(schedule::show).post(schedule::act))
        .route("/schedules/{interface}/{schedule}/why", get(schedule::why))
        .route(
            "/schedules/{interface}/{schedule}/backfill",
            get(backfill::show).post(backfill::run),
        )
        .route("/interfaces", get(interfaces::show))
        .route("/interfaces/{interface}", get(interface::show).post(interface::act))
        .route("/interfaces/{interface}/test", post(interface::test))
        .route("/events", get(events::show))
        .route("/events/verify", post(events::verify))
        .route("/events/{position}", get(events::one))
        .route("/doctor", get(doctor::show))
        .route("/settings", get(settings::show))
        .route("/api", get(reference::show))
        .route("/login", get(login::show).post(login::enter))
        .route("/logout", post(login::leave))
        .route("/assets/{name}", get(assets::show))
        .route("/favicon.svg", get(marks::favicon))
        .route("/executions", get(executions::show))
        .route("/executions/rerun", get(rerun::show).post(rerun::run))
        .route("/executions/{execution}", get(execution::show))
        .route("/executions/{execution}/cancel", post(execution::cancel))
        .route("/executions/{execution}/notes", post(execution::note))
        .route("/explain", get(explain::list))
        .route("/explain/{cause}", get(explain::show))
}
