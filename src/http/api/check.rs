//! `POST /api/check`: what the files in the daemon's folder would change, without accepting them.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::{self, Severity};
use crate::http::input::Fields;
use crate::http::parts::{App, Parts};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::reads::blocking;
use crate::ids::InterfaceId;
use crate::projection::view::State as Living;

/// What the files would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Checked {
    /// No problem is an error: a reload would accept all files.
    pub ok: bool,
    /// Errors and warnings.
    pub problems: Vec<Problems>,
    /// Differences from what is in force.
    pub changes: Vec<Changed>,
}

/// A problem in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problems {
    /// `error` or `warning`.
    pub severity: String,
    /// The file.
    pub file: String,
    /// From 1; null when the place is not in a text.
    pub line: Option<usize>,
    /// In characters, from 1.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

/// A difference between a file and what is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Changed {
    /// The interface.
    #[schema(value_type = String)]
    pub interface: InterfaceId,
    /// Dotted path of the key.
    pub path: String,
    /// The value in force, as JSON; null when it is new.
    pub from: Option<String>,
    /// The value in the file, as JSON; null when it is gone.
    pub to: Option<String>,
}

/// What the files in the daemon's folder would change. Nothing is accepted.
///
/// # Errors
/// An unknown field.
#[utoipa::path(post, path = "/api/check", tag = "daemon",
    responses((status = 200, body = Checked), (status = "default", body = ProblemBody)))]
pub async fn check(
    State(app): State<App>,
    Fields(input): Fields,
) -> Result<Json<Checked>, Problem> {
    input.finish()?;
    blocking(move || compare(&app)).await.map(Json)
}

fn compare(parts: &Parts) -> Checked {
    let loaded = (parts.files)();
    let problems: Vec<Problems> = loaded.problems.iter().map(problem).collect();
    let live = parts.engine.interfaces().into_iter().filter(|row| row.state != Living::Removed);
    let live: BTreeSet<InterfaceId> = live.map(|row| row.id).collect();
    let mut ids: BTreeSet<InterfaceId> = loaded.accepted.keys().cloned().collect();
    ids.extend(live.iter().cloned());
    let mut changes = Vec::new();
    for id in ids {
        // The last version of a removed interface is not in force.
        let old = live.contains(&id).then(|| parts.engine.definition(&id)).flatten();
        let new = loaded.accepted.get(&id).map(|file| &file.interface);
        let refused = loaded.unreadable || loaded.refused.contains(id.as_str());
        if new.is_none() && refused {
            // A file that is not accepted keeps its last version; it changes nothing.
            continue;
        }
        let differences = config::diff(old.as_ref().map(|(definition, _)| &**definition), new);
        changes.extend(differences.into_iter().map(|change| Changed {
            interface: id.clone(),
            path: change.path,
            from: change.from,
            to: change.to,
        }));
    }
    let ok = problems.iter().all(|problem| problem.severity != "error");
    Checked { ok, problems, changes }
}

fn problem(problem: &config::Problem) -> Problems {
    let severity = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    Problems {
        severity: severity.to_owned(),
        file: problem.file.clone(),
        line: problem.line,
        column: problem.column,
        message: problem.message.clone(),
        hint: problem.hint.clone(),
    }
}
