//! Reads dates, days of the week and the year, windows, and the names of calendars.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use toml::de::DeValue;

use super::checks::{Checker, Known};
use super::reader::{Fields, Item};
use super::report::{error, warning};
use super::values::nearest;
use crate::civil::{Local, LocalError};
use crate::domain::blackout::{Blackout, TimeOfDay};
use crate::domain::calendar::{Range, Weekday, Yearly};
use crate::domain::definition::{ScheduleCalendars, Timing};
use crate::ids::CalendarId;

/// A text, or a TOML date or time as text.
fn text(item: &Item<'_>) -> Option<String> {
    match item.value() {
        DeValue::Datetime(at) => Some(at.to_string()),
        _ => item.text(),
    }
}

pub(super) fn date(item: &Item<'_>) -> Option<NaiveDate> {
    let text = text(item)?;
    let date = NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok().filter(|_| text.len() == 10);
    if date.is_none() {
        let hint = "write a date that exists, such as 2026-12-25".to_owned();
        item.refuse(&format!("`{text}` is not a date"), Some(hint));
    }
    date
}

pub(super) fn range(fields: &Fields<'_>) -> Option<Range> {
    let from = fields.get("from").and_then(|item| date(&item));
    let last = fields.get("to")?;
    let (from, to) = (from?, date(&last)?);
    if to < from {
        last.refuse(&format!("`{to}` is before `from`"), None);
        return None;
    }
    Some(Range { from, to })
}

pub(super) fn weekday(item: &Item<'_>) -> Option<Weekday> {
    let text = item.text()?;
    let names = Weekday::ALL.map(Weekday::name);
    let day = text.parse().map_err(|err: crate::domain::calendar::WeekdayError| {
        let near = nearest(&text, names).map(|near| format!("did you mean `{near}`?"));
        let hint = near.unwrap_or_else(|| format!("days are: {}", names.join(", ")));
        item.refuse(&err.to_string(), Some(hint));
    });
    day.ok()
}

/// Days of the week under `name`; a list that is given names some.
pub(super) fn weekdays(fields: &Fields<'_>, name: &str) -> BTreeSet<Weekday> {
    let Some(item) = fields.get(name) else { return BTreeSet::new() };
    let Some(list) = item.list() else { return BTreeSet::new() };
    if list.is_empty() {
        item.refuse("is empty", Some("name a day, or leave the key out".to_owned()));
    }
    list.iter().filter_map(weekday).collect()
}

pub(super) fn yearly(item: &Item<'_>) -> Option<Yearly> {
    let text = text(item)?;
    let day = text.parse().map_err(|err: crate::domain::calendar::YearlyError| {
        let word = match &err {
            crate::domain::calendar::YearlyError::Word { word, .. } => word.as_str(),
            _ => text.as_str(),
        };
        let near = nearest(word, err.candidates()).map(|near| format!("did you mean `{near}`?"));
        let forms = "write month and day (\"12-25\"), one of a month's weekdays (\"third monday of january\", \
                     \"last friday of may\"), or the distance from Easter (\"easter+1\")";
        item.refuse(&err.to_string(), Some(near.unwrap_or_else(|| forms.to_owned())));
    });
    day.ok()
}

/// One end of a window.
#[derive(Clone, Copy)]
enum Edge {
    Time(TimeOfDay),
    Moment(Local),
}

fn edge(item: &Item<'_>) -> Option<Edge> {
    let text = text(item)?;
    // A TOML time has seconds; windows end with whole minutes.
    let short = text.strip_suffix(":00").filter(|short| short.len() == 5).unwrap_or(&text);
    if let Ok(time) = short.parse() {
        return Some(Edge::Time(time));
    }
    match Local::parse(&text) {
        Ok(at) => Some(Edge::Moment(at)),
        Err(err) => {
            let hint = match err {
                LocalError::Offset { .. } => {
                    "leave the offset out: the time is local to the interface's zone"
                }
                LocalError::Malformed { .. } => {
                    "write a time of day such as \"22:00\", or a local time such as \"2026-12-24T18:00\""
                }
            };
            let why = format!("`{text}` is neither a time of day nor a local time");
            item.refuse(&why, Some(hint.to_owned()));
            None
        }
    }
}

/// The entries of `blackout`.
pub(super) fn blackouts(fields: &Fields<'_>, checker: &Checker) -> Vec<Blackout> {
    let items = fields.list("blackout").unwrap_or_default();
    items.iter().filter_map(|item| blackout(item, checker)).collect()
}

