//! The next 24 hours: who comes next, and how often.

use std::fmt;
use std::iter;

use super::words;
use crate::engine::board::{ScheduleRow, plan, schedule_view};
use crate::http::parts::App;
use crate::ids::ScheduleRef;
use crate::instant::Instant;
use crate::projection::view::Slot;

/// Schedules that are shown, the next first.
pub(super) const ROWS: usize = 20;
/// Slots of one that are drawn one by one; more would be a bar.
const MARKS: usize = 96;
const DAY_MS: i64 = 24 * 3_600_000;
const WIDTH: i64 = 240;
const HEIGHT: i64 = 16;

/// A schedule that comes within 24 hours.
pub(super) struct Ahead {
    pub(super) name: ScheduleRef,
    /// Its next slot.
    pub(super) first: Instant,
    /// When its slots come, in words.
    pub(super) description: String,
    pub(super) slots: Slots,
}

/// Its slots of these hours, one at least.
pub(super) struct Slots {
    from: Instant,
    /// The first ones, and one more where they are too many to draw.
    at: Vec<Instant>,
}

/// Those of `next`, the nearest first, that come within 24 hours.
pub(super) fn within_a_day(app: &App, next: Vec<Slot>, now: Instant) -> Vec<Ahead> {
    let until = Instant::from_millis(now.millis().saturating_add(DAY_MS));
    let soon = next.into_iter().take_while(|slot| slot.at < until);
    let row = |slot: Slot| {
        let name = ScheduleRef { interface: slot.interface, schedule: slot.schedule };
        let row = app.engine.board().read(|state| state.schedules.get(&name).cloned())?;
        let at = slots(&row, &name, slot.at, until);
        let description = schedule_view(&name, &row).description;
        Some(Ahead { name, first: slot.at, description, slots: Slots { from: now, at } })
    };
    soon.filter_map(row).collect()
}

/// From `first` on, those that nothing speaks against.
fn slots(row: &ScheduleRow, name: &ScheduleRef, first: Instant, until: Instant) -> Vec<Instant> {
    let plan = row.definition.schedules.get(&name.schedule).and_then(plan);
    let wishes = row.wishes(&name.schedule);
    let next = |at: &Instant| wishes.next_wanted(plan.as_ref()?, *at);
    iter::successors(Some(first), next).take_while(|at| *at < until).take(MARKS + 1).collect()
}

impl Slots {
    fn label(&self) -> String {
        match self.at.len() {
            count if count > MARKS => format!("more than {MARKS} slots in the next 24 hours"),
            count => format!("{} in the next 24 hours", words::count(count, "slot")),
        }
    }

    fn x(&self, at: Instant) -> i64 {
        ((at.millis() - self.from.millis()) * WIDTH / DAY_MS).clamp(0, WIDTH - 2)
    }
}

impl askama::filters::HtmlSafe for Slots {}

/// A day from now to the same time tomorrow, with a mark for each slot; every sixth hour is ruled.
impl fmt::Display for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = self.label();
        write!(
            f,
            "<svg class=\"ahead\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" aria-label=\"{label}\"><title>{label}</title><path class=\"rule\" d=\"M0 {}H{WIDTH}M60 4V{HEIGHT}M120 4V{HEIGHT}M180 4V{HEIGHT}\"/>",
            HEIGHT - 1
        )?;
        if self.at.len() > MARKS {
            let x = self.at.first().map_or(0, |first| self.x(*first));
            write!(f, "<rect x=\"{x}\" y=\"3\" width=\"{}\" height=\"12\"/>", WIDTH - x)?;
        } else {
            for at in &self.at {
                write!(f, "<rect x=\"{}\" y=\"3\" width=\"2\" height=\"12\"/>", self.x(*at))?;
            }
        }
        f.write_str("</svg>")
    }
}
