//! What a line must contain to be anything but plain, derived from the table of rules.
//!
//! Each phrase that can make a line an error gives one telling word, or two ordinary words that must stand in one line. Words and
//! not phrases, because the same phrase comes as `rate limit`, `RATE_LIMIT`, `rateLimit` and with any space between.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::context;
use super::prefix::Prefixes;
use super::rules::{self, Strength};
use crate::domain::cause::Cause;

/// How much of a word is looked for; the rest would only make the automaton larger.
const WORD_BYTES: usize = 7;
/// Words of this length stand inside many others, so that they count only as whole words.
pub(super) const SHORT_BYTES: usize = 3;

/// Levels, marks, wrappers and the ways to say "cannot"; a line with one of them is looked at.
const FIXED: &[&str] = &[
    "err",
    "eror",
    "warn",
    "wrn",
    "ftl",
    "fatal",
    "critical",
    "[crit",
    " crit",
    "severe",
    "emerg",
    "alert",
    "panic",
    "fail",
    "exception",
    "traceback",
    "fault",
    "fehler",
    "caused by",
    "suppressed:",
    "---> ",
    ".exc.",
    "external:",
    "external]",
    "configuration:",
    "configuration]",
    "mapping:",
    "mapping]",
    "technical:",
    "technical]",
    "cascade:",
    "cascade]",
    "[e]",
    "[e ",
    "[w]",
    "[w ",
    "[f]",
    "[f ",
    "sqlstate",
    "sql state",
    "sql_state",
    "odbc",
    "ora-",
    "ora 0",
    "ora0",
    "ora1",
    "ora2",
    "ora_",
    ": (1",
    ": (2",
    "- (1",
    "- (2",
    "code\":\"",
    "code\": \"",
    "code':'",
    "code': '",
    "code\\\":\\\"",
    "can not",
    "cannot",
    "can't",
    "can\u{2019}t",
    "could not",
    "couldn",
    "couldnot",
    "could_not",
    "can_not",
    "unable",
    "not able",
    "not_able",
    "impossible",
    "denied",
    "refused",
    "invalid",
    "exceed",
    "expired",
    "timed",
    "timeout",
    "violat",
    "unknown",
    "unavail",
    "unauthor",
    "forbid",
    "mismatch",
    "reject",
    "abort",
    "crash",
    "unexpected",
    "undefined",
    "duplicate",
    "incorrect",
    "malformed",
    "unsupported",
    "throttl",
    "deadlock",
    "corrupt",
    "killed",
    "unreachable",
    "disconnect",
    "exhaust",
    "illegal",
    "insufficient",
    "overload",
    "not found",
    "notfound",
    "not_found",
    ": bad ",
    ": missing ",
    ": wrong ",
    ": no ",
    ": not ",
];

/// Lines that begin so are looked at: objects, elements, syslog's and glog's levels, numbered database errors.
const STARTS: &[&str] =
    &["{", "<", "%", "e0", "e1", "w0", "w1", "f0", "f1", "(1", "(2", "e: ", "w: ", "crit: "];

/// Words of which a number between 400 and 599 makes a status. True: the number stands behind, false: in front.
pub(super) const NUMBERED: &[(&str, bool)] = &[
    ("http", true),
    ("status", true),
    ("responded", true),
    ("answered", true),
    ("replied", true),
    ("statuscode", true),
    ("payment", false),
    ("proxy", false),
    ("request", false),
    ("too many", false),
    ("internal", false),
    ("not implemented", false),
    ("gateway", false),
    ("service", false),
    ("payload", false),
    ("uri", false),
    ("rate limit", false),
];

/// What makes a line worth a look.
pub(super) struct Triggers {
    /// Each alone.
    pub(super) strong: BTreeSet<String>,
    /// Two in one line: a word, and those of which one must stand in its line.
    pub(super) weak: BTreeMap<&'static str, BTreeSet<&'static str>>,
}

/// All triggers, in lower case.
pub(super) fn all() -> Triggers {
    let mut strong: BTreeSet<String> =
        FIXED.iter().chain(context::ANSWERS).map(|text| (*text).to_owned()).collect();
    for start in STARTS {
        strong.insert(format!("\n{start}"));
    }
    for digit in 0..10 {
        strong.extend(["e", "w", "f"].map(|letter| format!("{digit} {letter} ")));
        for (join, class) in [(" ", 4), (" ", 5), ("-", 4), ("-", 5), ("#", 4), ("#", 5)] {
            strong.insert(format!("{join}{class}.{digit}."));
        }
    }
    let fixed: Vec<&str> = FIXED.iter().copied().filter(|word| is_word(word)).collect();
    let fixed = Prefixes::new(fixed);
    let ranks = ranks();
    let mut weak: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for phrase in deciding() {
        if fixed.any(phrase.as_bytes()) && !phrase.contains(" not ") {
            continue;
        }
        match choose(phrase, &ranks) {
            Choice::Word(word) => both_cases(word, &mut strong),
            Choice::Pair(first, second) => {
                weak.entry(first).or_default().insert(second);
            }
        }
    }
    Triggers { strong, weak }
}

