//! `daybook store backup|restore|export|import`.

use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::client::{Address, shaped};
use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::meter::Meter;
use super::offline::{Idle, as_value, named_folder};
use super::render::{Tone, bytes};
use super::store::may_go_alone;
use super::table::Cell;
use super::target::Target;
use super::text::clean;
use crate::archive::{
    BackupOrder, ExportError, RestoreError, RestoreOrder, Source, StillAtWork, Tick, To, export,
    import, restore,
};
use crate::http::parts::StoreBackup;
use crate::ids::Position;
use crate::jobs;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where to, and how many are kept.
#[derive(Clone, Debug, clap::Args)]
pub struct Backup {
    /// The folder of backups; with the daemon running it lies below its setting `backups` [default: that folder]
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Delete older backups of this data folder there, beyond so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub keep: Option<u64>,
}

impl Backup {
    /// Makes a backup.
    ///
    /// # Errors
    /// It cannot be written, or is not sound.
    pub async fn run(&self, context: &mut Context<'_>) -> Outcome {
        let mut body = json!({});
        if let Some(dir) = &self.dir {
            let whole = std::path::absolute(dir)
                .map_err(|err| Failure::usage(format!("`{}`", dir.display())).because(&err))?;
            body["dir"] = json!(whole.display().to_string());
        }
        if let Some(keep) = self.keep {
            body["keep"] = json!(keep);
        }
        let address = Address::of(&["api", "store", "backup"]);
        let value = match context.post_at_work(&address, &body).await {
            Err(absent) if may_go_alone(&absent, context) => self.alone(context, absent)?,
            answer => answer?,
        };
        let made: StoreBackup = shaped(&value)?;
        if context.out.json {
            context.out.document(&value)?;
        } else {
            let StoreBackup { path, position, head, events, lines, .. } = &made;
            let was_there = if made.was_there { " (it was there already)" } else { "" };
            context.out.side_by_side(&[Cell::from(format!("{path}{was_there}"))])?;
            let held = format!(
                "{events} events, {lines} lines, {}; position {position}, head {head}",
                bytes(made.bytes)
            );
            context.out.text("", Tone::Plain, &held)?;
            for removed in &made.removed {
                context.out.side_by_side(&[Cell::from(format!("deleted {removed}"))])?;
            }
            context.out.message(format!("not in it: {}", made.left_out.join(", ")))?;
        }
        for problem in &made.problems {
            context.out.complaint(format!(
                "damaged in the store, and so in the backup: {}",
                clean(problem)
            ))?;
        }
        if made.problems.is_empty() { Ok(()) } else { Err(Failure::silent(Exit::Failed)) }
    }

    fn alone(&self, context: &mut Context<'_>, absent: Failure) -> Outcome<serde_json::Value> {
        write_privately();
        let idle = Idle::take(context, absent)?;
        let source = Source::of_folder(&idle.data, None).map_err(unreadable)?;
        let named = context.settings.as_ref().filter(|_| context.data.is_none());
        let usual = named
            .map_or_else(|| idle.data.join("backups"), |settings| settings.backups.value.clone());
        let dir = self.dir.as_ref().unwrap_or(&usual);
        let keep = self.keep.and_then(|keep| usize::try_from(keep).ok());
        let order =
            BackupOrder { dir, version: VERSION, created: context.times.now, keep, spare: 0 };
        let (mut meter, messages) = (Meter::begin(), &mut context.out.messages);
        let made = source.back_up(order, &mut |tick| {
            meter.show(messages, tick.what, (tick.done, tick.total));
        });
        let made =
            made.map_err(|err| Failure::new(Exit::Failed, "no backup was made").because(&err))?;
        as_value(&StoreBackup::of(&made))
    }
}

/// What to restore, and up to where.
#[derive(Clone, Debug, clap::Args)]
pub struct Restore {
    /// The backup's folder; without it, what is whole of the store itself is restored: then say up to where
    #[arg(value_name = "BACKUP", required_unless_present_any = ["to", "to_segment_end"])]
    pub backup: Option<PathBuf>,
    /// Up to this position: the end of a segment, or of the log
    #[arg(long, value_name = "POSITION", conflicts_with = "to_segment_end")]
    pub to: Option<u64>,
    /// Up to the end of the last whole segment
    #[arg(long)]
    pub to_segment_end: bool,
    /// Put what is there aside, into a folder in the data folder
    #[arg(long)]
    pub replace: bool,
}

