//! `daybook settings`.

use super::client::{Address, shaped};
use super::context::Context;
use super::failure::Outcome;
use super::render::Tone;
use super::table::{Cell, Rows, text, whole};
use crate::http::api::settings::Settings;

/// Shows the settings of the running daemon, each with where its value came from.
///
/// # Errors
/// The daemon cannot be reached.
pub async fn run(context: &mut Context<'_>) -> Outcome {
    let value = context.get(&Address::of(&["api", "settings"])).await?;
    if context.out.json {
        return Ok(context.out.document(&value)?);
    }
    let settings: Settings = shaped(&value)?;
    let mut rows = Rows::new(&[whole("KEY"), text("VALUE"), text("FROM")]);
    for row in settings.items {
        let tone = if row.origin == "default" { Tone::Faint } else { Tone::Plain };
        rows.add(&[
            Cell::from(row.key),
            Cell::from(row.value.unwrap_or_else(|| "-".to_owned())),
            Cell::toned(tone, row.origin),
        ]);
    }
    Ok(context.out.table(&rows)?)
}
