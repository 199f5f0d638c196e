//! `/schedules/{interface}/{schedule}/backfill`: which slots of the past would run, and then they do.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::Value;

use super::form::{Filters, Posted, address, when};
use super::schedule::zone_of;
use super::shell::{Section, Shell, page, see_other};
use super::words;
use crate::civil::Zone;
use crate::http::access::Caller;
use crate::http::api::backfill::{BackfillAnswer, BackfillItem, Wanted, Was, ask, wanted};
use crate::http::api::schedules::{Name, existing};
use crate::http::input::Input;
use crate::http::parts::App;
use crate::http::problem::Problem;
use crate::instant::Instant;
use crate::projection::view::Schedule;

/// Slots that are listed; all that fit are counted.
const LISTED: usize = 200;

/// A slot of the preview.
struct Row {
    item: BackfillItem,
    local: String,
}

/// What a form asked for, as it goes into the next one.
struct Asked {
    from: Instant,
    to: Instant,
    only: Vec<Was>,
    rate: String,
}

impl Asked {
    /// `missed, skipped or ko`.
    fn words(&self) -> String {
        let words: Vec<&str> = self.only.iter().map(|was| was.as_str()).collect();
        match words.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => String::new(),
        }
    }

    fn address(&self, path: &str) -> String {
        let (from, to) = (self.from.to_string(), self.to.to_string());
        let mut state = vec![("from", from.as_str()), ("to", to.as_str()), ("rate", &self.rate)];
        state.extend(self.only.iter().map(|was| ("only", was.as_str())));
        address(path, &state)
    }
}

#[derive(Template)]
#[template(path = "backfill.html", config = "src/http/console/askama.toml")]
struct Preview {
    shell: Shell,
    schedule: Schedule,
    asked: Asked,
    span: (String, String),
    /// What runs at most in a period.
    rate: Option<String>,
    rows: Vec<Row>,
    /// How many run.
    runs: usize,
    /// How many fit, and are left as they are.
    left: usize,
    /// How many fit and are not listed.
    unlisted: usize,
}

/// Reads which slots are wanted, in the times of a zone: to be told, until somebody confirms it.
fn read(mut input: Input, zone: &Zone) -> Result<(Asked, Wanted), Problem> {
    let (from, to) = (when(&mut input, "from", zone), when(&mut input, "to", zone));
    let only: Option<Value> = input.json("only");
    let only = only.map(|only| if only.is_array() { only } else { Value::Array(vec![only]) });
    let only = match only.map(serde_json::from_value::<Vec<Was>>).transpose() {
        Ok(only) => only,
        Err(err) => {
            input.refuse("only", err);
            None
        }
    };
    let rate = input.clone().text("rate", 100).unwrap_or_default();
    let all = only.clone().unwrap_or_else(|| vec![Was::Missed, Was::Skipped, Was::Ko]);
    let mut wanted = wanted(input, (from, to), only)?;
    wanted.dry_run = true;
    let (from, to) = (wanted.from, wanted.to);
    Ok((Asked { from, to, only: all, rate }, wanted))
}

fn running(answer: &BackfillAnswer) -> usize {
    answer.items.iter().filter(|item| item.left.is_none()).count()
}

/// What would run.
///
/// # Errors
/// The schedule does not exist, a parameter is wrong, more than 10,000 slots fit, or the lists are being rebuilt.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<Name>,
    Filters(input): Filters,
) -> Result<Response, Problem> {
    let (full, schedule) = existing(&app, &name)?;
    let zone = zone_of(&schedule);
    let (asked, wanted) = read(input, &zone)?;
    let shell = Shell::of(&app, &caller, Section::Schedules, &format!("Backfill {full}"));
    let (_, answer) = ask(&app, caller, &name, wanted).await?;
    let runs = running(&answer);
    let fitting = answer.items.len();
    let row = |item: BackfillItem| Row { local: words::local(&zone, item.slot), item };
    page(&Preview {
        shell,
        schedule,
        span: (words::local(&zone, asked.from), words::local(&zone, asked.to)),
        asked,
        rate: answer.rate,
        rows: answer.items.into_iter().take(LISTED).map(row).collect(),
        runs,
        left: fitting - runs,
        unlisted: fitting.saturating_sub(LISTED),
    })
}

/// Runs them, when they are still as many as the preview said; else shows the preview again.
///
/// # Errors
/// The same, and something stands in the way.
pub(super) async fn run(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<Name>,
    Posted(mut input): Posted,
) -> Result<Response, Problem> {
    let (full, schedule) = existing(&app, &name)?;
    let seen: Option<usize> = input.number("count");
    let seen = input.require("count", seen);
    let zone = zone_of(&schedule);
    let (asked, look) = read(input.clone(), &zone)?;
    let (_, preview) = ask(&app, caller.clone(), &name, look).await?;
    if seen != Some(running(&preview)) {
        return see_other(&asked.address(&format!("/schedules/{full}/backfill")));
    }
    let (_, mut wanted) = read(input, &zone)?;
    wanted.dry_run = false;
    let (done, _) = ask(&app, caller, &name, wanted).await?;
    app.memory.answered(done.position);
    let (interface, schedule) = (full.interface.as_str(), full.schedule.as_str());
    see_other(&address("/executions", &[("interface", interface), ("schedule", schedule)]))
}
