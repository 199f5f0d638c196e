//! What is said about names and kinds.

use std::collections::BTreeMap;
use std::ops::Range;

use super::keys::{CALENDAR_TABLES, FILE_TABLES, Kind, Names, Table};
use super::report::{Found, error};
use super::values::{self, nearest, one_of};
use crate::ids::ScheduleId;

/// Why a free name is refused, and how to mend it.
pub(super) fn bad_name(names: Names, text: &str) -> Option<(String, String)> {
    match names {
        Names::Any if text.is_empty() => Some(("a name is empty".to_owned(), "give it a name".to_owned())),
        Names::Any => None,
        Names::Slug => ScheduleId::new(text).err().map(|err| (err.to_string(), "rename it".to_owned())),
        Names::Param => {
            ScheduleId::new(&text.replace('_', "-")).err().map(|_| {
                (
                    format!("`{text}` is not a parameter's name: 1 to 63 of a-z, 0-9, `-` and `_`, beginning with a letter or digit"),
                    "rename it".to_owned(),
                )
            })
        }
        Names::Variable if text.starts_with("DAYBOOK_") => Some((
            format!("`{text}`: names that begin with DAYBOOK_ are Daybook's own"),
            "give it another name".to_owned(),
        )),
        Names::Variable => (!values::is_variable(text)).then(|| {
            (
                format!("`{text}` is not a variable's name"),
                "use letters, digits and `_`, and no digit at the beginning".to_owned(),
            )
        }),
        Names::Header => http::HeaderName::from_bytes(text.as_bytes()).err().map(|_| {
            (format!("`{text}` is not a header's name"), "use letters, digits and `-`".to_owned())
        }),
    }
}

/// The error for a key that is not in its table, with the nearest one.
pub(super) fn unknown(keys: &'static Table, text: &str, span: Range<usize>, path: &str) -> Found {
    let found = error(span, path, format!("`{text}` is not a key of {}", keys.name));
    let words = keys.keys.iter().flat_map(|key| {
        key.also.iter().copied().chain([key.name]).map(move |word| (word, key.name))
    });
    let words: BTreeMap<&str, &str> = words.collect();
    let near = nearest(text, words.keys().copied()).and_then(|word| words.get(word));
    if let Some(name) = near {
        return found.hint(format!("did you mean `{name}`?"));
    }
    let others = FILE_TABLES.iter().chain(&CALENDAR_TABLES);
    let elsewhere = others.into_iter().find(|table| table.key(text).is_some());
    match elsewhere {
        Some(table) if keys.place != super::keys::SETTINGS.place => {
            found.hint(format!("`{text}` belongs to {}: {}", table.name, table.place))
        }
        _ => {
            let names: Vec<&str> = keys.accepted().map(|key| key.name).collect();
            found.hint(format!("known keys: {}", names.join(", ")))
        }
    }
}

/// A key's meaning as part of a sentence.
pub(super) fn lower_first(text: &str) -> String {
    let mut chars = text.trim_end_matches('.').chars();
    chars.next().map(|c| c.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// What a kind expects, as a noun.
pub(super) fn expects(kind: &Kind) -> String {
    match kind {
        Kind::Text | Kind::Template => "text".to_owned(),
        Kind::Flag => "true or false".to_owned(),
        Kind::True => "true".to_owned(),
        Kind::Integer(min, i64::MAX) => format!("a whole number from {min}"),
        Kind::Integer(min, max) => format!("a whole number from {min} to {max}"),
        Kind::Number(min) => format!("a number from {min}"),
        Kind::Duration => "a duration such as \"45m\"".to_owned(),
        Kind::Size => "a size such as \"1GiB\"".to_owned(),
        Kind::Rate => "a rate such as \"60/min\"".to_owned(),
        Kind::Url => "an address such as \"https://host.example/path\"".to_owned(),
        Kind::Zone => "a zone name such as \"Europe/Paris\"".to_owned(),
        Kind::Slug => "a name in small letters, digits and dashes".to_owned(),
        Kind::Cron => "a cron pattern such as \"0 */2 * * *\"".to_owned(),
        Kind::Moment => "an instant such as \"2026-01-01T00:00:00Z\"".to_owned(),
        Kind::LocalTime => "a local time such as \"2026-12-24T18:00\"".to_owned(),
        Kind::Date => "a date such as 2026-12-25".to_owned(),
        Kind::Weekday => "a day of the week such as \"sat\"".to_owned(),
        Kind::Yearly => {
            "a day of the year such as \"12-25\", \"third monday of january\" or \"easter+1\""
                .to_owned()
        }
        Kind::Edge => {
            "a time of day such as \"22:00\" or a local time such as \"2026-12-24T18:00\""
                .to_owned()
        }
        Kind::FileName => "the name of a file that ends in .ics".to_owned(),
        Kind::Blackout(table) => format!("a calendar's name or a table: {}", table.place),
        Kind::Regex => "a regular expression".to_owned(),
        Kind::Choice(words, _) => one_of(words),
        Kind::Secretable => {
            "text, { credential = \"…\" }, { file = \"…\" } or { from_env = \"…\" }".to_owned()
        }
        Kind::List(kind) => format!("a list, each item {}", expects(kind)),
        Kind::Map(..) => "a table of names with values".to_owned(),
        Kind::Table(table) => format!("a table: {}", table.place),
    }
}
