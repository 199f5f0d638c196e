//! A whole pattern, and the wall-clock readings it matches.

use std::sync::Arc;

use super::dates::{DatePool, Dates};
use super::field::{Field, FieldKind, PatternError};
use super::{describe as words, lint};
use crate::civil::Local;

const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// Whether a pattern is `@reboot`, which has no instants: it is a kind of its own.
pub fn is_reboot(pattern: &str) -> bool {
    pattern.trim().eq_ignore_ascii_case("@reboot")
}

/// The fields of a pattern as read.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    pub(super) second: Field,
    pub(super) minute: Field,
    pub(super) hour: Field,
    pub(super) day: Field,
    pub(super) month: Field,
    pub(super) weekday: Field,
    pub(super) year: Field,
    /// `+` stands before the weekday: day of the month and weekday must both fit.
    pub(super) both_days: bool,
    /// How many fields were written.
    pub(super) count: usize,
}

/// A cron pattern, read once.
///
/// Five fields, six with seconds first, seven with the year last, or a nickname. Day of the month and weekday: either when both
/// are restricted, both after `+`.
///
/// The time of day is three sets of bits, and the dates are shared: a whole pattern of croner's has 5 kB, most of it a
/// byte for each year to 5000, and a hundred thousand schedules have few different dates.
#[derive(Clone, Debug)]
pub struct Pattern {
    dates: Arc<Dates>,
    seconds: u64,
    minutes: u64,
    hours: u64,
    wild: bool,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PatternError`], with the field and the value; also for a well-formed pattern that no date can match.
    pub fn parse(pattern: &str) -> Result<Self, PatternError> {
        Self::parse_among(pattern, &mut DatePool::default())
    }

    /// Reads a pattern; its dates are those of `pool` when equal ones are there.
    ///
    /// # Errors
    /// As [`Pattern::parse`].
    pub fn parse_among(pattern: &str, pool: &mut DatePool) -> Result<Self, PatternError> {
        let fields = Fields::read(pattern)?;
        let dates = pool.dates(&fields).map_err(|why| PatternError::NeverMatches {
            pattern: pattern.trim().to_owned(),
            why,
        })?;
        let clock = [&fields.second, &fields.minute, &fields.hour];
        let [seconds, minutes, hours] = clock.map(Field::bits);
        let wild = clock.iter().any(|field| field.is_wild());
        Ok(Self { dates, seconds, minutes, hours, wild })
    }

    /// Whether it is a wildcard pattern, which follows elapsed time across daylight saving.
    ///
    /// Source: Debian's cron, `MIN_STAR | HR_STAR`: the first character of the second, minute or hour field is `*`.
    pub const fn is_wild(&self) -> bool {
        self.wild
    }

    /// Whether it matches in each hour of a day that it matches at all.
    pub const fn runs_every_hour(&self) -> bool {
        self.hours.count_ones() == 24
    }

    /// The first matching reading at or after `from`.
    pub fn at_or_after(&self, from: Local) -> Option<Local> {
        let (day, second) = (from.secs().div_euclid(DAY), from.secs().rem_euclid(DAY));
        let mut date = self.dates.at_or_after(day)?;
        let mut time = self.time_from(if date == day { second } else { 0 });
        if time.is_none() {
            date = self.dates.at_or_after(date + 1)?;
            time = self.time_from(0);
        }
        Some(Local::from_secs(date * DAY + time?))
    }

    /// The last matching reading at or before `until`.
    pub fn at_or_before(&self, until: Local) -> Option<Local> {
        let (day, second) = (until.secs().div_euclid(DAY), until.secs().rem_euclid(DAY));
        let mut date = self.dates.at_or_before(day)?;
        let mut time = self.time_until(if date == day { second } else { DAY - 1 });
        if time.is_none() {
            date = self.dates.at_or_before(date - 1)?;
            time = self.time_until(DAY - 1);
        }
        Some(Local::from_secs(date * DAY + time?))
    }

    /// The first second of a day at or after `second` that matches.
    fn time_from(&self, second: i64) -> Option<i64> {
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let (first_minute, first_second) = (lowest(self.minutes, 0)?, lowest(self.seconds, 0)?);
        if has(self.hours, hour) {
            if has(self.minutes, minute)
                && let Some(second) = lowest(self.seconds, second)
            {
                return Some(hour * 3600 + minute * 60 + second);
            }
            if let Some(minute) = lowest(self.minutes, minute + 1) {
                return Some(hour * 3600 + minute * 60 + first_second);
            }
        }
        let hour = lowest(self.hours, hour + 1)?;
        Some(hour * 3600 + first_minute * 60 + first_second)
    }

    /// The last second of a day at or before `second` that matches.
    fn time_until(&self, second: i64) -> Option<i64> {
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let (last_minute, last_second) = (highest(self.minutes, 63)?, highest(self.seconds, 63)?);
        if has(self.hours, hour) {
            if has(self.minutes, minute)
                && let Some(second) = highest(self.seconds, second)
            {
                return Some(hour * 3600 + minute * 60 + second);
            }
            if let Some(minute) = highest(self.minutes, minute - 1) {
                return Some(hour * 3600 + minute * 60 + last_second);
            }
        }
        let hour = highest(self.hours, hour - 1)?;
        Some(hour * 3600 + last_minute * 60 + last_second)
    }

    /// Whether a reading matches.
    pub fn matches(&self, reading: Local) -> bool {
        self.at_or_after(reading) == Some(reading)
    }
}

/// A valid pattern in words, without a final stop.
///
/// # Errors
/// As [`Pattern::parse`].
pub fn describe(pattern: &str) -> Result<String, PatternError> {
    Fields::read(pattern).map(|fields| words::describe(&fields))
}

/// What about a valid pattern may mislead.
///
/// # Errors
/// As [`Pattern::parse`].
pub fn warnings(pattern: &str) -> Result<Vec<String>, PatternError> {
    Fields::read(pattern).map(|fields| lint::warnings(&fields))
}

const DAY: i64 = 86_400;

fn has(bits: u64, bit: i64) -> bool {
    lowest(bits, bit) == Some(bit)
}

/// The lowest set bit that is not below `from`.
fn lowest(bits: u64, from: i64) -> Option<i64> {
    let shift = u32::try_from(from).ok().filter(|shift| *shift < 64)?;
    let left = bits >> shift << shift;
    (left != 0).then(|| i64::from(left.trailing_zeros()))
}

/// The highest set bit that is not above `until`.
fn highest(bits: u64, until: i64) -> Option<i64> {
    let shift = u32::try_from(63 - until).ok().filter(|shift| *shift < 64)?;
    let left = bits << shift >> shift;
    (left != 0).then(|| i64::from(63 - left.leading_zeros()))
}

impl Fields {
    /// The fields that select dates, as croner is to read them.
    pub(super) fn canonical_dates(&self) -> String {
        let both = if self.both_days { "+" } else { "" };
        let (day, month) = (self.day.canonical(), self.month.canonical());
        format!("{day} {month} {both}{} {}", self.weekday.canonical(), self.year.canonical())
    }

    fn read(pattern: &str) -> Result<Self, PatternError> {
        let trimmed = pattern.trim();
        if trimmed.is_empty() {
            return Err(PatternError::Empty);
        }
        let text = if trimmed.starts_with('@') { nickname(trimmed)? } else { pattern };
        let parts: Vec<(usize, &str)> = text
            .split_ascii_whitespace()
            .map(|part| (part.as_ptr().addr() - text.as_ptr().addr(), part))
            .collect();
        let count = parts.len();
        if !(5..=7).contains(&count) {
            return Err(PatternError::FieldCount { pattern: trimmed.to_owned(), found: count });
        }
        let mut parts = parts.into_iter();
        let mut next = |kind: FieldKind, given: bool, otherwise: &str| {
            let (start, part) =
                if given { parts.next().unwrap_or((0, otherwise)) } else { (0, otherwise) };
            match part.strip_prefix('+') {
                Some(rest) if kind == FieldKind::Weekday => {
                    Field::read(kind, rest, start + 1).map(|field| (field, true))
                }
                _ => Field::read(kind, part, start).map(|field| (field, false)),
            }
        };
        let second = next(FieldKind::Second, count > 5, "0")?.0;
        let minute = next(FieldKind::Minute, true, "*")?.0;
        let hour = next(FieldKind::Hour, true, "*")?.0;
        let day = next(FieldKind::Day, true, "*")?.0;
        let month = next(FieldKind::Month, true, "*")?.0;
        let (weekday, both_days) = next(FieldKind::Weekday, true, "*")?;
        let year = next(FieldKind::Year, count > 6, "*")?.0;
        Ok(Self { second, minute, hour, day, month, weekday, year, both_days, count })
    }
}

fn nickname(given: &str) -> Result<&'static str, PatternError> {
    let wanted = given.to_ascii_lowercase();
    NICKNAMES.iter().find(|(name, _)| *name == wanted).map(|(_, pattern)| *pattern).ok_or_else(
        || {
            let nearest = NICKNAMES
                .iter()
                .map(|(name, _)| (strsim::jaro_winkler(&wanted, name), *name))
                .filter(|(score, _)| *score > 0.85)
                .max_by(|left, right| left.0.total_cmp(&right.0))
                .map(|(_, name)| format!("did you mean `{name}`?"));
            PatternError::Nickname { given: given.to_owned(), nearest }
        },
    )
}

#[cfg(test)]
mod tests;
