//! `daybook schedule`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::backfill::Backfill;
use super::client::{Address, shaped};
use super::context::Context;
use super::exit::Exit;
use super::explain_cron::{self, ExplainError};
use super::failure::{Failure, Outcome};
use super::interface::{Terms, pause_line, state_name};
use super::page::Paging;
use super::render::{Tone, moment};
use super::table::{Cell, Rows, text, whole};
use super::times::Towards;
use super::wait::{self, Waiting};
use crate::civil::Zone;
use crate::domain::slot::Reason;
use crate::http::api::schedules::Ahead;
use crate::ids::{InterfaceId, ScheduleRef};
use crate::projection::view::{Execution, Page, Schedule, Slot, SlotOutcome, SlotPage, State};

/// What can be done with schedules.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List all schedules
    List(List),
    /// Show one schedule
    Show(Name),
    /// Show its next slots
    Next(Next),
    /// Show its ledger: what became of each slot, newest first
    Slots(Slots),
    /// Say why a slot did not run, ran late or twice, or will not run
    Why(Why),
    /// Explain a cron pattern; needs no daemon
    Explain(Explain),
    /// Start an execution now; the next slot does not move
    Run(Run),
    /// Run slots of the past that were missed or skipped, or ended KO
    Backfill(Backfill),
    /// Pause it: its slots are skipped until it is resumed
    Pause(Pause),
    /// End its pause; slots go on from that instant
    Resume(Name),
    /// Skip the next slot that would run; asked twice, one slot is skipped
    SkipNext(SkipNext),
}

/// Which schedules.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only those of this interface
    #[arg(long, value_name = "INTERFACE")]
    pub interface: Option<InterfaceId>,
}

/// One schedule.
#[derive(Debug, clap::Args)]
pub struct Name {
    /// The schedule's full name
    #[arg(value_name = "INTERFACE/SCHEDULE")]
    pub name: ScheduleRef,
}

/// Slots ahead.
#[derive(Debug, clap::Args)]
pub struct Next {
    /// The schedule's full name
    #[arg(value_name = "INTERFACE/SCHEDULE")]
    pub name: ScheduleRef,
    /// How many
    #[arg(short = 'n', long = "limit", value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub count: u16,
    /// After this time instead of now
    #[arg(long, value_name = "TIME")]
    pub after: Option<String>,
}

/// A part of the ledger.
#[derive(Debug, clap::Args)]
pub struct Slots {
    /// The schedule's full name
    #[arg(value_name = "INTERFACE/SCHEDULE")]
    pub name: ScheduleRef,
    /// At this time or later
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Which page.
    #[command(flatten)]
    pub paging: Paging,
}

/// A slot to account for.
#[derive(Debug, clap::Args)]
pub struct Why {
    /// The schedule's full name
    #[arg(value_name = "INTERFACE/SCHEDULE")]
    pub name: ScheduleRef,
    /// The slot's nominal instant, without an offset in this terminal's zone; the newest slot and the next one unless given
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
}

/// A pattern to explain.
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// The pattern: 5 fields, 6 with seconds, 7 with years, or @hourly …
    #[arg(value_name = "CRON")]
    pub pattern: String,
    /// The IANA zone that it counts in
    #[arg(long, visible_alias = "tz", value_name = "ZONE", default_value = "UTC")]
    pub zone: String,
    /// Slots after this time instead of now
    #[arg(long, value_name = "TIME")]
    pub after: Option<String>,
    /// How many slots
    #[arg(short = 'n', long = "limit", value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub count: u16,
}

/// What to run.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// The schedule's full name
    #[arg(value_name = "INTERFACE/SCHEDULE")]
    pub name: ScheduleRef,
    /// A parameter's value; the declared defaults fill in the others
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = param)]
    pub params: Vec<(String, String)>,
    /// Do not ask limits, locks and overlap
    #[arg(long)]
    pub force: bool,
    /// Whether to wait for its end.
    #[command(flatten)]
    pub waiting: Waiting,
}

