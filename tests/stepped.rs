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

use asking::{items, until, word};
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
