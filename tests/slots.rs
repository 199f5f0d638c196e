//! Slots of the past on the real binary: run later by a backfill, and accounted for by `why`.

#[path = "support/asking.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod asking;
#[expect(dead_code, reason = "shared with other tests")]
mod support;

use std::time::Duration;

use asking::{ended, items, text, until, with_status, word};
use serde_json::{Value, json};
use support::Daemon;

/// Fails until the file `mended` is there.
const SHOP: &str = "timezone = \"Europe/Paris\"
[schedules.tick]
cron = \"* * * * * *\"
shell = \"test -e mended\"
[schedules.nightly]
cron = \"30 2 * * *\"
command = [\"true\"]
[schedules.by-hand]
manual = true
command = [\"true\"]
[schedules.follower]
after = { schedule = \"shop/long\", deadline = \"1h\" }
command = [\"true\"]
[schedules.long]
cron = \"* * * * * *\"
shell = \"i=0; until [ -e mended ] || [ $i -ge 2400 ]; do i=$((i+1)); sleep 0.05; done\"
";

/// The newest slots with this reason or outcome, oldest first, once there are `count`.
fn slots(daemon: &Daemon, schedule: &str, what: &str, count: usize) -> Vec<String> {
    until(&format!("{count} slots of {schedule} are {what}"), || {
        let ledger = daemon.json(&["schedule", "slots", schedule]);
        let fits = |row: &&Value| row["reason"] == what || row["outcome"] == what;
        let found: Vec<String> = items(&ledger)
            .iter()
            .filter(fits)
            .map(|row| word(row, "at").to_owned())
            .take(count)
            .collect();
        (found.len() == count).then(|| found.into_iter().rev().collect())
    })
}

fn second_after(slot: &str) -> String {
    let at = daybook::instant::Instant::parse(slot).expect("an instant");
    (at + Duration::from_secs(1)).to_string()
}

fn why(daemon: &Daemon, schedule: &str, at: Option<&str>) -> Value {
    let mut asked = vec!["schedule", "why", schedule];
    asked.extend(at.into_iter().flat_map(|at| ["--at", at]));
    daemon.json(&asked)
}

#[track_caller]
fn tells(why: &Value, parts: &[&str], events: &[&str]) {
    for part in parts {
        assert!(word(why, "text").contains(part), "`{part}` is not in {why:#}");
    }
    let cited = why["events"].as_array().expect("events");
    for kind in events {
        assert!(cited.iter().any(|event| event["type"] == *kind), "no {kind} in {why:#}");
    }
}

#[test]
fn slots_of_the_past_run_once_and_each_is_accounted_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = Daemon::with_files(folder.path(), &[("shop.toml", SHOP)]);
    daemon.start();
    let ko = ended_badly(&daemon);
    daemon.json(&["schedule", "pause", "shop/tick", "--note", "the provider is down"]);
    let skipped = slots(&daemon, "shop/tick", "paused", 2);
    an_overlap_names_what_stood_in_the_way(&daemon);
    what_waits_for_another_is_pending(&daemon);
    std::fs::write(folder.path().join("mended"), "").expect("written");

    let span = ["--from", &ko, "--to", &second_after(&skipped[1])];
    let backfill = |more: &[&str]| {
        let mut asked = vec!["schedule", "backfill", "shop/tick"];
        asked.extend(span.iter().chain(more).copied());
        daemon.json(&asked)
    };
    let preview = backfill(&["--dry-run", "--only", "skipped"]);
    assert_eq!(preview["dry_run"], true);
    let wanted: Vec<&str> = items(&preview).iter().map(|item| word(item, "slot")).collect();
    assert!(skipped.iter().all(|slot| wanted.contains(&slot.as_str())), "{preview:#}");

    let answer = backfill(&[]);
    let of = |slot: &str| items(&answer).iter().find(|item| item["slot"] == slot).expect("in it");
    assert_eq!((&of(&ko)["was"], of(&ko)["rerun_of"].is_string()), (&json!("ko"), true));
    for slot in [&ko, &skipped[0], &skipped[1]] {
        let over = with_status(&daemon, word(of(slot), "execution"), "ok");
        assert_eq!((&over["trigger"], &over["slot"]), (&json!("backfill"), &json!(slot)));
    }
    let of_skipped = word(of(&skipped[0]), "execution");
    let again =
        daemon.run(&["schedule", "backfill", "shop/tick", span[0], span[1], span[2], span[3]]);
    assert_eq!(again.status.code(), Some(4), "{}", text(&again.stdout));
    let ledger = daemon.json(&["schedule", "slots", "shop/tick", "--limit", "1000"]);
    let row = items(&ledger).iter().find(|row| row["at"] == *skipped[0]).expect("in the ledger");
    assert_eq!((&row["outcome"], &row["execution"]), (&json!("skipped"), &json!(of_skipped)));

    let paused = why(&daemon, "shop/tick", Some(&skipped[0]));
    let parts = ["was skipped (paused)", "“the provider is down”", "It was backfilled", of_skipped];
    tells(&paused, &parts, &["schedule-paused", "slots-passed", "opened"]);
    let twice = why(&daemon, "shop/tick", Some(&ko));
    tells(
        &twice,
        &["was started on time", "ended KO", "ran it again"],
        &["slot-started", "closed"],
    );
    a_slot_that_is_ok_is_left_although_its_newest_run_is_not(&daemon, &skipped[0], of_skipped);
    what_lies_ahead_is_told(&daemon);
}

fn a_slot_that_is_ok_is_left_although_its_newest_run_is_not(daemon: &Daemon, slot: &str, ok: &str) {
    std::fs::remove_file(daemon.folder.join("mended")).expect("it is there");
    let (code, again) = ended(daemon, &["execution", "rerun", ok]);
    assert_eq!((code, &again["status"]), (Some(5), &json!("ko")));
    let end = second_after(slot);
    let asked = ["schedule", "backfill", "shop/tick", "--from", slot, "--to", &end];
    let left = daemon.run(&asked);
    assert_eq!(left.status.code(), Some(4), "{}", text(&left.stdout));
}

/// The slot of an execution that ended KO.
fn ended_badly(daemon: &Daemon) -> String {
    until("a KO", || {
        let filters = ["--schedule", "tick", "--status", "ko"];
        let listed = daemon.json(&[&["execution", "list"], &filters[..]].concat());
        items(&listed).first().map(|row| word(row, "slot").to_owned())
    })
}

fn an_overlap_names_what_stood_in_the_way(daemon: &Daemon) {
    let slot = slots(daemon, "shop/long", "overlap", 1).remove(0);
    let told = why(daemon, "shop/long", Some(&slot));
    tells(
        &told,
        &["was skipped (overlap)", "was not over", "and is still"],
        &["slots-passed", "opened"],
    );
}

fn what_waits_for_another_is_pending(daemon: &Daemon) {
    let slot = slots(daemon, "shop/follower", "pending", 1).remove(0);
    for at in [None, Some(slot.as_str())] {
        let told = why(daemon, "shop/follower", at);
        tells(&told, &["waits for execution", "of shop/long, which is running"], &["opened"]);
        assert_eq!(
            (&told["slot"]["at"], &told["slot"]["outcome"]),
            (&json!(slot), &json!("pending"))
        );
    }
}

fn what_lies_ahead_is_told(daemon: &Daemon) {
    let next = why(daemon, "shop/nightly", None);
    tells(&next, &["No slot of shop/nightly has come yet", "will run."], &["schedule-anchored"]);
    let by_hand = why(daemon, "shop/by-hand", None);
    tells(&by_hand, &["has had no slot, and none lies ahead"], &[]);
    daemon.json(&["schedule", "pause", "shop/nightly", "--note", "stocktaking"]);
    let paused = why(daemon, "shop/nightly", None);
    tells(&paused, &["will not run: paused (“stocktaking”)"], &[]);
    let gap = why(daemon, "shop/nightly", Some("2027-03-28T03:00:00+02:00"));
    tells(&gap, &["02:30:00 on 2027-03-28 does not exist"], &[]);
    let past = why(daemon, "shop/nightly", Some("2020-01-01T00:00:00Z"));
    tells(&past, &["what lies before is not made up for"], &["schedule-anchored"]);
    for (asked, code) in [("shop/nothing", 3), ("shop", 2)] {
        let refused = daemon.run(&["schedule", "why", asked]);
        assert_eq!(refused.status.code(), Some(code), "{asked}");
    }
}