/// A pause.
#[derive(Debug, clap::Args)]
pub struct Pause {
    /// The schedule's full name
    #[arg(value_name = "INTERFACE/SCHEDULE")]
    pub name: ScheduleRef,
    /// Why and until when
    #[command(flatten)]
    pub terms: Terms,
}

/// The next slot.
#[derive(Debug, clap::Args)]
pub struct SkipNext {
    /// The schedule's full name
    #[arg(value_name = "INTERFACE/SCHEDULE")]
    pub name: ScheduleRef,
    /// Let it run after all
    #[arg(long)]
    pub undo: bool,
}

fn param(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("expected NAME=VALUE, such as `day=2026-11-22`".to_owned()),
    }
}

/// Does it.
///
/// # Errors
/// The daemon cannot be reached, or refuses.
pub async fn run(verb: Verb, context: &mut Context<'_>) -> Outcome {
    match verb {
        Verb::List(List { interface }) => list(interface.as_ref(), context).await,
        Verb::Show(Name { name }) => {
            let value = context.get(&address(&name, None)).await?;
            shown(&value, context)
        }
        Verb::Next(next) => ahead(&next, context).await,
        Verb::Slots(slots) => ledger(&slots, context).await,
        Verb::Why(asked) => super::why::run(&asked, context).await,
        Verb::Explain(explain) => explained(&explain, context),
        Verb::Run(order) => start(order, context).await,
        Verb::Backfill(asked) => super::backfill::run(&asked, context).await,
        Verb::Pause(Pause { name, terms }) => {
            let body = terms.body(context)?;
            let value = context.post(&address(&name, Some("pause")), &body).await?;
            shown(&value, context)?;
            Ok(context.out.message(format!("paused; `daybook schedule resume {name}` ends it"))?)
        }
        Verb::Resume(Name { name }) => {
            let value = context.post(&address(&name, Some("resume")), &json!({})).await?;
            shown(&value, context)?;
            if value["state"] == "paused" {
                let said = format!(
                    "resumed, but its interface is paused still: daybook interface resume {}",
                    name.interface
                );
                return Ok(context.out.message(&said)?);
            }
            Ok(context.out.message("resumed; slots go on from now")?)
        }
        Verb::SkipNext(skip) => skip_next(&skip, context).await,
    }
}

async fn skip_next(skip: &SkipNext, context: &mut Context<'_>) -> Outcome {
    let SkipNext { name, undo } = skip;
    let value = context.post(&address(name, Some("skip-next")), &json!({"undo": undo})).await?;
    if context.out.json {
        return Ok(context.out.document(&value)?);
    }
    let slot: Slot = shaped(&value)?;
    let schedule: Schedule = shaped(&context.get(&address(name, None)).await?)?;
    let at = local(&schedule.timezone, slot.at);
    match slot.reason {
        None => context.out.line(format!("{at}  will run"))?,
        Some(reason) => context.out.line(format!("{at}  will be skipped: {}", reason.as_str()))?,
    }
    if !undo {
        let back = format!("`daybook schedule skip-next {name} --undo` takes it back");
        context.out.message(back)?;
    }
    Ok(())
}

fn address(name: &ScheduleRef, verb: Option<&str>) -> Address {
    let mut segments = vec!["api", "schedules", name.interface.as_str(), name.schedule.as_str()];
    segments.extend(verb);
    Address::of(&segments)
}

