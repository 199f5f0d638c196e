//! The OpenAPI document: what a generator of clients needs of it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::http::router::documented;
use crate::http::testing::Daemon;

fn document() -> Value {
    documented().1
}

/// Each operation with its method and path.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            found.push((format!("{method} {path}"), operation));
        }
    }
    assert!(found.len() > 30, "{}", found.len());
    found
}

/// What a `$ref` of the document points to; anything else is itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        None => value,
        Some(place) => {
            let found = document.pointer(place.trim_start_matches('#'));
            found.unwrap_or_else(|| panic!("{place} points nowhere"))
        }
    }
}

fn parameters<'a>(document: &'a Value, operation: &'a Value) -> Vec<(&'a str, &'a str)> {
    let given = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    let text = |value: &'a Value| value.as_str().expect("a text");
    let given = given.iter().map(|one| resolved(document, one));
    given.map(|one| (text(&one["in"]), text(&one["name"]))).collect()
}

#[test]
fn every_operation_has_an_id_of_its_own_by_tag_and_verb() {
    let document = document();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let mut ids = BTreeSet::new();
    for (place, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap_or_default();
        let tag = operation["tags"][0].as_str().expect("a tag");
        assert!(id.starts_with(&format!("{tag}_")) && id.len() > tag.len() + 1, "{place}: {id}");
        assert!(ids.insert(id.to_owned()), "{place}: {id} stands twice");
    }
    assert!(ids.contains("executions_list") && ids.contains("daemon_status"), "{ids:?}");
}

#[test]
fn every_answer_is_described_and_problems_are_problems() {
    let document = document();
    for (place, operation) in operations(&document) {
        for (status, answer) in operation["responses"].as_object().expect("answers") {
            let told = answer["description"].as_str().is_some_and(|text| !text.is_empty());
            assert!(told, "{place} {status}");
            assert!(answer["headers"]["X-Request-Id"].is_object(), "{place} {status}");
            let content = answer["content"]
                .as_object()
                .map_or_else(Vec::new, |content| content.keys().map(String::as_str).collect());
            let is_problem = content == ["application/problem+json"];
            assert_eq!(is_problem, status == "default", "{place} {status}: {content:?}");
        }
    }
    let log = &document["paths"]["/api/executions/{execution}/log"]["get"]["responses"]["200"];
    let forms: Vec<&String> = log["content"].as_object().expect("forms").keys().collect();
    assert_eq!(forms, ["application/x-ndjson", "text/event-stream", "text/plain"]);
}

#[test]
fn what_all_requests_may_have_is_told_at_each() {
    let document = document();
    for (place, operation) in operations(&document) {
        let given = parameters(&document, operation);
        let path = place.split_once(' ').expect("a path").1;
        let in_path: BTreeSet<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        let declared: BTreeSet<&str> =
            given.iter().filter(|(place, _)| *place == "path").map(|(_, name)| *name).collect();
        assert_eq!(declared, in_path, "{place}");
        let mut once = BTreeSet::new();
        assert!(given.iter().all(|one| once.insert(*one)), "{place}: {given:?}");
        let has = |name: (&str, &str)| given.contains(&name);
        assert_eq!(has(("header", "Idempotency-Key")), place.starts_with("post "), "{place}");
        let reads = place.starts_with("get /api/");
        assert_eq!(has(("query", "at_least")), reads, "{place}");
        assert_eq!(has(("header", "X-Daybook-Position")), reads, "{place}");
    }
    let run = "/api/schedules/{interface}/{schedule}/run";
    let run = &document["paths"][run]["post"]["responses"]["202"]["headers"];
    assert!(run["X-Daybook-Position"].is_object() && run["Location"].is_object(), "{run}");
}

#[test]
fn every_reference_points_to_something() {
    fn check(document: &Value, value: &Value) {
        match value {
            Value::Object(map) => {
                if map.contains_key("$ref") {
                    resolved(document, value);
                }
                map.values().for_each(|value| check(document, value));
            }
            Value::Array(values) => values.iter().for_each(|value| check(document, value)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
        }
    }
    let document = document();
    check(&document, &document);
}

/// Two types of one name would be one schema, and one of them a lie.
#[test]
fn types_of_one_name_are_schemas_of_several() {
    let document = document();
    let words = |name: &str| document["components"]["schemas"][name]["enum"].clone();
    assert_eq!(words("LivingState"), json!(["active", "paused", "disabled", "removed"]));
    assert_eq!(words("State"), json!(["ok", "failed", "unknown"]), "of an interface's test");
    assert_eq!(words("CheckState"), json!(["ok", "warn", "fail"]));
    assert_eq!(words("Status"), json!(["queued", "running", "ok", "ko", "cancelled"]));
    assert!(document["components"]["schemas"]["Finding"]["properties"].is_object());
}

/// Unknown is null, never absent (contract, section 5.1); a body that is sent may leave things out.
#[tokio::test]
async fn whatever_is_answered_has_all_its_members() {
    let document = document();
    let schema = |name: &str| document["components"]["schemas"][name].clone();
    let names = |map: &Map<String, Value>| map.keys().cloned().collect::<BTreeSet<String>>();
    // A shape may be another one and more.
    let parts = |name: &str| -> Vec<Value> {
        let whole = schema(name);
        let part = |part: &Value| match part["$ref"].as_str() {
            Some(place) => schema(place.rsplit('/').next().expect("a name")),
            None => part.clone(),
        };
        let all = whole["allOf"].as_array().cloned().unwrap_or_default();
        all.iter().map(part).chain([whole]).collect()
    };
    let required = |name: &str| -> BTreeSet<String> {
        let required =
            parts(name).into_iter().filter_map(|part| part["required"].as_array().cloned());
        required.flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
    };
    let daemon = Daemon::start().await;
    let id = daemon.run().await;
    for (path, name) in [
        (format!("/api/executions/{id}"), "Execution"),
        ("/api/interfaces/fnac".to_owned(), "InterfaceShown"),
        ("/api/schedules/fnac/sales".to_owned(), "Schedule"),
        ("/api/status".to_owned(), "DaemonStatus"),
        ("/api/store".to_owned(), "StoreInfo"),
        ("/api/schedules/fnac/none".to_owned(), "ProblemBody"),
    ] {
        let answer = daemon.get(&path).await.json();
        assert_eq!(names(answer.as_object().expect("an object")), required(name), "{name}");
    }
    assert_eq!(required("PauseBody"), BTreeSet::new());
    assert_eq!(required("ExecutionQuery"), BTreeSet::new());
}
