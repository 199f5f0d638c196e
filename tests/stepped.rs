//! The real binary under a clock that is set: daylight saving, corrections, and time while it was down.
//!
//! Only a build with debug assertions takes its time from a file.
#![cfg(debug_assertions)]

#[path = "support/asking.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod asking;
#[expect(dead_code, reason = "shared with other tests")]
mod support;

use std::path::Path;

use asking::{ended, id_of, items, number, text, until, word};
use serde_json::Value;
use support::Daemon;

/// A daemon whose clock shows `at`.
fn daemon(folder: &Path, at: &str, schedules: &str) -> Daemon {
    let text = format!("timezone = \"Europe/Paris\"\n{schedules}");
    let mut daemon = Daemon::with_files(folder, &[("shop.toml", &text)]);
    set(folder, at);
    let clock = folder.join("clock").to_string_lossy().into_owned();
    daemon.variables.push(("TEST_CLOCK".to_owned(), clock));
    daemon.start();
    daemon
}

/// Sets the clock. In one step: a half written instant would be another one.
fn set(folder: &Path, at: &str) {
    let fresh = folder.join("clock.new");
    std::fs::write(&fresh, at).expect("written");
    std::fs::rename(fresh, folder.join("clock")).expect("renamed");
}

/// `2026-03-29 01:00:00 started` for each slot, oldest first.
fn ledger(daemon: &Daemon, schedule: &str) -> Vec<String> {
    let page = daemon.json(&["schedule", "slots", schedule, "--limit", "1000"]);
    let row = |row: &Value| {
        let at: String = word(row, "at").chars().take(19).collect();
        let what = row["reason"].as_str().unwrap_or_else(|| word(row, "outcome"));
        format!("{} {what}", at.replace('T', " "))
    };
    items(&page).iter().rev().map(row).collect()
}

/// Waits for a slot with this outcome or reason.
fn wait_for(daemon: &Daemon, schedule: &str, slot: &str) -> Vec<String> {
    until(slot, || {
        let ledger = ledger(daemon, schedule);
        ledger.iter().any(|row| row == slot).then_some(ledger)
    })
}

/// Waits until nothing runs: what runs would be in the way of the next slot.
fn at_rest(daemon: &Daemon) {
    until("rest", || {
        let status = daemon.json(&["status"]);
        (status["running"] == 0 && status["queued"] == 0).then_some(())
    });
}

/// Waits until the daemon has seen its clock being set `times` times.
fn stepped(daemon: &Daemon, times: usize) {
    until("a step of the clock", || {
        let events = daemon.json(&["event", "list", "--type", "clock-stepped"]);
        (items(&events).len() == times).then_some(())
    });
}

#[test]
fn a_reading_that_does_not_exist_runs_once_right_after_the_gap() {
    let folder = tempfile::tempdir().expect("a folder");
    let schedules = "[schedules.night]\ncron = \"30 2 * * *\"\ncommand = [\"true\"]\n";
    let daemon = daemon(folder.path(), "2026-03-29T00:59:58Z", schedules);
    let rows = wait_for(&daemon, "shop/night", "2026-03-29 01:00:00 started");
    assert_eq!(rows, ["2026-03-29 01:00:00 started"]);
    let told = daemon.json(&["schedule", "why", "shop/night", "--at", "2026-03-29T01:00:00Z"]);
    assert!(word(&told, "text").contains("was started on time"), "{told}");
}

#[test]
fn a_repeated_reading_runs_on_the_first_pass_only_unless_both_are_wanted() {
    let folder = tempfile::tempdir().expect("a folder");
    let schedules = "[schedules.once]\ncron = \"30 2 * * *\"\ncommand = [\"true\"]\n\
        [schedules.twice]\ncron = \"30 2 * * *\"\ncommand = [\"true\"]\ndst = { fold = \"both\" }\n";
    let daemon = daemon(folder.path(), "2026-10-25T00:29:58Z", schedules);
    wait_for(&daemon, "shop/once", "2026-10-25 00:30:00 started");
    set(folder.path(), "2026-10-25T01:29:58Z");
    wait_for(&daemon, "shop/twice", "2026-10-25 01:30:00 started");
    assert_eq!(ledger(&daemon, "shop/once"), ["2026-10-25 00:30:00 started"]);
    let twice = ["2026-10-25 00:30:00 started", "2026-10-25 01:30:00 started"];
    assert_eq!(ledger(&daemon, "shop/twice"), twice);
}

