//! Decides one line by the built-in table, without memory.

use std::sync::LazyLock;

use super::codes::{self, Coded};
use super::context;
use super::level::{self, Stated};
use super::phrase::{Found, Phrases};
use super::rules::{self, Strength};
use super::shape;
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

    /// Whether the line says why beyond our own program, in so many words.
    pub(super) fn states_why(self) -> bool {
        let beyond = |class| !matches!(class, Class::Technical | Class::Cascade);
        self.cause.is_some_and(|cause| beyond(cause.class()))
            && self.strength >= Some(Strength::Stated)
    }
}

/// The compiled phrases.
struct Table {
    causes: Vec<(Cause, Strength)>,
    phrases: Phrases,
    handled: Phrases,
    retrying: Phrases,
    last_try: Phrases,
    settled: Phrases,
    progress: Phrases,
    outcome: Phrases,
    peaceful: Phrases,
    harmless: Phrases,
    failure: Phrases,
    calmly: Phrases,
    advice: Phrases,
    rejects: Phrases,
    subjects: Phrases,
    subject_causes: Vec<Cause>,
    refused: Phrases,
    flaws: Phrases,
}

/// A line in front of the table.
#[derive(Clone, Copy, Debug)]
struct Text<'a> {
    line: &'a str,
    /// Its normalised form.
    normal: &'a str,
    /// Where the message begins there.
    message: usize,
    /// It is what another system answered.
    answer: bool,
}

/// How far a word of trouble may stand from what it is about, in bytes.
const NEAR_BYTES: usize = 40;

/// A statement of a cause in a line.
#[derive(Clone, Copy, Debug)]
struct Hit {
    strength: Strength,
    start: usize,
    end: usize,
    /// Place in the table; of equal hits the earlier class counts.
    rule: usize,
    cause: Cause,
    gapped: bool,
}

impl Hit {
    fn consequence(self) -> bool {
        self.cause.class() == Class::Cascade
    }

    /// Whether `other` is a part of this one: "credentials were not provided" says more than "not provided".
    fn contains(&self, other: &Self, normal: &str) -> bool {
        let wider = self.start <= other.start
            && other.end <= self.end
            && self.end - self.start > other.end - other.start;
        if !wider || self.strength < other.strength.min(Strength::Stated) {
            return false;
        }
        // Across a gap only the end of the same statement counts, not a cause that stands inside or behind a colon.
        !self.gapped
            || other.end == self.end
                && !normal.get(self.start..other.start).is_some_and(|gap| gap.contains(": "))
    }
}

static TABLE: LazyLock<Table> = LazyLock::new(Table::new);

impl Table {
    fn new() -> Self {
        let list = |heading| Phrases::new(rules::words(heading).iter().map(|text| (0, *text)));
        Self {
            causes: rules::table().iter().map(|rule| (rule.cause, rule.strength)).collect(),
            phrases: Phrases::new(
                rules::table()
                    .iter()
                    .enumerate()
                    .flat_map(|(at, rule)| rule.phrases.iter().map(move |text| (at, *text))),
            ),
            handled: list("handled"),
            retrying: list("retrying"),
            last_try: list("last try"),
            settled: list("dealt with"),
            progress: list("progress"),
            outcome: list("outcome"),
            peaceful: list("peaceful"),
            harmless: list("harmless"),
            failure: list("failure"),
            calmly: list("said calmly"),
            advice: list("advice"),
            rejects: list("rejects"),
            subject_causes: rules::subjects().map(|(cause, _)| cause).collect(),
            subjects: Phrases::new(
                rules::subjects()
                    .enumerate()
                    .flat_map(|(at, (_, words))| words.iter().map(move |text| (at, *text))),
            ),
            flaws: list("flaw"),
            refused: Phrases::new(rules::refused().iter().map(|text| (0, *text))),
        }
    }

    /// What the line says about causes: in its message, or else in its header.
    fn hits(&self, line: &str, normal: &str, message: usize) -> Vec<Hit> {
        let mut hits = Vec::new();
        let mut aside = Vec::new();
        self.phrases.find(normal, |found| {
            if let Some(&(cause, strength)) = self.causes.get(found.rule) {
                let class = cause.class();
                // A topic with a number is a setting; a statement is taken back only by "none" or 0.
                let unsaid = if class == Class::Cascade {
                    context::denied(normal, found.start, found.end)
                        || strength < Strength::Stated && context::negated(normal, found.start)
                } else {
                    context::is_figure(normal, found.end, strength)
                };
                if unsaid || class == Class::External && context::negated(normal, found.start) {
                    return;
                }
                let list = if found.start < message { &mut aside } else { &mut hits };
                let Found { rule, start, end, gapped } = found;
                list.push(Hit { strength, start, end, rule, cause, gapped });
            }
        });
        codes::find(line, normal, |Coded { cause, strength, at }| {
            let (start, end) = (at, at + 1);
            hits.push(Hit { strength, start, end, rule: usize::MAX, cause, gapped: false });
        });
        if !hits.iter().any(|hit| hit.strength >= Strength::Stated) {
            self.trouble(normal, message, &mut hits);
        }
        if hits.is_empty() { aside } else { hits }
    }

