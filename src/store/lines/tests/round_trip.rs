//! What is written comes back.

use serde_json::{Value, json};

use super::*;
use crate::domain::cause::Cause;
use crate::domain::class::Class;
use crate::domain::line::LINE_MAX_BYTES;

fn as_line(number: u64, line: &NewLine<'_>) -> Line {
    Line {
        line: number,
        at: line.at,
        attempt: line.attempt,
        source: line.source,
        level: line.level,
        class: line.class,
        cause: line.cause,
        text: line.text.to_owned(),
        cascade_of: line.cascade_of,
        fields: line.fields.cloned(),
    }
}

/// Lines of every kind, in the order of their numbers from 1.
fn of_every_kind<'a>(longest: &'a str, fields: &'a Value, empty: &'a Value) -> [NewLine<'a>; 14] {
    let error = NewLine { level: Level::Error, source: Source::Stderr, ..info("") };
    [
        info("first"),
        info(""),
        info(""),
        info(longest),
        info("Zażółć gęślą jaźń 🦀 \u{0} \t end"),
        NewLine { text: "two\nlines\n", ..info("") },
        NewLine { text: "\n", at: Instant::from_millis(-5), ..info("") },
        NewLine {
            text: "  indented\r",
            attempt: 2,
            at: Instant::from_millis(i64::MAX),
            ..info("")
        },
        NewLine {
            text: "no product",
            class: Some(Class::Mapping),
            cause: Some(Cause::MapRef),
            fields: Some(fields),
            ..error
        },
        NewLine {
            text: "12 sales skipped",
            class: Some(Class::Cascade),
            cause: Some(Cause::CasStep),
            cascade_of: Some(9),
            ..error
        },
        NewLine {
            text: "",
            class: Some(Class::External),
            cause: None,
            fields: Some(empty),
            at: Instant::from_millis(i64::MIN),
            ..error
        },
        NewLine {
            text: "ended",
            source: Source::Daybook,
            level: Level::Debug,
            attempt: u32::MAX,
            ..info("")
        },
        NewLine {
            text: "careful",
            level: Level::Warning,
            class: Some(Class::Technical),
            ..info("")
        },
        NewLine {
            text: "check",
            level: Level::Error,
            class: Some(Class::Configuration),
            ..info("")
        },
    ]
}

#[tokio::test]
async fn every_kind_of_line_comes_back_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let longest = "ä".repeat(LINE_MAX_BYTES / 2);
    let fields = json!({"record": "FNAC-77", "sizes": [1, 2.5, null], "text": "line\nend"});
    let empty = json!({});
    let lines = of_every_kind(&longest, &fields, &empty);
    let store = open(dir.path());
    let mut writer = store.writer(execution(1));
    for line in &lines {
        writer.push(*line);
    }
    let summary = writer.finish().await.unwrap();
    let expected: Vec<Line> = (1..).zip(&lines).map(|(n, line)| as_line(n, line)).collect();
    assert_eq!(all(&store, execution(1)), expected);
    assert_eq!(summary.lines, 14);
    assert_eq!(summary.bytes, lines.iter().map(|line| line.text.len() as u64).sum::<u64>());
    drop(store);
    let store = open(dir.path());
    assert_eq!(all(&store, execution(1)), expected);
    assert_eq!(store.summary(execution(1)).unwrap(), Some(summary));
    assert_eq!(store.verify().unwrap().damage, []);
}

#[tokio::test]
async fn a_block_of_plain_output_comes_back_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let mut block = String::new();
    for n in 0..5_000 {
        block.push_str(&format!("row {n} {}\n", "é".repeat(n % 90)));
        if n % 1_000 == 7 {
            block.push_str(&"x".repeat(LINE_MAX_BYTES + n));
            block.push_str("\n\n\n");
        }
    }
    block.push_str("the last one has no line end");
    let store = open(dir.path());
    let mut writer = store.writer(execution(1));
    let at = Instant::from_millis(7);
    assert_eq!(writer.push_plain_block(at, 3, Source::Stderr, block.as_bytes()), 5_016);
    assert_eq!(writer.push_plain_block(at, 3, Source::Stderr, b""), 0);
    assert_eq!(writer.push(info("after")), 5_017);
    let summary = writer.finish().await.unwrap();
    let lines = all(&store, execution(1));
    let written: Vec<&str> = block.split('\n').chain(["after"]).collect();
    assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), written);
    assert!(lines.iter().map(|line| line.line).eq(1..=5_017));
    let first = &lines[0];
    assert_eq!(
        (first.attempt, first.source, first.level, first.at),
        (3, Source::Stderr, Level::Info, at)
    );
    assert_eq!(summary.bytes, written.iter().map(|text| text.len() as u64).sum::<u64>());
}

