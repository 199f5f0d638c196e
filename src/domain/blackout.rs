//! Blackouts: stretches of time in which no slot of an interface runs, in the interface's zone.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use chrono::{NaiveDate, NaiveTime};
use serde::{Deserialize, Serialize};

use super::calendar::Weekday;
use crate::civil::{Local, Resolved, Zone};
use crate::ids::CalendarId;
use crate::instant::Instant;

/// One entry of `blackout`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blackout {
    /// The whole days of a calendar.
    Calendar(CalendarId),
    /// A part of the day, on some days of each week.
    Weekly {
        /// The days on which it begins; all when empty.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        days: BTreeSet<Weekday>,
        /// When it begins.
        from: TimeOfDay,
        /// When it ends: on the same day when that is later than `from`, else on the next one.
        to: TimeOfDay,
    },
    /// One stretch.
    Once {
        /// When it begins.
        from: Local,
        /// When it ends.
        to: Local,
    },
}

impl Blackout {
    /// The end of the window that `at` lies in. None when it lies in none; a calendar's days are not asked here.
    ///
    /// A window begins with its first instant and ends before its last: a reading of the clock that does not exist stands for
    /// the shift that jumps over it; of one that comes twice, the window begins with the first and ends with the second.
    pub fn ends(&self, at: Instant, zone: &Zone) -> Option<Instant> {
        let within = |(from, to): (Local, Local)| {
            let (start, end) = (first(zone, from), last(zone, to));
            (start <= at && at < end).then_some(end)
        };
        match self {
            Self::Calendar(_) => None,
            Self::Once { from, to } => within((*from, *to)),
            Self::Weekly { days, from, to } => {
                // A window is no longer than a day, so it began today or yesterday.
                let today = zone.date(at);
                let dates = [today.pred_opt(), Some(today)].into_iter().flatten();
                let begins = |day: &NaiveDate| days.is_empty() || days.contains(&Weekday::of(*day));
                dates.filter(begins).find_map(|date| within(readings(date, (*from, *to))))
            }
        }
    }
}

/// The readings of the clock at which the window of a date begins and ends.
fn readings(date: NaiveDate, (from, to): (TimeOfDay, TimeOfDay)) -> (Local, Local) {
    let midnight = Local::from(date.and_time(NaiveTime::MIN)).secs();
    let next_day = if to <= from { DAY_MINUTES } else { 0 };
    let reading = |minutes: u16| Local::from_secs(midnight + i64::from(minutes) * 60);
    (reading(from.0), reading(to.0 + next_day))
}

fn first(zone: &Zone, reading: Local) -> Instant {
    match zone.resolve(reading) {
        Resolved::Once(at) | Resolved::Twice(at, _) => at,
        Resolved::Never(shift) => Instant::from_secs(shift.at),
    }
}

fn last(zone: &Zone, reading: Local) -> Instant {
    match zone.resolve(reading) {
        Resolved::Once(at) | Resolved::Twice(_, at) => at,
        Resolved::Never(shift) => Instant::from_secs(shift.at),
    }
}

impl fmt::Display for Blackout {
    /// `calendar fr-holidays`, `22:00 to 06:00 on sat, sun`, `2026-12-24T18:00 to 2026-12-27T06:00`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calendar(name) => write!(f, "calendar {name}"),
            Self::Once { from, to } => {
                let (from, to) = (from.naive(), to.naive());
                write!(f, "{} to {}", from.format("%Y-%m-%dT%H:%M"), to.format("%Y-%m-%dT%H:%M"))
            }
            Self::Weekly { days, from, to } => {
                write!(f, "{from} to {to}")?;
                let days: Vec<&str> = days.iter().map(|day| day.as_str()).collect();
                if days.is_empty() { Ok(()) } else { write!(f, " on {}", days.join(", ")) }
            }
        }
    }
}

const DAY_MINUTES: u16 = 24 * 60;

/// A reading of the clock without a date, to the minute; `24:00` is the end of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay(u16);

impl TimeOfDay {
    /// `00:00`.
    pub const START: Self = Self(0);
    /// `24:00`.
    pub const END: Self = Self(DAY_MINUTES);
}

/// A text that is no time of day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a time of day")]
pub struct TimeOfDayError {
    /// What was given.
    pub given: String,
}

impl FromStr for TimeOfDay {
    type Err = TimeOfDayError;