    /// Subjects of the message that a word of trouble stands near to.
    fn trouble(&self, normal: &str, message: usize, hits: &mut Vec<Hit>) {
        let mut refusals = Vec::new();
        self.refused.find(normal, |found| {
            if found.start >= message && !context::denied(normal, found.start, found.end) {
                refusals.push((found.start, found.end));
            }
        });
        if refusals.is_empty() {
            return;
        }
        self.subjects.find(normal, |found| {
            let Some(&cause) = self.subject_causes.get(found.rule) else { return };
            let near = |&(start, end): &(usize, usize)| {
                // Nothing that ends a statement may stand between, and the subject is not the word itself.
                let between = if end <= found.start { end..found.start } else { found.end..start };
                let gap = normal.get(between);
                gap.is_some_and(|gap| gap.len() <= NEAR_BYTES && !gap.contains([';', '{', '}']))
            };
            if found.start >= message && refusals.iter().any(near) {
                let Found { start, end, gapped, .. } = found;
                let (strength, rule) = (Strength::Topic, usize::MAX);
                hits.push(Hit { strength, start, end, rule, cause, gapped });
            }
        });
    }

    /// The strongest statement of a cause; of equals the one furthest right, then the earlier class.
    fn weigh(&self, line: &str, normal: &str, message: usize) -> Option<(Cause, Strength)> {
        let all = self.hits(line, normal, message);
        let mut hits: Vec<Hit> = all
            .iter()
            .filter(|hit| !all.iter().any(|other| other.contains(hit, normal)))
            .copied()
            .collect();
        let mut advice = usize::MAX;
        self.advice.find(normal, |found| advice = advice.min(found.start));
        if hits.iter().any(|hit| hit.start < advice && hit.strength >= Strength::Topic) {
            hits.retain(|hit| hit.start < advice || hit.strength == Strength::Sure);
        }
        // A consequence that goes on to say why is judged by why.
        let why = hits
            .iter()
            .filter(|hit| !hit.consequence() && hit.strength >= Strength::Stated)
            .map(|hit| hit.start)
            .max()
            .unwrap_or(0);
        hits.retain(|hit| !hit.consequence() || hit.start >= why);

        let best = hits.into_iter().max_by(|a, b| {
            (a.strength, a.start).cmp(&(b.strength, b.start)).then(b.rule.cmp(&a.rule))
        })?;
        let cause = self.owner(best, normal, message).unwrap_or(best.cause);
        let message = normal.get(message..).unwrap_or(normal);
        Some((context::settled(cause, best.strength, line, message), best.strength))
    }

    /// What is not valid or not there need be no record: "licence key is not valid" speaks of a credential, "module 'x' not found"
    /// of our own program. The subject next to the words decides.
    fn owner(&self, best: Hit, normal: &str, message: usize) -> Option<Cause> {
        const WORDS: &[&str] = &[
            "valid",
            "found",
            "exist",
            "no such",
            "unknown",
            "válid",
            "gültig",
            "vorhanden",
            "gefunden",
            "introuvable",
            "existe",
            "найден",
        ];
        /// How far behind its subject the words may stand, with its name between them.
        const REACH: usize = 40;
        let words = normal.get(best.start..best.end)?;
        if best.cause.class() != Class::Mapping || best.strength == Strength::Sure {
            return None;
        }
        if !WORDS.iter().any(|word| words.contains(word)) {
            return None;
        }
        let mut owner: Option<(usize, Cause)> = None;
        self.subjects.find(normal, |found| {
            let Some(&cause) = self.subject_causes.get(found.rule) else { return };
            let gap = |from: usize, to: usize| normal.get(from..to);
            let before = gap(found.end, best.start).is_some_and(|gap| {
                gap.len() <= REACH
                    && ![": ", "; ", "(", " for ", " from ", " in "]
                        .iter()
                        .any(|stop| gap.contains(stop))
            });
            let after = gap(best.end, found.start).is_some_and(|gap| gap.len() <= 2 && gap != ". ");
            let inside = best.start <= found.start && found.end <= best.end && !best.gapped;
            let distance = best.start.abs_diff(found.end);
            if found.start >= message
                && (before || after || inside)
                && owner.is_none_or(|(nearest, _)| distance < nearest)
            {
                owner = Some((distance, cause));
            }
        });
        owner
            .map(|(_, cause)| cause)
            .filter(|cause| matches!(cause.class(), Class::Configuration | Class::Technical))
    }

    /// What the message says best about the cause; none when nothing in it does.
    fn best(&self, text: &Text<'_>, error: bool) -> Option<(Cause, Strength)> {
        let Text { line, normal, message, answer } = *text;
        let best = self.weigh(line, normal, message).or_else(|| {
            let message = normal.get(message..).unwrap_or(normal);
            context::only_reports(message).then_some((Cause::CasStep, Strength::Summary))
        });
        match best {
            _ if !answer => best,
            // Another system refuses in words of its own: mostly for what we sent it.
            None => {
                (error || self.rejects.any(normal)).then_some((Cause::MapField, Strength::Faint))
            }
            // It has no more to say than that something went wrong: with itself.
            Some((Cause::TecUnclassified, strength)) => Some((Cause::ExtOther, strength)),
            known => known,
        }
    }

