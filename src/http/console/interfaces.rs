//! `/interfaces`: the external systems, how they are, and who looks after them.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::form::{Filters, address};
use super::marks::Rest;
use super::schedules::state;
use super::shell::{Section, Shell, page};
use super::words;
use crate::http::access::Caller;
use crate::http::api::page_of;
use crate::http::parts::App;
use crate::http::problem::Problem;
use crate::ids::InterfaceId;
use crate::projection::view::{Interface, State as Living};

/// Interfaces of a page.
const ROWS: usize = 100;

#[derive(Template)]
#[template(path = "interfaces.html", config = "src/http/console/askama.toml")]
struct Interfaces {
    shell: Shell,
    rows: Vec<Interface>,
    /// All that fit, on other pages too.
    fitting: usize,
    text: String,
    state: String,
    next: Option<String>,
    is_later: bool,
}

impl Interfaces {
    fn is_filtered(&self) -> bool {
        !self.text.is_empty() || !self.state.is_empty()
    }

    fn is_state(&self, word: &str) -> bool {
        self.state == word
    }
}

fn fits(row: &Interface, text: Option<&str>, state: Option<Living>) -> bool {
    let said =
        [Some(row.id.as_str()), Some(row.name.as_str()), row.kind.as_deref(), row.owner.as_deref()];
    let holds = |text: &str| said.iter().flatten().any(|said| said.to_lowercase().contains(text));
    state.is_none_or(|state| row.state == state) && text.is_none_or(holds)
}

/// The interfaces, by id.
///
/// # Errors
/// A filter is wrong.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Filters(mut input): Filters,
) -> Result<Response, Problem> {
    let mut given = input.clone();
    let text = input.text("text", 200).map(|text| text.to_lowercase());
    let living = input.with("state", state);
    let after: Option<InterfaceId> = input.parsed("cursor");
    input.finish()?;
    let mut rows = app.engine.interfaces();
    rows.retain(|row| fits(row, text.as_deref(), living));
    let fitting = rows.len();
    rows.retain(|row| after.as_ref().is_none_or(|after| row.id > *after));
    let found = page_of(rows, ROWS, |row| row.id.to_string());
    let mut text = |name| given.text(name, 300).unwrap_or_default();
    let (text, state) = (text("text"), text("state"));
    let next = found.next.map(|next| {
        address("/interfaces", &[("text", &text), ("state", &state), ("cursor", &next)])
    });
    let shell = Shell::of(&app, &caller, Section::Interfaces, "Interfaces");
    let is_later = after.is_some();
    page(&Interfaces { shell, rows: found.items, fitting, text, state, next, is_later })
}
