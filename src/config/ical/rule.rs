//! The repetitions that are understood: `FREQ=YEARLY` and `FREQ=WEEKLY` (RFC 5545, section 3.3.10).

use std::collections::BTreeSet;
use std::str::FromStr;

use chrono::{Datelike, NaiveDate};

use crate::domain::calendar::{Again, Weekday, Yearly};

/// A repetition, as far as it stands by itself.
pub(super) struct Rule {
    pub(super) every: u32,
    pub(super) last: Last,
    weekly: bool,
    months: Vec<u8>,
    month_days: Vec<u8>,
    /// With the number before it, such as -1 in `-1MO`.
    weekdays: Vec<(Option<i8>, Weekday)>,
}

/// Which repetition is the last.
pub(super) enum Last {
    Never,
    On(NaiveDate),
    Number(usize),
}

/// What is wrong with a repetition, or beyond what is understood.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) why: String,
    pub(super) hint: String,
}

impl Refused {
    fn new(why: impl Into<String>) -> Self {
        let hint = "understood are FREQ=YEARLY with BYMONTH, BYMONTHDAY and BYDAY=3MO, FREQ=WEEKLY with BYDAY=MO,TU, and \
                    INTERVAL, UNTIL=20301231 and COUNT";
        Self { why: why.into(), hint: hint.to_owned() }
    }
}

/// The items of a list, each of which `read` must understand.
fn list<T>(part: (&str, &str), read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Refused> {
    let (name, value) = part;
    let one =
        |item| read(item).ok_or_else(|| Refused::new(format!("`{name}={item}` is not understood")));
    value.split(',').map(one).collect()
}

fn number<T: FromStr>(part: (&str, &str)) -> Result<T, Refused> {
    let (name, value) = part;
    value.parse().map_err(|_err| Refused::new(format!("`{name}={value}` is not understood")))
}

/// `MO`, `3MO`, `-1MO`.
fn weekday(text: &str) -> Option<(Option<i8>, Weekday)> {
    let (number, name) = text.split_at_checked(text.len().checked_sub(2)?)?;
    let is =
        |day: &Weekday| day.as_str().get(..2).is_some_and(|two| two.eq_ignore_ascii_case(name));
    let day = Weekday::ALL.into_iter().find(is)?;
    let number = number.strip_prefix('+').unwrap_or(number);
    if number.is_empty() { Some((None, day)) } else { Some((Some(number.parse().ok()?), day)) }
}

impl Rule {
    /// Reads the value of RRULE.
    pub(super) fn read(text: &str) -> Result<Self, Refused> {
        let mut rule = Self {
            every: 1,
            last: Last::Never,
            weekly: false,
            months: Vec::new(),
            month_days: Vec::new(),
            weekdays: Vec::new(),
        };
        let (mut freq, mut monday) = (None, true);
        let mut seen = BTreeSet::new();
        for part in text.split(';').filter(|part| !part.is_empty()) {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| Refused::new(format!("`{part}` is not understood")))?;
            let name = name.to_ascii_uppercase();
            let part = (name.as_str(), value);
            match name.as_str() {
                "FREQ" => freq = Some(value.to_ascii_uppercase()),
                "INTERVAL" => rule.every = number::<std::num::NonZero<u32>>(part)?.get(),
                "UNTIL" => rule.last = Last::On(until(value)?),
                "COUNT" => {
                    rule.last = Last::Number(number::<std::num::NonZero<usize>>(part)?.get())
                }
                "BYMONTH" => rule.months = list(part, |item| item.parse().ok())?,
                "BYMONTHDAY" => rule.month_days = list(part, |item| item.parse().ok())?,
                "BYDAY" => rule.weekdays = list(part, weekday)?,
                "WKST" => monday = value.eq_ignore_ascii_case("MO"),
                _ => return Err(Refused::new(format!("`{name}` is not understood"))),
            }
            if !seen.insert(name.clone()) {
                return Err(Refused::new(format!("`{name}` stands twice")));
            }
        }
        if seen.contains("UNTIL") && seen.contains("COUNT") {
            return Err(Refused::new("`UNTIL` beside `COUNT`: only one of them can be the last"));
        }
        rule.weekly = match freq.as_deref() {
            Some("YEARLY") => false,
            Some("WEEKLY") => true,
            Some(other) => return Err(Refused::new(format!("`FREQ={other}` is not understood"))),
            None => return Err(Refused::new("it has no `FREQ`")),
        };
        if rule.weekly && rule.every > 1 && !monday {
            return Err(Refused::new("weeks that do not begin on Monday are not understood"));
        }
        Ok(rule)
    }

    /// The days that it means for an event that begins on `start`.
    pub(super) fn on(&self, start: NaiveDate) -> Result<Again, Refused> {
        if self.weekly {
            return self.weekly(start).map(Again::Weekly);
        }
        let month = |month: u32| u8::try_from(month).unwrap_or(u8::MAX);
        let months = if self.months.is_empty() {
            if !self.month_days.is_empty() || !self.weekdays.is_empty() {
                return Err(Refused::new(
                    "days of each month are not understood: `BYMONTH` is missing",
                ));
            }
            vec![month(start.month())]
        } else {
            self.months.clone()
        };
        let days = if self.month_days.is_empty() {
            vec![month(start.day())]
        } else {
            self.month_days.clone()
        };
        let mut yearly = Vec::new();
        for month in months {
            if self.weekdays.is_empty() {
                for day in &days {
                    let found = Yearly::date(month, *day);
                    yearly.push(found.ok_or_else(|| {
                        Refused::new(format!("day {day} of month {month} is in no year"))
                    })?);
                }
            } else {
                yearly.extend(self.nth(month)?);
            }
        }
        Ok(Again::Yearly(yearly))
    }

    fn weekly(&self, start: NaiveDate) -> Result<BTreeSet<Weekday>, Refused> {
        if !self.months.is_empty() || !self.month_days.is_empty() {
            return Err(Refused::new("`BYMONTH` and `BYMONTHDAY` of weeks are not understood"));
        }
        if self.weekdays.iter().any(|(number, _)| number.is_some()) {
            return Err(Refused::new("a number before a day of each week is not understood"));
        }
        let days: BTreeSet<Weekday> = self.weekdays.iter().map(|(_, day)| *day).collect();
        Ok(if days.is_empty() { [Weekday::of(start)].into() } else { days })
    }

    fn nth(&self, month: u8) -> Result<Vec<Yearly>, Refused> {
        if !self.month_days.is_empty() {
            return Err(Refused::new("`BYDAY` beside `BYMONTHDAY` is not understood"));
        }
        let one = |(number, weekday): &(Option<i8>, Weekday)| match number {
            Some(nth @ (1..=5 | -1)) if (1..=12).contains(&month) => {
                Ok(Yearly::Nth { nth: *nth, weekday: *weekday, month })
            }
            Some(_) | None => Err(Refused::new(
                "`BYDAY` of a year needs the number of the day in its month, 1 to 5 or -1",
            )),
        };
        self.weekdays.iter().map(one).collect()
    }
}

fn until(text: &str) -> Result<NaiveDate, Refused> {
    let day = NaiveDate::parse_from_str(text, "%Y%m%d").ok().filter(|_| text.len() == 8);
    day.ok_or_else(|| Refused::new(format!("`UNTIL={text}` is not a day")))
}
