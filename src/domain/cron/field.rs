//! One field of a pattern: its grammar, and what is wrong with a text that does not follow it.

use std::fmt;
use std::ops::Range;

/// Which field of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// 0 to 59; only with six fields or more.
    Second,
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31, `L`, `LW`, `15W`.
    Day,
    /// 1 to 12 or names.
    Month,
    /// 0 to 7 (both Sunday) or names, `5#3`, `5L`.
    Weekday,
    /// Only with seven fields.
    Year,
}

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl FieldKind {
    /// The smallest and the largest value.
    pub const fn bounds(self) -> (u16, u16) {
        match self {
            Self::Second | Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::Day => (1, 31),
            Self::Month => (1, 12),
            Self::Weekday => (0, 7),
            // Zone rules are followed up to the year 2200.
            Self::Year => (1970, 2199),
        }
    }

    /// What may stand in the field, in words.
    const fn expected(self) -> &'static str {
        match self {
            Self::Second | Self::Minute => {
                "a number from 0 to 59, a range `10-20`, a list `0,30`, `*` or a step `*/15`"
            }
            Self::Hour => {
                "a number from 0 to 23, a range `9-17`, a list `6,18`, `*` or a step `*/2`"
            }
            Self::Day => {
                "a number from 1 to 31, a range `1-7`, a list `1,15`, `*`, a step `*/10`, `L`, `LW` or `15W`"
            }
            Self::Month => {
                "a number from 1 to 12, a name such as `JAN`, a range, a list, `*` or a step `*/3`"
            }
            Self::Weekday => {
                "a number from 0 to 7 (0 and 7 are Sunday), a name such as `MON`, a range, a list, `*`, `5#3` or `5L`"
            }
            Self::Year => "a year from 1970 to 2199, a range, a list, `*` or a step `2026-2036/2`",
        }
    }

    const fn names(self) -> (&'static [&'static str], u16) {
        match self {
            Self::Month => (&MONTHS, 1),
            Self::Weekday => (&WEEKDAYS, 0),
            Self::Second | Self::Minute | Self::Hour | Self::Day | Self::Year => (&[], 0),
        }
    }

    /// A whole turn of values; Sunday counts once.
    pub(super) const fn turn(self) -> u16 {
        let (min, max) = self.bounds();
        match self {
            Self::Weekday => 7,
            Self::Second | Self::Minute | Self::Hour | Self::Day | Self::Month | Self::Year => {
                max - min + 1
            }
        }
    }
}

impl fmt::Display for FieldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day-of-month",
            Self::Month => "month",
            Self::Weekday => "day-of-week",
            Self::Year => "year",
        })
    }
}

/// Why a text is no cron pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing but white space.
    #[error(
        "the cron pattern is empty: expected five fields, `minute hour day-of-month month day-of-week`"
    )]
    Empty,
    /// Not five, six or seven fields.
    #[error("the cron pattern `{pattern}` has {found} field{}: expected 5 (`minute hour day-of-month month day-of-week`), 6 (with seconds first) or 7 (with the year last)", if *.found == 1 { "" } else { "s" })]
    FieldCount {
        /// What was given.
        pattern: String,
        /// How many it has.
        found: usize,
    },
    /// An `@` name that is none of ours.
    #[error(
        "`{given}` is not a nickname: expected `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly`, `@annually` or `@reboot`{}",
        hint(.nearest.as_deref())
    )]
    Nickname {
        /// What was given.
        given: String,
        /// The nearest one, as a hint.
        nearest: Option<String>,
    },
    /// A field that does not follow its grammar.
    #[error("the {field} field has `{value}`: {why}{}", hint(.mend.as_deref()))]
    Field {
        /// Which field.
        field: FieldKind,
        /// The part of it that is wrong.
        value: String,
        /// What is wrong with it, and what was expected.
        why: String,
        /// How to mend it, where that is plain.
        mend: Option<String>,
        /// Where it stands in the pattern, in bytes.
        span: Range<usize>,
    },
    /// Well formed, but no date fits.
    #[error("the cron pattern `{pattern}` never matches: {why}")]
    NeverMatches {
        /// What was given.
        pattern: String,
        /// Why no date fits.
        why: String,
    },
}

fn hint(text: Option<&str>) -> String {
    text.map(|text| format!(" (hint: {text})")).unwrap_or_default()
}

impl PatternError {
    /// Where in the pattern the fault lies, in bytes; none when it is the pattern as a whole.
    pub fn span(&self) -> Option<Range<usize>> {
        match self {
            Self::Field { span, .. } => Some(span.clone()),
            Self::Empty
            | Self::FieldCount { .. }
            | Self::Nickname { .. }
            | Self::NeverMatches { .. } => None,
        }
    }
}

/// What an entry of a field's list selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// `*`, or `*/n`.
    All { step: Option<u16> },
    /// `a-b`, or `a-b/n`.
    Range { from: u16, to: u16, step: Option<u16> },
    /// A single value.
    One(u16),
    /// `L` as day of the month.
    LastDay,
    /// `LW`.
    LastWorkday,
    /// `15W`.
    NearestWorkday(u16),
    /// `5#3`.
    Nth { weekday: u16, nth: u16 },
    /// `5L`, `5#L`.
    LastOf(u16),
}

