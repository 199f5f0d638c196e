//! What changes something.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::Value;

use super::access::filled;
use crate::domain::access::Role;
use crate::domain::definition::Overlap;
use crate::domain::event::Outcome;
use crate::http::routes::ROUTES;
use crate::http::testing::{Answer, Daemon};
use crate::ids::ExecutionId;

const RUN: &str = "/api/schedules/fnac/sales/run";

/// S3-14.
#[tokio::test]
async fn run_answers_with_the_execution_its_place_and_its_position() {
    let daemon = Daemon::start().await;
    let before = daemon.get("/api/schedules/fnac/sales").await.json()["next"].clone();
    let answer = daemon.post(RUN, r#"{"params":{}}"#).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let execution = answer.json();
    let place = format!("/api/executions/{}", execution["id"].as_str().expect("an id"));
    assert_eq!(answer.header("location"), Some(place.as_str()));
    assert_eq!(answer.header("x-daybook-position"), Some("1"));
    assert_eq!(execution["trigger"], "manual");
    assert_eq!(daemon.get(&place).await.json(), execution);
    assert_eq!(daemon.get("/api/schedules/fnac/sales").await.json()["next"], before);
}

#[tokio::test]
async fn what_does_not_exist_is_a_problem_with_the_requests_id() {
    let daemon = Daemon::start().await;
    for path in ["/api/schedules/fnac/none/run", "/api/schedules/FNAC/..%2F..%2Fetc/run"] {
        let headers = [("x-request-id", "r-1")];
        let answer = daemon.local_with(Method::POST, path, &headers, "").await;
        let problem = answer.json();
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.header("x-request-id"), Some("r-1"));
        assert_eq!(problem["request_id"], "r-1");
        assert_eq!(problem["instance"], path);
        assert_eq!(problem["code"], "not-found");
        assert!(problem["action"].is_string() && problem["class"].is_null());
    }
}

