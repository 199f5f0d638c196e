//! The pages of what is on record and how the daemon is: events, checks, settings, the API.

use http::{Method, StatusCode};

use super::{BROWSER, browser};
use crate::domain::access::Role;
use crate::domain::event::InterfacePaused;
use crate::http::testing::Daemon;

async fn page(daemon: &Daemon, path: &str) -> String {
    let answer = daemon.local_with(Method::GET, path, &[BROWSER], "").await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
    assert!(answer.body.len() < 150_000, "{path}: {}", answer.body.len());
    answer.text()
}

#[tokio::test]
async fn events_say_who_did_what_and_are_filtered_by_the_address() {
    let daemon = Daemon::start().await;
    daemon.run().await;
    let paused = InterfacePaused { note: Some("<i>shop</i>".to_owned()), until: None };
    daemon.record("interface/fnac", paused).await;
    let all = page(&daemon, "/events").await;
    assert!(all.contains("interface-paused") && all.contains("href=\"/interfaces/fnac\""), "{all}");
    assert!(all.contains("note &#60;i&#62;shop") && !all.contains("<i>shop"), "{all}");
    let some = page(&daemon, "/events?stream=interface%2Ffnac&type=interface-paused&after=").await;
    assert_eq!(some.matches("<tr data-row>").count(), 1, "{some}");
    let none = page(&daemon, "/events?type=drain-asked").await;
    assert!(none.contains("No event fits") && none.contains("Clear filters"), "{none}");
    let wrong = daemon.local_with(Method::GET, "/events?type=clsed", &[BROWSER], "").await;
    assert!(wrong.text().contains("did you mean <code>closed</code>?"), "{}", wrong.text());
}

#[tokio::test]
async fn events_have_pages_that_keep_the_filters() {
    let daemon = Daemon::start().await;
    for n in 0..60 {
        let paused = InterfacePaused { note: Some(format!("note-{n}")), until: None };
        daemon.record("interface/fnac", paused).await;
    }
    let first = page(&daemon, "/events?type=interface-paused").await;
    assert!(first.contains("note-59") && !first.contains("note-9<"), "{first}");
    let next = first.split("rel=\"next\" href=\"").nth(1).expect("a next page");
    let next = next.split('"').next().expect("its end").replace("&#38;", "&").replace("&amp;", "&");
    assert!(next.starts_with("/events?type=interface-paused&cursor="), "{next}");
    let second = page(&daemon, &next).await;
    assert!(second.contains("note-9<") && !second.contains("note-59"), "{second}");
    assert!(second.contains("First page"), "{second}");
}

#[tokio::test]
async fn an_event_is_a_page_between_its_neighbours() {
    let daemon = Daemon::start().await;
    for note in ["one", "two"] {
        let paused = InterfacePaused { note: Some(note.to_owned()), until: None };
        daemon.record("interface/fnac", paused).await;
    }
    let newest = daemon.get("/api/events?limit=1").await.json()["items"][0]["position"].clone();
    let seen = page(&daemon, &format!("/events/{newest}")).await;
    assert!(seen.contains("&#34;note&#34;: &#34;two&#34;") || seen.contains("\"note\""), "{seen}");
    assert!(seen.contains(">Before<") && !seen.contains(">After<"), "{seen}");
    let missing = daemon.local_with(Method::GET, "/events/99999", &[BROWSER], "").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_operator_has_the_store_verified() {
    let daemon = Daemon::start().await;
    let operator = browser(&daemon, Role::Operator).await;
    let operator = operator.each_ref().map(|(name, value)| (*name, value.as_str()));
    let verified = daemon.tcp_with(Method::POST, "/events/verify", &operator, "head=&at=").await;
    assert_eq!(verified.status, StatusCode::OK, "{}", verified.text());
    assert!(verified.text().contains("All is whole"), "{}", verified.text());
    let wrong = daemon.tcp_with(Method::POST, "/events/verify", &operator, "at=7").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn settings_have_their_origins_and_no_secret() {
    let daemon = Daemon::start().await;
    let seen = page(&daemon, "/settings").await;
    assert!(seen.contains("<code>--data</code>") && seen.contains("$DAYBOOK_PING"), "{seen}");
    assert!(seen.contains("<code>***</code>") && !seen.contains("hc-ping.example"), "{seen}");
    assert!(seen.contains("max_concurrent"), "{seen}");
}

#[tokio::test]
async fn the_doctor_shows_what_fails_first_and_how_to_mend_it() {
    let daemon = Daemon::start().await;
    let seen = page(&daemon, "/doctor").await;
    let told = daemon.get("/api/doctor").await.json();
    let checks = told["checks"].as_array().expect("checks").clone();
    assert_eq!(seen.matches("<tr data-row").count(), checks.len());
    let worst = seen.find("> fail<").unwrap_or(0);
    assert!(worst < seen.find("> ok<").expect("a good one"), "{seen}");
}

#[tokio::test]
async fn the_reference_has_every_operation_on_a_small_page() {
    let daemon = Daemon::start().await;
    let index = page(&daemon, "/api").await;
    let document = daemon.get("/api/openapi.json").await.json();
    let mut tags = std::collections::BTreeSet::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (_, operation) in operations.as_object().expect("operations") {
            let (id, tag) = (&operation["operationId"], &operation["tags"][0]);
            let (id, tag) = (id.as_str().expect("an id"), tag.as_str().expect("a tag"));
            assert!(index.contains(&format!("/api?tag={tag}#{id}")), "{path}");
            tags.insert(tag.to_owned());
        }
    }
    for tag in tags {
        let shown = page(&daemon, &format!("/api?tag={tag}")).await;
        assert!(shown.contains("curl -sS"), "{tag}");
    }
    let schedules = page(&daemon, "/api?tag=schedules").await;
    assert!(schedules.contains("/api/schedules/INTERFACE/SCHEDULE/run"), "{schedules}");
    assert!(schedules.contains("at_least") && schedules.contains("operator"), "{schedules}");
    let wrong = daemon.local_with(Method::GET, "/api?tag=nothing", &[BROWSER], "").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
}
