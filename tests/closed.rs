//! Calendars, blackouts and skip-next on the real binary: from the files and the command line to the ledger.

#[path = "support/asking.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod asking;
#[expect(dead_code, reason = "shared with other tests")]
mod support;

use asking::{ended, items, text, until, word};
use serde_json::{Value, json};
use support::Daemon;

/// A slot each second, of which a calendar or a window leaves none, and one a year.
const SHOP: &str = r#"
[schedules.open]
every = "1s"
command = ["true"]

[schedules.closed]
every = "1s"
command = ["true"]
exclude = ["closed"]

[schedules.yearly]
cron = "0 0 1 1 *"
command = ["true"]

[schedules.by-hand]
manual = true
command = ["true"]
"#;

const BANK: &str = r#"
timezone = "Europe/Paris"
blackout = [{ from = "2020-01-01T00:00", to = "2199-01-01T00:00" }]

[schedules.sync]
every = "1s"
command = ["true"]
"#;

const EACH_DAY: &str = "weekly = [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\", \"sat\", \"sun\"]\n";

fn write_calendar(daemon: &Daemon, calendar: &str) {
    let folder = daemon.folder.join("schedules/calendars");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("closed.toml"), calendar).expect("a file");
}

/// The rows of a schedule's ledger.
fn ledger(daemon: &Daemon, schedule: &str) -> Vec<Value> {
    items(&daemon.json(&["schedule", "slots", schedule])).to_vec()
}

fn next(daemon: &Daemon, schedule: &str) -> Value {
    daemon.json(&["schedule", "next", schedule, "-n", "1"])["items"][0].clone()
}

fn version(daemon: &Daemon, interface: &str) -> Value {
    daemon.json(&["interface", "show", interface])["definition_version"].clone()
}

#[test]
fn calendars_and_blackouts_close_slots_and_an_edited_calendar_opens_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = [("shop.toml", SHOP), ("bank.toml", BANK)];
    let mut daemon = Daemon::with_files(folder.path(), &files);
    let output = daemon.try_start().expect_err("no file is that calendar");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("no file is a calendar `closed`"), "{said}");

    write_calendar(&daemon, EACH_DAY);
    daemon.start();
    for (schedule, reason) in [("shop/closed", "calendar"), ("bank/sync", "blackout")] {
        let rows = until(&format!("slots of {schedule}"), || {
            Some(ledger(&daemon, schedule)).filter(|rows| rows.len() > 1)
        });
        for row in rows {
            assert_eq!((&row["outcome"], &row["reason"]), (&json!("skipped"), &json!(reason)));
            assert_eq!(row["execution"], Value::Null);
        }
    }
    let ahead = next(&daemon, "shop/closed");
    assert_eq!((&ahead["reason"], &ahead["note"]), (&json!("calendar"), &json!("calendar closed")));
    let shown = text(&daemon.run(&["schedule", "next", "bank/sync", "-n", "1"]).stdout);
    let window = "will be skipped: blackout  (blackout 2020-01-01T00:00 to 2199-01-01T00:00)\n";
    assert!(shown.ends_with(window), "{shown}");
    let (code, by_hand) = ended(&daemon, &["schedule", "run", "shop/closed"]);
    assert_eq!(
        (code, &by_hand["trigger"]),
        (Some(0), &json!("manual")),
        "a closed day stops no one"
    );

    let before = version(&daemon, "shop");
    let others = version(&daemon, "bank");
    write_calendar(&daemon, "dates = [2020-01-01]\n");
    until("a slot that started", || {
        ledger(&daemon, "shop/closed").iter().any(|row| row["outcome"] == "started").then_some(())
    });
    let edited = version(&daemon, "shop");
    assert_eq!(edited.as_u64(), before.as_u64().map(|before| before + 1));
    assert_eq!(version(&daemon, "bank"), others, "it names no calendar");

    write_calendar(&daemon, "dates = [2020-01-01]\nweekly = [\"sunnday\"]\n");
    let config_ok = |value: &str| {
        let wanted = format!("daybook_config_ok {value}");
        until(&wanted, || daemon.get("/metrics").lines().any(|line| line == wanted).then_some(()));
    };
    config_ok("0");
    assert_eq!(version(&daemon, "shop"), edited, "the last accepted version stays");
    assert_eq!(next(&daemon, "shop/closed")["reason"], Value::Null);
    let said = text(&daemon.run(&["reload"]).stderr);
    assert!(said.contains("calendars/closed.toml:2:11"), "{said}");
    assert!(said.contains("did you mean `sunday`?"), "{said}");
    write_calendar(&daemon, "dates = [2020-01-01]\n");
    config_ok("1");
}

#[test]
fn skip_next_skips_the_slot_that_it_names_and_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = Daemon::with_files(folder.path(), &[("shop.toml", SHOP)]);
    write_calendar(&daemon, EACH_DAY);
    daemon.start();

    let skip = |daemon: &Daemon, more: &[&str]| {
        daemon.json(&[&["schedule", "skip-next", "shop/yearly"], more].concat())
    };
    let coming = next(&daemon, "shop/yearly");
    let first = skip(&daemon, &[]);
    assert_eq!((&first["at"], &first["outcome"]), (&coming["at"], &json!("pending")));
    assert_eq!(first["reason"], "skip-next");
    assert_eq!(skip(&daemon, &[]), first, "asked twice, one slot");
    let stream = ["event", "list", "--stream", "schedule/shop/yearly"];
    let asked = daemon.json(&stream);
    let asked: Vec<&Value> =
        items(&asked).iter().filter(|event| event["type"] == "skip-next-asked").collect();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0]["data"]["slot"], coming["at"]);

    daemon.kill();
    daemon.start();
    assert_eq!(next(&daemon, "shop/yearly")["reason"], "skip-next", "also after a crash");
    let status = daemon.json(&["status"]);
    let shown = status["next"].as_array().expect("slots");
    let yearly = shown.iter().find(|slot| slot["schedule"] == "yearly").expect("it runs later");
    assert!(word(yearly, "at") > word(&coming, "at"), "{yearly}");
    let undone = skip(&daemon, &["--undo"]);
    assert_eq!((&undone["at"], &undone["reason"]), (&coming["at"], &Value::Null));
    for (arguments, why) in [
        (&["shop/yearly", "--undo"][..], "there is nothing to take back"),
        (&["shop/by-hand"], "it is a manual schedule"),
        (&["shop/closed"], "would run: calendar closed"),
    ] {
        let output = daemon.run(&[&["schedule", "skip-next"], arguments].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(7), "{said}");
        assert!(said.contains(why), "{said}");
    }

    let skipped = daemon.json(&["schedule", "skip-next", "shop/open"]);
    let at = word(&skipped, "at").to_owned();
    let rows = until("a slot after the one that was skipped", || {
        let rows = ledger(&daemon, "shop/open");
        rows.iter().any(|row| word(row, "at") > at.as_str()).then_some(rows)
    });
    let reasons = |row: &&Value| row["reason"] == "skip-next";
    let of_wish: Vec<&str> = rows.iter().filter(reasons).map(|row| word(row, "at")).collect();
    assert_eq!(of_wish, [at.as_str()]);
}
