//! Lines in which the program itself names the class, and the interface's own rules.

use super::*;
use crate::domain::definition::Rule;

fn one(source: Source, line: &str) -> Judgement {
    session().judge(1, source, line)
}

/// S3-8, S3-6.
#[test]
fn a_class_prefix_marks_an_error_and_stands_in_front_of_its_text() {
    for line in [
        "ERROR Mapping: no entry for FNAC-77",
        "[mapping] no entry for FNAC-77",
        "Mapping: no entry for FNAC-77",
        "2031-01-05 10:00:00 [ERROR] mapping: no entry for FNAC-77",
    ] {
        let judged = one(Source::Stderr, line);
        assert_eq!(judged.level, Level::Error, "{line}");
        assert_eq!(judged.class, Some(Class::Mapping), "{line}");
        assert!(judged.marked, "{line}");
        assert_eq!(judged.text.as_deref(), Some("Mapping: no entry for FNAC-77"), "{line}");
    }
}

#[test]
fn a_class_prefix_on_stdout_without_an_error_level_is_information() {
    for line in [
        "Mapping: 120 entries read",
        "[external] calling the shop",
        "Configuration: cannot be overridden here",
    ] {
        let judged = one(Source::Stdout, line);
        assert_eq!(
            (judged.level, judged.class, judged.marked),
            (Level::Info, None, false),
            "{line}"
        );
    }
    let judged = one(Source::Stdout, "ERROR Mapping: no entry");
    assert_eq!(
        (judged.level, judged.class, judged.marked),
        (Level::Error, Some(Class::Mapping), true)
    );
}

/// S3-8.
#[test]
fn a_word_outside_the_five_marks_nothing() {
    for line in ["Network: lost", "[mapper] odd", "Fatal: x"] {
        assert!(!one(Source::Stderr, line).marked, "{line}");
    }
}

#[test]
fn a_mark_wins_over_what_the_text_says() {
    let judged = one(Source::Stderr, "ERROR Configuration: Connection refused");
    assert_eq!((judged.class, judged.cause), (Some(Class::Configuration), Some(Cause::CfgOther)));
    let judged = one(Source::Stderr, "External: Connection refused");
    assert_eq!((judged.class, judged.cause), (Some(Class::External), Some(Cause::ExtNetRefused)));
}

#[test]
fn a_json_line_marks_by_its_class_and_keeps_its_fields() {
    let line = r#"{"level":"error","class":"mapping","cause":"MAP-FIELD","msg":"price is empty","record":"FNAC-77"}"#;
    let judged = one(Source::Stdout, line);
    assert_eq!(
        (judged.level, judged.class, judged.cause, judged.marked),
        (Level::Error, Some(Class::Mapping), Some(Cause::MapField), true)
    );
    assert_eq!(judged.text.as_deref(), Some("price is empty"));
    assert_eq!(judged.fields.unwrap()["record"], "FNAC-77");
}

#[test]
fn a_json_line_without_a_class_is_judged_by_rule_and_does_not_mark() {
    let judged = one(
        Source::Stdout,
        r#"{"level":"error","msg":"upload failed","error":"connect ECONNREFUSED 10.0.0.1:443"}"#,
    );
    assert_eq!((judged.cause, judged.marked), (Some(Cause::ExtNetRefused), false));
    let judged = one(Source::Stdout, r#"{"id":7,"name":"Invalid","price":3}"#);
    assert_eq!((judged.class, judged.fields), (None, None));
}

#[test]
fn a_json_class_at_level_info_is_information() {
    let judged = one(Source::Stderr, r#"{"level":"info","class":"external","msg":"calling"}"#);
    assert_eq!((judged.level, judged.class, judged.marked), (Level::Info, None, false));
}

fn own(when: Match, class: Class, cause: Cause) -> Classifier {
    Classifier::new(&[Rule { when, class, cause }]).unwrap()
}

#[test]
fn the_interfaces_own_rules_come_before_the_table_and_after_marks() {
    let rules = Arc::new(own(
        Match::Contains("stock below zero".to_owned()),
        Class::Mapping,
        Cause::MapField,
    ));
    let mut session = Session::new(rules);
    let judged = session.judge(1, Source::Stdout, "row 3: Stock Below Zero");
    assert_eq!(
        (judged.level, judged.cause, judged.marked),
        (Level::Error, Some(Cause::MapField), false)
    );
    let judged = session.judge(2, Source::Stderr, "ERROR External: stock below zero");
    assert_eq!(judged.class, Some(Class::External));
    assert_eq!(session.judge(3, Source::Stdout, "row 4: fine").class, None);
}

#[test]
fn own_rules_compare_in_three_ways() {
    let equals =
        own(Match::Equals("done, but".to_owned()), Class::Technical, Cause::TecUnclassified);
    assert_eq!(classify_one(&equals, "  DONE, but ").0, Some(Class::Technical));
    assert_eq!(classify_one(&equals, "done, but late").0, None);
    let matches = own(Match::Matches(r"^E\d{3} ".to_owned()), Class::External, Cause::ExtOther);
    assert_eq!(classify_one(&matches, "E123 gone").0, Some(Class::External));
    assert_eq!(classify_one(&matches, "e123 gone").0, None);
}

#[test]
fn a_pattern_that_is_no_expression_is_named_by_its_place() {
    let good = Rule {
        when: Match::Contains("(".to_owned()),
        class: Class::Mapping,
        cause: Cause::MapOther,
    };
    let bad = Rule {
        when: Match::Matches("(".to_owned()),
        class: Class::Mapping,
        cause: Cause::MapOther,
    };
    let error = Classifier::new(&[good, bad]).unwrap_err();
    assert_eq!(error.index, 1);
    assert!(error.to_string().contains("rule 2"), "{error}");
}

/// S3-6.
#[test]
fn an_error_line_begins_with_its_type_once() {
    assert_eq!(indicated(Class::External, "Connection refused"), "External: Connection refused");
    assert_eq!(indicated(Class::External, "External: gone"), "External: gone");
    assert_eq!(indicated(Class::Mapping, "External: gone"), "Mapping: External: gone");
}
