//! Calendars, blackouts and skip-next, from the files to the events.

use std::fs;

use super::*;
use crate::app::checks;
use crate::config::{Environment, load_folder};
use crate::domain::event::Trigger;
use crate::engine::handle::Order;
use crate::engine::testing::Working;

/// Saturday.
const SATURDAY: &str = "2026-11-21T00:30:00Z";
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What a folder with `shop.toml` and the calendar `closed` says.
fn files(shop: &str, closed: &str) -> Files {
    let dir = tempfile::tempdir().expect("a folder");
    let calendars = dir.path().join("calendars");
    fs::create_dir(&calendars).expect("a folder");
    fs::write(dir.path().join("shop.toml"), shop).expect("written");
    fs::write(calendars.join("closed.toml"), closed).expect("written");
    let loaded = load_folder(dir.path(), &Environment::default(), checks());
    assert!(!loaded.has_errors(), "{:?}", loaded.problems);
    let accepted = loaded.accepted.into_iter().map(|(id, file)| (id, file.interface)).collect();
    Files { accepted, ..Files::default() }
}

/// Every six hours in Paris: 0, 6, 12 and 18 o'clock, an hour earlier in UTC.
fn six_hourly(more: &str) -> String {
    format!(
        "timezone = \"Europe/Paris\"\n[schedules.sales]\ncron = \"0 */6 * * *\"\ncommand = [\"true\"]\n{more}\n"
    )
}

const SUNDAYS: &str = "weekly = [\"sun\"]\n";

async fn start(from: &str, readings: impl IntoIterator<Item = Files>) -> Working {
    let given = Given::new("", from, MINUTE);
    Given { definitions: Readings::new(readings), ..given }.start().await
}

/// The slots in order of decision, `21 05 started`.
fn ledger(working: &Working) -> Vec<String> {
    let short = |slot: Instant| -> String {
        let text = slot.to_string();
        text.chars()
            .skip(8)
            .take(5)
            .map(|letter| if letter == 'T' { ' ' } else { letter })
            .collect()
    };
    let rows = |event: Event| -> Vec<String> {
        match event {
            Event::SlotStarted(started) => vec![format!("{} started", short(started.slot))],
            Event::SlotsPassed(run) => run
                .instants
                .iter()
                .map(|slot| format!("{} {}", short(*slot), run.reason.as_str()))
                .collect(),
            _ => Vec::new(),
        }
    };
    working.events().into_iter().flat_map(|(_, event)| rows(event)).collect()
}

#[tokio::test(start_paused = true)]
async fn slots_on_the_dates_of_an_excluded_calendar_are_skipped() {
    let text = six_hourly("exclude = [\"closed\"]");
    let working = start(SATURDAY, [files(&text, SUNDAYS)]).await;
    working.pass(2 * DAY).await;
    working.settle().await;
    let expected = [
        "21 05 started",
        "21 11 started",
        "21 17 started",
        "21 23 calendar",
        "22 05 calendar",
        "22 11 calendar",
        "22 17 calendar",
        "22 23 started",
    ];
    assert_eq!(ledger(&working), expected);
}

#[tokio::test(start_paused = true)]
async fn slots_on_other_dates_than_those_of_the_only_calendar_are_skipped() {
    let text = six_hourly("only = [\"closed\"]");
    let working = start(SATURDAY, [files(&text, SUNDAYS)]).await;
    working.pass(DAY + 5 * HOUR).await;
    working.settle().await;
    let expected =
        ["21 05 calendar", "21 11 calendar", "21 17 calendar", "21 23 started", "22 05 started"];
    assert_eq!(ledger(&working), expected);
}

#[tokio::test(start_paused = true)]
async fn slots_in_a_blackout_of_the_interface_are_skipped() {
    let windows = "blackout = [{ days = [\"sat\"], from = \"18:00\", to = \"06:00\" }]\n";
    let text = format!("{windows}{}", six_hourly(""));
    let working = start(SATURDAY, [files(&text, SUNDAYS)]).await;
    working.pass(DAY + 5 * HOUR).await;
    working.settle().await;
    let expected =
        ["21 05 started", "21 11 started", "21 17 blackout", "21 23 blackout", "22 05 started"];
    assert_eq!(ledger(&working), expected);
}

