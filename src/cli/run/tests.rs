//! Whole command lines that need no daemon.

use std::io::Cursor;

use serde_json::{Value, json};

use super::scripted::{Scripted, broken, followed};
use super::*;
use crate::domain::definition::{Dst, Timing};
use crate::domain::event::{Actor, DaemonStopped};
use crate::http::parts::StorePruned;
use crate::ids::StreamId;
use crate::instant::Instant;
use crate::store::journal::{JournalLog, JournalOptions};
use crate::store::{Append, EventLog, Expected, Links, StreamAppend};

struct Said {
    code: u8,
    out: String,
    err: String,
}

fn say(line: &[&str], variables: &[(&str, &str)], input: &str) -> Said {
    say_to(Reader::Program, line, variables, input)
}

/// Who reads what is said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    Person,
    Program,
}

fn say_to(reader: Reader, line: &[&str], variables: &[(&str, &str)], input: &str) -> Said {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let clock = SystemClock::new();
    let world = World {
        environment: variables.iter().map(|(name, value)| (*name, *value)).collect(),
        clock: &clock,
        input: &mut Cursor::new(input.as_bytes()),
        out: &mut out,
        err: &mut err,
        out_terminal: reader == Reader::Person,
        err_terminal: false,
        columns: None,
    };
    let args = std::iter::once("daybook").chain(line.iter().copied()).map(OsString::from);
    let code = run(args, world, wiring());
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Said { code, out: text(out), err: text(err) }
}

fn wiring() -> Wiring {
    let timing = |_: &Timing, _: &str, _: Dst| Ok(Vec::new());
    let checks =
        Checks { zone: |_| Ok(()), timing, template: |_, _| Ok(()), per_minute: |_, _, _| 1.0 };
    let serve = |options: &ServeOptions, _: Environment| {
        u8::from(options.data.as_ref().is_some_and(|data| data.ends_with("here"))) * 42
    };
    Wiring { serve, checks, compact: |_, _, _| Ok(StorePruned::default()) }
}

#[test]
fn serve_is_handed_to_the_daemon_with_the_global_data_folder() {
    assert_eq!(say(&["serve", "--data", "/here"], &[], "").code, 42);
}

#[test]
fn a_pattern_is_explained_without_a_daemon() {
    let line = [
        "schedule",
        "explain",
        "30 2 * * *",
        "--zone",
        "Europe/Paris",
        "--after",
        "2026-03-28T12:00:00Z",
        "-n",
        "2",
        "--json",
    ];
    let said = say(&line, &[], "");
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let answer: Value = serde_json::from_str(&said.out).expect("one document");
    assert_eq!(answer["next"][0], "2026-03-29T03:00:00+02:00");
}

#[test]
fn a_wrong_pattern_is_a_problem_on_stderr() {
    let said = say(&["schedule", "explain", "* * *", "--json"], &[], "");
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    let problem: Value = serde_json::from_str(&said.err).expect("a problem");
    assert_eq!(problem["code"], "usage");
}

#[test]
fn a_daemon_that_is_not_there_ends_with_8_and_names_the_place() {
    let said = say(&["status", "--data", "/nowhere"], &[], "");
    assert_eq!((said.code, said.out.as_str()), (8, ""));
    assert!(said.err.starts_with("error: no daemon answers\n"), "{}", said.err);
    assert!(said.err.contains("/nowhere/daybook.sock (--data)"), "{}", said.err);
}

#[test]
fn a_cause_has_a_page_and_a_misspelt_one_a_suggestion() {
    let said = say(&["explain", "ext-dns"], &[], "");
    assert_eq!(said.code, 0);
    assert!(said.out.starts_with("# EXT-DNS:"), "{}", said.out);
    let wrong = say(&["explain", "EXT-DSN"], &[], "");
    assert_eq!(wrong.code, 3);
    assert!(wrong.err.contains("did you mean `EXT-DNS`?"), "{}", wrong.err);
}

#[test]
fn lines_are_judged_from_standard_input() {
    let said = say(&["classify"], &[], "{\"id\":1,\"line\":\"all well\"}\n");
    assert_eq!(said.code, 0);
    assert_eq!(said.out, "{\"cause\":null,\"class\":\"none\",\"id\":1}\n");
    assert_eq!(say(&["classify"], &[], "nonsense\n").code, 2);
}

