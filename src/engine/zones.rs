//! What becomes of slots when the zone data is another than before: governments move daylight saving at short notice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::core::{Draft, Engine};
use crate::civil::{Shift, Zone};
use crate::domain::event::{MovedSlot, ZoneRules, ZonesRead};
use crate::domain::timing::PlanCache;
use crate::ids::{ScheduleRef, StreamId};
use crate::instant::Instant;

/// How far ahead rules are kept and compared.
const AHEAD: Duration = Duration::from_secs(3 * 366 * 86_400);
/// Moved slots that are told.
const MOVED_MAX: usize = 1_000;
/// A shift of the clocks moves readings of this time before it, at most: the longest gap that is made up for.
const AROUND: Duration = Duration::from_secs(3 * 3600);

impl Engine {
    /// The rules of zones that came into use; with other zone data than the last start had, those of all, and what moved.
    fn compare_zones(&self, now: Instant) -> Option<ZonesRead> {
        let zone_data = &self.parts.identity.zone_data;
        let known = self.state.daemon.zone_data.as_ref();
        let before = known.filter(|known| *known != zone_data).cloned();
        let in_use = self.zones_in_use();
        let old = &self.state.daemon.zones;
        let fresh = |zone: &&Zone| before.is_some() || !old.contains_key(zone.name());
        let zones: Vec<ZoneRules> =
            in_use.values().filter(fresh).map(|zone| rules_of(zone, now)).collect();
        if zones.is_empty() && before.is_none() {
            return None;
        }
        let (changed, moved) =
            if before.is_some() { self.moved(&in_use, now) } else { Default::default() };
        Some(ZonesRead { zone_data: zone_data.clone(), before, zones, changed, moved })
    }

    /// Records what [`Engine::compare_zones`] found, and says so in the daemon's own log.
    pub(super) fn record_zones(&mut self, draft: &mut Draft) {
        let Some(read) = self.compare_zones(draft.at) else { return };
        if let Some(before) = &read.before {
            let (zone_data, moved) = (&read.zone_data, read.moved.len());
            tracing::info!(before, zone_data, changed = ?read.changed, moved, "the zone data changed");
            for MovedSlot { schedule, before, after } in &read.moved {
                tracing::info!(%schedule, ?before, ?after, "other zone data moved a slot");
            }
        }
        self.record(draft, &StreamId::Daemon, read.into());
    }

    fn zones_in_use(&self) -> BTreeMap<String, Zone> {
        let in_force = self.state.interfaces.values().filter(|interface| !interface.removed);
        let names: BTreeSet<&str> = in_force
            .filter_map(|interface| interface.definition())
            .flat_map(|it| it.schedules.values().map(|schedule| schedule.timezone.as_str()))
            .collect();
        let zones = names.into_iter().filter_map(|name| Zone::load(name).ok());
        zones.map(|zone| (zone.name().to_owned(), zone)).collect()
    }

    /// The zones that changed, and the first slot of each schedule around each change that moved.
    fn moved(
        &self,
        in_use: &BTreeMap<String, Zone>,
        now: Instant,
    ) -> (Vec<String>, Vec<MovedSlot>) {
        let mut changed: BTreeMap<&str, (Zone, Vec<Instant>)> = BTreeMap::new();
        for (name, zone) in in_use {
            let Some(old) = self.state.daemon.zones.get(name).map(zone_of) else { continue };
            let from = now - AROUND;
            let changes = old.parts_from(zone, from, until(&old, now));
            if !changes.is_empty() {
                changed.insert(name, (old, changes));
            }
        }
        let mut moved = Vec::new();
        let mut plans = PlanCache::default();
        for id in self.state.schedules.names() {
            let Some((_, _, definition)) = self.definition(&id) else { continue };
            let Ok(zone) = Zone::load(&definition.timezone) else { continue };
            let Some((old, changes)) = changed.get(zone.name()) else { continue };
            let old = plans.plan(&definition.timing, old, definition.dst);
            if let (Ok(old), Some(new)) = (old, self.plans.get(&id)) {
                let next = |at: &Instant| {
                    let from = (*at - AROUND).max(now);
                    (old.next_after(from), new.next_after(from))
                };
                let differs = changes.iter().map(next).find(|(before, after)| before != after);
                moved.extend(differs.map(|(before, after)| of(&id, before, after)));
            }
            if moved.len() == MOVED_MAX {
                break;
            }
        }
        (changed.into_keys().map(str::to_owned).collect(), moved)
    }
}

fn of(id: &ScheduleRef, before: Option<Instant>, after: Option<Instant>) -> MovedSlot {
    MovedSlot { schedule: id.clone(), before, after }
}

fn rules_of(zone: &Zone, now: Instant) -> ZoneRules {
    let from = now - AROUND;
    let shifts = zone.shifts(from, now + AHEAD).map(|shift| (shift.at, shift.after)).collect();
    let first_offset = zone.span(from.secs()).offset;
    ZoneRules { name: zone.name().to_owned(), first_offset, shifts }
}

/// The zone as it was when its rules were kept.
fn zone_of(rules: &ZoneRules) -> Zone {
    let mut before = rules.first_offset;
    let shift = |(at, after): &(i64, i32)| {
        let shift = Shift { at: *at, before, after: *after };
        before = *after;
        shift
    };
    let shifts: Vec<Shift> = rules.shifts.iter().map(shift).collect();
    Zone::of_rules(&rules.name, rules.first_offset, shifts)
}

/// How far the kept rules tell something: to the last shift, or to the end of what is compared when they have none.
fn until(old: &Zone, now: Instant) -> Instant {
    let last = old.shifts(now - AROUND, now + AHEAD).last();
    last.map_or(now + AHEAD, |shift| Instant::from_secs(shift.at))
}
