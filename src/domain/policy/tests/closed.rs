//! Blackouts, calendars and skip-next in the table.

use super::*;
use crate::civil::Zone;
use crate::domain::definition::{Dst, Interface, Timing};

/// An interface in Tokyo with a schedule in Paris, as the log keeps it. Blackouts: each night of Tokyo and the days of
/// `inventory`.
const DEFINITION: &str = r#"{
    "id": "shop", "name": "shop", "type": null, "timezone": "Asia/Tokyo", "owner": null, "runbook": null, "labels": {},
    "retention": {"ok_ms": null, "ko_ms": null, "lines_ms": null, "count": null, "bytes": null},
    "notify": null, "env": {}, "limits": {"concurrent": null, "rate": null}, "rules": [],
    "blackout": [{"calendar": "inventory"}, {"weekly": {"from": "22:00", "to": "06:00"}}],
    "calendars": {
        "inventory": {"dates": ["2026-11-26"]},
        "sundays": {"weekly": ["sun"]},
        "november": {"ranges": [{"from": "2026-11-01", "to": "2026-11-30"}]}
    },
    "schedules": {"sales": {
        "enabled": true, "timing": "manual", "timezone": "Europe/Paris", "job": {"shell": "true"}, "cwd": ".",
        "params": {}, "ok_exit": [0], "timeout_ms": null, "anomaly_after_ms": 3600000,
        "retry": {"attempts": 1, "delay_ms": 0, "factor": 1.0, "max_delay_ms": 0, "on": []},
        "overlap": "skip", "catch_up": {"mode": "last", "window_ms": 0}, "dst": {"gap": null, "fold": null},
        "role": "regular", "on_interrupt": "ko", "max_log_bytes": 1, "ping": null, "priority": 0,
        "calendars": {"exclude": ["sundays"], "only": ["november"]}
    }}
}"#;

fn interface() -> Interface {
    serde_json::from_str(DEFINITION).expect("a definition")
}

fn wishes(interface: &Interface) -> Wishes<'_> {
    let sales = interface.schedules.values().next().expect("a schedule");
    let closings = Closings::of(interface, sales, |name| Zone::load(name).ok());
    assert!(closings.is_some());
    Wishes { closings, ..Wishes::default() }
}

fn at(text: &str) -> Instant {
    Instant::parse(text).unwrap_or_else(|err| panic!("{text}: {err}"))
}

#[test]
fn blackouts_count_in_the_interfaces_zone_and_calendars_in_the_schedules() {
    let interface = interface();
    let wishes = wishes(&interface);
    for (slot, why) in [
        // 12:00 in Tokyo.
        ("2026-11-24T03:00:00Z", None),
        ("2026-11-24T13:00:00Z", Some("blackout 22:00 to 06:00")),
        ("2026-11-24T21:00:00Z", None),
        // Thursday in Tokyo from 15:00 UTC of Wednesday on; at 22:00 there the night begins, and both hold.
        ("2026-11-25T21:30:00Z", Some("blackout calendar inventory")),
        ("2026-11-26T12:59:59Z", Some("blackout calendar inventory")),
        // Sunday in Paris from 23:00 UTC of Saturday on.
        ("2026-11-28T22:59:59Z", None),
        ("2026-11-28T23:00:00Z", Some("calendar sundays")),
        ("2026-11-29T22:00:00Z", Some("calendar sundays")),
        ("2026-11-29T23:00:00Z", None),
        ("2026-11-30T22:59:59Z", None),
        ("2026-11-30T23:00:00Z", Some("not in calendar november")),
        ("2026-12-06T12:00:00Z", Some("calendar sundays")),
    ] {
        let told = wishes.against(at(slot)).map(|why| why.to_string());
        assert_eq!(told.as_deref(), why, "{slot}");
    }
}

#[test]
fn nothing_is_asked_where_nothing_can_close() {
    let mut interface = interface();
    interface.blackout.clear();
    let mut sales = interface.schedules.values().next().expect("a schedule").clone();
    sales.calendars = None;
    let asked = |_: &str| -> Option<Zone> { panic!("a zone is asked for") };
    assert!(Closings::of(&interface, &sales, asked).is_none());
}

/// Each row takes the strongest reason away from the row before.
#[test]
fn the_first_of_several_reasons_is_told() {
    let mut interface = interface();
    let slot = at("2026-11-28T21:00:00Z");
    let night = at("2026-11-29T13:00:00Z");
    let all = |interface: &Interface, wishes: fn(&mut Wishes<'_>)| {
        let mut made = super::closed::wishes(interface);
        made.disabled = true;
        made.paused = FOR_GOOD;
        made.skip_next = Some(night);
        wishes(&mut made);
        (made.against(night).map(|why| why.reason().as_str()), made.against(slot).is_some())
    };
    assert_eq!(all(&interface, |_| ()), (Some("disabled"), true));
    let enabled = |so: &mut Wishes<'_>| so.disabled = false;
    assert_eq!(all(&interface, enabled), (Some("paused"), true));
    let running = |so: &mut Wishes<'_>| (so.disabled, so.paused) = (false, None);
    assert_eq!(all(&interface, running), (Some("blackout"), false));
    interface.blackout.clear();
    assert_eq!(all(&interface, running), (Some("calendar"), false));
    interface.calendars.remove(&"sundays".parse().expect("a name"));
    assert_eq!(all(&interface, running), (Some("skip-next"), false));
}

