//! The main job, end to end, on the real binary: a cron slot goes red, an operator finds out why, mends it and runs it
//! again by id; a monitor and the metrics tell the same story; a crash is told as one.

#[path = "../benches/common/history.rs"]
mod history;
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use daybook::domain::event::Actor;
use daybook::store::journal::{JournalLog, JournalOptions};
use daybook::store::{Append, EventLog, Expected, Links, StreamAppend};
use serde_json::Value;
use support::{Daemon, Monitor, PATIENCE};
use tokio::time::Instant;

fn shop(monitor: &Monitor) -> String {
    format!(
        r#"
name = "Ticket shop"
owner = "ticketing-ops"
timezone = "Europe/Paris"

[schedules.import-sales]
cron = "* * * * * *"
shell = '''
echo "reading sales"
if ! grep -q FNAC-77 mapping.csv; then
  echo "ERROR Mapping: no product for code FNAC-77" >&2
  exit 1
fi
echo "2 sales imported"
'''
ping = "http://{address}/ping/import"

[schedules.slow]
manual = true
shell = "echo started; exec sleep 20"
ping = "http://{address}/ping/slow"
"#,
        address = monitor.address
    )
}

/// S3-5, S3-7, S3-9, S3-13, S3-14, S3-15, S2-8, S2-9.
#[test]
fn a_red_slot_is_found_mended_and_run_again_by_its_id() {
    let folder = tempfile::tempdir().expect("a folder");
    let monitor = Monitor::start();
    let mut daemon = Daemon::with_files(folder.path(), &[("shop.toml", &shop(&monitor))]);
    std::fs::write(folder.path().join("mapping.csv"), "FNAC-12;Matinee\n").expect("a file");
    daemon.start();

    // The slot fires by itself; the monitor hears of the start before the failure of the same run.
    let start = monitor.wait_for("/ping/import/start");
    let fail = monitor.wait_for("/ping/import/fail");
    assert_eq!(start.rid, fail.rid);
    assert!(fail.body.contains("no product for code FNAC-77"), "{}", fail.body);
    daemon.json(&["schedule", "pause", "shop/import-sales", "--note", "mending"]);

    // What failed, why, whose move is it?
    let red = daemon.json(&["execution", "list", "--status", "ko"]);
    let oldest = red["items"].as_array().expect("a list").last().expect("one is red").clone();
    let id = oldest["id"].as_str().expect("an id").to_owned();
    assert_eq!(oldest["trigger"], "cron");
    assert_eq!(oldest["class"], "mapping");
    let shown = daemon.json(&["execution", "show", &id]);
    assert_eq!(shown["first_error"]["class"], "mapping");
    assert_eq!(
        shown["first_error"]["action"],
        "Check the mappings and the record's data; correct them, then run it again."
    );
    let log = daemon.run(&["execution", "log", &id, "--errors"]);
    let errors = String::from_utf8(log.stdout).expect("text");
    assert!(
        errors.lines().next().expect("a line").contains("no product for code FNAC-77"),
        "{errors}"
    );
    assert_eq!(daemon.json(&["interface", "show", "shop"])["red"], true);

    // May I run it again? Yes, by its id, and it is solved.
    std::fs::write(folder.path().join("mapping.csv"), "FNAC-77;Concert\n").expect("a file");
    let rerun = daemon.json(&["execution", "rerun", &id, "--wait"]);
    assert_eq!(rerun["status"], "ok");
    assert_eq!(rerun["rerun_of"], id.as_str());
    assert_eq!(rerun["idempotency_key"], shown["idempotency_key"]);
    assert_eq!(rerun["slot"], shown["slot"]);
    let rerun_id = rerun["id"].as_str().expect("an id").to_owned();
    let solved = daemon.json(&["execution", "show", &id]);
    assert_eq!(solved["solved_by"], rerun_id.as_str());
    assert_eq!(solved["status"], "ko", "the original stays as it was");
    assert_eq!(daemon.json(&["interface", "show", "shop"])["red"], false);
    let mut of_rerun = Vec::new();
    while of_rerun.len() < 2 {
        let ping = monitor.next();
        if ping.rid == rerun_id {
            of_rerun.push(ping.path);
        }
    }
    assert_eq!(of_rerun, ["/ping/import/start", "/ping/import"]);
    check_metrics(&daemon.get("/metrics"));
}

