//! Lines as rows of a page: with the day where it changes, and consequences folded under their cause.

use super::address::Span;
use crate::domain::class::{Class, Level};
use crate::domain::line::Line;
use crate::http::reads::LogQuery;

/// What stands in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// From here on, times are of this day.
    Day(String),
    /// A line.
    One(Shown),
    /// Lines that follow each other and have one cause.
    Fold {
        /// The line that caused them.
        cause: u64,
        lines: Vec<Shown>,
        /// One of them was asked for.
        is_open: bool,
    },
}

/// A line as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) number: u64,
    /// `e`, `w`, `d` for its level, `m` for one that the address names.
    pub(super) marks: String,
    /// The time of day, in UTC.
    pub(super) time: String,
    pub(super) text: String,
}

/// The rows of a page. Consequences that were asked for are not folded.
pub(super) fn rows(lines: &[Line], query: &LogQuery, span: Option<Span>) -> Vec<Row> {
    let fold = !query.classes.contains(&Class::Cascade);
    let mut rows = Vec::new();
    let mut day = String::new();
    let runs = lines.chunk_by(|one, next| {
        fold && one.cascade_of.is_some() && one.cascade_of == next.cascade_of
    });
    for run in runs {
        let Some(first) = run.first() else { continue };
        let today = first.at.utc().format("%Y-%m-%d").to_string();
        if today != day {
            rows.push(Row::Day(today.clone()));
            day = today;
        }
        match (run, first.cascade_of) {
            ([_, _, ..], Some(cause)) => rows.push(Row::Fold {
                cause,
                lines: run.iter().map(|line| shown(line, span)).collect(),
                is_open: run.iter().any(|line| span.is_some_and(|span| span.holds(line.line))),
            }),
            _ => rows.extend(run.iter().map(|line| Row::One(shown(line, span)))),
        }
    }
    rows
}

fn shown(line: &Line, span: Option<Span>) -> Shown {
    let level = match line.level {
        Level::Error => "e",
        Level::Warning => "w",
        Level::Info => "",
        Level::Debug => "d",
    };
    let marked = span.is_some_and(|span| span.holds(line.line));
    let marks = [level, if marked { "m" } else { "" }];
    Shown {
        number: line.line,
        marks: marks.join(" ").trim().to_owned(),
        time: line.at.utc().format("%H:%M:%S%.3f").to_string(),
        text: line.shown().into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::class::Source;
    use crate::instant::Instant;

    fn line(number: u64, cascade_of: Option<u64>) -> Line {
        Line {
            line: number,
            at: Instant::from_secs(43_000 * number as i64),
            attempt: 1,
            source: Source::Stderr,
            level: Level::Error,
            class: cascade_of.map(|_| Class::Cascade),
            cause: None,
            text: "said".to_owned(),
            cascade_of,
            fields: None,
        }
    }

    fn told(lines: &[Line], query: &LogQuery, span: Option<Span>) -> String {
        let told = rows(lines, query, span).into_iter().map(|row| match row {
            Row::Day(day) => day,
            Row::One(line) => format!("{}{}", line.number, line.marks),
            Row::Fold { cause, lines, is_open } => {
                format!("{}<{cause}{}", lines.len(), if is_open { "!" } else { "" })
            }
        });
        told.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn consequences_that_follow_each_other_are_folded_under_their_cause() {
        let causes = [None, Some(1), Some(1), None, Some(4), Some(4), Some(1)];
        let lines: Vec<Line> =
            causes.iter().zip(1..).map(|(cause, number)| line(number, *cause)).collect();
        let all = LogQuery::default();
        let days = told(&lines, &all, None);
        assert_eq!(days, "1970-01-01 1e 2<1 1970-01-02 4e 1970-01-03 2<4 1970-01-04 7e");
        let span = Some(Span { first: 5, last: 5 });
        assert!(told(&lines, &all, span).contains("2<4!"));
        assert!(told(&lines, &all, Some(Span { first: 4, last: 4 })).contains("4e m"));
        let asked = LogQuery { classes: vec![Class::Cascade], ..LogQuery::default() };
        assert!(!told(&lines, &asked, None).contains('<'));
    }
}