#[test]
fn slots_that_the_clock_jumps_over_are_caught_up_or_missed_and_none_runs_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let schedules = "[schedules.last]\ncron = \"*/10 * * * *\"\ncommand = [\"true\"]\n\
        [schedules.none]\ncron = \"*/10 * * * *\"\ncommand = [\"true\"]\ncatch_up = { mode = \"none\" }\n";
    let daemon = daemon(folder.path(), "2026-11-22T11:59:58Z", schedules);
    wait_for(&daemon, "shop/last", "2026-11-22 12:00:00 started");
    at_rest(&daemon);
    set(folder.path(), "2026-11-22T12:25:00Z");
    let rows = wait_for(&daemon, "shop/last", "2026-11-22 12:20:00 started");
    assert_eq!(rows[1..], ["2026-11-22 12:10:00 coalesced", "2026-11-22 12:20:00 started"]);
    let rows = wait_for(&daemon, "shop/none", "2026-11-22 12:20:00 clock");
    assert_eq!(rows[1..], ["2026-11-22 12:10:00 clock", "2026-11-22 12:20:00 clock"]);
    let told = daemon.json(&["schedule", "why", "shop/none", "--at", "2026-11-22T12:10:00Z"]);
    assert!(word(&told, "text").contains("and passed over it"), "{told}");

    at_rest(&daemon);
    // By an hour: what was decided comes again on the clock, and nothing of it runs again.
    set(folder.path(), "2026-11-22T11:59:59Z");
    stepped(&daemon, 2);
    set(folder.path(), "2026-11-22T12:29:59Z");
    let rows = wait_for(&daemon, "shop/last", "2026-11-22 12:30:00 started");
    assert_eq!(rows.len(), 4, "{rows:?}");
    at_rest(&daemon);

    // By more than three hours: the schedule goes on from there, and what ran does not run again.
    set(folder.path(), "2026-11-22T08:09:59Z");
    wait_for(&daemon, "shop/last", "2026-11-22 08:10:00 started");
    at_rest(&daemon);
    set(folder.path(), "2026-11-22T11:59:59Z");
    stepped(&daemon, 5);
    set(folder.path(), "2026-11-22T12:39:59Z");
    let rows = wait_for(&daemon, "shop/last", "2026-11-22 12:40:00 started");
    let noon = rows.iter().filter(|row| *row == "2026-11-22 12:00:00 started").count();
    assert_eq!(noon, 1, "{rows:?}");
}

#[test]
fn time_while_it_was_down_is_accounted_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let schedules = "[schedules.hourly]\ncron = \"0 * * * *\"\ncommand = [\"true\"]\n\
        [schedules.once]\nat = \"2026-11-22T15:30\"\ncommand = [\"true\"]\n\
        [schedules.all]\ncron = \"0 * * * *\"\ncommand = [\"true\"]\ncatch_up = { mode = \"all\", max = 2 }\n";
    let mut daemon = daemon(folder.path(), "2026-11-22T11:59:58Z", schedules);
    wait_for(&daemon, "shop/hourly", "2026-11-22 12:00:00 started");
    daemon.kill();
    set(folder.path(), "2026-11-22T15:40:00Z");
    daemon.start();
    let rows = wait_for(&daemon, "shop/hourly", "2026-11-22 15:00:00 started");
    assert_eq!(rows[1..3], ["2026-11-22 13:00:00 coalesced", "2026-11-22 14:00:00 coalesced"]);
    let rows = wait_for(&daemon, "shop/all", "2026-11-22 15:00:00 started");
    assert_eq!(
        rows[1..],
        ["2026-11-22 13:00:00 max", "2026-11-22 14:00:00 started", "2026-11-22 15:00:00 started"]
    );
    // 15:30 in Paris was 14:30.
    assert_eq!(wait_for(&daemon, "shop/once", "2026-11-22 14:30:00 started").len(), 1);
    let told = daemon.json(&["schedule", "why", "shop/hourly", "--at", "2026-11-22T15:00:00Z"]);
    let text = word(&told, "text");
    assert!(
        text.contains("40m late") && text.contains("The daemon was not running then"),
        "{text}"
    );
    let told = daemon.json(&["schedule", "why", "shop/hourly", "--at", "2026-11-22T13:00:00Z"]);
    let text = word(&told, "text");
    assert!(text.contains("The daemon was not running from 2026-11-22T13:00:0"), "{text}");
    assert!(text.contains("Slot 2026-11-22T16:00:00+01:00 was caught up in its place"), "{text}");
}

