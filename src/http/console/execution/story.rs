//! What happened to an execution, from its events: the attempts, and every moment in order.

use std::fmt;

use crate::domain::cause::Cause;
use crate::domain::event::{
    AttemptEnded, Delivery, DeliveryEnded, Envelope, Event, Noted, Opened, Outcome, RetryPlanned,
    Usage,
};
use crate::http::console::marks::{self, Badge};
use crate::http::console::words;
use crate::instant::Instant;
use crate::projection::actor_text;
use crate::projection::view::Status;

/// One attempt.
pub(super) struct Attempt {
    pub(super) number: u32,
    pub(super) started: Instant,
    pub(super) ended: Option<Instant>,
    pub(super) status: Status,
    /// Exit status, HTTP status or signal.
    pub(super) exit: Option<String>,
    pub(super) cause: Option<Cause>,
    usage: Option<Usage>,
}

impl Attempt {
    pub(super) fn badge(&self) -> Badge {
        Badge(self.status)
    }

    pub(super) fn took(&self, now: &Instant) -> String {
        words::duration(&span_ms(self.started, self.ended.unwrap_or(*now)))
    }

    /// Processor time and memory, of a command.
    pub(super) fn used(&self) -> Option<String> {
        let usage = self.usage?;
        let cpu = words::duration(&usage.user_ms.saturating_add(usage.system_ms));
        let memory = (usage.max_rss_bytes > 0)
            .then(|| format!(", {} MiB", words::number(usage.max_rss_bytes >> 20)));
        Some(format!("{cpu} of processor time{}", memory.unwrap_or_default()))
    }
}

/// Something that happened.
pub(super) struct Moment {
    pub(super) at: Instant,
    pub(super) text: String,
    /// Who did it, when it was no part of Daybook.
    pub(super) by: Option<String>,
    /// The sign and class of the status that it led to.
    pub(super) status: Option<Status>,
}

impl Moment {
    pub(super) fn sign(&self) -> &'static str {
        self.status.map_or("·", marks::sign)
    }

    pub(super) fn class(&self) -> &'static str {
        self.status.map_or("", Status::as_str)
    }
}

/// What happened to an execution.
#[derive(Default)]
pub(super) struct Story {
    pub(super) attempts: Vec<Attempt>,
    pub(super) moments: Vec<Moment>,
    /// Who opened it.
    pub(super) by: Option<String>,
    /// Limits, locks and overlap were not asked.
    pub(super) forced: bool,
    opened: Option<Instant>,
    closed: Option<Instant>,
}

impl Story {
    /// Tells the events of an execution.
    pub(super) fn of(events: &[Envelope]) -> Self {
        let mut story = Self::default();
        for envelope in events {
            story.add(envelope);
        }
        story
    }

    fn add(&mut self, envelope: &Envelope) {
        let at = envelope.at;
        let actor = actor_text(&envelope.actor);
        let by = (actor != "daybook").then_some(actor);
        let (text, status) = match &envelope.event {
            Event::Opened(opened) => {
                self.opened = Some(at);
                self.by.clone_from(&by);
                self.forced = opened.forced;
                (begun(opened), Some(Status::Queued))
            }
            Event::AttemptStarted(started) => {
                self.attempts.push(Attempt {
                    number: started.attempt,
                    started: at,
                    ended: None,
                    status: Status::Running,
                    exit: None,
                    cause: None,
                    usage: None,
                });
                (format!("attempt {} started", started.attempt), Some(Status::Running))
            }
            Event::AttemptEnded(ended) => (self.end(ended, at), Some(ended.outcome.into())),
            Event::RetryPlanned(planned) => (retry(planned), None),
            Event::ErrorSeen(seen) => {
                (format!("first error, in line {}", words::number(seen.error.line)), None)
            }
            Event::AnomalySeen(seen) => {
                (format!("ran longer than {}: an anomaly", words::duration(&seen.after_ms)), None)
            }
            Event::CancelRequested(asked) => {
                (with_note("its end was asked for", asked.note.as_deref()), None)
            }
            Event::LogLimited(limited) => {
                let line = words::number(limited.line);
                (format!("the log reached its limit: only errors are kept after line {line}"), None)
            }
            Event::LogCurtailed(curtailed) => {
                let line = words::number(curtailed.line);
                (format!("little room on the disk: less is kept after line {line}"), None)
            }
            Event::Closed(closed) => {
                self.closed = Some(at);
                let status = Status::from(closed.outcome);
                (format!("ended {}", marks::word(status)), Some(status))
            }
            Event::Noted(noted) => (note(noted), None),
            Event::DeliveryEnded(delivery) => (delivered(delivery), None),
            other => (other.name().replace('-', " "), None),
        };
        self.moments.push(Moment { at, text, by, status });
    }

