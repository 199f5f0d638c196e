//! Slots that were skipped or missed.

use std::time::Duration;

use serde_json::Value;

use super::story::Story;
use super::{Subject, ran};
use crate::config::show_duration;
use crate::domain::closing::ClosedBy;
use crate::domain::definition::{CatchUp, Timing};
use crate::domain::slot::Reason;
use crate::engine;
use crate::http::problem::Problem;
use crate::ids::{ExecutionId, Position, StreamId};
use crate::instant::Instant;
use crate::projection::view::{Event, Slot, SlotOutcome};
use crate::projection::{EventFilter, Order};

/// Events that a start looks at for the newest one of the former life.
const SIGNS_MAX: usize = 1_000;

pub(super) async fn tell(
    subject: &Subject<'_>,
    position: Position,
    slot: &Slot,
    story: &mut Story,
) -> Result<(), Problem> {
    let shown = subject.show(slot.at);
    let verb = match slot.outcome {
        SlotOutcome::Missed => "was missed",
        SlotOutcome::Skipped | SlotOutcome::Started | SlotOutcome::Pending => "was skipped",
    };
    let Some(reason) = slot.reason else {
        story.say(format!("Slot {shown} {verb}."));
        return Ok(());
    };
    story.say(format!("Slot {shown} {verb} ({}).", reason.as_str()));
    let decision = subject.reads.event_at(position).await?;
    let teller = Teller { subject, position, slot, decision };
    teller.reason(reason, story).await?;
    if let Some(id) = slot.execution {
        let execution = subject.reads.execution(id).await?;
        story.say(format!(
            "It was backfilled at {}: execution {id} is {}.",
            subject.show(execution.created_at),
            execution.status.as_str()
        ));
        story.cite(subject.reads.event_at(execution.position).await?);
        ran::again(subject, &execution, story).await?;
        story.execution = Some(execution);
    }
    Ok(())
}

struct Teller<'a> {
    subject: &'a Subject<'a>,
    position: Position,
    slot: &'a Slot,
    /// The event that decided it.
    decision: Option<Event>,
}