/// Zone data with one zone, Paris, that follows the rules of `of`.
fn zone_data(folder: &Path, version: &str, of: &str) {
    std::fs::create_dir_all(folder.join("Europe")).expect("a folder");
    std::fs::copy(format!("/usr/share/zoneinfo/{of}"), folder.join("Europe/Paris"))
        .expect("copied");
    std::fs::write(folder.join("tzdata.zi"), format!("# version {version}\n")).expect("written");
}

#[test]
fn zone_data_that_changed_tells_at_the_start_which_slots_moved() {
    let folder = tempfile::tempdir().expect("a folder");
    let zones = folder.path().join("zones");
    zone_data(&zones, "2026a", "Europe/Paris");
    let schedules = "[schedules.noon]\ncron = \"0 12 * * *\"\ncommand = [\"true\"]\n";
    let mut daemon = daemon(folder.path(), "2026-11-22T06:00:00Z", schedules);
    daemon.kill();
    daemon.variables.push(("TZDIR".to_owned(), zones.to_string_lossy().into_owned()));
    daemon.start();
    let page = daemon.json(&["event", "list", "--type", "zones-read"]);
    let same = &items(&page)[0]["data"];
    assert_eq!((&same["zone_data"], &same["moved"]), (&"2026a".into(), &Value::Array(Vec::new())));
    daemon.kill();
    zone_data(&zones, "2026b", "Europe/London");
    daemon.start();
    let page = daemon.json(&["event", "list", "--type", "zones-read"]);
    let moved = &items(&page)[0]["data"];
    assert_eq!((&moved["before"], &moved["zone_data"]), (&"2026a".into(), &"2026b".into()));
    assert_eq!(moved["changed"], serde_json::json!(["Europe/Paris"]));
    let noon = &moved["moved"][0];
    assert_eq!(noon["before"], "2026-11-22T11:00:00.000Z");
    assert_eq!(noon["after"], "2026-11-22T12:00:00.000Z");
    let next = daemon.json(&["schedule", "next", "shop/noon", "-n", "1"]);
    assert_eq!(items(&next)[0]["at"], "2026-11-22T12:00:00.000Z");
}

/// What each run prints, so that it fills segments.
const NOISE: &str = "od -An -N 1500 -tx1 /dev/urandom";

/// Has a schedule run so many times, one after another.
fn history(daemon: &Daemon, runs: usize) -> Vec<String> {
    let run = |_| {
        let (code, execution) = ended(daemon, &["schedule", "run", "shop/says"]);
        assert_eq!(code, Some(0), "{execution}");
        id_of(&execution).to_owned()
    };
    (0..runs).map(run).collect()
}

/// What `execution show` says of one that is gone.
fn gone(daemon: &Daemon, id: &str) -> String {
    let shown = daemon.run(&["execution", "show", id]);
    assert!(!shown.status.success(), "{}", text(&shown.stdout));
    text(&shown.stderr)
}

/// Asks about a slot that is gone.
const WHY: [&str; 5] = ["schedule", "why", "shop/quiet", "--at", "2020-01-02T06:00:00Z"];

/// Whoever asks about slots that are gone is told so.
fn slots_that_are_gone_are_told(daemon: &Daemon) {
    let slots = daemon.json(&["schedule", "slots", "shop/quiet", "--limit", "1000"]);
    assert!(items(&slots).iter().all(|row| word(row, "at") >= "2020-01-03T06"), "{slots}");
    let until_there = word(&slots["pruned"], "until").to_owned();
    assert!(until_there.starts_with("2020-01-05T03:00"), "{slots}");
    let newer = daemon.json(&["schedule", "slots", "shop/quiet", "--from", "2020-01-06T00:00:00Z"]);
    assert_eq!(newer["pruned"], Value::Null);
    let shown = daemon.run(&["schedule", "slots", "shop/quiet"]);
    assert!(text(&shown.stderr).contains("were pruned by retention"), "{}", text(&shown.stderr));
    let why = daemon.json(&WHY);
    assert!(word(&why, "text").contains("was pruned by retention, last on 2020-01-10"), "{why}");
    assert_eq!(why["events"][1]["type"], "history-pruned", "{why}");
}

