use std::collections::BTreeMap;

use super::*;
use crate::domain::event::{Opened, Trigger};

const NOW: Instant = Instant::from_secs(1_000);

fn waiting(schedule: &str, ordinal: u64, priority: i32) -> (ExecutionId, Execution) {
    let at = Instant::from_secs(i64::try_from(ordinal).expect("small"));
    let id = ExecutionId::random(at, [u8::try_from(ordinal).expect("small"); 10]);
    let opened = Opened {
        schedule: schedule.parse().expect("valid"),
        slot: None,
        trigger: Trigger::Manual,
        definition_version: 1,
        params: BTreeMap::new(),
        rerun_of: None,
        root: id,
        idempotency_key: String::new(),
        previous_slot: None,
        last_ok_slot: None,
        priority,
        forced: false,
    };
    (id, Execution::open(opened, at, ordinal))
}

fn interface(id: &str) -> InterfaceId {
    id.parse().expect("valid")
}

fn lock() -> Asks {
    Asks { seats: vec![Arc::new(Seat::Lock("sales".to_owned()))], ..Asks::default() }
}

fn alone(schedule: &str) -> Asks {
    Asks {
        seats: vec![Arc::new(Seat::Schedule(schedule.parse().expect("valid")))],
        ..Asks::default()
    }
}

fn all_of(ready: &mut Ready, now: Instant) -> Vec<ExecutionId> {
    std::iter::from_fn(|| ready.next(now)).collect()
}

#[test]
fn turns_go_by_priority_then_by_age() {
    let mut ready = Ready::new(10);
    let all = [waiting("a/s", 1, 0), waiting("b/s", 2, 5), waiting("a/s", 3, 0)];
    for (id, execution) in &all {
        ready.wait(*id, execution, Asks::default());
    }
    assert_eq!(all_of(&mut ready, NOW), [all[1].0, all[0].0, all[2].0]);
}

#[test]
fn a_full_interface_holds_nobody_else_up() {
    let mut ready = Ready::new(3);
    ready.limit_interface(&interface("a"), Some(1));
    let all = [waiting("a/s", 1, 0), waiting("a/t", 2, 9), waiting("b/s", 3, 0)];
    for (id, execution) in &all {
        ready.wait(*id, execution, Asks::default());
    }
    assert_eq!(all_of(&mut ready, NOW), [all[1].0, all[2].0]);
    ready.finish(all[1].0, &interface("a"));
    assert_eq!(ready.next(NOW), Some(all[0].0));
}

#[test]
fn the_daemons_limit_holds_for_all_together() {
    let mut ready = Ready::new(1);
    let all = [waiting("a/s", 1, 0), waiting("b/s", 2, 0)];
    for (id, execution) in &all {
        ready.wait(*id, execution, Asks::default());
    }
    assert_eq!(all_of(&mut ready, NOW), [all[0].0]);
    ready.finish(all[0].0, &interface("a"));
    assert_eq!(ready.next(NOW), Some(all[1].0));
}

#[test]
fn a_seat_is_held_by_one_and_the_oldest_of_those_that_wait_follows() {
    let mut ready = Ready::new(10);
    let all = [waiting("a/s", 1, 0), waiting("a/s", 2, 0), waiting("a/s", 3, 0)];
    for (id, execution) in &all {
        ready.wait(*id, execution, alone("a/s"));
    }
    let mut order = Vec::new();
    while let Some(id) = ready.next(NOW) {
        assert_eq!(ready.next(NOW), None, "two at once");
        ready.finish(id, &interface("a"));
        order.push(id);
    }
    assert_eq!(order, [all[0].0, all[1].0, all[2].0]);
    assert!(ready.asks.is_empty() && ready.held.is_empty() && ready.blocked.is_empty());
}

#[test]
fn a_lock_is_shared_over_interfaces_and_holds_up_nobody_without_it() {
    let mut ready = Ready::new(10);
    let all = [waiting("a/s", 1, 0), waiting("b/t", 2, 0), waiting("b/u", 3, 0)];
    ready.wait(all[0].0, &all[0].1, lock());
    ready.wait(all[1].0, &all[1].1, lock());
    ready.wait(all[2].0, &all[2].1, Asks::default());
    assert_eq!(all_of(&mut ready, NOW), [all[0].0, all[2].0]);
    ready.finish(all[0].0, &interface("a"));
    assert_eq!(all_of(&mut ready, NOW), [all[1].0]);
}

#[test]
fn one_that_leaves_lets_the_next_one_go_on() {
    let mut ready = Ready::new(10);
    let all = [waiting("a/s", 1, 0), waiting("a/s", 2, 0), waiting("a/s", 3, 0)];
    for (id, execution) in &all {
        ready.wait(*id, execution, lock());
    }
    assert_eq!(all_of(&mut ready, NOW), [all[0].0]);
    assert!(ready.leave(all[1].0, &all[1].1));
    assert!(!ready.leave(all[1].0, &all[1].1), "it left before");
    ready.finish(all[0].0, &interface("a"));
    assert_eq!(all_of(&mut ready, NOW), [all[2].0]);
}

#[test]
fn a_forced_one_starts_beside_the_holder_and_keeps_others_out_until_both_have_ended() {
    let mut ready = Ready::new(10);
    let all = [waiting("a/s", 1, 0), waiting("a/t", 2, 0), waiting("a/u", 3, 0)];
    ready.wait(all[0].0, &all[0].1, lock());
    assert_eq!(ready.next(NOW), Some(all[0].0));
    ready.start_at_once(all[1].0, &interface("a"), lock(), NOW);
    ready.wait(all[2].0, &all[2].1, lock());
    ready.finish(all[0].0, &interface("a"));
    assert_eq!(ready.next(NOW), None);
    ready.finish(all[1].0, &interface("a"));
    assert_eq!(ready.next(NOW), Some(all[2].0));
}

