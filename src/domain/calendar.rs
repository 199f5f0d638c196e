//! Calendars: sets of local dates, on which schedules do not run, or on which alone they run.
//!
//! A calendar knows dates and no zone: whoever asks says which date it is.

mod yearly;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, Days, NaiveDate};
use serde::{Deserialize, Serialize};

pub use self::yearly::{Yearly, YearlyError, easter};

/// A named set of dates, as its file says it: `calendars/<name>.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Calendar {
    /// Single dates.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub dates: BTreeSet<NaiveDate>,
    /// Stretches of dates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<Range>,
    /// Days of each week.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub weekly: BTreeSet<Weekday>,
    /// Days of each year.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub yearly: Vec<Yearly>,
    /// Events of an iCalendar file that come again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repeats: Vec<Repeat>,
}

impl Calendar {
    /// Whether `date` is one of its days.
    pub fn contains(&self, date: NaiveDate) -> bool {
        self.dates.contains(&date)
            || self.ranges.iter().any(|range| range.contains(date))
            || self.weekly.contains(&Weekday::of(date))
            || self.yearly.iter().any(|yearly| yearly.falls_on(date))
            || self.repeats.iter().any(|repeat| repeat.contains(date))
    }

    /// Whether no date is one of its days.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A stretch of dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Range {
    /// The first date.
    pub from: NaiveDate,
    /// The last date; it belongs to the stretch.
    pub to: NaiveDate,
}

impl Range {
    fn contains(&self, date: NaiveDate) -> bool {
        (self.from..=self.to).contains(&date)
    }
}

/// An event of whole days that comes again. Source: RFC 5545, section 3.3.10.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeat {
    /// The first day of the first event.
    pub from: NaiveDate,
    /// Events begin no later than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<NaiveDate>,
    /// 1 for each year or week, 2 for every other one, counted from the first.
    pub every: u32,
    /// The days on which an event begins.
    pub on: Again,
    /// How many days an event takes.
    pub days: u32,
    /// Beginnings that are left out.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub except: BTreeSet<NaiveDate>,
}

/// Days that come again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Again {
    /// In each year.
    Yearly(Vec<Yearly>),
    /// In each week, which begins on Monday.
    Weekly(BTreeSet<Weekday>),
}

impl Repeat {
    fn contains(&self, date: NaiveDate) -> bool {
        (0..self.days).any(|ago| {
            date.checked_sub_days(Days::new(u64::from(ago))).is_some_and(|day| self.begins_on(day))
        })
    }

    /// Whether an event begins on `date`.
    pub fn begins_on(&self, date: NaiveDate) -> bool {
        date >= self.from
            && self.until.is_none_or(|until| date <= until)
            && !self.except.contains(&date)
            && self.falls_on(date)
    }

    fn falls_on(&self, date: NaiveDate) -> bool {
        let every = i64::from(self.every.max(1));
        match &self.on {
            Again::Yearly(days) => {
                let years = i64::from(date.year()) - i64::from(self.from.year());
                years % every == 0 && days.iter().any(|day| day.falls_on(date))
            }
            Again::Weekly(days) => {
                let weeks = (monday_before(date) - monday_before(self.from)).num_weeks();
                weeks % every == 0 && days.contains(&Weekday::of(date))
            }
        }
    }
}

/// The Monday of a date's week, in days since a fixed one.
fn monday_before(date: NaiveDate) -> chrono::TimeDelta {
    let days = i64::from(date.num_days_from_ce() - 1);
    chrono::TimeDelta::days(days - days.rem_euclid(7))
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weekday {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Weekday {
    /// All of them, from Monday.
    pub const ALL: [Self; 7] =
        [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    /// The day of the week of a date.
    pub fn of(date: NaiveDate) -> Self {
        match date.weekday() {
            chrono::Weekday::Mon => Self::Mon,
            chrono::Weekday::Tue => Self::Tue,
            chrono::Weekday::Wed => Self::Wed,
            chrono::Weekday::Thu => Self::Thu,
            chrono::Weekday::Fri => Self::Fri,
            chrono::Weekday::Sat => Self::Sat,
            chrono::Weekday::Sun => Self::Sun,
        }
    }

    /// The short name, `mon`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mon => "mon",
            Self::Tue => "tue",
            Self::Wed => "wed",
            Self::Thu => "thu",
            Self::Fri => "fri",
            Self::Sat => "sat",
            Self::Sun => "sun",
        }
    }

    /// The long name, `monday`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mon => "monday",
            Self::Tue => "tuesday",
            Self::Wed => "wednesday",
            Self::Thu => "thursday",
            Self::Fri => "friday",
            Self::Sat => "saturday",
            Self::Sun => "sunday",
        }
    }
}

impl fmt::Display for Weekday {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no day of the week.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a day of the week")]
pub struct WeekdayError {
    /// What was given.
    pub given: String,
}

impl FromStr for Weekday {
    type Err = WeekdayError;

    /// Reads `mon` or `monday`; letters' case does not count.
    fn from_str(text: &str) -> Result<Self, WeekdayError> {
        let is = |day: &Self| {
            text.eq_ignore_ascii_case(day.as_str()) || text.eq_ignore_ascii_case(day.name())
        };
        Self::ALL.into_iter().find(is).ok_or_else(|| WeekdayError { given: text.to_owned() })
    }
}

#[cfg(test)]
mod tests;