impl Teller<'_> {
    async fn reason(&self, reason: Reason, story: &mut Story) -> Result<(), Problem> {
        match reason {
            Reason::Down => {
                self.down(story).await?;
                story.say("The schedule does not catch up (`catch_up.mode = \"none\"`).");
            }
            Reason::Paused => self.paused(story).await?,
            Reason::Disabled => story.say("Its file switched it off (`enabled = false`)."),
            Reason::Overlap => self.overlap(story).await?,
            Reason::Calendar | Reason::Blackout => self.closed(story),
            Reason::SkipNext => self.skip_next(story).await?,
            Reason::Coalesced => self.coalesced(story).await?,
            Reason::TooLate if self.was_past_when_seen().await? => {
                story.say("It had passed already when the schedule was first seen, or its timing was changed.");
            }
            Reason::TooLate => {
                self.down(story).await?;
                let window = self.catch_up().map(|it| show_duration(it.window_ms));
                let window = window.map(|it| format!(" of {it}")).unwrap_or_default();
                story.say(format!(
                    "When it was decided it lay outside the window of catching up{window}."
                ));
            }
            Reason::Max => {
                self.down(story).await?;
                let max = self.catch_up().map(|it| it.max.to_string()).unwrap_or_default();
                story.say(format!("More slots were due than are caught up (`catch_up.max` {max}); the newest ones ran."));
            }
            Reason::Dependency => self.dependency(story).await?,
            Reason::Clock => {
                let stepped = self.before("clock-stepped").await?;
                story.say(match &stepped {
                    Some(stepped) => format!(
                        "The clock was set from {} to {}, and passed over it.",
                        self.shown(stepped, "from"),
                        self.shown(stepped, "to")
                    ),
                    None => "A correction of the clock passed over it.".to_owned(),
                });
                story.cite(stepped);
            }
        }
        Ok(())
    }

    async fn before(&self, kind: &'static str) -> Result<Option<Event>, Problem> {
        self.subject.reads.newest_before(kind, self.position).await
    }

    async fn of_stream(&self, stream: StreamId, kind: &str) -> Result<Option<Event>, Problem> {
        self.subject.reads.newest_of_before(Some(stream), kind, self.position).await
    }

    fn schedule(&self) -> StreamId {
        StreamId::Schedule(self.subject.name.clone())
    }

    /// As the file has it now.
    fn catch_up(&self) -> Option<CatchUp> {
        let row = self.subject.row.as_ref()?;
        Some(row.definition.schedules.get(&self.subject.name.schedule)?.catch_up.clone())
    }

    /// Whether it was decided together with the schedule's own beginning, or that of a new timing.
    async fn was_past_when_seen(&self) -> Result<bool, Problem> {
        let anchored = self.of_stream(self.schedule(), "schedule-anchored").await?;
        let decided = self.decision.as_ref().map(|decision| decision.at);
        Ok(anchored.is_some_and(|anchored| Some(anchored.at) == decided))
    }

    async fn down(&self, story: &mut Story) -> Result<(), Problem> {
        let at = self.decision.as_ref().map_or(self.slot.at, |decision| decision.at);
        let Some(began) = self.subject.start_before(self.position, at).await? else {
            return Ok(());
        };
        if began.at < self.slot.at {
            let stepped = self.before("clock-stepped").await?;
            match stepped.filter(|stepped| stepped.at > self.slot.at) {
                Some(stepped) => {
                    story.say("The clock was set over it, or the machine slept.");
                    story.cite([stepped]);
                }
                None => story.say("The daemon was held up."),
            }
            return Ok(());
        }
        // What the start itself recorded before it is no sign of the former life.
        let page = (SIGNS_MAX, Some(began.position.to_string()));
        let filter = EventFilter::default();
        let before = self.subject.reads.events(filter, Order::NewestFirst, page).await?;
        let last = before.items.into_iter().find(|event| is_of_former_life(event, began.at));
        let since = last.as_ref().map(|last| self.subject.show(last.at));
        let since = since.map(|since| format!(" from {since}")).unwrap_or_default();
        let until = self.subject.show(began.at);
        story.say(format!("The daemon was not running{since} to {until}."));
        story.cite(last);
        story.cite([began]);
        Ok(())
    }

    async fn paused(&self, story: &mut Story) -> Result<(), Problem> {
        let interface = StreamId::Interface(self.subject.name.interface.clone());
        let own = self.of_stream(self.schedule(), "schedule-paused").await?;
        let whole = self.of_stream(interface, "interface-paused").await?;
        let newest = match (own, whole) {
            (Some(own), Some(whole)) => Some(if own.at >= whole.at { own } else { whole }),
            (own, whole) => own.or(whole),
        };
        let Some(pause) = newest else { return Ok(()) };
        let what = if pause.kind == "interface-paused" { "The interface" } else { "It" };
        let note = match pause.data["note"].as_str() {
            Some(note) => format!(" (“{note}”)"),
            None => String::new(),
        };
        let until = match pause.data["until"].is_null() {
            false => format!(" until {}", self.shown(&pause, "until")),
            true => String::new(),
        };
        story.say(format!(
            "{what} had been paused by {} at {}{until}{note}.",
            pause.actor,
            self.subject.show(pause.at)
        ));
        story.cite([pause]);
        Ok(())
    }

    async fn overlap(&self, story: &mut Story) -> Result<(), Problem> {
        let Some(open) = self.other_execution() else { return Ok(()) };
        let Some(execution) = self.subject.execution(open).await? else {
            let name = self.subject.name;
            story.say(format!("Execution {open} of {name} was not over; retention took it since."));
            return Ok(());
        };
        let ended = match execution.ended_at {
            Some(at) => format!("until {}", self.subject.show(at)),
            None => "and is still".to_owned(),
        };
        story.say(format!(
            "Execution {open} of {} was not over: it was open from {} {ended}.",
            self.subject.name,
            self.subject.show(execution.created_at)
        ));
        story.cite(self.subject.reads.event_at(execution.position).await?);
        Ok(())
    }

    /// What closed it, by the file as it is now.
    fn closed(&self, story: &mut Story) {
        let Some(row) = &self.subject.row else { return };
        let wishes = row.wishes(&self.subject.name.schedule);
        let closed = wishes.closings.as_ref().and_then(|closings| closings.at(self.slot.at));
        story.say(match closed {
            Some((ClosedBy::NotIn(_), _)) => {
                "Its date is in none of the calendars under `only`.".to_owned()
            }
            Some((by, _)) => format!("It was closed by {by}."),
            None => "The file has changed since: nothing in it closes that time now.".to_owned(),
        });
    }

    async fn skip_next(&self, story: &mut Story) -> Result<(), Problem> {
        let asked = self.of_stream(self.schedule(), "skip-next-asked").await?;
        if let Some(asked) = asked {
            let at = self.subject.show(asked.at);
            story.say(format!("{} had asked at {at} to skip it.", asked.actor));
            story.cite([asked]);
        }
        Ok(())
    }

    async fn coalesced(&self, story: &mut Story) -> Result<(), Problem> {
        self.down(story).await?;
        let newer =
            self.subject.reads.oldest_of_after(self.schedule(), "slot-started", self.position);
        match newer.await? {
            Some(newer) => {
                story.say(format!(
                    "Slot {} was caught up in its place (`catch_up.mode = \"last\"`).",
                    self.shown(&newer, "slot")
                ));
                story.cite([newer]);
            }
            None => story.say("A newer slot took its place (`catch_up.mode = \"last\"`)."),
        }
        Ok(())
    }

    async fn dependency(&self, story: &mut Story) -> Result<(), Problem> {
        let row = self.subject.row.as_ref();
        let timing = row.and_then(|row| {
            Some(&row.definition.schedules.get(&self.subject.name.schedule)?.timing)
        });
        let (followed, wanted) = match timing {
            Some(Timing::After(after)) => (after.schedule.to_string(), after.outcome.as_str()),
            Some(_) | None => ("another schedule".to_owned(), "as wanted"),
        };
        let Some(awaited) = self.other_execution() else {
            story.say(format!("{followed}, which it follows, did not run that slot."));
            return Ok(());
        };
        let Some(execution) = self.subject.execution(awaited).await? else {
            story.say(format!(
                "It waits for {followed} to end {wanted}; execution {awaited} did not do so, and retention took it since."
            ));
            return Ok(());
        };
        let status = execution.status.as_str();
        let decided = self.decision.as_ref().map(|event| event.at);
        let after = decided.map(|at| ran::rounded(at.millis() - execution.created_at.millis()));
        let after = after.map(|after| format!(" within {after}")).unwrap_or_default();
        story.say(format!(
            "It waits for {followed} to end {wanted}; execution {awaited} did not do so{after} and is {status}."
        ));
        story.cite(self.subject.reads.event_at(execution.position).await?);
        Ok(())
    }

    /// An instant that an event holds, in the schedule's zone.
    fn shown(&self, event: &Event, key: &str) -> String {
        let text = event.data.get(key).and_then(Value::as_str).unwrap_or("?");
        Instant::parse(text).map_or_else(|_err| text.to_owned(), |at| self.subject.show(at))
    }

    /// The execution that the decision names.
    fn other_execution(&self) -> Option<ExecutionId> {
        self.decision.as_ref()?.data["execution"].as_str()?.parse().ok()
    }
}

/// Whether an event that stands before a start was recorded by the life before it. A start first hears of the attempts that
/// ended while nobody was there, for [`engine::HEARING_MAX`] at most.
fn is_of_former_life(event: &Event, began: Instant) -> bool {
    let may_be_heard = event.stream.starts_with("execution/") && event.kind != "opened";
    let heard_since = if may_be_heard { engine::HEARING_MAX } else { Duration::ZERO };
    event.at < began - heard_since
}