#[tokio::test(start_paused = true)]
async fn late_slots_of_closed_days_are_skipped_and_not_caught_up() {
    let text =
        six_hourly("exclude = [\"closed\"]\ncatch_up = { mode = \"all\", window = \"40h\" }");
    let first = start(SATURDAY, [files(&text, SUNDAYS)]).await;
    first.settle().await;
    let log = first.killed();
    let given = Given::new("", "2026-11-22T12:00:00Z", MINUTE);
    let readings = Readings::new([files(&text, SUNDAYS)]);
    let second = Given { log, definitions: readings, ..given }.start().await;
    second.settle().await;
    let expected = [
        "21 05 started",
        "21 11 started",
        "21 17 started",
        "21 23 calendar",
        "22 05 calendar",
        "22 11 calendar",
    ];
    assert_eq!(ledger(&second), expected);
}

#[tokio::test(start_paused = true)]
async fn closed_days_stop_neither_a_run_by_hand_nor_a_re_run() {
    let text = six_hourly("exclude = [\"closed\"]");
    let working = start("2026-11-22T09:00:00Z", [files(&text, SUNDAYS)]).await;
    let by_hand = working.run().await.expect("it runs");
    working.pass(2 * MINUTE).await;
    let again = working.handle.rerun(Actor::Daybook, vec![by_hand], false).await.expect("asked");
    assert!(again.value[0].answer.is_ok(), "{again:?}");
    working.pass(3 * HOUR).await;
    working.settle().await;
    let triggers: Vec<Trigger> = working.opened().iter().map(|(_, it)| it.trigger).collect();
    assert_eq!(triggers, [Trigger::Manual, Trigger::Rerun]);
    assert_eq!(ledger(&working), ["22 11 calendar"]);
}

#[tokio::test(start_paused = true)]
async fn an_edit_of_a_calendar_is_a_new_version_and_moves_no_cursor() {
    let text = six_hourly("exclude = [\"closed\"]");
    let readings =
        [files(&text, SUNDAYS), files(&text, SUNDAYS), files(&text, "dates = [2026-11-21]\n")];
    let working = start(SATURDAY, readings).await;
    let same = working.handle.reload(Actor::Daybook).await.expect("read").value;
    assert!(same.accepted.is_empty(), "{same:?}");
    working.pass(6 * HOUR).await;
    let edited = working.handle.reload(Actor::Daybook).await.expect("read").value;
    assert_eq!(edited.accepted.len(), 1);
    working.pass(DAY).await;
    working.settle().await;
    let defined: Vec<_> = working
        .events()
        .into_iter()
        .filter_map(|(_, event)| match event {
            Event::InterfaceDefined(defined) => Some(defined),
            _ => None,
        })
        .collect();
    assert_eq!(defined.len(), 2);
    let paths: Vec<&str> = defined[1].changes.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(paths, ["calendars.closed.dates", "calendars.closed.weekly"]);
    assert_eq!(named(&working.events(), "schedule-anchored").len(), 1);
    let expected =
        ["21 05 started", "21 11 calendar", "21 17 calendar", "21 23 started", "22 05 started"];
    assert_eq!(ledger(&working), expected);
}

#[tokio::test(start_paused = true)]
async fn a_follower_asks_its_own_calendars() {
    let follower = "[schedules.bill]\nafter = { schedule = \"shop/sales\" }\ncommand = [\"true\"]\nexclude = [\"closed\"]\n";
    let text = format!("{}{follower}", six_hourly(""));
    let working = start("2026-11-21T16:30:00Z", [files(&text, SUNDAYS)]).await;
    working.pass(8 * HOUR).await;
    working.settle().await;
    assert_eq!(
        ledger(&working),
        ["21 17 started", "21 17 started", "21 23 started", "21 23 calendar"],
        "sales and bill on Saturday, sales alone on Sunday"
    );
}

async fn skip(working: &Working) -> Result<String, Refusal> {
    let slot = working.handle.skip_next(Actor::Local(7), sales()).await;
    slot.map(|done| done.value.to_string())
}

async fn undo(working: &Working) -> Result<String, Refusal> {
    let slot = working.handle.undo_skip_next(Actor::Local(7), sales()).await;
    slot.map(|done| done.value.to_string())
}

