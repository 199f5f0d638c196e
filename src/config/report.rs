//! Collects what is wrong with one text, and the places of its secrets.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use super::problem::{Problem, Severity};

/// Problems of one file while it is read. Reading goes on after each, so that all are reported at once.
#[derive(Debug)]
pub(super) struct Report {
    text: String,
    found: RefCell<Vec<Found>>,
    secrets: RefCell<Vec<Range<usize>>>,
    places: RefCell<Vec<Found>>,
}

/// A problem before its line is known.
#[derive(Debug)]
pub(super) struct Found {
    severity: Severity,
    span: Range<usize>,
    key: String,
    message: String,
    hint: Option<String>,
}

impl Found {
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }
}

/// Begins an error at `span`, about `key`.
pub(super) fn error(span: Range<usize>, key: &str, message: impl Into<String>) -> Found {
    Found {
        severity: Severity::Error,
        span,
        key: key.to_owned(),
        message: message.into(),
        hint: None,
    }
}

/// Begins a warning at `span`, about `key`.
pub(super) fn warning(span: Range<usize>, key: &str, message: impl Into<String>) -> Found {
    Found { severity: Severity::Warning, ..error(span, key, message) }
}

impl Report {
    pub(super) fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            found: RefCell::default(),
            secrets: RefCell::default(),
            places: RefCell::default(),
        }
    }

    /// The place of a part of a quoted value, when the quotes hold exactly `value`.
    pub(super) fn within(
        &self,
        quoted: &Range<usize>,
        value: &str,
        part: &Range<usize>,
    ) -> Option<Range<usize>> {
        let inner = quoted.start + 1..quoted.end.checked_sub(1)?;
        let place = inner.start + part.start..inner.start + part.end;
        (self.text.get(inner)? == value && self.text.get(place.clone()).is_some()).then_some(place)
    }

    pub(super) fn add(&self, found: Found) {
        self.found.borrow_mut().push(found);
    }

    /// Remembers where `key` names `text`, of which only other files can tell whether it is right.
    pub(super) fn ask_later(&self, span: Range<usize>, key: &str, text: &str) {
        self.places.borrow_mut().push(error(span, key, text));
    }

    /// Remembers that the text at `span` must not be shown.
    pub(super) fn hide(&self, span: Range<usize>) {
        self.secrets.borrow_mut().push(span);
    }

    pub(super) fn has_errors(&self) -> bool {
        self.found.borrow().iter().any(|found| found.severity == Severity::Error)
    }

    /// Turns what was found into problems of `file`, in the order of the text, with secrets masked.
    pub(super) fn finish(self, file: &str) -> Vec<Problem> {
        self.finish_with_places(file).0
    }

    /// As [`Self::finish`]; also gives the places that are to be asked about later, with what is named there as message.
    pub(super) fn finish_with_places(self, file: &str) -> (Vec<Problem>, Vec<Problem>) {
        let (mut found, places) = (self.found.into_inner(), self.places.into_inner());
        if found.is_empty() && places.is_empty() {
            return (Vec::new(), Vec::new());
        }
        found.sort_by_key(|found| (found.span.start, found.severity));
        let text: Arc<str> = Arc::from(mask(&self.text, &self.secrets.into_inner()));
        let problem = |found: Found| {
            let problem = Problem::without_place(found.severity, file, found.message);
            let problem = match found.hint {
                Some(hint) => problem.with_hint(hint),
                None => problem,
            };
            let problem = if found.key.is_empty() { problem } else { problem.with_key(found.key) };
            problem.at(&text, found.span)
        };
        let problems = found.into_iter().map(&problem).collect();
        (problems, places.into_iter().map(&problem).collect())
    }
}

/// Puts `*` over each span, quotes and line ends apart, without moving anything.
fn mask(text: &str, spans: &[Range<usize>]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for span in spans {
        let Some(hidden) = bytes.get_mut(span.clone()) else { continue };
        for byte in hidden {
            if !matches!(*byte, b'"' | b'\'' | b'\n' | b'\r') {
                *byte = b'*';
            }
        }
    }
    // Only whole characters were covered, so this is UTF-8 still.
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_secret_keeps_the_places_of_all_that_follows() {
        let secret = 4..9;
        assert_eq!(mask("a = \"gé\"\nb = 1", &[secret]), "a = \"***\"\nb = 1");
    }
}
