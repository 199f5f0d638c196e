//! Lines of the checklist on the real binary, as operators, integrators and monitors see them. What needs hours or
//! thousands of cases is proved beside the code; each test names its lines.

#[path = "support/asking.rs"]
mod asking;
#[path = "support/provider.rs"]
mod provider;
#[expect(dead_code, reason = "shared with other tests")]
mod support;

use std::collections::{BTreeMap, BTreeSet};

use asking::{ended, full_name, id_of, items, lines_of, number, text, until, with_status, word};
use provider::{Provider, Reply};
use regex::Regex;
use serde_json::{Value, json};
use support::{Daemon, Monitor, Ping};

const AVNI: &str = include_str!("checklist/avni.toml");
const CLOCK: &str = include_str!("checklist/clock.toml");
const DESK: &str = include_str!("checklist/desk.toml");
const FNAC: &str = include_str!("checklist/fnac.toml");
const SHOP: &str = include_str!("checklist/shop.toml");
const STOCK: &str = include_str!("checklist/stock.toml");
const WATCHED: &str = include_str!("checklist/watched.toml");

/// S3-1, S3-2, S3-3, S3-14.
#[test]
fn interfaces_schedules_and_executions_are_the_same_after_a_crash_and_a_new_fold() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = [("fnac.toml", FNAC), ("stock.toml", STOCK)];
    let mut daemon = Daemon::with_files(folder.path(), &files);
    daemon.start();
    interfaces_are_listed_and_own_their_schedules(&daemon);
    run_now_answers_with_an_id_and_moves_no_slot(&daemon);
    let (code, red) = ended(&daemon, &["schedule", "run", "fnac/by-hand"]);
    assert_eq!((code, &red["status"]), (Some(5), &json!("ko")));
    every_execution_has_its_schedule(&daemon);
    let (code, again) = ended(&daemon, &["execution", "rerun", id_of(&red)]);
    assert_eq!((code, &again["rerun_of"]), (Some(5), &red["id"]));
    daemon.json(&["execution", "note", id_of(&again), "--ack", "the provider knows"]);
    daemon.json(&["schedule", "pause", "fnac/yearly", "--note", "until the provider answers"]);

    let before = everything(&daemon);
    daemon.kill();
    // All but the journal and the lines is folded from them.
    std::fs::remove_dir_all(folder.path().join("data/index")).expect("an index");
    for checkpoint in ["data/checkpoint-0", "data/checkpoint-1"] {
        // Absent when none has been written yet.
        drop(std::fs::remove_file(folder.path().join(checkpoint)));
    }
    daemon.start();
    assert_eq!(everything(&daemon), before);
}

fn everything(daemon: &Daemon) -> Vec<Value> {
    let executions = daemon.json(&["execution", "list"]);
    let of_each = items(&executions).iter().map(id_of).flat_map(|id| {
        let stream = format!("execution/{id}");
        let events = daemon.json(&["event", "list", "--stream", &stream]);
        [daemon.json(&["execution", "show", id]), json!(lines_of(daemon, id)), events]
    });
    let of_each: Vec<Value> = of_each.collect();
    let asked: [&[&str]; 8] = [
        &["interface", "list"],
        &["interface", "show", "fnac"],
        &["schedule", "list"],
        &["execution", "list", "--limit", "1000"],
        &["event", "list", "--stream", "interface/fnac"],
        &["event", "list", "--stream", "schedule/fnac/yearly"],
        &["execution", "list", "--status", "ko"],
        &["schedule", "slots", "fnac/yearly"],
    ];
    asked.iter().map(|arguments| daemon.json(arguments)).chain(of_each).collect()
}

