//! One operation of the OpenAPI document, in the words of a page.

use http::Method;
use serde_json::{Map, Value};

use crate::http::routes::{self, Access};

/// A parameter, or a field of a body or an answer.
pub(super) struct Field {
    pub(super) name: String,
    /// `path`, `query` or `header`; empty for a field.
    pub(super) place: String,
    pub(super) kind: String,
    pub(super) required: bool,
    pub(super) description: String,
}

/// What may be answered.
pub(super) struct Answer {
    pub(super) status: String,
    pub(super) description: String,
    /// Media types with the shape of what they hold.
    pub(super) content: Vec<(String, String)>,
}

/// What can be asked.
pub(super) struct Operation {
    pub(super) id: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) summary: String,
    pub(super) description: String,
    /// Who may ask it.
    pub(super) access: String,
    pub(super) parameters: Vec<Field>,
    pub(super) body: Vec<Field>,
    pub(super) answers: Vec<Answer>,
    pub(super) curl: String,
    /// The shapes that its body and its answers name.
    pub(super) shapes: Vec<String>,
}

/// Reads one operation.
pub(super) fn operation(
    document: &Value,
    base: &str,
    (method, path): (&str, &str),
    described: &Value,
) -> Operation {
    let text = |name: &str| described[name].as_str().unwrap_or_default().trim().to_owned();
    let parameters = described["parameters"].as_array().into_iter().flatten();
    let body =
        resolve(document, &described["requestBody"]["content"]["application/json"]["schema"]);
    let none = Map::new();
    let answers = described["responses"].as_object().unwrap_or(&none);
    let mut shapes = Vec::new();
    references(&described["responses"], &mut shapes);
    references(&described["requestBody"], &mut shapes);
    Operation {
        id: text("operationId"),
        method: method.to_uppercase(),
        path: path.to_owned(),
        summary: text("summary"),
        description: text("description"),
        access: access(method, path),
        parameters: parameters.map(|one| parameter(resolve(document, one))).collect(),
        body: fields(document, body),
        answers: answers.iter().map(|(status, one)| answer(status, one)).collect(),
        curl: curl(document, base, (method, path), described),
        shapes,
    }
}

fn access(method: &str, path: &str) -> String {
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap_or_default();
    match routes::find(&method, path).map(|route| route.access) {
        Some(Access::Open) => "everybody".to_owned(),
        Some(Access::Metrics) => "everybody on this machine, else a viewer".to_owned(),
        Some(Access::Role(role)) => role.to_string(),
        None => "nobody".to_owned(),
    }
}

fn parameter(one: &Value) -> Field {
    let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
    Field {
        name: text("name"),
        place: text("in"),
        kind: kind(&one["schema"]),
        required: one["required"].as_bool().unwrap_or(false),
        description: text("description"),
    }
}

fn answer(status: &str, one: &Value) -> Answer {
    let content = one["content"].as_object();
    Answer {
        status: if status == "default" { "other".to_owned() } else { status.to_owned() },
        description: one["description"].as_str().unwrap_or_default().to_owned(),
        content: content
            .into_iter()
            .flatten()
            .map(|(media, it)| (media.clone(), kind(&it["schema"])))
            .collect(),
    }
}

/// The fields of a schema, also of one that is put together.
pub(super) fn fields(document: &Value, schema: &Value) -> Vec<Field> {
    let mut found = Vec::new();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        found.extend(fields(document, resolve(document, part)));
    }
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, one) in schema["properties"].as_object().into_iter().flatten() {
        found.push(Field {
            name: name.clone(),
            place: String::new(),
            kind: kind(one),
            required: required.contains(&name.as_str()),
            description: one["description"].as_str().unwrap_or_default().to_owned(),
        });
    }
    found
}

/// What a schema allows, in a few words.
fn kind(schema: &Value) -> String {
    if let Some(name) = referred(schema) {
        return name.to_owned();
    }
    for word in ["oneOf", "anyOf", "allOf"] {
        if let Some(parts) = schema[word].as_array() {
            let kinds: Vec<String> =
                parts.iter().map(kind).filter(|kind| !kind.is_empty()).collect();
            return kinds.join(" or ");
        }
    }
    let one = |name: &str| match name {
        "array" => format!("list of {}", kind(&schema["items"])),
        "object" if schema["additionalProperties"].is_object() => {
            format!("{} by name", kind(&schema["additionalProperties"]))
        }
        "string" => schema["format"].as_str().unwrap_or("text").to_owned(),
        "boolean" => "true or false".to_owned(),
        other => other.to_owned(),
    };
    match &schema["type"] {
        Value::String(name) => one(name),
        Value::Array(names) => {
            let names: Vec<String> = names.iter().filter_map(Value::as_str).map(one).collect();
            names.join(" or ")
        }
        _ => "any".to_owned(),
    }
}

fn referred(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str().and_then(|place| place.rsplit('/').next())
}

/// What a `$ref` of the document points to; anything else is itself.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let place = value["$ref"].as_str().map(|place| place.trim_start_matches('#'));
    place.and_then(|place| document.pointer(place)).unwrap_or(value)
}

/// The names of the schemas that stand somewhere in `value`.
pub(super) fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let place = map.get("$ref").and_then(Value::as_str);
            let name = place.and_then(|place| place.strip_prefix("#/components/schemas/"));
            found.extend(name.map(str::to_owned));
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}

/// A request as it is typed; names in capitals are to be filled in.
fn curl(document: &Value, base: &str, (method, path): (&str, &str), described: &Value) -> String {
    let filled: String = path
        .split('/')
        .map(|part| {
            part.strip_prefix('{')
                .and_then(|part| part.strip_suffix('}'))
                .map_or_else(|| part.to_owned(), str::to_uppercase)
        })
        .collect::<Vec<_>>()
        .join("/");
    let mut text = "curl -sS".to_owned();
    if method != "get" {
        text.push_str(&format!(" -X {}", method.to_uppercase()));
    }
    if access(method, path) != "everybody" {
        text.push_str(" -H \"Authorization: Bearer $TOKEN\"");
    }
    let schema = &described["requestBody"]["content"]["application/json"]["schema"];
    if !schema.is_null() {
        let body = sample(document, resolve(document, schema));
        text.push_str(&format!(" \\\n  -H 'Content-Type: application/json' -d '{body}'"));
    }
    text.push_str(&format!(" \\\n  '{base}{filled}'"));
    text
}

/// A body with what is required, or with the first of what may be there.
fn sample(document: &Value, schema: &Value) -> Value {
    let all = fields(document, schema);
    let required: Vec<&Field> = all.iter().filter(|field| field.required).collect();
    let chosen = if required.is_empty() { all.iter().take(1).collect() } else { required };
    let value = |field: &Field| match field.kind.split(" or ").next().unwrap_or_default() {
        "date-time" => Value::from("2026-11-22T10:00:00Z"),
        "true" => Value::from(true),
        "integer" => Value::from(1),
        kind if kind.starts_with("list") => Value::Array(Vec::new()),
        kind if kind.ends_with("by name") => Value::Object(Map::new()),
        _ => Value::from("…"),
    };
    chosen.into_iter().map(|field| (field.name.clone(), value(field))).collect()
}
