//! `/settings`: each setting, its value, and where that came from.

use std::path::PathBuf;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::form::Filters;
use super::markdown::Inline;
use super::shell::{Section, Shell, page};
use crate::config::{Origin, SettingRow};
use crate::http::access::Caller;
use crate::http::parts::App;
use crate::http::problem::Problem;

#[derive(Template)]
#[template(path = "settings.html", config = "src/http/console/askama.toml")]
struct Settings {
    shell: Shell,
    rows: Vec<SettingRow>,
    file: Option<PathBuf>,
}

impl Settings {
    /// How many somebody set.
    fn given(&self) -> usize {
        self.rows.iter().filter(|row| row.origin != Origin::Default).count()
    }
}

/// Where a value came from: its class and its word; the origin itself says more.
pub(super) const fn came_from(origin: &Origin) -> (&'static str, &'static str) {
    match origin {
        Origin::Flag(_) => ("pending", "flag"),
        Origin::Variable(_) => ("pending", "variable"),
        Origin::File { .. } => ("pending", "file"),
        Origin::Default => ("", "default"),
    }
}

/// All settings.
///
/// # Errors
/// A parameter is unknown.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Filters(input): Filters,
) -> Result<Response, Problem> {
    input.finish()?;
    let shell = Shell::of(&app, &caller, Section::Settings, "Settings");
    page(&Settings { shell, rows: app.settings.shown.clone(), file: app.settings.file.clone() })
}
