//! What is wrong with a file or variable, and how it is shown.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;

use super::environment::Environment;

/// Whether a problem stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file or setting is refused.
    Error,
    /// It is accepted; somebody should look.
    Warning,
}

/// One thing that is wrong, with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether it stands in the way.
    pub severity: Severity,
    /// The file's path, `$NAME` for an environment variable, or `--name` for a flag.
    pub file: String,
    /// From 1; none when the place is not in a text.
    pub line: Option<usize>,
    /// In characters, from 1.
    pub column: Option<usize>,
    /// Dotted path of the key, such as `schedules.sales.cron`.
    pub key: Option<String>,
    /// What is wrong. Never holds a secret.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
    /// The place in `text`, in bytes.
    #[serde(skip)]
    pub span: Option<Range<usize>>,
    /// The file's text with secrets masked, for the caret.
    #[serde(skip)]
    text: Option<Arc<str>>,
}

impl Problem {
    /// A problem that is not in a text: a folder, a flag, an environment variable.
    pub fn without_place(
        severity: Severity,
        file: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            file: file.into(),
            line: None,
            column: None,
            key: None,
            message: message.into(),
            hint: None,
            span: None,
            text: None,
        }
    }

    /// The same place, with these words.
    #[must_use]
    pub(super) fn saying(self, message: String, hint: Option<String>) -> Self {
        Self { message, hint, ..self }
    }

    /// Adds how to mend it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the key that it is about.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Adds the place in `text`, from which line and column follow.
    #[must_use]
    pub(super) fn at(mut self, text: &Arc<str>, span: Range<usize>) -> Self {
        let (line, column) = line_and_column(text, span.start);
        self.line = Some(line);
        self.column = Some(column);
        self.span = Some(span);
        self.text = Some(Arc::clone(text));
        self
    }

    /// Whether it stands in the way.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Shows it with the line of the file and a caret.
    pub fn render(&self, paint: Paint) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let renderer = match paint {
            Paint::Plain => Renderer::plain(),
            Paint::Styled => Renderer::styled(),
        };
        let mut group = match (&self.text, &self.span) {
            (Some(text), Some(span)) => level.primary_title(self.message.as_str()).element(
                Snippet::source(text.as_ref())
                    .path(self.file.as_str())
                    .annotation(AnnotationKind::Primary.span(span.clone())),
            ),
            _ => level
                .primary_title(self.message.as_str())
                .element(annotate_snippets::Origin::path(self.file.as_str())),
        };
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.message(hint.as_str()));
        }
        renderer.render(&[group])
    }
}

impl fmt::Display for Problem {
    /// One line: `fnac.toml:3:8: message (hint)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

/// Whether colours and box characters may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Text only.
    Plain,
    /// With ANSI colours.
    Styled,
}

impl Paint {
    /// Never with `NO_COLOR`; else anywhere with `CLICOLOR_FORCE`; else at a terminal that is not dumb.
    ///
    /// Source: bixense.com/clicolors and no-color.org.
    pub fn choose(terminal: bool, env: &Environment) -> Self {
        let refused = env.filled("NO_COLOR").is_some();
        let forced = env.filled("CLICOLOR_FORCE").is_some_and(|value| value != "0");
        let able = terminal && env.get("TERM") != Some("dumb");
        if !refused && (forced || able) { Self::Styled } else { Self::Plain }
    }
}

/// Shows problems one below the other, with a blank line between them and a count at the end.
pub fn render_all(problems: &[Problem], paint: Paint) -> String {
    let mut shown: Vec<String> = problems.iter().map(|problem| problem.render(paint)).collect();
    let count = |severity| problems.iter().filter(|p| p.severity == severity).count();
    let mut counts = Vec::new();
    for (number, word) in [(count(Severity::Error), "error"), (count(Severity::Warning), "warning")]
    {
        if number > 0 {
            counts.push(format!("{number} {word}{}", if number == 1 { "" } else { "s" }));
        }
    }
    if !counts.is_empty() {
        shown.push(counts.join(", "));
    }
    shown.join("\n\n")
}

/// Line and column of a byte offset, both from 1; the column counts characters.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Problem {
        let text: Arc<str> = Arc::from("name = \"Été\"\nzone = \"Mars\"\n");
        let at = text.find("\"Mars\"").expect("there");
        Problem::without_place(Severity::Error, "schedules/fnac.toml", "`zone` is not a key here")
            .with_hint("did you mean `timezone`?")
            .at(&text, at..at + 6)
    }

    #[test]
    fn a_problem_is_shown_with_its_line_and_a_caret() {
        let shown = sample().render(Paint::Plain);
        for part in [
            "error: `zone` is not a key here\n",
            "--> schedules/fnac.toml:2:8\n",
            "\n2 | zone = \"Mars\"\n",
            "\n  |        ^^^^^^\n",
            "help: did you mean `timezone`?",
        ] {
            assert!(shown.contains(part), "{part:?} is missing:\n{shown}");
        }
        assert!(!shown.contains("Été"), "only the line in question is shown:\n{shown}");
    }

    #[test]
    fn a_problem_fits_on_one_line_for_logs_and_events() {
        assert_eq!(
            sample().to_string(),
            "schedules/fnac.toml:2:8: `zone` is not a key here (did you mean `timezone`?)"
        );
    }

    #[test]
    fn the_column_counts_characters_and_not_bytes() {
        assert_eq!(line_and_column("é = 1\nà, b", 11), (2, 4));
    }

    /// S3-5.
    #[test]
    fn colours_are_for_terminals_that_want_them() {
        type Case<'a> = (bool, &'a [(&'a str, &'a str)], Paint);
        let (no, force, dumb) = (("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1"), ("TERM", "dumb"));
        let cases: [Case<'_>; 9] = [
            (true, &[], Paint::Styled),
            (false, &[], Paint::Plain),
            (true, &[no], Paint::Plain),
            (true, &[("NO_COLOR", "")], Paint::Styled),
            (true, &[dumb], Paint::Plain),
            (false, &[force], Paint::Styled),
            (false, &[("CLICOLOR_FORCE", "0")], Paint::Plain),
            (true, &[dumb, force], Paint::Styled),
            (true, &[no, force], Paint::Plain),
        ];
        for (terminal, variables, paint) in cases {
            let environment = variables.iter().copied().collect();
            assert_eq!(Paint::choose(terminal, &environment), paint, "{terminal} {variables:?}");
        }
        assert!(!sample().render(Paint::Plain).contains('\u{1b}'));
        assert!(sample().render(Paint::Styled).contains('\u{1b}'));
    }
}
