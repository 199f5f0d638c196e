//! What people do in the console, one journey each; `*.mjs` beside this says how.

use std::process::Command;

use serde_json::{Value, json};

use super::Shop;
use super::asking::{items, text, with_status, word};

/// Slots by the second: paused, they are skipped while somebody waits for it.
const PULSE: &str = r#"
name = "Pulse"

[schedules.beat]
every = "1s"
overlap = "allow"
command = ["true"]
"#;

const READER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/export/workbook.py");

/// Each place that has the focus shows it, keys mean letters where one types, and nothing needs a mouse.
#[test]
fn the_keyboard_alone_leads_from_the_red_one_to_a_green_one() {
    let shop = Shop::open();
    let ko = shop.failed(1);
    let mended = shop.folder.path().join("mended");
    shop.travel("keyboard", &json!({"ko": ko[0], "mended": mended}));
}

#[test]
fn everything_works_without_scripts_but_to_follow() {
    let shop = Shop::beside(&[("pulse.toml", PULSE)]);
    let ko = shop.failed(2);
    let long = shop.ended("shop/many", "ko");
    let facts = json!({
        "ko": ko, "long": long["id"], "running": shop.run("shop/counting"),
        "token": shop.token("desk", "operator"),
    });
    shop.travel("noscript", &facts);
}

/// The command line says what there is; the page must list exactly what fits of it.
#[test]
fn filters_stand_in_the_address_and_list_what_fits() {
    let shop = Shop::open();
    for _ in 0..8 {
        shop.ended("shop/sales", "ok");
    }
    let known = shop.failed(1);
    let other = shop.daemon.json(&["schedule", "run", "shop/tickets", "--param", "day=2026-12-01"]);
    with_status(&shop.daemon, word(&other, "id"), "ko");
    shop.ended("bank/statements", "ok");
    shop.ended("shop/many", "ko");
    shop.daemon.json(&["execution", "note", &known[0], "--ref", "KAY-7", "they know"]);
    shop.daemon.json(&["execution", "rerun", &known[0]]);
    with_status(&shop.daemon, "latest", "ko");
    let rows = shop.daemon.json(&["execution", "list"]);
    shop.travel("filter", &json!({"rows": items(&rows)}));
}

/// An execution, its log and the overview, all of which change before the reader's eyes.
#[test]
fn what_goes_on_is_seen_without_loading_a_page_again() {
    let shop = Shop::open();
    let running = shop.run("shop/counting");
    shop.travel("follow", &json!({"running": running, "gate": shop.gate()}));
}

#[test]
fn several_are_run_again_after_a_look_at_how_many_and_linked_both_ways() {
    let shop = Shop::open();
    let ko = shop.failed(3);
    let ok = shop.ended("shop/sales", "ok");
    shop.travel("rerun", &json!({"ko": ko, "ok": ok["id"]}));
}

/// A workbook is opened by a program that did not write it.
#[test]
fn a_click_exports_what_the_page_shows() {
    let shop = Shop::open();
    let ko = shop.failed(3);
    let folder = shop.folder.path().join("files");
    std::fs::create_dir(&folder).expect("a folder");
    let said = shop.travel("export", &json!({"ko": ko, "folder": folder}));
    let made: Value = serde_json::from_str(&said).expect("the files that were made");
    let rows = |book: &Value, sheet: &str| {
        let all = book.as_array().expect("sheets");
        let found = all.iter().find(|one| one["name"] == sheet).expect("a sheet of that name");
        found["rows"].as_array().expect("rows").len()
    };
    assert_eq!(rows(&workbook(word(&made, "list")), "Executions"), 1 + ko.len());
    assert_eq!(rows(&workbook(word(&made, "one")), "Log"), 1 + 5);
}

/// The sheets of a workbook, as openpyxl sees them.
fn workbook(file: &str) -> Value {
    let output = Command::new("/usr/bin/python3").arg(READER).arg(file).output();
    let output = output.expect("Python 3 runs");
    assert!(output.status.success(), "openpyxl reads it: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Links that work once, tokens, roles, other sites, and whoever guesses.
#[test]
fn only_who_is_known_comes_in_and_does_what_he_may() {
    let shop = Shop::open();
    let ko = shop.failed(1);
    let facts = json!({
        "ko": ko[0], "operator": shop.token("desk", "operator"), "viewer": shop.token("guest", "viewer"),
    });
    shop.travel("login", &facts);
}
