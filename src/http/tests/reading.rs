//! What only reads.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;

use crate::domain::calendar::{Calendar, Weekday};
use crate::domain::class::Level;
use crate::domain::definition::ScheduleCalendars;
use crate::domain::event::{Change, InterfaceDefined, Outcome, Trigger};
use crate::domain::line::LineCounts;
use crate::http::testing::Daemon;
use crate::ids::CalendarId;
use crate::instant::Instant;
use crate::projection::view::{Paused, State};

#[tokio::test]
async fn a_list_is_cut_to_pages_that_link_to_the_next() {
    let daemon = Daemon::start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.insert(0, daemon.run().await.to_string());
    }
    let first = daemon.get("/api/executions?interface=fnac&limit=2").await;
    let link = first.header("link").expect("a link").to_owned();
    let next =
        link.strip_prefix('<').and_then(|l| l.strip_suffix(">; rel=\"next\"")).expect("a link");
    assert!(next.starts_with("/api/executions?interface=fnac&limit=2&cursor="), "{next}");
    let second = daemon.get(next).await;
    let shown = |page: &crate::http::testing::Answer| -> Vec<String> {
        let page = page.json();
        let items = page["items"].as_array().expect("items").iter();
        items.map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!([shown(&first), shown(&second)].concat(), ids);
    assert_eq!((second.header("link"), second.json()["next"].is_null()), (None, true));
}

#[tokio::test]
async fn schedules_are_paged_by_name() {
    let daemon = Daemon::start().await;
    let first = daemon.get("/api/schedules?limit=1").await.json();
    assert_eq!(
        (&first["items"][0]["schedule"], &first["next"]),
        (&"manual".into(), &"fnac/manual".into())
    );
    let second = daemon.get("/api/schedules?limit=1&cursor=fnac/manual").await.json();
    assert_eq!(
        (&second["items"][0]["schedule"], second["next"].is_null()),
        (&"sales".into(), true)
    );
    assert_eq!(
        daemon.get("/api/schedules?interface=other").await.json()["items"],
        serde_json::json!([])
    );
}

#[tokio::test]
async fn the_next_slots_are_pending() {
    let daemon = Daemon::start().await;
    let page =
        daemon.get("/api/schedules/fnac/sales/next?n=2&after=2026-11-22T09:00:00Z").await.json();
    assert_eq!(page["items"][0]["at"], "2026-11-22T10:00:00.000Z");
    assert_eq!(page["items"][1]["at"], "2026-11-22T12:00:00.000Z");
    assert_eq!(page["items"][0]["outcome"], "pending");
    assert_eq!(page["items"][0].get("note"), Some(&serde_json::Value::Null));
    assert_eq!(
        daemon.get("/api/schedules/fnac/manual/next").await.json()["items"],
        serde_json::json!([])
    );
    let slots = daemon.get("/api/schedules/fnac/sales/slots?limit=5").await;
    assert_eq!(slots.json()["items"], serde_json::json!([]));
}

