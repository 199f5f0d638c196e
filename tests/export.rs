//! Executions as files, on the real binary: what an expert gets, read by a program that did not write it.

#[expect(dead_code, reason = "shared with other tests")]
#[path = "support/asking.rs"]
mod asking;
#[expect(dead_code, reason = "shared with other tests")]
#[path = "support/provider.rs"]
mod provider;
#[expect(dead_code, reason = "shared with other tests")]
mod support;

use std::path::Path;
use std::process::Command;

use asking::{ended, id_of, text};
use provider::{Provider, Reply};
use serde_json::{Value, json};
use support::Daemon;

const SHOP: &str = include_str!("export/shop.toml");
const READER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/export/workbook.py");
/// The system's own: its packages are not there for every other one.
const PYTHON: &str = "/usr/bin/python3";
const SECRET: &str = "t0p-s3cret-t0ken";
/// The colour of what is bad.
const RED: &str = "FFFFC7CE";

/// A workbook's sheets, as openpyxl sees them.
fn workbook(file: &Path) -> Value {
    let output = Command::new(PYTHON).arg(READER).arg(file).output().expect("Python 3 runs");
    assert!(
        output.status.success(),
        "openpyxl reads it; Debian's package `python3-openpyxl` brings it: {}",
        text(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn sheet<'a>(workbook: &'a Value, name: &str) -> &'a Value {
    let sheets = workbook.as_array().expect("sheets");
    sheets.iter().find(|sheet| sheet["name"] == name).expect("a sheet of that name")
}

fn rows(sheet: &Value) -> &[Value] {
    sheet["rows"].as_array().expect("rows")
}

/// The cell of a row below a heading.
fn cell<'a>(sheet: &'a Value, row: usize, heading: &str) -> &'a Value {
    let headings = rows(sheet)[0].as_array().expect("cells");
    let place = headings.iter().position(|cell| cell["value"] == heading);
    &rows(sheet)[row][place.expect("a heading of that name")]
}

/// What stands beside a name on the first sheet.
fn fact<'a>(workbook: &'a Value, name: &str) -> &'a Value {
    let row = rows(sheet(workbook, "Summary")).iter().find(|row| row[0]["value"] == name);
    &row.expect("a fact of that name")[1]
}

/// S3-5, S3-9, S3-11.
#[test]
fn an_expert_gets_a_workbook_with_what_went_wrong_and_whose_move_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let shop = Provider::start(&[Reply::Status(503)]);
    std::fs::write(folder.path().join("shop.token"), format!("{SECRET}\n")).expect("a file");
    let file = SHOP.replace("AT_SHOP", &shop.address.to_string());
    let mut daemon = Daemon::with_files(folder.path(), &[("shop.toml", &file)]);
    daemon.start();
    let (code, run) = ended(&daemon, &["schedule", "run", "shop/broken"]);
    assert_eq!((code, &run["class"]), (Some(5), &json!("external")), "{run}");
    daemon.json(&["execution", "note", id_of(&run), "--ack", "--ref", "KAY-7", "=they know"]);
    let exported = export(&daemon, &[id_of(&run)], "broken.xlsx");
    it_opens_with_its_sheets(&exported);
    its_first_sheet_tells_what_it_came_to(&exported, &run);
    its_errors_have_their_actions(&exported);
    no_text_is_a_formula(&exported);
    it_tells_what_happened_when(&exported);

    let (_, call) = ended(&daemon, &["schedule", "run", "shop/read"]);
    let exported = export(&daemon, &[id_of(&call)], "call.xlsx");
    its_calls_are_there_without_secrets(&exported);

    let (_, long) = ended(&daemon, &["schedule", "run", "shop/long"]);
    let exported = export(&daemon, &[id_of(&long)], "long.xlsx");
    a_text_that_no_cell_takes_is_cut_and_said(&daemon, &exported, id_of(&long));

    a_list_shows_what_is_ko_in_red(&export(&daemon, &["--query", "interface=shop"], "list.xlsx"));
    a_file_is_complete_or_not_there(&daemon);
}