    fn end(&mut self, ended: &AttemptEnded, at: Instant) -> String {
        let exit = match (ended.signal, ended.exit_code) {
            (Some(signal), _) => Some(format!("signal {signal}")),
            (None, Some(code)) => Some(format!("status {code}")),
            (None, None) => None,
        };
        let status = Status::from(ended.outcome);
        let mut text = format!("attempt {} ended {}", ended.attempt, marks::word(status));
        let cause = ended.cause.filter(|_| ended.outcome != Outcome::Ok);
        let why: Vec<String> =
            exit.clone().into_iter().chain(cause.map(|cause| cause.code().to_owned())).collect();
        if !why.is_empty() {
            text = format!("{text} ({})", why.join(", "));
        }
        if let Some(attempt) = self.attempts.iter_mut().rfind(|one| one.number == ended.attempt) {
            attempt.ended = Some(at);
            attempt.status = status;
            attempt.exit = exit;
            attempt.cause = cause;
            attempt.usage = ended.usage;
        }
        text
    }

    /// The picture of it up to now; none before it was opened.
    pub(super) fn picture(&self, now: &Instant) -> Option<Picture<'_>> {
        let from = self.opened?;
        let to = self.closed.unwrap_or(*now);
        Some(Picture { story: self, from, to: to.max(from) })
    }
}

fn begun(opened: &Opened) -> String {
    let forced = if opened.forced { ", by force" } else { "" };
    format!("opened by {}{forced}", opened.trigger.as_str())
}

fn retry(planned: &RetryPlanned) -> String {
    let wait = words::duration(&planned.delay_ms);
    let asked = if planned.asked { ", as the external system asked" } else { "" };
    format!("attempt {} planned after {wait}{asked}", planned.attempt)
}

fn with_note(text: &str, note: Option<&str>) -> String {
    note.map_or_else(|| text.to_owned(), |note| format!("{text}: {note}"))
}

fn note(noted: &Noted) -> String {
    let parts = [
        noted.text.as_ref().map(|_| "a note".to_owned()),
        noted.reference.as_ref().map(|ticket| format!("ticket {ticket}")),
        noted.acknowledged.then(|| "acknowledged".to_owned()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn delivered(delivery: &DeliveryEnded) -> String {
    let result = match delivery.result {
        Delivery::Sent => "was delivered",
        Delivery::Dropped => "was overtaken, and dropped",
        Delivery::Failed => "could not be delivered",
    };
    let text = format!("notice `{}` {result}", delivery.kind);
    with_note(&text, delivery.reason.as_deref())
}

fn span_ms(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.since(from).as_millis()).unwrap_or(u64::MAX)
}

const WIDTH: u64 = 1_000;
const HEIGHT: u64 = 22;
/// Short ones are seen too.
const LEAST: u64 = 4;

/// Waiting and attempts as bars, from the opening to the end.
pub(super) struct Picture<'a> {
    story: &'a Story,
    from: Instant,
    to: Instant,
}

impl Picture<'_> {
    fn x(&self, at: Instant) -> u64 {
        let whole = span_ms(self.from, self.to).max(1);
        (u128::from(span_ms(self.from, at)) * u128::from(WIDTH) / u128::from(whole)) as u64
    }

    fn bar(
        &self,
        f: &mut fmt::Formatter<'_>,
        (class, title): (&str, &str),
        (from, to): (Instant, Instant),
    ) -> fmt::Result {
        let left = self.x(from).min(WIDTH - LEAST);
        let width = self.x(to).saturating_sub(left).clamp(LEAST, WIDTH - left);
        let took = words::duration(&span_ms(from, to));
        write!(
            f,
            "<rect class=\"{class}\" x=\"{left}\" y=\"2\" width=\"{width}\" height=\"{}\" rx=\"2\"><title>{title}: {took}</title></rect>",
            HEIGHT - 4
        )
    }
}

impl askama::filters::HtmlSafe for Picture<'_> {}

impl fmt::Display for Picture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = words::duration(&span_ms(self.from, self.to));
        let attempts = words::count(self.story.attempts.len(), "attempt");
        write!(
            f,
            "<svg class=\"gantt\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{attempts} in {whole}\">"
        )?;
        let mut since = self.from;
        for attempt in &self.story.attempts {
            if attempt.started > since {
                self.bar(f, ("queued", "waited"), (since, attempt.started))?;
            }
            let end = attempt.ended.unwrap_or(self.to);
            let title = format!("attempt {}, {}", attempt.number, marks::word(attempt.status));
            self.bar(f, (attempt.status.as_str(), &title), (attempt.started, end))?;
            since = end;
        }
        if self.story.attempts.is_empty() || (self.story.closed.is_none() && since < self.to) {
            self.bar(f, ("queued", "waited"), (since, self.to))?;
        }
        f.write_str("</svg>")
    }
}
