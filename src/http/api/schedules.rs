//! `/api/schedules`.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::executions::opened;
use super::interfaces::{PauseBody, pause_of};
use super::{done, linked, located, page_answer, page_of};
use crate::civil::Zone;
use crate::domain::event::Trigger;
use crate::domain::timing::Plan;
use crate::engine::board;
use crate::engine::handle::{Order, Target};
use crate::http::access::Caller;
use crate::http::input::{Fields, Input, Params};
use crate::http::parts::App;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::reads::{Reads, Span};
use crate::ids::{InterfaceId, ScheduleRef};
use crate::instant::Instant;
use crate::projection::view::{
    Execution, Page, Schedule, Slot, SlotOutcome, SlotPage, State as Living,
};

/// Slots shown by `next` unless the caller says otherwise.
const NEXT: usize = 5;
/// Bytes of a parameter's value at most.
const PARAM_MAX: usize = 64 * 1024;
/// The clocks are moved by no more than this, so a slot that comes twice lies no farther from the shift.
pub const SHIFT_MAX: Duration = Duration::from_secs(3 * 3600);
/// Slots of one local date are no farther apart than this.
const DATE_MAX: Duration = Duration::from_secs(27 * 3600);

/// A schedule's name in a path.
pub type Name = (String, String);

/// What to run, as the document shows it.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "read field by field; this is the form in the OpenAPI document")]
pub struct RunBody {
    /// Parameters by name; the declared defaults fill in the others.
    params: Option<BTreeMap<String, String>>,
    /// Limits, locks and overlap are not asked.
    force: Option<bool>,
}

/// A slot that lies ahead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ahead {
    /// The slot, pending.
    #[serde(flatten)]
    pub slot: Slot,
    /// Which calendar or blackout closes it, and what daylight saving does to it or to a reading of the clock beside it;
    /// null when there is nothing to say.
    pub note: Option<String>,
}

fn named(name: &Name) -> Result<ScheduleRef, Problem> {
    let parsed = name
        .0
        .parse()
        .and_then(|interface| Ok(ScheduleRef { interface, schedule: name.1.parse()? }));
    parsed.map_err(|_err| missing(&format!("{}/{}", name.0, name.1)))
}

fn missing(name: &str) -> Problem {
    let name: String = name.chars().take(127).collect();
    Problem::not_found(format_args!("schedule `{}`", name.escape_debug()))
}

/// The schedule with this name, which must exist.
///
/// # Errors
/// It does not.
pub fn existing(app: &App, name: &Name) -> Result<(ScheduleRef, Schedule), Problem> {
    let name = named(name)?;
    let schedule = app.engine.schedule(&name).ok_or_else(|| missing(&name.to_string()))?;
    Ok((name, schedule))
}

/// All schedules, by name.
///
/// # Errors
/// A parameter is wrong.
#[utoipa::path(get, path = "/api/schedules", tag = "schedules",
    params(("interface" = Option<String>, Query, description = "Of this interface"),
        ("limit" = Option<usize>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = Page<Schedule>), (status = "default", body = ProblemBody)))]
pub async fn list(
    State(app): State<App>,
    uri: Uri,
    Params(mut input): Params,
) -> Result<Response, Problem> {
    let interface: Option<InterfaceId> = input.parsed("interface");
    let cursor: Option<ScheduleRef> = input.parsed("cursor");
    let limit = input.limit();
    input.finish()?;
    let rows = app.engine.schedules(interface.as_ref(), cursor.as_ref(), limit + 1);
    let name = |row: &Schedule| format!("{}/{}", row.interface, row.schedule);
    Ok(page_answer(&uri, page_of(rows, limit, name)))
}

/// One schedule.
///
/// # Errors
/// It does not exist.
#[utoipa::path(get, path = "/api/schedules/{interface}/{schedule}", tag = "schedules",
    params(("interface" = String, Path), ("schedule" = String, Path)),
    responses((status = 200, body = Schedule), (status = "default", body = ProblemBody)))]
pub async fn show(
    State(app): State<App>,
    Path(name): Path<Name>,
    Params(input): Params,
) -> Result<Json<Schedule>, Problem> {
    input.finish()?;
    existing(&app, &name).map(|(_, schedule)| Json(schedule))
}

