//! `/doctor`: what could go wrong before it does.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::form::Filters;
use super::markdown::Inline;
use super::shell::{Section, Shell, page};
use crate::http::access::Caller;
use crate::http::api::doctor::{Check, Finding, examine};
use crate::http::parts::App;
use crate::http::problem::Problem;

#[derive(Template)]
#[template(path = "doctor.html", config = "src/http/console/askama.toml")]
struct Doctor {
    shell: Shell,
    ok: bool,
    /// The worst first.
    checks: Vec<Check>,
}

impl Doctor {
    fn count(&self, state: Finding) -> usize {
        self.checks.iter().filter(|check| check.state == state).count()
    }
}

/// A state as its class, its sign and its word.
pub(super) const fn said(state: &Finding) -> (&'static str, &'static str, &'static str) {
    match state {
        Finding::Ok => ("ok", "✔", "ok"),
        Finding::Warn => ("warning", "◐", "warn"),
        Finding::Fail => ("ko", "✖", "fail"),
    }
}

/// All checks.
///
/// # Errors
/// A parameter is unknown.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Filters(input): Filters,
) -> Result<Response, Problem> {
    input.finish()?;
    let examined = examine(&app).await?;
    let mut checks = examined.checks;
    checks.sort_by_key(|check| std::cmp::Reverse(check.state));
    let shell = Shell::of(&app, &caller, Section::Doctor, "Doctor");
    page(&Doctor { shell, ok: examined.ok, checks })
}
