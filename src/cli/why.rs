//! `daybook schedule why`.

use super::client::{Address, shaped};
use super::context::Context;
use super::failure::Outcome;
use super::render::{Cell, Rows, clean, moment};
use super::schedule::Why as Asked;
use crate::http::api::why::Why;

/// Columns of a paragraph.
const COLUMNS: usize = 80;

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
    for row in wrapped(&clean(&why.text)) {
        context.out.line(row)?;
    }
    if why.events.is_empty() {
        return Ok(());
    }
    context.out.line("")?;
    let mut rows = Rows::new(&["EVENT", "AT", "TYPE", "STREAM", "ACTOR"]);
    for event in &why.events {
        rows.add(&[
            Cell::from(event.position.to_string()),
            Cell::from(moment(event.at)),
            Cell::from(event.kind.as_str()),
            Cell::from(event.stream.as_str()),
            Cell::from(event.actor.as_str()),
        ]);
    }
    Ok(context.out.table(rows)?)
}

/// The words of a text in rows of at most 80 columns, longer words alone.
fn wrapped(text: &str) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match rows.last_mut() {
            Some(row) if row.chars().count() + 1 + word.chars().count() <= COLUMNS => {
                row.push(' ');
                row.push_str(word);
            }
            _ => rows.push(word.to_owned()),
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paragraph_is_wrapped_between_words() {
        let text = format!("{} {} end", "a".repeat(40), "b".repeat(40));
        let rows = wrapped(&text);
        assert_eq!(rows, ["a".repeat(40), format!("{} end", "b".repeat(40))]);
        assert!(wrapped("").is_empty());
    }
}
