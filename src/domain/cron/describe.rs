//! A pattern in words.
//!
//! croner describes too, but calls `5-15/5` "every 5 minutes" and `LW` "the last day", so the words are ours.

use super::field::{Entry, Field, FieldKind};
use super::pattern::Fields;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const ORDINALS: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];

/// The whole pattern: `At 02:30, on Monday to Friday, in January`.
pub(super) fn describe(fields: &Fields) -> String {
    let mut parts = vec![time(fields)];
    parts.extend(days(fields));
    if !is_full(&fields.month) {
        let months: Vec<String> =
            runs(&fields.month.values(), |month| month_name(month).to_owned());
        parts.push(format!("in {}", list(&months)));
    }
    if !fields.year.is_star() {
        parts.push(format!("in {}", list(&runs(&fields.year.values(), |year| year.to_string()))));
    }
    let text = parts.join(", ");
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// English name of a month, from 1.
pub(super) fn month_name(month: u16) -> &'static str {
    MONTHS.get(usize::from(month.saturating_sub(1))).copied().unwrap_or("no month")
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list<T: AsRef<str>>(items: &[T]) -> String {
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    match items.as_slice() {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [front @ .., last] => format!("{} and {last}", front.join(", ")),
    }
}

fn weekday_name(weekday: u16) -> &'static str {
    WEEKDAYS.get(usize::from(weekday % 7)).copied().unwrap_or("no day")
}

fn is_full(field: &Field) -> bool {
    field.values().len() == usize::from(field.kind.turn())
}

/// The distance that a time field keeps for ever; 1 when it is full.
fn period(field: &Field) -> Option<u16> {
    let values = field.values();
    let turn = field.kind.turn();
    let count = u16::try_from(values.len()).ok().filter(|count| *count > 1)?;
    let distance = turn / count;
    let even = turn.is_multiple_of(count)
        && values.first() == Some(&0)
        && values.windows(2).all(|pair| matches!(pair, [low, high] if high - low == distance));
    even.then_some(distance)
}

fn time(fields: &Fields) -> String {
    let (seconds, minutes, hours) =
        (fields.second.values(), fields.minute.values(), fields.hour.values());
    if minutes.len() * hours.len() <= 4 && seconds.len() == 1 {
        return format!("at {}", list(&times_of_day(&seconds, &minutes, &hours)));
    }
    if seconds != [0] {
        return with_seconds(fields);
    }
    match (minutes.as_slice(), period(&fields.minute), period(&fields.hour)) {
        ([0], _, Some(1)) => "every hour".to_owned(),
        ([0], _, Some(distance)) => format!("every {distance} hours"),
        ([minute], _, Some(distance)) => {
            format!("every {} at minute {minute}", counted(distance, "hour"))
        }
        (_, Some(distance), Some(1)) => format!("every {}", counted(distance, "minute")),
        (_, Some(distance), _) => {
            format!("every {}, {}", counted(distance, "minute"), hours_phrase(&fields.hour))
        }
        (_, None, _) => {
            format!("at {}, {}", numbers("minute", &fields.minute), hours_phrase(&fields.hour))
        }
    }
}

fn with_seconds(fields: &Fields) -> String {
    let second = match period(&fields.second) {
        Some(distance) => format!("every {}", counted(distance, "second")),
        None => format!("at {}", numbers("second", &fields.second)),
    };
    match (is_full(&fields.minute), is_full(&fields.hour)) {
        (true, true) if period(&fields.second).is_some() => second,
        (true, true) => format!("{second} of every minute"),
        (true, false) => format!("{second}, {}", hours_phrase(&fields.hour)),
        (false, _) => {
            let minute = match period(&fields.minute) {
                Some(distance) => format!("of every {distance} minutes"),
                None => format!("of {}", numbers("minute", &fields.minute)),
            };
            format!("{second} {minute}, {}", hours_phrase(&fields.hour))
        }
    }
}

