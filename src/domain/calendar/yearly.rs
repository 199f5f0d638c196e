//! Days that come once in each year: `12-25`, `third monday of january`, `easter+1`.

use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, Days, Months, NaiveDate};
use serde::{Deserialize, Serialize};

use super::Weekday;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Days of each month; February's 29th comes in leap years only.
const LENGTHS: [u8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// The words for which one of a month's weekdays is meant.
const ORDINALS: [(&str, &str, i8); 6] = [
    ("first", "1st", 1),
    ("second", "2nd", 2),
    ("third", "3rd", 3),
    ("fourth", "4th", 4),
    ("fifth", "5th", 5),
    ("last", "last", -1),
];

/// How far from Easter a day may lie: no church year reaches farther.
const EASTER_MAX: i16 = 200;

/// A day that comes at most once in each year. Written and kept as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Yearly {
    /// A day of a month, both from 1. 29 February comes in leap years only.
    Date {
        /// The month.
        month: u8,
        /// The day.
        day: u8,
    },
    /// One of a month's weekdays.
    Nth {
        /// Which one, from 1; -1 is the last. A fifth one comes in some years only.
        nth: i8,
        /// The day of the week.
        weekday: Weekday,
        /// The month, from 1.
        month: u8,
    },
    /// So many days after Easter Sunday of the Gregorian calendar; before it when negative.
    Easter {
        /// In days.
        offset: i16,
    },
}

impl Yearly {
    /// A day of a month, if there is such a one in some year.
    pub fn date(month: u8, day: u8) -> Option<Self> {
        let length = LENGTHS.get(usize::from(month.checked_sub(1)?))?;
        (1..=*length).contains(&day).then_some(Self::Date { month, day })
    }

    /// Whether it falls on `date` in that date's year.
    pub fn falls_on(&self, date: NaiveDate) -> bool {
        match *self {
            Self::Date { month, day } => {
                date.month() == u32::from(month) && date.day() == u32::from(day)
            }
            Self::Nth { nth, weekday, month } => {
                date.month() == u32::from(month)
                    && Weekday::of(date) == weekday
                    && if nth < 0 { is_last_of_its_kind(date) } else { which(date) == nth }
            }
            Self::Easter { offset } => {
                let days = Days::new(u64::from(offset.unsigned_abs()));
                let sunday = if offset < 0 {
                    date.checked_add_days(days)
                } else {
                    date.checked_sub_days(days)
                };
                sunday.is_some_and(|sunday| easter(sunday.year()) == Some(sunday))
            }
        }
    }
}

/// Which of its month's weekdays a date is, from 1.
fn which(date: NaiveDate) -> i8 {
    i8::try_from((date.day() - 1) / 7 + 1).unwrap_or(i8::MAX)
}

fn is_last_of_its_kind(date: NaiveDate) -> bool {
    let next = date.with_day(1).and_then(|first| first.checked_add_months(Months::new(1)));
    let week = date.checked_add_days(Days::new(7));
    next.zip(week).is_some_and(|(next, week)| week >= next)
}

/// Easter Sunday of a year of the Gregorian calendar.
///
/// Source: the anonymous algorithm of 1876 (Butcher), in Meeus, Astronomical Algorithms, chapter 8.
pub fn easter(year: i32) -> Option<NaiveDate> {
    let golden = year.rem_euclid(19);
    let (century, in_century) = (year.div_euclid(100), year.rem_euclid(100));
    let (leaps, rest) = (century / 4, century % 4);
    let moon_shift = (century - (century + 8) / 25 + 1) / 3;
    let epact = (19 * golden + century - leaps - moon_shift + 15).rem_euclid(30);
    let to_sunday = (32 + 2 * rest + 2 * (in_century / 4) - epact - in_century % 4).rem_euclid(7);
    let late = (golden + 11 * epact + 22 * to_sunday) / 451;
    let days = epact + to_sunday - 7 * late + 114;
    let (month, day) = (u32::try_from(days / 31).ok()?, u32::try_from(days % 31 + 1).ok()?);
    NaiveDate::from_ymd_opt(year, month, day)
}

/// Why a text names no day of the year.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum YearlyError {
    /// It has none of the forms.
    #[error("`{given}` is not a day of the year")]
    Form {
        /// What was given.
        given: String,
    },
    /// It has the form of a date that no year has.
    #[error("`{given}` is in no year")]
    Never {
        /// What was given.
        given: String,
    },
    /// A word of it is not known.
    #[error("`{word}` in `{given}` is not {expected}")]
    Word {
        /// What was given.
        given: String,
        /// The word.
        word: String,
        /// What was expected in its place.
        expected: &'static str,
    },
    /// It lies too far from Easter.
    #[error("`{given}` lies more than {EASTER_MAX} days from Easter")]
    Far {
        /// What was given.
        given: String,
    },
}