#[test]
fn files_with_an_error_end_with_78_and_all_problems() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("fnac.toml"), "zone = 1\nnmae = \"x\"\n").expect("written");
    let path = folder.path().to_str().expect("text");
    let said = say(&["check", path, "--json"], &[], "");
    assert_eq!(said.code, 78);
    let answer: Value = serde_json::from_str(&said.out).expect("one document");
    assert_eq!(answer["ok"], false);
    assert_eq!(answer["problems"].as_array().map(Vec::len), Some(2), "{answer}");
    assert!(say(&["check", path], &[], "").err.contains("fnac.toml:2:1"));
}

#[test]
fn help_goes_to_stdout_and_wrong_usage_to_stderr() {
    let help = say(&["--help"], &[], "");
    assert_eq!((help.code, help.err.as_str()), (0, ""));
    assert!(help.out.contains("78  configuration error"), "{}", help.out);
    let wrong = say(&["statsu"], &[], "");
    assert_eq!((wrong.code, wrong.out.as_str()), (2, ""));
    assert!(wrong.err.contains("status"), "{}", wrong.err);
}

#[test]
fn wrong_usage_is_a_problem_that_tells_the_values_that_there_are() {
    let said = say(&["execution", "list", "--status", "red", "--json"], &[], "");
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    let problem: Value = serde_json::from_str(&said.err).expect("a problem");
    assert_eq!(problem["code"], "usage");
    assert!(problem["detail"].as_str().is_some_and(|text| text.contains("red")), "{problem}");
    assert!(problem["action"].as_str().is_some_and(|text| text.contains("queued")), "{problem}");
}

#[test]
fn the_manual_and_the_completions_come_without_a_daemon() {
    assert!(say(&["man"], &[], "").out.contains("daybook"));
    assert!(say(&["completions", "bash"], &[], "").out.contains("_daybook"));
    let schema = say(&["schema"], &[], "");
    assert!(serde_json::from_str::<Value>(&schema.out).is_ok());
}

#[test]
fn the_store_is_checked_without_a_daemon_where_there_is_one_to_check() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("text");
    assert_eq!(say(&["store", "verify", "--data", data], &[], "").code, 8);
    std::fs::create_dir(folder.path().join("journal")).expect("made");
    let said = say(&["store", "verify", "--data", data, "--json"], &[], "");
    assert_eq!(said.code, 0, "{}", said.err);
    let answer: Value = serde_json::from_str(&said.out).expect("one document");
    assert_eq!((answer["ok"].clone(), answer["events"].clone()), (true.into(), 0.into()));
}

const ONE: &str = "0193522b-6a00-8000-8000-000000000001";

/// The log of execution `ONE`, line by line.
fn line(number: u64, text: &str) -> String {
    let line = json!({
        "line": number, "at": "2026-11-22T10:00:00.000Z", "attempt": 1, "stream": "stdout", "level": "info",
        "class": null, "cause": null, "text": text, "cascade_of": null, "fields": null,
    });
    format!("event: line\nid: {number}\ndata: {line}\n\n")
}

#[test]
fn a_follower_of_the_latest_stays_with_the_execution_that_it_began_with() {
    let end = format!("{}event: end\ndata: {{\"status\":\"ok\"}}\n\n", line(2, "two"));
    let answers = [followed(ONE, &line(1, "one")), broken(), followed(ONE, &end)];
    let daemon = Scripted::start(&answers);
    let said = say(&["execution", "log", "latest", "-f", "--server", &daemon.server()], &[], "");
    assert_eq!((said.code, said.out.as_str()), (0, "one\ntwo\n"), "{}", said.err);
    let asked = daemon.asked();
    assert!(asked[0].starts_with("GET /api/executions/latest/log HTTP"), "{}", asked[0]);
    for later in &asked[1..] {
        assert!(later.starts_with(&format!("GET /api/executions/{ONE}/log HTTP")), "{later}");
        assert!(later.contains("last-event-id: 1\r\n"), "{later}");
    }
}

