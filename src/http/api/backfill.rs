//! `POST /api/schedules/{interface}/{schedule}/backfill`: slots of the past, run now.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::done;
use super::schedules::{Name, existing};
use crate::config::{parse_rate, show_rate};
use crate::domain::definition::{Rate, Timing};
use crate::domain::slot::Reason;
use crate::engine::backfill::{BACKFILL_MAX, Backfill, Backfilled, Candidate};
use crate::engine::handle::Done;
use crate::http::access::Caller;
use crate::http::input::{Fields, Input, LIMIT_MAX};
use crate::http::parts::App;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::reads::{Reads, Span};
use crate::ids::{ExecutionId, ScheduleRef};
use crate::instant::Instant;
use crate::projection::SlotRange;
use crate::projection::view::{Slot, SlotOutcome, Status};

/// Which slots to run, as the document shows it.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "read field by field; this is the form in the OpenAPI document")]
pub struct BackfillBody {
    /// Slots at this instant or later.
    #[schema(format = "date-time")]
    from: String,
    /// Slots before this instant.
    #[schema(format = "date-time")]
    to: String,
    /// Only these; all three unless given.
    only: Option<Vec<Was>>,
    /// How many start in a period, such as `10/min`; the pace of `catch_up` unless given.
    rate: Option<String>,
    /// Only tell what would run.
    dry_run: Option<bool>,
}

/// What became of a slot before it was asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Was {
    /// It did not run in time.
    Missed,
    /// It was not to run.
    Skipped,
    /// It ran, and its newest execution is a KO.
    Ko,
}

impl Was {
    /// The word used in JSON and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missed => "missed",
            Self::Skipped => "skipped",
            Self::Ko => "ko",
        }
    }
}

/// What becomes of the slots.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct BackfillAnswer {
    /// Nothing was started.
    pub dry_run: bool,
    /// The pace; null when they run one after another without a pause.
    pub rate: Option<String>,
    /// One for each slot that fits, oldest first.
    pub items: Vec<BackfillItem>,
    /// Always null: there is one page.
    pub next: Option<String>,
}

/// What becomes of one slot.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct BackfillItem {
    /// Its nominal instant.
    #[schema(value_type = String, format = "date-time")]
    pub slot: Instant,
    /// What became of it before.
    pub was: Was,
    /// Why it was skipped or missed; null for one that ran.
    #[schema(value_type = Option<String>)]
    pub reason: Option<Reason>,
    /// The KO that runs again; null for a slot that never ran.
    #[schema(value_type = Option<String>, format = "uuid")]
    pub rerun_of: Option<ExecutionId>,
    /// The execution that is opened for it; null when it is left, and for a re-run in a dry run.
    #[schema(value_type = Option<String>, format = "uuid")]
    pub execution: Option<ExecutionId>,
    /// Why it is left as it is; null when it runs.
    pub left: Option<String>,
}

/// Which slots are to run.
pub struct Wanted {
    /// At this instant or later.
    pub from: Instant,
    /// Before this instant.
    pub to: Instant,
    only: Vec<Was>,
    rate: Option<Rate>,
    /// Only to be told.
    pub dry_run: bool,
}

/// Reads which slots are to run; their time was read before: people may write it as their clocks show it.
///
/// # Errors
/// A value is wrong, or is not there.
pub fn wanted(
    mut input: Input,
    (from, to): (Option<Instant>, Option<Instant>),
    only: Option<Vec<Was>>,
) -> Result<Wanted, Problem> {
    let (from, to) = (input.require("from", from), input.require("to", to));
    let rate = input.with("rate", |text| parse_rate(text).map_err(|err| err.to_string()));
    let dry_run = input.flag("dry_run");
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        input.refuse("to", format!("must be later than `from`, {from}"));
    }
    if only.as_ref().is_some_and(Vec::is_empty) {
        input.refuse("only", "names nothing; leave it out, or name `missed`, `skipped` or `ko`");
    }
    input.finish()?;
    let (Some(from), Some(to)) = (from, to) else {
        return Err(Problem::invalid_field("/from", "must be there".to_owned()));
    };
    let only = only.unwrap_or_else(|| vec![Was::Missed, Was::Skipped, Was::Ko]);
    Ok(Wanted { from, to, only, rate, dry_run })
}

/// Pages of the ledger that are looked through.
const PAGES_MAX: usize = 100;

/// A slot of the ledger that fits.
struct Fitting {
    slot: Slot,
    was: Was,
    failed: Option<ExecutionId>,
}

/// Runs slots of the past that were missed or skipped, and those whose newest execution is a KO once more: one after another,
/// oldest first. A slot that has run, or is about to, is left; asking twice starts nothing twice.
///
/// # Errors
/// The schedule does not exist, a field is wrong, more than 10,000 slots fit, or the lists are being rebuilt.
#[utoipa::path(post, path = "/api/schedules/{interface}/{schedule}/backfill", tag = "schedules",
    params(("interface" = String, Path), ("schedule" = String, Path)), request_body = BackfillBody,
    responses((status = 202, body = BackfillAnswer),
        (status = 200, body = BackfillAnswer, description = "Nothing was started: a dry run, or nothing fits"),
        (status = "default", body = ProblemBody)))]
