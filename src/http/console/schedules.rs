//! `/schedules`: what runs when, and how it last went.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::form::{Filters, address};
use super::marks::{Badge, Rest};
use super::shell::{Section, Shell, page};
use crate::engine::board::{ScheduleRow, plan, schedule_view};
use crate::http::access::Caller;
use crate::http::parts::App;
use crate::http::problem::Problem;
use crate::http::reads::blocking;
use crate::ids::{InterfaceId, ScheduleRef};
use crate::projection::view::{Schedule, State as Living};

/// Schedules of a page.
const ROWS: usize = 100;
/// Schedules that are looked through at a time.
const BATCH: usize = 1_000;

#[derive(Template)]
#[template(path = "schedules.html", config = "src/http/console/askama.toml")]
struct Schedules {
    shell: Shell,
    rows: Vec<Schedule>,
    interfaces: Vec<InterfaceId>,
    interface: String,
    state: String,
    text: String,
    /// The page after this one.
    next: Option<String>,
    is_later: bool,
}

impl Schedules {
    fn is_state(&self, word: &str) -> bool {
        self.state == word
    }

    fn is_of(&self, interface: &InterfaceId) -> bool {
        self.interface == interface.as_str()
    }

    fn is_filtered(&self) -> bool {
        !self.interface.is_empty() || !self.state.is_empty() || !self.text.is_empty()
    }
}

/// Which schedules are wanted.
struct Wanted {
    interface: Option<InterfaceId>,
    state: Option<Living>,
    /// In small letters.
    text: Option<String>,
}

impl Wanted {
    fn fits(&self, (name, row): &(ScheduleRef, ScheduleRow)) -> bool {
        self.state.is_none_or(|state| row.state == state)
            && self.text.as_deref().is_none_or(|text| holds(name, row, text))
    }

    /// Up to `limit` schedules after `after` that fit.
    fn find(&self, app: &App, mut after: Option<ScheduleRef>, limit: usize) -> Vec<Schedule> {
        let mut found = Vec::new();
        loop {
            let rows = app.engine.schedule_rows(self.interface.as_ref(), after.as_ref(), BATCH);
            after = rows.last().filter(|_| rows.len() == BATCH).map(|(name, _)| name.clone());
            let fitting = rows.iter().filter(|row| self.fits(row)).take(limit - found.len());
            found.extend(fitting.map(|(name, row)| schedule_view(name, row)));
            if found.len() == limit || after.is_none() {
                return found;
            }
        }
    }
}

/// Whether a schedule's name, zone, expression or description holds `text`, in small letters.
fn holds(name: &ScheduleRef, row: &ScheduleRow, text: &str) -> bool {
    let holds = |said: &str| said.to_lowercase().contains(text);
    let definition = row.definition.schedules.get(&name.schedule);
    let zone = definition.map_or(&row.definition.timezone, |definition| &definition.timezone);
    // A plan takes far longer than the rest.
    holds(&name.to_string())
        || holds(zone)
        || definition.and_then(plan).is_some_and(|plan| {
            plan.expression().is_some_and(|said| holds(&said)) || holds(&plan.describe())
        })
}

fn name_of(row: &Schedule) -> ScheduleRef {
    ScheduleRef { interface: row.interface.clone(), schedule: row.schedule.clone() }
}

/// A state by its word.
pub(super) fn state(text: &str) -> Result<Living, String> {
    serde_json::from_value(text.into())
        .map_err(|_err| format!("`{text}` is not active, paused, disabled or removed"))
}

/// The schedules, by name.
///
/// # Errors
/// A filter is wrong.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Filters(mut input): Filters,
) -> Result<Response, Problem> {
    let mut given = input.clone();
    let wanted = Wanted {
        interface: input.parsed("interface"),
        state: input.with("state", state),
        text: input.text("text", 200).map(|text| text.to_lowercase()),
    };
    let after: Option<ScheduleRef> = input.parsed("cursor");
    input.finish()?;
    let mut text = |name| given.text(name, 300).unwrap_or_default();
    let (interface, state, text) = (text("interface"), text("state"), text("text"));
    let is_later = after.is_some();
    let looked_through = App::clone(&app);
    let find = move || wanted.find(&looked_through, after, ROWS + 1);
    let mut rows = blocking(find).await?;
    let more = rows.len() > ROWS;
    rows.truncate(ROWS);
    let last = rows.last().filter(|_| more).map(|row| name_of(row).to_string());
    let next = last.map(|last| {
        let filters = [("interface", interface.as_str()), ("state", &state), ("text", &text)];
        address("/schedules", &[&filters[..], &[("cursor", &last)]].concat())
    });
    let ids = app.engine.board().read(|state| state.interfaces.keys().cloned().collect());
    let shell = Shell::of(&app, &caller, Section::Schedules, "Schedules");
    page(&Schedules { shell, rows, interfaces: ids, interface, state, text, next, is_later })
}
