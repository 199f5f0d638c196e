//! Finds the phrases of the rules in a normalised line: one automaton over all first pieces, then a look at the rest.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use aho_corasick::{AhoCorasick, BuildError, MatchKind};

/// How far a ` * ` reaches, in bytes.
const GAP_BYTES: usize = 160;

/// One piece of a phrase after its first literal.
#[derive(Clone, Debug)]
enum Piece {
    /// This text, here or (after a gap) within reach.
    Literal { text: String, anywhere: bool },
    /// One digit or more.
    Digits,
}

#[derive(Clone, Debug)]
struct Phrase {
    rule: usize,
    /// Nothing but punctuation may stand before it.
    first: bool,
    /// A number stands before the first literal.
    counted: bool,
    open_start: bool,
    open_end: bool,
    rest: Vec<Piece>,
}

impl Phrase {
    /// Whether it reaches over text that it does not name.
    fn gapped(&self) -> bool {
        self.rest.iter().any(|piece| matches!(piece, Piece::Literal { anywhere: true, .. }))
    }
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

/// A compiled set of phrases.
#[derive(Debug)]
pub(super) struct Phrases {
    automaton: AhoCorasick,
    /// By pattern of the automaton.
    by_anchor: Vec<Vec<Phrase>>,
}

impl Phrases {
    /// Compiles phrases, each with the number of its rule.
    pub(super) fn new<'a>(
        phrases: impl IntoIterator<Item = (usize, &'a str)>,
    ) -> Result<Self, BuildError> {
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut anchors: Vec<String> = Vec::new();
        let mut by_anchor: Vec<Vec<Phrase>> = Vec::new();
        for (rule, text) in phrases {
            let (anchor, phrase) = compile(rule, text);
            match places.entry(anchor) {
                Entry::Occupied(known) => {
                    if let Some(list) = by_anchor.get_mut(*known.get()) {
                        list.push(phrase);
                    }
                }
                Entry::Vacant(new) => {
                    anchors.push(new.key().clone());
                    new.insert(by_anchor.len());
                    by_anchor.push(vec![phrase]);
                }
            }
        }
        let automaton = AhoCorasick::builder().match_kind(MatchKind::Standard).build(&anchors)?;
        Ok(Self { automaton, by_anchor })
    }

    /// Calls `with` for each phrase found in `text`.
    pub(super) fn find(&self, text: &str, mut with: impl FnMut(Found)) {
        for hit in self.automaton.find_overlapping_iter(text) {
            for phrase in self.by_anchor.get(hit.pattern().as_usize()).into_iter().flatten() {
                if let Some((start, end)) = phrase.stands_in(text, hit.start(), hit.end()) {
                    with(Found { rule: phrase.rule, start, end, gapped: phrase.gapped() });
                }
            }
        }
    }

    /// Whether any phrase stands in `text`.
    pub(super) fn any(&self, text: &str) -> bool {
        self.automaton.find_overlapping_iter(text).any(|hit| {
            self.by_anchor
                .get(hit.pattern().as_usize())
                .into_iter()
                .flatten()
                .any(|phrase| phrase.stands_in(text, hit.start(), hit.end()).is_some())
        })
    }
}

impl Phrase {
    /// Where the phrase begins and ends, if its first literal stands from `start` to `end` and the rest follows.
    fn stands_in(&self, text: &str, start: usize, end: usize) -> Option<(usize, usize)> {
        let bytes = text.as_bytes();
        let start = if self.counted {
            let before = bytes.get(..start)?.iter().rev();
            let digits = before.take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            start - digits
        } else {
            start
        };
        if !self.open_start && joins(bytes, start) {
            return None;
        }
        if self.first && bytes.iter().take(start).any(u8::is_ascii_alphanumeric) {
            return None;
        }
        let mut at = end;
        for piece in &self.rest {
            match piece {
                Piece::Digits => {
                    let digits = bytes.get(at..)?.iter().take_while(|b| b.is_ascii_digit()).count();
                    if digits == 0 {
                        return None;
                    }
                    at += digits;
                }
                Piece::Literal { text: literal, anywhere: false } => {
                    if !bytes.get(at..)?.starts_with(literal.as_bytes()) {
                        return None;
                    }
                    at += literal.len();
                }
                Piece::Literal { text: literal, anywhere: true } => {
                    let reach = bytes.len().min(at + GAP_BYTES + literal.len());
                    at += memchr::memmem::find(bytes.get(at..reach)?, literal.as_bytes())?
                        + literal.len();
                }
            }
        }
        (self.open_end || !joins(bytes, at)).then_some((start, at))
    }
}

/// Whether a word goes on across this place.
fn joins(bytes: &[u8], at: usize) -> bool {
    let word = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    at > 0 && word(bytes.get(at - 1)) && word(bytes.get(at))
}

/// Splits a phrase into its first literal and the rest.
fn compile(rule: usize, text: &str) -> (String, Phrase) {
    let (text, first) = text.strip_prefix('^').map_or((text, false), |rest| (rest, true));
    let open_start = text.starts_with('~');
    let open_end = text.ends_with('~');
    let body = text.trim_matches('~');
    let (body, counted) = body.strip_prefix('#').map_or((body, false), |rest| (rest, true));
    let mut anchor = String::new();
    let mut rest = Vec::new();
    for (nth, part) in body.split('*').enumerate() {
        // A `~` inside, as in `column~ * not found`, lets the word before the gap go on: the gap takes what is left of it.
        let part = part.replace("~ ", "");
        for (digits, literal) in part.split('#').enumerate() {
            if digits > 0 {
                rest.push(Piece::Digits);
            }
            if literal.is_empty() {
                continue;
            }
            if nth == 0 && digits == 0 {
                literal.clone_into(&mut anchor);
            } else {
                rest.push(Piece::Literal {
                    text: literal.to_owned(),
                    anywhere: nth > 0 && digits == 0,
                });
            }
        }
    }
    (anchor, Phrase { rule, first, counted, open_start, open_end, rest })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(phrase: &str, text: &str) -> bool {
        Phrases::new([(0, phrase)]).unwrap().any(text)
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
