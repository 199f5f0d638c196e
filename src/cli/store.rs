//! `daybook store`: through the daemon, and with it stopped on the data folder.

use serde_json::json;

use super::client::{Address, shaped};
use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::offline;
use super::render::{Tone, bytes, clean};
use crate::http::parts::{StoreInfo, StorePruned, StoreVerified};

/// What can be done with the store.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Show what the store holds
    Info,
    /// Check every byte of the event log and the lines; exit code 1 when something is damaged
    Verify,
    /// Remove history that is over by the interfaces' retention, and give its space back; wants the daemon stopped
    Compact(Compact),
}

/// How to compact.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Compact {
    /// Print what would go, and stop; works beside a daemon too
    #[arg(long)]
    pub dry_run: bool,
    /// Let the running daemon remove it now, as it does by itself every day
    #[arg(long, conflicts_with = "dry_run")]
    pub online: bool,
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
        Verb::Compact(how) => compact(how, context).await,
    }
}

async fn compact(how: Compact, context: &mut Context<'_>) -> Outcome {
    let through_daemon = how.dry_run || how.online;
    let value = if through_daemon {
        let body = json!({"dry_run": how.dry_run});
        match context.post(&Address::of(&["api", "store", "compact"]), &body).await {
            Err(absent) if how.dry_run && may_go_alone(&absent, context) => {
                offline::compact(context, how.dry_run, absent)?
            }
            answer => answer?,
        }
    } else {
        let absent = Failure::new(Exit::NotFound, "there is no data folder to compact");
        offline::compact(context, how.dry_run, absent)?
    };
    let pruned: StorePruned = shaped(&value)?;
    if context.out.json {
        context.out.document(&value)?;
        return Ok(());
    }
    show_pruned(&pruned, context)
}

fn show_pruned(pruned: &StorePruned, context: &mut Context<'_>) -> Outcome {
    for one in &pruned.interfaces {
        let line = format!(
            "{}: {} executions ({} by age, {} by count), lines of {}, slots of {} schedules",
            one.interface, one.executions, one.by_age, one.by_count, one.lines_of, one.slots_of
        );
        context.out.line(clean(&line).into_owned())?;
    }
    if pruned.interfaces.is_empty() {
        context.out.line("nothing is over")?;
    }
    let would = if pruned.dry_run { "would free" } else { "freed" };
    context.out.line(format!(
        "{would} {} of the journal ({} events) and {} of the lines",
        bytes(pruned.journal_bytes),
        pruned.events,
        bytes(pruned.lines_bytes)
    ))?;
    let Some(parts) = pruned.parts else { return Ok(()) };
    for (name, before, after) in [
        ("journal", parts.journal_before, parts.journal_after),
        ("lines", parts.lines_before, parts.lines_after),
        ("index", parts.index_before, parts.index_after),
    ] {
        context.out.line(format!("{name:<10} {} -> {}", bytes(before), bytes(after)))?;
    }
    Ok(())
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
    for one in &info.pruned {
        let at = one.at.map_or_else(|| "-".to_owned(), |at| at.to_string());
        let line = format!(
            "{:<10} {}: {} executions, lines of {}, last at {at}",
            "pruned", one.interface, one.executions, one.lines_of
        );
        context.out.line(clean(&line).into_owned())?;
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
        count => format!(", {count} events pruned"),
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