impl Restore {
    /// Restores it.
    ///
    /// # Errors
    /// A daemon works on the data folder (7); it is not empty; the backup is not sound; no segment ends there.
    pub fn run(&self, context: &mut Context<'_>) -> Outcome {
        let data = own_folder(context)?;
        let to = match self.to {
            Some(position) => To::Position(Position(position)),
            None if self.to_segment_end => To::SegmentEnd,
            None => To::End,
        };
        let backup = self.backup.as_deref();
        let now = context.times.now;
        let (replace, at_work) = (self.replace, runners_at_work);
        let order = RestoreOrder { backup, data: &data, to, replace, now, at_work };
        let (mut meter, messages) = (Meter::begin(), &mut context.out.messages);
        let restored = restore(order, &mut |tick| {
            meter.show(messages, tick.what, (tick.done, tick.total));
        });
        let restored = restored.map_err(|err| refused(&err, "nothing was restored"))?;
        if context.out.json {
            let aside = restored.aside.as_ref().map(|aside| aside.display().to_string());
            let document = json!({
                "data": data.display().to_string(), "position": restored.position, "head": restored.head,
                "events": restored.events, "lines": restored.lines, "aside": aside, "notes": restored.notes,
            });
            context.out.document(&document)?;
        } else {
            let (position, head) = (restored.position, &restored.head);
            let text = format!(
                "restored: {} events, {} lines; position {position}, head {head}",
                restored.events, restored.lines
            );
            context.out.text("", Tone::Plain, &text)?;
            if let Some(aside) = &restored.aside {
                context.out.line(format!("what was there stands in {}", aside.display()))?;
            }
        }
        for note in &restored.notes {
            context.out.message(format!("note: {}", clean(note)))?;
        }
        context.out.message(
            "credentials and the token are not in backups: see that they are there; `daybook serve` rebuilds the lists",
        )?;
        Ok(())
    }
}

/// Where to, and up to where.
#[derive(Clone, Debug, clap::Args)]
pub struct Export {
    /// The file, `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub jsonl: PathBuf,
    /// Up to this position: what stands before damage can be read; wants the daemon stopped
    #[arg(long, value_name = "POSITION")]
    pub until: Option<u64>,
}

impl Export {
    /// Writes out everything.
    ///
    /// # Errors
    /// The file is there already, or cannot be written; the store is damaged before the position.
    pub async fn run(&self, context: &mut Context<'_>) -> Outcome {
        let target = Target::begin(&self.jsonl)?;
        if self.until.is_some() {
            let stopped = "with `--until` the store is read without the daemon";
            return self.alone(context, target, Failure::new(Exit::Unreachable, stopped));
        }
        let address = Address::of(&["api", "store", "export.jsonl"]);
        match context.lines(&address).await {
            Err(absent) if may_go_alone(&absent, context) => self.alone(context, target, absent),
            parts => self.through(context, target, parts?).await,
        }
    }

    async fn through(
        &self,
        context: &mut Context<'_>,
        mut target: Target,
        mut parts: super::client::Parts,
    ) -> Outcome {
        // Only the last row says that it is complete.
        let mut last = Vec::new();
        while let Some(part) = parts.next().await? {
            target.write(&part, context)?;
            let from = part.iter().rev().skip(1).position(|byte| *byte == b'\n');
            let from = from.map_or(0, |from| part.len() - 1 - from);
            last = part.get(from..).unwrap_or_default().to_vec();
        }
        if !last.starts_with(b"{") || memchr::memmem::find(&last, b"\"row\":\"end\"").is_none() {
            let failure =
                Failure::new(Exit::Failed, "the export broke off: its last row is missing");
            return Err(failure.hint("the daemon's log says why"));
        }
        target.finish(&self.jsonl)?;
        context.out.message(format!("exported to {}", self.jsonl.display()))?;
        Ok(())
    }

    fn alone(&self, context: &mut Context<'_>, target: Target, absent: Failure) -> Outcome {
        let idle = Idle::take(context, absent)?;
        let until = self.until.map(Position);
        let source = Source::of_folder(&idle.data, until).map_err(unreadable)?;
        let stamp = (VERSION, context.times.now);
        let mut meter = Meter::begin();
        let beside = target.lets_progress_show(context);
        let (data, messages) = context.out.both();
        let mut told = |tick: Tick| {
            if beside {
                meter.show(messages, tick.what, (tick.done, tick.total));
            }
        };
        let exported = match target.file() {
            Some(file) => export(&source, stamp, &mut BufWriter::new(file), &mut told),
            None => export(&source, stamp, data, &mut told),
        };
        let exported = exported.map_err(|err| match err {
            ExportError::Unreadable { what, hint } => unreadable((what, hint)),
            ExportError::Io(err) if err.kind() == io::ErrorKind::BrokenPipe => Failure::from(err),
            ExportError::Io(err) => {
                Failure::new(Exit::Failed, "the export cannot be written").because(&err)
            }
        })?;
        target.finish(&self.jsonl)?;
        context.out.message(format!(
            "exported {} events and {} lines, up to position {}",
            exported.events, exported.lines, exported.position
        ))?;
        if let Some(until) = until
            && exported.position < until
        {
            context.out.message(format!(
                "note: no append ends at {until}; the last whole one before it does at {}",
                exported.position
            ))?;
        }
        for damage in &exported.damaged {
            context.out.complaint(format!("damaged, and not in it: {}", clean(damage)))?;
        }
        if exported.damaged.is_empty() { Ok(()) } else { Err(Failure::silent(Exit::Failed)) }
    }
}