#[test]
fn a_follower_of_events_outlives_a_restart() {
    let page = |position: u64| {
        let event = json!({
            "position": position, "stream": "daemon", "version": position, "type": "daemon-started",
            "at": "2026-11-22T10:00:00.000Z", "actor": "daybook", "correlation": null, "causation": null,
            "hash": "", "data": {},
        });
        scripted::json(200, &json!({"items": [event], "next": null}))
    };
    let gone = scripted::json(404, &json!({"code": "not-found", "title": "enough"}));
    let daemon = Scripted::start(&[page(1), broken(), page(2), gone]);
    let said = say(&["event", "tail", "-f", "--server", &daemon.server()], &[], "");
    assert_eq!((said.code, said.out.lines().count()), (3, 2), "{}{}", said.out, said.err);
    assert!(daemon.asked()[3].contains("after=2"), "{:?}", daemon.asked());
}

fn execution(status: &str) -> Value {
    json!({
        "id": ONE, "interface": "fnac", "schedule": "sales", "slot": null, "trigger": "manual", "status": status,
        "class": null, "cause": null, "created_at": "2026-11-22T10:00:00.000Z", "started_at": null, "ended_at": null,
        "duration_ms": null, "attempts": 1, "exit_code": null, "params": {}, "rerun_of": null, "root": ONE,
        "reruns": [], "solved_by": null, "superseded_by": null, "acknowledged": null, "notes": [], "cancel_requested": null, "references": [],
        "idempotency_key": ONE, "definition_version": 1, "lines": 0,
        "errors": {"external": 0, "configuration": 0, "mapping": 0, "technical": 0, "cascade": 0},
        "first_error": null, "anomaly": null, "position": 1,
    })
}

#[test]
fn whoever_waits_for_an_execution_outlives_a_restart() {
    let (queued, ok) = (execution("queued"), execution("ok"));
    let answers = [scripted::json(202, &queued), broken(), scripted::json(200, &ok)];
    let daemon = Scripted::start(&answers);
    let line = ["schedule", "run", "fnac/sales", "--wait", "--server", &daemon.server()];
    let said = say(&line, &[], "");
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("ok  fnac/sales"), "{}", said.out);
}

/// Section 5.1: one document in one form, whether it waits or not.
#[test]
fn one_id_to_run_again_prints_the_execution_and_several_a_list() {
    let item = json!({"of": ONE, "id": ONE, "execution": execution("queued"), "problem": null});
    let answer = |items: &[&Value]| {
        scripted::json(202, &json!({"dry_run": false, "items": items, "next": null}))
    };
    let one = Scripted::start(&[answer(&[&item])]);
    let said = say(&["execution", "rerun", ONE, "--json", "--server", &one.server()], &[], "");
    let document: Value = serde_json::from_str(&said.out).expect("one document");
    assert_eq!(document, execution("queued"));
    let two = Scripted::start(&[answer(&[&item, &item])]);
    let line = ["execution", "rerun", ONE, "latest", "--json", "--server", &two.server()];
    let document: Value = serde_json::from_str(&say(&line, &[], "").out).expect("one document");
    assert_eq!(
        (document["items"].as_array().map(Vec::len), &document["next"]),
        (Some(2), &Value::Null)
    );
}

#[test]
fn a_log_with_damaged_lines_is_shown_to_its_end_and_is_a_failure() {
    let row = |text: &str, stream: &str, fields: Value| {
        let line = json!({
            "line": 1, "at": "2026-11-22T10:00:00.000Z", "attempt": 1, "stream": stream, "level": "info",
            "class": null, "cause": null, "text": text, "cascade_of": null, "fields": fields,
        });
        format!("{line}\n")
    };
    let gap = || json!({"unreadable_lines": {"first": 1, "last": 1}});
    let answer = |rows: &str| {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\nconnection: close\r\n\r\n{rows}"
        )
    };
    let of_a_job = row("mine", "stdout", gap());
    let sound = Scripted::start(&[answer(&of_a_job)]);
    assert_eq!(say(&["execution", "log", ONE, "--server", &sound.server()], &[], "").code, 0);
    let rows =
        row("lines 1 to 1 are damaged", "daybook", gap()) + &row("three", "stdout", json!(null));
    let daemon = Scripted::start(&[answer(&rows)]);
    let said = say(&["execution", "log", ONE, "--server", &daemon.server()], &[], "");
    assert_eq!((said.code, said.out.as_str()), (1, "lines 1 to 1 are damaged\nthree\n"));
}

