//! How fresh an interface's data are: whether its schedules ended ok as often as their slots came.

use std::collections::HashSet;

use super::board::{BoardState, ScheduleRow, plan};
use crate::ids::{InterfaceId, ScheduleId, ScheduleRef};
use crate::instant::Instant;
use crate::projection::view::Freshness;

/// Schedules of one interface that are looked at, those with the oldest end first: the one that is furthest behind is among
/// them, unless so many have slots that seldom come.
const LOOKS_MAX: usize = 10;

/// What has to be known of a schedule.
pub(super) struct Facts {
    schedule: ScheduleId,
    row: ScheduleRow,
    last_ok_at: Instant,
    /// An execution of it waits or runs.
    open: bool,
}

/// The facts of each of these interfaces.
pub(super) fn facts(state: &BoardState, interfaces: &[InterfaceId]) -> Vec<Vec<Facts>> {
    let open: HashSet<&ScheduleRef> = state.open.values().map(|row| &row.schedule).collect();
    let of = |interface: &InterfaceId| {
        let mut ended: Vec<(Instant, &ScheduleRef, &ScheduleRow)> = state
            .schedules_of(interface)
            .filter_map(|(name, row)| Some((row.last_ok_at?, name, row)))
            .collect();
        if ended.len() > LOOKS_MAX {
            ended.select_nth_unstable_by_key(LOOKS_MAX, |(at, name, _)| (*at, *name));
            ended.truncate(LOOKS_MAX);
        }
        let fact = |(last_ok_at, name, row): (Instant, &ScheduleRef, &ScheduleRow)| Facts {
            schedule: name.schedule.clone(),
            row: row.clone(),
            last_ok_at,
            open: open.contains(name),
        };
        ended.into_iter().map(fact).collect()
    };
    interfaces.iter().map(of).collect()
}

/// By these facts of one interface at `now`; none where no schedule has ended ok and has a slot to come.
pub(super) fn freshness(facts: Vec<Facts>, now: Instant) -> Option<Freshness> {
    let all = facts.into_iter().filter_map(|facts| of_schedule(facts, now));
    all.min_by(|one, other| {
        let key = |it: &Freshness| (!it.behind, it.expected_at);
        key(one).cmp(&key(other)).then_with(|| one.schedule.cmp(&other.schedule))
    })
}

fn of_schedule(facts: Facts, now: Instant) -> Option<Freshness> {
    let Facts { schedule, row, last_ok_at, open } = facts;
    let plan = plan(row.definition.schedules.get(&schedule)?)?;
    let wishes = row.wishes(&schedule);
    let expected_at = wishes.next_wanted(&plan, last_ok_at)?;
    // New data are on their way, however long that takes: what runs for too long is told as an anomaly.
    let behind = !open
        && expected_at < now
        && wishes.next_wanted(&plan, expected_at).is_some_and(|next| next <= now);
    Some(Freshness { schedule, last_ok_at, expected_at, behind })
}
