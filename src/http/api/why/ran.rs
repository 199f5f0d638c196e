//! Slots that were started: on time or late, once or again.

use super::Subject;
use super::story::Story;
use crate::config::{show_duration, show_rate};
use crate::domain::definition::Overlap;
use crate::domain::event::Trigger;
use crate::domain::policy::GRACE_MS;
use crate::domain::space::Room;
use crate::http::problem::Problem;
use crate::ids::{Position, StreamId};
use crate::instant::Instant;
use crate::projection::EventFilter;
use crate::projection::view::{Event, Execution, Slot, Status};

/// An execution that waits no longer than this before its start did not wait.
const AT_ONCE_MS: i64 = 1_000;
/// Events of an execution that are shown.
const EVENTS_MAX: usize = 50;

pub(super) async fn tell(
    subject: &Subject<'_>,
    slot: &Slot,
    story: &mut Story,
) -> Result<(), Problem> {
    let shown = subject.show(slot.at);
    let Some(id) = slot.execution else {
        story.say(format!("Slot {shown} was started."));
        return Ok(());
    };
    let execution = subject.reads.execution(id).await?;
    let late_ms = execution.created_at.millis() - slot.at.millis();
    if late_ms > GRACE_MS {
        story.say(format!(
            "Slot {shown} was started {} late, at {}.",
            rounded(late_ms),
            subject.show(execution.created_at)
        ));
        why_late(subject, slot.at, &execution, story).await?;
    } else {
        story.say(format!("Slot {shown} was started on time."));
    }
    waited(subject, &execution, story);
    began_anew(subject, &execution, story).await?;
    ended(subject, &execution, story);
    again(subject, &execution, story).await?;
    let filter = EventFilter { stream: Some(StreamId::Execution(id)), ..EventFilter::default() };
    story.cite(subject.reads.newest_events(filter, EVENTS_MAX).await?);
    story.execution = Some(execution);
    Ok(())
}

async fn why_late(
    subject: &Subject<'_>,
    slot: Instant,
    execution: &Execution,
    story: &mut Story,
) -> Result<(), Problem> {
    if execution.trigger == Trigger::After {
        story.say("It waited for the schedule that it follows.");
        return Ok(());
    }
    let began = subject.start_before(execution.position, execution.created_at).await?;
    match began.filter(|began| began.at > slot) {
        Some(began) => {
            story.say(format!(
                "The daemon was not running then; it began at {} and caught up.",
                subject.show(began.at)
            ));
            story.cite([began]);
        }
        None => {
            let stepped = subject.reads.newest_before("clock-stepped", execution.position).await?;
            match stepped.filter(|stepped| stepped.at > slot) {
                Some(stepped) => {
                    story.say(
                        "The clock jumped over it, or the machine slept, and it was caught up.",
                    );
                    story.cite([stepped]);
                }
                None => story.say("The daemon was held up."),
            }
        }
    }
    Ok(())
}

/// Tells what an opened execution waited for.
fn waited(subject: &Subject<'_>, execution: &Execution, story: &mut Story) {
    let until = execution.started_at.unwrap_or_else(|| subject.app.clock.now());
    let waited_ms = until.millis() - execution.created_at.millis();
    let waits_still = execution.status == Status::Queued;
    if waited_ms <= AT_ONCE_MS && !waits_still {
        return;
    }
    let definition = subject.app.engine.definition(&subject.name.interface);
    let schedule = definition.as_ref().and_then(|(it, _)| it.schedules.get(&subject.name.schedule));
    if waits_still && subject.app.space.seen().room() == Room::Full {
        story.say(format!(
            "Its execution waits since {}: the disk is full, and nothing new is started until there is room.",
            rounded(waited_ms)
        ));
        return;
    }
    let mut reasons = Vec::new();
    if let Some(schedule) = schedule {
        if let Some(rate) = schedule.catch_up.rate
            && execution.trigger.is_series()
        {
            reasons.push(format!(
                "the pace of its series, {} unless another was asked for",
                show_rate(rate)
            ));
        }
        if schedule.splay_ms > 0 {
            let splay = show_duration(subject.name.splay_ms(schedule.splay_ms));
            reasons.push(format!("its splay of {splay}"));
        }
        if let Some(lock) = &schedule.lock {
            reasons.push(format!("the lock `{lock}`"));
        }
        if schedule.overlap != Overlap::Allow {
            reasons.push("the schedule's earlier execution".to_owned());
        }
    }
    reasons.push("the limits of its interface and of the daemon".to_owned());
    let (verb, may) = if waits_still { ("waits", "may hold") } else { ("waited", "may have held") };
    story.say(format!(
        "Its execution {verb} {} for its turn; what {may} it up is {}.",
        rounded(waited_ms),
        reasons.join(", ")
    ));
}