/// A stopped store, with some events in it.
async fn stopped_store(data: &std::path::Path) {
    let journal = JournalOptions::new(data.join("journal"));
    let (log, _) = JournalLog::open(journal).expect("opens");
    for reason in ["one", "two", "three"] {
        let events = vec![DaemonStopped { reason: reason.to_owned(), running: 0 }.into()];
        let stream = StreamAppend {
            stream: StreamId::Daemon,
            expected: Expected::Any,
            events,
            links: Links::default(),
        };
        let (at, actor) = (Instant::from_secs(0), Actor::Daybook);
        let append = Append { streams: vec![stream], at, actor };
        log.append(append).await.expect("appended");
    }
}

fn only_segment(data: &std::path::Path) -> std::path::PathBuf {
    let entries = std::fs::read_dir(data.join("journal")).expect("a folder");
    let mut paths = entries.map(|entry| entry.expect("an entry").path());
    paths.find(|path| path.extension().is_some_and(|end| end == "seg")).expect("a segment")
}

#[tokio::test]
async fn a_stopped_store_tells_damage_and_what_a_crash_left_and_stays_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    stopped_store(folder.path()).await;
    let data = folder.path().to_str().expect("text").to_owned();
    let ask = async |verb: &'static str| {
        let data = data.clone();
        let line = move || say(&["store", verb, "--data", &data, "--json"], &[], "");
        let said = tokio::task::spawn_blocking(line).await.expect("no panic");
        (said.code, serde_json::from_str::<Value>(&said.out).expect("one document"))
    };
    let (code, info) = ask("info").await;
    assert_eq!((code, &info["position"], &info["indexed"]), (0, &json!(3), &Value::Null));
    let segment = only_segment(folder.path());
    let mut bytes = std::fs::read(&segment).expect("readable");
    bytes.extend([1; 9]);
    std::fs::write(&segment, &bytes).expect("written");
    let (code, verified) = ask("verify").await;
    assert_eq!((code, &verified["ok"]), (0, &json!(true)), "{verified}");
    let note = verified["notes"][0].as_str().unwrap_or_default();
    assert!(note.starts_with("9 bytes after the last whole frame"), "{verified}");
    assert!(std::fs::read(&segment).expect("readable") == bytes, "nothing was changed");

    let two = memchr::memmem::find(&bytes, b"two").expect("it is there");
    bytes[two] ^= 1;
    std::fs::write(&segment, &bytes).expect("written");
    for verb in ["info", "verify"] {
        let (code, shown) = ask(verb).await;
        assert_eq!(code, 1, "{shown}");
        let problem = shown["problems"][0].as_str().unwrap_or_default();
        assert!(problem.contains("at offset"), "{shown}");
    }
}

#[test]
fn the_doctor_examines_what_it_can_reach_while_the_daemon_is_down() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("text");
    let said = say(&["doctor", "--data", data, "--json"], &[("HOME", data)], "");
    let doctor: Value = serde_json::from_str(&said.out).expect("one document");
    assert_eq!((said.code, &doctor["ok"]), (1, &json!(false)), "{}", said.err);
    let checks = doctor["checks"].as_array().expect("checks").iter();
    let found: Vec<(&str, &str)> = checks
        .map(|row| (row["name"].as_str().expect("a name"), row["state"].as_str().expect("a state")))
        .collect();
    assert_eq!(found[0], ("daemon", "fail"));
    for name in ["settings", "permissions", "lock", "disk", "credentials", "zones"] {
        assert!(found.iter().any(|(known, _)| *known == name), "{name}: {found:?}");
    }
}

/// A daemon elsewhere must not answer in the stead of the one that the file names.
#[test]
fn a_settings_file_that_is_not_accepted_is_told_unless_the_place_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("daybook.toml");
    std::fs::write(&file, "data = 7\n").expect("written");
    let home = folder.path().to_str().expect("text");
    let variables = [("HOME", home), ("DAYBOOK_CONFIG", file.to_str().expect("text"))];
    let said = say(&["status"], &variables, "");
    assert_eq!((said.code, said.out.as_str()), (78, ""), "{}", said.err);
    assert!(said.err.contains("daybook.toml:1:"), "{}", said.err);
    assert_eq!(say(&["status", "--data", home], &variables, "").code, 8);
    assert_eq!(say(&["status"], &[("PATH", "/usr/bin")], "").code, 8, "no home is no fault");
    assert_eq!(say(&["doctor"], &variables, "").code, 1);
}