    /// Reads `22:00`; `24:00` is the end of the day.
    fn from_str(text: &str) -> Result<Self, TimeOfDayError> {
        let number = |text: &str, max: u16| {
            let plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| text.parse::<u16>().ok()).flatten().filter(|number| *number <= max)
        };
        let minutes = text
            .split_once(':')
            .and_then(|(hours, minutes)| Some(number(hours, 24)? * 60 + number(minutes, 59)?));
        let minutes = minutes.filter(|minutes| *minutes <= DAY_MINUTES);
        minutes.map(Self).ok_or_else(|| TimeOfDayError { given: text.to_owned() })
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl TryFrom<String> for TimeOfDay {
    type Error = TimeOfDayError;
    fn try_from(text: String) -> Result<Self, TimeOfDayError> {
        text.parse()
    }
}

impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> Self {
        time.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weekly(days: &[Weekday], from: &str, to: &str) -> Blackout {
        let time = |text: &str| text.parse().expect("a time");
        let days = days.iter().copied().collect();
        Blackout::Weekly { days, from: time(from), to: time(to) }
    }

    fn once(from: &str, to: &str) -> Blackout {
        let local = |text: &str| Local::parse(text).expect("a local time");
        Blackout::Once { from: local(from), to: local(to) }
    }

    /// Where a window of Paris ends that holds the instant, as the clock there shows it.
    fn ends(blackout: &Blackout, at: &str) -> Option<String> {
        let zone = Zone::load("Europe/Paris").expect("a zone");
        let at = Instant::parse(at).unwrap_or_else(|err| panic!("{at}: {err}"));
        blackout.ends(at, &zone).map(|end| zone.show(end))
    }

    #[track_caller]
    fn check(blackout: &Blackout, rows: &[(&str, Option<&str>)]) {
        for (at, end) in rows {
            assert_eq!(ends(blackout, at).as_deref(), *end, "{blackout}: {at}");
        }
    }

    #[test]
    fn a_window_holds_its_beginning_and_not_its_end() {
        let end = Some("2026-11-23T18:00:00+01:00");
        check(
            &weekly(&[Weekday::Mon], "08:00", "18:00"),
            &[
                ("2026-11-23T07:59:59+01:00", None),
                ("2026-11-23T08:00:00+01:00", end),
                ("2026-11-23T17:59:59+01:00", end),
                ("2026-11-23T18:00:00+01:00", None),
                ("2026-11-24T09:00:00+01:00", None),
            ],
        );
        check(
            &weekly(&[], "08:00", "18:00"),
            &[("2026-11-24T09:00:00+01:00", Some("2026-11-24T18:00:00+01:00"))],
        );
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
        check(
            &weekly(&[Weekday::Sat, Weekday::Sun], "22:00", "06:00"),
            &[
                ("2026-11-21T05:00:00+01:00", None),
                ("2026-11-21T22:00:00+01:00", Some("2026-11-22T06:00:00+01:00")),
                ("2026-11-22T05:59:00+01:00", Some("2026-11-22T06:00:00+01:00")),
                ("2026-11-22T06:00:00+01:00", None),
                ("2026-11-23T05:00:00+01:00", Some("2026-11-23T06:00:00+01:00")),
                ("2026-11-23T22:00:00+01:00", None),
                ("2026-11-24T05:00:00+01:00", None),
            ],
        );
    }

    #[test]
    fn a_whole_day_is_as_long_as_the_clocks_make_it() {
        let sunday = weekly(&[Weekday::Sun], "00:00", "24:00");
        check(
            &sunday,
            &[
                ("2026-03-29T00:00:00+01:00", Some("2026-03-30T00:00:00+02:00")),
                ("2026-03-28T23:59:59+01:00", None),
                ("2026-10-25T23:59:59+01:00", Some("2026-10-26T00:00:00+01:00")),
                ("2026-10-26T00:00:00+01:00", None),
            ],
        );
    }

    /// 02:00 to 03:00 does not exist on 2026-03-29, and comes twice on 2026-10-25.
    #[test]
    fn an_end_that_daylight_saving_touches_is_the_shift_or_the_later_of_two() {
        check(
            &weekly(&[], "22:00", "02:30"),
            &[
                ("2026-03-29T01:59:59+01:00", Some("2026-03-29T03:00:00+02:00")),
                ("2026-03-29T03:00:00+02:00", None),
                ("2026-10-25T02:29:00+02:00", Some("2026-10-25T02:30:00+01:00")),
                ("2026-10-25T02:45:00+02:00", Some("2026-10-25T02:30:00+01:00")),
                ("2026-10-25T02:29:59+01:00", Some("2026-10-25T02:30:00+01:00")),
                ("2026-10-25T02:30:00+01:00", None),
            ],
        );
        check(
            &weekly(&[], "02:30", "05:00"),
            &[
                ("2026-03-29T01:59:59+01:00", None),
                ("2026-03-29T03:00:00+02:00", Some("2026-03-29T05:00:00+02:00")),
                ("2026-10-25T02:30:00+02:00", Some("2026-10-25T05:00:00+01:00")),
                ("2026-10-25T02:10:00+01:00", Some("2026-10-25T05:00:00+01:00")),
            ],
        );
    }

    #[test]
    fn a_stretch_comes_once() {
        let end = Some("2026-12-27T06:00:00+01:00");
        check(
            &once("2026-12-24T18:00", "2026-12-27T06:00"),
            &[
                ("2026-12-24T17:59:59+01:00", None),
                ("2026-12-24T18:00:00+01:00", end),
                ("2026-12-27T05:59:59+01:00", end),
                ("2026-12-27T06:00:00+01:00", None),
                ("2027-12-25T12:00:00+01:00", None),
            ],
        );
    }

    #[test]
    fn a_blackout_is_kept_as_text_that_people_know() {
        for (blackout, kept) in [
            (
                weekly(&[Weekday::Sun, Weekday::Sat], "22:00", "06:00"),
                r#"{"weekly":{"days":["sat","sun"],"from":"22:00","to":"06:00"}}"#,
            ),
            (weekly(&[], "00:00", "24:00"), r#"{"weekly":{"from":"00:00","to":"24:00"}}"#),
            (
                once("2026-12-24T18:00", "2026-12-27T06:00"),
                r#"{"once":{"from":"2026-12-24T18:00:00","to":"2026-12-27T06:00:00"}}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&blackout).expect("JSON"), kept);
            assert_eq!(serde_json::from_str::<Blackout>(kept).expect("read"), blackout);
        }
        for text in ["24:01", "25:00", "7:00", "07:60", "0700", "+7:00", ""] {
            assert!(text.parse::<TimeOfDay>().is_err(), "{text}");
        }
    }
}