/// A field as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) kind: FieldKind,
    /// As written, in upper case.
    pub(super) text: String,
    pub(super) entries: Vec<Entry>,
    /// `1,,2` or `1,2,`.
    pub(super) has_empty_entry: bool,
}

impl Field {
    /// Reads one field; `start` is where it stands in the pattern.
    pub(super) fn read(kind: FieldKind, text: &str, start: usize) -> Result<Self, PatternError> {
        let text = text.to_ascii_uppercase();
        let mut field =
            Self { kind, text: text.clone(), entries: Vec::new(), has_empty_entry: false };
        let mut at = start;
        for entry in text.split(',') {
            let reader = Reader { kind, entry, span: at..at + entry.len() };
            at += entry.len() + 1;
            if entry.is_empty() {
                field.has_empty_entry = true;
            } else {
                field.entries.push(reader.read(text.len() == entry.len())?);
            }
        }
        if field.entries.is_empty() {
            let reader = Reader { kind, entry: &text, span: start..start + text.len() };
            return Err(reader.refuse(format!("expected {}", kind.expected()), None));
        }
        Ok(field)
    }

    /// `*`, or `?` for a day: the field does not restrict.
    pub(super) fn is_star(&self) -> bool {
        matches!(self.entries.as_slice(), [Entry::All { step: None }]) && !self.has_empty_entry
    }

    /// First character `*`: what Debian's cron calls a wildcard.
    pub(super) fn is_wild(&self) -> bool {
        self.text.starts_with('*')
    }

    /// The plain values selected, in order; not those of `L`, `W` and `#`. Sunday is 0.
    pub(super) fn values(&self) -> Vec<u16> {
        let (min, max) = self.kind.bounds();
        let mut chosen: Vec<u16> = self
            .entries
            .iter()
            .flat_map(|entry| {
                let (from, to, step) = match *entry {
                    Entry::All { step } => (self.first_of_all(), max, step),
                    Entry::Range { from, to, step } => (from, to, step),
                    Entry::One(value) => (value, value, None),
                    Entry::LastDay
                    | Entry::LastWorkday
                    | Entry::NearestWorkday(_)
                    | Entry::Nth { .. }
                    | Entry::LastOf(_) => (1, 0, None),
                };
                (from..=to).step_by(usize::from(step.unwrap_or(1).max(1)))
            })
            .filter(|value| (min..=max).contains(value))
            .map(|value| if self.kind == FieldKind::Weekday { value % 7 } else { value })
            .collect();
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }

    /// The values of a field below 64 as bits.
    pub(super) fn bits(&self) -> u64 {
        self.values().iter().fold(0, |bits, value| bits | 1 << (value % 64))
    }

    /// Where `*/n` starts: croner counts years from 1, so `*/2` means the odd ones.
    fn first_of_all(&self) -> u16 {
        match self.kind {
            FieldKind::Year => 1,
            FieldKind::Second
            | FieldKind::Minute
            | FieldKind::Hour
            | FieldKind::Day
            | FieldKind::Month
            | FieldKind::Weekday => self.kind.bounds().0,
        }
    }

    /// The field as croner is to read it: numbers only, no empty entries.
    pub(super) fn canonical(&self) -> String {
        if self.is_star() {
            return "*".to_owned();
        }
        let longest = self.kind.turn();
        let entries = self.entries.iter().map(|entry| match *entry {
            Entry::All { step } => format!("*/{}", step.unwrap_or(1).min(longest)),
            Entry::Range { from, to, step: None } => format!("{from}-{to}"),
            Entry::Range { from, to, step: Some(step) } => {
                format!("{from}-{to}/{}", step.min(longest))
            }
            Entry::One(value) => value.to_string(),
            Entry::LastDay => "L".to_owned(),
            Entry::LastWorkday => "LW".to_owned(),
            Entry::NearestWorkday(day) => format!("{day}W"),
            Entry::Nth { weekday, nth } => format!("{weekday}#{nth}"),
            Entry::LastOf(weekday) => format!("{weekday}#L"),
        });
        entries.collect::<Vec<_>>().join(",")
    }
}

/// Reads one entry of a list.
struct Reader<'a> {
    kind: FieldKind,
    /// In upper case, not empty.
    entry: &'a str,
    span: Range<usize>,
}

