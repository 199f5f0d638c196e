//! The memory of one attempt: decides each line once, when it arrives.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::judge::{self, Verdict};
use super::level;
use super::marks::{self, Record};
use super::plain::surely_plain;
use super::retell::{self, wraps};
use super::rules::Strength;
use super::text::head;
use super::trace::{self, Part};
use super::{Classifier, Judgement, indicated, unnamed};
use crate::domain::cause::Cause;
use crate::domain::class::{Class, Level, Source};

/// How many errors are remembered to recognise one that is told again.
const REMEMBERED: usize = 8;
/// How many lines a repetition or a summary may stand below its cause.
const NEAR_LINES: u64 = 12;
/// How many lines a trace may be silent before it is over (blocks of plain output are not shown to the session).
const TRACE_LINES: u64 = 2_000;
/// How long a message is at most that says that a connection was closed and no more, in bytes.
const BARE_BYTES: usize = 40;
/// How much of a message is remembered, in bytes.
const MESSAGE_BYTES: usize = 400;

/// An error that was seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Seen {
    number: u64,
    class: Class,
    message: String,
}

/// The error that a trace belongs to.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Head {
    number: u64,
    explained: bool,
    /// What it says is only what a cause made of our own program: the innermost cause counts.
    outer: bool,
}

impl Head {
    fn new(number: u64, verdict: Verdict) -> Self {
        let ours = verdict.cause.is_none_or(|cause| cause.class() == Class::Technical);
        let weak = verdict.strength < Some(Strength::Stated);
        Self { number, explained: verdict.states_cause(), outer: ours || weak }
    }
}

/// Where in a trace the stream is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Trace {
    /// In none.
    Outside,
    /// The error's line was seen; frames and inner causes may follow.
    After(Head),
    /// A Python or Rust trace whose error comes last; `head` was logged before it.
    Before { head: Option<Head>, since: u64, rust: bool },
}

/// Judges the lines of one execution as they arrive, one attempt after the other.
#[derive(Debug)]
pub struct Session {
    classifier: Arc<Classifier>,
    memory: Memory,
}

impl Session {
    /// A session without memory.
    pub fn new(classifier: Arc<Classifier>) -> Self {
        Self { classifier, memory: Memory::new(false) }
    }

    /// Forgets everything: cascades never point into an earlier attempt.
    pub fn next_attempt(&mut self) {
        self.memory = Memory::new(false);
    }

    /// What it remembers, for a session that goes on where this one stands.
    pub const fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Remembers what another session did.
    pub fn remember(&mut self, memory: Memory) {
        self.memory = memory;
    }

    /// Decides about line `number`. Numbers grow; lines that [`surely_plain`] passed over may be missing.
    pub fn judge(&mut self, number: u64, source: Source, text: &str) -> Judgement {
        self.memory.judge(&self.classifier, number, source, text)
    }
}

/// What is remembered of one attempt. Bounded: a few messages and line numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Memory {
    /// The line stands by itself: a cascade keeps its class although nothing is above it.
    alone: bool,
    seen: VecDeque<Seen>,
    /// The newest error that is no cascade.
    root: Option<u64>,
    /// The newest warning with a class.
    warned: Option<u64>,
    trace: Trace,
    #[serde(skip)]
    scratch: String,
}

impl Memory {
    pub(super) const fn new(alone: bool) -> Self {
        Self {
            alone,
            seen: VecDeque::new(),
            root: None,
            warned: None,
            trace: Trace::Outside,
            scratch: String::new(),
        }
    }

    pub(super) fn judge(
        &mut self,
        classifier: &Classifier,
        number: u64,
        source: Source,
        text: &str,
    ) -> Judgement {
        // The end of a trace is an error whatever it says.
        let awaited = matches!(self.trace, Trace::Before { .. });
        if !awaited && !classifier.has_own_rules() && surely_plain(text.as_bytes()) {
            return Judgement::plain(Level::Info);
        }
        let mut judgement = self.decide(classifier, number, source, text);
        self.settle(number, text, &mut judgement);
        judgement
    }

