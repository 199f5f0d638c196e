//! How fresh an interface's data are, by what its slots promised.

use super::*;
use crate::engine::testing::Working;
use crate::projection::view::Freshness;

const SHOP: &str = "
[schedules.sales]
cron = \"0 * * * *\"
command = [\"true\"]
[schedules.prices]
cron = \"0 0 * * *\"
command = [\"true\"]
[schedules.by-hand]
manual = true
command = [\"true\"]
";

fn at(text: &str) -> Instant {
    Instant::parse(text).expect("an instant")
}

async fn after_two_hours() -> Working {
    let working = Given::new(SHOP, "2026-11-21T00:30:00Z", MINUTE).start().await;
    working.pass(Duration::from_secs(2 * 3_600)).await;
    working.settle().await;
    working
}

fn seen(working: &Working, now: &str) -> Freshness {
    of_shop(working, now).expect("sales ended ok")
}

fn of_shop(working: &Working, now: &str) -> Option<Freshness> {
    let id = "shop".parse().expect("a name");
    working.handle.freshness(&[id], at(now)).pop().expect("one for each interface")
}

#[tokio::test(start_paused = true)]
async fn data_are_fresh_until_the_second_slot_after_the_last_ok_has_come() {
    let working = after_two_hours().await;
    let fresh = seen(&working, "2026-11-21T02:30:00Z");
    assert_eq!(fresh.schedule.as_str(), "sales");
    assert_eq!(fresh.last_ok_at, at("2026-11-21T02:01:00Z"));
    assert_eq!((fresh.expected_at, fresh.behind), (at("2026-11-21T03:00:00Z"), false));
    assert!(!seen(&working, "2026-11-21T03:59:59Z").behind, "an execution may take an hour");
    let behind = seen(&working, "2026-11-21T04:00:00Z");
    assert_eq!((behind.expected_at, behind.behind), (at("2026-11-21T03:00:00Z"), true));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_expected_of_what_has_not_ended_ok_or_is_paused() {
    let working = Given::new(SHOP, "2026-11-21T00:30:00Z", MINUTE).start().await;
    assert_eq!(of_shop(&working, "2026-11-22T00:00:00Z"), None, "never ok");
    let working = after_two_hours().await;
    let target = Target::Schedule(sales());
    let pause = Pause { target, note: None, until: None };
    working.handle.pause(Actor::Daybook, pause).await.expect("paused");
    assert_eq!(of_shop(&working, "2026-11-22T00:00:00Z"), None, "it is paused");
}

#[tokio::test(start_paused = true)]
async fn what_takes_longer_than_from_slot_to_slot_is_not_behind_while_it_runs() {
    let working = Given::new(SHOP, "2026-11-21T00:30:00Z", HOUR * 5 / 2).start().await;
    working.pass(HOUR * 4).await;
    working.settle().await;
    let busy = seen(&working, "2026-11-21T04:30:00Z");
    assert_eq!((busy.last_ok_at, busy.behind), (at("2026-11-21T03:30:00Z"), false));
    let busy = seen(&working, "2026-11-21T05:30:00Z");
    assert_eq!((busy.expected_at, busy.behind), (at("2026-11-21T04:00:00Z"), false), "it runs");
}