fn why(refused: Result<String, Refusal>) -> String {
    match refused {
        Err(Refusal::Conflict { why, execution: None }) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn skip_next_skips_one_slot_also_when_it_is_asked_twice_and_over_a_restart() {
    let text = six_hourly("");
    let first = start(SATURDAY, [files(&text, SUNDAYS)]).await;
    let slot = "2026-11-21T05:00:00.000Z";
    assert_eq!(skip(&first).await.as_deref(), Ok(slot));
    assert_eq!(skip(&first).await.as_deref(), Ok(slot));
    first.settle().await;
    assert_eq!(named(&first.events(), "skip-next-asked").len(), 1);
    let against = |working: &Working| {
        working.handle.board().read(|state| {
            let wishes = state.schedules[&sales()].wishes(&sales().schedule);
            wishes.against(Instant::parse(slot).expect("an instant")).map(|why| why.to_string())
        })
    };
    assert_eq!(against(&first).as_deref(), Some("skip-next"));

    let log = first.killed();
    let given = Given::new("", "2026-11-21T01:00:00Z", MINUTE);
    let readings = Readings::new([files(&text, SUNDAYS)]);
    let second = Given { log, definitions: readings, ..given }.start().await;
    second.pass(11 * HOUR).await;
    second.settle().await;
    assert_eq!(ledger(&second), ["21 05 skip-next", "21 11 started"]);
    assert_eq!(against(&second), None, "it is over with its slot");
    assert_eq!(skip(&second).await.as_deref(), Ok("2026-11-21T17:00:00.000Z"));
}

#[tokio::test(start_paused = true)]
async fn skip_next_moves_to_an_earlier_slot_that_runs_again() {
    let working = start(SATURDAY, [files(&six_hourly(""), SUNDAYS)]).await;
    let target = Target::Schedule(sales());
    let until = Some(Instant::parse("2026-11-21T06:00:00Z").expect("an instant"));
    let pause = Pause { target: target.clone(), note: None, until };
    working.handle.pause(Actor::Daybook, pause).await.expect("paused");
    assert_eq!(skip(&working).await.as_deref(), Ok("2026-11-21T11:00:00.000Z"));
    working.handle.resume(Actor::Daybook, target).await.expect("resumed");
    assert_eq!(skip(&working).await.as_deref(), Ok("2026-11-21T05:00:00.000Z"));
    working.pass(12 * HOUR).await;
    working.settle().await;
    assert_eq!(ledger(&working), ["21 05 skip-next", "21 11 started"]);
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_is_to_be_skipped_is_skipped_also_when_the_daemon_comes_late() {
    let text = six_hourly("");
    let first = start(SATURDAY, [files(&text, SUNDAYS)]).await;
    skip(&first).await.expect("asked");
    let log = first.killed();
    let given = Given::new("", "2026-11-21T07:00:00Z", MINUTE);
    let readings = Readings::new([files(&text, SUNDAYS)]);
    let second = Given { log, definitions: readings, ..given }.start().await;
    second.settle().await;
    assert_eq!(ledger(&second), ["21 05 skip-next"]);
}

#[tokio::test(start_paused = true)]
async fn skip_next_is_taken_back_until_its_slot_is_decided() {
    let working = start(SATURDAY, [files(&six_hourly(""), SUNDAYS)]).await;
    let nothing = "no slot of `shop/sales` is to be skipped: there is nothing to take back";
    assert_eq!(why(undo(&working).await), nothing);
    skip(&working).await.expect("asked");
    assert_eq!(undo(&working).await.as_deref(), Ok("2026-11-21T05:00:00.000Z"));
    working.pass(5 * HOUR).await;
    skip(&working).await.expect("asked");
    working.pass(6 * HOUR).await;
    assert_eq!(why(undo(&working).await), nothing, "it is decided");
    working.settle().await;
    assert_eq!(ledger(&working), ["21 05 started", "21 11 skip-next"]);
}

#[tokio::test(start_paused = true)]
async fn skip_next_means_the_next_slot_that_would_run() {
    let text = six_hourly("exclude = [\"closed\"]");
    let working = start("2026-11-21T18:00:00Z", [files(&text, SUNDAYS)]).await;
    assert_eq!(skip(&working).await.as_deref(), Ok("2026-11-22T23:00:00.000Z"), "Monday in Paris");
    working.pass(DAY + 12 * HOUR).await;
    working.settle().await;
    let ledger = ledger(&working);
    assert_eq!(ledger[3..], ["22 17 calendar", "22 23 skip-next", "23 05 started"]);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_without_a_slot_that_would_run_has_none_to_skip() {
    let other = |when: &str| format!("[schedules.sales]\n{when}\ncommand = [\"true\"]\n");
    for (text, expected) in [
        (other("manual = true"), "`shop/sales` has no slots: it is a manual schedule"),
        (other("reboot = true"), "`shop/sales` has no slots: it is a reboot schedule"),
        (
            format!(
                "{}[schedules.x]\nmanual = true\nshell = \"a\"\n",
                other("after = { schedule = \"shop/x\" }")
            ),
            "`shop/sales` has no slots of its own: it follows `shop/x`",
        ),
        (other("at = \"2026-01-01T00:00\""), "`shop/sales` has no slot ahead"),
        (six_hourly("enabled = false"), "no slot of `shop/sales` in sight would run: disabled"),
        (
            six_hourly("exclude = [\"closed\"]"),
            "no slot of `shop/sales` in sight would run: calendar closed",
        ),
    ] {
        let closed = "weekly = [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\", \"sat\", \"sun\"]\n";
        let working = start(SATURDAY, [files(&text, closed)]).await;
        assert_eq!(why(skip(&working).await), expected, "{text}");
    }
    let working = start(SATURDAY, [files(&six_hourly(""), SUNDAYS)]).await;
    let schedule = "shop/gone".parse().expect("a name");
    let refused = working.handle.skip_next(Actor::Daybook, schedule).await.map(|done| done.value);
    assert_eq!(refused, Err(Refusal::NotFound { what: "schedule `shop/gone`".to_owned() }));
    let pause = Pause { target: Target::Schedule(sales()), note: None, until: None };
    working.handle.pause(Actor::Daybook, pause).await.expect("paused");
    let expected = "no slot of `shop/sales` in sight would run: paused";
    assert_eq!(why(skip(&working).await), expected);
}

#[tokio::test(start_paused = true)]
async fn skip_next_lapses_when_its_slot_is_no_more() {
    let (old, new) = (six_hourly(""), six_hourly("").replace("*/6", "1,4,7"));
    let readings = [files(&old, SUNDAYS), files(&new, SUNDAYS)];
    let working = start(SATURDAY, readings).await;
    assert_eq!(skip(&working).await.as_deref(), Ok("2026-11-21T05:00:00.000Z"));
    working.handle.reload(Actor::Daybook).await.expect("read");
    working.pass(6 * HOUR).await;
    working.settle().await;
    assert_eq!(ledger(&working), ["21 03 started", "21 06 started"]);
    assert_eq!(skip(&working).await.as_deref(), Ok("2026-11-22T00:00:00.000Z"), "a new wish");
}

#[tokio::test(start_paused = true)]
async fn a_wish_for_a_slot_that_is_no_more_gives_way_to_a_new_one_at_once() {
    let (old, new) = (six_hourly(""), six_hourly("").replace("*/6", "1,4,7"));
    let readings = [files(&old, SUNDAYS), files(&new, SUNDAYS)];
    let working = start(SATURDAY, readings).await;
    skip(&working).await.expect("asked");
    working.handle.reload(Actor::Daybook).await.expect("read");
    assert!(why(undo(&working).await).contains("nothing to take back"));
    assert_eq!(skip(&working).await.as_deref(), Ok("2026-11-21T03:00:00.000Z"));
    working.pass(6 * HOUR).await;
    working.settle().await;
    assert_eq!(ledger(&working), ["21 03 skip-next", "21 06 started"]);
}

#[tokio::test(start_paused = true)]
async fn a_wish_for_a_schedule_that_was_removed_is_forgotten() {
    let (old, none) = (six_hourly(""), "timezone = \"UTC\"\n");
    let readings = [files(&old, SUNDAYS), files(none, SUNDAYS), files(&old, SUNDAYS)];
    let working = start(SATURDAY, readings).await;
    skip(&working).await.expect("asked");
    for _ in 0..2 {
        working.handle.reload(Actor::Daybook).await.expect("read");
    }
    working.pass(5 * HOUR).await;
    working.settle().await;
    assert_eq!(ledger(&working), ["21 05 started"]);
}

#[tokio::test(start_paused = true)]
async fn run_now_neither_asks_nor_uses_up_skip_next() {
    let working = start(SATURDAY, [files(&six_hourly(""), SUNDAYS)]).await;
    skip(&working).await.expect("asked");
    let params = std::collections::BTreeMap::new();
    let order = Order { schedule: sales(), params, force: false };
    working.handle.run(Actor::Daybook, order).await.expect("it runs");
    working.pass(5 * HOUR).await;
    working.settle().await;
    assert_eq!(ledger(&working), ["21 05 skip-next"]);
}
