//! The JSON Schemas of an interface's and of a calendar's file, for editors.

use serde_json::{Map, Value, json};

use super::keys::{CALENDAR, INTERFACE, Key, Kind, SECRET, Table};

/// Durations as [`super::parse_duration`] reads them; the order of units is the parser's to check.
const DURATION: &str = "^([0-9]+(w|d|h|ms|m|s))+$";
const SIZE: &str = "^[0-9]+ *(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)$";

/// Days of the week and of the year; letters' case does not count for the parser.
const WEEKDAY: &str =
    "^(mon|tue|wed|thu|fri|sat|sun|monday|tuesday|wednesday|thursday|friday|saturday|sunday)$";
const YEARLY: &str = "^([0-9]{2}-[0-9]{2}|[a-z0-9]+ [a-z]+ of [a-z]+|easter( ?[+-] ?[0-9]{1,3})?)$";

const EDGE: &str = "^([0-9]{4}-[0-9]{2}-[0-9]{2}[T ])?[0-9]{2}:[0-9]{2}(:[0-9]{2})?$";

const RATE: &str = "^[0-9]+ */ *(s|min|h|d|([0-9]+(w|d|h|ms|m|s))+)$";

/// The schema (draft 7, which the TOML editors read) of `schedules/<interface>.toml`: exactly the keys that are accepted.
pub fn json_schema() -> Value {
    titled(table(&INTERFACE), "Daybook: one external interface and its schedules")
}

/// The schema of `schedules/calendars/<name>.toml`.
pub fn calendar_schema() -> Value {
    titled(table(&CALENDAR), "Daybook: a calendar that schedules and interfaces name")
}

fn titled(mut schema: Value, title: &str) -> Value {
    if let Value::Object(schema) = &mut schema {
        schema.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
        schema.insert("title".to_owned(), json!(title));
    }
    schema
}

fn table(table: &Table) -> Value {
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("additionalProperties".to_owned(), json!(false));
    let properties = table.accepted().map(|one| (one.name.to_owned(), key(one)));
    schema.insert("properties".to_owned(), Value::Object(properties.collect()));
    if !table.required.is_empty() {
        schema.insert("required".to_owned(), json!(table.required));
    }
    let groups: Vec<Value> = table
        .one_of
        .iter()
        .map(|group| {
            let names =
                group.keys.iter().filter(|name| table.key(name).is_some_and(|key| !key.later));
            json!({ "oneOf": names.map(|name| json!({ "required": [name] })).collect::<Vec<_>>() })
        })
        .collect();
    if !groups.is_empty() {
        schema.insert("allOf".to_owned(), Value::Array(groups));
    }
    Value::Object(schema)
}

fn key(key: &Key) -> Value {
    let mut schema = kind(&key.kind);
    if let Value::Object(schema) = &mut schema {
        let mut text = key.doc.to_owned();
        if !key.default.is_empty() {
            text.push_str(&format!(" Default: {}.", key.default));
        }
        schema.insert("description".to_owned(), json!(text));
    }
    schema
}

fn kind(kind_: &Kind) -> Value {
    match kind_ {
        Kind::Text | Kind::Cron | Kind::Zone => json!({ "type": "string", "minLength": 1 }),
        Kind::Template => json!({ "type": "string" }),
        Kind::Regex => json!({ "type": "string", "minLength": 1 }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::True => json!({ "const": true }),
        Kind::Integer(min, i64::MAX) => json!({ "type": "integer", "minimum": min }),
        Kind::Integer(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Number(min) => json!({ "type": "number", "minimum": min }),
        Kind::Duration => json!({ "type": "string", "pattern": DURATION }),
        Kind::Size => json!({ "type": "string", "pattern": SIZE }),
        Kind::Rate => json!({ "type": "string", "pattern": RATE }),
        Kind::Url => json!({ "type": "string", "pattern": "^https?://" }),
        Kind::Slug => json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$" }),
        // Both may also be TOML dates, which editors show to the schema as text.
        Kind::Moment | Kind::LocalTime => {
            json!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]" })
        }
        // A date may be a TOML date too.
        Kind::Date => json!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" }),
        Kind::Weekday => json!({ "type": "string", "pattern": WEEKDAY }),
        Kind::Yearly => json!({ "type": "string", "pattern": YEARLY }),
        Kind::Edge => json!({ "type": "string", "pattern": EDGE }),
        Kind::FileName => json!({ "type": "string", "pattern": "^[^./][^/]*\\.ics$" }),
        Kind::Blackout(keys) => json!({ "oneOf": [kind(&Kind::Slug), table(keys)] }),
        Kind::Choice(words, _) => json!({ "enum": words }),
        Kind::Secretable => json!({ "oneOf": [{ "type": "string" }, table(&SECRET)] }),
        Kind::List(one) => json!({ "type": "array", "items": kind(one) }),
        Kind::Map(names, one) => {
            let mut schema = json!({ "type": "object", "additionalProperties": kind(one) });
            if let (Value::Object(schema), Some(pattern)) = (&mut schema, names.pattern()) {
                schema.insert("propertyNames".to_owned(), json!({ "pattern": pattern }));
            }
            schema
        }
        Kind::Table(keys) => table(keys),
    }
}
