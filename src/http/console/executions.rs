//! `/executions`: which ran, how they ended, and a choice of them to run again.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::Uri;

use super::filter::Chosen;
use super::marks::{self, Badge};
use super::shell::{Section, Shell, page};
use super::words;
use crate::domain::class::Class;
use crate::http::access::Caller;
use crate::http::parts::App;
use crate::http::problem::Problem;
use crate::http::reads::{Reads, execution_filter};
use crate::projection::view::{Execution, Status};

/// Rows of a page unless the address says otherwise: a page stays light.
const ROWS: usize = 50;
/// Former pages that an address remembers; beyond them lies the newest one.
const FORMER_MAX: usize = 60;
/// Characters of an error in a row.
const ERROR_MAX: usize = 180;

const STATUSES: [Status; 5] =
    [Status::Ko, Status::Running, Status::Queued, Status::Ok, Status::Cancelled];
/// Spans before now, and their words.
const SPANS: [(&str, &str); 5] = [
    ("1h", "1 hour"),
    ("today", "today"),
    ("24h", "24 hours"),
    ("7d", "7 days"),
    ("30d", "30 days"),
];
const TRIGGERS: [&str; 11] = [
    "cron", "every", "at", "manual", "rerun", "backfill", "catch-up", "realtime", "webhook",
    "reboot", "after",
];

/// A row as lists show it.
pub(super) struct Row(pub(super) Execution);

impl Row {
    pub(super) fn id(&self) -> String {
        self.0.id.to_string()
    }

    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.0.interface, self.0.schedule)
    }

    pub(super) fn badge(&self) -> Badge {
        Badge(self.0.status)
    }

    pub(super) fn status(&self) -> &'static str {
        self.0.status.as_str()
    }

    pub(super) fn trigger(&self) -> &'static str {
        self.0.trigger.as_str()
    }

    pub(super) fn took(&self) -> String {
        self.0.duration_ms.map_or_else(|| "–".to_owned(), |ms| words::duration(&ms))
    }

    pub(super) fn class(&self) -> Option<Class> {
        self.0.class
    }

    pub(super) fn error(&self) -> Option<String> {
        let error = self.0.first_error.as_ref().filter(|_| self.0.status != Status::Ok)?;
        Some(words::cut(error.text.trim(), ERROR_MAX))
    }

    /// What became of a KO since.
    pub(super) fn dealt(&self) -> Option<&'static str> {
        let row = &self.0;
        match (row.solved_by, row.superseded_by, &row.acknowledged) {
            (Some(_), _, _) => Some("solved by a re-run"),
            (None, Some(_), _) => Some("a later slot ended OK"),
            (None, None, Some(_)) => Some("acknowledged"),
            (None, None, None) => None,
        }
    }
}

#[derive(Template)]
#[template(path = "executions.html", config = "src/http/console/askama.toml")]
struct Executions {
    shell: Shell,
    chosen: Chosen,
    rows: Vec<Row>,
    /// The page before this one in time.
    older: Option<String>,
    newer: Option<String>,
    /// Ids of all interfaces, with what people call them.
    interfaces: Vec<(String, String)>,
}

impl Executions {
    /// The statuses with their signs and words, and whether they are chosen.
    fn statuses(&self) -> Vec<(&'static str, String, bool)> {
        let chip = |status: Status| {
            let said = format!("{} {}", marks::sign(status), marks::word(status));
            (status.as_str(), said, self.chosen.has("status", status.as_str()))
        };
        STATUSES.map(chip).to_vec()
    }

    fn classes(&self) -> Vec<(Class, bool)> {
        Class::ALL.map(|class| (class, self.chosen.has("class", class.as_str()))).to_vec()
    }

    fn spans(&self) -> Vec<(&'static str, &'static str, bool)> {
        let set = self.chosen.value("from");
        SPANS.map(|(span, said)| (span, said, set == span)).to_vec()
    }

    fn triggers(&self) -> [&'static str; 11] {
        TRIGGERS
    }

    /// Whether a filter is set that stands among the rarer ones.
    fn rare(&self) -> bool {
        ["schedule", "trigger", "reference", "to", "min_ms", "max_ms"]
            .iter()
            .any(|name| !self.chosen.value(name).is_empty())
            || !(self.chosen.value("from").is_empty() || self.spans().iter().any(|(_, _, on)| *on))
    }

    fn shown(&self) -> String {
        let count = words::count(self.rows.len(), "execution");
        let more = if self.older.is_some() || self.newer.is_some() { " on this page" } else { "" };
        format!("{count}{more}, the newest first")
    }

    fn export(&self, form: &str) -> String {
        match self.chosen.query() {
            query if query.is_empty() => format!("/api/executions/export.{form}"),
            query => format!("/api/executions/export.{form}?{query}"),
        }
    }
}

/// The list.
///
/// # Errors
/// A parameter is wrong, or the lists cannot be read.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    uri: Uri,
    reads: Reads,
) -> Result<Response, Problem> {
    let shell = Shell::of(&app, &caller, Section::Executions, "Executions");
    let chosen = Chosen::read(uri.query().unwrap_or_default(), shell.now)?;
    let mut input = chosen.input()?;
    let filter = execution_filter(&mut input);
    let limit = input.count("limit", ROWS);
    let cursor = input.text("cursor", 20);
    let former = input.with("newer", former);
    input.finish()?;
    let found = reads.executions(filter, limit, cursor.clone()).await?;
    let former = former.unwrap_or_default();
    let older = found.next.map(|next| {
        let former = remembered(&former, cursor.as_deref());
        chosen.page_with(&[("cursor", &next), ("newer", &former)])
    });
    let newer = cursor.map(|_| {
        let (rest, last) = former.rsplit_once('.').unwrap_or(("", &former));
        chosen.page_with(&[("cursor", last), ("newer", rest)])
    });
    let interfaces = app.engine.interfaces();
    let interfaces = interfaces.into_iter().map(|row| (row.id.to_string(), row.name)).collect();
    let rows = found.items.into_iter().map(Row).collect();
    page(&Executions { shell, chosen, rows, older, newer, interfaces })
}

/// The cursors of the pages that were left for older ones, the newest first.
fn former(text: &str) -> Result<String, String> {
    let known = text.split('.').count() <= FORMER_MAX
        && text.len() <= FORMER_MAX * 21
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    known.then(|| text.to_owned()).ok_or_else(|| "must be as the console wrote it".to_owned())
}

/// The former pages with the one that is left for an older one.
fn remembered(former: &str, cursor: Option<&str>) -> String {
    let mut all: Vec<&str> = former.split('.').filter(|one| !one.is_empty()).collect();
    all.extend(cursor);
    let skip = all.len().saturating_sub(FORMER_MAX);
    all.split_off(skip).join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn former_pages_are_remembered_up_to_a_bound() {
        assert_eq!(remembered("", None), "");
        assert_eq!(remembered("", Some("90")), "90");
        assert_eq!(remembered("90", Some("80")), "90.80");
        let many = vec!["7"; FORMER_MAX].join(".");
        let more = remembered(&many, Some("6"));
        assert_eq!(former(&more).as_deref(), Ok(more.as_str()));
        assert!(more.ends_with(".6"));
        assert!(former("9;8").is_err());
    }
}
