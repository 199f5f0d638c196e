//! The pages of schedules, their slots, and interfaces.

use http::{Method, StatusCode};

use super::{BROWSER, browser};
use crate::domain::access::Role;
use crate::domain::event::{Change, InterfaceDefined, Outcome, SlotStarted, SlotsPassed};
use crate::domain::slot::{Reason, Verdict};
use crate::http::testing::{Answer, BEGIN, Daemon};
use crate::instant::Instant;

const SALES: &str = "/schedules/fnac/sales";

async fn page(daemon: &Daemon, path: &str) -> String {
    let answer = daemon.local_with(Method::GET, path, &[BROWSER], "").await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
    assert!(answer.body.len() < 150_000, "{path}: {}", answer.body.len());
    answer.text()
}

/// A form as it is posted from the page that it stands on.
async fn post(daemon: &Daemon, path: &str, form: &str) -> Answer {
    daemon.local_with(Method::POST, path, &[BROWSER], form).await
}

fn led_to(answer: &Answer) -> &str {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    answer.header("location").expect("somewhere")
}

/// Slots two hours apart, from `first` on, that nobody ran.
async fn pass(daemon: &Daemon, first: &str, count: u64, (verdict, reason): (Verdict, Reason)) {
    let first = Instant::parse(first).expect("an instant");
    let instants: Vec<Instant> =
        (0..count as i64).map(|n| Instant::from_millis(first.millis() + n * 7_200_000)).collect();
    let passed = SlotsPassed {
        first,
        last: *instants.last().expect("a slot"),
        count,
        verdict,
        reason,
        definition_version: 3,
        zone_data: "2026b".to_owned(),
        instants,
        execution: None,
    };
    daemon.record("schedule/fnac/sales", passed).await;
}

