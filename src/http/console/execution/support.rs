//! What support needs of an execution, as a text to paste into a ticket or a mail. It holds no secret.

use std::fmt::Write as _;

use serde_json::Value;

use crate::domain::line::Line;
use crate::domain::masking::masked;
use crate::http::console::{marks, words};
use crate::http::parts::App;
use crate::projection::view::Execution;

/// Characters of an error.
const ERROR_MAX: usize = 400;

/// The text for `row`, whose first errors are `errors`.
pub(super) fn text(app: &App, row: &Execution, errors: &[Line]) -> String {
    let mut text = String::new();
    let mut say = |name: &str, value: &str| {
        // Writing to a `String` cannot fail.
        writeln!(text, "{name:<11}{value}").ok();
    };
    let settings = &app.settings;
    let revision = settings.revision.as_deref().map(|it| format!(" ({it})")).unwrap_or_default();
    say("Daybook", &format!("{}{revision}", settings.version));
    say("Execution", &row.id.to_string());
    say("Schedule", &format!("{}/{}", row.interface, row.schedule));
    say("Status", &status(row));
    if let Some(slot) = row.slot {
        say("Slot", &slot.to_string());
    }
    say("Opened", &format!("{} by {}", row.created_at, row.trigger.as_str()));
    if let Some(ended) = row.ended_at {
        let took = row.duration_ms.map(|ms| format!(", took {}", words::duration(&ms)));
        say("Ended", &format!("{ended}{}", took.unwrap_or_default()));
    }
    say("Attempts", &row.attempts.to_string());
    say("Definition", &format!("version {}", row.definition_version));
    if !row.references.is_empty() {
        say("Tickets", &row.references.join(", "));
    }
    let place = format!("/executions/{}", row.id);
    say("Link", &format!("{}{place}", settings.base_url.as_deref().unwrap_or_default()));
    if !errors.is_empty() {
        text.push_str("\nFirst errors\n");
    }
    for line in errors {
        let shown = words::cut(&redacted(&line.shown()), ERROR_MAX);
        writeln!(text, "  line {}, {}: {shown}", line.line, line.at).ok();
    }
    text
}

fn status(row: &Execution) -> String {
    let mut status = marks::word(row.status).to_owned();
    if let Some(class) = row.class {
        write!(status, ", {class}").ok();
    }
    if let Some(cause) = row.cause {
        write!(status, ", {}: {}", cause.code(), cause.meaning()).ok();
    }
    status
}

/// A text without what stands behind a secret's name.
fn redacted(text: &str) -> String {
    match masked("", &Value::String(text.to_owned())) {
        Value::String(shown) => shown,
        other => other.to_string(),
    }
}
