//! Decides one line by the built-in table, without memory.

use std::sync::LazyLock;

use super::codes;
use super::level::{self, Stated};
use super::phrase::{Found, Phrases};
use super::rules::{self, Strength};
use super::text::normalise;
use crate::domain::cause::Cause;
use crate::domain::class::{Class, Level};

/// What the table says about a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) level: Level,
    pub(super) cause: Option<Cause>,
    /// How well the line states its cause; none when no phrase matched.
    pub(super) strength: Option<Strength>,
}

impl Verdict {
    const fn plain(level: Level) -> Self {
        Self { level, cause: None, strength: None }
    }

    /// Whether the line says why, not only that.
    pub(super) fn states_cause(self) -> bool {
        self.cause.is_some() && self.strength >= Some(Strength::Topic)
    }
}

/// The compiled phrases.
struct Table {
    causes: Vec<(Cause, Strength)>,
    phrases: Phrases,
    handled: Phrases,
    retrying: Phrases,
    peaceful: Phrases,
    failure: Phrases,
    calmly: Phrases,
    advice: Phrases,
}

static TABLE: LazyLock<Option<Table>> = LazyLock::new(|| Table::new().ok());

impl Table {
    fn new() -> Result<Self, aho_corasick::BuildError> {
        let list = |heading| Phrases::new(rules::words(heading).into_iter().map(|text| (0, text)));
        Ok(Self {
            causes: rules::table().iter().map(|rule| (rule.cause, rule.strength)).collect(),
            phrases: Phrases::new(
                rules::table()
                    .iter()
                    .enumerate()
                    .flat_map(|(at, rule)| rule.phrases.iter().map(move |text| (at, *text))),
            )?,
            handled: list("handled")?,
            retrying: list("retrying")?,
            peaceful: list("peaceful")?,
            failure: list("failure")?,
            calmly: list("said calmly")?,
            advice: list("advice")?,
        })
    }

    /// The strongest statement of a cause; of equals the one furthest right, then the earlier class.
    fn weigh(&self, line: &str, normal: &str, message: usize) -> Option<(Cause, Strength)> {
        let mut hits: Vec<(Strength, usize, usize, Cause)> = Vec::new();
        let mut aside: Vec<(Strength, usize, usize, Cause)> = Vec::new();
        self.phrases.find(normal, |found| {
            if is_setting(normal, found) {
                return;
            }
            if let Some(&(cause, strength)) = self.causes.get(found.rule) {
                let list = if found.start < message { &mut aside } else { &mut hits };
                list.push((strength, found.start, found.rule, cause));
            }
        });
        codes::find(line, normal, |coded| {
            hits.push((coded.strength, coded.at, usize::MAX, coded.cause))
        });
        if hits.is_empty() {
            hits = aside;
        }
        let mut advice = usize::MAX;
        self.advice.find(normal, |found| advice = advice.min(found.start));
        if hits.iter().any(|&(strength, at, ..)| at < advice && strength >= Strength::Topic) {
            hits.retain(|&(_, at, ..)| at < advice);
        }
        hits.into_iter()
            .max_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(b.2.cmp(&a.2)))
            .map(|(strength, _, _, cause)| (cause, strength))
    }

    fn decide(&self, line: &str, normal: &str, message: usize, level: Option<Level>) -> Verdict {
        let best = self.weigh(line, normal, message);
        let strength = best.map(|(_, strength)| strength);
        let plain = Verdict::plain(level.unwrap_or(Level::Info));
        let error = |level| Verdict {
            level,
            cause: Some(best.map_or(Cause::TecUnclassified, |(cause, _)| cause)),
            strength,
        };
        match level {
            Some(Level::Error) => error(Level::Error),
            Some(Level::Warning) => {
                let calm = self.handled.any(normal) || self.retrying.any(normal);
                if strength >= Some(Strength::Stated) && !calm {
                    error(Level::Warning)
                } else {
                    plain
                }
            }
            Some(Level::Info) if self.calmly.any(normal) && !self.peaceful.any(normal) => {
                error(Level::Error)
            }
            Some(Level::Info | Level::Debug) => plain,
            None if self.retrying.any(normal) => Verdict::plain(Level::Warning),
            None if strength >= Some(Strength::Stated) && !self.peaceful_for(normal, best) => {
                error(Level::Error)
            }
            None if self.peaceful.any(normal) => plain,
            None if self.failure.any(normal) || tells_exit(best) => error(Level::Error),
            None => plain,
        }
    }

    /// Success in so many words outweighs a mere consequence.
    fn peaceful_for(&self, normal: &str, best: Option<(Cause, Strength)>) -> bool {
        best.is_some_and(|(cause, _)| cause.class() == Class::Cascade) && self.peaceful.any(normal)
    }
}

/// An exit status other than 0 is a failure without the word.
fn tells_exit(best: Option<(Cause, Strength)>) -> bool {
    best == Some((Cause::CasExit, Strength::Summary))
}

/// `timeout = 30`, `"rate limit": 5`: the phrase names a setting, it does not report.
fn is_setting(normal: &str, found: Found) -> bool {
    let rest = normal.get(found.end..).unwrap_or("");
    let rest = rest.trim_start_matches('\'').trim_start();
    let Some(value) = rest.strip_prefix('=').or_else(|| rest.strip_prefix(": ")) else {
        return false;
    };
    let value = value.trim_start();
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let unit = value.get(digits..).unwrap_or("").trim_start();
    digits > 0 && (unit.is_empty() || unit.starts_with(['s', 'm', ',', ')', '}', 'h', ';']))
}

/// Judges a line of text by level and table. `error` says that the line is one for a reason outside it.
pub(super) fn text(
    line: &str,
    stated: Option<Stated>,
    error: bool,
    scratch: &mut String,
) -> Verdict {
    let level = if error { Some(Level::Error) } else { stated.map(|stated| stated.level) };
    if matches!(level, Some(Level::Debug)) {
        return Verdict::plain(Level::Debug);
    }
    let message = normalise(line, stated.map_or(0, |stated| stated.message), scratch);
    TABLE.as_ref().map_or_else(
        || Verdict::plain(level.unwrap_or(Level::Info)),
        |table| table.decide(line, scratch, message, level),
    )
}

/// Judges what a JSON line says.
pub(super) fn evidence(
    evidence: &str,
    level: Option<Level>,
    error: bool,
    scratch: &mut String,
) -> Verdict {
    let inner = if level.is_none() { level::of_line(evidence) } else { None };
    let stated = level.map(|level| Stated { level, message: 0 }).or(inner);
    text(evidence, stated, error && stated.is_none(), scratch)
}
