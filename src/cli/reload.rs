//! `daybook reload`.

use serde_json::json;

use super::check::found;
use super::client::{Address, shaped};
use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use crate::http::api::status::Reloaded;

/// Asks for it, and shows what was accepted.
///
/// # Errors
/// The daemon cannot be reached, or a file was refused (78).
pub async fn run(context: &mut Context<'_>) -> Outcome {
    let value = context.post(&Address::of(&["api", "reload"]), &json!({})).await?;
    let reloaded: Reloaded = shaped(&value)?;
    if context.out.json {
        context.out.document(&value)?;
    } else {
        shown(&reloaded, context)?;
    }
    if reloaded.problems.is_empty() { Ok(()) } else { Err(Failure::silent(Exit::Configuration)) }
}

fn shown(reloaded: &Reloaded, context: &mut Context<'_>) -> Outcome {
    for id in &reloaded.accepted {
        context.out.line(format!("accepted {id}"))?;
    }
    for id in &reloaded.removed {
        context.out.line(format!("removed {id}"))?;
    }
    found(&reloaded.problems, context)?;
    if reloaded.accepted.is_empty() && reloaded.removed.is_empty() && reloaded.problems.is_empty() {
        context.out.message("nothing changed")?;
    }
    Ok(())
}
