//! The gate in front of the rules: output in which nothing could be an error costs one pass of an automaton.
//!
//! Every judgement begins here, so the gate is sound by construction: a line without any trigger is plain, and no line of a block
//! has a trigger if the block has none. The triggers are made from the table itself, one telling word (or pair of words) for each
//! phrase that makes a line an error by itself, so that a new rule needs no thought here.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::rules::{self, Strength};
use crate::domain::cause::Cause;

/// Levels, marks and numbers; the rest comes from the table.
const FIXED: &[&str] = &[
    "err",
    "warn",
    "[wrn",
    "|wrn",
    " wrn ",
    "fatal",
    "[ftl",
    " ftl ",
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
    "panicked",
    "caused by:",
    "---> ",
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
    "<0>",
    "<1>",
    "<2>",
    "<3>",
    "<4>",
    "http 4",
    "http 5",
    "/1.1 4",
    "/1.1 5",
    "status 4",
    "status 5",
    "status: 4",
    "status: 5",
    "status=4",
    "status=5",
    "status\":4",
    "status\":5",
    "status\": 4",
    "status\": 5",
    "code 4",
    "code 5",
    "code: 4",
    "code: 5",
    "code=4",
    "code=5",
    "code\":4",
    "code\":5",
    "code\": 4",
    "code\": 5",
    "ora-",
    "sqlstate",
    "can not",
    "could not",
    "couldn",
    "unable to",
    "able to",
    "can't",
    "can\u{2019}t",
    "impossible to",
    "cannot",
];

static TRIGGERS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .kind(Some(AhoCorasickKind::DFA))
        .build(triggers())
        .ok()
});

/// Whether no line in this output could be anything but ordinary: `judge` gives each of them level info and no class.
///
/// Valid for interfaces without rules of their own (`Classifier::has_own_rules`). May say no to ordinary output, never yes to other.
pub fn surely_plain(bytes: &[u8]) -> bool {
    if bytes.first() == Some(&b'{') || memchr::memmem::find(bytes, b"\n{").is_some() {
        return false;
    }
    TRIGGERS.as_ref().is_some_and(|triggers| !triggers.is_match(bytes))
}

/// All triggers, in lower case.
fn triggers() -> BTreeSet<String> {
    let mut all: BTreeSet<String> = FIXED.iter().map(|text| (*text).to_owned()).collect();
    let common = rules::words("common");
    let alone = |rule: &&rules::Rule| {
        rule.strength >= Strength::Stated
            || (rule.cause == Cause::CasExit && rule.strength == Strength::Summary)
    };
    let phrases = rules::table().iter().filter(alone).flat_map(|rule| rule.phrases.iter().copied());
    for phrase in phrases.chain(rules::words("failure")).chain(rules::words("said calmly")) {
        add(phrase, &common, &mut all);
    }
    all
}

/// Adds what a line must contain for `phrase` to match it, unless it is there already.
fn add(phrase: &str, common: &[&str], all: &mut BTreeSet<String>) {
    let lower = phrase.to_lowercase();
    if all.iter().any(|trigger| lower.contains(trigger.as_str()))
        && lower.is_ascii()
        && !lower.contains(" not ")
    {
        return;
    }
    let open = |word: &&str| !word.is_empty();
    let pieces: Vec<Vec<&str>> = lower
        .split(['*', '#', '~'])
        .map(|piece| piece.split(|c: char| !c.is_alphanumeric()).filter(open).collect())
        .collect();
    let telling = |word: &&&str| word.len() >= 4 && !common.contains(*word);
    if let Some(word) = pieces.iter().flatten().filter(telling).max_by_key(|word| word.len()) {
        both_cases(word, all);
        return;
    }
    // No word tells by itself: the longest pair of neighbours, however they are joined.
    let pair = pieces
        .iter()
        .flat_map(|words| words.windows(2))
        .max_by_key(|pair| pair.iter().map(|word| word.len()).sum::<usize>());
    match pair {
        Some([first, "not"]) => all.extend([
            format!("{first} not"),
            format!("{first}n't"),
            format!("{first}n\u{2019}t"),
            format!("{first}_not"),
            format!("{first}-not"),
            format!("{first}not"),
        ]),
        Some([first, second]) => {
            if *first == "not" {
                // "does not exist" is also what "doesn't exist" becomes.
                all.extend([format!("n't {second}"), format!("n\u{2019}t {second}")]);
            }
            for join in [" ", "_", "-", "", "  ", "%20", "' ", " '", "\" ", " \"", ": ", ". ", "."]
            {
                all.insert(format!("{first}{join}{second}"));
            }
        }
        _ => {
            if let Some(word) = pieces.iter().flatten().max_by_key(|word| word.len()) {
                both_cases(word, all);
            } else if !lower.trim().is_empty() {
                all.insert(lower.trim_matches(['~', '*', '#', ' ']).to_owned());
            }
        }
    }
}

/// The automaton folds the case of ASCII only; other scripts get their capital by hand.
fn both_cases(word: &str, all: &mut BTreeSet<String>) {
    all.insert(word.to_owned());
    if !word.is_ascii() {
        let mut letters = word.chars();
        let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
        all.insert(format!("{first}{}", letters.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One line that the phrase matches.
    fn sample(phrase: &str) -> String {
        phrase.replace('*', "x").replace('#', "7").replace('~', "")
    }

    #[test]
    fn every_phrase_that_makes_an_error_gets_past_the_gate() {
        let alone = rules::table()
            .iter()
            .filter(|rule| rule.strength >= Strength::Stated)
            .flat_map(|rule| rule.phrases.iter().copied());
        for phrase in alone.chain(rules::words("failure")) {
            let line = sample(phrase);
            assert!(!surely_plain(line.as_bytes()), "{phrase}");
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
    fn json_lines_are_always_looked_at() {
        assert!(!surely_plain(b"{\"a\":1}"));
        assert!(!surely_plain(b"all well\n{\"a\":1}\n"));
        assert!(surely_plain(b"all well\n {x\n"));
    }
}