fn interfaces_are_listed_and_own_their_schedules(daemon: &Daemon) {
    let listed = daemon.json(&["interface", "list"]);
    let ids: Vec<&str> = items(&listed).iter().map(id_of).collect();
    assert_eq!(ids, ["fnac", "stock"]);
    let fnac = daemon.json(&["interface", "show", "fnac"]);
    for (key, value) in [
        ("id", "fnac"),
        ("name", "FNAC sales"),
        ("type", "external-sales"),
        ("owner", "ticketing-ops"),
        ("timezone", "Europe/Paris"),
        ("state", "active"),
    ] {
        assert_eq!(fnac[key], value, "{key}");
    }
    assert_eq!(fnac["schedules"], json!(["by-hand", "yearly"]));
    assert_eq!(daemon.run(&["interface", "show", "nobody"]).status.code(), Some(3));

    let schedules = daemon.json(&["schedule", "list"]);
    let names: Vec<String> = items(&schedules).iter().map(full_name).collect();
    assert_eq!(names, ["fnac/by-hand", "fnac/yearly", "stock/count"]);
    assert_eq!(daemon.run(&["schedule", "run", "nobody/count"]).status.code(), Some(3));
}

fn run_now_answers_with_an_id_and_moves_no_slot(daemon: &Daemon) {
    let before = daemon.json(&["schedule", "show", "fnac/yearly"]);
    assert_eq!(before["next"].as_array().map(Vec::len), Some(1), "{before}");
    let started = daemon.json(&["schedule", "run", "fnac/yearly"]);
    let over = with_status(daemon, id_of(&started), "ok");
    assert_eq!((&over["trigger"], &over["slot"]), (&json!("manual"), &Value::Null));
    assert_eq!(daemon.json(&["schedule", "show", "fnac/yearly"])["next"], before["next"]);
    let ledger = daemon.json(&["schedule", "slots", "fnac/yearly"]);
    assert!(items(&ledger).is_empty(), "{ledger}");
}

/// In the log itself an execution's first event names its schedule, and the lists say the same.
fn every_execution_has_its_schedule(daemon: &Daemon) {
    let events = daemon.json(&["event", "list", "--after", "0", "--limit", "1000"]);
    let mut opened = BTreeMap::new();
    for event in items(&events) {
        let Some(id) = word(event, "stream").strip_prefix("execution/") else { continue };
        if event["type"] == "opened" {
            opened.insert(id, full_name(&event["data"]["schedule"]));
        }
        assert!(opened.contains_key(id), "nobody opened the execution of {event}");
    }
    assert_eq!(opened.len(), 2);
    let listed = daemon.json(&["execution", "list"]);
    let shown: BTreeMap<&str, String> =
        items(&listed).iter().map(|row| (id_of(row), full_name(row))).collect();
    assert_eq!(opened, shown);
    let schedules = daemon.json(&["schedule", "list"]);
    let known: BTreeSet<String> = items(&schedules).iter().map(full_name).collect();
    assert!(shown.values().all(|name| known.contains(name)), "{shown:?}");
}

/// The classes that can name an execution, with their required actions as the contract words them. A cascade only ever
/// points to one of these.
const ACTIONS: [(&str, &str); 4] = [
    ("External", "Run it again. If it fails again, contact the provider of the external system."),
    ("Configuration", "Check the configuration: credentials, address, permissions, settings."),
    ("Mapping", "Check the mappings and the record's data; correct them, then run it again."),
    (
        "Technical",
        "Unexpected technical error: contact support, with the export of this execution.",
    ),
];

/// S3-5, S3-6, S3-7, S3-8, S3-9, S3-10.
#[test]
fn an_operator_sees_at_once_what_went_wrong_and_whose_move_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = Daemon::with_files(folder.path(), &[("shop.toml", SHOP)]);
    daemon.start();
    for (class, action) in ACTIONS {
        a_class_tells_its_action(&daemon, class, action);
    }
    for arguments in [
        ["execution", "list", "--class", "fatal"],
        ["execution", "rerun", "--query", "class=fatal"],
    ] {
        assert_eq!(daemon.run(&arguments).status.code(), Some(2), "{arguments:?}");
    }
    the_first_error_of_ten_thousand_lines_is_one_call_away(&daemon);
    a_cascade_points_to_the_line_that_caused_it(&daemon);
    the_statuses_are_told_and_ko_is_red(&mut daemon);
}