/// The metrics tell of the same runs, and Prometheus's own tool finds nothing to say.
fn check_metrics(text: &str) {
    let counted = |line: &str| text.lines().any(|l| l.starts_with(line) && !l.ends_with(" 0"));
    assert!(
        counted(
            r#"daybook_executions_total{interface="shop",result="ko",schedule="import-sales",trigger="cron"}"#
        ),
        "{text}"
    );
    assert!(
        counted(
            r#"daybook_executions_total{interface="shop",result="ok",schedule="import-sales",trigger="rerun"}"#
        ),
        "{text}"
    );
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("promtool runs; Debian's package `prometheus` brings it");
    std::io::Write::write_all(&mut promtool.stdin.take().expect("piped"), text.as_bytes())
        .expect("it reads");
    let output = promtool.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// S3-5, S2-8: the daemon is killed in the middle; the next one tells the truth about it.
#[test]
fn an_execution_that_a_crash_interrupted_is_told_as_interrupted() {
    let folder = tempfile::tempdir().expect("a folder");
    let monitor = Monitor::start();
    let text = shop(&monitor).replace("* * * * * *", "0 0 1 1 *");
    let mut daemon = Daemon::with_files(folder.path(), &[("shop.toml", &text)]);
    daemon.start();
    let run = daemon.json(&["schedule", "run", "shop/slow"]);
    let id = run["id"].as_str().expect("an id").to_owned();
    assert_eq!(monitor.wait_for("/ping/slow/start").rid, id);
    daemon.kill();

    daemon.start();
    let shown = daemon.json(&["execution", "show", &id]);
    assert_eq!(shown["status"], "ko");
    assert_eq!(shown["class"], "technical");
    assert_eq!(shown["cause"], "TEC-INTERRUPTED");
    assert_eq!(monitor.wait_for("/ping/slow/fail").rid, id);
    let events = daemon.json(&["event", "list", "--stream", &format!("execution/{id}")]);
    let kinds: Vec<&str> = events["items"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|event| event["type"].as_str())
        .collect();
    assert!(kinds.contains(&"closed"), "{kinds:?}");
    let verified: Value = daemon.json(&["store", "verify"]);
    assert_eq!(verified["ok"], true, "{verified}");
}

/// The daemon is asked to stop while a command runs on: it ends the whole tree, and says so before it is gone.
#[test]
fn what_outlives_the_grace_of_a_stop_is_ended_and_told_as_interrupted() {
    let folder = tempfile::tempdir().expect("a folder");
    let monitor = Monitor::start();
    let text = shop(&monitor)
        .replace("* * * * * *", "0 0 1 1 *")
        .replace("exec sleep 20", "(setsid sleep 31171 &) ; sleep 31171; true");
    let mut daemon = Daemon::with_files(folder.path(), &[("shop.toml", &text)]);
    daemon.variables.push(("DAYBOOK_GRACE".to_owned(), "1s".to_owned()));
    daemon.start();
    let run = daemon.json(&["schedule", "run", "shop/slow"]);
    let id = run["id"].as_str().expect("an id").to_owned();
    assert_eq!(monitor.wait_for("/ping/slow/start").rid, id);
    stop(&mut daemon);
    let of_the_command = |process: &Path| {
        std::fs::read(process.join("cmdline")).is_ok_and(|line| line == b"sleep\x0031171\0")
    };
    assert_eq!(processes(of_the_command), Vec::<PathBuf>::new());

    daemon.start();
    let shown = daemon.json(&["execution", "show", &id]);
    assert_eq!(shown["status"], "ko");
    assert_eq!(shown["cause"], "TEC-INTERRUPTED");
    let closed = newest(&daemon, &format!("execution/{id}"), "closed");
    assert!(closed < newest(&daemon, "daemon", "daemon-stopped"), "it is closed by the stop");
}

/// Contract, rule 2: a failed sync acknowledges nothing and ends the daemon; what was acknowledged before is there.
#[test]
fn a_disk_that_fails_ends_the_daemon_and_takes_nothing_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let (library, flag) = (failing_sync(folder.path()), folder.path().join("broken"));
    let text = "[schedules.quick]\nmanual = true\ncommand = [\"true\"]\n";
    let mut daemon = Daemon::with_files(folder.path(), &[("shop.toml", text)]);
    for (name, path) in [("LD_PRELOAD", &library), ("FAILING_SYNC", &flag)] {
        daemon.variables.push((name.to_owned(), path.display().to_string()));
    }
    daemon.start();
    let run = ["schedule", "run", "shop/quick"];
    let ok = daemon.run(&[&run[..], &["--wait"]].concat());
    assert!(ok.status.success(), "{ok:?}");
    let before = daemon.json(&["execution", "list"]);

    std::fs::write(&flag, "").expect("a file");
    let refused = daemon.run(&run);
    assert!(!refused.status.success(), "{refused:?}");
    let end = Instant::now() + PATIENCE;
    // Nobody tells it to: it ends by itself, after which nobody answers.
    while daemon.run(&["status"]).status.code() != Some(8) {
        assert!(Instant::now() < end, "the daemon goes on without a disk");
    }
    daemon.kill();

    std::fs::remove_file(&flag).expect("a file");
    daemon.start();
    assert_eq!(daemon.json(&["store", "verify"])["ok"], true);
    let listed = daemon.json(&["execution", "list"]);
    let kept = listed["items"].as_array().expect("a list");
    assert!(kept.contains(&before["items"][0]), "{listed}");
}

