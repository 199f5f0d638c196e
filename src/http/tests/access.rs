//! Who may do what.

use std::collections::BTreeSet;

use http::{Method, StatusCode};

use crate::config::MetricsAccess;
use crate::domain::access::Role;
use crate::http::router::documented;
use crate::http::routes::{self, Access, ROUTES};
use crate::http::testing::Daemon;

/// A path for a route's pattern. What it names need not exist.
pub(super) fn filled(pattern: &str) -> String {
    pattern
        .replace("{interface}", "fnac")
        .replace("{schedule}", "sales")
        .replace("{execution}", "latest")
        .replace("{position}", "1")
        .replace("{token}", "00000000")
        .replace("{secret}", "unknown")
        .replace("{name}", "unknown")
}

const CALLERS: [&str; 5] = ["none", "bad", "viewer", "operator", "admin"];

async fn status_for(
    daemon: &Daemon,
    route: &crate::http::routes::Route,
    caller: &str,
) -> StatusCode {
    let bearer = match caller {
        "none" => None,
        "bad" => Some(format!("Bearer db_{}_00000000", "0".repeat(64))),
        role => Some(format!("Bearer {}", daemon.tokens[&role.parse::<Role>().expect("a role")])),
    };
    let headers: Vec<(&str, &str)> =
        bearer.iter().map(|value| ("authorization", value.as_str())).collect();
    daemon.tcp_with(route.method.clone(), &filled(route.path), &headers, "").await.status
}

#[tokio::test]
async fn every_route_lets_exactly_those_through_whom_the_table_names() {
    let daemon = Daemon::start().await;
    for route in routes::all().filter(|route| !route.path.starts_with("/login")) {
        for caller in CALLERS {
            let status = status_for(&daemon, route, caller).await;
            let place = format!("{} {} as {caller}: {status}", route.method, route.path);
            let refused = [401, 403, 429].contains(&status.as_u16());
            match (route.access, caller.parse::<Role>()) {
                (Access::Open | Access::Metrics, _) => assert!(!refused, "{place}"),
                (Access::Role(needed), Ok(role)) if role >= needed => assert!(!refused, "{place}"),
                (Access::Role(_), Ok(_)) => assert_eq!(status, StatusCode::FORBIDDEN, "{place}"),
                // The eleventh bad token of this address is one too many.
                (Access::Role(_), Err(_)) => {
                    assert!([401, 429].contains(&status.as_u16()), "{place}");
                }
            }
        }
    }
}

