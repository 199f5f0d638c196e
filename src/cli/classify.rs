//! `daybook classify`: judges lines and runs that come as JSON Lines on its input.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::cause::Cause;
use crate::domain::class::Class;
use crate::domain::classify::{Classifier, analyse_all, classify_one};

/// One question: a line, or the lines of a run.
#[derive(Debug, Deserialize)]
struct Question {
    id: Value,
    line: Option<String>,
    lines: Option<Vec<String>>,
}

/// The answer about a line.
#[derive(Debug, Serialize)]
struct LineAnswer {
    id: Value,
    class: &'static str,
    cause: Option<Cause>,
}

/// The answer about a run.
#[derive(Debug, Serialize)]
struct RunAnswer {
    id: Value,
    root_line: Option<usize>,
    root_class: &'static str,
    root_cause: Option<Cause>,
    cascade_lines: Vec<usize>,
}

/// Why `classify` stopped.
#[derive(Debug, thiserror::Error)]
pub enum ClassifyError {
    /// The input could not be read or the output not be written.
    #[error("cannot read the input or write the answers")]
    Io(#[from] io::Error),
    /// A line of the input is not what was expected.
    #[error(
        "line {line} of the input is no question: {why} (hint: each line is an object such as {{\"id\":1,\"line\":\"…\"}} or {{\"id\":1,\"lines\":[\"…\"]}})"
    )]
    Input {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
}

/// The word for a line's class; `none` when it calls for no action.
const fn word(class: Option<Class>) -> &'static str {
    match class {
        Some(class) => class.as_str(),
        None => "none",
    }
}

/// Answers every question of `input`, one line each, in order. Empty lines are passed over.
///
/// # Errors
/// [`ClassifyError::Input`] at the first line that is no question, [`ClassifyError::Io`] when reading or writing fails.
pub fn run(
    input: impl BufRead,
    mut output: impl Write,
    classifier: &Classifier,
) -> Result<(), ClassifyError> {
    for (nth, text) in input.lines().enumerate() {
        let text = text?;
        if text.trim().is_empty() {
            continue;
        }
        let wrong = |why: String| ClassifyError::Input { line: nth + 1, why };
        let question: Question =
            serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let answer = match (question.line, question.lines) {
            (Some(line), None) => about_line(classifier, question.id, &line),
            (None, Some(lines)) => about_run(classifier, question.id, &lines),
            (Some(_), Some(_)) => return Err(wrong("it has both `line` and `lines`".to_owned())),
            (None, None) => return Err(wrong("it has neither `line` nor `lines`".to_owned())),
        };
        serde_json::to_writer(&mut output, &answer.map_err(|error| wrong(error.to_string()))?)
            .map_err(io::Error::from)?;
        output.write_all(b"\n")?;
    }
    output.flush()?;
    Ok(())
}

fn about_line(classifier: &Classifier, id: Value, line: &str) -> serde_json::Result<Value> {
    let (class, cause) = classify_one(classifier, line);
    serde_json::to_value(LineAnswer { id, class: word(class), cause })
}

fn about_run(classifier: &Classifier, id: Value, lines: &[String]) -> serde_json::Result<Value> {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let found = analyse_all(classifier, &lines);
    serde_json::to_value(RunAnswer {
        id,
        root_line: found.as_ref().map(|found| found.root_line),
        root_class: word(found.as_ref().map(|found| found.root_class)),
        root_cause: found.as_ref().map(|found| found.root_cause),
        cascade_lines: found.map(|found| found.cascade_lines).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(input: &str) -> Result<String, ClassifyError> {
        let mut output = Vec::new();
        run(input.as_bytes(), &mut output, &Classifier::new(&[]).unwrap())?;
        Ok(String::from_utf8(output).unwrap())
    }

    #[test]
    fn a_line_is_answered_with_its_class_and_cause() {
        let text = answers("{\"id\":\"a\",\"line\":\"dial tcp: connection refused\"}\n\n{\"id\":2,\"line\":\"all well\"}\n").unwrap();
        assert_eq!(
            text,
            "{\"cause\":\"EXT-NET-REFUSED\",\"class\":\"external\",\"id\":\"a\"}\n{\"cause\":null,\"class\":\"none\",\"id\":2}\n"
        );
    }

    #[test]
    fn a_run_is_answered_with_its_root_line() {
        let text = answers(
            r#"{"id":"r","lines":["start","ERROR cannot open orders: Permission denied","ERROR job failed","exit status 1"]}"#,
        )
        .unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["root_line"], 1);
        assert_eq!(answer["root_class"], "configuration");
        assert_eq!(answer["cascade_lines"], serde_json::json!([2, 3]));
    }

    #[test]
    fn a_run_without_errors_has_no_root() {
        let answer: Value =
            serde_json::from_str(&answers(r#"{"id":1,"lines":["a","b"]}"#).unwrap()).unwrap();
        assert_eq!(answer["root_line"], Value::Null);
        assert_eq!(answer["root_class"], "none");
    }

    #[test]
    fn bad_input_is_named_by_its_line() {
        for (input, line) in [
            ("{\"id\":1,\"line\":\"x\"}\nnonsense\n", 2),
            ("{\"id\":1}", 1),
            ("{\"id\":1,\"line\":\"x\",\"lines\":[]}", 1),
        ] {
            let error = answers(input).unwrap_err();
            assert!(error.to_string().starts_with(&format!("line {line} of the input")), "{error}");
        }
    }
}
