//! A folder of files with the environment's overrides.

use std::fs;

use super::*;
use crate::config::{Environment, Loaded, load_folder};

fn folder(files: &[(&str, &str)], env: &[(&str, &str)]) -> Loaded {
    let dir = tempfile::tempdir().expect("tempdir");
    for (name, text) in files {
        fs::write(dir.path().join(name), text).expect("write");
    }
    load_folder(dir.path(), &env.iter().copied().collect::<Environment>(), checks())
}

const SALES: &str = "[schedules.main]\ncron = \"0 1 * * *\"\nshell = \"a\"\n[schedules.error]\ncron = \"0 2 * * *\"\nshell = \"b\"\nrole = \"errors\"\n";

fn shown(loaded: &Loaded) -> String {
    loaded
        .problems
        .iter()
        .map(|p| {
            let file = p.file.rsplit('/').next().unwrap_or_default();
            format!("{file}: {}\n", p.message)
        })
        .collect()
}

/// S3-2: a schedule stands in its interface's file, and nowhere else.
#[test]
fn each_file_is_an_interface_and_each_schedule_belongs_to_it() {
    let loaded = folder(
        &[
            ("fnac.toml", SALES),
            ("avni.toml", ""),
            ("notes.txt", "x"),
            (".hidden.toml", "x"),
            ("#a.toml", "x"),
        ],
        &[],
    );
    assert_eq!(loaded.problems, []);
    let ids: Vec<&str> = loaded.accepted.keys().map(InterfaceId::as_str).collect();
    assert_eq!(ids, ["avni", "fnac"]);
    let orphan = folder(&[("fnac.toml", "[integrate]\ncron = \"@daily\"\nshell = \"a\"\n")], &[]);
    assert_eq!(shown(&orphan), "fnac.toml: `integrate` is not a key of an interface\n");
}

#[test]
fn a_bad_file_is_refused_and_the_others_are_accepted() {
    let loaded = folder(
        &[("fnac.toml", SALES), ("bad.toml", "x = 1"), ("Upper.toml", ""), ("worse.toml", "= 1")],
        &[],
    );
    assert_eq!(loaded.accepted.len(), 1);
    assert_eq!(
        loaded.refused.iter().map(String::as_str).collect::<Vec<_>>(),
        ["Upper", "bad", "worse"]
    );
    let said = shown(&loaded);
    for part in
        ["Upper.toml: `Upper` is not a name", "bad.toml: `x` is not a key", "worse.toml: not TOML"]
    {
        assert!(said.contains(part), "{said}");
    }
    assert!(loaded.has_errors() && !loaded.unreadable);
}

#[test]
fn a_file_that_is_not_utf_8_is_told_with_its_place() {
    let dir = tempfile::tempdir().expect("tempdir");
    fs::write(dir.path().join("a.toml"), b"name = \"a\"\nowner = \"\xff\"\n").expect("write");
    let loaded = load_folder(dir.path(), &Environment::default(), checks());
    let problem = loaded.problems.first().expect("one");
    assert_eq!(
        (problem.line, problem.column, problem.message.as_str()),
        (Some(2), Some(10), "not UTF-8")
    );
}

#[test]
fn a_folder_that_cannot_be_read_removes_nothing() {
    let loaded =
        load_folder(std::path::Path::new("/nonexistent/x"), &Environment::default(), checks());
    assert!(loaded.unreadable && loaded.has_errors());
}

/// S2-7.
#[test]
fn a_variable_replaces_a_schedules_cron() {
    let loaded =
        folder(&[("avni-goonj.toml", SALES)], &[("DAYBOOK_AVNI_GOONJ_MAIN_CRON", "*/7 3 * * *")]);
    let interface = &loaded.accepted.values().next().expect("one").interface;
    let timings: Vec<&Timing> = interface.schedules.values().map(|s| &s.timing).collect();
    assert_eq!(
        timings,
        [&Timing::Cron("0 2 * * *".to_owned()), &Timing::Cron("*/7 3 * * *".to_owned())]
    );
    assert_eq!(
        shown(&loaded),
        "$DAYBOOK_AVNI_GOONJ_MAIN_CRON: `*/7` starts anew at each full hour\n"
    );
}

/// S2-5: the two jobs of a module are switched off one by one.
#[test]
fn a_dash_switches_one_schedule_off_and_leaves_the_other() {
    let loaded = folder(&[("avni.toml", SALES)], &[("DAYBOOK_AVNI_ERROR_CRON", "-")]);
    let interface = &loaded.accepted.values().next().expect("one").interface;
    let enabled: Vec<bool> = interface.schedules.values().map(|s| s.enabled).collect();
    assert_eq!(enabled, [false, true], "error, main");
}

/// S2-7: a bad pattern is refused with the variable's name, never skipped.
#[test]
fn a_bad_override_refuses_the_interface() {
    for (value, why) in [
        (
            "every day",
            "$DAYBOOK_AVNI_MAIN_CRON: for `avni/main`: `every day` has 2 fields instead of 5 to 7\n",
        ),
        ("", "$DAYBOOK_AVNI_MAIN_CRON: is empty, so it says nothing about `avni/main`\n"),
    ] {
        let loaded = folder(&[("avni.toml", SALES)], &[("DAYBOOK_AVNI_MAIN_CRON", value)]);
        assert_eq!(shown(&loaded), why);
        assert!(loaded.refused.contains("avni") && loaded.accepted.is_empty());
    }
}

#[test]
fn two_schedules_with_one_variable_are_refused() {
    let one = "[schedules.b-c]\nmanual = true\nshell = \"a\"\n";
    let two = "[schedules.c]\nmanual = true\nshell = \"a\"\n";
    let loaded = folder(&[("a.toml", one), ("a-b.toml", two)], &[]);
    assert!(loaded.accepted.is_empty());
    assert_eq!(
        shown(&loaded),
        "$DAYBOOK_A_B_C_CRON: stands for more than one schedule: `a/b-c`, `a-b/c`\n"
    );
}

#[test]
fn a_variable_that_matches_nothing_is_a_warning_with_the_nearest_name() {
    let env = [
        ("DAYBOOK_AVNI_MIAN_CRON", "@daily"),
        ("DAYBOOK_MAX_CONCURENT", "3"),
        ("DAYBOOK_LISTEN", "x"),
        ("DAYBOOK_SLOT", "x"),
        ("DAYBOOK_PARAM_DAY", "x"),
        ("DAYBOOK_CONFIG", "x"),
    ];
    let loaded = folder(&[("avni.toml", SALES)], &env);
    let said: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "$DAYBOOK_AVNI_MIAN_CRON: matches no setting and no schedule (did you mean `DAYBOOK_AVNI_MAIN_CRON`?)",
            "$DAYBOOK_MAX_CONCURENT: matches no setting and no schedule (did you mean `DAYBOOK_MAX_CONCURRENT`?)",
        ]
    );
    assert!(!loaded.has_errors());
}

#[test]
fn a_problem_is_json_for_machines() {
    let loaded = folder(&[("fnac.toml", "timezon = \"UTC\"\n")], &[]);
    let json = serde_json::to_value(&loaded.problems).expect("JSON");
    assert_eq!(json[0]["severity"], "error");
    assert_eq!((&json[0]["line"], &json[0]["column"]), (&1.into(), &1.into()));
    assert_eq!(json[0]["key"], "timezon");
    assert_eq!(json[0]["hint"], "did you mean `timezone`?");
}
