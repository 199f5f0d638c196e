//! Finding lines without reading all of them.

use std::ops::ControlFlow;

use regex::Regex;

use super::*;
use crate::domain::class::Class;

fn numbers(store: &LineStore, query: &LineQuery) -> Vec<u64> {
    store.read(execution(1), query).expect("reads").iter().map(|line| line.line).collect()
}

fn error(text: &str, class: Class) -> NewLine<'_> {
    NewLine { level: Level::Error, class: Some(class), ..info(text) }
}

/// S3-7.
#[tokio::test]
async fn the_first_error_of_a_million_lines_is_found_by_unpacking_one_chunk() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut writer = store.writer(execution(1));
    let block = "a line of ordinary progress\n".repeat(1_000);
    for n in 0..1_000 {
        writer.push_plain_block(Instant::from_millis(n), 1, Source::Stdout, block.as_bytes());
        if n >= 900 {
            writer.push(error("no product for code FNAC-77", Class::Mapping));
        }
        writer.ready().await.unwrap();
    }
    writer.finish().await.unwrap();
    let mut found = Vec::new();
    let unpacked = store
        .scan(execution(1), &LineQuery::first_error(), &mut |line| {
            found.push((line.line, line.text.to_owned()));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(found, [(901_001, "no product for code FNAC-77".to_owned())]);
    assert_eq!(unpacked, 1);
}

/// S3-7.
#[tokio::test]
async fn the_first_error_of_ten_thousand_lines_is_found_in_one_call() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut writer = store.writer(execution(1));
    for n in 1..=10_000 {
        match n {
            7_777 => writer.push(error("timed out", Class::External)),
            _ => writer.push(info("working")),
        };
    }
    writer.finish().await.unwrap();
    assert_eq!(numbers(&store, &LineQuery::first_error()), [7_777]);
}

#[tokio::test]
async fn each_condition_narrows_the_answer() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut writer = store.writer(execution(1));
    writer.push(info("one apple"));
    writer.push(NewLine { level: Level::Debug, ..info("two apples") });
    writer.push(NewLine { level: Level::Warning, ..info("three pears") });
    writer.cut();
    writer.push(error("four apples", Class::External));
    writer.push(NewLine { attempt: 2, ..error("five pears", Class::Mapping) });
    writer.cut();
    writer.push(NewLine { attempt: 2, class: Some(Class::Mapping), ..info("six pears") });
    writer.finish().await.unwrap();
    let all = LineQuery::default;
    let holds = |text: &str| Some(Sought::new(text).unwrap());
    let cases: [(LineQuery, &[u64]); 18] = [
        (all(), &[1, 2, 3, 4, 5, 6]),
        (LineQuery { after: 2, ..all() }, &[3, 4, 5, 6]),
        (LineQuery { after: 6, ..all() }, &[]),
        (LineQuery { after: 1, limit: 3, ..all() }, &[2, 3, 4]),
        (LineQuery { limit: 0, ..all() }, &[]),
        (LineQuery { level: Some(Level::Warning), ..all() }, &[3, 4, 5]),
        (LineQuery { level: Some(Level::Info), ..all() }, &[1, 3, 4, 5, 6]),
        (LineQuery { errors_only: true, ..all() }, &[4, 5]),
        (LineQuery { classes: vec![Class::Mapping], ..all() }, &[5, 6]),
        (LineQuery { classes: vec![Class::Mapping, Class::External], ..all() }, &[4, 5, 6]),
        (LineQuery { attempt: Some(2), errors_only: true, ..all() }, &[5]),
        (LineQuery { before: 3, ..all() }, &[1, 2]),
        (LineQuery { before: 1, ..all() }, &[]),
        (LineQuery { after: 2, before: 6, errors_only: true, ..all() }, &[4, 5]),
        (LineQuery { text: holds("apple"), ..all() }, &[1, 2, 4]),
        (LineQuery { text: holds("APPLE"), ..all() }, &[]),
        (LineQuery { text: holds("e p"), ..all() }, &[3, 5]),
        (LineQuery { regex: Some(Regex::new("^(two|six) .*s$").unwrap()), ..all() }, &[2, 6]),
    ];
    for (query, expected) in cases {
        assert_eq!(numbers(&store, &query), expected, "{query:?}");
    }
}

#[tokio::test]
async fn pages_join_without_gap_or_overlap() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_small(dir.path());
    let mut writer = store.writer(execution(1));
    for n in 0..2_000 {
        writer.push(info(&format!("line {n}")));
        if n % 7 == 0 {
            writer.cut();
        }
    }
    writer.finish().await.unwrap();
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let page = numbers(&store, &LineQuery { after, limit: 33, ..LineQuery::default() });
        let Some(last) = page.last() else { break };
        after = *last;
        seen.extend(page);
    }
    assert!(seen.into_iter().eq(1..=2_000));
}

#[tokio::test]
async fn a_visitor_may_break_off() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut writer = store.writer(execution(1));
    for _ in 0..10 {
        writer.push(info("again"));
    }
    writer.finish().await.unwrap();
    let mut seen = 0;
    let query = LineQuery::default();
    store
        .for_each(execution(1), &query, &mut |line| {
            seen = line.line;
            if line.line == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert_eq!(seen, 4);
}

#[tokio::test]
async fn a_page_ends_with_the_line_that_reaches_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut writer = store.writer(execution(1));
    for _ in 0..10 {
        writer.push(info("ten bytes."));
    }
    writer.finish().await.unwrap();
    let page = |after, text_bytes| LineQuery { after, text_bytes, ..LineQuery::default() };
    assert_eq!(numbers(&store, &page(0, 25)), [1, 2, 3]);
    assert_eq!(numbers(&store, &page(3, 20)), [4, 5]);
    assert_eq!(numbers(&store, &page(5, 1)), [6], "never an empty page");
    assert_eq!(numbers(&store, &page(8, 1_000)), [9, 10]);
}

/// The numbers of the last `count` rows, as somebody gets them who asks backwards.
fn last(store: &LineStore, query: LineQuery, count: usize) -> Vec<u64> {
    let after = store.after_all_but(execution(1), &query, count).expect("looks");
    numbers(store, &LineQuery { after, ..query })
}

#[tokio::test]
async fn the_last_lines_that_fit_are_found_from_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut writer = store.writer(execution(1));
    for n in 1..=100_000 {
        match n {
            7 | 40_000 | 40_001 | 99_990 => writer.push(error("timed out", Class::External)),
            _ => writer.push(info("working")),
        };
    }
    writer.finish().await.unwrap();
    let errors = |before| LineQuery { errors_only: true, before, ..LineQuery::default() };
    assert_eq!(last(&store, LineQuery::default(), 3), [99_998, 99_999, 100_000]);
    assert_eq!(last(&store, LineQuery { before: 3, ..LineQuery::default() }, 9), [1, 2]);
    assert_eq!(last(&store, errors(u64::MAX), 1), [99_990]);
    assert_eq!(last(&store, errors(99_990), 1), [40_001]);
    assert_eq!(last(&store, errors(99_990), 2), [40_000, 40_001]);
    assert_eq!(last(&store, errors(u64::MAX), 9), [7, 40_000, 40_001, 99_990]);
    assert_eq!(last(&store, LineQuery { after: 7, ..errors(40_000) }, 1), [0; 0]);
    assert_eq!(last(&store, errors(7), 1), [0; 0]);
}