fn a_class_tells_its_action(daemon: &Daemon, class: &str, action: &str) {
    let param = format!("class={class}");
    let (code, run) = ended(daemon, &["schedule", "run", "shop/broken", "--param", &param]);
    assert_eq!((code, &run["status"]), (Some(5), &json!("ko")), "{run}");
    assert_eq!(run["class"], class.to_lowercase());
    assert_eq!(run["first_error"]["text"], format!("{class}: broken"));
    assert_eq!(run["first_error"]["action"], action);
    let shown = text(&daemon.run(&["execution", "show", id_of(&run)]).stdout);
    assert!(shown.contains(&format!("{class}: broken")), "{shown}");
    assert!(shown.contains(action), "{shown}");
    error_rows_begin_with_their_type(daemon, id_of(&run), 2);
}

/// Number, instant, level, type indicator.
fn error_rows_begin_with_their_type(daemon: &Daemon, id: &str, rows: usize) {
    let row = r"^ *\d+ \S+ error   (External|Configuration|Mapping|Technical|Cascade): \S";
    let row = Regex::new(row).expect("an expression");
    let log = text(&daemon.run(&["execution", "log", id, "--errors"]).stdout);
    assert_eq!(log.lines().count(), rows, "{log}");
    assert!(log.lines().all(|line| row.is_match(line)), "{log}");
}

fn the_first_error_of_ten_thousand_lines_is_one_call_away(daemon: &Daemon) {
    let (code, run) = ended(daemon, &["schedule", "run", "shop/long"]);
    assert_eq!((code, &run["lines"]), (Some(5), &json!(10_001)));
    assert_eq!(run["first_error"]["line"], 7_001);
    let first = daemon.run(&["execution", "log", id_of(&run), "--errors", "--limit", "1"]);
    let first = text(&first.stdout);
    assert_eq!(first.lines().count(), 1, "{first}");
    assert!(first.contains("External: no answer"), "{first}");
}

fn a_cascade_points_to_the_line_that_caused_it(daemon: &Daemon) {
    let (code, run) = ended(daemon, &["schedule", "run", "shop/chain"]);
    assert_eq!((code, &run["class"]), (Some(5), &json!("external")), "{run}");
    let lines = lines_of(daemon, id_of(&run));
    let cascades: Vec<&Value> = lines.iter().filter(|line| line["class"] == "cascade").collect();
    assert_eq!(cascades.len(), 3, "{lines:?}");
    for cascade in cascades {
        let cause = number(cascade, "cascade_of");
        assert!(cause < number(cascade, "line"), "{cascade}");
        let cause = lines.iter().find(|line| number(line, "line") == cause).expect("it is there");
        assert_eq!((&cause["level"], &cause["class"]), (&json!("error"), &json!("external")));
        assert_eq!(cause["attempt"], cascade["attempt"]);
    }
    error_rows_begin_with_their_type(daemon, id_of(&run), 4);
}

fn the_statuses_are_told_and_ko_is_red(daemon: &mut Daemon) {
    let held = daemon.json(&["schedule", "run", "shop/held"]);
    with_status(daemon, id_of(&held), "running");
    let running = daemon.json(&["execution", "list", "--status", "running"]);
    assert_eq!(items(&running).iter().map(id_of).collect::<Vec<_>>(), [id_of(&held)]);
    std::fs::write(daemon.folder.join("go"), "").expect("a file");
    with_status(daemon, id_of(&held), "ok");

    let plain = text(&daemon.run(&["execution", "list"]).stdout);
    assert!(plain.contains("ko") && !plain.contains('\u{1b}'), "{plain:?}");
    // What a terminal gets.
    daemon.variables.push(("CLICOLOR_FORCE".to_owned(), "1".to_owned()));
    let red = text(&daemon.run(&["execution", "list", "--status", "ko"]).stdout);
    let mut rows = red.lines().skip(1);
    assert!(rows.all(|row| row.starts_with("\u{1b}[1m\u{1b}[31mko\u{1b}[0m")), "{red:?}");
    assert!(red.lines().count() > ACTIONS.len(), "{red:?}");
}

