//! A whole run at once, and one line by itself: what `daybook classify` answers.

use super::root::RootFinder;
use super::session::Memory;
use super::trace::{self, Part};
use super::{Classifier, Judgement};
use crate::domain::cause::Cause;
use crate::domain::class::{Class, Level, Source};

/// What a run's log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Analysis {
    /// The line that states the cause, from 0.
    pub root_line: usize,
    /// Its class.
    pub root_class: Class,
    /// Its cause.
    pub root_cause: Cause,
    /// The lines that follow from it or from other errors, from 0.
    pub cascade_lines: Vec<usize>,
}

/// The root line (from 0) and its class; none when no line calls for action.
pub fn analyse(classifier: &Classifier, lines: &[&str]) -> Option<(usize, Class)> {
    analyse_all(classifier, lines).map(|all| (all.root_line, all.root_class))
}

/// Like [`analyse`], with cause and cascades.
pub fn analyse_all(classifier: &Classifier, lines: &[&str]) -> Option<Analysis> {
    let mut memory = Memory::new(false);
    let judged: Vec<Judgement> = (1_u64..)
        .zip(lines)
        .map(|(number, line)| memory.judge(classifier, number, Source::Stderr, line))
        .collect();
    let root_line = root(&judged)?;
    let root = judged.get(root_line)?;
    let cascades = judged
        .iter()
        .enumerate()
        .filter(|(_, line)| line.class == Some(Class::Cascade) && line.level >= Level::Warning);
    Some(Analysis {
        root_line,
        root_class: root.class?,
        root_cause: root.cause?,
        cascade_lines: cascades.map(|(at, _)| at).filter(|&at| at != root_line).collect(),
    })
}

/// The line that says why; without an error the first warning that calls for action.
fn root(judged: &[Judgement]) -> Option<usize> {
    let mut finder = RootFinder::default();
    let numbered = (1_u64..).zip(judged).enumerate();
    let errors = numbered.filter(|(_, (number, line))| finder.see(*number, line));
    let found = errors.map(|(at, _)| at).last();
    let warns = |line: &Judgement| {
        line.level == Level::Warning && line.class.is_some_and(|class| class != Class::Cascade)
    };
    found
        .or_else(|| judged.iter().position(warns))
        .or_else(|| judged.iter().position(|line| line.class.is_some()))
}

/// One line by itself. Several lines in one text are read as a run.
pub fn classify_one(classifier: &Classifier, line: &str) -> (Option<Class>, Option<Cause>) {
    let lines: Vec<&str> = line.lines().filter(|part| !part.trim().is_empty()).collect();
    if lines.len() > 1
        && let Some(all) = analyse_all(classifier, &lines)
    {
        return (Some(all.root_class), Some(all.root_cause));
    }
    if matches!(trace::part(line), Part::PythonHead | Part::RustHead) {
        return (Some(Class::Technical), Some(Cause::TecCrash));
    }
    let judged = Memory::new(true).judge(classifier, 1, Source::Stderr, line);
    (judged.class, judged.cause)
}
