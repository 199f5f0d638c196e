//! From wall-clock readings to instants: what daylight saving does to a schedule.
//!
//! The rule is Debian cron's, cron(8): a fixed-time schedule whose reading is left out runs once at the first instant after
//! the gap, and on the first pass only when its reading is repeated; a wildcard schedule follows elapsed time. Clocks that jump
//! ahead by more than three hours are being corrected (Pacific/Apia left out a whole day in 2011): nothing is made up for.
//!
//! A zone is a row of spans with one offset each. Inside a span readings and instants correspond, so the search goes span by
//! span; the rule only says which readings a span offers, and whether its first instant makes up for the gap before it.

use std::ops::Range;

use super::cron::Pattern;
use super::definition::{Dst, Fold, Gap};
use crate::civil::{Local, Shift, Span, Zone};

/// A longer gap is a correction of the clock, in seconds.
const LONGEST_GAP: i64 = 3 * 3600;

/// Wall-clock readings at which something is due.
#[derive(Clone, Debug)]
pub(super) enum Readings {
    /// Those that a pattern matches.
    Cron(Pattern),
    /// A single one.
    Once(Local),
}

impl Readings {
    fn at_or_after(&self, from: Local) -> Option<Local> {
        match self {
            Self::Cron(pattern) => pattern.at_or_after(from),
            Self::Once(reading) => (*reading >= from).then_some(*reading),
        }
    }

    fn at_or_before(&self, until: Local) -> Option<Local> {
        match self {
            Self::Cron(pattern) => pattern.at_or_before(until),
            Self::Once(reading) => (*reading <= until).then_some(*reading),
        }
    }

    /// The first due reading from `range.start` to before `range.end`.
    pub(super) fn first_in(&self, range: &Range<Local>) -> Option<Local> {
        self.at_or_after(range.start).filter(|reading| *reading < range.end)
    }
}

/// What to do at gaps and folds, with nothing left open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) gap: Gap,
    pub(super) fold: Fold,
}

impl Rule {
    /// The rule that `dst` asks for; where it leaves a choice, that of the readings' kind.
    pub(super) fn new(readings: &Readings, dst: Dst) -> Self {
        let own = match readings {
            Readings::Cron(pattern) if pattern.is_wild() => {
                Self { gap: Gap::Skip, fold: Fold::Both }
            }
            Readings::Cron(_) | Readings::Once(_) => Self { gap: Gap::Shift, fold: Fold::First },
        };
        Self { gap: dst.gap.unwrap_or(own.gap), fold: dst.fold.unwrap_or(own.fold) }
    }

    /// The readings whose run moves to the shift's instant.
    pub(super) fn made_up(self, shift: &Shift) -> Option<Range<Local>> {
        let (from, to) = shift.gap()?;
        let moved = self.gap == Gap::Shift && to.secs() - from.secs() <= LONGEST_GAP;
        moved.then_some(from..to)
    }

    /// The readings that a span offers, by its ends in seconds; open ends are none.
    fn offered(self, span: &Span) -> (Option<i64>, Option<i64>) {
        let start = span.begins.map(|shift| match (self.fold, shift.fold()) {
            // The second pass.
            (Fold::First, Some((_, to))) => to.secs(),
            (Fold::First | Fold::Last | Fold::Both, _) => shift.at + i64::from(span.offset),
        });
        let end = span.ends.map(|shift| match (self.fold, shift.fold()) {
            // The first pass.
            (Fold::Last, Some((from, _))) => from.secs(),
            (Fold::First | Fold::Last | Fold::Both, _) => shift.at + i64::from(span.offset),
        });
        (start, end)
    }
}

/// The first due second later than `after`, in seconds since the epoch.
pub(super) fn next_after(readings: &Readings, zone: &Zone, rule: Rule, after: i64) -> Option<i64> {
    let mut ahead = Ahead { readings, searched: None };
    let mut from = after.checked_add(1)?;
    loop {
        let span = zone.span(from);
        if let Some(shift) = span.begins.filter(|shift| shift.at == from)
            && let Some(gap) = rule.made_up(&shift)
            && ahead.find(gap.start).is_some_and(|reading| reading < gap.end)
        {
            return Some(from);
        }
        let offset = i64::from(span.offset);
        let (start, end) = rule.offered(&span);
        let lowest = from.checked_add(offset)?.max(start.unwrap_or(i64::MIN));
        if let Some(reading) = ahead.find(Local::from_secs(lowest))
            && end.is_none_or(|end| reading.secs() < end)
        {
            return Some(reading.secs() - offset);
        }
        from = span.ends?.at;
    }
}

