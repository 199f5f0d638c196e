//! `daybook schedule why`.

use super::client::{Address, shaped};
use super::context::Context;
use super::event;
use super::failure::Outcome;
use super::render::Tone;
use super::schedule::Why as Asked;
use super::table::Rows;
use crate::http::api::why::Why;

/// Does it.
///
/// # Errors
/// The daemon cannot be reached, or refuses.
pub async fn run(asked: &Asked, context: &mut Context<'_>) -> Outcome {
    let (interface, schedule) = (asked.name.interface.as_str(), asked.name.schedule.as_str());
    let address = Address::of(&["api", "schedules", interface, schedule, "why"])
        .with_some("at", context.times.text("--at", asked.at.as_deref())?);
    let value = context.get(&address).await?;
    if context.out.json {
        return Ok(context.out.document(&value)?);
    }
    let why: Why = shaped(&value)?;
    context.out.text("", Tone::Plain, &why.text)?;
    if why.events.is_empty() {
        return Ok(());
    }
    context.out.line("")?;
    let mut rows = Rows::new(&event::COLUMNS);
    for event in &why.events {
        rows.add(&event::cells(event, context));
    }
    Ok(context.out.table(&rows)?)
}