#[test]
fn one_that_sleeps_wakes_at_its_time_and_can_leave_before() {
    let mut ready = Ready::new(10);
    let all = [waiting("a/s", 1, 0), waiting("a/t", 2, 0)];
    let at = |seconds: i64| Some(Instant::from_secs(1_000 + seconds));
    ready.wait(all[0].0, &all[0].1, Asks { not_before: at(20), ..Asks::default() });
    ready.wait(all[1].0, &all[1].1, Asks { not_before: at(10), ..Asks::default() });
    assert_eq!((ready.next(NOW), ready.next_wake()), (None, at(10)));
    assert!(ready.leave(all[1].0, &all[1].1));
    assert_eq!(ready.next_wake(), at(20));
    assert_eq!(ready.next(Instant::from_secs(1_020)), Some(all[0].0));
}

#[test]
fn a_series_keeps_its_pace() {
    let mut ready = Ready::new(10);
    let pace = Some(Rate { count: 6, per_ms: 60_000 });
    let all = [waiting("a/s", 1, 0), waiting("a/s", 2, 0)];
    for (id, execution) in &all {
        ready.wait(*id, execution, Asks { in_series: true, pace, ..alone("a/s") });
    }
    assert_eq!(all_of(&mut ready, NOW), [all[0].0]);
    ready.finish(all[0].0, &interface("a"));
    assert_eq!(ready.next(NOW), None);
    assert_eq!(ready.next_wake(), Some(Instant::from_secs(1_010)));
    assert_eq!(ready.next(Instant::from_secs(1_010)), Some(all[1].0));
}

#[test]
fn a_seat_goes_on_to_the_next_one_when_the_first_has_no_room() {
    let mut ready = Ready::new(10);
    ready.limit_interface(&interface("a"), Some(1));
    let all =
        [waiting("b/s", 1, 0), waiting("a/t", 2, 0), waiting("b/u", 3, 0), waiting("a/v", 4, 0)];
    for (id, execution) in &all[..3] {
        ready.wait(*id, execution, lock());
    }
    assert_eq!(all_of(&mut ready, NOW), [all[0].0]);
    ready.wait(all[3].0, &all[3].1, Asks::default());
    assert_eq!(all_of(&mut ready, NOW), [all[3].0]);
    ready.finish(all[0].0, &interface("b"));
    assert_eq!(all_of(&mut ready, NOW), [all[2].0]);
    ready.finish(all[3].0, &interface("a"));
    assert_eq!(all_of(&mut ready, NOW), [], "it has room now, and the seat is taken");
    ready.finish(all[2].0, &interface("b"));
    assert_eq!(all_of(&mut ready, NOW), [all[1].0]);
}

#[test]
fn a_seat_goes_on_to_the_next_one_when_the_first_keeps_its_pace_or_lacks_another_seat() {
    let pace = Some(Rate { count: 6, per_ms: 60_000 });
    let all = [waiting("a/s", 1, 0), waiting("a/s", 2, 0), waiting("a/s", 3, 0)];
    let mut ready = Ready::new(10);
    ready.wait(all[0].0, &all[0].1, Asks { in_series: true, pace, ..alone("a/s") });
    ready.wait(all[1].0, &all[1].1, Asks { in_series: true, pace, ..alone("a/s") });
    ready.wait(all[2].0, &all[2].1, alone("a/s"));
    assert_eq!(all_of(&mut ready, NOW), [all[0].0]);
    ready.finish(all[0].0, &interface("a"));
    assert_eq!(all_of(&mut ready, NOW), [all[2].0]);

    let forced = waiting("a/s", 4, 0);
    let both = Asks { seats: [lock().seats, alone("a/t").seats].concat(), ..Asks::default() };
    let mut ready = Ready::new(10);
    ready.wait(all[0].0, &all[0].1, lock());
    ready.wait(all[1].0, &all[1].1, both);
    ready.wait(all[2].0, &all[2].1, lock());
    assert_eq!(all_of(&mut ready, NOW), [all[0].0]);
    ready.start_at_once(forced.0, &interface("a"), alone("a/t"), NOW);
    ready.finish(all[0].0, &interface("a"));
    assert_eq!(all_of(&mut ready, NOW), [all[2].0]);
}

#[test]
fn a_long_series_waits_for_its_pace_by_its_first_one_alone() {
    let mut ready = Ready::new(8);
    let series = |number: u64| {
        let (id, execution) = waiting("a/s", number, 0);
        let pace = Some(Rate { count: 1, per_ms: 60_000 });
        (id, execution, Asks { in_series: true, pace, ..alone("a/s") })
    };
    let all: Vec<_> = (1..=100).map(series).collect();
    for (id, execution, asks) in &all {
        ready.wait(*id, execution, asks.clone());
    }
    assert_eq!(ready.next(NOW), Some(all[0].0));
    assert_eq!(ready.next(NOW), None);
    ready.finish(all[0].0, &interface("a"));
    assert_eq!(ready.next(NOW), None);
    assert_eq!(ready.sleeping.len(), 1, "the others stay where they are");
    assert_eq!(ready.next(NOW + Duration::from_secs(60)), Some(all[1].0));
}