/// S3-13, S3-17.
#[test]
fn every_slot_runs_once_and_a_long_run_is_an_anomaly_while_it_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let monitor = Monitor::start();
    let file = CLOCK.replace("MONITOR", &monitor.address.to_string());
    let mut daemon = Daemon::with_files(folder.path(), &[("clock.toml", &file)]);
    daemon.start();
    a_long_run_is_told_while_it_goes_on(&daemon, &monitor);

    let two = || Some(started(&daemon)).filter(|slots| slots.len() >= 2);
    let before = until("two slots", two).len();
    daemon.kill();
    daemon.start();
    let more = || Some(started(&daemon)).filter(|slots| slots.len() >= before + 2);
    until("slots after the crash", more);
    daemon.json(&["schedule", "pause", "clock/tick"]);
    let slots = started(&daemon);
    let listed = daemon.json(&["execution", "list", "--schedule", "tick", "--limit", "1000"]);
    let ran: BTreeSet<(String, String)> = items(&listed)
        .iter()
        .map(|row| (word(row, "slot").to_owned(), id_of(row).to_owned()))
        .collect();
    assert_eq!(ran, slots, "the ledger and the executions tell the same");
    assert_eq!(ran.len(), items(&listed).len());
    let instants: BTreeSet<&String> = slots.iter().map(|(at, _)| at).collect();
    assert_eq!(instants.len(), slots.len(), "no slot has two executions: {slots:?}");
    assert!(instants.iter().all(|at| at.ends_with(".000Z")), "{instants:?}");
}

/// The slots that were started, each with its execution.
fn started(daemon: &Daemon) -> BTreeSet<(String, String)> {
    let ledger = daemon.json(&["schedule", "slots", "clock/tick", "--limit", "1000"]);
    items(&ledger)
        .iter()
        .filter(|row| row["outcome"] == "started")
        .map(|row| (word(row, "at").to_owned(), word(row, "execution").to_owned()))
        .collect()
}

fn a_long_run_is_told_while_it_goes_on(daemon: &Daemon, monitor: &Monitor) {
    let run = daemon.json(&["schedule", "run", "clock/slow"]);
    let id = id_of(&run);
    let notice = until("the anomaly's notice", || {
        let ping = monitor.wait_for("/notice");
        let notice: Value = serde_json::from_str(&ping.body).expect("a notice");
        (notice["notice"] == "anomaly").then_some(notice)
    });
    assert_eq!(notice["execution"]["id"], id);
    let shown = with_status(daemon, id, "running");
    assert_eq!(shown["anomaly"]["after_ms"], 1_000);
    std::fs::write(daemon.folder.join("go"), "").expect("a file");
    let over = with_status(daemon, id, "ok");
    assert_eq!(over["anomaly"], shown["anomaly"], "it is still told at the end");
    let stream = format!("execution/{id}");
    let seen = daemon.json(&["event", "list", "--stream", &stream, "--type", "anomaly-seen"]);
    assert_eq!(items(&seen).len(), 1, "{seen}");
}

const SECRET: &str = "t0p-s3cret-t0ken";