#[tokio::test]
async fn any_mixture_of_lines_blocks_and_cuts_comes_back() {
    for seed in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open_small(dir.path());
        let mut dice = Dice(seed);
        let mut expected = Vec::new();
        let mut writer = store.writer(execution(seed));
        for step in 0..dice.roll(400) {
            let text = "wörd ".repeat(dice.roll(60) as usize);
            let mut line =
                NewLine { text: &text, at: Instant::from_millis(dice.roll(9) as i64), ..info("") };
            match dice.roll(6) {
                0 => writer.cut(),
                1 => {
                    let block = format!("{text}\n").repeat(dice.roll(200) as usize);
                    writer.push_plain_block(line.at, 1, Source::Stdout, block.as_bytes());
                    for _ in block.lines() {
                        expected.push(as_line(expected.len() as u64 + 1, &line));
                    }
                }
                2 => {
                    line.cascade_of = Some(step);
                    line.level = Level::Error;
                    line.class = Some(Class::ALL[dice.roll(5) as usize]);
                    writer.push(line);
                    expected.push(as_line(expected.len() as u64 + 1, &line));
                }
                _ => {
                    writer.push(line);
                    expected.push(as_line(expected.len() as u64 + 1, &line));
                }
            }
        }
        let summary = writer.finish().await.unwrap();
        assert_eq!(summary.lines, expected.len() as u64, "seed {seed}");
        assert!(all(&store, execution(seed)) == expected, "seed {seed}");
        assert_eq!(store.verify().unwrap().damage, [], "seed {seed}");
    }
}

#[tokio::test]
async fn logs_written_at_the_same_time_do_not_mix() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_small(dir.path());
    let mut writers: Vec<_> = (0..60).map(|n| store.writer(execution(n))).collect();
    for round in 0..12 {
        for (n, writer) in writers.iter_mut().enumerate() {
            writer.push(info(&format!("{n}/{round}")));
            if (n + round) % 3 == 0 {
                writer.cut();
                let mut follow = store.follow(execution(n as u64));
                follow.wait_for(|state| state.last_line == writer.lines()).await.unwrap();
            }
        }
    }
    let mut summaries = Vec::new();
    for writer in writers {
        summaries.push(writer.finish().await.unwrap());
    }
    drop(store);
    let (store, recovery) = open_small(dir.path());
    assert!(recovery.segments > 10, "{recovery:?}");
    for n in 0..60 {
        let expected: Vec<String> = (0..12).map(|round| format!("{n}/{round}")).collect();
        assert_eq!(texts(&store, execution(n)), expected);
        assert_eq!(store.summary(execution(n)).unwrap(), Some(summaries[n as usize]));
    }
    let report = store.verify().unwrap();
    assert_eq!((report.lines, report.damage), (720, vec![]));
    assert_eq!(store.summary(execution(61)).unwrap(), None);
    assert_eq!(texts(&store, execution(61)), [""; 0]);
}

#[tokio::test]
async fn a_text_beyond_a_mebibyte_is_cut_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut writer = store.writer(execution(1));
    let text = "ü".repeat(1 << 20);
    let fields = json!({ "body": text });
    writer.push(NewLine { fields: Some(&fields), ..info(&text) });
    writer.finish().await.unwrap();
    let line = &all(&store, execution(1))[0];
    assert!(line.text.ends_with("ü [cut: 2097152 bytes]"));
    assert_eq!(line.fields, Some(json!({ "dropped_bytes": 2_097_163 })));
}

#[tokio::test]
async fn a_log_without_lines_has_a_summary_of_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let summary = store.writer(execution(1)).finish().await.unwrap();
    let nothing = *blake3::hash(b"").as_bytes();
    assert_eq!(summary, LogSummary { lines: 0, bytes: 0, hash: nothing });
}
