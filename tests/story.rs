//! The main job, end to end, on the real binary: a cron slot goes red, an operator finds out why, mends it and runs it
//! again by id; a monitor and the metrics tell the same story; a crash is told as one.

#[path = "../benches/common/history.rs"]
mod history;
#[expect(dead_code, reason = "shared with other tests")]
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

/// S3-5, S2-8: everything is killed in the middle; the next daemon tells the truth about it.
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
    daemon.crash();

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

/// A command that is deaf to TERM, with a child in a session of its own and, where `ORPHAN` is given, one that no parent,
/// group or marker tells of.
const DEAF: &str = r#"
[schedules.deaf]
manual = true
on_interrupt = "ko"
shell = """
WAIT
ORPHAN
trap '' TERM
setsid sleep 31181 >/dev/null 2>&1 &
exec sleep 31182
"""

[schedules.quick]
manual = true
command = ["true"]
"#;

/// Contract, section 3: whose command is still there is not over, and does not run beside itself; all others run meanwhile.
#[test]
fn what_a_killed_runner_left_running_is_found_by_its_cgroup_while_others_run() {
    let wait = "while ! grep -q '0::.*/daybook-' /proc/$$/cgroup; do :; done";
    let orphan = "(setsid env -i sleep 31183 >/dev/null 2>&1 &)";
    let text =
        DEAF.replace("WAIT", wait).replace("ORPHAN", orphan).replace("sleep 311", "sleep 312");
    let lines = ["sleep 31281", "sleep 31282", "sleep 31283"];
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = Daemon::with_files(folder.path(), &[("shop.toml", &text)]);
    daemon.start();
    let found = process_trees(&daemon);
    let Some(cgroup) = found.strip_prefix("each command has a cgroup of its own in `") else {
        eprintln!("not tested: {found}");
        return;
    };
    let cgroup = PathBuf::from(cgroup.trim_end_matches('`'));
    let id = a_killed_daemon_leaves(&mut daemon, &lines);
    assert_eq!(processes(runs(lines[2])), Vec::<PathBuf>::new(), "it hears TERM, and was asked");
    let of_the_execution = |entry: &std::fs::DirEntry| {
        entry.file_name().to_str().is_some_and(|name| name.contains(&id))
    };
    let left = std::fs::read_dir(cgroup).expect("it is there").map_while(Result::ok);
    assert!(!left.into_iter().any(|entry| of_the_execution(&entry)), "its cgroup is removed");
}

#[test]
fn what_a_killed_runner_left_running_is_found_by_its_marker_while_others_run() {
    let text = DEAF.replace("WAIT", "").replace("ORPHAN", "");
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = Daemon::with_files(folder.path(), &[("shop.toml", &text)]);
    daemon.variables.push(("DAYBOOK_CGROUPS".to_owned(), "false".to_owned()));
    daemon.start();
    let found = process_trees(&daemon);
    assert_eq!(
        found,
        "by parents and markers in /proc, without cgroups: the setting `cgroups` is false"
    );
    a_killed_daemon_leaves(&mut daemon, &["sleep 31181", "sleep 31182"]);
}

/// Kills the daemon and its runner while `shop/deaf` runs, of which the first two of `lines` are deaf; gives the execution's id.
fn a_killed_daemon_leaves(daemon: &mut Daemon, lines: &[&str]) -> String {
    daemon.variables.push(("DAYBOOK_GRACE".to_owned(), "10m".to_owned()));
    let run = daemon.json(&["schedule", "run", "shop/deaf"]);
    let id = run["id"].as_str().expect("an id").to_owned();
    until("the command runs", || lines.iter().all(|line| !processes(runs(line)).is_empty()));
    daemon.crash();

    daemon.start();
    let status = |daemon: &Daemon| daemon.json(&["execution", "show", &id])["status"].clone();
    assert_eq!(status(daemon), "running");
    let quick = daemon.run(&["schedule", "run", "shop/quick", "--wait"]);
    assert!(quick.status.success(), "{quick:?}");
    let again = daemon.run(&["schedule", "run", "shop/deaf"]);
    assert_eq!(again.status.code(), Some(7), "it does not run beside itself: {again:?}");
    let deaf = &lines[..2];
    for process in deaf.iter().flat_map(|line| processes(runs(line))) {
        let pid = process.file_name().expect("its number").to_owned();
        assert!(Command::new("kill").arg("-KILL").arg(pid).status().expect("it runs").success());
    }
    until("it is over", || status(daemon) != "running");
    let shown = daemon.json(&["execution", "show", &id]);
    assert_eq!((&shown["status"], &shown["cause"]), (&"ko".into(), &"TEC-INTERRUPTED".into()));
    let log = daemon.run(&["execution", "log", &id]).stdout;
    let log = String::from_utf8_lossy(&log);
    for line in lines {
        assert!(log.contains(line), "{line} is named: {log}");
    }
    assert!(log.contains("ran on after the runner had ended"), "{log}");
    id
}

/// What the doctor says of process trees.
fn process_trees(daemon: &Daemon) -> String {
    let doctor = daemon.json(&["doctor"]);
    let mut checks = doctor["checks"].as_array().expect("a list").iter();
    let found = checks.find(|check| check["name"] == "process trees").expect("such a check");
    found["detail"].as_str().expect("a text").to_owned()
}

/// Whether a process has this command line.
fn runs(line: &str) -> impl Fn(&Path) -> bool + use<> {
    let line = format!("{}\0", line.replace(' ', "\0")).into_bytes();
    move |process| std::fs::read(process.join("cmdline")).is_ok_and(|found| found == line)
}

/// Waits until it is so. Each question takes a while.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}: it does not come to that");
    }
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

/// The processes of this machine that are so, as folders of `/proc`.
fn processes(are_so: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let all = std::fs::read_dir("/proc").expect("a system that has it").map_while(Result::ok);
    all.map(|entry| entry.path()).filter(|process| are_so(process)).collect()
}