async fn list(interface: Option<&InterfaceId>, context: &mut Context<'_>) -> Outcome {
    let interface = interface.map(InterfaceId::as_str);
    let address = Address::of(&["api", "schedules"]).with_some("interface", interface);
    let value = context.all(&address).await?;
    if context.out.json {
        return Ok(context.out.document(&value)?);
    }
    let page: Page<Schedule> = shaped(&value)?;
    let [name, state, last] = [whole("SCHEDULE"), whole("STATE"), whole("LAST")];
    let mut rows = Rows::new(&[name, state, last, whole("NEXT"), text("WHEN")]);
    for row in &page.items {
        let last = match &row.last {
            None => Cell::from("-"),
            Some(last) => {
                let text = format!("{} {}", last.status.as_str(), context.when(Some(last.at)));
                Cell::toned(Tone::of_status(last.status), text)
            }
        };
        rows.add(&[
            Cell::from(format!("{}/{}", row.interface, row.schedule)),
            Cell::toned(Tone::of_state(row.state), state_name(row.state)),
            last,
            Cell::from(context.when(row.next.first().copied())),
            Cell::from(row.expression.as_deref().unwrap_or(&row.kind)),
        ]);
    }
    Ok(context.out.table(&rows)?)
}

fn shown(value: &Value, context: &mut Context<'_>) -> Outcome {
    if context.out.json {
        return Ok(context.out.document(value)?);
    }
    let row: Schedule = shaped(value)?;
    let name = Cell::from(format!("{}/{}", row.interface, row.schedule));
    let state = Cell::toned(Tone::of_state(row.state), state_name(row.state));
    context.out.side_by_side(&[name, state])?;
    let when = row.expression.as_ref().map_or_else(
        || row.description.clone(),
        |expression| format!("{expression}  ({})", row.description),
    );
    let last = row.last.as_ref().map_or_else(
        || "-".to_owned(),
        |last| {
            let at = context.when(Some(last.at));
            format!("{} {at}, {}", last.status.as_str(), last.execution)
        },
    );
    for (name, fact) in
        [(row.kind.as_str(), when), ("timezone", row.timezone.clone()), ("last", last)]
    {
        context.out.text(&format!("  {name:<10} "), Tone::Plain, &fact)?;
    }
    pause_line(row.paused.as_ref(), context)?;
    if row.state == State::Active {
        for at in &row.next {
            let line = format!("  {:<10} {}", "next", local(&row.timezone, *at));
            context.out.line(line)?;
        }
    }
    Ok(())
}

/// An instant as the schedule's zone shows it.
fn local(zone: &str, at: crate::instant::Instant) -> String {
    Zone::load(zone).map_or_else(|_unknown| at.to_string(), |zone| zone.show(at))
}

async fn ahead(next: &Next, context: &mut Context<'_>) -> Outcome {
    let read = |text: &String| context.times.read("--after", text, Towards::Past);
    let after = next.after.as_ref().map(read).transpose()?;
    let asked = address(&next.name, Some("next"))
        .with("n", next.count.to_string())
        .with_some("after", after.map(|at| at.to_string()));
    let value = context.get(&asked).await?;
    if context.out.json {
        return Ok(context.out.document(&value)?);
    }
    let page: Page<Ahead> = shaped(&value)?;
    let schedule: Schedule = shaped(&context.get(&address(&next.name, None)).await?)?;
    for Ahead { slot, note } in &page.items {
        let mut row = vec![Cell::from(local(&schedule.timezone, slot.at))];
        row.extend(
            slot.reason.map(|reason| {
                Cell::toned(Tone::Odd, format!("will be skipped: {}", reason.as_str()))
            }),
        );
        row.extend(note.as_ref().map(|note| Cell::from(format!("({note})"))));
        context.out.side_by_side(&row)?;
    }
    match (page.items.is_empty(), schedule.state) {
        (true, State::Removed) => context.out.message("no slot lies ahead: it was removed")?,
        (true, _) => {
            context.out.message(format!("no slot lies ahead: {}", schedule.description))?;
        }
        (false, State::Active) => (),
        (false, state) => {
            let until = schedule.paused.and_then(|paused| paused.until);
            let until = until.map(|at| format!(" until {}", local(&schedule.timezone, at)));
            let (state, until) = (state_name(state), until.unwrap_or_default());
            context.out.message(format!("the schedule is {state}{until}"))?;
        }
    }
    Ok(())
}

