//! Finds the phrases of the rules in a normalised line: all first pieces at once, then a look at the rest.

use super::prefix::Prefixes;

/// How far a ` * ` reaches, in bytes.
const GAP_BYTES: usize = 160;

#[derive(Clone, Copy, Debug)]
struct Phrase {
    rule: usize,
    /// Nothing but punctuation may stand before it.
    first: bool,
    /// A number stands before the first literal.
    counted: bool,
    open_start: bool,
    open_end: bool,
    /// What stands behind the first literal, as it is written.
    rest: &'static str,
}

/// A phrase that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The caller's number for the phrase's rule.
    pub(super) rule: usize,
    /// Where it begins, in bytes.
    pub(super) start: usize,
    /// Where it ends.
    pub(super) end: usize,
    /// It reaches over text that it does not name.
    pub(super) gapped: bool,
}

/// A set of phrases.
#[derive(Debug)]
pub(super) struct Phrases {
    /// Those that begin where a word does.
    words: Anchored,
    /// Those that may begin inside one.
    inner: Anchored,
}

/// Phrases by their first literal.
#[derive(Debug)]
struct Anchored {
    anchors: Prefixes<&'static str>,
    /// By the number of the anchor.
    phrases: Vec<Phrase>,
}

impl Anchored {
    fn new(phrases: Vec<(&'static str, Phrase)>) -> Self {
        let (anchors, phrases) = phrases.into_iter().unzip();
        Self { anchors: Prefixes::new(anchors), phrases }
    }

    /// Calls `with` for each phrase whose first literal begins at `at`. True when `with` said to stop.
    fn find(&self, text: &str, at: usize, with: &mut impl FnMut(Found) -> bool) -> bool {
        self.anchors.at(text.as_bytes(), at, &mut |number, end| {
            let Some(phrase) = self.phrases.get(number) else { return false };
            phrase.stands_in(text, at, end).is_some_and(|(start, end)| {
                with(Found { rule: phrase.rule, start, end, gapped: phrase.gapped() })
            })
        })
    }
}

impl Phrases {
    /// Takes phrases, each with the number of its rule.
    pub(super) fn new(phrases: impl IntoIterator<Item = (usize, &'static str)>) -> Self {
        let split = phrases.into_iter().map(|(rule, text)| split(rule, text));
        let (inner, words) = split.partition(|(_, phrase)| phrase.open_start || phrase.counted);
        Self { words: Anchored::new(words), inner: Anchored::new(inner) }
    }

    /// Calls `with` for each phrase found in `text`.
    pub(super) fn find(&self, text: &str, mut with: impl FnMut(Found)) {
        self.look(text, |found| {
            with(found);
            false
        });
    }

    /// Whether any phrase stands in `text`.
    pub(super) fn any(&self, text: &str) -> bool {
        self.look(text, |_| true)
    }

    /// Calls `with` for each phrase found in `text` until it says to stop; whether it did.
    fn look(&self, text: &str, mut with: impl FnMut(Found) -> bool) -> bool {
        let bytes = text.as_bytes();
        (0..bytes.len()).any(|at| {
            !joins(bytes, at) && self.words.find(text, at, &mut with)
                || self.inner.find(text, at, &mut with)
        })
    }
}

impl Phrase {
    /// Whether it reaches over text that it does not name.
    fn gapped(&self) -> bool {
        self.rest.contains('*')
    }

