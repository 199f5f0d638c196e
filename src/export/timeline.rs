//! What happened to an execution, event by event, in words.

use std::borrow::Cow;
use std::time::Duration;

use super::columns::Kind::{Instant as Time, Number, Text, Word};
use super::columns::{Column, Value};
use crate::domain::classify::indicated;
use crate::domain::event::{
    AttemptEnded, Closed, Delivery, DeliveryEnded, Envelope, Event, Noted, Opened, Outcome,
    RetryPlanned,
};
use crate::domain::verdict::{signal_name, spoken, spoken_size};
use crate::instant::Instant;
use crate::projection::{actor_text, show_event};
use crate::store::ReadError;

/// One event of an execution.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// Place in the whole log.
    pub position: u64,
    /// When it was recorded.
    pub at: Instant,
    /// Its name, such as `attempt-started`.
    pub event: &'static str,
    /// The attempt that it is about.
    pub attempt: Option<u32>,
    /// Who caused it.
    pub actor: String,
    /// What happened.
    pub text: String,
    /// Its payload.
    pub data: serde_json::Value,
    /// It tells of an error.
    pub is_bad: bool,
}

/// Events of an execution.
pub const MOMENT: &[Column<Moment>] = &[
    Column::new("at", Time, |it| Value::At(it.at)),
    Column::new("event", Word, |it| Value::text(it.event)),
    Column::new("attempt", Number, |it| Value::some(it.attempt, Value::number)),
    Column::new("actor", Word, |it| Value::text(&it.actor)),
    Column::new("text", Text, |it| Value::text(&it.text)),
    Column::new("position", Number, |it| Value::number(it.position)),
    Column::new("data", Text, |it| Value::Json(Cow::Borrowed(&it.data))),
];

impl Moment {
    /// What an event tells.
    ///
    /// # Errors
    /// Its payload cannot be shown; no payload of ours is like that.
    pub fn of(envelope: &Envelope) -> Result<Self, ReadError> {
        Ok(Self {
            position: envelope.position.0,
            at: envelope.at,
            event: envelope.event.name(),
            attempt: attempt(&envelope.event),
            actor: actor_text(&envelope.actor),
            text: words(&envelope.event),
            data: show_event(envelope)?.data,
            is_bad: is_bad(&envelope.event),
        })
    }
}

fn attempt(event: &Event) -> Option<u32> {
    match event {
        Event::AttemptStarted(started) => Some(started.attempt),
        Event::AttemptEnded(ended) => Some(ended.attempt),
        Event::RetryPlanned(planned) => Some(planned.attempt),
        _ => None,
    }
}

fn is_bad(event: &Event) -> bool {
    match event {
        Event::AttemptEnded(ended) => ended.outcome == Outcome::Ko,
        Event::Closed(closed) => closed.outcome == Outcome::Ko,
        Event::ErrorSeen(_) => true,
        _ => false,
    }
}

/// An event in words; those of other streams by their names.
fn words(event: &Event) -> String {
    let ms = |ms: u64| spoken(Duration::from_millis(ms));
    match event {
        Event::Opened(opened) => of_opened(opened),
        Event::AttemptStarted(started) => format!("attempt {} started", started.attempt),
        Event::AttemptEnded(ended) => of_attempt(ended),
        Event::RetryPlanned(RetryPlanned { attempt, at, delay_ms, asked }) => {
            let asked = if *asked { ", as the external system asked" } else { "" };
            format!("attempt {attempt} is planned for {at}, after {}{asked}", ms(*delay_ms))
        }
        Event::ErrorSeen(seen) => {
            let error = &seen.error;
            format!("line {}: {}", error.line, indicated(error.class, &error.text))
        }
        Event::AnomalySeen(seen) => format!("it runs for longer than {}", ms(seen.after_ms)),
        Event::CancelRequested(asked) => with_note("its end was asked for", asked.note.as_deref()),
        Event::LogLimited(limited) => format!(
            "the log reached {}: after line {} only error lines are kept",
            spoken_size(limited.max_bytes),
            limited.line
        ),
        Event::LogCurtailed(curtailed) => format!(
            "the disk has little room ({}): after line {} only error lines are kept, or fewer",
            curtailed.room.as_str(),
            curtailed.line
        ),
        Event::Closed(closed) => of_closed(closed),
        Event::Noted(noted) => of_note(noted),
        Event::DeliveryEnded(ended) => of_delivery(ended),
        other => other.name().to_owned(),
    }
}

fn of_opened(opened: &Opened) -> String {
    let slot = opened.slot.map_or_else(String::new, |slot| format!(", for the slot {slot}"));
    let rerun = opened.rerun_of.map_or_else(String::new, |of| format!(", a re-run of {of}"));
    let forced = if opened.forced { ", forced" } else { "" };
    format!("opened by {}{slot}{rerun}{forced}", opened.trigger.as_str())
}

fn of_attempt(ended: &AttemptEnded) -> String {
    let how = match (ended.signal, ended.exit_code) {
        (Some(signal), _) => format!(", signal {signal} ({})", signal_name(signal)),
        (None, Some(code)) => format!(", status {code}"),
        (None, None) => String::new(),
    };
    let cause = ended.cause.map_or_else(String::new, |cause| format!(", {cause}"));
    format!("attempt {} ended {}{how}{cause}", ended.attempt, ended.outcome.as_str())
}

fn of_closed(closed: &Closed) -> String {
    let class = closed.class.map_or_else(String::new, |class| format!(", {class}"));
    let cause = closed.cause.map_or_else(String::new, |cause| format!(", {cause}"));
    let took = spoken(Duration::from_millis(closed.duration_ms));
    let attempts = if closed.attempts == 1 { "attempt" } else { "attempts" };
    format!(
        "closed {}{class}{cause}, after {} {attempts} and {took}",
        closed.outcome.as_str(),
        closed.attempts
    )
}

fn of_note(noted: &Noted) -> String {
    let ticket = noted.reference.as_ref().map(|reference| format!("ticket {reference}"));
    let dealt = noted.acknowledged.then(|| "acknowledged".to_owned());
    let parts: Vec<String> = dealt.into_iter().chain(ticket).chain(noted.text.clone()).collect();
    parts.join(": ")
}

fn of_delivery(ended: &DeliveryEnded) -> String {
    let result = match ended.result {
        Delivery::Sent => "sent",
        Delivery::Dropped => "dropped",
        Delivery::Failed => "failed",
    };
    let tries = if ended.tries == 1 { "try" } else { "tries" };
    let text = format!("{} {result} after {} {tries}", ended.kind, ended.tries);
    with_note(&text, ended.reason.as_deref())
}

fn with_note(text: &str, note: Option<&str>) -> String {
    note.map_or_else(|| text.to_owned(), |note| format!("{text}: {note}"))
}
