//! What closes a schedule at an instant: its interface's blackouts and its calendars.

use std::fmt;

use super::blackout::Blackout;
use super::definition::{Interface, Schedule, ScheduleCalendars};
use crate::civil::Zone;
use crate::ids::CalendarId;
use crate::instant::Instant;

/// The blackouts and calendars of one schedule, with the zones that they count in.
#[derive(Clone, Debug)]
pub struct Closings<'a> {
    interface: &'a Interface,
    /// The interface's, in which blackouts count.
    interface_zone: Zone,
    calendars: Option<&'a ScheduleCalendars>,
    /// The schedule's, in which calendars count.
    zone: Zone,
}

/// What closes an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedBy<'a> {
    /// It lies in a blackout of the interface.
    Blackout(&'a Blackout),
    /// A calendar under `exclude` has its date.
    Excluded(&'a CalendarId),
    /// No calendar under `only` has its date.
    NotIn(&'a [CalendarId]),
}

impl<'a> Closings<'a> {
    /// None for a schedule that nothing of this kind can close. `zone` gives the zone of a name; without it a definition that
    /// needs it closes nothing, as it has no plan either.
    pub fn of(
        interface: &'a Interface,
        schedule: &'a Schedule,
        zone: impl Fn(&str) -> Option<Zone>,
    ) -> Option<Self> {
        let calendars = schedule.calendars.as_deref();
        if calendars.is_none() && interface.blackout.is_empty() {
            return None;
        }
        let (interface_zone, zone) = (zone(&interface.timezone)?, zone(&schedule.timezone)?);
        Some(Self { interface, interface_zone, calendars, zone })
    }

    /// What closes `at`, and until when: blackouts first. None when it is open.
    pub fn at(&self, at: Instant) -> Option<(ClosedBy<'a>, Instant)> {
        self.blackout(at).or_else(|| self.calendar(at))
    }

    fn blackout(&self, at: Instant) -> Option<(ClosedBy<'a>, Instant)> {
        self.interface.blackout.iter().find_map(|blackout| {
            let end = match blackout {
                Blackout::Calendar(name) => self
                    .has(name, at, &self.interface_zone)
                    .then(|| self.interface_zone.next_midnight(at)),
                Blackout::Weekly { .. } | Blackout::Once { .. } => {
                    blackout.ends(at, &self.interface_zone)
                }
            };
            Some((ClosedBy::Blackout(blackout), end?))
        })
    }

    fn calendar(&self, at: Instant) -> Option<(ClosedBy<'a>, Instant)> {
        let ScheduleCalendars { exclude, only } = self.calendars?;
        let has = |name: &&CalendarId| self.has(name, at, &self.zone);
        let closed = exclude.iter().find(has).map(ClosedBy::Excluded);
        let outside = || !only.is_empty() && !only.iter().any(|name| has(&name));
        let closed = closed.or_else(|| outside().then_some(ClosedBy::NotIn(only)));
        closed.map(|by| (by, self.zone.next_midnight(at)))
    }

    fn has(&self, name: &CalendarId, at: Instant, zone: &Zone) -> bool {
        let calendar = self.interface.calendars.get(name);
        calendar.is_some_and(|calendar| calendar.contains(zone.date(at)))
    }
}

impl fmt::Display for ClosedBy<'_> {
    /// `blackout 22:00 to 06:00 on sat`, `calendar fr-holidays`, `not in calendar trading-days`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blackout(blackout) => write!(f, "blackout {blackout}"),
            Self::Excluded(name) => write!(f, "calendar {name}"),
            Self::NotIn(names) => {
                let names: Vec<&str> = names.iter().map(CalendarId::as_str).collect();
                write!(f, "not in calendar {}", names.join(", "))
            }
        }
    }
}
