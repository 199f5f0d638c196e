//! The dates that a pattern matches, by its fields for day, month, weekday and year. croner finds them.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use croner::{Cron, Direction, Weekday};

use super::pattern::Fields;

/// Dates, as days since 1970-01-01.
#[derive(Debug)]
pub(super) struct Dates(Cron);

/// Dates in use, by their fields: patterns that differ only in the time of day share theirs.
#[derive(Debug, Default)]
pub struct DatePool(HashMap<String, Arc<Dates>>);

impl DatePool {
    /// The dates that `fields` select, or why there are none.
    pub(super) fn dates(&mut self, fields: &Fields) -> Result<Arc<Dates>, String> {
        let canonical = fields.canonical_dates();
        if let Some(dates) = self.0.get(&canonical) {
            return Ok(Arc::clone(dates));
        }
        let dates = Arc::new(Dates::new(fields, &canonical)?);
        self.0.insert(canonical, Arc::clone(&dates));
        Ok(dates)
    }

    /// Drops what no pattern uses any more.
    pub fn forget_unused(&mut self) {
        self.0.retain(|_, dates| Arc::strong_count(dates) > 1);
    }
}

impl Dates {
    fn new(fields: &Fields, canonical: &str) -> Result<Self, String> {
        let parser = CronParser::builder().seconds(Seconds::Required).year(Year::Required).build();
        // Our own reading is stricter than croner's, so this does not happen; if it did, refusing is right.
        let cron = parser.parse(&format!("0 0 0 {canonical}")).map_err(|err| err.to_string())?;
        match never_matches(&cron, fields) {
            Some(why) => Err(why),
            None => Ok(Self(cron)),
        }
    }

    /// The first one that is not before `day`.
    pub(super) fn at_or_after(&self, day: i64) -> Option<i64> {
        self.search(day, Direction::Forward)
    }

    /// The last one that is not after `day`.
    pub(super) fn at_or_before(&self, day: i64) -> Option<i64> {
        self.search(day, Direction::Backward)
    }

    /// croner may fail for two reasons. Having run out of years is an answer: there is no such date. Anything else must not
    /// drop a schedule, so the search goes on from the next day.
    fn search(&self, start: i64, direction: Direction) -> Option<i64> {
        const DAYS_TRIED: i64 = 366 * 8;
        let step = match direction {
            Direction::Forward => 1,
            Direction::Backward => -1,
        };
        for tried in 0..DAYS_TRIED {
            let midnight = midnight(start + tried * step)?;
            let found = match direction {
                Direction::Forward => self.0.find_next_occurrence(&midnight, true),
                Direction::Backward => self.0.find_previous_occurrence(&midnight, true),
            };
            match found {
                Ok(found) => return Some(found.and_utc().timestamp().div_euclid(86_400)),
                Err(CronError::TimeSearchLimitExceeded) => return None,
                Err(_) => (),
            }
        }
        None
    }
}

fn midnight(day: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp(day.checked_mul(86_400)?, 0).map(|at| at.naive_utc())
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
    let Some(first) = NaiveDate::from_ymd_opt(year, month, 1) else { return false };
    first.iter_days().take_while(|date| chrono::Datelike::month(date) == month).any(|date| {
        let (day, weekday) = (chrono::Datelike::day(&date), chrono::Datelike::weekday(&date));
        let weekday = Weekday::from_days_from_sunday(weekday.num_days_from_sunday());
        cron.pattern.day_match(year, month, day, weekday).unwrap_or(false)
    })
}