    /// Where the phrase begins and ends, if its first literal stands from `start` to `end` and the rest follows.
    fn stands_in(&self, text: &str, start: usize, end: usize) -> Option<(usize, usize)> {
        let bytes = text.as_bytes();
        let start =
            if self.counted { start - digits(bytes.get(..start)?.iter().rev())? } else { start };
        if !self.open_start && joins(bytes, start) {
            return None;
        }
        if self.first && bytes.iter().take(start).any(u8::is_ascii_alphanumeric) {
            return None;
        }
        let mut at = end;
        let mut rest = self.rest;
        let mut gap = false;
        while let Some(c) = rest.bytes().next() {
            if c == b'*' {
                gap = true;
                rest = rest.get(1..)?;
            } else if c == b'#' {
                at += digits(bytes.get(at..)?.iter())?;
                gap = false;
                rest = rest.get(1..)?;
            } else if rest.starts_with("~ ") {
                rest = rest.get(2..)?;
            } else {
                let (literal, after) = rest.split_at(literal(rest));
                let reach =
                    if gap { bytes.len().min(at + GAP_BYTES + literal.len()) } else { bytes.len() };
                let here = bytes.get(at..reach)?;
                at += if gap {
                    memchr::memmem::find(here, literal.as_bytes())?
                } else if here.starts_with(literal.as_bytes()) {
                    0
                } else {
                    return None;
                } + literal.len();
                gap = false;
                rest = after;
            }
        }
        (self.open_end || !joins(bytes, at)).then_some((start, at))
    }
}

/// How many digits come first, if any does.
fn digits<'a>(bytes: impl Iterator<Item = &'a u8>) -> Option<usize> {
    let digits = bytes.take_while(|b| b.is_ascii_digit()).count();
    (digits > 0).then_some(digits)
}

/// How long the literal is that `text` begins with.
fn literal(text: &str) -> usize {
    let bytes = text.as_bytes();
    // A `~` inside, as in `column~ * not found`, lets the word before the gap go on: the gap takes what is left of it.
    let ends = |at: usize, b: u8| {
        matches!(b, b'*' | b'#') || b == b'~' && bytes.get(at + 1) == Some(&b' ')
    };
    (0..).zip(bytes).find(|&(at, &b)| ends(at, b)).map_or(bytes.len(), |(at, _)| at)
}

/// Whether a word goes on across this place.
fn joins(bytes: &[u8], at: usize) -> bool {
    let word = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    at > 0 && word(bytes.get(at - 1)) && word(bytes.get(at))
}

/// Splits a phrase into its first literal and the rest.
fn split(rule: usize, text: &'static str) -> (&'static str, Phrase) {
    let (text, first) = text.strip_prefix('^').map_or((text, false), |rest| (rest, true));
    let open_start = text.starts_with('~');
    let open_end = text.ends_with('~');
    let body = text.trim_matches('~');
    let (body, counted) = body.strip_prefix('#').map_or((body, false), |rest| (rest, true));
    let (anchor, rest) = body.split_at(literal(body));
    (anchor, Phrase { rule, first, counted, open_start, open_end, rest })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(phrase: &'static str, text: &str) -> bool {
        Phrases::new([(0, phrase)]).any(text)
    }

    #[test]
    fn a_phrase_stands_on_whole_words_unless_it_says_otherwise() {
        assert!(has("timed out", "read timed out."));
        assert!(!has("oom", "room 5"));
        assert!(has("throttl~", "request was throttled"));
        assert!(!has("throttl", "request was throttled"));
    }

    #[test]
    fn a_phrase_may_ask_to_stand_first() {
        assert!(has("^merge branch", "merge branch 'a'"));
        assert!(has("^merge branch", "  'merge branch"));
        assert!(!has("^merge branch", "cannot merge branch"));
    }

    #[test]
    fn a_star_reaches_over_words_and_a_hash_takes_digits() {
        assert!(has("table * does not exist", "table 'a.b' does not exist"));
        assert!(!has("table * does not exist", "the file does not exist, see table 4"));
        assert!(has("exit status #", "exit status 12"));
        assert!(!has("exit status #", "exit status unknown"));
        assert!(has("missing # required", "missing 2 required positional"));
        assert!(has("# rows failed", "of 10, 7 rows failed"));
        assert!(!has("# rows failed", "some rows failed"));
        assert!(!has("# rows failed", "x7 rows failed"));
    }
}
