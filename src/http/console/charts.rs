//! An interface's executions as pictures: who ran when and how it ended, and how long it took.

use std::fmt;

use super::marks::{sign, word};
use super::words;
use crate::ids::ScheduleId;
use crate::projection::view::{Execution, Status};

/// Executions of a grid.
pub(super) const COLUMNS: usize = 30;
/// Room for names at the left of a grid.
const NAMES: usize = 150;
/// Characters of a name that fit there.
const NAME_MAX: usize = 21;
const CELL: usize = 18;
/// Room for bars above a grid.
const BARS: usize = 44;

/// The class of what an execution is drawn with: a KO that somebody dealt with is hollow.
fn class(execution: &Execution) -> &'static str {
    let dealt = execution.solved_by.is_some() || execution.acknowledged.is_some();
    if execution.status == Status::Ko && dealt { "ko dealt" } else { execution.status.as_str() }
}

fn title(execution: &Execution) -> String {
    let took = execution.duration_ms.map(|ms| format!(", took {}", words::duration(&ms)));
    format!(
        "{} {} {}{}",
        execution.schedule,
        word(execution.status),
        execution.created_at.utc().format("%Y-%m-%d %H:%M UTC"),
        took.unwrap_or_default()
    )
}

/// The newest executions of an interface: a column for each, a row for each schedule, bars as high as they took long.
pub(super) struct Grid<'a> {
    interface: &'a str,
    /// The newest first.
    executions: &'a [Execution],
    schedules: Vec<&'a ScheduleId>,
}

impl<'a> Grid<'a> {
    /// Of the newest of `executions`, which are of `interface`, the newest first.
    pub(super) fn of(interface: &'a str, executions: &'a [Execution]) -> Self {
        let executions = executions.get(..COLUMNS).unwrap_or(executions);
        let mut schedules: Vec<&ScheduleId> = executions.iter().map(|row| &row.schedule).collect();
        schedules.sort_unstable();
        schedules.dedup();
        Self { interface, executions, schedules }
    }

    fn label(&self) -> String {
        let ko = self.executions.iter().filter(|row| row.status == Status::Ko).count();
        let (executions, schedules) = (self.executions.len(), self.schedules.len());
        format!(
            "The newest {} of {}: {ko} KO",
            words::count(executions, "execution"),
            words::count(schedules, "schedule")
        )
    }

    fn write_column(&self, f: &mut fmt::Formatter<'_>, at: usize, longest: u64) -> fmt::Result {
        let Some(execution) = self.executions.get(at) else { return Ok(()) };
        let row = self.schedules.iter().position(|id| **id == execution.schedule).unwrap_or(0);
        let x = NAMES + (self.executions.len() - 1 - at) * CELL;
        let height = bar(execution, longest, BARS as u64 - 4);
        let (class, y) = (class(execution), BARS + row * CELL);
        write!(
            f,
            "<a href=\"/executions/{}\" tabindex=\"-1\"><title>{}</title><rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"10\" height=\"{height}\" rx=\"1\"/><rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"16\" height=\"16\" rx=\"3\"/><text class=\"sign {class}\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text></a>",
            execution.id,
            title(execution),
            x + 4,
            BARS as u64 - 2 - height,
            x + 1,
            y + 1,
            x + 9,
            y + 13,
            sign(execution.status),
        )
    }
}

/// The height of an execution's bar; short ones are seen too, and one that runs is as high as the longest.
fn bar(execution: &Execution, longest: u64, most: u64) -> u64 {
    let took = execution.duration_ms.unwrap_or(longest);
    (took.saturating_mul(most) / longest.max(1)).clamp(3, most)
}

impl askama::filters::HtmlSafe for Grid<'_> {}

