//! The built-in table: what real systems say, and which cause it names.
//!
//! The rules are data, one file for each class. A rule is a heading with a cause and a strength, and phrases below it, parted by ` | `.
//! A phrase is compared with the normalised line (lower case, `_` and `-` between letters as spaces, `CamelCase` as words,
//! contractions and "could not", "unable to", "failed to" as `cannot`; see `text`). In a phrase ` * ` stands for up to 160 bytes of
//! anything, `#` for digits, `~` at an end lets the word go on there, and `^` asks to stand first. A line that begins with `;` is a comment.
//!
//! Of the phrases that match, the strongest wins; of equals the one that stands furthest right, because a line that wraps a cause
//! states the innermost one last ("Sync failed: HTTPError: 401 …"). Order in the table decides between equal places.
//! Sources: the rule table of the classification reference, the manual's five classes (seed 003), and the wording of the systems themselves.

use std::sync::LazyLock;

use crate::domain::cause::Cause;

/// How much a phrase says about the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strength {
    /// Names only a subject. Counts on lines that are errors for another reason.
    Faint,
    /// Says that something failed, not why.
    Summary,
    /// Names what failed, if the line is an error at all.
    Topic,
    /// States a cause, and that alone makes a line an error.
    Stated,
    /// States a cause that no other reading of the line can change.
    Sure,
}

/// A cause and the phrases that name it.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) cause: Cause,
    pub(super) strength: Strength,
    pub(super) phrases: Vec<&'static str>,
}

const FILES: [&str; 5] = [
    include_str!("external.txt"),
    include_str!("configuration.txt"),
    include_str!("mapping.txt"),
    include_str!("technical.txt"),
    include_str!("cascade.txt"),
];

static TABLE: LazyLock<Vec<Rule>> =
    LazyLock::new(|| FILES.into_iter().flat_map(sections).filter_map(rule).collect());

/// The whole table, class by class.
pub(super) fn table() -> &'static [Rule] {
    &TABLE
}

/// Lists of phrases with their headings.
type Sections = Vec<(&'static str, Vec<&'static str>)>;

static SUBJECTS: LazyLock<Sections> = LazyLock::new(|| sections(include_str!("subjects.txt")));

static WORDS: LazyLock<Sections> = LazyLock::new(|| sections(include_str!("words.txt")));

/// What a line may speak of, each with the cause that trouble with it names.
pub(super) fn subjects() -> impl Iterator<Item = (Cause, &'static [&'static str])> {
    SUBJECTS
        .iter()
        .filter_map(|(heading, phrases)| Some((heading.parse().ok()?, phrases.as_slice())))
}

/// The words that say that something is wrong with a subject.
pub(super) fn refused() -> &'static [&'static str] {
    list(&SUBJECTS, "refused")
}

/// A list of `words.txt` by its heading.
pub(super) fn words(heading: &str) -> &'static [&'static str] {
    list(&WORDS, heading)
}

fn list(sections: &'static Sections, heading: &str) -> &'static [&'static str] {
    let found = sections.iter().find(|(found, _)| *found == heading);
    found.map_or(&[], |(_, phrases)| phrases.as_slice())
}

/// The headings of a file and the phrases below each.
fn sections(file: &'static str) -> Sections {
    let mut sections = Sections::new();
    for line in file.lines().map(str::trim).filter(|line| !line.starts_with(';')) {
        if let Some(heading) = heading(line) {
            sections.push((heading, Vec::new()));
        } else if let Some((_, phrases)) = sections.last_mut() {
            phrases.extend(parts(line).map(str::trim).filter(|phrase| !phrase.is_empty()));
        }
    }
    sections
}

/// What ` | ` parts.
fn parts(line: &'static str) -> impl Iterator<Item = &'static str> {
    let mut start = 0;
    memchr::memmem::find_iter(line.as_bytes(), b" | ").map(Some).chain([None]).filter_map(
        move |end| {
            let part = line.get(start..end.unwrap_or(line.len()));
            start = end.unwrap_or(line.len()) + 3;
            part
        },
    )
}

/// What stands between brackets on a line of its own; a phrase may begin with a bracket too.
fn heading(line: &'static str) -> Option<&'static str> {
    let heading = line.strip_prefix('[')?.strip_suffix(']')?;
    (!heading.contains(['[', '|'])).then_some(heading)
}

/// A rule, if its heading is a cause and a strength.
fn rule((heading, phrases): (&'static str, Vec<&'static str>)) -> Option<Rule> {
    let (cause, strength) = heading.split_once(' ')?;
    let strength = match strength {
        "faint" => Strength::Faint,
        "summary" => Strength::Summary,
        "topic" => Strength::Topic,
        "stated" => Strength::Stated,
        "sure" => Strength::Sure,
        _ => return None,
    };
    Some(Rule { cause: cause.parse().ok()?, strength, phrases })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_heading_is_a_rule_with_phrases() {
        let headings = FILES.iter().map(|file| sections(file).len()).sum::<usize>();
        assert_eq!(table().len(), headings);
        assert!(table().iter().all(|rule| !rule.phrases.is_empty()));
    }

    #[test]
    fn every_list_of_words_is_there() {
        for heading in [
            "handled",
            "retrying",
            "last try",
            "dealt with",
            "progress",
            "outcome",
            "flaw",
            "failure",
            "said calmly",
            "advice",
            "peaceful",
            "common",
        ] {
            assert!(!words(heading).is_empty(), "{heading}");
        }
    }

    #[test]
    fn phrases_are_written_as_lines_are_normalised() {
        for phrase in table().iter().flat_map(|rule| &rule.phrases) {
            assert_eq!(*phrase, phrase.to_lowercase(), "{phrase}");
            for unknown in [
                "could not ",
                "unable to ",
                "failed to ",
                "can't ",
                "doesn't ",
                "isn't ",
                "_",
                "\"",
            ] {
                assert!(!phrase.contains(unknown), "{phrase}: never found");
            }
        }
    }
}