/// S3-4, S3-5, S3-15, S3-16.
#[test]
fn a_run_that_a_crash_interrupted_is_run_again_and_creates_nothing_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let desk = Provider::start(&[Reply::Silence]);
    let shop = Provider::start(&[Reply::Status(503), Reply::Status(503)]);
    let file = DESK
        .replace("AT_DESK", &desk.address.to_string())
        .replace("AT_SHOP", &shop.address.to_string());
    std::fs::write(folder.path().join("desk.token"), format!("{SECRET}\n")).expect("a file");
    let mut daemon = Daemon::with_files(folder.path(), &[("desk.toml", &file)]);
    daemon.start();
    each_call_is_a_line_without_secrets(&daemon, &shop);

    // The other side did what it was asked to, and its answer never came.
    let first = desk.next();
    daemon.json(&["schedule", "pause", "desk/create"]);
    let running = daemon.json(&["execution", "list", "--status", "running"]);
    assert_eq!(items(&running).len(), 1, "{running}");
    let id = id_of(&items(&running)[0]);
    daemon.kill();
    daemon.start();
    let before = with_status(&daemon, id, "ko");
    assert_eq!(before["cause"], "TEC-INTERRUPTED");
    assert_eq!(before["idempotency_key"], first.key);

    let (code, rerun) = ended(&daemon, &["execution", "rerun", id]);
    assert_eq!((code, &rerun["status"]), (Some(0), &json!("ok")), "{rerun}");
    let second = desk.next();
    assert_eq!((&second.key, &second.body), (&first.key, &first.body), "the same key and window");
    assert!(first.created && !second.created, "one creation");
    for key in ["slot", "params", "idempotency_key"] {
        assert_eq!(rerun[key], before[key], "{key}");
    }
    assert_eq!((&rerun["rerun_of"], &rerun["root"]), (&json!(id), &json!(id)));

    let after = daemon.json(&["execution", "show", id]);
    assert_eq!(after["reruns"], json!([rerun["id"]]));
    assert_eq!(after["solved_by"], rerun["id"]);
    for key in ["status", "class", "cause", "first_error", "ended_at", "lines", "attempts"] {
        assert_eq!(after[key], before[key], "the original stays as it was: {key}");
    }
}

fn each_call_is_a_line_without_secrets(daemon: &Daemon, shop: &Provider) {
    let (code, run) = ended(daemon, &["schedule", "run", "desk/read"]);
    assert_eq!((code, &run["attempts"]), (Some(0), &json!(3)), "{run}");
    for _ in 0..3 {
        let call = shop.next();
        assert!(call.head.starts_with("GET /sales?day=2"), "{}", call.head);
        assert!(call.head.contains(SECRET), "the other side gets it: {}", call.head);
    }
    let lines = lines_of(daemon, id_of(&run));
    let exchanges: Vec<&Value> =
        lines.iter().map(|line| &line["fields"]).filter(|f| f["direction"] == "out").collect();
    let statuses: Vec<Option<u64>> = exchanges.iter().map(|e| e["status"].as_u64()).collect();
    assert_eq!(statuses, [Some(503), Some(503), Some(200)], "one line for each call");
    for exchange in exchanges {
        assert_eq!(exchange["method"], "GET");
        assert_eq!(exchange["request_headers"]["authorization"], "***");
        assert!(exchange["duration_ms"].is_u64() && exchange["response_bytes"] == 2, "{exchange}");
    }
    let events = daemon.json(&["event", "list", "--limit", "1000"]);
    let told = format!("{lines:?}{events}{run}");
    assert!(!told.contains(SECRET), "{told}");
}

