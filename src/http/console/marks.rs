//! Small pictures, as SVG: the strip of an interface's executions, the icon.

use std::fmt;

use axum::response::{IntoResponse, Response};
use http::header;

use super::words;
use crate::http::input::Params;
use crate::http::problem::Problem;
use crate::instant::Instant;
use crate::projection::view::{Execution, Freshness, State, Status};

/// A status as people see it: sign and word, so that colour is never the only sign.
pub(super) struct Badge(pub(super) Status);

impl askama::filters::HtmlSafe for Badge {}

impl fmt::Display for Badge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, word) = (sign(self.0), word(self.0));
        write!(
            f,
            "<span class=\"badge {}\"><span aria-hidden=\"true\">{sign}</span> {word}</span>",
            self.0.as_str()
        )
    }
}

/// The sign of a status.
pub(super) const fn sign(status: Status) -> &'static str {
    match status {
        Status::Queued => "◌",
        Status::Running => "●",
        Status::Ok => "✔",
        Status::Ko => "✖",
        Status::Cancelled => "⊘",
    }
}

/// The word of a status.
pub(super) const fn word(status: Status) -> &'static str {
    match status {
        Status::Queued => "queued",
        Status::Running => "running",
        Status::Ok => "OK",
        Status::Ko => "KO",
        Status::Cancelled => "cancelled",
    }
}

/// How fresh an interface's data are, in words.
pub(super) struct Fresh<'a>(pub(super) &'a Freshness, pub(super) Instant);

impl askama::filters::HtmlSafe for Fresh<'_> {}

impl fmt::Display for Fresh<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Freshness { schedule, expected_at, behind, .. }, now) = *self;
        let due = words::Time { at: *expected_at, now };
        if *behind {
            write!(f, "<span class=\"late\">◐ behind: {schedule} was due {due}</span>")
        } else if *expected_at < now {
            write!(f, "new data due {due}, not here yet")
        } else {
            write!(f, "fresh · new data due {due}")
        }
    }
}

/// Whether slots run, as people see it.
pub(super) struct Rest(pub(super) State);

impl askama::filters::HtmlSafe for Rest {}

impl fmt::Display for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, sign, word) = match self.0 {
            State::Active => ("active", "✔", "active"),
            State::Paused => ("paused", "◐", "paused"),
            State::Disabled => ("disabled", "○", "disabled"),
            State::Removed => ("removed", "⊘", "removed"),
        };
        write!(
            f,
            "<span class=\"badge {class}\"><span aria-hidden=\"true\">{sign}</span> {word}</span>"
        )
    }
}

/// Bars of a strip.
pub(super) const STRIP: usize = 30;
const BAR: usize = 6;
const STEP: usize = 8;
const HEIGHT: u64 = 28;
/// Short ones are seen too.
const LEAST: u64 = 6;

/// The newest executions as bars, the newest at the right: as high as they took long among these, open KOs full.
pub(super) struct Strip<'a>(pub(super) &'a [Execution]);

impl askama::filters::HtmlSafe for Strip<'_> {}

impl fmt::Display for Strip<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = STRIP * STEP;
        let ko = self.0.iter().filter(|execution| execution.status == Status::Ko).count();
        let label = format!("The last {}: {ko} KO", words::count(self.0.len(), "execution"));
        write!(
            f,
            "<span class=\"unseen\">{label}</span><svg class=\"strip\" viewBox=\"0 0 {width} {HEIGHT}\" width=\"{width}\" height=\"{HEIGHT}\" aria-hidden=\"true\">"
        )?;
        let longest = self.0.iter().filter_map(|row| row.duration_ms).max().unwrap_or(0).max(1);
        for (at, execution) in self.0.iter().take(STRIP).enumerate() {
            let took = execution.duration_ms.unwrap_or(longest);
            let height = (took.saturating_mul(HEIGHT) / longest).clamp(LEAST, HEIGHT);
            let (x, y) = (width - (at + 1) * STEP, HEIGHT - height);
            let dealt = execution.solved_by.is_some() || execution.acknowledged.is_some();
            let class = if execution.status == Status::Ko && dealt {
                "ko dealt"
            } else {
                execution.status.as_str()
            };
            write!(
                f,
                "<a href=\"/executions/{}\" tabindex=\"-1\"><rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{BAR}\" height=\"{height}\" rx=\"1\"><title>{} {} {}</title></rect></a>",
                execution.id,
                execution.schedule,
                word(execution.status),
                execution.created_at.utc().format("%Y-%m-%d %H:%M UTC"),
            )?;
        }
        f.write_str("</svg>")
    }
}

/// The icon, with the number of red interfaces that the page names.
///
/// # Errors
/// A parameter is wrong.
pub(super) async fn favicon(Params(mut input): Params) -> Result<Response, Problem> {
    let red: u64 = input.number("red").unwrap_or(0);
    input.finish()?;
    let mut svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 32 32\">".to_owned();
    let (fill, text) = match red {
        0 => ("#1a7f4b", "✔".to_owned()),
        1..=99 => ("#c62828", red.to_string()),
        _ => ("#c62828", "99+".to_owned()),
    };
    let size = if text.chars().count() > 2 { 14 } else { 20 };
    svg.push_str(&format!(
        "<rect width=\"32\" height=\"32\" rx=\"7\" fill=\"{fill}\"/><text x=\"16\" y=\"23\" font-family=\"sans-serif\" font-weight=\"700\" font-size=\"{size}\" text-anchor=\"middle\" fill=\"#fff\">{text}</text></svg>"
    ));
    let headers =
        [(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "public, max-age=3600")];
    Ok((headers, svg).into_response())
}
