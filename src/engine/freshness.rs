//! How fresh an interface's data are: whether its schedules ended ok as often as their slots came.

use super::board::{BoardState, ScheduleRow, plan};
use crate::ids::{InterfaceId, ScheduleId, ScheduleRef};
use crate::instant::Instant;
use crate::projection::view::Freshness;

/// Schedules of one interface that are looked at, those with the oldest end first: the one that is furthest behind is among
/// them, unless so many have slots that seldom come.
const LOOKS_MAX: usize = 50;

/// Of `interface` at `now`; none where no schedule has ended ok and has a slot to come.
pub fn freshness(state: &BoardState, interface: &InterfaceId, now: Instant) -> Option<Freshness> {
    let named = state.interfaces.get(interface)?.definition.schedules.keys();
    let mut ended: Vec<(Instant, ScheduleRef, &ScheduleRow)> = named
        .filter_map(|schedule| {
            let name = ScheduleRef { interface: interface.clone(), schedule: schedule.clone() };
            let row = state.schedules.get(&name)?;
            Some((row.last_ok_at?, name, row))
        })
        .collect();
    ended.sort_unstable_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    let seen = ended.into_iter().take(LOOKS_MAX);
    let all = seen.filter_map(|(at, name, row)| of_schedule(name.schedule, row, at, now));
    all.min_by_key(|one| (!one.behind, one.expected_at))
}

fn of_schedule(
    schedule: ScheduleId,
    row: &ScheduleRow,
    last_ok_at: Instant,
    now: Instant,
) -> Option<Freshness> {
    let plan = plan(row.definition.schedules.get(&schedule)?)?;
    let wishes = row.wishes(&schedule);
    let expected_at = wishes.next_wanted(&plan, last_ok_at)?;
    let behind =
        expected_at < now && wishes.next_wanted(&plan, expected_at).is_some_and(|next| next <= now);
    Some(Freshness { schedule, last_ok_at, expected_at, behind })
}