pub async fn backfill(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<Name>,
    Fields(mut input): Fields,
) -> Result<Response, Problem> {
    let span = (input.instant("from"), input.instant("to"));
    let only = input.json("only");
    let wanted = wanted(input, span, only)?;
    let (answered, body) = ask(&app, caller, &name, wanted).await?;
    if body.dry_run {
        return Ok(Json(body).into_response());
    }
    let started = body.items.iter().any(|it| it.execution.is_some());
    let status = if started { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok(done(&app, status, &answered, body))
}

/// Runs the slots of a schedule that fit, or tells which they are.
///
/// # Errors
/// The schedule does not exist, more than 10,000 slots fit, or the lists are being rebuilt.
pub async fn ask(
    app: &App,
    caller: Caller,
    name: &Name,
    wanted: Wanted,
) -> Result<(Done<Vec<Backfilled>>, BackfillAnswer), Problem> {
    let (name, _) = existing(app, name)?;
    let _alone = app.memory.backfills.lock().await;
    let reads = Reads::at(app, app.memory.newest_answer()).await?;
    let follows = app.engine.definition(&name.interface).is_some_and(|(definition, _)| {
        let schedule = definition.schedules.get(&name.schedule);
        schedule.is_some_and(|schedule| matches!(schedule.timing, Timing::After(_)))
    });
    let fitting = fitting(&reads, &name, &wanted).await?;
    let mut slots = Vec::with_capacity(fitting.len());
    for it in &fitting {
        slots.push(candidate(&reads, &name, it, follows).await?);
    }
    let Wanted { from, to, rate, dry_run, .. } = wanted;
    let ask = Backfill { schedule: name.clone(), from, to, slots, rate, dry_run };
    let answered = app.engine.backfill(caller.actor, ask).await?;
    let items = fitting.into_iter().zip(&answered.value).map(|(it, what)| item(it, what)).collect();
    let usual = app
        .engine
        .definition(&name.interface)
        .and_then(|(definition, _)| definition.schedules.get(&name.schedule)?.catch_up.rate);
    let rate = rate.or(usual).map(show_rate);
    Ok((answered, BackfillAnswer { dry_run, rate, items, next: None }))
}

fn item(fitting: Fitting, what: &Backfilled) -> BackfillItem {
    let Fitting { slot, was, .. } = fitting;
    BackfillItem {
        slot: slot.at,
        was,
        reason: slot.reason,
        rerun_of: what.rerun_of,
        execution: what.execution,
        left: what.left.clone(),
    }
}

/// The slots that fit, oldest first.
async fn fitting(
    reads: &Reads,
    name: &ScheduleRef,
    wanted: &Wanted,
) -> Result<Vec<Fitting>, Problem> {
    let mut found = Vec::new();
    let mut cursor = None;
    for _ in 0..PAGES_MAX {
        let (from, to) = (Some(wanted.from), Some(wanted.to));
        let page = reads.slots(name.clone(), Span { from, to, limit: LIMIT_MAX, cursor }).await?;
        for slot in page.items {
            found.extend(fit(reads, slot, &wanted.only).await?);
        }
        if found.len() > BACKFILL_MAX {
            let why = format!(
                "more than {BACKFILL_MAX} slots fit; narrow the time, or choose fewer by `only`"
            );
            return Err(Problem::invalid_field("/from", why));
        }
        cursor = page.next;
        if cursor.is_none() {
            found.sort_by_key(|it| it.slot.at);
            // A slot that was decided twice, around a step of the clock, is asked for once.
            found.dedup_by_key(|it| it.slot.at);
            return Ok(found);
        }
    }
    let looked_at = PAGES_MAX * LIMIT_MAX;
    let why = format!("names a time with more than {looked_at} slots to look at; narrow it");
    Err(Problem::invalid_field("/from", why))
}

/// The slot with what became of it, if that is among what is wanted.
async fn fit(reads: &Reads, slot: Slot, only: &[Was]) -> Result<Option<Fitting>, Problem> {
    let was = match (slot.outcome, slot.execution) {
        (SlotOutcome::Missed, None) => Was::Missed,
        (SlotOutcome::Skipped, None) => Was::Skipped,
        (SlotOutcome::Pending, _) => return Ok(None),
        (_, Some(_)) => Was::Ko,
        (SlotOutcome::Started, None) => return Ok(None),
    };
    if !only.contains(&was) {
        return Ok(None);
    }
    let failed = match slot.execution {
        None => None,
        Some(first) => match newest_failure(reads, first).await? {
            Some(failed) => Some(failed),
            None => return Ok(None),
        },
    };
    Ok(Some(Fitting { slot, was, failed }))
}

/// The newest KO of a slot's executions, when none of them is ok. The engine leaves it while one is under way.
async fn newest_failure(reads: &Reads, first: ExecutionId) -> Result<Option<ExecutionId>, Problem> {
    let root = reads.execution(first).await?;
    let mut failed = (root.status == Status::Ko).then_some(root.id);
    let mut settled = root.status == Status::Ok;
    for rerun in &root.reruns {
        let rerun = reads.execution(*rerun).await?;
        settled |= rerun.status == Status::Ok;
        if rerun.status == Status::Ko {
            failed = Some(rerun.id);
        }
    }
    Ok(failed.filter(|_| !settled))
}

/// What the engine cannot know of a slot of the past.
async fn candidate(
    reads: &Reads,
    name: &ScheduleRef,
    fitting: &Fitting,
    follows: bool,
) -> Result<Candidate, Problem> {
    let (slot, failed) = (fitting.slot.at, fitting.failed);
    if failed.is_some() {
        return Ok(Candidate { slot, failed, ..Candidate::default() });
    }
    let last_ok = reads.last_ok_slot(name.clone(), slot).await?;
    let range = SlotRange { from: None, to: Some(slot) };
    let before = if follows { reads.decided(name.clone(), range, 1).await? } else { Vec::new() };
    let previous = before.into_iter().next().map(|(_, slot)| slot.at);
    Ok(Candidate { slot, failed, previous, last_ok })
}