/// S2-8, S2-9.
#[test]
fn a_monitor_tells_a_run_that_failed_from_one_that_hangs_and_one_that_never_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let monitor = Monitor::start();
    // It answers, but not as a monitor does.
    let nobody = Provider::start(&[]);
    let file = WATCHED
        .replace("MONITOR", &monitor.address.to_string())
        .replace("NOBODY", &nobody.address.to_string());
    let mut daemon = Daemon::with_files(folder.path(), &[("watched.toml", &file)]);
    daemon.start();
    let hanging = daemon.json(&["schedule", "run", "watched/hanging"]);
    assert_eq!(ended(&daemon, &["schedule", "run", "watched/failing"]).0, Some(5));
    assert_eq!(ended(&daemon, &["schedule", "run", "watched/fine"]).0, Some(0));
    until("a slot of the schedule that is switched off", || {
        let ledger = daemon.json(&["schedule", "slots", "watched/absent"]);
        items(&ledger).iter().any(|row| row["reason"] == "disabled").then_some(())
    });

    let mut heard: BTreeMap<String, Vec<Ping>> = BTreeMap::new();
    for _ in 0..5 {
        let ping = monitor.next();
        let check = ping.path.split('/').nth(2).unwrap_or_default().to_owned();
        heard.entry(check).or_default().push(ping);
    }
    assert_eq!(paths(&heard, "fine"), ["/ping/fine/start", "/ping/fine"]);
    assert_eq!(paths(&heard, "failing"), ["/ping/failing/start", "/ping/failing/fail"]);
    assert_eq!(paths(&heard, "hanging"), ["/ping/hanging/start"], "it began and did not end");
    assert!(paths(&heard, "absent").is_empty(), "it never ran");
    let (start, fail) = (&heard["failing"][0], &heard["failing"][1]);
    assert_eq!(start.rid, fail.rid);
    assert!(fail.body.contains("nothing works\n"), "{}", fail.body);
    assert_eq!(heard["hanging"][0].rid, id_of(&hanging));
    std::fs::write(folder.path().join("go"), "").expect("a file");
    assert_eq!(monitor.wait_for("/ping/hanging").rid, id_of(&hanging));

    // A ping that does not count is on record, and the run is as good as any.
    assert_eq!(ended(&daemon, &["schedule", "run", "watched/unheard"]).0, Some(0));
    assert!(nobody.next().head.starts_with("POST /ping/unheard/start?rid="));
    let counted = r#"daybook_deadman_pings_total{kind="success",result="failed"} 1"#;
    until("the failed ping in the metrics", || {
        daemon.get("/metrics").lines().any(|line| line == counted).then_some(())
    });
}

fn paths<'a>(heard: &'a BTreeMap<String, Vec<Ping>>, check: &str) -> Vec<&'a str> {
    heard.get(check).into_iter().flatten().map(|ping| ping.path.as_str()).collect()
}

/// S2-7, S3-2.
#[test]
fn frequencies_come_from_the_environment_and_whatever_is_wrong_refuses_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("schedules/avni.toml");
    let mut daemon = Daemon::with_files(folder.path(), &[("avni.toml", AVNI)]);
    let variable = |job: &str, value: &str| (format!("DAYBOOK_AVNI_{job}_CRON"), value.to_owned());
    daemon.variables = vec![variable("MAIN", "* * * * * *"), variable("ERROR", "-")];
    daemon.start();
    let main = daemon.json(&["schedule", "show", "avni/main"]);
    assert_eq!((&main["state"], &main["expression"]), (&json!("active"), &json!("* * * * * *")));
    assert_eq!(daemon.json(&["schedule", "show", "avni/error"])["state"], "disabled");
    let ran = until("an execution of the new timing", || {
        let listed = daemon.json(&["execution", "list", "--schedule", "avni/main"]);
        items(&listed).first().cloned()
    });
    assert_eq!(ran["trigger"], "cron");
    daemon.kill();

    daemon.variables = vec![variable("MAIN", "every day")];
    refused(&mut daemon, &["$DAYBOOK_AVNI_MAIN_CRON", "`avni/main`"]);
    daemon.variables.clear();
    std::fs::write(&file, AVNI.replace("0 1 * * *", "61 1 * * *")).expect("a file");
    refused(&mut daemon, &["avni.toml:2:", "61 1 * * *"]);
    // A schedule outside of an interface's `schedules` is none.
    std::fs::write(&file, "[main]\ncron = \"0 1 * * *\"\ncommand = [\"true\"]\n").expect("a file");
    refused(&mut daemon, &["avni.toml:1:", "`main` is not a key of an interface"]);
    std::fs::write(&file, AVNI).expect("a file");
    daemon.start();
}

fn refused(daemon: &mut Daemon, words: &[&str]) {
    let output = daemon.try_start().expect_err("the start is refused");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    for word in words {
        assert!(said.contains(word), "{word}: {said}");
    }
}