    fn decide(
        &mut self,
        classifier: &Classifier,
        number: u64,
        source: Source,
        text: &str,
    ) -> Judgement {
        if text.starts_with('{')
            && let Some(record) = marks::record(text)
        {
            self.trace = Trace::Outside;
            return self.of_record(classifier, source, text, record);
        }
        let stated = level::of_line(text);
        let message = stated.map_or(0, |stated| stated.message);
        let stated_level = stated.map(|stated| stated.level);
        if let Some(prefix) = marks::prefix(text.get(message..).unwrap_or("")) {
            let rest = text.get(message + prefix.rest..).unwrap_or("");
            if stated_level == Some(Level::Error)
                || (stated_level.is_none() && prefix.plain && source != Source::Stdout)
            {
                self.trace = Trace::Outside;
                let mut marked =
                    of_class(Level::Error, prefix.class, self.finer(prefix.class, rest));
                marked.marked = true;
                marked.text = Some(indicated(prefix.class, rest.trim_end()).into_owned());
                return marked;
            }
            if prefix.plain {
                return Judgement::plain(stated_level.unwrap_or(Level::Info));
            }
        }
        if let Some((class, cause)) = classifier.own(text) {
            return of_class(Level::Error, class, cause);
        }
        if !classifier.has_own_rules() || !surely_plain(text.as_bytes()) {
            return self.by_table(number, text, stated);
        }
        Judgement::plain(Level::Info)
    }

    /// The cause of a marked class: the table's, if it is of that class.
    fn finer(&mut self, class: Class, rest: &str) -> Cause {
        judge::text(rest, None, true, &mut self.scratch)
            .cause
            .filter(|cause| cause.class() == class)
            .unwrap_or_else(|| unnamed(class))
    }

    fn of_record(
        &mut self,
        classifier: &Classifier,
        source: Source,
        text: &str,
        record: Record,
    ) -> Judgement {
        let mut judgement = if let Some(class) = record.class {
            let silent = if source == Source::Stdout { Level::Info } else { Level::Error };
            let level = record.level.unwrap_or(silent);
            if level >= Level::Warning {
                let cause = record.cause.unwrap_or_else(|| self.finer(class, &record.evidence));
                Judgement { marked: true, ..of_class(level, class, cause) }
            } else {
                Judgement::plain(level)
            }
        } else if let Some((class, cause)) = classifier.own(text) {
            of_class(Level::Error, class, cause)
        } else {
            let failed =
                marks::FAILURES.iter().any(|key| record.fields.get(*key).is_some_and(tells));
            let answer = marks::is_answer(&record.fields, failed);
            let (level, scratch) = (record.level, &mut self.scratch);
            of_verdict(judge::evidence(&record.evidence, level, failed, answer, scratch))
        };
        judgement.text = record.message;
        if judgement.text.is_some() || record.level.is_some() || record.class.is_some() {
            judgement.fields = Some(Value::Object(record.fields));
        }
        judgement
    }

    fn by_table(&mut self, number: u64, text: &str, stated: Option<level::Stated>) -> Judgement {
        let part = if stated.is_some() { Part::None } else { trace::part(text) };
        match part {
            Part::PythonHead => {
                self.trace =
                    Trace::Before { head: self.head_before(number), since: number, rust: false };
                Judgement::plain(Level::Debug)
            }
            Part::RustHead => {
                self.trace = Trace::Before { head: None, since: number, rust: true };
                Judgement::plain(Level::Debug)
            }
            Part::Frame => {
                self.chain(number, text);
                Judgement::plain(Level::Debug)
            }
            Part::CausedBy => self.caused_by(number, text),
            Part::None => self.in_or_out(number, text, stated),
        }
    }

