//! `daybook check`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::client::{Address, shaped};
use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::render::Tone;
use super::text::clean;
use crate::civil::Zone;
use crate::config::{self, Flags, Loaded, Problem, Settings};
use crate::domain::event::Change;
use crate::domain::timing::PlanCache;
use crate::http::api::check::{Changed, Checked, Problems};
use crate::ids::ScheduleRef;
use crate::instant::Instant;

/// How far ahead the shifts of the clocks are looked at.
const YEAR: Duration = Duration::from_secs(366 * 86_400);

/// Which files.
#[derive(Debug, clap::Args)]
#[command(override_usage = "daybook check [DIR]\n       daybook check --diff")]
pub struct Check {
    /// The folder of the interfaces' files [default: as the daemon's]
    #[arg(value_name = "DIR", conflicts_with = "diff")]
    pub folder: Option<PathBuf>,
    /// Ask the daemon what its files would change; nothing is accepted
    #[arg(long)]
    pub diff: bool,
}

impl Check {
    /// Does it.
    ///
    /// # Errors
    /// A file is wrong (78), or the daemon that was to be asked cannot be reached.
    pub async fn run(self, context: &mut Context<'_>) -> Outcome {
        if self.diff { difference(context).await } else { self.alone(context) }
    }

    fn alone(self, context: &mut Context<'_>) -> Outcome {
        let folder = match self.folder {
            Some(folder) => folder,
            None => {
                let mut flags = Flags::new();
                if let Some(data) = &context.data {
                    flags.insert("data", data.display().to_string());
                }
                match Settings::load(&flags, &context.environment) {
                    Ok(settings) => settings.schedules.value,
                    Err(problems) => return refused(&problems, context),
                }
            }
        };
        let loaded = config::load_folder(&folder, &context.environment, context.checks);
        report(&loaded, context)?;
        if loaded.has_errors() { Err(Failure::silent(Exit::Configuration)) } else { Ok(()) }
    }
}

fn refused(problems: &[Problem], context: &mut Context<'_>) -> Outcome {
    if context.out.json {
        context.out.document(&json!({
            "ok": false,
            "interfaces": 0,
            "schedules": 0,
            "problems": problems,
            "daylight_saving": [],
        }))?;
    } else {
        render(problems, context)?;
    }
    Err(Failure::silent(Exit::Configuration))
}

fn report(loaded: &Loaded, context: &mut Context<'_>) -> Outcome {
    let interfaces = loaded.accepted.len();
    let schedules: usize =
        loaded.accepted.values().map(|file| file.interface.schedules.len()).sum();
    let shifts = shifts(loaded, context.times.now);
    if context.out.json {
        let document = json!({
            "ok": !loaded.has_errors(),
            "interfaces": interfaces,
            "schedules": schedules,
            "problems": loaded.problems,
            "daylight_saving": shifts,
        });
        return Ok(context.out.document(&document)?);
    }
    render(&loaded.problems, context)?;
    for Shifted { schedule, text, .. } in &shifts {
        context.out.text("", Tone::Plain, &format!("{schedule}: {text}"))?;
    }
    let refused = match loaded.refused.len() {
        0 => String::new(),
        count => format!(", {count} refused"),
    };
    Ok(context.out.line(format!("{interfaces} interfaces, {schedules} schedules{refused}"))?)
}

/// A day on which daylight saving touches a schedule.
#[derive(Debug, Serialize)]
struct Shifted {
    schedule: String,
    /// The local date.
    date: String,
    /// What happens to which reading of the clock.
    text: String,
}

/// What the shifts of the clocks do to the accepted schedules from `now` on (contract, section 4).
fn shifts(loaded: &Loaded, now: Instant) -> Vec<Shifted> {
    let mut plans = PlanCache::default();
    let mut found = Vec::new();
    for (id, file) in &loaded.accepted {
        for (name, schedule) in file.interface.schedules.iter().filter(|(_, one)| one.enabled) {
            // What was accepted has a zone and a plan.
            let Ok(zone) = Zone::load(&schedule.timezone) else { continue };
            let Ok(plan) = plans.plan(&schedule.timing, &zone, schedule.dst) else { continue };
            let full = ScheduleRef { interface: id.clone(), schedule: name.clone() };
            found.extend(plan.dst_notes(now, now + YEAR).into_iter().map(|note| Shifted {
                schedule: full.to_string(),
                date: note.date,
                text: note.text,
            }));
        }
    }
    found
}

/// Problems with the line of the file and a caret, all of them.
fn render(problems: &[Problem], context: &mut Context<'_>) -> Outcome {
    if problems.is_empty() {
        return Ok(());
    }
    let shown = config::render_all(problems, context.out.messages.palette().of_problems());
    // The lines of the files stay as they are.
    Ok(writeln!(context.out.messages.errors(), "{shown}")?)
}

async fn difference(context: &mut Context<'_>) -> Outcome {
    let value: Value = context.post(&Address::of(&["api", "check"]), &json!({})).await?;
    let checked: Checked = shaped(&value)?;
    if context.out.json {
        context.out.document(&value)?;
    } else {
        changes(&checked, context)?;
    }
    if checked.ok { Ok(()) } else { Err(Failure::silent(Exit::Configuration)) }
}

/// Problems that the daemon found in its files.
///
/// # Errors
/// Nothing can be written.
pub fn found(problems: &[Problems], context: &mut Context<'_>) -> Outcome {
    for problem in problems {
        let place = match (problem.line, problem.column) {
            (Some(line), Some(column)) => format!("{}:{line}:{column}", problem.file),
            (Some(line), None) => format!("{}:{line}", problem.file),
            (None, _) => problem.file.clone(),
        };
        let message = format!("{}: {place}: {}", problem.severity, clean(&problem.message));
        context.out.complaint(message)?;
        if let Some(hint) = &problem.hint {
            context.out.complaint(format!("  hint: {}", clean(hint)))?;
        }
    }
    Ok(())
}

fn changes(checked: &Checked, context: &mut Context<'_>) -> Outcome {
    found(&checked.problems, context)?;
    for group in checked.changes.chunk_by(|one, other| one.interface == other.interface) {
        let rows: Vec<Change> = group.iter().map(change).collect();
        if let Some(first) = group.first() {
            context.out.line(format!("{}:", first.interface))?;
        }
        for row in config::render_changes(&rows).lines() {
            context.out.line(format!("  {}", clean(row)))?;
        }
    }
    let refused = checked.problems.iter().any(|problem| problem.severity == "error");
    match (checked.changes.is_empty(), refused) {
        (true, false) => context.out.message("the files say what is in force")?,
        (_, true) => context.out.message("what is refused stays as it was last accepted")?,
        (false, false) => (),
    }
    Ok(())
}

fn change(changed: &Changed) -> Change {
    Change { path: changed.path.clone(), from: changed.from.clone(), to: changed.to.clone() }
}
