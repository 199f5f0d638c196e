//! A whole pattern, and the wall-clock readings it matches.

use chrono::NaiveDateTime;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use croner::{Cron, Direction, Weekday};

use super::describe;
use super::field::{Field, FieldKind, PatternError};
use super::lint;
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
#[derive(Clone, Debug)]
pub struct Pattern {
    cron: Cron,
    wild: bool,
    every_hour: bool,
    description: String,
    warnings: Vec<String>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PatternError`], with the field and the value; also for a well-formed pattern that no date can match.
    pub fn parse(pattern: &str) -> Result<Self, PatternError> {
        let fields = Fields::read(pattern)?;
        let cron = fields.compile(pattern)?;
        if let Some(why) = never_matches(&cron, &fields) {
            return Err(PatternError::NeverMatches { pattern: pattern.trim().to_owned(), why });
        }
        Ok(Self {
            cron,
            wild: [&fields.second, &fields.minute, &fields.hour]
                .iter()
                .any(|field| field.is_wild()),
            every_hour: fields.hour.values().len() == usize::from(FieldKind::Hour.turn()),
            description: describe::describe(&fields),
            warnings: lint::warnings(&fields),
        })
    }

    /// Whether it is a wildcard pattern, which follows elapsed time across daylight saving.
    ///
    /// Source: Debian's cron, `MIN_STAR | HR_STAR`: the first character of the second, minute or hour field is `*`.
    pub const fn is_wild(&self) -> bool {
        self.wild
    }

    /// Whether it matches in each hour of a day that it matches at all.
    pub const fn runs_every_hour(&self) -> bool {
        self.every_hour
    }

    /// The pattern in words, without a final stop.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// What about the pattern may mislead.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The first matching reading at or after `from`.
    pub fn at_or_after(&self, from: Local) -> Option<Local> {
        self.search(from, Direction::Forward)
    }

    /// The last matching reading at or before `until`.
    pub fn at_or_before(&self, until: Local) -> Option<Local> {
        self.search(until, Direction::Backward)
    }

    /// croner may fail for two reasons. Having run out of years is an answer: there is no such reading. Anything else must not
    /// drop a schedule, so the search goes on from the next day.
    fn search(&self, start: Local, direction: Direction) -> Option<Local> {
        const DAY: i64 = 86_400;
        const DAYS_TRIED: i64 = 366 * 8;
        let mut from = start;
        for _ in 0..DAYS_TRIED {
            let naive = from.naive();
            let found = match direction {
                Direction::Forward => self.cron.find_next_occurrence(&naive, true),
                Direction::Backward => self.cron.find_previous_occurrence(&naive, true),
            };
            match found {
                Ok(found) => return Some(Local::from(found)),
                Err(CronError::TimeSearchLimitExceeded) => return None,
                Err(_) => {
                    let midnight = from.secs().div_euclid(DAY) * DAY;
                    from = Local::from_secs(match direction {
                        Direction::Forward => midnight + DAY,
                        Direction::Backward => midnight - 1,
                    });
                }
            }
        }
        None
    }

    /// Whether a reading matches.
    pub fn matches(&self, reading: Local) -> bool {
        let naive: NaiveDateTime = reading.naive();
        self.cron.is_time_matching(&naive).unwrap_or(false)
    }
}

impl Fields {
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

    fn compile(&self, pattern: &str) -> Result<Cron, PatternError> {
        let both = if self.both_days { "+" } else { "" };
        let canonical = format!(
            "{} {} {} {} {} {both}{} {}",
            self.second.canonical(),
            self.minute.canonical(),
            self.hour.canonical(),
            self.day.canonical(),
            self.month.canonical(),
            self.weekday.canonical(),
            self.year.canonical(),
        );
        let parser = CronParser::builder().seconds(Seconds::Required).year(Year::Required).build();
        // Our own reading is stricter than croner's, so this does not happen; if it did, refusing is right.
        parser.parse(&canonical).map_err(|err| PatternError::NeverMatches {
            pattern: pattern.trim().to_owned(),
            why: err.to_string(),
        })
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

/// Says why no date can match, if so.
///
/// The years 2000 to 2027 hold every combination of leap year and first weekday, so a pattern without years that matches none
/// of their days matches none at all. croner's own search would walk to the year 5000.
fn never_matches(cron: &Cron, fields: &Fields) -> Option<String> {
    let years = if fields.year.is_star() { (2000..=2027).collect() } else { fields.year.values() };
    let months = fields.month.values();
    let possible = years.iter().any(|&year| {
        months.iter().any(|&month| month_matches(cron, i32::from(year), u32::from(month)))
    });
    if possible {
        return None;
    }
    Some(if years.is_empty() {
        format!("`{}` selects no year from 1970 to 2199", fields.year.text)
    } else if fields.both_days {
        "no date is that day of the month and that weekday at once, in those months".to_owned()
    } else {
        format!("no month selected by `{}` has day `{}`", fields.month.text, fields.day.text)
            + if fields.year.is_star() { "" } else { " in those years" }
    })
}

fn month_matches(cron: &Cron, year: i32, month: u32) -> bool {
    let Some(first) = chrono::NaiveDate::from_ymd_opt(year, month, 1) else { return false };
    first.iter_days().take_while(|date| chrono::Datelike::month(date) == month).any(|date| {
        let (day, weekday) = (chrono::Datelike::day(&date), chrono::Datelike::weekday(&date));
        let weekday = Weekday::from_days_from_sunday(weekday.num_days_from_sunday());
        cron.pattern.day_match(year, month, day, weekday).unwrap_or(false)
    })
}

#[cfg(test)]
mod tests;
