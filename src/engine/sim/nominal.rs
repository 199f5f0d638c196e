//! When slots are, by walking the minutes: what the wall clock shows in each of them, and whether the pattern wants it.
//!
//! Deliberately not the program's way of finding them: no search, no table of shifts, no matcher of patterns. It asks
//! jiff what the clock shows, minute by minute, and reads the contract's section 4.

use std::collections::HashMap;

use chrono::{DateTime, Datelike, NaiveDateTime, Timelike};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::story::{Spec, When};
use crate::instant::Instant;

const MINUTE: i64 = 60;
const QUARTER: i64 = 15 * MINUTE;
/// A longer gap is a correction of the clock, and no fold is longer.
const LONGEST_SHIFT: i64 = 3 * 3600;

/// What a zone's clock shows.
struct WallClock {
    zone: TimeZone,
    /// A quarter of an hour and the seconds east of Greenwich in it: no shift of our times happens inside one.
    quarter: (i64, i64),
}

impl WallClock {
    fn new(zone: &str) -> Self {
        let zone = TimeZone::get(zone).expect("a zone of the generator's list");
        let mut clock = Self { zone, quarter: (0, 0) };
        clock.quarter.1 = clock.ask(0);
        clock
    }

    fn ask(&self, quarter: i64) -> i64 {
        let at = Timestamp::from_second(quarter * QUARTER).expect("in range");
        i64::from(self.zone.to_offset(at).seconds())
    }

    fn offset(&mut self, secs: i64) -> i64 {
        let quarter = secs.div_euclid(QUARTER);
        if quarter != self.quarter.0 {
            self.quarter = (quarter, self.ask(quarter));
        }
        self.quarter.1
    }

    fn shows(&mut self, secs: i64) -> i64 {
        secs + self.offset(secs)
    }

    /// Whether the reading shown at `secs` is also shown earlier, or later.
    fn twice(&mut self, secs: i64) -> (bool, bool) {
        let (reading, mut earlier, mut later) = (self.shows(secs), false, false);
        for quarters in -12..=12 {
            let other = reading - self.offset(secs + quarters * QUARTER);
            if other != secs
                && (other - secs).abs() <= LONGEST_SHIFT
                && self.shows(other) == reading
            {
                earlier |= other < secs;
                later |= other > secs;
            }
        }
        (earlier, later)
    }
}

/// The readings that a timing wants.
enum Wanted {
    Times(Times),
    Once(i64),
}

/// A pattern's fields as sets of numbers.
struct Times {
    seconds: Vec<i64>,
    minutes: u64,
    hours: u64,
    days: u64,
    last_day: bool,
    months: u64,
    weekdays: u64,
    days_restricted: bool,
    weekdays_restricted: bool,
    wild: bool,
    /// Whether a local day fits, by its number since 1970.
    fitting: HashMap<i64, bool>,
}

/// `*`, `5`, `1-4`, `*/15`, `1-23/2`, and lists of them.
fn numbers(field: &str, lowest: u64, highest: u64) -> u64 {
    let mut set = 0;
    for part in field.split(',').filter(|part| *part != "L") {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (lowest, highest),
            Some((from, to)) => (from.parse().expect("a number"), to.parse().expect("a number")),
            None => (range.parse().expect("a number"), range.parse().expect("a number")),
        };
        let step: u64 = step.parse().expect("a number");
        (from..=to).filter(|number| (number - from) % step == 0).for_each(|n| set |= 1 << n);
    }
    set
}

impl Times {
    fn read(pattern: &str) -> Self {
        let pattern = match pattern {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            other => other,
        };
        let mut fields: Vec<&str> = pattern.split(' ').collect();
        if fields.len() == 5 {
            fields.insert(0, "0");
        }
        let seconds = numbers(fields[0], 0, 59);
        Self {
            seconds: (0..60).filter(|second| seconds >> second & 1 == 1).collect(),
            minutes: numbers(fields[1], 0, 59),
            hours: numbers(fields[2], 0, 23),
            days: numbers(fields[3], 1, 31),
            last_day: fields[3].split(',').any(|part| part == "L"),
            months: numbers(fields[4], 1, 12),
            weekdays: numbers(fields[5], 0, 6),
            days_restricted: fields[3] != "*",
            weekdays_restricted: fields[5] != "*",
            wild: fields[..3].iter().any(|field| field.starts_with('*')),
            fitting: HashMap::new(),
        }
    }

    fn fits_day(&mut self, reading: i64) -> bool {
        let number = reading.div_euclid(86_400);
        if let Some(fits) = self.fitting.get(&number) {
            return *fits;
        }
        let date = DateTime::from_timestamp(number * 86_400, 0).expect("in range").date_naive();
        let is_last = date.succ_opt().is_some_and(|next| next.month() != date.month());
        let day = self.days >> date.day() & 1 == 1 || (self.last_day && is_last);
        let weekday = self.weekdays >> date.weekday().num_days_from_sunday() & 1 == 1;
        let either = if self.days_restricted && self.weekdays_restricted {
            day || weekday
        } else {
            day && weekday
        };
        let fits = self.months >> date.month() & 1 == 1 && either;
        self.fitting.insert(number, fits);
        fits
    }

    fn fits_minute(&mut self, reading: i64) -> bool {
        let minute = reading.rem_euclid(86_400) / MINUTE;
        self.minutes >> (minute % 60) & 1 == 1
            && self.hours >> (minute / 60) & 1 == 1
            && self.fits_day(reading)
    }
}

