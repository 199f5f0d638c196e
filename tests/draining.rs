//! A daemon that is to end, on the real binary: what it waits for, what it leaves to the next start, and how it says so.

#[path = "support/asking.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod asking;
#[path = "support/provider.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod provider;
#[expect(dead_code, reason = "shared with other tests")]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use asking::{items, text, until, with_status};
use provider::{Provider, Reply};
use serde_json::Value;
use support::Daemon;

/// One that lasts until somebody opens its gate, one slot each second, and one that nobody answers.
const SHOP: &str = r#"
[schedules.gated]
manual = true
command = ["sh", "-c", "read line < GATE"]

[schedules.ticking]
every = "1s"
command = ["true"]

[schedules.calling]
manual = true
on_interrupt = "rerun"
http = { url = "http://ADDRESS/orders", method = "POST" }
"#;

/// A daemon, the gate of its command, and the other side of its calls.
fn shop(folder: &Path, replies: &[Reply]) -> (Daemon, PathBuf, Provider) {
    let gate = folder.join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().expect("it is installed").success());
    let provider = Provider::start(replies);
    let file = SHOP
        .replace("GATE", &gate.display().to_string())
        .replace("ADDRESS", &provider.address.to_string());
    let mut daemon = Daemon::with_files(folder, &[("shop.toml", &file)]);
    daemon.start();
    (daemon, gate, provider)
}

fn run(daemon: &Daemon, schedule: &str) -> String {
    let run = daemon.json(&["schedule", "run", schedule]);
    run["id"].as_str().expect("an id").to_owned()
}

/// The newest event of this kind in the daemon's stream.
fn newest(daemon: &Daemon, kind: &str) -> Value {
    let events = daemon.json(&["event", "list", "--stream", "daemon", "--type", kind]);
    items(&events).first().expect("such an event").clone()
}

/// Why the daemon is not ready.
fn reasons(daemon: &Daemon) -> Vec<String> {
    let ready: Value = serde_json::from_str(&daemon.get("/readyz")).expect("JSON");
    let code = |reason: &Value| reason["code"].as_str().expect("a code").to_owned();
    ready["reasons"].as_array().expect("a list").iter().map(code).collect()
}

#[test]
fn a_drain_lets_run_what_runs_and_slots_wait_says_so_and_ends_the_daemon() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut daemon, gate, _) = shop(folder.path(), &[]);
    let gated = run(&daemon, "shop/gated");
    with_status(&daemon, &gated, "running");
    let drained = daemon.json(&["drain"]);
    assert_eq!(drained["draining"]["deadline"], Value::Null);
    assert_eq!(reasons(&daemon), ["draining"]);
    assert_eq!(daemon.json(&["status"])["draining"], drained["draining"]);
    let doctor = daemon.json(&["doctor"]);
    let check = |check: &&Value| check["name"] == "draining" && check["state"] == "warn";
    assert!(doctor["checks"].as_array().expect("a list").iter().any(|one| check(&one)), "{doctor}");
    let refused = daemon.run(&["schedule", "run", "shop/gated", "--force"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("the daemon is draining: it starts nothing"));

    let waiting = until("a slot waits", || {
        let queued = daemon.json(&["execution", "list", "--status", "queued"]);
        Some(items(&queued).first()?["id"].as_str().expect("an id").to_owned())
    });
    let late = daemon.run(&["drain", "--wait", "--timeout", "1s"]);
    assert_eq!(late.status.code(), Some(6), "{}", text(&late.stderr));
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| daemon.run(&["drain", "--wait", "--deadline", "1h"]));
        until("it is asked again", || {
            (daemon.json(&["status"])["draining"]["deadline"] != Value::Null).then_some(())
        });
        std::fs::write(&gate, "go on\n").expect("somebody reads");
        let waited = waits.join().expect("no panic");
        assert!(waited.status.success(), "{}", text(&waited.stderr));
    });
    assert_eq!(daemon.ended().code(), Some(0));

    daemon.start();
    assert_eq!(daemon.json(&["execution", "show", &gated])["status"], "ok");
    let late = with_status(&daemon, &waiting, "ok");
    let slot = late["slot"].as_str().expect("an instant");
    let told = daemon.json(&["schedule", "why", "shop/ticking", "--at", slot]);
    let told = told["text"].as_str().expect("a text");
    assert!(told.contains("the daemon was asked to end, and began anew"), "{told}");
    assert_eq!(reasons(&daemon), Vec::<String>::new());
    let asked = newest(&daemon, "drain-asked");
    assert_eq!(asked["data"]["by"], "drain");
    let stopped = newest(&daemon, "daemon-stopped");
    assert_eq!(
        (&stopped["data"]["reason"], &stopped["data"]["running"]),
        (&"drain".into(), &0.into())
    );
    assert!(asked["position"].as_u64() < stopped["position"].as_u64());
}

/// A call has nobody but the daemon: it is broken off, closed, and run again by the next start.
#[test]
fn at_the_deadline_calls_are_interrupted_and_run_again_by_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut daemon, _, provider) = shop(folder.path(), &[Reply::Silence]);
    let call = run(&daemon, "shop/calling");
    provider.next();
    daemon.json(&["drain", "--deadline", "1h"]);
    let sooner = daemon.json(&["drain", "--deadline", "now"]);
    assert_ne!(sooner["draining"]["deadline"], Value::Null);
    assert_eq!(daemon.ended().code(), Some(0));

    daemon.start();
    let shown = daemon.json(&["execution", "show", &call]);
    assert_eq!((&shown["status"], &shown["cause"]), (&"ko".into(), &"TEC-INTERRUPTED".into()));
    provider.next();
    let again = shown["reruns"][0].as_str().expect("a re-run");
    let again = with_status(&daemon, again, "ok");
    assert_eq!(again["rerun_of"], call.as_str());
    let events = daemon.json(&["event", "list", "--stream", &format!("execution/{call}")]);
    let closed = items(&events).iter().find(|event| event["type"] == "closed");
    let stopped = newest(&daemon, "daemon-stopped")["position"].as_u64();
    assert!(closed.expect("it is")["position"].as_u64() < stopped, "the stop closes it");
}

#[test]
fn a_first_signal_waits_and_a_second_one_ends_the_daemon_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut daemon, _, provider) = shop(folder.path(), &[Reply::Silence]);
    daemon.kill();
    daemon.variables.push(("DAYBOOK_DRAIN_DEADLINE".to_owned(), "1h".to_owned()));
    daemon.start();
    run(&daemon, "shop/calling");
    provider.next();
    daemon.signal("TERM");
    until("it drains", || reasons(&daemon).contains(&"draining".to_owned()).then_some(()));
    daemon.signal("INT");
    assert_eq!(daemon.ended().code(), Some(0));
    daemon.start();
    let asked = newest(&daemon, "drain-asked");
    assert_eq!(asked["data"]["by"], "SIGTERM");
    assert_ne!(asked["data"]["deadline"], Value::Null);
    assert_eq!(newest(&daemon, "daemon-stopped")["data"]["reason"], "SIGTERM");
}