fn blackout(item: &Item<'_>, checker: &Checker) -> Option<Blackout> {
    if item.value().as_str().is_some() {
        return calendar(item, checker).map(Blackout::Calendar);
    }
    let fields = item.table()?;
    let days = weekdays(&fields, "days");
    let read = |name| fields.get(name).map(|item| (edge(&item), item));
    let refuse = |why: &str, hint: &str| {
        fields.report().add(error(fields.span(), fields.path(), why).hint(hint));
        None
    };
    match (read("from"), read("to")) {
        // What is wrong with an end has been told.
        (Some((None, _)), _) | (_, Some((None, _))) => None,
        (Some((Some(Edge::Moment(from)), _)), Some((Some(Edge::Moment(to)), last))) => {
            if let Some(days) = fields.get("days") {
                days.refuse("counts only beside times of day", None);
            }
            if to <= from {
                last.refuse("is not later than `from`", None);
            }
            Some(Blackout::Once { from, to })
        }
        (Some((Some(Edge::Moment(_)), _)), None) | (None, Some((Some(Edge::Moment(_)), _))) => {
            refuse(
                "a blackout that comes once needs `from` and `to`",
                "write both as local times, such as \"2026-12-24T18:00\"",
            )
        }
        (Some((Some(Edge::Moment(_)), _)), Some((Some(Edge::Time(_)), last)))
        | (Some((Some(Edge::Time(_)), _)), Some((Some(Edge::Moment(_)), last))) => {
            last.refuse(
                "has another form than `from`",
                Some("write both as times of day, or both as local times".to_owned()),
            );
            None
        }
        (from, to) => {
            let time = |end: &Option<(Option<Edge>, Item<'_>)>| match end {
                Some((Some(Edge::Time(time)), _)) => Some(*time),
                Some(_) | None => None,
            };
            let (start, end) = (time(&from), time(&to));
            let (start, end) = (start.unwrap_or(TimeOfDay::START), end.unwrap_or(TimeOfDay::END));
            if start == end {
                return refuse(
                    "a blackout that ends when it begins has no length",
                    "for whole days leave `from` and `to` out",
                );
            }
            if (start, end) == (TimeOfDay::START, TimeOfDay::END) && days.is_empty() {
                return refuse(
                    "a blackout of each whole day leaves nothing",
                    "name days or times; to stop an interface, pause it",
                );
            }
            Some(Blackout::Weekly { days, from: start, to: end })
        }
    }
}

/// `exclude` and `only` of a schedule.
pub(super) fn calendars(
    fields: &Fields<'_>,
    timing: Option<&Timing>,
    checker: &Checker,
) -> Option<Box<ScheduleCalendars>> {
    let exclude = names(fields, "exclude", checker);
    let only = names(fields, "only", checker);
    for name in ["exclude", "only"] {
        let Some(item) = fields.get(name) else { continue };
        if let Some(timing @ (Timing::Manual | Timing::Reboot)) = timing {
            let why = format!("`{name}` has no effect: a {} schedule has no slots", timing.kind());
            fields.report().add(warning(item.span(), item.path(), why));
        }
        if name == "only" && only.is_empty() && item.list().is_some_and(|list| list.is_empty()) {
            let hint = "name a calendar, or leave the key out".to_owned();
            item.refuse("is empty: there would be no date to run on", Some(hint));
        }
    }
    let some = !exclude.is_empty() || !only.is_empty();
    some.then(|| Box::new(ScheduleCalendars { exclude, only }))
}

fn names(fields: &Fields<'_>, name: &str, checker: &Checker) -> Vec<CalendarId> {
    let items = fields.list(name).unwrap_or_default();
    let mut names: Vec<CalendarId> = Vec::new();
    for item in &items {
        let Some(name) = calendar(item, checker) else { continue };
        if names.contains(&name) {
            item.warn(&format!("`{name}` stands here already"), None);
        } else {
            names.push(name);
        }
    }
    names
}

/// The name of a calendar that exists and was accepted.
fn calendar(item: &Item<'_>, checker: &Checker) -> Option<CalendarId> {
    let text = item.text()?;
    let known = match checker.calendar(&text) {
        Known::Accepted => None,
        Known::Told => return None,
        Known::Refused => {
            let hint = format!("mend calendars/{text}.toml");
            Some((format!("calendar `{text}` is not accepted"), hint))
        }
        Known::Unknown(near) => {
            let hint = near.map_or_else(
                || format!("a calendar is a file: calendars/{text}.toml"),
                |near| format!("did you mean `{near}`?"),
            );
            Some((format!("no file is a calendar `{text}`"), hint))
        }
    };
    match CalendarId::new(&text) {
        Err(err) => {
            item.refuse(&err.to_string(), None);
            None
        }
        Ok(id) => match known {
            None => Some(id),
            Some((why, hint)) => {
                item.refuse(&why, Some(hint));
                None
            }
        },
    }
}