#[tokio::test]
async fn schedules_are_said_in_words_and_filtered_by_the_address() {
    let daemon = Daemon::start().await;
    let all = page(&daemon, "/schedules").await;
    assert!(all.contains(SALES) && all.contains("/schedules/fnac/manual"), "{all}");
    assert!(all.contains("every 2 hours") || all.contains("Every 2 hours"), "{all}");
    let some = page(&daemon, "/schedules?text=SAL&interface=fnac&state=active").await;
    assert!(some.contains(SALES) && !some.contains("/schedules/fnac/manual"), "{some}");
    // What it is found by: its name, its zone, its expression, what that means.
    for said in ["fnac%2Fsales", "uTc", "2h", "every+2+hours"] {
        let some = page(&daemon, &format!("/schedules?text={said}")).await;
        assert!(some.contains(SALES), "{said}: {some}");
    }
    let none = page(&daemon, "/schedules?text=%3Cb%3E&state=").await;
    assert!(none.contains("No schedule fits") && none.contains("Clear filters"), "{none}");
    assert!(none.contains("value=\"&#60;b&#62;\"") && !none.contains("<b>\""), "{none}");
    let wrong = daemon.local_with(Method::GET, "/schedules?state=idle", &[BROWSER], "").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_viewer_sees_a_schedule_and_no_way_to_change_it() {
    let daemon = Daemon::start().await;
    let viewer = browser(&daemon, Role::Viewer).await;
    let viewer = viewer.each_ref().map(|(name, value)| (*name, value.as_str()));
    for path in [SALES, "/interfaces/fnac", "/events"] {
        let seen = daemon.tcp_with(Method::GET, path, &viewer, "").await;
        assert_eq!(seen.status, StatusCode::OK, "{path}");
        let forms = seen.text().matches("<form method=\"post\"").count();
        assert_eq!(forms, 1, "{path}: only to log out");
    }
    for (path, form) in
        [(SALES, "do=run"), ("/interfaces/fnac", "do=pause"), ("/events/verify", "")]
    {
        let refused = daemon.tcp_with(Method::POST, path, &viewer, form).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
    }
    let preview = daemon.tcp_with(Method::GET, "/schedules/fnac/sales/backfill", &viewer, "").await;
    assert_eq!(preview.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_form_that_another_site_posts_is_refused() {
    let daemon = Daemon::start().await;
    let operator = browser(&daemon, Role::Operator).await;
    let [page, _, session] = operator.each_ref().map(|(name, value)| (*name, value.as_str()));
    let foreign = [page, ("sec-fetch-site", "cross-site"), session];
    for path in [SALES, "/schedules/fnac/sales/backfill", "/interfaces/fnac", "/events/verify"] {
        let refused = daemon.tcp_with(Method::POST, path, &foreign, "do=pause").await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert!(daemon.get("/api/schedules/fnac/sales").await.json()["paused"].is_null());
}

#[tokio::test]
async fn a_run_leads_to_its_execution() {
    let daemon = Daemon::start().await;
    let ran = post(&daemon, SALES, "do=run&param.day=2026-11-22&force=true").await;
    assert!(led_to(&ran).starts_with("/executions/"), "{}", led_to(&ran));
    assert_eq!(daemon.get("/api/executions").await.json()["items"][0]["schedule"], "sales");
    let nothing = post(&daemon, SALES, "param.day=1").await;
    assert_eq!(nothing.status, StatusCode::UNPROCESSABLE_ENTITY);
    let other = post(&daemon, SALES, "do=explode").await;
    assert!(other.text().contains("explode"), "{}", other.text());
}

#[tokio::test]
async fn a_pause_has_its_note_and_its_end_in_the_zone_of_the_schedule_and_can_be_ended() {
    let daemon = Daemon::start().await;
    let paused =
        post(&daemon, SALES, "do=pause&note=%3Cb%3Eshop+down&until=2026-12-01T10:00").await;
    assert_eq!(led_to(&paused), SALES);
    let told = daemon.get("/api/schedules/fnac/sales").await.json();
    assert_eq!(told["paused"]["until"], "2026-12-01T10:00:00.000Z");
    let seen = page(&daemon, SALES).await;
    assert!(seen.contains("&#60;b&#62;shop down") && !seen.contains("<b>shop"), "{seen}");
    let past = post(&daemon, SALES, "do=pause&until=2020-01-01").await;
    assert!(past.text().contains("future"), "{}", past.text());
    assert_eq!(led_to(&post(&daemon, SALES, "do=resume").await), SALES);
    assert!(daemon.get("/api/schedules/fnac/sales").await.json()["paused"].is_null());
    let whole = post(&daemon, "/interfaces/fnac", "do=pause&note=moving").await;
    assert_eq!(led_to(&whole), "/interfaces/fnac");
    assert!(page(&daemon, "/interfaces/fnac").await.contains("moving"));
    assert_eq!(led_to(&post(&daemon, "/interfaces/fnac", "do=resume").await), "/interfaces/fnac");
}

#[tokio::test]
async fn the_next_slot_is_skipped_and_not_skipped_after_all() {
    let daemon = Daemon::start().await;
    assert!(page(&daemon, SALES).await.contains("value=\"skip-next\""));
    assert_eq!(led_to(&post(&daemon, SALES, "do=skip-next").await), SALES);
    let seen = page(&daemon, SALES).await;
    assert!(seen.contains("value=\"undo-skip-next\"") && !seen.contains("value=\"skip-next\""));
    assert_eq!(led_to(&post(&daemon, SALES, "do=undo-skip-next").await), SALES);
    assert!(page(&daemon, SALES).await.contains("value=\"skip-next\""));
}

#[tokio::test]
async fn the_ledger_is_a_calendar_whose_days_open_below_it() {
    let daemon = Daemon::start().await;
    pass(&daemon, "2026-11-10T00:00:00Z", 3, (Verdict::Missed, Reason::Down)).await;
    pass(&daemon, "2026-11-12T00:00:00Z", 150, (Verdict::Skipped, Reason::Paused)).await;
    let failed = daemon.run().await;
    daemon.write(failed, &["External: no"], Some(Outcome::Ko)).await;
    let slot = Instant::parse("2026-09-03T10:00:00Z").expect("an instant");
    let started = SlotStarted { slot, execution: failed, definition_version: 3, late_ms: 0 };
    daemon.record("schedule/fnac/sales", started).await;
    let seen = page(&daemon, SALES).await;
    assert!(seen.contains("2026-11-10: 3 missed: the daemon was not running"), "{seen}");
    assert!(seen.contains("2026-11-12: 12 skipped: paused"), "{seen}");
    assert!(seen.contains("2026-09-03: 1 KO"), "{seen}");
    assert!(!seen.contains("id=\"day\""));
    let day = page(&daemon, "/schedules/fnac/sales?day=2026-11-10").await;
    assert!(day.contains("id=\"day\"") && day.contains("aria-current=\"date\""), "{day}");
    assert_eq!(day.matches("/why?at=").count(), 3, "{day}");
    let why = page(&daemon, "/schedules/fnac/sales/why?at=2026-11-10T02%3A00%3A00.000Z").await;
    assert!(why.contains("/events/"), "{why}");
    let before = page(&daemon, "/schedules/fnac/sales?month=2026-08").await;
    assert!(before.contains("August 2026") && before.contains("No slot was decided"), "{before}");
    let empty = page(&daemon, "/schedules/fnac/sales?day=2026-10-02").await;
    assert!(empty.contains("No slot of this day"), "{empty}");
}

#[tokio::test]
async fn a_backfill_is_looked_at_first_and_confirmed_with_its_number() {
    let daemon = Daemon::start().await;
    pass(&daemon, "2026-11-10T00:00:00Z", 3, (Verdict::Missed, Reason::Down)).await;
    let path = "/schedules/fnac/sales/backfill";
    let asked = "from=2026-11-09T00:00&to=2026-11-12T00:00&only=missed";
    let preview = page(&daemon, &format!("{path}?{asked}&only=ko&rate=10/min")).await;
    assert!(preview.contains("Run 3 slots") && preview.contains("10/min"), "{preview}");
    assert!(preview.contains("name=\"only\" value=\"ko\""), "{preview}");
    let stale = post(&daemon, path, &format!("{asked}&count=2")).await;
    assert!(led_to(&stale).starts_with(&format!("{path}?from=2026-11-09")), "{}", led_to(&stale));
    let ran = post(&daemon, path, &format!("{asked}&count=3")).await;
    assert_eq!(led_to(&ran), "/executions?interface=fnac&schedule=sales");
    let nothing = page(&daemon, &format!("{path}?from=2026-01-01&to=2026-01-02")).await;
    assert!(nothing.contains("Nothing would run"), "{nothing}");
    let wrong = daemon.local_with(Method::GET, path, &[BROWSER], "").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn an_interface_shows_its_versions_its_executions_and_no_secret() {
    let daemon = Daemon::start().await;
    let change = |path: &str, from: Option<&str>, to: &str| Change {
        path: path.to_owned(),
        from: from.map(str::to_owned),
        to: Some(to.to_owned()),
    };
    let changes = vec![
        change("schedules.sales.every", Some("\"1h\""), "\"<2h>\""),
        change("env.API_TOKEN", Some("\"***\""), "\"***\""),
    ];
    let definition = r#"{"id":"fnac"}"#.to_owned();
    let defined = InterfaceDefined { definition_version: 3, definition, changes };
    daemon.record("interface/fnac", defined).await;
    let id = daemon.run().await;
    daemon.write(id, &["fine"], Some(Outcome::Ok)).await;
    let seen = page(&daemon, "/interfaces/fnac").await;
    assert!(seen.contains("Version 3") && seen.contains("&#60;2h&#62;"), "{seen}");
    assert!(seen.contains("the value is not shown"), "{seen}");
    assert!(seen.contains("https://hc-ping.example/***"), "{seen}");
    assert!(!seen.contains("hc-ping.example/secret"), "{seen}");
    assert_eq!(seen.matches(&format!("/executions/{id}")).count(), 2, "in the grid and the chart");
    let other = page(&daemon, "/interfaces/fnac?schedule=manual").await;
    assert!(other.contains("No execution of <code>manual</code>"), "{other}");
    let list = page(&daemon, "/interfaces?text=FNAC&state=active").await;
    assert!(list.contains("/interfaces/fnac\""), "{list}");
    assert!(page(&daemon, "/interfaces?text=x").await.contains("Clear filters"));
    let missing = daemon.local_with(Method::GET, "/interfaces/none", &[BROWSER], "").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_test_of_an_interface_shows_what_it_found() {
    let daemon = Daemon::start().await;
    let tested = post(&daemon, "/interfaces/fnac/test", "").await;
    assert_eq!(tested.status, StatusCode::OK, "{}", tested.text());
    assert!(tested.text().contains("/bin/true"), "{}", tested.text());
}

#[tokio::test]
async fn a_schedule_that_ran_every_minute_for_months_is_still_a_page() {
    let daemon = Daemon::start().await;
    let now = BEGIN * 1_000;
    for day in 0..30 {
        let first = Instant::from_millis(now - (30 - day) * 86_400_000);
        let instants: Vec<Instant> =
            (0..1_000).map(|n| Instant::from_millis(first.millis() + n * 60_000)).collect();
        let passed = SlotsPassed {
            first,
            last: *instants.last().expect("a slot"),
            count: 1_000,
            verdict: Verdict::Missed,
            reason: Reason::Down,
            definition_version: 3,
            zone_data: "2026b".to_owned(),
            instants,
            execution: None,
        };
        daemon.record("schedule/fnac/sales", passed).await;
    }
    let seen = page(&daemon, "/schedules/fnac/sales?day=2026-11-10").await;
    assert!(seen.contains("Counted down to"), "{seen}");
    assert_eq!(seen.matches("/why?at=").count(), 100);
    assert!(seen.contains("Earlier slots of the day"), "{seen}");
}