/// The ledger: what became of each slot, newest first; before them those that wait for another schedule, pending. The last
/// page tells under `pruned` up to where retention took slots.
///
/// # Errors
/// It does not exist, a parameter is wrong, or the lists are being rebuilt.
#[utoipa::path(get, path = "/api/schedules/{interface}/{schedule}/slots", tag = "schedules",
    params(("interface" = String, Path), ("schedule" = String, Path),
        ("from" = Option<String>, Query, description = "At this instant or later"),
        ("to" = Option<String>, Query, description = "Before this instant"),
        ("limit" = Option<usize>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = SlotPage), (status = "default", body = ProblemBody)))]
pub async fn slots(
    State(app): State<App>,
    Path(name): Path<Name>,
    uri: Uri,
    Params(mut input): Params,
    reads: Reads,
) -> Result<Response, Problem> {
    let (from, to) = (input.instant("from"), input.instant("to"));
    let span = Span { from, to, limit: input.limit(), cursor: input.text("cursor", 200) };
    input.finish()?;
    let (name, _) = existing(&app, &name)?;
    // Undecided, they are newer than all that is decided: all of them stand on the first page, whatever its limit.
    let pending = if span.cursor.is_none() { awaiting(&app, &name, &span) } else { Vec::new() };
    let pruned = reads.slots_pruned(name.clone()).await?;
    let pruned = pruned.filter(|pruned| from.is_none_or(|from| from <= pruned.until));
    let Page { mut items, next } = reads.slots(name, span).await?;
    items.splice(..0, pending);
    let pruned = pruned.filter(|_| next.is_none());
    Ok(linked(&uri, next.clone().as_deref(), SlotPage { items, next, pruned }))
}

/// The slots that wait for the schedule that theirs follows, newest first, with the execution that they wait for.
pub fn awaiting(app: &App, name: &ScheduleRef, span: &Span) -> Vec<Slot> {
    let inside = |at: &Instant| {
        span.from.is_none_or(|from| *at >= from) && span.to.is_none_or(|to| *at < to)
    };
    let slot = |at: Instant| Slot {
        interface: name.interface.clone(),
        schedule: name.schedule.clone(),
        at,
        outcome: SlotOutcome::Pending,
        reason: None,
        execution: None,
    };
    app.engine.board().read(|state| {
        let row = state.schedules.get(name).and_then(|row| row.awaiting.as_deref());
        let waiting = row.into_iter().flat_map(|row| row.keys().rev().copied());
        waiting.filter(inside).map(slot).collect()
    })
}

/// The next slots, all pending, with what daylight saving does to them, and why they will be skipped as things stand.
///
/// # Errors
/// It does not exist, or a parameter is wrong.
#[utoipa::path(get, path = "/api/schedules/{interface}/{schedule}/next", tag = "schedules",
    params(("interface" = String, Path), ("schedule" = String, Path),
        ("n" = Option<usize>, Query, description = "How many, 5 unless given"),
        ("after" = Option<String>, Query, description = "After this instant, now unless given")),
    responses((status = 200, body = Page<Ahead>), (status = "default", body = ProblemBody)))]
pub async fn next(
    State(app): State<App>,
    Path(name): Path<Name>,
    Params(mut input): Params,
) -> Result<Json<Page<Ahead>>, Problem> {
    let count = input.count("n", NEXT);
    let after = input.instant("after").unwrap_or_else(|| app.clock.now());
    input.finish()?;
    let (name, _) = existing(&app, &name)?;
    let items = ahead(&app, &name, after, count);
    Ok(Json(Page { items, next: None }))
}

