//! What changed between two definitions.

use super::*;
use crate::config::{diff, render_changes};
use crate::domain::event::Change;

const OLD: &str = "\
notify = \"https://chat.example/secret-one\"
[env]
A = \"1\"
FNAC_TOKEN = { credential = \"one\" }
[schedules.sales]
cron = \"0 1 * * *\"
shell = \"a\"
ping = \"https://hc.example/uuid-one\"
[schedules.gone]
manual = true
shell = \"b\"
";

const NEW: &str = "\
notify = \"https://chat.example/secret-two\"
[env]
B = \"2\"
FNAC_TOKEN = { credential = \"two\" }
[limits]
concurrent = 2
[schedules.sales]
cron = \"0 2 * * *\"
shell = \"a\"
timeout = \"45m\"
retry = { attempts = 3 }
ping = \"https://hc.example/uuid-two\"
[schedules.fresh]
every = \"90s\"
command = [\"true\"]
";

#[test]
fn changes_are_told_in_the_words_of_the_file() {
    let (old, new) = (accepted(OLD), accepted(NEW));
    let expected = r#"
- env.A = "1"
+ env.B = "2"
~ env.FNAC_TOKEN: {"credential":"one"} -> {"credential":"two"}
+ limits = {"concurrent":2}
~ notify: changed (value not shown)
+ schedules.fresh = { every = "1m30s", command = ["true"] }
- schedules.gone = { manual = true, shell = "b" }
~ schedules.sales.cron: "0 1 * * *" -> "0 2 * * *"
~ schedules.sales.ping: changed (value not shown)
+ schedules.sales.retry = {"attempts":3,"delay":"30s","factor":2.0,"max_delay":"10m"}
+ schedules.sales.timeout = "45m"
"#;
    assert_eq!(render_changes(&diff(Some(&old), Some(&new))), expected.trim_start());
}

#[test]
fn a_secret_address_is_masked_and_its_change_is_a_change() {
    let (old, new) = (accepted(OLD), accepted(NEW));
    let changes = diff(Some(&old), Some(&new));
    let all = format!("{changes:?}");
    assert!(!all.contains("uuid-one") && !all.contains("secret-two"), "{all}");
    let ping = changes.iter().find(|change| change.path == "schedules.sales.ping");
    let masked = Some("\"https://hc.example/***\"".to_owned());
    let path = "schedules.sales.ping".to_owned();
    assert_eq!(ping, Some(&Change { path, from: masked.clone(), to: masked }));
}

#[test]
fn text_that_looks_like_a_secret_is_masked() {
    let (interface, _) = read("[env]\nMY_PASSWORD = \"hunter2\"\n");
    let changes = diff(None, interface.as_ref());
    let change = changes.iter().find(|change| change.path == "env.MY_PASSWORD").expect("told");
    assert_eq!(change.to.as_deref(), Some("\"***\""));
}

#[test]
fn a_default_written_out_is_no_change() {
    let old = accepted("[schedules.a]\nmanual = true\nshell = \"a\"\n");
    let new = accepted(
        "timezone = \"UTC\"\n[schedules.a]\nmanual = true\nshell = \"a\"\noverlap = \"skip\"\nok_exit = [0]\n",
    );
    assert_eq!(diff(Some(&old), Some(&new)), []);
}

#[test]
fn a_new_interface_is_its_keys_and_a_removed_one_the_same_the_other_way() {
    let interface = accepted("[schedules.a]\nmanual = true\nshell = \"a\"\n");
    let paths =
        |changes: &[Change]| changes.iter().map(|change| change.path.clone()).collect::<Vec<_>>();
    let created = diff(None, Some(&interface));
    assert_eq!(paths(&created), ["name", "schedules.a", "timezone"]);
    assert!(created.iter().all(|change| change.from.is_none() && change.to.is_some()));
    let removed = diff(Some(&interface), None);
    assert_eq!(paths(&removed), paths(&created));
    assert!(removed.iter().all(|change| change.from.is_some() && change.to.is_none()));
}

#[test]
fn only_timing_zone_and_daylight_saving_move_slots() {
    let old = accepted("[schedules.a]\ncron = \"0 1 * * *\"\nshell = \"a\"\n");
    let id = old.schedules.keys().next().expect("one").clone();
    for (text, moves) in [
        ("[schedules.a]\ncron = \"0 1 * * *\"\nshell = \"b\"\npriority = 3\n", false),
        ("[schedules.a]\ncron = \"0 2 * * *\"\nshell = \"a\"\n", true),
        ("timezone = \"Asia/Tokyo\"\n[schedules.a]\ncron = \"0 1 * * *\"\nshell = \"a\"\n", true),
        ("[schedules.a]\ncron = \"0 1 * * *\"\nshell = \"a\"\ndst = { gap = \"skip\" }\n", true),
    ] {
        assert_eq!(old.retimed(&accepted(text), &id), moves, "{text}");
    }
}