/// The phrases that make a line an error by themselves.
pub(super) fn deciding() -> impl Iterator<Item = &'static str> {
    let alone = |rule: &&rules::Rule| {
        rule.strength >= Strength::Stated
            || (rule.cause == Cause::CasExit && rule.strength == Strength::Summary)
    };
    let phrases = rules::table().iter().filter(alone).flat_map(|rule| rule.phrases.iter().copied());
    let words = |heading| rules::words(heading).iter().copied();
    phrases.chain(words("failure")).chain(words("flaw")).chain(words("said calmly"))
}

/// Words that say nothing about a line; chosen only if a phrase has no others.
const FILLERS: &[&str] = &[
    "for", "the", "of", "to", "in", "is", "are", "be", "on", "by", "at", "an", "as", "or", "and",
    "with", "was", "it", "this", "from", "has", "http", "https", "while", "when", "been",
];

/// Words that stand in many phrases and in few ordinary lines, so that they are looked for first.
const RARER: &[&str] = &[
    "not", "no", "bad", "must", "null", "none", "empty", "exit", "exited", "closed", "limit",
    "class",
];

enum Choice {
    Word(&'static str),
    Pair(&'static str, &'static str),
}

fn is_word(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// How little a word says: the higher, the less.
fn ranks() -> HashMap<&'static str, u8> {
    // These do not stand in the raw line where the phrase has them: contractions, addresses and paths are replaced.
    const REPLACED: &[&str] = &["cannot", "will", "url", "path"];
    let common =
        rules::words("common").iter().map(|word| (super::text::head(word, WORD_BYTES), COMMON));
    let mut ranks: HashMap<&str, u8> = common.collect();
    ranks.extend(RARER.iter().map(|word| (*word, 1)));
    ranks.extend(FILLERS.iter().map(|word| (*word, 4)));
    ranks.extend(REPLACED.iter().map(|word| (*word, NEVER)));
    ranks
}

/// The rank of a word that ordinary output is full of.
const COMMON: u8 = 2;
/// The rank of a word that is not looked for.
const NEVER: u8 = u8::MAX;

/// The word, or the two words, that `phrase` cannot match without: the longest that ordinary output is not full of.
fn choose(phrase: &'static str, ranks: &HashMap<&str, u8>) -> Choice {
    let words = phrase
        .split(|c: char| !c.is_alphanumeric() && c != '~')
        // A short word is looked for as a whole, which it need not be where the phrase is open.
        .filter(|word| !word.contains('~') || word.len() > SHORT_BYTES + 1)
        .map(|word| word.trim_matches('~'))
        .filter(|word| word.len() > 1 || !word.is_ascii())
        .map(|word| if word.is_ascii() { super::text::head(word, WORD_BYTES) } else { word });
    let literal = phrase.trim_matches(['~', '*', '#', ' ', '^']);
    let [mut first, mut second]: [Option<(u8, &str)>; 2] = [None, None];
    let mut foreign: Option<&str> = None;
    for word in words {
        let short = word.len() <= SHORT_BYTES && word.is_ascii();
        let rank = match ranks.get(word) {
            Some(&NEVER) => continue,
            Some(&rank) if rank != COMMON || !short => rank,
            _ if short => 3,
            _ if word.bytes().all(|b| b.is_ascii_digit()) => COMMON,
            _ => 0,
        };
        // The gate folds the case of ASCII only, so that a pair in another script would miss the first word of a sentence.
        if !word.is_ascii() && foreign.is_none_or(|other| word.len() >= other.len()) {
            foreign = Some(word);
        }
        let before = |other: Option<(u8, &str)>| {
            other.is_none_or(|(least, other)| (rank, other.len()) < (least, word.len()))
        };
        if [first, second].iter().flatten().any(|(_, other)| *other == word) {
            continue;
        }
        if before(first) {
            (first, second) = (Some((rank, word)), first);
        } else if before(second) {
            second = Some((rank, word));
        }
    }
    match (foreign, first, second) {
        (Some(word), ..) => Choice::Word(word),
        (None, Some((_, first)), Some((_, second))) => Choice::Pair(first, second),
        (None, Some((_, word)), None)
            if word.len() > SHORT_BYTES || !word.is_ascii() || literal.contains(' ') =>
        {
            Choice::Word(word)
        }
        (None, ..) => Choice::Word(literal),
    }
}

/// The automaton folds the case of ASCII only; other scripts get their capitals by hand.
fn both_cases(word: &str, all: &mut BTreeSet<String>) {
    if word.is_ascii() {
        all.insert(word.to_owned());
        return;
    }
    let mut letters = word.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    all.extend([word.to_owned(), word.to_uppercase(), format!("{first}{}", letters.as_str())]);
}