/// The next `count` slots of a schedule after an instant, as [`next`] tells them.
pub fn ahead(app: &App, name: &ScheduleRef, after: Instant, count: usize) -> Vec<Ahead> {
    let row = app.engine.board().read(|state| state.schedules.get(name).cloned());
    // The last definition of a removed one may be at hand; it has no slots any more.
    let row = row.filter(|row| row.state != Living::Removed);
    let planned = row.as_ref().and_then(|row| {
        let definition = row.definition.schedules.get(&name.schedule)?;
        Some((row, definition, board::plan(definition)?))
    });
    let Some((row, definition, plan)) = planned else { return Vec::new() };
    let slots: Vec<Instant> = plan.slots_after(after).take(count).collect();
    let notes = notes(&plan, &definition.timezone, after, &slots);
    let wishes = row.wishes(&name.schedule);
    let pending = |(at, note): (Instant, Option<String>)| {
        let against = wishes.against(at);
        // What the reason alone says already is no note.
        let more = against.map(|why| (why.reason(), why.to_string()));
        let more = more.filter(|(reason, text)| text != reason.as_str()).map(|(_, text)| text);
        let said = more.into_iter().chain(note);
        let note = said.reduce(|first, second| format!("{first}; {second}"));
        let slot = Slot {
            interface: name.interface.clone(),
            schedule: name.schedule.clone(),
            at,
            outcome: SlotOutcome::Pending,
            reason: against.map(|why| why.reason()),
            execution: None,
        };
        Ahead { slot, note }
    };
    slots.into_iter().zip(notes).map(pending).collect()
}

/// What daylight saving does, beside the slot that it is about: the one that makes up for a reading that does not exist,
/// else the last one before the shift on the same date, else the first one after it.
fn notes(plan: &Plan, zone: &str, after: Instant, slots: &[Instant]) -> Vec<Option<String>> {
    let mut notes: Vec<Option<String>> = vec![None; slots.len()];
    let (Some(last), Ok(zone)) = (slots.last(), Zone::load(zone)) else { return notes };
    for note in plan.dst_notes(after, *last + SHIFT_MAX) {
        let made_up = || slots.iter().position(|at| *at == note.at);
        let same_date = |at: &Instant| {
            *at < note.at && note.at.since(*at) < DATE_MAX && zone.local_date(*at) == note.date
        };
        let place = made_up()
            .or_else(|| slots.iter().rposition(same_date))
            .or_else(|| slots.iter().position(|at| *at > note.at));
        let Some(beside) = place.and_then(|place| notes.get_mut(place)) else { continue };
        *beside = Some(match beside.take() {
            Some(first) => format!("{first}; {}", note.text),
            None => note.text,
        });
    }
    notes
}

/// Starts an execution at once. The next slot does not move.
///
/// # Errors
/// It does not exist, something stands in the way, or a field is wrong.
#[utoipa::path(post, path = "/api/schedules/{interface}/{schedule}/run", tag = "schedules",
    params(("interface" = String, Path), ("schedule" = String, Path)), request_body = RunBody,
    responses((status = 202, body = Execution, headers(("Location" = String))),
        (status = "default", body = ProblemBody)))]
pub async fn run(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<Name>,
    Fields(mut input): Fields,
) -> Result<Response, Problem> {
    let params = params(&mut input);
    let force = input.flag("force");
    input.finish()?;
    let schedule = named(&name)?;
    let order = Order { schedule: schedule.clone(), params: params.clone(), force };
    let started = app.engine.run(caller.actor, order).await?;
    let id = started.value;
    app.memory.answered(started.position);
    let execution = opened(&app, &started, |app| {
        super::executions::unlisted(app, &schedule, id, Trigger::Manual, params)
    });
    let answer = done(&app, StatusCode::ACCEPTED, &started, execution.await);
    Ok(located(answer, &format!("/api/executions/{id}")))
}

/// Parameters by name. A number or truth value counts as its text.
pub fn params(input: &mut Input) -> BTreeMap<String, String> {
    let given: BTreeMap<String, Value> = input.json("params").unwrap_or_default();
    let mut params = BTreeMap::new();
    for (name, value) in given {
        let text = match value {
            Value::String(text) => text,
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                input.refuse(&format!("params/{name}"), "must be a text");
                continue;
            }
        };
        if text.len() > PARAM_MAX {
            let why = format!("must have at most {PARAM_MAX} bytes, not {}", text.len());
            input.refuse(&format!("params/{name}"), why);
            continue;
        }
        params.insert(name, text);
    }
    params
}

/// Pauses it: its slots are skipped from now on. A pause that is in force keeps what is not named.
///
/// # Errors
/// It does not exist, or a field is wrong.
#[utoipa::path(post, path = "/api/schedules/{interface}/{schedule}/pause", tag = "schedules",
    params(("interface" = String, Path), ("schedule" = String, Path)), request_body = PauseBody,
    responses((status = 200, body = Schedule), (status = "default", body = ProblemBody)))]
