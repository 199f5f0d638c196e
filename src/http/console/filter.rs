//! The filters of executions in an address: read as people write them, kept from link to link, handed on to the API.

use std::time::Duration;

use super::form;
use crate::config::parse_duration;
use crate::domain::template::push_percent_encoded;
use crate::http::input::Input;
use crate::http::problem::Problem;
use crate::instant::Instant;

/// Where the list stands.
pub(super) const LIST: &str = "/executions";
/// Names that say which page of the list is shown, not what fits.
const PAGING: [&str; 3] = ["cursor", "newer", "limit"];
const DAY_MS: i64 = 86_400_000;

/// The filters that an address names, each once; several values have commas between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    /// As they were written.
    given: Vec<(String, String)>,
    /// As the API reads them.
    plain: Vec<(String, String)>,
}

impl Chosen {
    /// Reads a query. What is no instant or duration in any form stays as it is, and is refused where it is used.
    ///
    /// # Errors
    /// It is no query.
    pub(super) fn read(query: &str, now: Instant) -> Result<Self, Problem> {
        let mut given: Vec<(String, String)> = Vec::new();
        for (name, value) in form::pairs(query.as_bytes())? {
            match given.iter_mut().find(|(known, _)| *known == name) {
                Some((_, all)) => all.extend([",", &value]),
                None => given.push((name, value)),
            }
        }
        let mut plain: Vec<(String, String)> = Vec::new();
        let mut set = |name: &str, value: String| {
            plain.retain(|(known, _)| known != name);
            plain.push((name.to_owned(), value));
        };
        for (name, value) in &given {
            let value = value.trim();
            match (name.as_str(), value.rsplit_once('/')) {
                ("from" | "to", _) => set(name, instant(value, now)),
                ("min_ms" | "max_ms", _) => set(name, span(value)),
                // The full name of a schedule says its interface too.
                ("schedule", Some((interface, bare))) => {
                    set("interface", interface.to_owned());
                    set(name, bare.to_owned());
                }
                _ => set(name, value.to_owned()),
            }
        }
        Ok(Self { given, plain })
    }

    /// To be read by the functions of the API.
    ///
    /// # Errors
    /// Never: pairs are an object.
    pub(super) fn input(&self) -> Result<Input, Problem> {
        form::of_pairs(self.plain.iter().cloned(), "?")
    }

    /// The same without what says which page is shown.
    ///
    /// # Errors
    /// Never: pairs are an object.
    pub(super) fn filters(&self) -> Result<Input, Problem> {
        let filters = self.plain.iter().filter(|(name, _)| is_filter(name));
        form::of_pairs(filters.cloned(), "?")
    }

    /// Whether anything is filtered.
    pub(super) fn any(&self) -> bool {
        self.given.iter().any(|(name, _)| is_filter(name))
    }

    /// The value of a filter as it was written; empty when it is not set.
    pub(super) fn value(&self, name: &str) -> &str {
        self.given.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Whether `word` is among the values of a filter.
    pub(super) fn has(&self, name: &str, word: &str) -> bool {
        self.value(name).split(',').any(|one| one.trim() == word)
    }

    /// The filters as the API takes them, as a query without `?`.
    pub(super) fn query(&self) -> String {
        encoded(self.plain.iter().filter(|(name, _)| is_filter(name)))
    }

    /// The list with this filter in place of what it is now, from its newest page on; without it when `value` is empty.
    pub(super) fn with(&self, name: &str, value: &str) -> String {
        self.page_with(&[("cursor", ""), ("newer", ""), (name, value)])
    }

    /// The list with `word` among the values of a filter, or without it when it is among them now.
    pub(super) fn toggled(&self, name: &str, word: &str) -> String {
        let now = self.value(name).split(',').map(str::trim).filter(|one| !one.is_empty());
        let mut words: Vec<&str> = now.filter(|one| *one != word).collect();
        if !self.has(name, word) {
            words.push(word);
        }
        self.with(name, &words.join(","))
    }

    /// The list with these values in place of what they are now.
    pub(super) fn page_with(&self, changes: &[(&str, &str)]) -> String {
        let mut pairs = self.given.clone();
        for (name, value) in changes {
            pairs.retain(|(known, _)| known != name);
            if !value.is_empty() {
                pairs.push(((*name).to_owned(), (*value).to_owned()));
            }
        }
        match encoded(pairs.iter()) {
            query if query.is_empty() => LIST.to_owned(),
            query => format!("{LIST}?{query}"),
        }
    }
}

fn is_filter(name: &str) -> bool {
    !PAGING.contains(&name)
}

/// Pairs as a query.
pub(super) fn encoded<'a>(pairs: impl Iterator<Item = &'a (String, String)>) -> String {
    let mut query = String::new();
    for (name, value) in pairs {
        if !query.is_empty() {
            query.push('&');
        }
        push_percent_encoded(&mut query, name);
        query.push('=');
        push_percent_encoded(&mut query, value);
    }
    query
}