fn export(daemon: &Daemon, which: &[&str], name: &str) -> Value {
    let file = daemon.folder.join(name);
    let arguments = [&["execution", "export"], which, &["--xlsx", name]].concat();
    let output = daemon.run(&arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    workbook(&file)
}

fn it_opens_with_its_sheets(exported: &Value) {
    let names: Vec<&Value> =
        exported.as_array().expect("sheets").iter().map(|sheet| &sheet["name"]).collect();
    assert_eq!(names, ["Summary", "Errors", "Log", "Exchanges", "Timeline"]);
    for sheet in exported.as_array().expect("sheets") {
        assert_eq!(sheet["frozen"], "A2", "{}", sheet["name"]);
        assert!(sheet["filter"].as_str().is_some_and(|area| area.starts_with("A1:")), "{sheet}");
    }
    let told = &rows(sheet(exported, "Exchanges"))[1][0]["value"];
    assert!(told.as_str().is_some_and(|text| text.starts_with("No line of the log")), "{told}");
}

fn its_first_sheet_tells_what_it_came_to(exported: &Value, run: &Value) {
    for (name, value) in [
        ("Id", &run["id"]),
        ("Interface", &json!("shop")),
        ("Schedule", &json!("broken")),
        ("Status", &json!("ko")),
        ("Class", &json!("external")),
        ("First error line", &run["first_error"]["line"]),
        ("Action", &run["first_error"]["action"]),
        ("Attempts", &json!(2)),
        ("Exit code", &json!(3)),
        ("References", &json!("KAY-7")),
    ] {
        assert_eq!(&fact(exported, name)["value"], value, "{name}");
    }
    let (status, interface) = (fact(exported, "Status"), fact(exported, "Interface"));
    assert_eq!((&status["fill"], &interface["fill"]), (&json!(RED), &Value::Null));
    let at = fact(exported, "Created at (UTC)");
    let created = run["created_at"].as_str().expect("an instant").trim_end_matches('Z');
    assert_eq!(at["type"], "d");
    assert!(at["value"].as_str().is_some_and(|at| at.starts_with(created)), "{at} {created}");
}

fn its_errors_have_their_actions(exported: &Value) {
    let errors = sheet(exported, "Errors");
    // Of two attempts: what the program said, what make said of it, and how it ended.
    assert_eq!(rows(errors).len(), 1 + 2 * 3, "{errors}");
    let external = "Run it again. If it fails again, contact the provider of the external system.";
    assert_eq!(cell(errors, 1, "Class")["value"], "external");
    assert_eq!(cell(errors, 1, "Action")["value"], external);
    assert_eq!(cell(errors, 1, "At (UTC)")["type"], "d");
    assert_eq!(
        cell(sheet(exported, "Log"), 1, "At (UTC)")["type"],
        "d",
        "also where nothing is red"
    );
    let line = &cell(errors, 1, "Line")["value"];
    let cascade = format!("Consequence of an error above. Look at line {line}.");
    assert_eq!(cell(errors, 2, "Class")["value"], "cascade");
    assert_eq!(cell(errors, 2, "Action")["value"], cascade);
    for row in &rows(errors)[1..] {
        assert!(row.as_array().expect("cells").iter().all(|cell| cell["fill"] == RED), "{row}");
    }
    let log = sheet(exported, "Log");
    for row in 1..rows(log).len() {
        let is_error = cell(log, row, "Level")["value"] == "error";
        assert_eq!(cell(log, row, "Text")["fill"] == RED, is_error, "row {row}");
        assert_eq!(cell(log, row, "Action")["value"].is_string(), is_error, "row {row}");
    }
}

fn no_text_is_a_formula(exported: &Value) {
    let log = sheet(exported, "Log");
    let texts = ["=1+1", "+2", "-3", "@SUM(A1)", "\t=4", "_x000D_=5", "plain <b> & \"quoted\""];
    for (row, text) in (1..).zip(texts) {
        let cell = cell(log, row, "Text");
        assert_eq!((&cell["value"], &cell["type"]), (&json!(text), &json!("s")));
        // Stays a text also when somebody edits the cell. openpyxl leaves the form's name for a carriage return.
        assert_eq!(cell["quoted"], json!(!text.starts_with("plain")), "{text:?}");
    }
    for sheet in exported.as_array().expect("sheets") {
        for cell in rows(sheet).iter().flat_map(|row| row.as_array().expect("cells")) {
            assert_ne!(cell["type"], "f", "{cell}");
        }
    }
}

fn it_tells_what_happened_when(exported: &Value) {
    let timeline = sheet(exported, "Timeline");
    let events: Vec<&str> = (1..rows(timeline).len())
        .filter_map(|row| cell(timeline, row, "Event")["value"].as_str())
        .filter(|event| *event != "error-seen")
        .collect();
    let expected = [
        "opened",
        "attempt-started",
        "attempt-ended",
        "retry-planned",
        "attempt-started",
        "attempt-ended",
        "closed",
        "noted",
    ];
    assert_eq!(events, expected);
    let last = cell(timeline, rows(timeline).len() - 1, "Text");
    assert_eq!(last["value"], "acknowledged: ticket KAY-7: =they know");
}

fn its_calls_are_there_without_secrets(exported: &Value) {
    let calls = sheet(exported, "Exchanges");
    assert_eq!(rows(calls).len(), 2, "{calls}");
    for (heading, value) in
        [("Method", json!("GET")), ("Status", json!(503)), ("Direction", json!("out"))]
    {
        assert_eq!(cell(calls, 1, heading)["value"], value, "{heading}");
    }
    assert!(cell(calls, 1, "Duration ms")["value"].is_u64());
    let sent = cell(calls, 1, "Request headers")["value"].as_str().expect("headers");
    assert!(sent.contains("\"authorization\":\"***\""), "{sent}");
    assert_eq!(cell(calls, 1, "Url")["fill"], RED);
    assert!(!exported.to_string().contains(SECRET), "{exported}");
}

fn a_text_that_no_cell_takes_is_cut_and_said(daemon: &Daemon, exported: &Value, id: &str) {
    let cut = cell(sheet(exported, "Log"), 1, "Text")["value"].as_str().expect("a text").to_owned();
    assert!(cut.ends_with("[cut: a cell takes no more]"), "{}", cut.len());
    let note = fact(exported, "Note")["value"].as_str().expect("a text").to_owned();
    assert!(note.contains("cut: 1."), "{note}");
    let whole = daemon.run(&["execution", "export", id, "--csv", "-"]);
    assert!(text(&whole.stdout).contains(&"x".repeat(60_000)), "CSV has all of it");
}

fn a_list_shows_what_is_ko_in_red(exported: &Value) {
    let list = sheet(exported, "Executions");
    assert_eq!(rows(list).len(), 4, "{list}");
    for row in 1..4 {
        let is_ko = cell(list, row, "Status")["value"] == "ko";
        for heading in ["Id", "Status", "Created at (UTC)", "Attempts", "Slot (UTC)"] {
            assert_eq!(cell(list, row, heading)["fill"] == RED, is_ko, "{heading} of row {row}");
        }
        assert_eq!(cell(list, row, "Action")["value"].is_string(), is_ko, "row {row}");
    }
    assert_eq!(fact(exported, "Interface")["value"], "shop");
    assert_eq!(fact(exported, "Executions")["value"], 3);
}

fn a_file_is_complete_or_not_there(daemon: &Daemon) {
    let there = daemon.run(&["execution", "export", "latest", "--xlsx", "list.xlsx"]);
    assert_eq!(there.status.code(), Some(7), "{}", text(&there.stderr));
    let unknown = daemon.run(&["execution", "export", "0123", "--csv", "none.csv"]);
    assert_eq!(unknown.status.code(), Some(3), "{}", text(&unknown.stderr));
    let both = daemon.run(&["execution", "export", "latest", "--csv", "a", "--jsonl", "b"]);
    assert_eq!(both.status.code(), Some(2), "{}", text(&both.stderr));
    let piped = daemon.run(&["execution", "export", "latest", "--xlsx", "-"]);
    assert!(piped.status.success() && piped.stdout.starts_with(b"PK"));
    let mut left: Vec<String> = std::fs::read_dir(&daemon.folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    left.sort();
    let expected =
        ["broken.xlsx", "call.xlsx", "data", "list.xlsx", "long.xlsx", "schedules", "shop.token"];
    assert_eq!(left, expected, "nothing half-written stays");
}
