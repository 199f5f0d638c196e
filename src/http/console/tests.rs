//! The pages over real sockets.

mod executions;
mod records;
mod schedules;

use std::time::Duration;

use http::{Method, StatusCode};

use crate::domain::access::Role;
use crate::domain::class::Class;
use crate::http::testing::{Answer, Daemon};

const BROWSER: (&str, &str) = ("accept", "text/html,application/xhtml+xml");
const OURS: (&str, &str) = ("sec-fetch-site", "same-origin");

/// A browser with the session of a token.
async fn browser(daemon: &Daemon, role: Role) -> [(&'static str, String); 3] {
    let entered = log_in(daemon, &daemon.tokens[&role]).await;
    let pair = |(name, value): (&'static str, &str)| (name, value.to_owned());
    [pair(BROWSER), pair(OURS), ("cookie", cookie(&entered))]
}

/// A page as a browser with a token's session sees it.
async fn log_in(daemon: &Daemon, token: &str) -> Answer {
    let body = format!("token={token}&next=%2Fexecutions%3Fstatus%3Dko");
    daemon.tcp_with(Method::POST, "/login", &[BROWSER, OURS], &body).await
}

fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie").expect("a session");
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax"), "{set}");
    set.split(';').next().expect("a pair").to_owned()
}

#[tokio::test]
async fn a_browser_that_is_not_known_is_led_to_the_login_and_back() {
    let daemon = Daemon::start().await;
    let page = daemon.tcp_with(Method::GET, "/?x=1", &[BROWSER], "").await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    assert_eq!(page.header("location"), Some("/login?next=%2F%3Fx%3D1"));
    let part = daemon.tcp_with(Method::GET, "/", &[("hx-request", "true")], "").await;
    assert_eq!((part.status, part.header("hx-redirect")), (StatusCode::NO_CONTENT, Some("/login")));
    let program = daemon.tcp_with(Method::GET, "/", &[("accept", "*/*")], "").await;
    assert_eq!(program.status, StatusCode::UNAUTHORIZED);
    assert_eq!(program.json()["code"], "unauthenticated");
    let login = daemon.tcp_with(Method::GET, "/login?next=%2F%3Fx%3D1", &[BROWSER], "").await;
    assert!(login.text().contains("name=\"next\" value=\"/?x=1\""), "{}", login.text());
}

#[tokio::test]
async fn a_token_that_is_typed_gives_a_session_that_may_do_what_it_may_and_ends_with_it() {
    let daemon = Daemon::start().await;
    let made = daemon.post("/api/tokens", r#"{"name":"desk","role":"viewer"}"#).await.json();
    let entered = log_in(&daemon, made["token"].as_str().expect("a token")).await;
    assert_eq!(entered.status, StatusCode::SEE_OTHER, "{}", entered.text());
    assert_eq!(entered.header("location"), Some("/executions?status=ko"));
    let cookie = cookie(&entered);
    let session = [BROWSER, OURS, ("cookie", cookie.as_str())];
    let page = daemon.tcp_with(Method::GET, "/", &session, "").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text().contains("token:desk"), "{}", page.text());
    let run = "/api/schedules/fnac/sales/run";
    let refused = daemon.tcp_with(Method::POST, run, &session, "").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let id = made["id"].as_str().expect("an id");
    daemon.local(Method::DELETE, &format!("/api/tokens/{id}"), "").await;
    let after = daemon.tcp_with(Method::GET, "/", &session, "").await;
    assert_eq!(after.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_login_from_another_site_or_with_a_wrong_token_is_refused_and_counted() {
    let daemon = Daemon::start().await;
    let token = daemon.tokens[&Role::Admin].clone();
    let body = format!("token={token}");
    let foreign = [BROWSER, ("sec-fetch-site", "cross-site")];
    let refused = daemon.tcp_with(Method::POST, "/login", &foreign, &body).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.header("set-cookie").is_none());
    let wrong = format!("db_{}_00000000", "0".repeat(64));
    for _ in 0..10 {
        assert_eq!(log_in(&daemon, &wrong).await.status, StatusCode::UNAUTHORIZED);
    }
    let slowed = log_in(&daemon, &wrong).await;
    assert_eq!(slowed.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(slowed.header("retry-after").is_some());
    assert!(!slowed.text().contains(&wrong));
}

#[tokio::test]
async fn whoever_leaves_is_not_known_any_more() {
    let daemon = Daemon::start().await;
    let entered = log_in(&daemon, &daemon.tokens[&Role::Admin]).await;
    let cookie = cookie(&entered);
    let session = [BROWSER, OURS, ("cookie", cookie.as_str())];
    let left = daemon.tcp_with(Method::POST, "/logout", &session, "").await;
    assert_eq!((left.status, left.header("location")), (StatusCode::SEE_OTHER, Some("/login")));
    assert!(left.header("set-cookie").expect("forgotten").contains("Max-Age=0"));
    let page = daemon.tcp_with(Method::GET, "/", &session, "").await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_problem_is_a_page_for_a_browser_and_json_for_a_program() {
    let daemon = Daemon::start().await;
    let page = daemon.local_with(Method::GET, "/?colour=red", &[BROWSER], "").await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.header("content-type").expect("a type").starts_with("text/html"));
    assert!(page.text().contains("?colour"), "{}", page.text());
    let program = daemon.get("/?colour=red").await;
    assert_eq!(program.json()["code"], "invalid");
    let api = daemon.local_with(Method::GET, "/api/nowhere", &[BROWSER], "").await;
    assert_eq!(api.json()["code"], "not-found");
}

#[tokio::test]
async fn what_a_page_loads_is_ours_and_may_be_kept() {
    let daemon = Daemon::start().await;
    let page = daemon.get("/").await;
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let text = page.text();
    assert!(!text.contains("<style") && !text.contains(" style=") && !text.contains(" onclick"));
    let mut loaded = 0;
    for attribute in ["src=\"", "href=\""] {
        for rest in text.split(attribute).skip(1) {
            let address = rest.split('"').next().expect("an end");
            assert!(address.starts_with('/') || address.starts_with('#'), "{address}");
            if address.starts_with("/assets/") {
                let asset = daemon.tcp_with(Method::GET, address, &[], "").await;
                assert_eq!(asset.status, StatusCode::OK, "{address}");
                assert!(asset.header("cache-control").expect("kept").contains("immutable"));
                loaded += asset.body.len();
            }
        }
    }
    assert!(loaded + text.len() < 150_000, "{loaded} bytes and {} of the page", text.len());
}

#[tokio::test]
async fn the_overview_says_what_is_red_why_and_whose_move_it_is() {
    let daemon = Daemon::start().await;
    let id = daemon.run().await;
    let ko = Some(crate::domain::event::Outcome::Ko);
    daemon.write(id, &["begin", "External: <b>HTTP 503</b> from the shop"], ko).await;
    let green = daemon.get("/").await.text();
    assert!(green.contains("<title>Overview") && !green.contains("✖ red"), "{green}");
    daemon.app.engine.board().write(|state| {
        for interface in state.interfaces.values_mut() {
            interface.red = true;
        }
        for schedule in state.schedules.values_mut() {
            schedule.red = Some(id);
        }
    });
    let page = daemon.get("/").await.text();
    assert!(page.contains("<title>(1) Overview") && page.contains("✖ red"), "{page}");
    assert!(page.contains(&format!("href=\"/executions/{id}\"")), "{page}");
    assert!(page.contains("1 more schedule is red"), "{page}");
    let action = Class::External.action(None);
    assert!(page.contains(action.split('.').next().expect("a sentence")), "{page}");
    assert!(page.contains("HTTP 503") && !page.contains("<b>HTTP"), "no markup of a job: {page}");
}

#[tokio::test]
async fn the_overview_says_what_comes_within_a_day_and_whose_data_are_behind() {
    let daemon = Daemon::start().await;
    let page = daemon.get("/").await.text();
    assert!(page.contains("in the next 24 hours"), "{page}");
    assert!(!page.contains("◐ behind") && !page.contains("fresh ·"), "nothing ended ok: {page}");
    let board = daemon.app.engine.board();
    let ended_ok = |before: Duration| {
        board.write(|state| {
            for schedule in state.schedules.values_mut() {
                let now = daemon.app.clock.now().millis();
                let before = i64::try_from(before.as_millis()).expect("short");
                schedule.last_ok_at = Some(crate::instant::Instant::from_millis(now - before));
            }
        });
    };
    ended_ok(Duration::from_millis(1));
    let page = daemon.get("/").await.text();
    assert!(page.contains("fresh · new data due"), "{page}");
    let id = page.split("/interfaces/").nth(1).and_then(|rest| rest.split('"').next());
    let shown = daemon.get(&format!("/api/interfaces/{}", id.expect("a tile"))).await.json();
    assert_eq!(shown["freshness"]["behind"], false, "{shown}");
    ended_ok(Duration::from_hours(24 * 400));
    let page = daemon.get("/").await.text();
    assert!(page.contains("◐ behind") && page.contains("new data are overdue"), "{page}");
}
