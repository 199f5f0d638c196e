//! Slots to come, and instants at which there is none.

use std::time::Duration;

use super::Subject;
use super::story::Story;
use crate::domain::definition::Overlap;
use crate::domain::policy::Unwanted;
use crate::domain::slot::Reason;
use crate::http::api::schedules::SHIFT_MAX;
use crate::http::problem::Problem;
use crate::ids::{ExecutionId, StreamId};
use crate::instant::Instant;
use crate::projection::view::{Slot, SlotOutcome};
use crate::projection::{EventFilter, Order};

/// Tells of a slot that lies ahead.
pub(super) fn tell(subject: &Subject<'_>, at: Instant, story: &mut Story) {
    let shown = subject.show(at);
    let Some(row) = &subject.row else { return };
    let wishes = row.wishes(&subject.name.schedule);
    let against = wishes.against(at);
    match against {
        None => story.say(format!("Slot {shown} will run.")),
        Some(why) => {
            let note = match (&why, &row.paused) {
                (Unwanted::Paused(_), Some(paused)) => {
                    paused.note.as_ref().map(|note| format!(" (“{note}”)")).unwrap_or_default()
                }
                _ => String::new(),
            };
            story.say(format!("Slot {shown} will not run: {why}{note}."));
        }
    }
    let now = subject.app.clock.now();
    let is_next = subject.plan.as_ref().and_then(|plan| plan.next_after(now)) == Some(at);
    if against.is_none()
        && is_next
        && let Some(open) = open_one(subject)
    {
        story.say(format!("It will be skipped (overlap) if execution {open} is not over by then."));
    }
    daylight(subject, at, story);
    story.slot = Some(pending(subject, at, against.map(|why| why.reason())));
}

/// Tells of a slot that waits for the schedule that it follows; false when `at` is none.
pub(super) async fn awaited(
    subject: &Subject<'_>,
    at: Instant,
    story: &mut Story,
) -> Result<bool, Problem> {
    let row = subject.row.as_ref();
    let Some(awaiting) = row.and_then(|row| row.awaiting.as_ref()?.get(&at)) else {
        return Ok(false);
    };
    let execution = subject.reads.execution(awaiting.execution).await?;
    story.say(format!(
        "Slot {} waits for execution {} of {}/{}, which is {}: until {} at most, then it is skipped (dependency).",
        subject.show(at),
        execution.id,
        execution.interface,
        execution.schedule,
        execution.status.as_str(),
        subject.show(awaiting.deadline)
    ));
    story.cite(subject.reads.event_at(execution.position).await?);
    story.slot = Some(pending(subject, at, None));
    Ok(true)
}

fn pending(subject: &Subject<'_>, at: Instant, reason: Option<Reason>) -> Slot {
    let (interface, schedule) = (subject.name.interface.clone(), subject.name.schedule.clone());
    Slot { interface, schedule, at, outcome: SlotOutcome::Pending, reason, execution: None }
}

/// An open execution that a slot would meet under `overlap = "skip"`.
fn open_one(subject: &Subject<'_>) -> Option<ExecutionId> {
    subject.app.engine.board().read(|state| {
        let row = state.schedules.get(subject.name)?;
        let definition = row.definition.schedules.get(&subject.name.schedule)?;
        let open = state.open.iter().find(|(_, open)| open.schedule == *subject.name);
        open.filter(|_| definition.overlap == Overlap::Skip).map(|(id, _)| *id)
    })
}

/// Tells what daylight saving does around `at`.
fn daylight(subject: &Subject<'_>, at: Instant, story: &mut Story) {
    let Some(plan) = &subject.plan else { return };
    let around = Instant::from_millis(at.millis().saturating_sub(millis(SHIFT_MAX)));
    for note in plan.dst_notes(around, at + SHIFT_MAX) {
        story.say(format!("Daylight saving: {}.", note.text));
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Tells of a schedule whose ledger is empty.
pub(super) async fn none_decided(subject: &Subject<'_>, story: &mut Story) -> Result<(), Problem> {
    let description = subject.app.engine.schedule(subject.name).map(|row| row.description);
    let description = description.filter(|it| !it.is_empty());
    let description = description.map(|it| format!(" It runs: {it}.")).unwrap_or_default();
    let ahead = subject.plan.as_ref().and_then(|plan| plan.next_after(subject.app.clock.now()));
    story.say(match ahead {
        Some(_) => format!("No slot of {} has come yet.{description}", subject.name),
        None => format!("{} has had no slot, and none lies ahead.{description}", subject.name),
    });
    began(subject, story).await?;
    pruned(subject, None, story).await.map(drop)
}

/// Tells up to where retention took slots, if it may have taken the one at `at`, or any at all.
async fn pruned(
    subject: &Subject<'_>,
    at: Option<Instant>,
    story: &mut Story,
) -> Result<bool, Problem> {
    let pruned = subject.reads.slots_pruned(subject.name.clone()).await?;
    let Some(pruned) = pruned.filter(|pruned| at.is_none_or(|at| at <= pruned.until)) else {
        return Ok(false);
    };
    story.say(format!(
        "What became of slots of {} up to {} was pruned by retention, last on {} (event {}).",
        subject.name,
        subject.show(pruned.until),
        subject.show(pruned.at),
        pruned.position
    ));
    story.cite(subject.reads.event_at(pruned.position).await?);
    Ok(true)
}

/// When the schedule was first seen.
async fn began(subject: &Subject<'_>, story: &mut Story) -> Result<Option<Instant>, Problem> {
    let stream = Some(StreamId::Schedule(subject.name.clone()));
    let filter = EventFilter { stream, ..EventFilter::default() };
    let first = subject.reads.events(filter, Order::OldestFirst, (1, None)).await?;
    let first = first.items.into_iter().next();
    let at = first.as_ref().map(|event| event.at);
    story.cite(first);
    Ok(at)
}

/// Tells why the ledger has nothing at `at`, and of the slots around it. `is_slot`: by its file, one belongs there.
pub(super) async fn not_there(
    subject: &Subject<'_>,
    at: Instant,
    is_slot: bool,
    story: &mut Story,
) -> Result<(), Problem> {
    let shown = subject.show(at);
    let began = began(subject, story).await?;
    if let Some(began) = began.filter(|began| at <= *began) {
        let began = subject.show(began);
        story.say(format!(
            "{} has no slot at {shown}: it began at {began}, and what lies before is not made up for.",
            subject.name
        ));
    } else if pruned(subject, Some(at), story).await? {
        story.say(format!("Of {shown} nothing is known any more."));
    } else if is_slot {
        story.say(format!(
            "By its file as it is now, {} has a slot at {shown}, but none was decided there: its timing was another then, or the daemon is deciding it now.",
            subject.name
        ));
    } else {
        story.say(format!("{} has no slot at {shown}.", subject.name));
    }
    daylight(subject, at, story);
    let before = subject.decided_before(Some(at)).await?;
    let from = began.map_or(at, |began| at.max(began));
    let next = subject.plan.as_ref().and_then(|plan| plan.next_after(from));
    let before = before.map(|slot| {
        let outcome = match slot.outcome {
            SlotOutcome::Started => "started",
            SlotOutcome::Skipped => "skipped",
            SlotOutcome::Missed => "missed",
            SlotOutcome::Pending => "pending",
        };
        format!("The last one before is {} ({outcome}).", subject.show(slot.at))
    });
    let next = next.map(|next| format!("The next one after it is {}.", subject.show(next)));
    before.into_iter().chain(next).for_each(|sentence| story.say(sentence));
    Ok(())
}