/// The last due second earlier than `before`, in seconds since the epoch.
pub(super) fn previous_before(
    readings: &Readings,
    zone: &Zone,
    rule: Rule,
    before: i64,
) -> Option<i64> {
    let mut behind = Behind { readings, searched: None };
    let mut until = before.checked_sub(1)?;
    loop {
        let span = zone.span(until);
        let offset = i64::from(span.offset);
        let (start, end) = rule.offered(&span);
        let last = end.map_or(i64::MAX, |end| end.saturating_sub(1));
        let highest = until.checked_add(offset)?.min(last);
        if let Some(reading) = behind.find(Local::from_secs(highest))
            && start.is_none_or(|start| reading.secs() >= start)
        {
            return Some(reading.secs() - offset);
        }
        let shift = span.begins?;
        if let Some(gap) = rule.made_up(&shift)
            && behind
                .find(Local::from_secs(gap.end.secs() - 1))
                .is_some_and(|reading| reading >= gap.start)
        {
            return Some(shift.at);
        }
        until = shift.at.checked_sub(1)?;
    }
}

/// Remembers how far ahead the readings were searched, so that a rare pattern is not searched anew in each span.
struct Ahead<'a> {
    readings: &'a Readings,
    /// From where, and what was found.
    searched: Option<(Local, Option<Local>)>,
}

impl Ahead<'_> {
    fn find(&mut self, from: Local) -> Option<Local> {
        if let Some((start, found)) = self.searched
            && from >= start
            && found.is_none_or(|found| from <= found)
        {
            return found;
        }
        let found = self.readings.at_or_after(from);
        self.searched = Some((from, found));
        found
    }
}

/// The same backwards.
struct Behind<'a> {
    readings: &'a Readings,
    /// From where, and what was found.
    searched: Option<(Local, Option<Local>)>,
}