#[tokio::test]
async fn the_document_and_the_table_name_the_same_routes() {
    let (_, document) = documented();
    let mut routed = BTreeSet::new();
    for route in ROUTES {
        routed.insert(format!("{} {}", route.method, route.path));
    }
    let mut written = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for method in operations.as_object().expect("operations").keys() {
            written.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    assert_eq!(routed, written);
}

#[tokio::test]
async fn the_document_is_openapi_3_1_and_names_the_problem() {
    let daemon = Daemon::start().await;
    let document = daemon.get("/api/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["components"]["schemas"]["ProblemBody"].is_object());
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
}

#[tokio::test]
async fn every_documented_route_is_routed() {
    let daemon = Daemon::start().await;
    for route in routes::all().filter(|route| route.method != Method::DELETE) {
        let answer = daemon.local(route.method.clone(), &filled(route.path), "").await;
        let unrouted = answer.text().contains("there is no such address")
            || answer.status == StatusCode::METHOD_NOT_ALLOWED;
        assert!(!unrouted, "{} {}: {}", route.method, route.path, answer.text());
    }
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once() {
    let daemon = Daemon::start().await;
    let made = daemon.post("/api/tokens", r#"{"name":"ci","role":"viewer"}"#).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let bearer = format!("Bearer {}", made.json()["token"].as_str().expect("a token"));
    let before =
        daemon.tcp_with(Method::GET, "/api/status", &[("authorization", &bearer)], "").await;
    assert_eq!(before.status, StatusCode::OK);
    let path = format!("/api/tokens/{}", made.json()["id"].as_str().expect("an id"));
    let revoked = daemon.local(Method::DELETE, &path, "").await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    let after =
        daemon.tcp_with(Method::GET, "/api/status", &[("authorization", &bearer)], "").await;
    assert_eq!(after.status, StatusCode::UNAUTHORIZED);
    assert_eq!(after.header("www-authenticate"), Some("Bearer realm=\"daybook\""));
}

#[tokio::test]
async fn a_token_is_shown_once_and_never_stands_in_the_log() {
    let daemon = Daemon::start().await;
    let body = r#"{"name":"ci","role":"operator"}"#;
    let headers = [("idempotency-key", "make-ci")];
    let made = daemon.local_with(Method::POST, "/api/tokens", &headers, body).await;
    let token = made.json()["token"].as_str().expect("a token").to_owned();
    let again = daemon.local_with(Method::POST, "/api/tokens", &headers, body).await;
    assert_eq!(again.json()["token"], token.as_str());
    let listed = daemon.get("/api/tokens").await.text();
    assert!(listed.contains("\"ci\"") && !listed.contains(&token), "{listed}");
    let events = daemon.get("/api/events").await.text();
    assert!(events.contains("token-created") && !events.contains(&token), "{events}");
}

#[tokio::test]
async fn two_tokens_cannot_share_a_name() {
    let daemon = Daemon::start().await;
    let body = r#"{"name":"viewer","role":"viewer"}"#;
    assert_eq!(daemon.post("/api/tokens", body).await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_login_link_sets_a_cookie_that_only_our_own_pages_may_change_things_with() {
    let daemon = Daemon::start().await;
    let link = daemon.post("/api/login-links", "").await.json();
    let path = link["path"].as_str().expect("a path").to_owned();
    let looked = daemon.tcp_with(Method::HEAD, &path, &[], "").await;
    assert_eq!((looked.status, looked.header("set-cookie")), (StatusCode::NO_CONTENT, None));
    let landed = daemon.tcp_with(Method::GET, &path, &[], "").await;
    assert_eq!((landed.status, landed.header("location")), (StatusCode::SEE_OTHER, Some("/")));
    let cookie = landed.header("set-cookie").expect("a cookie").to_owned();
    assert!(cookie.contains("HttpOnly; SameSite=Lax") && !cookie.contains("Secure"), "{cookie}");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    let reads = daemon.tcp_with(Method::GET, "/api/status", &[("cookie", &cookie)], "").await;
    assert_eq!(reads.status, StatusCode::OK);

    let run = "/api/schedules/fnac/sales/run";
    let stray = [("cookie", cookie.as_str()), ("sec-fetch-site", "cross-site")];
    let crossed = daemon.tcp_with(Method::POST, run, &stray, "").await;
    assert_eq!(
        (crossed.status, crossed.json()["code"].as_str()),
        (StatusCode::FORBIDDEN, Some("cross-site"))
    );
    let own = [("cookie", cookie.as_str()), ("sec-fetch-site", "same-origin")];
    let started = daemon.tcp_with(Method::POST, run, &own, "").await;
    assert_eq!(started.status, StatusCode::ACCEPTED);
    let actor = format!("session:{}", link["id"].as_str().expect("an id"));
    assert_eq!(daemon.get("/api/events").await.json()["items"][0]["actor"], actor.as_str());

    let twice = daemon.tcp_with(Method::GET, &path, &[], "").await;
    assert_eq!(twice.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn guesses_are_slowed_down_and_valid_tokens_are_not() {
    let daemon = Daemon::start().await;
    let bad = [("authorization", "Bearer db_guess")];
    let mut last = None;
    for _ in 0..11 {
        last = Some(daemon.tcp_with(Method::GET, "/api/status", &bad, "").await);
    }
    let last = last.expect("an answer");
    assert_eq!(last.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(last.header("retry-after").is_some());
    let valid = daemon.tcp(Role::Viewer, Method::GET, "/api/status", "").await;
    assert_eq!(valid.status, StatusCode::OK);
}

#[tokio::test]
async fn the_metrics_are_open_to_this_machine_and_not_through_a_proxy() {
    let daemon = Daemon::start().await;
    let here = daemon.tcp_with(Method::GET, "/metrics", &[], "").await;
    assert_eq!(here.status, StatusCode::OK);
    let passed_on = [("x-forwarded-for", "192.0.2.7")];
    let passed_on = daemon.tcp_with(Method::GET, "/metrics", &passed_on, "").await;
    assert_eq!(passed_on.status, StatusCode::UNAUTHORIZED);
    let daemon = Daemon::with(MetricsAccess::Token, None).await;
    let nobody = daemon.tcp_with(Method::GET, "/metrics", &[], "").await;
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
    let viewer = daemon.tcp(Role::Viewer, Method::GET, "/metrics", "").await;
    assert_eq!(viewer.status, StatusCode::OK);
}
