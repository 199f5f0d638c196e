//! `daybook schedule backfill`.

use std::borrow::Cow;

use serde_json::json;

use super::client::{Address, shaped};
use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::render::moment;
use super::table::{Cell, Rows, text, whole};
use crate::domain::slot::Reason;
use crate::http::api::backfill::{BackfillAnswer, BackfillItem};
use crate::ids::ScheduleRef;

/// Slots of the past.
#[derive(Debug, clap::Args)]
pub struct Backfill {
    /// The schedule's full name
    #[arg(value_name = "INTERFACE/SCHEDULE")]
    pub name: ScheduleRef,
    /// Slots at this time or later; without an offset it counts in this terminal's zone
    #[arg(long, value_name = "TIME")]
    pub from: String,
    /// Slots before this time
    #[arg(long, value_name = "TIME")]
    pub to: String,
    /// Only these: missed, skipped, ko; all three unless given
    #[arg(long, value_name = "WAS", value_delimiter = ',')]
    #[arg(value_parser = ["missed", "skipped", "ko"])]
    pub only: Vec<String>,
    /// How many start in a period, such as `10/min`; the pace of `catch_up` unless given
    #[arg(long, value_name = "RATE")]
    pub rate: Option<String>,
    /// Print what would run, and stop
    #[arg(long)]
    pub dry_run: bool,
}

/// Does it.
///
/// # Errors
/// The daemon cannot be reached or refuses; no slot fits (4).
pub async fn run(asked: &Backfill, context: &mut Context<'_>) -> Outcome {
    let from = context.times.text("--from", Some(&asked.from))?;
    let to = context.times.text("--to", Some(&asked.to))?;
    let mut body = json!({"from": from, "to": to, "dry_run": asked.dry_run});
    if !asked.only.is_empty() {
        body["only"] = json!(asked.only);
    }
    if let Some(rate) = &asked.rate {
        body["rate"] = json!(rate);
    }
    let (interface, schedule) = (asked.name.interface.as_str(), asked.name.schedule.as_str());
    let address = Address::of(&["api", "schedules", interface, schedule, "backfill"]);
    let value = context.post(&address, &body).await?;
    let answer: BackfillAnswer = shaped(&value)?;
    if context.out.json {
        context.out.document(&value)?;
    } else {
        shown(&answer, context)?;
    }
    if answer.items.is_empty() {
        return Err(Failure::new(Exit::NothingMatched, "no slot fits")
            .hint(format!("look with `daybook schedule slots {} --from … --to …`", asked.name)));
    }
    Ok(())
}

fn shown(answer: &BackfillAnswer, context: &mut Context<'_>) -> Outcome {
    if answer.items.is_empty() {
        return Ok(());
    }
    let columns = ["SLOT", "WAS", "REASON", "NOW", "EXECUTION"].map(whole);
    let mut rows = Rows::new(&columns.into_iter().chain([text("NOTE")]).collect::<Vec<_>>());
    for item in &answer.items {
        let (now, note) = what(item, context);
        let execution = item.execution.map(|id| context.id(id));
        rows.add(&[
            Cell::from(moment(item.slot)),
            Cell::from(item.was.as_str()),
            Cell::from(item.reason.map_or("-", Reason::as_str)),
            Cell::from(now),
            Cell::from(execution.as_deref().unwrap_or("-")),
            Cell::from(note),
        ]);
    }
    context.out.table(&rows)?;
    let run = answer.items.iter().filter(|item| item.left.is_none()).count();
    let left = answer.items.len() - run;
    let verb = if answer.dry_run { "would run" } else { "will run" };
    let pace = answer.rate.as_ref().map_or(Cow::Borrowed(""), |rate| format!(" ({rate})").into());
    Ok(context
        .out
        .message(format!("{run} {verb}, oldest first{pace}; {left} are left as they are"))?)
}

/// What becomes of it, and why or how.
fn what<'a>(item: &'a BackfillItem, context: &Context<'_>) -> (&'static str, Cow<'a, str>) {
    match (&item.left, item.rerun_of) {
        (Some(left), _) => ("left", left.into()),
        (None, Some(of)) => ("run again", format!("re-run of {}", context.id(of)).into()),
        (None, None) => ("run", "-".into()),
    }
}