    /// A line that is no frame: the end of a trace, a source line inside one, or an ordinary line.
    fn in_or_out(&mut self, number: u64, text: &str, stated: Option<level::Stated>) -> Judgement {
        let Trace::Before { head, since, rust } = self.trace else {
            let verdict = judge::text(text, stated, false, &mut self.scratch);
            self.follow(number, text, verdict);
            return of_verdict(verdict);
        };
        if number.saturating_sub(since) > TRACE_LINES
            || stated.is_some_and(|stated| stated.level < Level::Error)
        {
            self.trace = Trace::Outside;
            return self.in_or_out(number, text, stated);
        }
        if !rust && text.starts_with([' ', '\t']) || text.trim().is_empty() {
            return Judgement::plain(Level::Debug);
        }
        let verdict = judge::text(text, stated, true, &mut self.scratch);
        self.end_of_trace(number, head, verdict)
    }

    /// The error that a trace ends with or wraps: told once. `head` is the line that announced it.
    fn end_of_trace(&mut self, number: u64, head: Option<Head>, verdict: Verdict) -> Judgement {
        let Some(head) = head else {
            self.trace = Trace::After(Head::new(number, verdict));
            return of_verdict(verdict);
        };
        let inner = head.outer && verdict.states_why();
        if head.explained && !inner || !verdict.states_cause() {
            self.trace = Trace::After(head);
            return Judgement::plain(Level::Debug);
        }
        let number = head.number;
        self.trace = Trace::After(Head { number, explained: true, ..Head::new(number, verdict) });
        Judgement { explains: Some(head.number), ..of_verdict(verdict) }
    }

    fn caused_by(&mut self, number: u64, text: &str) -> Judgement {
        let head = match self.trace {
            Trace::After(head) => Some(head),
            Trace::Before { head, .. } => head,
            Trace::Outside => None,
        };
        let verdict = judge::text(text, None, true, &mut self.scratch);
        self.end_of_trace(number, head, verdict)
    }

    /// `During handling of the above exception …`: the next trace belongs to the error just told.
    fn chain(&mut self, number: u64, text: &str) {
        let text = text.trim_start();
        if let Trace::After(head) = self.trace
            && (text.starts_with("During handling of") || text.starts_with("The above exception"))
        {
            self.trace = Trace::Before { head: Some(head), since: number, rust: false };
        }
    }

    /// The error logged just before a Python trace.
    const fn head_before(&self, number: u64) -> Option<Head> {
        match self.trace {
            Trace::After(head) if number.saturating_sub(head.number) <= 2 => Some(head),
            Trace::Before { head, .. } => head,
            Trace::After(_) | Trace::Outside => None,
        }
    }

    /// Remembers an error that frames may follow; any other line ends a trace.
    fn follow(&mut self, number: u64, text: &str, verdict: Verdict) {
        if verdict.level == Level::Error {
            self.trace = Trace::After(Head::new(number, verdict));
        } else if !text.trim().is_empty() {
            self.trace = Trace::Outside;
        }
    }

    /// Links cascades, recognises errors told again, and remembers.
    fn settle(&mut self, number: u64, text: &str, judgement: &mut Judgement) {
        let (Some(class), true) = (judgement.class, judgement.level >= Level::Warning) else {
            return;
        };
        let message = head(message_of(text, judgement.text.as_deref()), MESSAGE_BYTES).to_owned();
        if judgement.level == Level::Warning {
            if class != Class::Cascade && !judgement.marked {
                self.recognise(number, &message, judgement);
            }
            if judgement.class == Some(Class::Cascade) {
                judgement.cascade_of = self.root.or(self.warned);
            } else {
                self.warned = Some(number);
            }
            return;
        }
        if class != Class::Cascade && !judgement.marked && judgement.explains.is_none() {
            self.recognise(number, &message, judgement);
        }
        if judgement.class == Some(Class::Cascade) {
            judgement.cascade_of = judgement.cascade_of.or(self.root).or(self.warned);
            if judgement.cascade_of.is_none() && !judgement.marked && !self.alone {
                // Nothing above explains it, so "look above" would send the reader nowhere.
                judgement.class = Some(Class::Technical);
                judgement.cause = Some(Cause::TecUnclassified);
            }
        }
        if judgement.class != Some(Class::Cascade) {
            self.root = Some(judgement.explains.unwrap_or(number));
        }
        if self.seen.len() == REMEMBERED {
            self.seen.pop_front();
        }
        let class = judgement.class.unwrap_or(class);
        self.seen.push_back(Seen { number, class, message });
    }