#[test]
fn a_late_slot_of_a_closed_day_is_skipped_and_others_are_caught_up() {
    let interface = interface();
    let mut closed = wishes(&interface);
    let now = at("2026-11-29T23:30:00Z");
    let catch_up = catching_up(CatchUpMode::All);
    let slots = [
        "2026-11-28T22:00:00Z",
        "2026-11-29T08:00:00Z",
        "2026-11-29T09:00:00Z",
        "2026-11-29T23:00:00Z",
    ];
    let decide_them = |wishes: &Wishes<'_>, open| {
        let situation = Situation {
            catch_up: &catch_up,
            wishes,
            open,
            open_live: open,
            ..in_mode(CatchUpMode::All).situation
        };
        let decisions = decide(slots.into_iter().map(at), now, &situation);
        decisions.into_iter().map(shown).collect::<Vec<_>>()
    };
    assert_eq!(
        decide_them(&closed, None),
        ["1 x missed(too-late)", "2 x skipped(calendar)", "catch-up"],
        "late is asked of open days alone"
    );
    assert_eq!(
        decide_them(&closed, an_execution()),
        ["1 x missed(too-late)", "2 x skipped(calendar)", "1 x skipped(overlap)"]
    );
    closed.skip_next = Some(at("2026-11-29T23:00:00Z"));
    assert_eq!(
        decide_them(&closed, an_execution()),
        ["1 x missed(too-late)", "2 x skipped(calendar)", "1 x skipped(skip-next)"],
        "it wins over overlap"
    );
    closed.skip_next = Some(at("2026-11-28T22:00:00Z"));
    assert_eq!(decide_them(&closed, None)[0], "1 x skipped(skip-next)", "and over lateness");
}

#[test]
fn a_slot_that_was_waited_for_asks_its_own_calendars() {
    let interface = interface();
    let closed = wishes(&interface);
    let situation = Situation { wishes: &closed, ..in_mode(CatchUpMode::None).situation };
    let decided = |slot| shown(decide_delivered(at(slot), at(slot), &situation));
    assert_eq!(decided("2026-11-29T08:00:00Z"), "1 x skipped(calendar)");
    assert_eq!(decided("2026-11-27T08:00:00Z"), "start");
}

#[test]
fn slots_whose_followed_ones_ran_not_keep_their_own_reasons() {
    let interface = interface();
    let wishes = wishes(&interface);
    let hours = |count: i64| {
        (0..count).map(|hour| Instant::from_secs(at("2026-11-28T21:00:00Z").secs() + hour * 3600))
    };
    let run_of = |count: i64| {
        let mut run =
            Run::of(at("2026-11-28T21:00:00Z"), Verdict::Missed, Reason::Down, an_execution());
        hours(count).skip(1).for_each(|slot| run.push(slot));
        run
    };
    let told = |run: &Run, wishes: &Wishes<'_>| -> Vec<String> {
        let runs = decide_followed(run, wishes).into_iter();
        runs.inspect(|run| assert_eq!(run.execution, None))
            .map(|run| shown(Decision::Pass(run)))
            .collect()
    };
    assert_eq!(told(&run_of(4), &wishes), ["2 x skipped(dependency)", "2 x skipped(calendar)"]);
    assert_eq!(told(&run_of(1_001), &wishes), ["1001 x skipped(dependency)"], "not all are listed");
    let paused = Wishes { paused: FOR_GOOD, ..wishes };
    assert_eq!(told(&run_of(1_001), &paused), ["1001 x skipped(paused)"]);
}

#[test]
fn the_next_wanted_slot_is_found_behind_all_that_is_closed() {
    let interface = interface();
    let zone = Zone::load("Europe/Paris").expect("a zone");
    let every = Timing::Every { period_ms: 1_000, anchor: None };
    let plan = Plan::new(&every, &zone, Dst::default()).expect("a plan");
    let mut wishes = wishes(&interface);
    let next = |wishes: &Wishes<'_>, after| {
        wishes.next_wanted(&plan, at(after)).map(|slot| slot.to_string())
    };
    let monday = Some("2026-11-29T23:00:00.000Z".to_owned());
    assert_eq!(next(&wishes, "2026-11-28T22:59:59Z"), monday, "behind a day of 86,400 slots");
    assert_eq!(next(&wishes, "2026-11-27T13:30:00Z").as_deref(), Some("2026-11-27T21:00:00.000Z"));
    wishes.skip_next = Some(at("2026-11-29T23:00:00Z"));
    assert_eq!(next(&wishes, "2026-11-29T12:00:00Z").as_deref(), Some("2026-11-29T23:00:01.000Z"));
    assert_eq!(next(&wishes, "2026-11-30T23:00:00Z"), None, "November is over");
    wishes.paused = Some(Paused { until: Some(at("2026-11-30T08:00:00Z")) });
    assert_eq!(next(&wishes, "2026-11-27T12:00:00Z").as_deref(), Some("2026-11-30T08:00:01.000Z"));
    wishes.paused = FOR_GOOD;
    assert_eq!(next(&wishes, "2026-11-27T12:00:00Z"), None);
}
