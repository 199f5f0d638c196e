//! What the engine does on a full disk.

use super::*;
use crate::domain::space::{Measured, Room};
use crate::engine::testing::Working;
use crate::store::space::Seen;

/// Tells the engine of the room, and waits until it has taken note.
async fn told(working: &Working, room: Room, log_waits: bool) {
    let measured = Measured { free: 5, total: 100 };
    let seen = Seen { room, measured, log_waits, ..Seen::default() };
    assert!(go_on(&working.news, move |engine| engine.see_room(seen, 7)));
    working.settle().await;
}

#[tokio::test(start_paused = true)]
async fn on_a_full_disk_slots_are_decided_and_wait_and_go_on_when_there_is_room() {
    let working = Given::new(EVERY_TWO_HOURS, "2026-11-22T00:30:00Z", MINUTE).start().await;
    told(&working, Room::Low, false).await;
    told(&working, Room::Full, false).await;
    working.pass(2 * HOUR).await;
    let (started, _) = slots(&working.events());
    assert_eq!(started, ["2026-11-22T02:00:00.000Z"]);
    assert_eq!(named(&working.events(), "attempt-started"), []);
    let refused = working.run().await.expect_err("nothing new is started");
    assert!(
        matches!(&refused, Refusal::DiskFull { why } if why.contains("make room")),
        "{refused}"
    );
    told(&working, Room::Low, false).await;
    working.pass(HOUR).await;
    let events = working.events();
    assert_eq!(named(&events, "closed").len(), 1);
    let told: Vec<_> = events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::DiskLow(low) => Some(("low", low.room, 0)),
            Event::DiskRecovered(now) => Some(("recovered", now.room, now.lines_dropped)),
            _ => None,
        })
        .collect();
    assert_eq!(told, [("low", Room::Low, 0), ("low", Room::Full, 0), ("recovered", Room::Low, 7)]);
}

/// Nothing could be acknowledged: what is decided would only fill the memory.
#[tokio::test(start_paused = true)]
async fn while_the_log_waits_for_room_no_slot_is_decided_and_requests_are_refused_at_once() {
    let working = Given::new(EVERY_TWO_HOURS, "2026-11-22T00:30:00Z", MINUTE).start().await;
    told(&working, Room::Full, true).await;
    working.pass(5 * HOUR).await;
    assert_eq!(slots(&working.events()).0, Vec::<String>::new());
    assert!(matches!(working.run().await, Err(Refusal::DiskFull { .. })));
    let pause = Pause { target: Target::Schedule(sales()), note: None, until: None };
    let refused = working.handle.pause(Actor::Daybook, pause).await;
    assert!(matches!(refused, Err(Refusal::DiskFull { .. })));
    told(&working, Room::Enough, false).await;
    working.pass(MINUTE).await;
    let (started, passed) = slots(&working.events());
    assert_eq!((started.len(), passed.len()), (1, 1), "{started:?} {passed:?}");
}
