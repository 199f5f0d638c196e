//! Addresses of a log's pages: the filters that links keep, and the lines that one names.

use std::str::FromStr;

use crate::domain::template::push_percent_encoded;
use crate::http::reads::LogQuery;

/// The filters of an address, in the order in which they stand there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept(Vec<(&'static str, String)>);

impl Kept {
    pub(super) fn of(query: &LogQuery) -> Self {
        let classes: Vec<&str> = query.classes.iter().map(|class| class.as_str()).collect();
        let pairs = [
            ("errors", query.errors.then(|| "true".to_owned())),
            ("class", (!classes.is_empty()).then(|| classes.join(","))),
            ("level", query.level.map(|level| level.to_string())),
            ("attempt", query.attempt.map(|attempt| attempt.to_string())),
            ("text", query.text.as_ref().map(|sought| sought.text().to_owned())),
            ("grep", query.grep.as_ref().map(|regex| regex.as_str().to_owned())),
        ];
        Self(pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that a form keeps which asks for level, attempt and text itself.
    pub(super) fn beside_the_form(&self) -> impl Iterator<Item = &(&'static str, String)> {
        self.0.iter().filter(|(name, _)| matches!(*name, "errors" | "class" | "grep"))
    }

    /// `?errors=true&before=7`.
    pub(super) fn address(&self, name: &'static str, value: &str) -> String {
        let mut pairs = self.clone();
        pairs.0.push((name, value.to_owned()));
        pairs.to_string()
    }

    /// With one value more of a filter, or without it when it was there.
    pub(super) fn toggled(&self, name: &'static str, value: &str) -> String {
        let mut pairs = self.clone();
        let known = pairs.0.iter().find(|(known, _)| *known == name);
        let mut values: Vec<&str> = known.map_or(vec![], |(_, all)| all.split(',').collect());
        match values.iter().position(|known| *known == value) {
            Some(at) => drop(values.remove(at)),
            None => values.push(value),
        }
        let values = values.join(",");
        pairs.0.retain(|(known, _)| *known != name);
        if !values.is_empty() {
            pairs.0.push((name, values));
        }
        pairs.to_string()
    }
}

impl std::fmt::Display for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut query = "?".to_owned();
        for (name, value) in &self.0 {
            if query.len() > 1 {
                query.push('&');
            }
            query.push_str(name);
            query.push('=');
            push_percent_encoded(&mut query, value);
        }
        f.write_str(&query)
    }
}

/// One line, or several that follow each other: `12` or `12-20`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Span {
    pub(super) fn holds(self, line: u64) -> bool {
        (self.first..=self.last).contains(&line)
    }
}

impl FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let span = first.parse().ok().zip(last.parse().ok());
        let span = span.map(|(first, last)| Self { first, last });
        span.filter(|span| 0 < span.first && span.first <= span.last)
            .ok_or_else(|| format!("must be a line such as `12`, or lines `12-20`, not `{text}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::class::{Class, Level};
    use crate::store::lines::Sought;

    #[test]
    fn an_address_keeps_the_filters_and_a_chip_puts_its_own_on_and_off() {
        let query = LogQuery {
            classes: vec![Class::External],
            level: Some(Level::Warning),
            text: Some(Sought::new("a&b c").expect("a text")),
            ..LogQuery::default()
        };
        let kept = Kept::of(&query);
        let filters = "level=warning&text=a%26b%20c";
        assert_eq!(kept.address("before", "7"), format!("?class=external&{filters}&before=7"));
        assert_eq!(kept.toggled("class", "external"), format!("?{filters}"));
        assert_eq!(
            kept.toggled("class", "mapping"),
            format!("?{filters}&class=external%2Cmapping")
        );
        assert_eq!(Kept::default().toggled("errors", "true"), "?errors=true");
    }

    #[test]
    fn lines_are_named_alone_or_from_one_to_another() {
        assert_eq!("12".parse(), Ok(Span { first: 12, last: 12 }));
        assert_eq!("12-20".parse(), Ok(Span { first: 12, last: 20 }));
        for wrong in ["0", "20-12", "-3", "7-", "a", "1-2-3"] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong}");
        }
    }
}