#[tokio::test]
async fn events_are_shown_newest_first_or_followed_from_a_position() {
    let daemon = Daemon::start().await;
    let id = daemon.run().await;
    for n in 0..4 {
        daemon.post(&format!("/api/executions/{id}/notes"), &format!(r#"{{"text":"{n}"}}"#)).await;
    }
    let positions = |answer: crate::http::testing::Answer| -> (Vec<u64>, String) {
        let page = answer.json();
        let items = page["items"].as_array().expect("items").iter();
        let next = page["next"].as_str().unwrap_or_default().to_owned();
        (items.map(|row| row["position"].as_u64().expect("a number")).collect(), next)
    };
    let (newest, next) = positions(daemon.get("/api/events?limit=2").await);
    assert_eq!(newest, [5, 4]);
    let (older, _) = positions(daemon.get(&format!("/api/events?limit=2&cursor={next}")).await);
    assert_eq!(older, [3, 2]);
    assert_eq!(positions(daemon.get("/api/events?after=3").await).0, [4, 5]);
    let (of_type, _) = positions(daemon.get("/api/events?type=noted&limit=1").await);
    assert_eq!(of_type, [5]);
    let stream = format!("/api/events?stream=execution/{id}&limit=3");
    assert_eq!(positions(daemon.get(&stream).await).0, [5, 4, 3]);
    let event = daemon.get("/api/events/1").await.json();
    let whoever = event["actor"].as_str().expect("an actor");
    for actor in ["people", whoever] {
        let by = format!("/api/events?actor={actor}");
        assert_eq!(positions(daemon.get(&by).await).0, [5, 4, 3, 2, 1], "{actor}");
    }
    assert_eq!(positions(daemon.get("/api/events?actor=token:ci").await).0, [0; 0]);
    let nobody = daemon.get("/api/events?actor=somebody").await;
    assert_eq!(nobody.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(nobody.text().contains("`somebody` is nobody"), "{}", nobody.text());
    assert_eq!((event["type"].as_str(), event["version"].as_u64()), (Some("opened"), Some(1)));
    assert!(event["actor"].as_str().is_some_and(|actor| actor.starts_with("local:")));
    assert_eq!(daemon.get("/api/events/6").await.status, StatusCode::NOT_FOUND);
    assert_eq!(daemon.get("/api/events/0").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_read_waits_for_the_position_that_it_names() {
    let daemon = Daemon::start().await;
    daemon.run().await;
    assert_eq!(daemon.get("/api/executions?at_least=1").await.status, StatusCode::OK);
    let header = [("x-daybook-position", "1")];
    let by_header = daemon.local_with(Method::GET, "/api/executions", &header, "").await;
    assert_eq!(by_header.status, StatusCode::OK);
    let beyond = daemon.get("/api/executions?at_least=99").await;
    assert_eq!(beyond.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn an_execution_is_found_by_a_prefix_of_its_id_and_as_the_latest() {
    let daemon = Daemon::start().await;
    let id = daemon.run().await.to_string();
    let prefix: String = id.chars().take(30).collect();
    for name in [id.as_str(), prefix.as_str(), "latest"] {
        assert_eq!(daemon.get(&format!("/api/executions/{name}")).await.json()["id"], id.as_str());
    }
    for name in ["latest-ko", "..", "%2e%2e%2fetc", "zz", "%ff"] {
        let answer = daemon.get(&format!("/api/executions/{name}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{name}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{name}");
    }
}

#[tokio::test]
async fn the_status_shows_what_runs_and_what_comes() {
    let daemon = Daemon::start().await;
    let id = daemon.run().await;
    let status = daemon.get("/api/status").await.json();
    assert_eq!(status["queued"], 1);
    assert_eq!(status["open"][0]["execution"], id.to_string());
    assert_eq!(status["next"][0]["schedule"], "sales");
    assert_eq!(status["interfaces"][0]["definition_version"], 3);
    assert_eq!(status["ready"], true);
}

#[tokio::test]
async fn ready_says_why_not() {
    let daemon = Daemon::start().await;
    assert_eq!(daemon.get("/readyz").await.status, StatusCode::OK);
    daemon.app.engine.board().write(|state| {
        state.health.append_error = Some("no sync".to_owned());
        state.files.problems = vec!["fnac.toml:3:8: unknown key `corn`".to_owned()];
    });
    let answer = daemon.get("/readyz").await;
    let body = answer.json();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        (&body["reasons"][0]["code"], &body["reasons"][1]["code"]),
        (&"append".into(), &"config".into())
    );
    assert_eq!(daemon.get("/healthz").await.status, StatusCode::OK);
    assert!(daemon.get("/metrics").await.text().contains("daybook_config_ok 0"));
}

#[tokio::test]
async fn the_doctor_names_what_is_wrong_and_how_to_mend_it() {
    let daemon = Daemon::start().await;
    let healthy = daemon.get("/api/doctor").await;
    assert_eq!(healthy.json()["ok"], true, "{}", healthy.text());
    let trees = "by parents and markers in /proc, without cgroups: the setting `cgroups` is false";
    assert!(healthy.text().contains(trees), "{}", healthy.text());
    daemon.app.engine.board().write(|state| {
        state.files.problems = vec!["fnac.toml:3:8: unknown key `corn`".to_owned()];
    });
    let ill = daemon.get("/api/doctor").await.json();
    let files =
        ill["checks"].as_array().and_then(|rows| rows.iter().find(|row| row["name"] == "files"));
    assert_eq!(ill["ok"], false);
    assert_eq!(files.map(|row| row["state"].clone()), Some("fail".into()));
    assert!(
        files.is_some_and(|row| row["fix"]
            .as_str()
            .is_some_and(|fix| fix.contains("daybook check")))
    );
}

#[tokio::test]
async fn a_wrong_method_names_the_right_ones() {
    let daemon = Daemon::start().await;
    let answer = daemon.local(Method::PUT, "/api/tokens", "").await;
    assert_eq!(
        (answer.status, answer.header("allow")),
        (StatusCode::METHOD_NOT_ALLOWED, Some("GET, HEAD, POST"))
    );
    assert_eq!(answer.json()["code"], "method-not-allowed");
    let unknown = daemon.get("/api/nothing").await;
    assert_eq!(
        (unknown.status, unknown.json()["code"].as_str()),
        (StatusCode::NOT_FOUND, Some("not-found"))
    );
}

#[tokio::test]
async fn requests_are_measured_by_route_and_never_by_path() {
    let daemon = Daemon::start().await;
    let id = daemon.run().await;
    daemon.get(&format!("/api/executions/{id}")).await;
    daemon.get("/nowhere/at/all").await;
    let text = daemon.get("/metrics").await.text();
    let line = r#"daybook_http_request_duration_seconds_count{code="200",method="GET",route="/api/executions/{execution}"} 1"#;
    assert!(text.contains(line), "{text}");
    assert!(text.contains(r#"route="unmatched""#) && !text.contains(&id.to_string()));
}

/// Contract, section 7. Needs `promtool` (package `prometheus`); without it the test proves nothing.
#[tokio::test]
async fn promtool_has_nothing_to_say_about_the_metrics() {
    let daemon = Daemon::start().await;
    let sales = "fnac/sales".parse().expect("a name");
    let metrics = &daemon.app.metrics;
    metrics.define_schedules([(&sales, Trigger::Cron)].into_iter());
    metrics.slot_started(&sales, Duration::from_millis(2));
    metrics.execution_finished(&sales, Trigger::Cron, Outcome::Ok, Duration::from_secs(2));
    let mut counts = LineCounts::default();
    counts.add(Level::Info, None, 3);
    metrics.log_lines(&sales.interface, counts);
    metrics.append_took(Duration::from_millis(1));
    let text = daemon.get("/metrics").await.text();
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = started else { return };
    let mut stdin = promtool.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut stdin, text.as_bytes()).expect("it reads");
    drop(stdin);
    let output = promtool.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&said).trim()), (Some(0), ""));
}

#[tokio::test]
async fn a_problem_names_the_path_but_no_query_and_no_secret() {
    let daemon = Daemon::start().await;
    let wrong = daemon.get("/api/schedules/fnac/none?x=1").await.json();
    assert_eq!(wrong["instance"], "/api/schedules/fnac/none");
    let login = daemon.get("/login/5ecret").await;
    assert!(
        login.json()["instance"].is_null() && !login.text().contains("5ecret"),
        "{}",
        login.text()
    );
}

#[tokio::test]
async fn slots_that_a_pause_or_the_file_skips_say_so_and_are_not_next() {
    let daemon = Daemon::start().await;
    let next = "/api/schedules/fnac/sales/next?n=2&after=2026-11-22T09:00:00Z";
    let set = |state: State, until: Option<&str>| {
        let until = until.map(|text| Instant::parse(text).expect("an instant"));
        let at = Instant::from_secs(0);
        let paused = Paused { at, actor: None, note: None, until };
        daemon.app.engine.board().write(|board| {
            for row in board.schedules.values_mut() {
                row.state = state;
                row.paused = (state == State::Paused).then(|| Box::new(paused.clone()));
            }
        });
    };
    let reasons = async || {
        let page = daemon.get(next).await.json();
        let items = page["items"].as_array().expect("items").iter();
        items.map(|row| row["reason"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let (paused, disabled) = (Some("paused".to_owned()), Some("disabled".to_owned()));
    set(State::Paused, Some("2026-11-22T11:00:00Z"));
    assert_eq!(reasons().await, [paused.clone(), None]);
    set(State::Paused, None);
    assert_eq!(reasons().await, [paused.clone(), paused]);
    assert_eq!(daemon.get("/api/status").await.json()["next"], serde_json::json!([]));
    set(State::Disabled, None);
    assert_eq!(reasons().await, [disabled.clone(), disabled]);
    assert_eq!(daemon.get("/api/status").await.json()["next"], serde_json::json!([]));
    set(State::Removed, None);
    assert_eq!(reasons().await, Vec::<Option<String>>::new());
}

#[tokio::test]
async fn slots_that_a_calendar_closes_say_which_and_the_next_one_that_runs_is_told() {
    let daemon = Daemon::start().await;
    daemon.app.engine.board().write(|board| {
        for row in board.schedules.values_mut() {
            let mut closed = (*row.definition).clone();
            let name: CalendarId = "sundays".parse().expect("a name");
            let weekly = [Weekday::Sun].into();
            closed.calendars.insert(name.clone(), Calendar { weekly, ..Calendar::default() });
            for schedule in closed.schedules.values_mut() {
                let (exclude, only) = (vec![name.clone()], Vec::new());
                schedule.calendars = Some(Box::new(ScheduleCalendars { exclude, only }));
            }
            row.definition = Arc::new(closed);
            row.next = Some(Instant::parse("2026-11-22T22:00:00Z").expect("an instant"));
        }
    });
    let next = "/api/schedules/fnac/sales/next?n=2&after=2026-11-22T21:00:00Z";
    let page = daemon.get(next).await.json();
    let rows: Vec<_> = page["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|row| (row["reason"].clone(), row["note"].clone()))
        .collect();
    assert_eq!(rows[0], ("calendar".into(), "calendar sundays".into()), "Sunday at 22:00");
    assert_eq!(rows[1], (Value::Null, Value::Null), "Monday");
    // The first one that runs, in place of the one that is closed; the manual schedule has none.
    let status = daemon.get("/api/status").await.json();
    let shown = status["next"].as_array().expect("slots");
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert_eq!(
        (&shown[0]["schedule"], &shown[0]["at"]),
        (&"sales".into(), &page["items"][1]["at"])
    );
}

#[tokio::test]
async fn the_status_tells_what_is_red_with_its_first_error() {
    let daemon = Daemon::start().await;
    let ko = daemon.run().await;
    daemon.write(ko, &["External: no answer"], Some(Outcome::Ko)).await;
    daemon.app.engine.board().write(|board| {
        let name = "fnac/sales".parse().expect("a name");
        board.schedules.get_mut(&name).expect("it is there").red = Some(ko);
    });
    let status = daemon.get("/api/status").await.json();
    assert_eq!(
        status["red"],
        serde_json::json!([{
            "interface": "fnac", "schedule": "sales", "execution": ko.to_string(),
            "class": "external", "first_error": {
                "line": 1, "class": "external", "cause": "EXT-OTHER", "text": "External: no answer",
                "action": "Run it again. If it fails again, contact the provider of the external system.",
            },
        }])
    );
}

#[tokio::test]
async fn several_classes_may_be_asked_for() {
    let daemon = Daemon::start().await;
    let ko = daemon.run().await;
    daemon.write(ko, &["External: no answer"], Some(Outcome::Ko)).await;
    let found = daemon.get("/api/executions?class=mapping,external").await.json();
    assert_eq!(found["items"][0]["id"], ko.to_string());
    let none = daemon.get("/api/executions?class=mapping,technical").await.json();
    assert_eq!(none["items"], serde_json::json!([]));
    let wrong = daemon.get("/api/executions?class=mapping,weather").await;
    assert_eq!(wrong.json()["errors"][0]["pointer"], "?class");
}

/// What is stored as bytes or as JSON text is shown as what it is.
#[tokio::test]
async fn an_event_shows_its_hash_in_hex_and_its_definition_as_json() {
    let daemon = Daemon::start().await;
    let id = daemon.run().await;
    daemon.write(id, &["x"], Some(Outcome::Ok)).await;
    let closed = daemon.get("/api/events?type=closed").await.json();
    assert_eq!(closed["items"][0]["data"]["log_hash"], "00".repeat(32));
    let change = Change {
        path: "schedules.sales.cron".to_owned(),
        from: None,
        to: Some("\"0 * * * *\"".to_owned()),
    };
    let defined = InterfaceDefined {
        definition_version: 1,
        definition: r#"{"id":"fnac"}"#.to_owned(),
        changes: vec![change],
    };
    daemon.record("interface/fnac", defined).await;
    let data =
        daemon.get("/api/events?type=interface-defined").await.json()["items"][0]["data"].clone();
    assert_eq!(data["definition"], serde_json::json!({"id": "fnac"}));
    assert_eq!(
        (&data["changes"][0]["from"], &data["changes"][0]["to"]),
        (&Value::Null, &"0 * * * *".into())
    );
}

#[tokio::test]
async fn settings_are_told_with_where_they_came_from_and_without_secrets() {
    let daemon = Daemon::start().await;
    let answer = daemon.get("/api/settings").await;
    let page = answer.json();
    assert_eq!(page["file"], serde_json::Value::Null);
    let of = |key: &str| {
        let items = page["items"].as_array().expect("items").iter();
        items.clone().find(|row| row["key"] == key).cloned().expect("a setting")
    };
    assert_eq!(
        (of("data")["value"].as_str(), of("data")["origin"].as_str()),
        (Some("/var/lib/daybook"), Some("--data"))
    );
    assert_eq!(
        (of("ping")["value"].as_str(), of("ping")["origin"].as_str()),
        (Some("***"), Some("$DAYBOOK_PING"))
    );
    assert_eq!(of("grace")["origin"], "default");
    assert!(of("grace")["meaning"].as_str().is_some_and(|text| text.contains("TERM")));
    assert!(!answer.text().contains("hc-ping.example/secret"));
}
