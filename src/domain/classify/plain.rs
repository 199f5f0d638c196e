//! The gate in front of the rules: output in which nothing could be an error costs one pass of an automaton.
//!
//! Every judgement begins here, so the gate is sound by construction: a line without any trigger is plain, and no line of a block
//! has a trigger if the block has none. The triggers are made from the table itself (see `triggers`), so that a new rule needs no
//! thought here.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, OnceLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use memchr::memmem::Finder;

use super::prefix::Prefixes;
use super::triggers::{self, NUMBERED, SHORT_BYTES};

/// How much output is looked through before the automaton is worth its building, in bytes.
const WARM_BYTES: usize = 256 * 1024;
/// How far from its word a status number may stand, in bytes.
const NUMBER_BYTES: usize = 40;
/// How far in front of its word, in bytes.
const FRONT_BYTES: usize = 8;

/// What a word that was found means.
#[derive(Debug)]
enum Meaning {
    /// The line is worth a look.
    Strong,
    /// It is if one of these stands in the line too.
    With(Partners),
    /// It is if a status number stands near: behind it, or in front.
    Numbered { behind: bool },
}

/// Words that may stand beside another; their searchers are built when that is found.
#[derive(Debug)]
struct Partners {
    words: Vec<&'static str>,
    finders: OnceLock<Vec<Finder<'static>>>,
}

impl Meaning {
    const fn with(words: Vec<&'static str>) -> Self {
        Self::With(Partners { words, finders: OnceLock::new() })
    }
}

struct Gate {
    /// The words and what each means.
    words: Prefixes<String>,
    meanings: Vec<Meaning>,
    /// How much was looked through without the automaton.
    seen: AtomicUsize,
    kind: AhoCorasickKind,
    /// The same words, four times as fast and ten times as long to build.
    automaton: OnceLock<Option<AhoCorasick>>,
}

/// The gate for text in ASCII alone, and what other scripts need besides; few runs need that.
static GATE: LazyLock<Gate> = LazyLock::new(|| Gate::new(str::is_ascii, AhoCorasickKind::DFA));
static OTHER_SCRIPTS: LazyLock<Gate> =
    LazyLock::new(|| Gate::new(|_| true, AhoCorasickKind::ContiguousNFA));

