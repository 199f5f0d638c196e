//! `daybook store`: through the daemon, and with it stopped on the data folder.

use serde_json::json;

use super::client::{Address, shaped};
use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::offline;
use super::render::{Tone, bytes, clean};
use crate::http::parts::{StoreInfo, StoreVerified};

/// What can be done with the store.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Show what the store holds
    Info,
    /// Check every byte of the event log and the lines; exit code 1 when something is damaged
    Verify,
}

/// Does it.
///
/// # Errors
/// Neither a daemon nor a data folder can be reached; something is damaged (1).
pub async fn run(verb: Verb, context: &mut Context<'_>) -> Outcome {
    match verb {
        Verb::Info => {
            let answer = context.get(&Address::of(&["api", "store"])).await;
            let value = match answer {
                Err(absent) if may_go_alone(&absent, context) => offline::info(context, absent)?,
                answer => answer?,
            };
            let shown: StoreInfo = shaped(&value)?;
            if context.out.json {
                context.out.document(&value)?;
            } else {
                info(&shown, context)?;
            }
            if shown.problems.is_empty() { Ok(()) } else { Err(Failure::silent(Exit::Failed)) }
        }
        Verb::Verify => {
            let address = Address::of(&["api", "store", "verify"]);
            let value = match context.post(&address, &json!({})).await {
                Err(absent) if may_go_alone(&absent, context) => offline::verify(context, absent)?,
                answer => answer?,
            };
            let verified: StoreVerified = shaped(&value)?;
            if context.out.json {
                context.out.document(&value)?;
            } else {
                checked(&verified, context)?;
            }
            if verified.ok { Ok(()) } else { Err(Failure::silent(Exit::Failed)) }
        }
    }
}

/// A daemon that was named by its address has its data elsewhere.
fn may_go_alone(absent: &Failure, context: &Context<'_>) -> bool {
    absent.exit() == Exit::Unreachable && !context.remote
}

fn info(info: &StoreInfo, context: &mut Context<'_>) -> Outcome {
    let facts = [
        ("data", info.data.clone()),
        ("position", info.position.to_string()),
        ("head", info.head.clone()),
        ("journal", bytes(info.journal_bytes)),
        ("lines", bytes(info.lines_bytes)),
        ("index", bytes(info.index_bytes)),
        ("indexed to", info.indexed.map_or_else(|| "-".to_owned(), |at| at.to_string())),
    ];
    for (name, fact) in facts {
        context.out.line(format!("{name:<10} {}", clean(&fact)))?;
    }
    if let Some(percent) = info.rebuilding {
        context.out.line(format!("{:<10} {percent} %", "rebuilding"))?;
    }
    damaged(&info.problems, context)
}

fn damaged(problems: &[String], context: &mut Context<'_>) -> Outcome {
    for problem in problems {
        let problem = clean(problem).into_owned();
        let painted = context.out.palette.paint(Tone::Bad, &problem).into_owned();
        context.out.line(painted)?;
    }
    Ok(())
}

fn checked(verified: &StoreVerified, context: &mut Context<'_>) -> Outcome {
    let palette = context.out.palette;
    let word = if verified.ok {
        palette.paint(Tone::Good, "sound")
    } else {
        palette.paint(Tone::Bad, "damaged")
    };
    let pruned = match verified.pruned {
        0 => String::new(),
        count => format!(", {count} segments pruned"),
    };
    let (events, chunks) = (verified.events, verified.chunks);
    context.out.line(format!("{word}: {events} events, {chunks} chunks of lines{pruned}"))?;
    context.out.line(format!("head {}", verified.head))?;
    damaged(&verified.problems, context)?;
    for note in &verified.notes {
        context.out.message(format!("note: {note}"))?;
    }
    Ok(())
}