/// Builds a disk whose flushes fail.
fn failing_sync(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/story/failing_sync.c");
    let library = folder.join("failing_sync.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).args([&library, &source]).arg("-ldl");
    let built = compiler.status().expect("a C compiler; Debian's `build-essential` brings one");
    assert!(built.success());
    library
}

/// Contract, rule 2: the index is folded anew while slots run, and until then the lists say so.
#[test]
fn slots_run_while_the_index_of_a_long_history_is_folded_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "[schedules.tick]\ncron = \"* * * * * *\"\ncommand = [\"true\"]\n";
    let mut daemon = Daemon::with_files(folder.path(), &[("shop.toml", text)]);
    write_history(&folder.path().join("data/journal"), 60_000);
    daemon.start();
    let mut while_rebuilding = Vec::new();
    let end = Instant::now() + PATIENCE;
    while daemon.get("/readyz").contains("rebuilding") {
        while_rebuilding.push(started(&daemon.get("/metrics")));
        assert!(Instant::now() < end, "the index is never complete");
    }
    let (first, last) = (while_rebuilding.first(), while_rebuilding.last());
    assert!(first < last, "no slot started while the index was folded: {while_rebuilding:?}");
    let listed = daemon.json(&["execution", "list", "--interface", "interface-0", "--limit", "1"]);
    assert_eq!(listed["items"][0]["status"], "ok");
}

/// Slots of `shop/tick` that were started, by the metrics.
fn started(metrics: &str) -> u64 {
    let row =
        r#"daybook_slots_total{interface="shop",outcome="started",reason="",schedule="tick"} "#;
    let number = metrics.lines().find_map(|line| line.strip_prefix(row)).expect("it is counted");
    number.parse().expect("a number")
}

/// Writes the first `events` of a made-up history, and nothing that is folded from it.
fn write_history(journal: &Path, events: u64) {
    std::fs::create_dir_all(journal).expect("a folder");
    let (log, _) = JournalLog::open(JournalOptions::new(journal)).expect("a journal");
    let history = history::History::made_up();
    let mut tickets = Vec::new();
    for execution in 0..events / history::PER_EXECUTION {
        let first = execution * history::PER_EXECUTION;
        let story = (1..=history::PER_EXECUTION).map(|step| history.event(first + step));
        let streams: Vec<_> = story
            .map(|event| StreamAppend {
                expected: if event.version == 1 { Expected::Fresh } else { Expected::Any },
                stream: event.stream,
                events: vec![event.event],
                links: Links::default(),
            })
            .collect();
        let at = history.event(first + 1).at;
        tickets.push(log.append(Append { streams, at, actor: Actor::Daybook }));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let newest = runtime.block_on(tickets.pop().expect("one at least"));
    assert_eq!(newest.expect("it is on disk").last.0, events);
    log.close();
}

/// The position of the newest event of this type in a stream.
fn newest(daemon: &Daemon, stream: &str, kind: &str) -> u64 {
    let events = daemon.json(&["event", "list", "--stream", stream]);
    let mut events = events["items"].as_array().expect("a list").iter();
    let found = events.find(|event| event["type"] == kind).expect("such an event");
    found["position"].as_u64().expect("a number")
}

/// Asks the daemon to end, as a service manager does, and waits until it has.
fn stop(daemon: &mut Daemon) {
    let folder = daemon.folder.canonicalize().expect("a folder");
    let is_daemon = |process: &Path| {
        let link = |name| std::fs::read_link(process.join(name)).unwrap_or_default();
        link("exe") == Path::new(env!("CARGO_BIN_EXE_daybook")) && link("cwd") == folder
    };
    let found = processes(is_daemon);
    assert_eq!(found.len(), 1, "{found:?}");
    let process = &found[0];
    let pid = process.file_name().expect("its number");
    assert!(Command::new("kill").arg("-TERM").arg(pid).status().expect("it runs").success());
    let end = Instant::now() + PATIENCE;
    // Each question takes a while; one that is not answered says that the daemon is about to be gone.
    while daemon.run(&["status"]).status.success() || is_daemon(process) {
        assert!(Instant::now() < end, "the daemon does not end");
    }
    daemon.kill();
}

/// The processes of this machine that are so, as folders of `/proc`.
fn processes(are_so: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let all = std::fs::read_dir("/proc").expect("a system that has it").map_while(Result::ok);
    all.map(|entry| entry.path()).filter(|process| are_so(process)).collect()
}
