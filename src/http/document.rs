//! What the OpenAPI document says of all routes alike: the handlers' own words say only what is theirs.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::idempotency::REPLAYED;
use super::problem::MEDIA_TYPE;

/// POSTs that only look: they record nothing, so they have no position.
const LOOKS: [&str; 4] =
    ["/api/check", "/api/store/verify", "/api/store/compact", "/api/interfaces/{interface}/test"];
/// The route whose answer has three forms.
const LOG: &str = "/api/executions/{execution}/log";

/// Completes the document that the handlers' descriptions were put together to.
pub fn complete(document: &mut Value) {
    let asked = asked_schemas(document);
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        for (_, schema) in schemas.iter_mut().filter(|(name, _)| !asked.contains(*name)) {
            require_all(schema);
        }
    }
    document["components"]["parameters"] = parameters();
    document["components"]["headers"] = headers();
    if let Some(paths) = document["paths"].as_object_mut() {
        for (path, operations) in paths {
            for (method, operation) in operations.as_object_mut().into_iter().flatten() {
                name(operation);
                parametrise(path, method, operation);
                describe_answers(path, method, operation);
            }
        }
    }
}

/// `operationId` by tag and verb: the handlers' own names are those of their files.
fn name(operation: &mut Value) {
    let tag = operation["tags"][0].as_str().unwrap_or("api").to_owned();
    let verb = operation["operationId"].as_str().unwrap_or_default();
    operation["operationId"] = Value::from(format!("{tag}_{verb}"));
}

fn parametrise(path: &str, method: &str, operation: &mut Value) {
    let mut names = Vec::new();
    match method {
        "post" => names.push("IdempotencyKey"),
        "get" if path.starts_with("/api/") => names.extend(["AtLeast", "Position"]),
        _ => (),
    }
    if path == LOG {
        names.push("LastEventId");
    }
    if let Some(map) = operation.as_object_mut().filter(|_| !names.is_empty()) {
        let given = map.entry("parameters").or_insert_with(|| json!([]));
        if let Some(given) = given.as_array_mut() {
            given.extend(names.into_iter().map(|name| reference("parameters", name)));
        }
    }
}

fn describe_answers(path: &str, method: &str, operation: &mut Value) {
    let Some(answers) = operation["responses"].as_object_mut() else { return };
    for (status, answer) in answers {
        let Some(answer) = answer.as_object_mut() else { continue };
        if answer.get("description").and_then(Value::as_str).is_none_or(str::is_empty) {
            answer.insert("description".to_owned(), describe(status).into());
        }
        if status == "default" {
            rename(answer, "application/json", MEDIA_TYPE);
        }
        if path == LOG && status == "200" {
            let text = json!({"schema": {"type": "string"}});
            let forms = ["application/x-ndjson", "text/plain", "text/event-stream"];
            let forms = forms.map(|form| (form.to_owned(), text.clone()));
            answer.insert("content".to_owned(), Map::from_iter(forms).into());
        }
        let shown = answer.entry("headers").or_insert_with(|| json!({}));
        shown["X-Request-Id"] = reference("headers", "RequestId");
        let done = status.starts_with('2') && matches!(method, "post" | "delete");
        if done && !LOOKS.contains(&path) {
            shown["X-Daybook-Position"] = reference("headers", "Position");
        }
        if done && method == "post" {
            shown["Idempotency-Replayed"] = reference("headers", "Replayed");
        }
        if path == LOG && status == "200" {
            shown["Content-Location"] = reference("headers", "Place");
        }
    }
}

fn describe(status: &str) -> &'static str {
    match status {
        "200" => "The answer.",
        "201" => "It was made.",
        "202" => "It is on record and goes on.",
        "204" => "It is done.",
        "503" => "Not now.",
        "default" => "A problem (RFC 9457).",
        _ => "See the description.",
    }
}

/// Gives the content of an answer another media type.
fn rename(answer: &mut Map<String, Value>, from: &str, to: &str) {
    let content = answer.get_mut("content").and_then(Value::as_object_mut);
    if let Some(content) = content
        && let Some(schema) = content.remove(from)
    {
        content.insert(to.to_owned(), schema);
    }
}

fn reference(kind: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

/// Unknown is null and never absent in what is answered (contract, section 5.1).
fn require_all(schema: &mut Value) {
    for part in schema["allOf"].as_array_mut().into_iter().flatten() {
        require_all(part);
    }
    let names = schema["properties"].as_object();
    let names = names.map(|all| all.keys().cloned().collect::<Vec<String>>());
    if let Some(names) = names {
        schema["required"] = names.into();
    }
}

/// The schemas of bodies that are sent to us: there much may be left out.
fn asked_schemas(document: &Value) -> BTreeSet<String> {
    let mut open = Vec::new();
    for operations in document["paths"].as_object().into_iter().flat_map(Map::values) {
        for operation in operations.as_object().into_iter().flat_map(Map::values) {
            references(&operation["requestBody"], &mut open);
        }
    }
    let mut asked = BTreeSet::new();
    while let Some(name) = open.pop() {
        references(&document["components"]["schemas"][&name], &mut open);
        open.retain(|name| !asked.contains(name));
        asked.insert(name);
    }
    asked
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let name = map.get("$ref").and_then(Value::as_str);
            let name = name.and_then(|place| place.strip_prefix("#/components/schemas/"));
            found.extend(name.map(str::to_owned));
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}

fn parameters() -> Value {
    let one = |(name, place, kind, description): (&str, &str, &str, &str)| {
        json!({
            "name": name, "in": place, "required": false, "schema": {"type": kind},
            "description": description,
        })
    };
    json!({
        "IdempotencyKey": one(("Idempotency-Key", "header", "string",
            "1 to 255 visible characters. The same key and body within 24 h get the same answer.")),
        "AtLeast": one(("at_least", "query", "integer",
            "The position that the answer has to reflect; it waits for it up to 2 s.")),
        "Position": one(("X-Daybook-Position", "header", "integer",
            "The same as `at_least`: a command's answer carries it.")),
        "LastEventId": one(("Last-Event-ID", "header", "integer",
            "The last line that a follower has seen. It needs the execution's whole id.")),
    })
}

fn headers() -> Value {
    let one = |kind: &str, description: &str| json!({"schema": {"type": kind}, "description": description});
    debug_assert_eq!(REPLAYED, "idempotency-replayed", "the name that the answers have here");
    json!({
        "RequestId": one("string", "The request's id, as in the daemon's log."),
        "Position": one("integer", "Where the command's events end. A read that sends it back reflects them."),
        "Replayed": one("boolean", "`true` when the answer was given before, to the same key."),
        "Place": one("string", "The log's path by the execution's whole id."),
    })
}