impl Wanted {
    /// The seconds wanted inside the minute that begins with `reading`.
    fn seconds(&mut self, reading: i64) -> Vec<i64> {
        match self {
            Self::Times(times) => {
                if times.fits_minute(reading) {
                    times.seconds.clone()
                } else {
                    Vec::new()
                }
            }
            Self::Once(once) if (reading..reading + MINUTE).contains(once) => vec![*once - reading],
            Self::Once(_) => Vec::new(),
        }
    }
}

/// The walk of one schedule.
pub(super) struct Walk {
    kind: Kind,
    /// Milliseconds: slots up to here were found.
    walked_to: i64,
    /// Slots that were found and are not decided, in milliseconds.
    found: Vec<i64>,
    /// The newest one that is decided.
    last: Option<i64>,
}

enum Kind {
    Civil { clock: WallClock, wanted: Wanted, shift: bool, fold: &'static str },
    Every { period: i64, anchor: i64 },
    Nothing,
}

impl Walk {
    /// No slots at all.
    pub(super) const fn none() -> Self {
        Self { kind: Kind::Nothing, walked_to: 0, found: Vec::new(), last: None }
    }

    /// The slots of `spec` later than `after`.
    pub(super) fn new(spec: &Spec, after: Instant) -> Self {
        let kind = match &spec.when {
            When::Cron(pattern) => {
                let times = Times::read(pattern);
                let (gap, fold) = if times.wild { ("skip", "both") } else { ("shift", "first") };
                civil(spec, Wanted::Times(times), gap, fold)
            }
            When::At(reading) => {
                let reading = NaiveDateTime::parse_from_str(reading, "%Y-%m-%dT%H:%M")
                    .expect("the generator's form");
                assert_eq!(reading.second(), 0, "whole minutes");
                civil(spec, Wanted::Once(reading.and_utc().timestamp()), "shift", "first")
            }
            When::Every { period_s, anchor } => Kind::Every {
                period: i64::try_from(period_s * 1000).expect("small"),
                anchor: anchor.map_or(0, Instant::millis),
            },
            When::After { .. } | When::Manual | When::Reboot => Kind::Nothing,
        };
        Self { kind, walked_to: after.millis(), found: Vec::new(), last: None }
    }

    /// The undecided slots up to `until`, in milliseconds.
    pub(super) fn due(&mut self, until: Instant) -> Vec<i64> {
        let until = until.millis();
        match &mut self.kind {
            Kind::Nothing => (),
            Kind::Every { period, anchor } => {
                let (period, anchor) = (*period, *anchor);
                let passed = (self.walked_to - anchor).div_euclid(period).max(-1);
                let mut slot = anchor + (passed + 1) * period;
                while slot <= until {
                    self.found.push(slot);
                    slot += period;
                }
            }
            Kind::Civil { clock, wanted, shift, fold } => {
                let first = self.walked_to.div_euclid(MINUTE * 1000);
                for minute in first..=until.div_euclid(MINUTE * 1000) {
                    let slots = minute_slots(clock, wanted, (*shift, fold), minute * MINUTE);
                    let new = slots.into_iter().map(|secs| secs * 1000);
                    self.found.extend(new.filter(|at| self.walked_to < *at && *at <= until));
                }
            }
        }
        self.walked_to = self.walked_to.max(until);
        self.found.iter().copied().take_while(|slot| *slot <= until).collect()
    }

    /// Forgets the slots up to `until`.
    pub(super) fn decided(&mut self, until: i64) {
        self.last = self.found.iter().rev().find(|slot| **slot <= until).copied().or(self.last);
        self.found.retain(|slot| *slot > until);
    }

    /// The slot before this one, if the walk came by it.
    pub(super) fn before(&self, slot: i64) -> Option<i64> {
        self.found.iter().rev().find(|found| **found < slot).copied().or(self.last)
    }
}

fn civil(spec: &Spec, wanted: Wanted, gap: &'static str, fold: &'static str) -> Kind {
    Kind::Civil {
        clock: WallClock::new(spec.zone),
        wanted,
        shift: spec.gap.unwrap_or(gap) == "shift",
        fold: spec.fold.unwrap_or(fold),
    }
}

/// The slots inside the minute that begins at `at`, in seconds.
fn minute_slots(
    clock: &mut WallClock,
    wanted: &mut Wanted,
    (shift, fold): (bool, &str),
    at: i64,
) -> Vec<i64> {
    let reading = clock.shows(at);
    let jumped_over = reading - MINUTE - clock.shows(at - MINUTE);
    let mut slots = Vec::new();
    if shift && jumped_over > 0 && jumped_over <= LONGEST_SHIFT {
        let mut left_out = (reading - jumped_over..reading).step_by(60);
        if left_out.any(|reading| !wanted.seconds(reading).is_empty()) {
            slots.push(at);
        }
    }
    let seconds = wanted.seconds(reading);
    if seconds.is_empty() {
        return slots;
    }
    let this_pass = match fold {
        "first" => !clock.twice(at).0,
        "last" => !clock.twice(at).1,
        _ => true,
    };
    if this_pass {
        slots.extend(seconds.into_iter().map(|second| at + second));
    }
    slots.dedup();
    slots
}

/// When a time given once is, wherever it lies.
pub(super) fn once(spec: &Spec) -> Option<Instant> {
    let When::At(reading) = &spec.when else { return None };
    let reading = NaiveDateTime::parse_from_str(reading, "%Y-%m-%dT%H:%M").ok()?;
    let near = 2 * 86_400;
    let reading = reading.and_utc().timestamp();
    let mut walk = Walk::new(spec, Instant::from_secs(reading - near));
    walk.due(Instant::from_secs(reading + near)).first().copied().map(Instant::from_millis)
}
