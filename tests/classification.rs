//! Scores the rules on labelled real lines and runs, where such a collection is at hand: `DAYBOOK_CLASSIFICATION_DATA` names its
//! folder (`lines.jsonl` and `executions.jsonl`). Wanted: 95 % of the lines, 90 % of root lines and classes.
#![expect(clippy::unwrap_used, reason = "a collection that cannot be read fails the test")]

use std::fs;
use std::path::PathBuf;

use daybook::domain::classify::{Classifier, analyse, classify_one};
use serde_json::Value;

/// The labelled records of a file; none where the collection is absent.
#[expect(clippy::disallowed_methods, reason = "a test's own switch, not a setting of the program")]
fn labelled(file: &str) -> Option<Vec<Value>> {
    let folder = PathBuf::from(std::env::var("DAYBOOK_CLASSIFICATION_DATA").ok()?);
    let text = fs::read_to_string(folder.join(file)).unwrap();
    Some(
        text.lines()
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    )
}

fn text<'a>(record: &'a Value, key: &str) -> &'a str {
    record[key].as_str().unwrap()
}

fn index(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn share(part: usize, whole: usize) -> f64 {
    f64::from(u32::try_from(part).unwrap()) / f64::from(u32::try_from(whole).unwrap())
}

#[test]
fn nineteen_of_twenty_real_lines_get_their_class_and_hardly_an_error_is_called_none() {
    let Some(lines) = labelled("lines.jsonl") else { return };
    let classifier = Classifier::new(&[]).unwrap();
    let (mut right, mut silenced) = (0, 0);
    for record in &lines {
        let class = classify_one(&classifier, text(record, "line"))
            .0
            .map_or("none", |class| class.as_str());
        right += usize::from(class == text(record, "class"));
        silenced += usize::from(class == "none" && text(record, "class") != "none");
    }
    println!("lines: {right} of {}, errors called none: {silenced}", lines.len());
    assert!(share(right, lines.len()) >= 0.95, "{right} of {}", lines.len());
    assert!(share(silenced, lines.len()) <= 0.02, "{silenced} errors called none");
}

#[test]
fn nine_of_ten_real_runs_get_their_root_line_and_its_class() {
    let Some(runs) = labelled("executions.jsonl") else { return };
    let classifier = Classifier::new(&[]).unwrap();
    let (mut lines, mut classes) = (0, 0);
    for record in &runs {
        let run: Vec<&str> =
            record["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        let Some((line, class)) = analyse(&classifier, &run) else { continue };
        let same = record["root_alts"].as_array().unwrap().iter().any(|other| index(other) == line);
        lines += usize::from(same || index(&record["root_line"]) == line);
        classes += usize::from(class.as_str() == text(record, "root_class"));
    }
    println!("runs: root line {lines}, root class {classes} of {}", runs.len());
    assert!(share(lines, runs.len()) >= 0.9, "root line: {lines} of {}", runs.len());
    assert!(share(classes, runs.len()) >= 0.9, "root class: {classes} of {}", runs.len());
}
