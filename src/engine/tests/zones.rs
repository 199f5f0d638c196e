//! Zone data that changed while the daemon was down.

use super::*;
use crate::domain::event::{DaemonStarted, ZoneRules, ZonesRead};
use crate::store::memory::MemoryLog;
use crate::store::{Append, Expected, Links, StreamAppend};

const NIGHTLY: &str = "timezone = \"Europe/Paris\"\n[schedules.sales]\ncron = \"30 12 * * *\"\n\
    command = [\"true\"]\n[schedules.utc]\ntimezone = \"UTC\"\ncron = \"30 12 * * *\"\ncommand = [\"true\"]\n";

/// What a daemon has left that read `zone_data`, in which Paris has these shifts.
async fn past(zone_data: &str, shifts: &[(&str, i32)]) -> MemoryLog {
    let log = MemoryLog::new();
    let shift =
        |(at, after): &(&str, i32)| (Instant::parse(at).expect("an instant").secs(), *after);
    let paris = ZoneRules {
        name: "Europe/Paris".to_owned(),
        first_offset: 3_600,
        shifts: shifts.iter().map(shift).collect(),
    };
    let utc = ZoneRules { name: "UTC".to_owned(), first_offset: 0, shifts: Vec::new() };
    let read = ZonesRead {
        zone_data: zone_data.to_owned(),
        before: None,
        zones: vec![paris, utc],
        changed: Vec::new(),
        moved: Vec::new(),
    };
    let started = DaemonStarted {
        version: "test".to_owned(),
        boot_id: "one".to_owned(),
        zone_data: zone_data.to_owned(),
        interrupted: 0,
        taken_over: 0,
    };
    let events = vec![read.into(), started.into()];
    let streams = vec![StreamAppend {
        stream: StreamId::Daemon,
        expected: Expected::Exact(0),
        links: Links::default(),
        events,
    }];
    let at = Instant::parse("2026-01-31T00:00:00Z").expect("an instant");
    log.append(Append { streams, at, actor: Actor::Daybook }).await.expect("appended");
    log.restarted()
}

async fn read_at_start(log: MemoryLog) -> Vec<ZonesRead> {
    let given = Given::new(NIGHTLY, "2026-02-01T00:00:00Z", MINUTE);
    let working = Given { log, ..given }.start().await;
    working.settle().await;
    let read = |(_, event)| match event {
        Event::ZonesRead(read) => Some(read),
        _ => None,
    };
    working.events().into_iter().filter_map(read).collect()
}

#[tokio::test(start_paused = true)]
async fn the_first_start_keeps_the_rules_of_the_zones_in_use() {
    let read = read_at_start(MemoryLog::new()).await;
    let names: Vec<&str> = read[0].zones.iter().map(|zone| zone.name.as_str()).collect();
    assert_eq!((read.len(), names), (1, vec!["Europe/Paris", "UTC"]));
    let spring = Instant::parse("2026-03-29T01:00:00Z").expect("an instant").secs();
    assert_eq!(read[0].zones[0].shifts[0], (spring, 7_200));
    assert_eq!((&read[0].before, read[0].moved.len()), (&None, 0));
}

#[tokio::test(start_paused = true)]
async fn other_zone_data_tells_which_slots_moved() {
    // Paris was to begin its summer two weeks later.
    let log = past("older", &[("2026-04-12T01:00:00Z", 7_200), ("2026-10-25T01:00:00Z", 3_600)]);
    let read = read_at_start(log.await).await.pop().expect("recorded");
    assert_eq!(read.before.as_deref(), Some("older"));
    assert_eq!(read.changed, ["Europe/Paris"]);
    let moved: Vec<_> =
        read.moved.iter().map(|it| (it.schedule.to_string(), it.before, it.after)).collect();
    let at = |text: &str| Some(Instant::parse(text).expect("an instant"));
    let (before, after) = (at("2026-03-29T11:30:00Z"), at("2026-03-29T10:30:00Z"));
    assert_eq!(moved, [("shop/sales".to_owned(), before, after)]);
}

#[tokio::test(start_paused = true)]
async fn other_zone_data_with_the_same_rules_is_recorded_and_moves_nothing() {
    let shifts = [("2026-03-29T01:00:00Z", 7_200), ("2026-10-25T01:00:00Z", 3_600)];
    let read = read_at_start(past("older", &shifts).await).await.pop().expect("recorded");
    assert_eq!(
        (read.before.as_deref(), read.changed.len(), read.moved.len()),
        (Some("older"), 0, 0)
    );
    let same = read_at_start(past("test", &shifts).await).await;
    assert_eq!(same.len(), 1, "only what was there: {same:?}");
}