#[tokio::test]
async fn a_wrong_body_is_named_field_by_field() {
    let daemon = Daemon::start().await;
    let broken = daemon.post(RUN, "{").await;
    assert_eq!(
        (broken.status, broken.json()["code"].as_str()),
        (StatusCode::BAD_REQUEST, Some("bad-json"))
    );
    let wrong = daemon.post(RUN, r#"{"params":[],"force":"perhaps","parms":{}}"#).await;
    let problem = wrong.json();
    let pointers: Vec<_> = problem["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|e| e["pointer"].as_str())
        .collect();
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(pointers, [Some("/params"), Some("/force"), Some("/parms")]);
    let headers = [("content-type", "text/plain")];
    let plain = daemon.tcp_with(Method::POST, RUN, &headers, "").await;
    assert_eq!(plain.status, StatusCode::UNAUTHORIZED);
}

/// What stands in the wrong place is not heard: a dry run that is none would run.
#[tokio::test]
async fn a_command_refuses_what_its_query_names() {
    let daemon = Daemon::start().await;
    let dry = daemon.post("/api/executions/rerun?dry_run=true", r#"{"ids":["latest"]}"#).await;
    assert_eq!(dry.status, StatusCode::UNPROCESSABLE_ENTITY);
    let belongs = serde_json::json!([{"pointer": "?dry_run", "detail": "belongs into the body"}]);
    assert_eq!(dry.json()["errors"], belongs);
    for route in ROUTES.iter().filter(|route| route.method != Method::GET) {
        let path = format!("{}?nonsense=1", filled(route.path));
        let refused = daemon.local(route.method.clone(), &path, "").await;
        let place = format!("{} {path}: {}", route.method, refused.text());
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{place}");
        assert!(refused.text().contains("?nonsense"), "{place}");
    }
    assert_eq!(daemon.post("/api/reload?at_least=0", "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_body_above_one_mebibyte_is_refused() {
    let daemon = Daemon::start().await;
    let body = format!(r#"{{"note":"{}"}}"#, "x".repeat(1024 * 1024));
    let answer = daemon.post("/api/schedules/fnac/sales/pause", &body).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer_and_does_nothing_again() {
    let daemon = Daemon::start().await;
    let key = [("idempotency-key", "\"once\"")];
    let first = daemon.local_with(Method::POST, RUN, &key, "{}").await;
    let again = daemon.local_with(Method::POST, RUN, &key, "{}").await;
    assert_eq!(again.status, StatusCode::ACCEPTED);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.json(), first.json());
    assert_eq!(again.header("location"), first.header("location"));
    assert!(again.header("x-daybook-position").is_some());
    let list = daemon.get("/api/executions").await.json();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    let other = daemon.local_with(Method::POST, RUN, &key, r#"{"force":true}"#).await;
    assert_eq!(
        (other.status, other.json()["code"].as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, Some("key-reused"))
    );
}

#[tokio::test]
async fn a_refused_request_may_be_repeated_with_its_key() {
    let daemon = Daemon::start().await;
    let key = [("idempotency-key", "twice")];
    for _ in 0..2 {
        let answer =
            daemon.local_with(Method::POST, "/api/schedules/fnac/none/run", &key, "").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.header("idempotency-replayed"), None);
    }
}

/// S3-15.
#[tokio::test]
async fn a_rerun_by_id_is_a_new_execution_that_names_its_parent() {
    let daemon = Daemon::start().await;
    let old = daemon.run().await;
    let body = format!(r#"{{"ids":["{old}"]}}"#);
    let early = daemon.post("/api/executions/rerun", &body).await;
    assert_eq!(early.status, StatusCode::CONFLICT);
    assert_eq!(early.json()["execution"], old.to_string());

    daemon.write(old, &["External: no answer"], Some(Outcome::Ko)).await;
    let answer = daemon.post("/api/executions/rerun", &body).await;
    let item = answer.json()["items"][0].clone();
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(item["of"], old.to_string());
    assert_eq!(item["execution"]["rerun_of"], old.to_string());
    let place = format!("/api/executions/{}", item["id"].as_str().expect("an id"));
    assert_eq!(answer.header("location"), Some(place.as_str()));
}

#[tokio::test]
async fn a_rerun_by_query_takes_what_the_list_shows_and_a_dry_run_starts_nothing() {
    let daemon = Daemon::start().await;
    for end in [Outcome::Ko, Outcome::Ok, Outcome::Ko] {
        let id = daemon.run().await;
        daemon.write(id, &["x"], Some(end)).await;
    }
    let dry =
        daemon.post("/api/executions/rerun", r#"{"query":{"status":"ko"},"dry_run":true}"#).await;
    assert_eq!(
        (dry.status, dry.json()["items"].as_array().map(Vec::len)),
        (StatusCode::OK, Some(2))
    );
    assert_eq!(
        daemon.get("/api/executions").await.json()["items"].as_array().map(Vec::len),
        Some(3)
    );
    let real = daemon.post("/api/executions/rerun", r#"{"query":{"status":"ko"}}"#).await;
    assert_eq!(
        (real.status, real.json()["items"].as_array().map(Vec::len)),
        (StatusCode::ACCEPTED, Some(2))
    );
    let nothing = daemon.post("/api/executions/rerun", r#"{"query":{"interface":"nobody"}}"#).await;
    assert_eq!(
        (nothing.status, nothing.json()["items"].as_array().map(Vec::len)),
        (StatusCode::OK, Some(0))
    );
    for wrong in [r#"{"ids":["latest"],"query":{}}"#, r#"{"query":{}}"#] {
        let refused = daemon.post("/api/executions/rerun", wrong).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
    }
    let wrong = daemon.post("/api/executions/rerun", r#"{"query":{"status":"red"}}"#).await;
    assert_eq!(wrong.json()["errors"][0]["pointer"], "/query/status");
}

/// Each with its problem's code, in the order of the answer.
fn told(answer: &Answer) -> Vec<(String, Option<String>)> {
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let answer = answer.json();
    let items = answer["items"].as_array().expect("items").iter();
    items.map(|row| (text(&row["of"]).expect("an id"), text(&row["problem"]["code"]))).collect()
}

async fn rerun(daemon: &Daemon, id: ExecutionId, end: Outcome) -> ExecutionId {
    let body = format!(r#"{{"ids":["{id}"]}}"#);
    let answer = daemon.post("/api/executions/rerun", &body).await;
    let again = answer.json()["items"][0]["id"].as_str().expect("an id").parse().expect("a UUID");
    daemon.write(again, &["x"], Some(end)).await;
    again
}

/// Contract, rule 5: only an open KO asks for a re-run.
#[tokio::test]
async fn a_query_runs_again_what_is_open_and_of_a_chain_only_the_newest() {
    let daemon = Daemon::start().await;
    let mut kos = Vec::new();
    for _ in 0..4 {
        let id = daemon.run().await;
        daemon.write(id, &["x"], Some(Outcome::Ko)).await;
        kos.push(id);
    }
    let [solved, seen, twice, open] = kos[..] else { panic!("four") };
    rerun(&daemon, solved, Outcome::Ok).await;
    daemon.post(&format!("/api/executions/{seen}/notes"), r#"{"acknowledged":true}"#).await;
    let newer = rerun(&daemon, twice, Outcome::Ko).await;
    rerun(&daemon, newer, Outcome::Cancelled).await;

    let passed = Some("not-open".to_owned());
    let expected = [
        (solved.to_string(), passed.clone()),
        (seen.to_string(), passed.clone()),
        (twice.to_string(), passed),
        (open.to_string(), None),
        (newer.to_string(), None),
    ];
    let query = r#"{"query":{"status":"ko"}}"#;
    let real = daemon.post("/api/executions/rerun", query).await;
    assert_eq!(told(&real), expected);
    assert!(real.text().contains(&format!("`{newer}` is a newer run of it")), "{}", real.text());
    let forced = r#"{"query":{"status":"ko"},"force":true,"dry_run":true}"#;
    let forced = told(&daemon.post("/api/executions/rerun", forced).await);
    assert!(forced.len() == 5 && forced.iter().all(|(_, problem)| problem.is_none()), "{forced:?}");
    let by_id = format!(r#"{{"ids":["{solved}"]}}"#);
    assert_eq!(daemon.post("/api/executions/rerun", &by_id).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_dry_run_counts_what_the_batch_itself_would_put_in_the_way_oldest_first() {
    let daemon = Daemon::start().await;
    let mut kos = Vec::new();
    for _ in 0..2 {
        let id = daemon.run().await;
        daemon.write(id, &["x"], Some(Outcome::Ko)).await;
        kos.push(id.to_string());
    }
    let body = format!(r#"{{"ids":["{}","{}"],"dry_run":true}}"#, kos[1], kos[0]);
    let dry = told(&daemon.post("/api/executions/rerun", &body).await);
    let conflict = Some("conflict".to_owned());
    assert_eq!(dry, [(kos[0].clone(), None), (kos[1].clone(), conflict)]);
}

#[tokio::test]
async fn a_dry_run_tells_what_would_stand_in_the_way() {
    let daemon = Daemon::start().await;
    let old = daemon.run().await;
    let problem = async |more: &str| {
        let body = format!(r#"{{"ids":["{old}"],"dry_run":true{more}}}"#);
        let answer = daemon.post("/api/executions/rerun", &body).await;
        answer.json()["items"][0]["problem"]["code"].clone()
    };
    assert_eq!(problem("").await, "conflict", "it is not over");
    daemon.write(old, &["x"], Some(Outcome::Ko)).await;
    assert!(problem("").await.is_null());
    daemon.run().await;
    assert_eq!(problem("").await, "conflict", "another one of the schedule is open");
    assert!(problem(r#","force":true"#).await.is_null());
    for (overlap, expected) in
        [(Overlap::QueueAll, Value::from("conflict")), (Overlap::Allow, Value::Null)]
    {
        daemon.app.engine.board().write(|state| {
            for row in state.schedules.values_mut() {
                let schedules = &mut Arc::make_mut(&mut row.definition).schedules;
                schedules.values_mut().for_each(|schedule| schedule.overlap = overlap);
            }
        });
        assert_eq!(problem("").await, expected, "{overlap:?}");
    }
}

#[tokio::test]
async fn a_note_needs_something_to_say_and_a_ticket_is_shown() {
    let daemon = Daemon::start().await;
    let id = daemon.run().await;
    let path = format!("/api/executions/{id}/notes");
    assert_eq!(daemon.post(&path, "{}").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let noted = daemon.post(&path, r#"{"reference":"KAY-7","text":"asked them"}"#).await;
    assert_eq!(noted.status, StatusCode::CREATED);
    assert_eq!(noted.json()["references"], serde_json::json!(["KAY-7"]));
}

#[tokio::test]
async fn cancel_takes_a_running_execution_and_no_other() {
    let daemon = Daemon::start().await;
    let id = daemon.run().await;
    let path = format!("/api/executions/{id}/cancel");
    assert_eq!(daemon.post(&path, r#"{"note":"wrong day"}"#).await.status, StatusCode::ACCEPTED);
    daemon.write(id, &["ended"], Some(Outcome::Cancelled)).await;
    assert_eq!(daemon.post(&path, "").await.status, StatusCode::CONFLICT);
    let stranger = "/api/executions/00000000-0000-8000-8000-000000000000/cancel";
    assert_eq!(daemon.post(stranger, "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_pause_shows_at_once_and_ends_with_resume() {
    let daemon = Daemon::start().await;
    for path in ["/api/schedules/fnac/sales", "/api/interfaces/fnac"] {
        let paused = daemon.post(&format!("{path}/pause"), r#"{"note":"maintenance"}"#).await;
        assert_eq!(
            (paused.status, paused.json()["state"].as_str()),
            (StatusCode::OK, Some("paused"))
        );
        let shown = daemon.get(path).await.json()["paused"].clone();
        assert_eq!((&shown["note"], &shown["until"]), (&"maintenance".into(), &Value::Null));
        assert!(
            shown["actor"].as_str().is_some_and(|actor| actor.starts_with("local:")),
            "{shown}"
        );
        let resumed = daemon.post(&format!("{path}/resume"), "").await;
        assert_eq!(
            (&resumed.json()["state"], &resumed.json()["paused"]),
            (&"active".into(), &Value::Null)
        );
    }
    let past = r#"{"until":"2001-01-01T00:00:00Z"}"#;
    let past = daemon.post("/api/interfaces/fnac/pause", past).await;
    assert_eq!(past.json()["errors"][0]["pointer"], "/until");
}

#[tokio::test]
async fn skip_next_answers_with_the_slot_and_undo_takes_it_back() {
    let daemon = Daemon::start().await;
    let path = "/api/schedules/fnac/sales/skip-next";
    let skipped = daemon.post(path, "").await;
    assert_eq!(skipped.status, StatusCode::OK, "{}", skipped.text());
    let slot = skipped.json();
    assert_eq!((&slot["outcome"], &slot["reason"]), (&"pending".into(), &"skip-next".into()));
    let undone = daemon.post(path, r#"{"undo":true}"#).await.json();
    assert_eq!((&undone["at"], &undone["reason"]), (&slot["at"], &Value::Null));
    let nothing = daemon.post("/api/schedules/fnac/manual/skip-next", "").await;
    assert_eq!(nothing.status, StatusCode::CONFLICT, "{}", nothing.text());
    let nobody = daemon.post("/api/schedules/fnac/nobody/skip-next", "").await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
    let wrong = daemon.post(path, r#"{"undone":true}"#).await;
    assert_eq!(wrong.json()["errors"][0]["pointer"], "/undone");
}

#[tokio::test]
async fn interface_test_looks_at_the_jobs_and_touches_no_ping() {
    let daemon = Daemon::start().await;
    let report = daemon.post("/api/interfaces/fnac/test", "").await;
    assert_eq!(report.json()["ok"], true, "{}", report.text());
    assert!(report.text().contains("/bin/true"));
    assert!(!report.text().contains("hc-ping"));
}

#[tokio::test]
async fn reload_check_and_verify_answer() {
    let daemon = Daemon::start().await;
    assert_eq!(daemon.post("/api/reload", "").await.json()["problems"], serde_json::json!([]));
    let checked = daemon.post("/api/check", "").await;
    assert_eq!(checked.status, StatusCode::OK, "{}", checked.text());
    assert_eq!(daemon.post("/api/store/verify", "").await.json()["ok"], true);
    let plan = daemon.post("/api/store/compact", r#"{"dry_run": true}"#).await.json();
    assert_eq!(
        (&plan["dry_run"], &plan["interfaces"]),
        (&serde_json::json!(true), &serde_json::json!([]))
    );
}

#[tokio::test]
async fn a_drain_is_an_admins_and_names_its_deadline_everywhere() {
    let daemon = Daemon::start().await;
    let refused = daemon.tcp(Role::Operator, Method::POST, "/api/drain", "{}").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    for deadline in ["soon", "2020-11-22T10:00:00Z"] {
        let wrong = daemon.post("/api/drain", &format!(r#"{{"deadline":"{deadline}"}}"#)).await;
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY, "{deadline}");
    }
    assert_eq!(daemon.get("/api/status").await.json()["draining"], serde_json::Value::Null);

    let deadline = "2199-11-22T10:00:00.000Z";
    let drained = daemon.post("/api/drain", &format!(r#"{{"deadline":"{deadline}"}}"#)).await;
    assert_eq!(drained.status, StatusCode::ACCEPTED, "{}", drained.text());
    let status = daemon.get("/api/status").await.json();
    assert_eq!(status["draining"], drained.json()["draining"]);
    assert_eq!(status["draining"]["deadline"], deadline);
    let reasons = status["reasons"].as_array().expect("a list");
    let reason = reasons.iter().find(|reason| reason["code"] == "draining").expect("it says so");
    let detail = reason["detail"].as_str().expect("a text");
    assert!(detail.ends_with(&format!("at {deadline} at the latest")), "{detail}");
    let doctor = daemon.get("/api/doctor").await.json();
    let checks = doctor["checks"].as_array().expect("a list");
    let found = checks.iter().find(|check| check["name"] == "draining").expect("a check");
    assert_eq!(found["state"], "warn");
}