#[test]
fn an_execution_that_there_is_none_of_is_not_found_whatever_its_name() {
    let gone = json!({"code": "not-found", "title": "none", "status": 404});
    let daemon = Scripted::start(&[scripted::json(404, &gone)]);
    let said = say(&["execution", "note", "nope", "--ack", "--server", &daemon.server()], &[], "");
    assert_eq!(said.code, 3, "{}", said.err);
    assert!(daemon.asked()[0].starts_with("POST /api/executions/nope/notes"));
}

#[test]
fn an_export_that_breaks_off_leaves_no_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.xlsx");
    let file = file.to_str().expect("text");
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\nconnection: close\r\n\r\nPK";
    let gone = scripted::json(404, &json!({"code": "not-found", "title": "no such thing"}));
    for (answer, code) in [(cut.to_owned(), 8), (gone, 3)] {
        let daemon = Scripted::start(&[answer]);
        let line = ["execution", "export", ONE, "--xlsx", file, "--server", &daemon.server()];
        let said = say(&line, &[], "");
        assert_eq!(said.code, code, "{}", said.err);
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }
}

#[test]
fn a_workbook_is_not_written_to_a_terminal() {
    let line = ["execution", "export", ONE, "--xlsx", "-", "--server", "unix:/nowhere"];
    let said = say_to(Reader::Person, &line, &[], "");
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("--xlsx FILE"), "{}", said.err);
}

#[test]
fn executions_are_exported_by_the_filters_of_lists() {
    let file = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nid\n";
    let daemon = Scripted::start(&[file.to_owned()]);
    let query = "status=ko&text=a b";
    let line =
        ["execution", "export", "--query", query, "--csv", "-", "--server", &daemon.server()];
    let said = say(&line, &[], "");
    assert_eq!((said.code, said.out.as_str()), (0, "id\n"), "{}", said.err);
    let path = "GET /api/executions/export.csv?status=ko&text=a%20b HTTP";
    assert!(daemon.asked()[0].starts_with(path), "{}", daemon.asked()[0]);
    let both = say(&["execution", "export", ONE, "--query", query, "--csv", "-"], &[], "");
    assert_eq!(both.code, 2);
}

/// What `status` answers with this many rows of each kind that it cuts off, of so many that there are.
fn status_of(sent: usize, there_are: u64) -> Value {
    let open = json!({
        "execution": ONE, "interface": "fnac", "schedule": "sales", "status": "running", "since": "2026-11-22T10:00:00.000Z",
    });
    let red = json!({
        "interface": "fnac", "schedule": "sales", "execution": ONE, "class": null, "first_error": null,
    });
    json!({
        "version": "1", "revision": null, "now": "2026-11-22T10:00:00.000Z", "started_at": "2026-11-22T09:00:00.000Z",
        "position": 1, "draining": null, "ready": true, "reasons": [], "runner": null,
        "running": there_are - 1, "queued": 1, "open": vec![open; sent], "red_count": there_are, "red": vec![red; sent],
        "interfaces": [], "next": [], "problems": [],
        "disk": {
            "state": "enough", "free_bytes": 1, "total_bytes": 1, "reserve_bytes": 0, "log_waits": false, "lines_dropped": 0,
        },
    })
}

#[test]
fn status_says_how_many_rows_of_all_it_leaves_out_also_in_a_pipe() {
    let told = |reader: Reader, sent: usize, there_are: u64| {
        let daemon = Scripted::start(&[scripted::json(200, &status_of(sent, there_are))]);
        let said = say_to(reader, &["status", "--server", &daemon.server()], &[], "");
        assert_eq!(said.code, 0, "{}", said.err);
        said
    };
    let ko = "daybook execution list --status ko";
    let open = "daybook execution list --status running,queued";
    let person = told(Reader::Person, 100, 250).out;
    for command in [ko, open] {
        assert!(person.contains(&format!("and 240 more: {command}")), "{person}");
    }
    let program = told(Reader::Program, 100, 250);
    assert_eq!(program.err, format!("and 150 more: {ko}\nand 150 more: {open}\n"));
    assert!(!program.out.contains("more:"), "{}", program.out);
    assert_eq!(told(Reader::Program, 100, 100).err, "");
}