impl YearlyError {
    /// The words that were possible in the place of the one that is not known.
    pub fn candidates(&self) -> Vec<&'static str> {
        match self {
            Self::Word { expected, .. } if *expected == MONTH => MONTHS.to_vec(),
            Self::Word { expected, .. } if *expected == WEEKDAY => {
                Weekday::ALL.map(Weekday::name).to_vec()
            }
            Self::Word { .. } => ORDINALS.map(|(word, ..)| word).to_vec(),
            Self::Form { .. } | Self::Never { .. } | Self::Far { .. } => Vec::new(),
        }
    }
}

const MONTH: &str = "a month";
const WEEKDAY: &str = "a day of the week";
const ORDINAL: &str = "`first` to `fifth` or `last`";

impl FromStr for Yearly {
    type Err = YearlyError;

    /// Reads `12-25`, `third monday of january`, `easter`, `easter+1`; letters' case does not count.
    fn from_str(text: &str) -> Result<Self, YearlyError> {
        let given = text.trim();
        let lower = given.to_ascii_lowercase();
        if let Some(offset) = lower.strip_prefix("easter") {
            return from_easter(given, offset);
        }
        let words: Vec<&str> = lower.split_whitespace().collect();
        if let [nth, weekday, "of", month] = words.as_slice() {
            return nth_weekday(given, (*nth, *weekday, *month));
        }
        let form = || YearlyError::Form { given: given.to_owned() };
        let (month, day) = lower.split_once('-').ok_or_else(form)?;
        let number = |text: &str| {
            let plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| text.parse::<u8>().ok()).flatten().ok_or_else(form)
        };
        Self::date(number(month)?, number(day)?)
            .ok_or_else(|| YearlyError::Never { given: given.to_owned() })
    }
}

fn from_easter(given: &str, offset: &str) -> Result<Yearly, YearlyError> {
    let offset = offset.replace(' ', "");
    let signed = offset.is_empty() || offset.starts_with(['+', '-']);
    let offset = if offset.is_empty() { Some(0) } else { offset.parse::<i16>().ok() };
    match offset.filter(|_| signed) {
        None => Err(YearlyError::Form { given: given.to_owned() }),
        Some(offset) if offset.unsigned_abs() > EASTER_MAX.unsigned_abs() => {
            Err(YearlyError::Far { given: given.to_owned() })
        }
        Some(offset) => Ok(Yearly::Easter { offset }),
    }
}

fn nth_weekday(given: &str, words: (&str, &str, &str)) -> Result<Yearly, YearlyError> {
    let unknown = |word: &str, expected| YearlyError::Word {
        given: given.to_owned(),
        word: word.to_owned(),
        expected,
    };
    let (nth, weekday, month) = words;
    let known = ORDINALS.iter().find(|(long, short, _)| nth == *long || nth == *short);
    let (_, _, number) = known.ok_or_else(|| unknown(nth, ORDINAL))?;
    let weekday = weekday.parse().map_err(|_err| unknown(weekday, WEEKDAY))?;
    let is = |name: &&str| *name == month || name.get(..3) == Some(month);
    let at = MONTHS.iter().position(is).ok_or_else(|| unknown(month, MONTH))?;
    let month = u8::try_from(at + 1).map_err(|_err| unknown(month, MONTH))?;
    Ok(Yearly::Nth { nth: *number, weekday, month })
}

impl fmt::Display for Yearly {
    /// As it is read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Date { month, day } => write!(f, "{month:02}-{day:02}"),
            Self::Nth { nth, weekday, month } => {
                let known = ORDINALS.iter().find(|(.., number)| *number == nth);
                let nth = known.map_or("no", |(word, ..)| word);
                let month = MONTHS.get(usize::from(month.saturating_sub(1))).unwrap_or(&"no month");
                write!(f, "{nth} {} of {month}", weekday.name())
            }
            Self::Easter { offset: 0 } => f.write_str("easter"),
            Self::Easter { offset } => write!(f, "easter{offset:+}"),
        }
    }
}

impl TryFrom<String> for Yearly {
    type Error = YearlyError;
    fn try_from(text: String) -> Result<Self, YearlyError> {
        text.parse()
    }
}

impl From<Yearly> for String {
    fn from(day: Yearly) -> Self {
        day.to_string()
    }
}
