//! `daybook store`: through the daemon, and with it stopped on the data folder.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::client::{Address, shaped};
use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::meter::Meter;
use super::render::{Tone, bytes};
use super::table::Cell;
use super::{offline, store_move};
use crate::archive::{Asked, check_backup, newest_backup, parse_hash};
use crate::http::parts::{StoreInfo, StorePruned, StoreVerified};
use crate::ids::{Position, hex};

/// What can be done with the store.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Show what the store holds
    Info,
    /// Check every byte, fold the log from zero and compare; exit code 1 when something is not as it should be
    Verify(Verify),
    /// Make a backup, read it back and check it; the daemon runs on
    Backup(store_move::Backup),
    /// Put a backup into place, or what is whole of the store; wants the daemon stopped
    Restore(store_move::Restore),
    /// Remove history that is over by the interfaces' retention, and give its space back; wants the daemon stopped
    Compact(Compact),
    /// Write out everything as JSON Lines, from which `store import` makes the same store
    Export(store_move::Export),
    /// Make a store of an export, in an empty data folder; wants the daemon stopped
    Import(store_move::Import),
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

/// What to check.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Verify {
    /// The log had this head once: from a backup's manifest, or from the daemon's log
    #[arg(long, value_name = "HEX", value_parser = parse_hash)]
    pub head: Option<[u8; 32]>,
    /// At this position; anywhere unless it is given
    #[arg(long, value_name = "POSITION", requires = "head")]
    pub at: Option<u64>,
    /// Check this backup, or the newest one in this folder, instead of the store
    #[arg(long, value_name = "DIR")]
    pub backup: Option<PathBuf>,
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
        Verb::Verify(verify) => verify.run(context).await,
        Verb::Backup(backup) => backup.run(context).await,
        Verb::Restore(restore) => restore.run(context),
        Verb::Compact(how) => compact(how, context).await,
        Verb::Export(export) => export.run(context).await,
        Verb::Import(import) => import.run(context),
    }
}

impl Verify {
    async fn run(&self, context: &mut Context<'_>) -> Outcome {
        let asked = Asked { head: self.head, at: self.at.map(Position) };
        let value = match &self.backup {
            Some(folder) => Self::backup(folder, asked, context)?,
            None => {
                let address = Address::of(&["api", "store", "verify"]);
                match context.post_at_work(&address, &self.body()).await {
                    Err(absent) if may_go_alone(&absent, context) => {
                        offline::verify(context, asked, absent)?
                    }
                    answer => answer?,
                }
            }
        };
        let verified: StoreVerified = shaped(&value)?;
        if context.out.json {
            context.out.document(&value)?;
        } else {
            checked(&verified, context)?;
        }
        if verified.ok { Ok(()) } else { Err(Failure::silent(Exit::Failed)) }
    }

    fn body(&self) -> Value {
        let mut body = json!({});
        if let Some(head) = &self.head {
            body["head"] = json!(hex(head));
        }
        if let Some(at) = self.at {
            body["at"] = json!(at);
        }
        body
    }

    fn backup(folder: &Path, asked: Asked, context: &mut Context<'_>) -> Outcome<Value> {
        let folder = newest_backup(folder).map_err(|why| Failure::new(Exit::NotFound, why))?;
        context.out.message(format!("checking {}", folder.display()))?;
        let (mut meter, messages) = (Meter::begin(), &mut context.out.messages);
        let seen = check_backup(&folder, asked, &mut |tick| {
            meter.show(messages, tick.what, (tick.done, tick.total));
        });
        let (_, checked) = seen.map_err(|err| {
            Failure::new(Exit::Failed, "the backup cannot be checked").because(&err)
        })?;
        offline::as_value(&StoreVerified::of(&checked))
    }
}

async fn compact(how: Compact, context: &mut Context<'_>) -> Outcome {
    let through_daemon = how.dry_run || how.online;
    let value = if through_daemon {
        let body = json!({"dry_run": how.dry_run});
        match context.post_at_work(&Address::of(&["api", "store", "compact"]), &body).await {
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
        context.out.text("", Tone::Plain, &line)?;
    }
    if pruned.interfaces.is_empty() {
        context.out.line("nothing is over")?;
    }
    let would = if pruned.dry_run { "would free" } else { "freed" };
    let freed = format!(
        "{would} {} of the journal ({} events) and {} of the lines",
        bytes(pruned.journal_bytes),
        pruned.events,
        bytes(pruned.lines_bytes)
    );
    context.out.text("", Tone::Plain, &freed)?;
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
pub fn may_go_alone(absent: &Failure, context: &Context<'_>) -> bool {
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
        context.out.text(&format!("{name:<10} "), Tone::Plain, &fact)?;
    }
    if let Some(percent) = info.rebuilding {
        context.out.line(format!("{:<10} {percent} %", "rebuilding"))?;
    }
    // What is over by now takes minutes to count in a large store.
    context.out.line(format!("{:<10} see `daybook store compact --dry-run`", "prunable"))?;
    for one in &info.pruned {
        let at = one.at.map_or_else(|| "-".to_owned(), |at| at.to_string());
        let text = format!(
            "{}: {} executions, lines of {}, last at {at}",
            one.interface, one.executions, one.lines_of
        );
        context.out.text(&format!("{:<10} ", "pruned"), Tone::Plain, &text)?;
    }
    damaged(&info.problems, context)
}

fn damaged(problems: &[String], context: &mut Context<'_>) -> Outcome {
    for problem in problems {
        context.out.text("", Tone::Bad, problem)?;
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
    let all = format!("{word}: {events} events, {chunks} chunks of lines{pruned}");
    context.out.line(all)?;
    let compared = [(verified.checkpoint, "checkpoint"), (verified.index, "lists")];
    for (at, what) in compared {
        if let Some(at) = at {
            context.out.line(format!("{what} compared at position {at}"))?;
        }
    }
    let lost = match verified.logs_pruned {
        0 => String::new(),
        count => format!(", {count} of them pruned"),
    };
    context.out.line(format!("logs of {} executions compared{lost}", verified.logs))?;
    let head = Cell::from(format!("head {}", verified.head));
    let position = Cell::from(format!("position {}", verified.position));
    context.out.side_by_side(&[head, position])?;
    if let Some(at) = verified.head_at {
        context.out.line(format!("the head that was asked for stands at position {at}"))?;
    }
    damaged(&verified.problems, context)?;
    if let Some(difference) = &verified.difference {
        context.out.message(format!(
            "first difference in the {}; to mend it: {}",
            difference.part, difference.mend
        ))?;
    }
    for note in &verified.notes {
        context.out.message(format!("note: {note}"))?;
    }
    Ok(())
}
