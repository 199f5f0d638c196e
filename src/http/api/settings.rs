//! `GET /api/settings`: each setting, its value, and where that came from.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::SettingRow;
use crate::http::input::Params;
use crate::http::parts::App;
use crate::http::problem::{Problem, ProblemBody};

/// All settings, as they were when the daemon started.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Settings {
    /// The `daybook.toml` that was read; null when there was none.
    pub file: Option<String>,
    /// The settings, in the order of their documentation.
    pub items: Vec<Setting>,
}

/// One of them.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Setting {
    /// The key in the file; as a flag `--max-concurrent`, as a variable `DAYBOOK_MAX_CONCURRENT`.
    pub key: String,
    /// The value as text; null when it is not set. A secret is `***`.
    pub value: Option<String>,
    /// Where it came from: a flag, a variable (`$DAYBOOK_…`), a file with its line, or `default`.
    pub origin: String,
    /// What it means.
    pub meaning: String,
}

impl From<&SettingRow> for Setting {
    fn from(row: &SettingRow) -> Self {
        Self {
            key: row.key.to_owned(),
            value: row.value.clone(),
            origin: row.origin.to_string(),
            meaning: row.doc.to_owned(),
        }
    }
}

/// The settings in force, each with where its value came from.
///
/// # Errors
/// An unknown parameter.
#[utoipa::path(get, path = "/api/settings", operation_id = "settings", tag = "daemon",
    responses((status = 200, body = Settings), (status = "default", body = ProblemBody)))]
pub async fn show(
    State(app): State<App>,
    Params(input): Params,
) -> Result<Json<Settings>, Problem> {
    input.finish()?;
    Ok(Json(Settings {
        file: app.settings.file.as_ref().map(|file| file.display().to_string()),
        items: app.settings.shown.iter().map(Setting::from).collect(),
    }))
}
