//! The columns of an execution's lines, and of the calls among them.

use std::borrow::Cow;

use super::columns::Kind::{Instant, Number, Text, Word};
use super::columns::{Column, Value};
use crate::domain::line::Line;

/// Lines, each with what its class asks for.
pub const LINE: &[Column<Line>] = &[
    Column::new("line", Number, |it| Value::number(it.line)),
    Column::new("at", Instant, |it| Value::At(it.at)),
    Column::new("attempt", Number, |it| Value::number(it.attempt)),
    Column::new("stream", Word, |it| Value::text(it.source.as_str())),
    Column::new("level", Word, |it| Value::text(it.level.as_str())),
    Column::new("class", Word, |it| Value::some(it.class, |class| Value::text(class.as_str()))),
    Column::new("cause", Word, |it| Value::some(it.cause, |cause| Value::text(cause.code()))),
    Column::new("text", Text, |it| Value::text(&it.text)),
    Column::new("action", Text, |it| {
        Value::some(it.class, |class| Value::text(class.action(it.cascade_of)))
    }),
    Column::new("cascade_of", Number, |it| Value::some(it.cascade_of, Value::number)),
    Column::new("fields", Text, |it| {
        Value::some(it.fields.as_ref(), |fields| Value::Json(Cow::Borrowed(fields)))
    }),
];

/// Calls of external systems: lines whose fields hold a request and its answer.
pub const EXCHANGE: &[Column<Line>] = &[
    Column::new("line", Number, |it| Value::number(it.line)),
    Column::new("at", Instant, |it| Value::At(it.at)),
    Column::new("attempt", Number, |it| Value::number(it.attempt)),
    Column::new("direction", Word, |it| field(it, "direction")),
    Column::new("method", Word, |it| field(it, "method")),
    Column::new("url", Text, |it| field(it, "url")),
    Column::new("status", Number, |it| field(it, "status")),
    Column::new("duration_ms", Number, |it| field(it, "duration_ms")),
    Column::new("request_bytes", Number, |it| field(it, "request_bytes")),
    Column::new("response_bytes", Number, |it| field(it, "response_bytes")),
    Column::new("level", Word, |it| Value::text(it.level.as_str())),
    Column::new("class", Word, |it| Value::some(it.class, |class| Value::text(class.as_str()))),
    Column::new("cause", Word, |it| Value::some(it.cause, |cause| Value::text(cause.code()))),
    Column::new("text", Text, |it| Value::text(&it.text)),
    Column::new("action", Text, |it| {
        Value::some(it.class, |class| Value::text(class.action(it.cascade_of)))
    }),
    Column::new("request_headers", Text, |it| field(it, "request_headers")),
    Column::new("response_headers", Text, |it| field(it, "response_headers")),
    Column::new("response_excerpt", Text, |it| field(it, "response_excerpt")),
];

/// Whether a line holds a request and its answer; a command may write such lines as well.
pub fn is_exchange(line: &Line) -> bool {
    let has = |name| line.fields.as_ref().is_some_and(|fields| fields[name].is_string());
    has("direction") && has("method") && has("url")
}

fn field<'a>(line: &'a Line, name: &str) -> Value<'a> {
    match line.fields.as_ref().and_then(|fields| fields.get(name)) {
        None | Some(serde_json::Value::Null) => Value::Nothing,
        Some(serde_json::Value::String(text)) => Value::text(text),
        Some(value) => match value.as_i64() {
            Some(number) => Value::Number(number),
            None => Value::Json(Cow::Borrowed(value)),
        },
    }
}