impl Reader<'_> {
    fn read(&self, alone: bool) -> Result<Entry, PatternError> {
        match (self.kind, self.entry) {
            (_, "*") => return Ok(Entry::All { step: None }),
            (FieldKind::Day | FieldKind::Weekday, "?") if alone => {
                return Ok(Entry::All { step: None });
            }
            (FieldKind::Day, "L") => return Ok(Entry::LastDay),
            (FieldKind::Day, "LW") => return Ok(Entry::LastWorkday),
            (FieldKind::Weekday, "L") => {
                let mend = "`6L` is the month's last Saturday, `SAT` every Saturday".to_owned();
                return Err(self.refuse("`L` needs a weekday in front".to_owned(), Some(mend)));
            }
            _ => (),
        }
        if let Some((base, step)) = self.entry.split_once('/') {
            return self.stepped(base, step);
        }
        if self.kind == FieldKind::Day
            && let Some(day) = self.entry.strip_suffix('W')
        {
            return Ok(Entry::NearestWorkday(self.value(day)?));
        }
        if self.kind == FieldKind::Weekday
            && let Some(entry) = self.weekday_of_month()?
        {
            return Ok(entry);
        }
        if let Some((from, to)) = self.entry.split_once('-') {
            let (from, to) = self.range(from, to)?;
            return Ok(Entry::Range { from, to, step: None });
        }
        self.value(self.entry).map(Entry::One)
    }

    /// `5#3`, `5#L`, `5L`.
    fn weekday_of_month(&self) -> Result<Option<Entry>, PatternError> {
        let (weekday, nth) = match self.entry.split_once('#') {
            Some(parts) => parts,
            None => match self.entry.strip_suffix('L') {
                Some(weekday) => (weekday, "L"),
                None => return Ok(None),
            },
        };
        let weekday = self.value(weekday)?;
        match nth {
            "L" => Ok(Some(Entry::LastOf(weekday))),
            "1" | "2" | "3" | "4" | "5" => {
                let nth = nth.parse().unwrap_or(1);
                Ok(Some(Entry::Nth { weekday, nth }))
            }
            _ => Err(self.refuse(
                "expected a number from 1 to 5 or `L` after `#`".to_owned(),
                Some("`5#3` is the third Friday of the month".to_owned()),
            )),
        }
    }

    fn stepped(&self, base: &str, step: &str) -> Result<Entry, PatternError> {
        let parsed: u16 = step.parse().map_err(|_not_a_number| {
            self.refuse(format!("the step `{step}` is not a number from 1 to 65535"), None)
        })?;
        if parsed == 0 {
            return Err(
                self.refuse("a step of 0 goes nowhere: expected 1 or more".to_owned(), None)
            );
        }
        let step = Some(parsed);
        if base == "*" {
            return Ok(Entry::All { step });
        }
        if let Some((from, to)) = base.split_once('-') {
            let (from, to) = self.range(from, to)?;
            return Ok(Entry::Range { from, to, step });
        }
        let why = "a step needs `*` or a range in front".to_owned();
        let (_, max) = self.kind.bounds();
        let mend = if base.is_empty() {
            Some(format!("write `*/{parsed}`"))
        } else {
            self.number(base).map(|from| format!("write `{from}-{max}/{parsed}`"))
        };
        Err(self.refuse(why, mend))
    }

    fn range(&self, from: &str, to: &str) -> Result<(u16, u16), PatternError> {
        if from == "L" && self.kind == FieldKind::Day {
            let why = "days before the month's end cannot be counted".to_owned();
            return Err(
                self.refuse(why, Some("`L` is the last day, `LW` the last weekday".to_owned()))
            );
        }
        let from = self.value(from)?;
        let mut to = self.value(to)?;
        // `FRI-SUN`: Sunday ends a week as well as it begins one.
        if self.kind == FieldKind::Weekday && to == 0 && from > 0 {
            to = 7;
        }
        if from > to {
            let (min, max) = self.kind.bounds();
            let max = if self.kind == FieldKind::Weekday { 6 } else { max };
            let mend = format!("write `{from}-{max},{min}-{to}`");
            return Err(self.refuse("the range goes backwards".to_owned(), Some(mend)));
        }
        Ok((from, to))
    }

    fn value(&self, text: &str) -> Result<u16, PatternError> {
        let (min, max) = self.kind.bounds();
        match self.number(text) {
            Some(value) if (min..=max).contains(&value) => Ok(value),
            Some(_) => Err(self.refuse(format!("expected {min} to {max}"), None)),
            None => {
                let mend = self.nearest_name(text);
                Err(self.refuse(format!("expected {}", self.kind.expected()), mend))
            }
        }
    }

    /// A number or one of the field's names; also beyond the bounds.
    fn number(&self, text: &str) -> Option<u16> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            // Longer digits are beyond every bound anyway.
            return Some(text.parse().unwrap_or(u16::MAX));
        }
        let (names, first) = self.kind.names();
        (first..).zip(names).find(|(_, name)| **name == text).map(|(value, _)| value)
    }

    fn nearest_name(&self, text: &str) -> Option<String> {
        let (names, _) = self.kind.names();
        names
            .iter()
            .find(|name| text.starts_with(**name))
            .map(|name| format!("write `{name}`; names have three letters"))
    }

    fn refuse(&self, why: String, mend: Option<String>) -> PatternError {
        PatternError::Field {
            field: self.kind,
            value: self.entry.to_owned(),
            why,
            mend,
            span: self.span.clone(),
        }
    }
}