/// Tells of a daemon that ended and began anew while the execution waited: in between nothing was started.
async fn began_anew(
    subject: &Subject<'_>,
    execution: &Execution,
    story: &mut Story,
) -> Result<(), Problem> {
    let (reads, name) = (subject.reads, "daemon-started");
    let began = reads.oldest_of_after(StreamId::Daemon, name, execution.position).await?;
    // A start records itself behind what it opens.
    let meanwhile = |began: &Event| {
        began.at > execution.created_at && execution.started_at.is_none_or(|at| began.at <= at)
    };
    let Some(began) = began.filter(meanwhile) else { return Ok(()) };
    let at = subject.show(began.at);
    let former = reads.newest_before(name, began.position).await?;
    let former = former.map_or(Position(0), |former| former.position);
    let asked = reads.oldest_of_after(StreamId::Daemon, "drain-asked", former).await?;
    let asked = asked.filter(|asked| asked.position < began.position);
    match &asked {
        Some(asked) => story.say(format!(
            "Nothing was started from {} to {at}: the daemon was asked to end, and began anew.",
            subject.show(asked.at)
        )),
        None => story.say(format!("Meanwhile the daemon ended; it began anew at {at}.")),
    }
    story.cite(asked);
    story.cite([began]);
    Ok(())
}

fn ended(subject: &Subject<'_>, execution: &Execution, story: &mut Story) {
    let id = execution.id;
    let when = execution.ended_at.map(|at| subject.show(at)).unwrap_or_default();
    match execution.status {
        Status::Queued => (),
        Status::Running => story.say(format!("Execution {id} is running.")),
        Status::Ok => story.say(format!("Execution {id} ended ok at {when}.")),
        Status::Cancelled => {
            let by = execution.cancel_requested.as_ref();
            let note = by.and_then(|by| by.note.as_ref()).map(|note| format!(": {note}"));
            let by = by.map(|by| format!(" by {}", by.actor)).unwrap_or_default();
            let note = note.unwrap_or_default();
            story.say(format!("Execution {id} was cancelled{by} at {when}{note}."));
        }
        Status::Ko => {
            let why = execution
                .first_error
                .as_ref()
                .map(|first| format!(": line {}, {}: {}", first.line, first.class, first.text));
            let why = why.unwrap_or_default();
            story.say(format!("Execution {id} ended KO at {when}{why}."));
        }
    }
}

/// Tells of what ran for the slot besides.
pub(super) async fn again(
    subject: &Subject<'_>,
    execution: &Execution,
    story: &mut Story,
) -> Result<(), Problem> {
    for rerun in &execution.reruns {
        let rerun = subject.reads.execution(*rerun).await?;
        let opened = subject.reads.event_at(rerun.position).await?;
        let actor = opened.as_ref().map_or("somebody", |event| event.actor.as_str());
        story.say(format!(
            "{actor} ran it again at {} as {}, which is {}.",
            subject.show(rerun.created_at),
            rerun.id,
            rerun.status.as_str()
        ));
        story.cite(opened);
    }
    Ok(())
}

/// A length of time as people say it: no milliseconds beyond a second.
pub(super) fn rounded(ms: i64) -> String {
    let ms = u64::try_from(ms).unwrap_or(0);
    show_duration(if ms >= 1_000 { ms / 1_000 * 1_000 } else { ms })
}