    /// An error that repeats an earlier one in other words, or only says that something failed right after one that said why.
    fn recognise(&self, number: u64, message: &str, judgement: &mut Judgement) {
        let near = |seen: &&Seen| number.saturating_sub(seen.number) <= NEAR_LINES;
        let recent = || self.seen.iter().rev().filter(near);
        let akin = |seen: &&Seen| {
            judgement.class == Some(seen.class)
                || judgement.class == Some(Class::Technical) && seen.class != Class::Cascade
        };
        // The same again is no consequence, unless the first was one.
        let again = recent().find(|seen| retell::same_opening(message, &seen.message));
        let told = recent().any(|seen| retell::begins(message, &seen.message))
            || again.map_or_else(
                || {
                    let same = |seen: &Seen| retell::names_same(message, &seen.message);
                    recent().any(|seen| wraps(message, &seen.message))
                        || recent().filter(akin).any(same)
                },
                |seen| seen.class == Class::Cascade,
            );
        let unsaid = judgement.cause == Some(Cause::TecUnclassified) && only_reports(message);
        // A connection that is closed without a word, right after an error, is closed because of it.
        let hung_up = judgement.cause == Some(Cause::ExtNetClosed)
            && message.len() <= BARE_BYTES
            && !message.contains(": ");
        let bare = (unsaid || hung_up)
            && self.root.is_some_and(|root| number.saturating_sub(root) <= NEAR_LINES);
        if (told || bare) && self.root.is_some() {
            judgement.class = Some(Class::Cascade);
            judgement.cause = Some(Cause::CasStep);
            judgement.cascade_of = self.root;
        }
    }
}

/// What a line says, without its header.
fn message_of<'a>(text: &'a str, replaced: Option<&'a str>) -> &'a str {
    replaced.unwrap_or_else(|| {
        let at = level::of_line(text).map_or(0, |stated| stated.message);
        text.get(at..)
            .unwrap_or(text)
            .trim_start_matches([' ', '-', '|', ':', ']', '\t'])
            .trim_end()
    })
}

/// Whether a message says only that something failed: short, and nothing after a colon.
fn only_reports(message: &str) -> bool {
    const LONGEST: usize = 120;
    let lower = message.to_lowercase();
    message.len() <= LONGEST
        && !message.trim_end_matches([':', '.', '!']).contains(": ")
        && [
            "fail",
            "error",
            "unsuccess",
            "abort",
            "not ",
            "no ",
            "nothing",
            "stopp",
            "skipp",
            "unsent",
            "remain",
            "left in",
            "incomplete",
        ]
        .iter()
        .any(|word| lower.contains(word))
}

/// Whether a value under `error` reports one.
fn tells(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(set) => *set,
        Value::Number(number) => number.as_u64() != Some(0),
        Value::String(text) => !matches!(
            text.trim().to_ascii_lowercase().as_str(),
            "" | "none" | "null" | "false" | "0"
        ),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

fn of_class(level: Level, class: Class, cause: Cause) -> Judgement {
    Judgement { class: Some(class), cause: Some(cause), ..Judgement::plain(level) }
}

fn of_verdict(verdict: Verdict) -> Judgement {
    verdict.cause.map_or_else(
        || Judgement::plain(verdict.level),
        |cause| of_class(verdict.level, cause.class(), cause),
    )
}