impl fmt::Display for Grid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = NAMES + self.executions.len() * CELL + 4;
        let height = BARS + self.schedules.len() * CELL + 4;
        write!(
            f,
            "<svg class=\"grid\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"group\" aria-label=\"{}\">",
            self.label()
        )?;
        for (row, schedule) in self.schedules.iter().enumerate() {
            let y = BARS + row * CELL;
            let name: String = schedule.as_str().chars().take(NAME_MAX).collect();
            let more = if schedule.as_str().len() > NAME_MAX { "…" } else { "" };
            write!(
                f,
                "<a href=\"/schedules/{}/{schedule}\" tabindex=\"-1\"><title>{schedule}</title><text x=\"0\" y=\"{}\">{name}{more}</text></a><rect class=\"stripe\" x=\"{NAMES}\" y=\"{y}\" width=\"{}\" height=\"{}\"/>",
                self.interface,
                y + 13,
                width - NAMES,
                CELL - 1,
            )?;
        }
        let longest = self.executions.iter().filter_map(|row| row.duration_ms).max().unwrap_or(0);
        for at in 0..self.executions.len() {
            self.write_column(f, at, longest)?;
        }
        f.write_str("</svg>")
    }
}

/// Executions of a chart of durations.
pub(super) const BARS_MAX: usize = 200;
const STEP: usize = 5;
const HEIGHT: u64 = 120;
/// Room for figures at the right.
const FIGURES: usize = 90;
/// When the longest takes so many times the median, a linear chart shows nothing but it.
const FAR: u64 = 20;

/// How long the newest executions took, the newest at the right.
pub(super) struct Durations<'a> {
    /// The newest first.
    executions: &'a [Execution],
    /// Those that ended, sorted.
    ended: Vec<u64>,
}

impl<'a> Durations<'a> {
    pub(super) fn of(executions: &'a [Execution]) -> Self {
        let executions = executions.get(..BARS_MAX).unwrap_or(executions);
        let mut ended: Vec<u64> = executions.iter().filter_map(|row| row.duration_ms).collect();
        ended.sort_unstable();
        Self { executions, ended }
    }

    /// The duration that so many percent did not exceed.
    fn percentile(&self, percent: usize) -> u64 {
        let at = (self.ended.len() * percent / 100).min(self.ended.len().saturating_sub(1));
        self.ended.get(at).copied().unwrap_or(0)
    }

    fn is_logarithmic(&self) -> bool {
        self.percentile(100) > FAR.saturating_mul(self.percentile(50).max(1))
    }

    /// The figures in words.
    pub(super) fn told(&self) -> String {
        if self.ended.is_empty() {
            return "none of them has ended".to_owned();
        }
        let said = |percent| words::duration(&self.percentile(percent));
        let scale = if self.is_logarithmic() { "; the scale is logarithmic" } else { "" };
        format!(
            "{}: median {}, 95 % within {}, longest {}{scale}",
            words::count(self.ended.len(), "ended execution"),
            said(50),
            said(95),
            said(100)
        )
    }

    /// How high a duration stands.
    fn height(&self, ms: u64) -> u64 {
        let longest = self.percentile(100).max(1);
        let share = if self.is_logarithmic() {
            // Precise enough for pixels.
            (1.0 + ms as f64).ln() / (1.0 + longest as f64).ln()
        } else {
            ms as f64 / longest as f64
        };
        ((share * HEIGHT as f64) as u64).clamp(2, HEIGHT)
    }
}

impl askama::filters::HtmlSafe for Durations<'_> {}

impl fmt::Display for Durations<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bars = self.executions.len() * STEP;
        let (width, height) = (bars + FIGURES, HEIGHT + 14);
        write!(
            f,
            "<svg class=\"durations\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"group\" aria-label=\"{}\">",
            self.told()
        )?;
        for (at, execution) in self.executions.iter().enumerate() {
            let took = execution.duration_ms.unwrap_or_else(|| self.percentile(100));
            let high = self.height(took);
            write!(
                f,
                "<a href=\"/executions/{}\" tabindex=\"-1\"><rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"4\" height=\"{high}\"><title>{}</title></rect></a>",
                execution.id,
                class(execution),
                bars - (at + 1) * STEP,
                12 + HEIGHT - high,
                title(execution),
            )?;
        }
        if !self.ended.is_empty() {
            for (percent, name) in [(100, "longest"), (50, "median")] {
                let ms = self.percentile(percent);
                let y = 12 + HEIGHT - self.height(ms);
                write!(
                    f,
                    "<path class=\"level\" d=\"M0 {y}H{bars}\"/><text x=\"{}\" y=\"{}\"><title>{name}</title>{}</text>",
                    bars + 6,
                    y + 4,
                    words::duration(&ms)
                )?;
            }
        }
        f.write_str("</svg>")
    }
}