impl Behind<'_> {
    fn find(&mut self, until: Local) -> Option<Local> {
        if let Some((start, found)) = self.searched
            && until <= start
            && found.is_none_or(|found| until >= found)
        {
            return found;
        }
        let found = self.readings.at_or_before(until);
        self.searched = Some((until, found));
        found
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::instant::Instant;

    fn readings(pattern: &str) -> Readings {
        Readings::Cron(Pattern::parse(pattern).unwrap())
    }

    fn secs(text: &str) -> i64 {
        Instant::parse(text).unwrap().secs()
    }

    /// The first `count` slots after `after`, as the zone's clock shows them.
    fn slots(pattern: &str, zone: &str, dst: Dst, after: &str, count: usize) -> Vec<String> {
        let (readings, zone) = (readings(pattern), Zone::load(zone).unwrap());
        let rule = Rule::new(&readings, dst);
        std::iter::successors(next_after(&readings, &zone, rule, secs(after)), |slot| {
            next_after(&readings, &zone, rule, *slot)
        })
        .take(count)
        .map(|slot| zone.show(Instant::from_secs(slot)))
        .collect()
    }

    const OWN: Dst = Dst { gap: None, fold: None };

    #[test]
    fn a_fixed_time_in_the_gap_runs_right_after_it() {
        assert_eq!(
            slots("30 2 * * *", "Europe/Paris", OWN, "2026-03-28T12:00:00Z", 2),
            ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
        );
    }

    #[test]
    fn several_fixed_times_in_the_gap_become_one_run() {
        assert_eq!(
            slots("15,45 2 * * *", "Europe/Paris", OWN, "2026-03-28T12:00:00Z", 2),
            ["2026-03-29T03:00:00+02:00", "2026-03-30T02:15:00+02:00"]
        );
    }

    #[test]
    fn a_made_up_run_and_one_due_at_the_same_instant_are_one() {
        assert_eq!(
            slots("0 2,3 * * *", "Europe/Paris", OWN, "2026-03-28T12:00:00Z", 2),
            ["2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"]
        );
    }

    #[test]
    fn a_gap_may_be_skipped() {
        let skip = Dst { gap: Some(Gap::Skip), fold: None };
        assert_eq!(
            slots("30 2 * * *", "Europe/Paris", skip, "2026-03-28T12:00:00Z", 1),
            ["2026-03-30T02:30:00+02:00"]
        );
    }

    #[test]
    fn a_wildcard_is_not_made_up_for() {
        assert_eq!(
            slots("*/20 2 * * *", "Europe/Paris", OWN, "2026-03-28T12:00:00Z", 1),
            ["2026-03-30T02:00:00+02:00"]
        );
        let shift = Dst { gap: Some(Gap::Shift), fold: None };
        assert_eq!(
            slots("*/20 2 * * *", "Europe/Paris", shift, "2026-03-28T12:00:00Z", 1),
            ["2026-03-29T03:00:00+02:00"]
        );
    }

    #[test]
    fn a_fixed_time_in_the_fold_runs_on_the_pass_asked_for() {
        let after = "2026-10-24T12:00:00Z";
        let (first, last) = ("2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00");
        let next_day = "2026-10-26T02:30:00+01:00";
        let fold = |fold| Dst { gap: None, fold: Some(fold) };
        for (dst, expected) in [
            (OWN, vec![first, next_day]),
            (fold(Fold::First), vec![first, next_day]),
            (fold(Fold::Last), vec![last, next_day]),
            (fold(Fold::Both), vec![first, last]),
        ] {
            assert_eq!(slots("30 2 * * *", "Europe/Paris", dst, after, 2), expected, "{dst:?}");
        }
    }

    #[test]
    fn a_wildcard_runs_on_both_passes() {
        assert_eq!(
            slots("*/30 2 * * *", "Europe/Paris", OWN, "2026-10-24T12:00:00Z", 4),
            [
                "2026-10-25T02:00:00+02:00",
                "2026-10-25T02:30:00+02:00",
                "2026-10-25T02:00:00+01:00",
                "2026-10-25T02:30:00+01:00"
            ]
        );
    }

    #[test]
    fn a_list_of_hours_is_a_fixed_time() {
        assert_eq!(
            slots("0 1-3 * * *", "Europe/Paris", OWN, "2026-10-24T12:00:00Z", 4),
            [
                "2026-10-25T01:00:00+02:00",
                "2026-10-25T02:00:00+02:00",
                "2026-10-25T03:00:00+01:00",
                "2026-10-26T01:00:00+01:00"
            ]
        );
    }

    #[test]
    fn a_search_that_starts_in_the_second_pass_does_not_repeat_it() {
        assert_eq!(
            slots("30 2 * * *", "Europe/Paris", OWN, "2026-10-25T01:10:00Z", 1),
            ["2026-10-26T02:30:00+01:00"]
        );
    }

    #[test]
    fn the_last_year_of_a_pattern_may_end_in_a_second_pass() {
        let both = Dst { gap: None, fold: Some(Fold::Both) };
        assert_eq!(
            slots("0 30 2 25 10 * 2026", "Europe/Paris", both, "2026-10-25T00:40:00Z", 2),
            ["2026-10-25T02:30:00+01:00"]
        );
    }

    #[test]
    fn a_shift_of_half_an_hour_is_a_gap_too() {
        assert_eq!(
            slots("15 2 * * *", "Australia/Lord_Howe", OWN, "2026-10-03T12:00:00Z", 2),
            ["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"]
        );
    }

    #[test]
    fn a_midnight_that_does_not_exist_is_made_up_for() {
        assert_eq!(
            slots("0 0 * * *", "America/Havana", OWN, "2026-03-07T12:00:00Z", 2),
            ["2026-03-08T01:00:00-04:00", "2026-03-09T00:00:00-04:00"]
        );
    }

    #[test]
    fn a_day_left_out_is_a_correction_and_has_no_run() {
        let shift = Dst { gap: Some(Gap::Shift), fold: None };
        for dst in [OWN, shift] {
            assert_eq!(
                slots("0 12 * * *", "Pacific/Apia", dst, "2011-12-29T12:00:00Z", 2),
                ["2011-12-29T12:00:00-10:00", "2011-12-31T12:00:00+14:00"]
            );
        }
    }

    #[test]
    fn a_leap_day_pattern_is_found_over_many_shifts_both_ways() {
        let (leap, paris) = (readings("0 0 29 2 *"), Zone::load("Europe/Paris").unwrap());
        let rule = Rule::new(&leap, OWN);
        let next = next_after(&leap, &paris, rule, secs("2096-03-01T00:00:00Z"));
        assert_eq!(next, Some(secs("2104-02-28T23:00:00Z")));
        let previous = previous_before(&leap, &paris, rule, secs("2104-02-28T23:00:00Z"));
        assert_eq!(previous, Some(secs("2096-02-28T23:00:00Z")));
    }

    const ZONES_AND_YEARS: [(&str, i32); 8] = [
        ("Europe/Paris", 2026),
        ("America/New_York", 2026),
        ("Australia/Lord_Howe", 2026),
        ("Africa/Cairo", 2025),
        ("America/Havana", 2026),
        ("Africa/Casablanca", 2025),
        ("Pacific/Apia", 2011),
        ("UTC", 2026),
    ];
    const PATTERNS: [&str; 9] = [
        "30 2 * * *",
        "0 0 * * *",
        "15,45 0-3 * * *",
        "0 */3 * * *",
        "*/20 2 * * *",
        "0 1 * * SUN",
        "30 23 L * *",
        "0 30 1,2 * * *",
        "10 0 1,15 * 5",
    ];

    fn every_rule() -> Vec<Dst> {
        let gaps = [None, Some(Gap::Shift), Some(Gap::Skip)];
        let folds = [None, Some(Fold::First), Some(Fold::Last), Some(Fold::Both)];
        gaps.iter()
            .flat_map(|gap| folds.iter().map(|fold| Dst { gap: *gap, fold: *fold }))
            .collect()
    }

    /// A year's slots are the same forwards and backwards, strictly in order.
    #[test]
    fn a_year_backwards_is_the_year_forwards() {
        for (zone, year) in ZONES_AND_YEARS {
            let zone = Zone::load(zone).unwrap();
            let (start, end) = (
                secs(&format!("{year}-01-01T00:00:00Z")),
                secs(&format!("{}-01-15T00:00:00Z", year + 1)),
            );
            for pattern in PATTERNS {
                let readings = readings(pattern);
                for dst in every_rule() {
                    let rule = Rule::new(&readings, dst);
                    let forwards: Vec<i64> =
                        std::iter::successors(next_after(&readings, &zone, rule, start), |slot| {
                            next_after(&readings, &zone, rule, *slot)
                        })
                        .take_while(|slot| *slot < end)
                        .collect();
                    let mut backwards: Vec<i64> = std::iter::successors(
                        previous_before(&readings, &zone, rule, end),
                        |slot| previous_before(&readings, &zone, rule, *slot),
                    )
                    .take_while(|slot| *slot > start)
                    .collect();
                    backwards.reverse();
                    assert!(
                        forwards.is_sorted_by(|low, high| low < high),
                        "{pattern} {zone} {dst:?}"
                    );
                    assert_eq!(forwards, backwards, "{pattern} {zone} {dst:?}");
                    assert!(forwards.len() > 11, "{pattern} {zone} {dst:?}");
                }
            }
        }
    }

    /// The rule as cron(8) tells it, minute by minute, with the zone asked only what the clock shows.
    fn walked(
        readings: &Readings,
        zone: &Zone,
        rule: Rule,
        from: i64,
        until: i64,
    ) -> BTreeSet<i64> {
        let Readings::Cron(pattern) = readings else { panic!("a pattern") };
        let shown = |at: i64| zone.local(Instant::from_secs(at)).secs();
        let mut due = BTreeSet::new();
        for at in (from..until).step_by(60) {
            let reading = shown(at);
            let jump = reading - shown(at - 60) - 60;
            if jump > 0 && jump <= 3 * 3600 && rule.gap == Gap::Shift {
                let left_out = (reading - jump..reading).step_by(60);
                if left_out.into_iter().any(|missed| pattern.matches(Local::from_secs(missed))) {
                    due.insert(at);
                }
            }
            if !pattern.matches(Local::from_secs(reading)) {
                continue;
            }
            let day = (at - 90_000..at + 90_000).step_by(60);
            let same: Vec<i64> = day.filter(|other| shown(*other) == reading).collect();
            let wanted = match rule.fold {
                Fold::First => same.first() == Some(&at),
                Fold::Last => same.last() == Some(&at),
                Fold::Both => true,
            };
            if wanted {
                due.insert(at);
            }
        }
        due
    }

    #[test]
    fn around_each_shift_the_slots_are_those_of_a_walk_minute_by_minute() {
        for (zone, year) in ZONES_AND_YEARS {
            let zone = Zone::load(zone).unwrap();
            let year_start = Instant::from_secs(secs(&format!("{year}-01-01T00:00:00Z")));
            let year_end = Instant::from_secs(secs(&format!("{}-01-01T00:00:00Z", year + 1)));
            for shift in zone.shifts(year_start, year_end).take(2) {
                let (from, until) = (shift.at - 6 * 3600, shift.at + 6 * 3600);
                for (pattern, dst) in [
                    ("15,45 0-3 * * *", OWN),
                    ("*/20 0-3 * * *", OWN),
                    ("0 */3 * * *", OWN),
                    ("0 0 * * *", Dst { gap: None, fold: Some(Fold::Last) }),
                    ("30 1,2 * * *", Dst { gap: Some(Gap::Skip), fold: Some(Fold::Both) }),
                ] {
                    let readings = readings(pattern);
                    let rule = Rule::new(&readings, dst);
                    let found: BTreeSet<i64> = std::iter::successors(
                        next_after(&readings, &zone, rule, from - 1),
                        |slot| next_after(&readings, &zone, rule, *slot),
                    )
                    .take_while(|slot| *slot < until)
                    .collect();
                    let expected = walked(&readings, &zone, rule, from, until);
                    assert_eq!(found, expected, "{pattern} {zone} {dst:?} around {}", shift.at);
                }
            }
        }
    }
}