/// An instant as people write it: RFC 3339, a date or a reading in UTC, `24h` for so long ago, `today`, `yesterday`.
fn instant(text: &str, now: Instant) -> String {
    let midnight = |days: i64| {
        let today = now.millis().div_euclid(DAY_MS);
        Some(Instant::from_millis((today + days) * DAY_MS))
    };
    let ago = |text: &str| {
        let text = text.strip_suffix(" ago").unwrap_or(text);
        let ms = parse_duration(text.strip_prefix('-').unwrap_or(text)).ok()?;
        Some(now - Duration::from_millis(ms))
    };
    let found = match text {
        "now" => Some(now),
        "today" => midnight(0),
        "yesterday" => midnight(-1),
        _ => {
            let reading = text.replacen(' ', "T", 1);
            let forms = [
                text.to_owned(),
                format!("{reading}Z"),
                format!("{reading}:00Z"),
                format!("{text}T00:00:00Z"),
            ];
            forms.iter().find_map(|form| Instant::parse(form).ok()).or_else(|| ago(text))
        }
    };
    found.map_or_else(|| text.to_owned(), |at| at.to_string())
}

/// Milliseconds as people write them: `90000`, `90s`, `1h30m`.
fn span(text: &str) -> String {
    parse_duration(text).map_or_else(|_err| text.to_owned(), |ms| ms.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(query: &str) -> Chosen {
        let now = Instant::parse("2026-11-22T10:30:00Z").expect("valid");
        Chosen::read(query, now).expect("a query")
    }

    #[test]
    fn a_link_keeps_the_other_filters_and_begins_at_the_newest_page() {
        let chosen = chosen("status=ko&text=a+b&cursor=9&newer=12&interface=");
        assert_eq!(
            chosen.with("interface", "fnac"),
            "/executions?status=ko&text=a%20b&interface=fnac"
        );
        assert_eq!(chosen.with("status", ""), "/executions?text=a%20b");
        assert_eq!(chosen.query(), "status=ko&text=a%20b");
        assert_eq!(
            chosen.page_with(&[("cursor", "5"), ("newer", "12.9")]),
            "/executions?status=ko&text=a%20b&cursor=5&newer=12.9"
        );
    }

    #[test]
    fn a_chip_adds_its_word_and_takes_it_away() {
        let chosen = chosen("status=ko&status=running");
        assert_eq!(chosen.toggled("status", "ok"), "/executions?status=ko%2Crunning%2Cok");
        assert_eq!(chosen.toggled("status", "ko"), "/executions?status=running");
        assert!(chosen.has("status", "running") && !chosen.has("status", "run"));
    }

    #[test]
    fn times_and_durations_are_read_as_people_write_them() {
        for (text, read) in [
            ("24h", "2026-11-21T10:30:00.000Z"),
            ("-90m", "2026-11-22T09:00:00.000Z"),
            ("today", "2026-11-22T00:00:00.000Z"),
            ("yesterday", "2026-11-21T00:00:00.000Z"),
            ("2026-11-01", "2026-11-01T00:00:00.000Z"),
            ("2026-11-01 08:15", "2026-11-01T08:15:00.000Z"),
            ("2026-11-01T08:15", "2026-11-01T08:15:00.000Z"),
            ("2026-11-01T08:15:01+01:00", "2026-11-01T07:15:01.000Z"),
            ("soon", "soon"),
        ] {
            let chosen = chosen(&encoded([("from".to_owned(), text.to_owned())].iter()));
            assert_eq!(chosen.value("from"), text);
            assert_eq!(chosen.plain, [("from".to_owned(), read.to_owned())]);
        }
        assert_eq!(chosen("min_ms=1h30m&max_ms=250").query(), "min_ms=5400000&max_ms=250");
    }

    #[test]
    fn the_full_name_of_a_schedule_says_its_interface() {
        assert_eq!(chosen("schedule=fnac%2Fsales").query(), "interface=fnac&schedule=sales");
        let both = chosen("interface=other&schedule=fnac%2Fsales");
        assert_eq!(both.query(), "interface=fnac&schedule=sales");
    }
}
