//! The memory of an attempt: cascades, repetitions, bounds, and the gate in front.

use proptest::prelude::*;

use super::*;

/// S3-10.
#[test]
fn a_cascade_points_to_the_earlier_line_that_caused_it() {
    let judged = judge_all(&[
        "start",
        "curl: (7) Failed to connect: Connection refused",
        "make: *** [sync] Error 7",
        "ERROR job failed",
    ]);
    assert_eq!(judged[1].class, Some(Class::External));
    for line in &judged[2..] {
        assert_eq!((line.class, line.cascade_of), (Some(Class::Cascade), Some(2)));
    }
}

/// S3-10.
#[test]
fn a_cascade_never_points_into_an_earlier_attempt() {
    let mut session = session();
    session.judge(1, Source::Stderr, "Connection refused");
    session.next_attempt();
    let judged = session.judge(2, Source::Stderr, "exit status 1");
    assert_eq!(judged.cascade_of, None);
    assert_eq!(judged.cause, Some(Cause::TecUnclassified));
}

/// S3-10.
#[test]
fn a_link_is_never_dangling_whatever_comes() {
    let lines = [
        "exit status 1",
        "x: Permission denied",
        "ERROR sync failed",
        "WARN 401 Unauthorized",
        "aborting due to previous error",
        "Caused by: x: timed out",
    ];
    let mut session = session();
    for number in 1..200_u64 {
        let line = lines[usize::try_from(number * 7 % 6).unwrap()];
        let judged = session.judge(number, Source::Stderr, line);
        assert!(judged.cascade_of.is_none_or(|cause| cause < number), "{number}: {judged:?}");
        assert_eq!(judged.class, judged.cause.map(Cause::class));
    }
}

#[test]
fn an_error_told_again_by_an_outer_layer_is_a_cascade() {
    let judged = judge_all(&[
        "ERROR Failed to convert column 'year': value 'abc' is not a valid integer",
        "ERROR Error while processing file sales.csv: value 'abc' is not a valid integer",
    ]);
    assert_eq!(judged[0].class, Some(Class::Mapping));
    assert_eq!((judged[1].class, judged[1].cascade_of), (Some(Class::Cascade), Some(1)));
}

#[test]
fn the_same_error_of_two_records_is_told_twice() {
    let judged = judge_all(&[
        "ERROR Failed to fetch order 12: Read timed out after 30 s",
        "ERROR Failed to fetch order 13: Read timed out after 30 s",
    ]);
    assert!(judged.iter().all(|line| line.class == Some(Class::External)));
}

#[test]
fn the_run_is_named_by_its_first_error_that_is_no_cascade() {
    let lines = [
        "start",
        "WARN slow answer",
        "ERROR 401 Unauthorized",
        "ERROR 503 Service Unavailable",
        "exit status 1",
    ];
    assert_eq!(analyse(&builtin(), &lines), Some((2, Class::Configuration)));
    assert_eq!(analyse(&builtin(), &["start", "all well"]), None);
}

#[test]
fn without_errors_the_first_warning_that_asks_for_action_names_the_run() {
    assert_eq!(
        analyse(&builtin(), &["start", "WARN webhook with invalid signature refused"]),
        Some((1, Class::Configuration))
    );
}

/// Pieces from which lines are made: what errors consist of, and what ordinary output consists of.
const PIECES: &[&str] = &[
    "ERROR",
    "warn",
    " ",
    ": ",
    "Mapping",
    "[mapping]",
    "[",
    "]",
    "{",
    "}",
    "\"level\"",
    ":50",
    "exit",
    " code ",
    "1",
    "refused",
    "Connection",
    "time",
    "d out",
    "not",
    " found",
    "is ",
    "403",
    "HTTP ",
    "(",
    ")",
    "orders",
    "2031-01-05 10:00:00",
    "INFO",
    "E0105 10:00:00",
    "<3>",
    "permission",
    " denied",
    "no such",
    "_",
    "-",
    "failed",
    "Traceback (most recent call last):",
    "\u{e9}",
    "\u{5931}\u{8d25}",
    "invalid ",
    "null",
    "=",
    "already exists",
    "table x ",
    "does",
    "n't exist",
    "cannot ",
    "Segmentation fault",
    "killed",
    "\t",
    "at x(y)",
    "#0 ",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn what_the_gate_lets_through_is_plain_on_both_streams(picks in prop::collection::vec(0..PIECES.len() + 4, 0..40)) {
        let block: String = picks.iter().map(|&at| PIECES.get(at).copied().unwrap_or("\n")).collect();
        if surely_plain(block.as_bytes()) {
            for source in [Source::Stdout, Source::Stderr] {
                let mut session = session();
                for (number, line) in (1_u64..).zip(block.lines()) {
                    let judged = session.judge(number, source, line);
                    prop_assert!(judged.level <= Level::Info && judged.class.is_none(), "{line:?}: {judged:?}");
                }
            }
        }
    }

    #[test]
    fn any_text_gets_a_judgement(line in "\\PC{0,300}") {
        let judged = session().judge(1, Source::Stderr, &line);
        prop_assert_eq!(judged.class, judged.cause.map(Cause::class));
        prop_assert!(judged.level != Level::Error || judged.class.is_some());
    }
}