/// "does not" is also what "doesn't" becomes.
fn spellings(word: &'static str) -> Vec<&'static str> {
    match word {
        "not" => vec!["not", "n't", "n\u{2019}t"],
        word => vec![word],
    }
}

impl Gate {
    fn new(wanted: fn(&str) -> bool, kind: AhoCorasickKind) -> Self {
        let triggers = triggers::all();
        let weak = triggers.weak.iter().flat_map(|(word, partners)| {
            let partners: Vec<&'static str> =
                partners.iter().flat_map(|word| spellings(word)).collect();
            spellings(word)
                .into_iter()
                .map(move |spelling| (spelling.to_owned(), Meaning::with(partners.clone())))
        });
        let numbered =
            NUMBERED.iter().map(|&(word, behind)| (word.to_owned(), Meaning::Numbered { behind }));
        let strong = triggers.strong.into_iter().map(|word| (word, Meaning::Strong));
        let (words, meanings): (Vec<String>, Vec<Meaning>) =
            strong.chain(weak).chain(numbered).filter(|(word, _)| wanted(word)).unzip();
        let (seen, automaton) = (AtomicUsize::new(0), OnceLock::new());
        Self { words: Prefixes::new(words), meanings, seen, kind, automaton }
    }

    /// Whether nothing in `bytes` is worth a look.
    fn passes(&self, bytes: &[u8]) -> bool {
        let mut line = Line::default();
        let cold = self.seen.fetch_add(bytes.len(), Ordering::Relaxed) < WARM_BYTES;
        match if cold { None } else { self.automaton() } {
            Some(automaton) => automaton.find_overlapping_iter(bytes).all(|hit| {
                !self.tells(hit.pattern().as_usize(), bytes, (hit.start(), hit.end()), &mut line)
            }),
            None => !self.words.find(&bytes.to_ascii_lowercase(), |word, start, end| {
                self.tells(word, bytes, (start, end), &mut line)
            }),
        }
    }

    fn automaton(&self) -> Option<&AhoCorasick> {
        let build = || {
            AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .match_kind(MatchKind::Standard)
                .kind(Some(self.kind))
                .build(self.words.texts())
                .ok()
        };
        self.automaton.get_or_init(build).as_ref()
    }

    /// Whether a word that was found makes its line worth a look.
    fn tells(
        &self,
        word: usize,
        bytes: &[u8],
        (start, end): (usize, usize),
        line: &mut Line,
    ) -> bool {
        match self.meanings.get(word) {
            Some(Meaning::With(partners)) => {
                let word = bytes.get(start..end).unwrap_or(&[]);
                !(whole(word) && inside_word(bytes, start, end))
                    && line.around(bytes, start).has(partners)
            }
            Some(Meaning::Numbered { behind: true }) => {
                bytes.get(end..bytes.len().min(end + NUMBER_BYTES)).is_some_and(has_status)
            }
            Some(Meaning::Numbered { behind: false }) => {
                bytes.get(start.saturating_sub(FRONT_BYTES)..start).is_some_and(has_status)
            }
            Some(Meaning::Strong) | None => true,
        }
    }
}

/// The line in which a word was found, in lower case; kept, because the next one is mostly in it too.
#[derive(Default)]
struct Line {
    start: usize,
    end: usize,
    raw: Vec<u8>,
    lower: Vec<u8>,
}

impl Line {
    fn around(&mut self, bytes: &[u8], at: usize) -> &Self {
        if at < self.start || at >= self.end {
            let before = bytes.get(..at).unwrap_or(&[]);
            let after = bytes.get(at..).unwrap_or(&[]);
            self.start = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
            self.end = memchr::memchr(b'\n', after).map_or(bytes.len(), |end| at + end);
            self.raw.clear();
            self.raw.extend_from_slice(bytes.get(self.start..self.end).unwrap_or(&[]));
            self.lower.clone_from(&self.raw);
            self.lower.make_ascii_lowercase();
        }
        self
    }

    fn has(&self, partners: &Partners) -> bool {
        let build = || partners.words.iter().copied().map(Finder::new).collect();
        partners.finders.get_or_init(build).iter().any(|word| {
            let needle = word.needle();
            word.find_iter(&self.lower)
                .any(|at| !whole(needle) || !inside_word(&self.raw, at, at + needle.len()))
        })
    }
}

/// Whether a word counts only where it stands alone: a short one that is no ending ("n't").
fn whole(word: &[u8]) -> bool {
    word.len() <= SHORT_BYTES && !word.contains(&b'\'')
}

/// Whether a word goes on at one end of what was found: not at a capital, an escape or a terminal's colour.
fn inside_word(bytes: &[u8], start: usize, end: usize) -> bool {
    let at = |place: Option<usize>| place.and_then(|place| bytes.get(place)).copied().unwrap_or(0);
    let before = at(start.checked_sub(1));
    let earlier = at(start.checked_sub(2));
    let marked =
        earlier == b'\\' || before == b'm' && (earlier == b'[' || earlier.is_ascii_digit());
    before.is_ascii_alphabetic() && !at(Some(start)).is_ascii_uppercase() && !marked
        || at(Some(end)).is_ascii_lowercase()
}

/// Whether three digits stand there that could be a status of 400 or more.
fn has_status(near: &[u8]) -> bool {
    near.windows(3).any(|three| {
        matches!(three.first(), Some(b'4' | b'5')) && three.iter().all(u8::is_ascii_digit)
    })
}

/// Whether no line in this output could be anything but ordinary: `judge` gives each of them level info and no class.
///
/// Valid for interfaces without rules of their own (`Classifier::has_own_rules`). May say no to ordinary output, never yes to other.
pub fn surely_plain(bytes: &[u8]) -> bool {
    // What must begin a line is looked for behind a line end; the first line has none.
    let mut first = [b'\n', b' ', b' '];
    for (to, from) in first.iter_mut().skip(1).zip(bytes) {
        *to = *from;
    }
    let gate = if bytes.is_ascii() { &GATE } else { &OTHER_SCRIPTS };
    gate.passes(&first) && gate.passes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One line that the phrase matches.
    fn sample(phrase: &str) -> String {
        phrase.replace('*', "x").replace('#', "7").replace(['~', '^'], "")
    }

    #[test]
    fn every_phrase_that_makes_an_error_gets_past_the_gate() {
        for phrase in triggers::deciding() {
            let line = sample(phrase);
            assert!(!surely_plain(line.as_bytes()), "{phrase}");
            let contracted =
                line.replace("does not", "doesn't").replace(" is not", " isn\u{2019}t");
            assert!(!surely_plain(contracted.as_bytes()), "{phrase}, contracted");
            if line.is_ascii() {
                assert!(
                    !surely_plain(line.to_uppercase().replace(' ', "_").as_bytes()),
                    "{phrase}, as a constant"
                );
            }
        }
    }

    #[test]
    fn ordinary_output_does_not_get_past_it() {
        for line in [
            "2031-01-05 10:00:00 INFO processed record 1234 of 10000 for customer 77 in 12 ms",
            "Downloading page 3 of 12, 1200 rows so far",
            "order 10442 -> ticket 88123 created",
            "GET https://api.shop.example/v1/orders?page=3 200 OK",
            "Data loaded from table orders into the target database",
        ] {
            assert!(surely_plain(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn the_gate_decides_alike_with_the_automaton_and_without_it() {
        let corpus =
            [include_str!("tests/corpus/first.txt"), include_str!("tests/corpus/fourth.txt")];
        for wanted in [str::is_ascii, |_: &str| true] {
            let cold = Gate::new(wanted, AhoCorasickKind::ContiguousNFA);
            let warm = Gate::new(wanted, AhoCorasickKind::ContiguousNFA);
            warm.seen.store(WARM_BYTES, Ordering::Relaxed);
            for line in corpus.iter().flat_map(|file| file.lines()) {
                cold.seen.store(0, Ordering::Relaxed);
                assert_eq!(cold.passes(line.as_bytes()), warm.passes(line.as_bytes()), "{line}");
            }
            assert!(cold.automaton.get().is_none());
            assert!(warm.automaton.get().is_some());
        }
    }

    #[test]
    fn json_lines_are_always_looked_at() {
        assert!(!surely_plain(b"{\"a\":1}"));
        assert!(!surely_plain(b"all well\n{\"a\":1}\n"));
        assert!(surely_plain(b"all well\n {x\n"));
    }
}