async fn ledger(slots: &Slots, context: &mut Context<'_>) -> Outcome {
    let asked = address(&slots.name, Some("slots"))
        .with_some("from", context.times.text("--from", slots.from.as_deref())?)
        .with_some("to", context.times.text("--to", slots.to.as_deref())?);
    let columns = ["SLOT", "OUTCOME", "REASON", "EXECUTION"].map(whole);
    let value = slots.paging.show(asked, &columns, row_of, context).await?;
    let page: SlotPage = shaped(&value)?;
    if let Some(pruned) = page.pruned.filter(|_| !context.out.json) {
        context.out.message(format!(
            "slots up to {} were pruned by retention, last on {} (event {})",
            moment(pruned.until),
            moment(pruned.at),
            pruned.position
        ))?;
    }
    Ok(())
}

fn row_of(slot: &Slot, context: &Context<'_>) -> Vec<Cell> {
    let outcome = match slot.outcome {
        SlotOutcome::Started => "started",
        SlotOutcome::Skipped => "skipped",
        SlotOutcome::Missed => "missed",
        SlotOutcome::Pending => "pending",
    };
    let execution = slot.execution.map(|id| context.id(id));
    vec![
        Cell::from(moment(slot.at)),
        Cell::toned(Tone::of_outcome(slot.outcome), outcome),
        Cell::from(slot.reason.map_or("-", Reason::as_str)),
        Cell::from(execution.as_deref().unwrap_or("-")),
    ]
}

fn explained(explain: &Explain, context: &mut Context<'_>) -> Outcome {
    let read = |text: &String| context.times.read("--after", text, Towards::Past);
    let after = explain.after.as_ref().map(read).transpose()?.unwrap_or(context.times.now);
    let count = usize::from(explain.count);
    let answer = explain_cron::explain(&explain.pattern, &explain.zone, after, count);
    let answer = answer.map_err(|err| match err {
        ExplainError::Pattern(err) => Failure::usage(format!("`{}`: {err}", explain.pattern)),
        ExplainError::Zone(err) => Failure::usage(format!("--zone: {err}")),
    })?;
    if context.out.json {
        let value = serde_json::to_value(&answer).map_err(|err| {
            Failure::new(Exit::Failed, "the answer cannot be written").because(&err)
        })?;
        return Ok(context.out.document(&value)?);
    }
    context.out.text("", Tone::Plain, &format!("{} ({})", answer.description, answer.zone))?;
    for slot in &answer.next {
        context.out.line(slot)?;
    }
    for warning in &answer.warnings {
        context.out.message(format!("warning: {warning}"))?;
    }
    Ok(())
}

async fn start(order: Run, context: &mut Context<'_>) -> Outcome {
    let mut params: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in order.params {
        if params.insert(name.clone(), value).is_some() {
            return Err(Failure::usage(format!("--param {name} stands more than once")));
        }
    }
    let body = json!({"params": params, "force": order.force});
    let value = context.post(&address(&order.name, Some("run")), &body).await?;
    let execution: Execution = shaped(&value)?;
    let id = execution.id.to_string();
    let Waiting { wait, timeout } = order.waiting;
    if !wait {
        if context.out.json {
            return Ok(context.out.document(&value)?);
        }
        let status = Cell::toned(Tone::of_status(execution.status), execution.status.as_str());
        let name = Cell::from(order.name.to_string());
        context.out.side_by_side(&[Cell::from(&id), status, name])?;
        return Ok(context
            .out
            .message(format!("follow it: daybook execution log {id} --follow"))?);
    }
    context.out.message(format!("started {id}, waiting for its end"))?;
    let ended = wait::until_over(&[id], timeout, context).await?;
    if context.out.json {
        for seen in &ended {
            context.out.document(&seen.value)?;
        }
    }
    wait::verdict(&ended)
}