#[test]
fn what_is_over_is_pruned_by_the_daemon_and_without_it_and_its_space_is_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let schedules = format!(
        "[schedules.says]\nmanual = true\nshell = \"{NOISE}\"\n\
         [schedules.quiet]\ncron = \"0 */6 * * *\"\ncommand = [\"true\"]\ncatch_up = {{ mode = \"none\" }}\n"
    );
    let mut daemon = Daemon::with_files(folder.path(), &[("shop.toml", &schedules)]);
    set(folder.path(), "2020-01-01T00:00:01Z");
    let clock = folder.path().join("clock").to_string_lossy().into_owned();
    daemon.variables.push(("TEST_CLOCK".to_owned(), clock));
    daemon.variables.push(("TEST_SEGMENT_BYTES".to_owned(), "8192".to_owned()));
    daemon.start();
    let old = history(&daemon, 30);
    set(folder.path(), "2020-01-03T03:00:00Z");
    wait_for(&daemon, "shop/quiet", "2020-01-03 00:00:00 clock");
    set(folder.path(), "2020-01-10T03:00:00Z");
    wait_for(&daemon, "shop/quiet", "2020-01-10 00:00:00 clock");
    let before = daemon.json(&["store", "info"]);

    // Nothing is over until somebody says how long it counts.
    assert_eq!(daemon.json(&["store", "compact", "--dry-run"])["interfaces"], Value::Array(vec![]));
    let limited = format!("retention = {{ ok = \"5d\", ko = \"5d\" }}\n{schedules}");
    std::fs::write(folder.path().join("schedules/shop.toml"), limited).expect("written");
    assert!(daemon.run(&["reload"]).status.success());
    // The daemon looks by itself, too: then one pass is in the way of the other for a moment.
    until("a pass", || {
        let asked = daemon.run(&["store", "compact", "--online"]);
        assert!([Some(0), Some(7)].contains(&asked.status.code()), "{}", text(&asked.stderr));
        asked.status.success().then_some(())
    });
    let after = daemon.json(&["store", "info"]);
    assert_eq!(number(&after["pruned"][0], "executions"), 29, "{after}");
    for part in ["journal_bytes", "lines_bytes"] {
        let (before, after) = (number(&before, part), number(&after, part));
        assert!(after < before / 2, "{part}: {before} to {after}");
    }
    assert!(gone(&daemon, &old[0]).contains("was pruned by retention on 2020-01-10"));
    assert_eq!(daemon.json(&["execution", "show", &old[29]])["status"], "ok");
    let verified = daemon.json(&["store", "verify"]);
    assert!(verified["ok"] == true && number(&verified, "pruned") > 80, "{verified}");

    slots_that_are_gone_are_told(&daemon);

    // Without the daemon the machine's own clock counts: to it all of that is long over.
    let young = history(&daemon, 10);
    daemon.signal("TERM");
    assert!(daemon.ended().success());
    let plan = daemon.json(&["store", "compact", "--dry-run"]);
    assert_eq!(number(&plan["interfaces"][0], "executions"), 10, "{plan}");
    let compacted = daemon.json(&["store", "compact"]);
    assert_eq!(compacted["interfaces"], plan["interfaces"]);
    let parts = &compacted["parts"];
    assert!(number(parts, "lines_after") < number(parts, "lines_before"), "{compacted}");
    assert_eq!(daemon.json(&["store", "verify"])["ok"], true);

    // An index that is damaged then is made anew from what is left.
    damage(&folder.path().join("data/index"));
    daemon.start();
    let left = until("the lists", || {
        let listed = daemon.run(&["execution", "list", "--json"]);
        listed.status.success().then(|| text(&listed.stdout))
    });
    assert!(left.contains(&young[9]) && !left.contains(&young[8]), "{left}");
    for id in [&old[0], &old[29], &young[0]] {
        assert!(gone(&daemon, id).contains("was pruned by retention on"));
    }
    assert!(word(&daemon.json(&WHY), "text").contains("was pruned by retention"));
    let verified = daemon.json(&["store", "verify"]);
    assert!(verified["ok"] == true && verified["index"].is_u64(), "{verified}");
}

/// Overwrites every file below a folder.
fn damage(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            damage(&path);
        } else {
            std::fs::write(&path, "no index").expect("written");
        }
    }
}
