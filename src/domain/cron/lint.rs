//! What about a well-formed pattern may mislead its reader.

use super::field::{Entry, Field, FieldKind};
use super::pattern::Fields;

/// Shorter than this between two slots is worth a word, in seconds.
const OFTEN_SECS: u16 = 10;

/// All warnings, in the order of the fields.
pub(super) fn warnings(fields: &Fields) -> Vec<String> {
    let mut found = Vec::new();
    for field in [
        &fields.second,
        &fields.minute,
        &fields.hour,
        &fields.day,
        &fields.month,
        &fields.weekday,
        &fields.year,
    ] {
        found.extend(empty_entry(field));
        found.extend(field.entries.iter().filter_map(|entry| step(field, *entry)));
    }
    found.extend(every_minute_of_an_hour(fields));
    found.extend(too_often(fields));
    found.extend(either_day(fields));
    found.extend(days_that_months_lack(fields));
    found
}

fn empty_entry(field: &Field) -> Option<String> {
    field.has_empty_entry.then(|| {
        format!(
            "the {} field `{}` has an empty entry, which selects nothing",
            field.kind, field.text
        )
    })
}

fn step(field: &Field, entry: Entry) -> Option<String> {
    let (from, to, step, written) = match entry {
        Entry::All { step: Some(step) } => {
            let (min, max) = field.kind.bounds();
            let max = if field.kind == FieldKind::Weekday { 6 } else { max };
            (min, max, step, format!("*/{step}"))
        }
        Entry::Range { from, to, step: Some(step) } => {
            (from, to, step, format!("{from}-{to}/{step}"))
        }
        Entry::All { step: None }
        | Entry::Range { step: None, .. }
        | Entry::One(_)
        | Entry::LastDay
        | Entry::LastWorkday
        | Entry::NearestWorkday(_)
        | Entry::Nth { .. }
        | Entry::LastOf(_) => return None,
    };
    let kind = field.kind;
    if kind == FieldKind::Year {
        return matches!(entry, Entry::All { .. }).then(|| {
            format!("`{written}` in the year field counts from year 1; write a range such as `2026-2036/{step}`")
        });
    }
    if step > to - from {
        return Some(format!(
            "the step of `{written}` in the {kind} field is longer than its range, so it selects only {from}"
        ));
    }
    let whole_turn = to - from + 1 == kind.turn();
    if !whole_turn || kind.turn().is_multiple_of(step) {
        return None;
    }
    let last = from + (to - from) / step * step;
    Some(match kind {
        FieldKind::Second | FieldKind::Minute | FieldKind::Hour => {
            let (unit, of) = match kind {
                FieldKind::Second => ("seconds", "minute"),
                FieldKind::Minute => ("minutes", "hour"),
                _hour => ("hours", "day"),
            };
            let rest = kind.turn() - last;
            format!(
                "`{written}` in the {kind} field is not every {step} {unit}: {step} does not divide {}, so each {of} it starts again {rest} {unit} after {last}",
                kind.turn()
            )
        }
        FieldKind::Day | FieldKind::Month | FieldKind::Weekday | FieldKind::Year => format!(
            "`{written}` in the {kind} field does not keep a distance of {step}: it starts again at {from} after {last}"
        ),
    })
}

/// `* 2 * * *`: often meant is `0 2 * * *`.
fn every_minute_of_an_hour(fields: &Fields) -> Option<String> {
    let once_an_hour = fields.hour.values().len() < usize::from(FieldKind::Hour.turn());
    let stepped = fields
        .hour
        .entries
        .iter()
        .any(|entry| matches!(entry, Entry::All { step: Some(_) } | Entry::One(_)));
    (fields.minute.is_star() && once_an_hour && stepped).then(|| {
        format!(
            "`*` in the minute field runs 60 times in each hour that `{}` selects; write `0` to run once",
            fields.hour.text
        )
    })
}

fn too_often(fields: &Fields) -> Option<String> {
    let seconds = fields.second.values();
    let first = *seconds.first()?;
    let shortest = seconds
        .iter()
        .zip(seconds.iter().skip(1).copied().chain([first + 60]))
        .map(|(earlier, later)| later - earlier)
        .min()?;
    (shortest < OFTEN_SECS).then(|| {
        let every = if shortest == 1 { "second".to_owned() } else { format!("{shortest} seconds") };
        let first_field =
            if fields.count > 5 { "; with six fields the first is seconds" } else { "" };
        format!("slots come as often as every {every}{first_field}")
    })
}

/// `30 4 1,15 * 5` runs on the 1st, on the 15th and on each Friday.
fn either_day(fields: &Fields) -> Option<String> {
    if fields.both_days {
        let idle = fields.day.is_star() || fields.weekday.is_star();
        return idle.then(|| {
            "`+` has no effect: it needs both a day of the month and a weekday".to_owned()
        });
    }
    if fields.day.is_star() || fields.weekday.is_star() {
        return None;
    }
    let starred = [&fields.day, &fields.weekday].into_iter().find(|field| field.is_wild());
    let counts = starred.map_or_else(String::new, |field| {
        format!(" (`{}` restricts the day, other crons differ)", field.text)
    });
    Some(format!(
        "runs when the day of the month is `{}` or the weekday is `{}`{counts}; write `+{}` to need both",
        fields.day.text, fields.weekday.text, fields.weekday.text
    ))
}

/// `0 0 31 * *` runs in seven months of the year.
fn days_that_months_lack(fields: &Fields) -> Option<String> {
    let days = fields.day.values();
    let first = *days.first()?;
    let plain =
        fields.day.entries.iter().all(|entry| matches!(entry, Entry::One(_) | Entry::Range { .. }));
    if first <= 28 || !plain || !fields.weekday.is_star() {
        return None;
    }
    let lacking: Vec<&str> = fields
        .month
        .values()
        .into_iter()
        .filter(|month| first > shortest_length(*month))
        .map(super::describe::month_name)
        .collect();
    if lacking.is_empty() {
        return None;
    }
    if lacking == ["February"] && first == 29 {
        return Some("day 29 comes in February of leap years only".to_owned());
    }
    Some(format!(
        "day {first} does not come in {}; `L` is the last day of each month",
        super::describe::list(&lacking)
    ))
}

const fn shortest_length(month: u16) -> u16 {
    match month {
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