fn times_of_day(seconds: &[u16], minutes: &[u16], hours: &[u16]) -> Vec<String> {
    let second = seconds.first().copied().unwrap_or(0);
    hours
        .iter()
        .flat_map(|hour| minutes.iter().map(move |minute| (hour, minute)))
        .map(|(hour, minute)| {
            if second == 0 {
                format!("{hour:02}:{minute:02}")
            } else {
                format!("{hour:02}:{minute:02}:{second:02}")
            }
        })
        .collect()
}

fn hours_phrase(hour: &Field) -> String {
    match period(hour) {
        Some(1) => "of every hour".to_owned(),
        Some(distance) => format!("in every {} hour", ordinal(distance)),
        None => format!("in {}", numbers("hour", hour)),
    }
}

fn numbers(unit: &str, field: &Field) -> String {
    let values = field.values();
    let plural = if values.len() == 1 { "" } else { "s" };
    format!("{unit}{plural} {}", list(&runs(&values, |value| value.to_string())))
}

fn counted(count: u16, unit: &str) -> String {
    if count == 1 { unit.to_owned() } else { format!("{count} {unit}s") }
}

fn ordinal(number: u16) -> String {
    match number {
        2 => "second".to_owned(),
        3 => "third".to_owned(),
        _ => format!("{number}th"),
    }
}

/// Three or more values in a row become `a to c`.
fn runs(values: &[u16], name: impl Fn(u16) -> String) -> Vec<String> {
    let mut found = Vec::new();
    for run in values.chunk_by(|low, high| high - low == 1) {
        match run {
            [first, _, .., last] if run.len() > 2 => {
                found.push(format!("{} to {}", name(*first), name(*last)));
            }
            few => found.extend(few.iter().map(|value| name(*value))),
        }
    }
    found
}

fn days(fields: &Fields) -> Option<String> {
    match (fields.day.is_star(), fields.weekday.is_star()) {
        (true, true) => None,
        (false, true) => Some(format!("on {}", days_of_month(&fields.day))),
        (true, false) => Some(format!("on {}", weekdays(&fields.weekday))),
        (false, false) => {
            let joint = if fields.both_days { "if that is also" } else { "or on" };
            let (days, weekdays) = (days_of_month(&fields.day), weekdays(&fields.weekday));
            Some(format!("on {days} {joint} {weekdays}"))
        }
    }
}

fn days_of_month(day: &Field) -> String {
    let values = day.values();
    let mut parts = Vec::new();
    if !values.is_empty() {
        let plural = if values.len() == 1 { "" } else { "s" };
        let days = list(&runs(&values, |value| value.to_string()));
        parts.push(format!("day{plural} {days} of the month"));
    }
    for entry in &day.entries {
        match entry {
            Entry::LastDay => parts.push("the last day of the month".to_owned()),
            Entry::LastWorkday => {
                parts.push("the last weekday (Monday to Friday) of the month".to_owned());
            }
            Entry::NearestWorkday(day) => {
                parts
                    .push(format!("the weekday (Monday to Friday) nearest day {day} of the month"));
            }
            Entry::All { .. }
            | Entry::Range { .. }
            | Entry::One(_)
            | Entry::Nth { .. }
            | Entry::LastOf(_) => (),
        }
    }
    list(&parts)
}

fn weekdays(field: &Field) -> String {
    debug_assert_eq!(field.kind, FieldKind::Weekday);
    // Weeks are told from Monday, so that Friday to Sunday stays one run.
    let mut values: Vec<u16> =
        field.values().into_iter().map(|day| if day == 0 { 7 } else { day }).collect();
    values.sort_unstable();
    let mut parts = runs(&values, |day| weekday_name(day).to_owned());
    for entry in &field.entries {
        match entry {
            Entry::Nth { weekday, nth } => {
                let nth = ORDINALS.get(usize::from(nth.saturating_sub(1))).copied();
                parts.push(format!(
                    "the {} {} of the month",
                    nth.unwrap_or("fifth"),
                    weekday_name(*weekday)
                ));
            }
            Entry::LastOf(weekday) => {
                parts.push(format!("the last {} of the month", weekday_name(*weekday)));
            }
            Entry::All { .. }
            | Entry::Range { .. }
            | Entry::One(_)
            | Entry::LastDay
            | Entry::LastWorkday
            | Entry::NearestWorkday(_) => (),
        }
    }
    list(&parts)
}