    fn decide(&self, text: &Text<'_>, level: Option<Level>) -> Verdict {
        let Text { line, normal, answer, .. } = *text;
        let best = self.best(text, level == Some(Level::Error));
        let strength = best.map(|(_, strength)| strength);
        let plain = Verdict::plain(level.unwrap_or(Level::Info));
        let error = |level| Verdict {
            level,
            cause: Some(best.map_or(Cause::TecUnclassified, |(cause, _)| cause)),
            strength,
        };
        if self.harmless.any(normal) && !normal.contains("fatal: ") {
            return Verdict::plain(level.unwrap_or(Level::Info).min(Level::Warning));
        }
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
            Some(Level::Info | Level::Debug)
                if self.reports(&self.calmly, normal) && !self.peaceful.any(normal) =>
            {
                error(Level::Error)
            }
            Some(Level::Info | Level::Debug) => plain,
            None if (self.retrying.any(normal) || self.settled.any(normal))
                && !answer
                && !context::names_exception(line)
                && !self.last_try.any(normal) =>
            {
                Verdict::plain(Level::Warning)
            }
            None if strength >= Some(Strength::Stated) && !self.peaceful_for(normal, best) => {
                error(Level::Error)
            }
            None if self.peaceful.any(normal) => plain,
            // `Deleting old crash reports`: what it works on is no outcome.
            None if self.progress.any(normal) && !self.outcome.any(normal) => plain,
            None if strength >= Some(Strength::Topic)
                && !self.peaceful.any(normal)
                && !self.progress.any(normal)
                && best.is_some_and(|(cause, _)| cause.class() != Class::Cascade)
                && (shape::names_tool(line) && self.refused.any(normal)
                    || self.reports(&self.flaws, normal)) =>
            {
                error(Level::Error)
            }
            None if self.reports(&self.failure, normal)
                && shape::without_names(line).is_none_or(|rest| self.reports_in(&rest))
                || answer && strength >= Some(Strength::Faint)
                || context::names_exception(line)
                || tells_exit(best) =>
            {
                error(Level::Error)
            }
            None => plain,
        }
    }

    /// Whether one of `phrases` stands in the line and is not denied ("errors: 0", "failed: false").
    fn reports(&self, phrases: &Phrases, normal: &str) -> bool {
        let mut reported = false;
        phrases.find(normal, |found| {
            reported |= !context::denied(normal, found.start, found.end)
                && !context::negated(normal, found.start);
        });
        reported
    }

    /// Whether a line that is not yet normalised reports a failure.
    fn reports_in(&self, line: &str) -> bool {
        let mut normal = String::with_capacity(line.len() + 16);
        normalise(line, 0, &mut normal);
        self.reports(&self.failure, &normal)
    }

    /// Success in so many words outweighs a mere consequence.
    fn peaceful_for(&self, normal: &str, best: Option<(Cause, Strength)>) -> bool {
        let weak = |(cause, strength): (Cause, Strength)| {
            cause.class() == Class::Cascade && strength < Strength::Sure
        };
        best.is_some_and(weak) && self.peaceful.any(normal)
    }
}

/// An exit status other than 0 is a failure without the word.
fn tells_exit(best: Option<(Cause, Strength)>) -> bool {
    best == Some((Cause::CasExit, Strength::Summary))
}

/// Judges a line of text by level and table. `error` says that the line is one for a reason outside it.
pub(super) fn text(
    line: &str,
    stated: Option<Stated>,
    error: bool,
    scratch: &mut String,
) -> Verdict {
    judge(line, stated, error, context::answer(line), scratch)
}

/// `answer` says that the line is what another system answered.
fn judge(
    line: &str,
    stated: Option<Stated>,
    error: bool,
    answer: bool,
    scratch: &mut String,
) -> Verdict {
    let line = if stated.is_none() { shape::without_job(line) } else { line };
    let level = if error { Some(Level::Error) } else { stated.map(|stated| stated.level) };
    let bare = level.is_none() || !line.trim().contains(' ');
    if bare && shape::is_setting(line)
        || level.is_none() && (shape::is_commit(line) || context::served(line))
    {
        return Verdict::plain(Level::Info);
    }
    let message = normalise(line, stated.map_or(0, |stated| stated.message), scratch);
    TABLE.decide(&Text { line, normal: scratch, message, answer }, level)
}

/// Judges what a JSON line says.
pub(super) fn evidence(
    evidence: &str,
    level: Option<Level>,
    error: bool,
    answer: bool,
    scratch: &mut String,
) -> Verdict {
    let inner = if level.is_none() { level::of_line(evidence) } else { None };
    let stated = level.map(|level| Stated { level, message: 0 }).or(inner);
    judge(evidence, stated, error && stated.is_none(), answer, scratch)
}