/// Which export.
#[derive(Clone, Debug, clap::Args)]
pub struct Import {
    /// The export
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

impl Import {
    /// Makes a store of it.
    ///
    /// # Errors
    /// A daemon works on the data folder (7); it is not empty; the export is not complete or was changed.
    pub fn run(&self, context: &mut Context<'_>) -> Outcome {
        let data = own_folder(context)?;
        let cannot = |err: &io::Error| {
            let exit = match err.kind() {
                io::ErrorKind::NotFound => Exit::NotFound,
                _ => Exit::Failed,
            };
            Failure::new(exit, format!("`{}` cannot be read", self.file.display())).because(err)
        };
        let file = File::open(&self.file).map_err(|err| cannot(&err))?;
        let total = file.metadata().map_err(|err| cannot(&err))?.len();
        let (mut meter, messages) = (Meter::begin(), &mut context.out.messages);
        let stamp = (context.times.now, total, runners_at_work as StillAtWork);
        let imported = import(&mut BufReader::new(file), &data, stamp, &mut |tick| {
            meter.show(messages, tick.what, (tick.done, tick.total));
        });
        let imported = imported.map_err(|err| refused(&err, "nothing was imported"))?;
        if context.out.json {
            let document = json!({
                "data": data.display().to_string(), "position": imported.position, "head": imported.head,
                "events": imported.events, "lines": imported.lines, "notes": imported.notes,
            });
            context.out.document(&document)?;
        } else {
            let text = format!(
                "imported: {} events, {} lines; position {}, head {}",
                imported.events, imported.lines, imported.position, imported.head
            );
            context.out.text("", Tone::Plain, &text)?;
        }
        for note in &imported.notes {
            context.out.message(format!("note: {}", clean(note)))?;
        }
        Ok(())
    }
}

/// What is written from here on is its user's alone, as what the daemon writes.
fn write_privately() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

/// The data folder of this machine, for what a daemon elsewhere cannot do.
fn own_folder(context: &Context<'_>) -> Outcome<PathBuf> {
    write_privately();
    if context.remote {
        let message = "this works on a data folder of this machine, with its daemon stopped";
        return Err(Failure::usage(message)
            .hint("leave `--server` out, and name the folder with `--data DIR`"));
    }
    let folder = named_folder(context);
    folder.ok_or_else(|| Failure::usage("there is no data folder; name one with `--data DIR`"))
}

fn unreadable((what, hint): (String, Option<String>)) -> Failure {
    let failure = Failure::new(Exit::Failed, "the store cannot be read").reason(what);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// A runner that outlives its daemon writes into the data folder.
fn runners_at_work(data: &Path) -> Result<(), String> {
    let living =
        jobs::living_runners(data).map_err(|err| format!("`{}`: {err}", data.display()))?;
    match living.first() {
        None => Ok(()),
        Some((folder, pid)) => {
            Err(format!("commands still run under `{}` (process {pid})", folder.display()))
        }
    }
}

fn refused(err: &RestoreError, what: &str) -> Failure {
    let exit = match err {
        RestoreError::InUse(_) | RestoreError::AtWork(_) | RestoreError::Filled(_) => {
            Exit::Conflict
        }
        RestoreError::Switch(crate::archive::SwitchError::Busy(_)) => Exit::Conflict,
        RestoreError::NoEnd { .. } => Exit::Usage,
        RestoreError::Unsound(_)
        | RestoreError::NothingWhole { .. }
        | RestoreError::Unreadable { .. }
        | RestoreError::Io { .. }
        | RestoreError::Switch(_) => Exit::Failed,
    };
    let failure = Failure::new(exit, what).because(err);
    match err {
        RestoreError::InUse(_) => failure.hint("stop the daemon first"),
        RestoreError::AtWork(_) => failure.hint(
            "wait until they have ended; or start the daemon, end them with `daybook execution cancel`, and stop it",
        ),
        RestoreError::Filled(_) => failure
            .hint("`--replace` puts what is there aside, into a folder in the data folder; or name an empty folder with `--data`"),
        RestoreError::NoEnd { .. } => failure.hint("`--to-segment-end` takes the last one that is whole"),
        RestoreError::Unsound(finding) => failure.hint(finding.mend.clone()),
        RestoreError::NothingWhole { .. } => failure
            .hint("restore a backup; `daybook store export --until POSITION` reads what stands before the damage, and `daybook store import` makes a store of it"),
        RestoreError::Unreadable { .. } | RestoreError::Io { .. } | RestoreError::Switch(_) => failure,
    }
}