pub async fn pause(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<Name>,
    Fields(mut input): Fields,
) -> Result<Response, Problem> {
    let name = named(&name)?;
    let until = input.instant("until");
    let pause = pause_of(&app, input, Target::Schedule(name.clone()), until)?;
    let paused = app.engine.pause(caller.actor, pause).await?;
    Ok(done(&app, StatusCode::OK, &paused, app.engine.schedule(&name)))
}

/// Ends its pause, if it is paused. Slots go on from this instant.
///
/// # Errors
/// It does not exist.
#[utoipa::path(post, path = "/api/schedules/{interface}/{schedule}/resume", tag = "schedules",
    params(("interface" = String, Path), ("schedule" = String, Path)),
    responses((status = 200, body = Schedule), (status = "default", body = ProblemBody)))]
pub async fn resume(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<Name>,
    Fields(input): Fields,
) -> Result<Response, Problem> {
    input.finish()?;
    let name = named(&name)?;
    let resumed = app.engine.resume(caller.actor, Target::Schedule(name.clone())).await?;
    Ok(done(&app, StatusCode::OK, &resumed, app.engine.schedule(&name)))
}

/// What is done about the next slot, as the document shows it.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "read field by field; this is the form in the OpenAPI document")]
pub struct SkipBody {
    /// Takes the wish back.
    undo: Option<bool>,
}

/// Skips the next slot that would run, and answers with it; asked again, with the same one. Undone, it may run again.
///
/// # Errors
/// It does not exist, or no slot lies ahead that would run; to undo, none is to be skipped.
#[utoipa::path(post, path = "/api/schedules/{interface}/{schedule}/skip-next", tag = "schedules",
    params(("interface" = String, Path), ("schedule" = String, Path)), request_body = SkipBody,
    responses((status = 200, body = Slot), (status = "default", body = ProblemBody)))]
pub async fn skip_next(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<Name>,
    Fields(mut input): Fields,
) -> Result<Response, Problem> {
    let undo = input.flag("undo");
    input.finish()?;
    let name = named(&name)?;
    let skipped = if undo {
        app.engine.undo_skip_next(caller.actor, name.clone()).await?
    } else {
        app.engine.skip_next(caller.actor, name.clone()).await?
    };
    let slot = pending(&app, name, skipped.value);
    Ok(done(&app, StatusCode::OK, &skipped, slot))
}

/// A slot that lies ahead, with the reason for which it will be skipped as things stand.
fn pending(app: &App, name: ScheduleRef, at: Instant) -> Slot {
    let reason = app.engine.board().read(|state| {
        let wishes = state.schedules.get(&name)?.wishes(&name.schedule);
        wishes.against(at).map(|why| why.reason())
    });
    let ScheduleRef { interface, schedule } = name;
    Slot { interface, schedule, at, outcome: SlotOutcome::Pending, reason, execution: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::definition::{Dst, Timing};

    /// What stands beside the next three slots of a pattern in Paris.
    fn beside(pattern: &str, after: &str) -> Vec<Option<String>> {
        let zone = Zone::load("Europe/Paris").expect("a zone");
        let plan = Plan::new(&Timing::Cron(pattern.to_owned()), &zone, Dst::default());
        let (plan, after) = (plan.expect("a plan"), Instant::parse(after).expect("an instant"));
        let slots: Vec<Instant> = plan.slots_after(after).take(3).collect();
        notes(&plan, "Europe/Paris", after, &slots)
    }

    #[test]
    fn daylight_saving_is_told_beside_the_slot_that_it_moves_or_doubles() {
        let made_up = "02:30:00 on 2026-03-29 does not exist: it runs at 2026-03-29T03:00:00+02:00";
        assert_eq!(
            beside("30 2 * * *", "2026-03-27T12:00:00Z"),
            [None, Some(made_up.to_owned()), None]
        );
        let twice = "02:30:00 on 2026-10-25 comes twice: it runs the first time only";
        assert_eq!(
            beside("30 2 * * *", "2026-10-22T12:00:00Z"),
            [None, None, Some(twice.to_owned())]
        );
        assert_eq!(beside("30 12 * * *", "2026-03-27T12:00:00Z"), [None, None, None]);
    }
}
