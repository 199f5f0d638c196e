//! The columns of executions: what `GET /api/executions` shows of each, and what to do.

use std::borrow::Cow;

use super::columns::Kind::{Id, Instant, Number, Text, Word};
use super::columns::{Column, Value};
use crate::projection::view::{Execution, Note, Remark};

/// Executions: what an operator looks for first stands first.
pub const EXECUTION: &[Column<Execution>] = &[
    Column::new("id", Id, |it| Value::text(it.id.to_string())),
    Column::new("interface", Word, |it| Value::text(it.interface.as_str())),
    Column::new("schedule", Word, |it| Value::text(it.schedule.as_str())),
    Column::new("status", Word, |it| Value::text(it.status.as_str())),
    Column::new("class", Word, |it| Value::some(it.class, |class| Value::text(class.as_str()))),
    Column::new("cause", Word, |it| Value::some(it.cause, |cause| Value::text(cause.code()))),
    Column::new("first_error", Text, |it| {
        Value::some(it.first_error.as_ref(), |error| Value::text(&error.text))
    }),
    Column::new("first_error_line", Number, |it| {
        Value::some(it.first_error.as_ref(), |error| Value::number(error.line))
    }),
    Column::new("action", Text, action),
    Column::new("slot", Instant, |it| Value::some(it.slot, Value::At)),
    Column::new("trigger", Word, |it| Value::text(it.trigger.as_str())),
    Column::new("created_at", Instant, |it| Value::At(it.created_at)),
    Column::new("started_at", Instant, |it| Value::some(it.started_at, Value::At)),
    Column::new("ended_at", Instant, |it| Value::some(it.ended_at, Value::At)),
    Column::new("duration_ms", Number, |it| Value::some(it.duration_ms, Value::number)),
    Column::new("attempts", Number, |it| Value::number(it.attempts)),
    Column::new("exit_code", Number, |it| Value::some(it.exit_code, Value::number)),
    Column::new("lines", Number, |it| Value::number(it.lines)),
    Column::new("external_errors", Number, |it| Value::number(it.errors.external)),
    Column::new("configuration_errors", Number, |it| Value::number(it.errors.configuration)),
    Column::new("mapping_errors", Number, |it| Value::number(it.errors.mapping)),
    Column::new("technical_errors", Number, |it| Value::number(it.errors.technical)),
    Column::new("cascade_errors", Number, |it| Value::number(it.errors.cascade)),
    Column::new("params", Text, |it| json(&it.params, it.params.is_empty())),
    Column::new("references", Word, |it| list(it.references.clone())),
    Column::new("notes", Text, |it| list(it.notes.iter().map(noted).collect())),
    Column::new("acknowledged", Text, |it| remark(it.acknowledged.as_ref())),
    Column::new("cancel_requested", Text, |it| remark(it.cancel_requested.as_ref())),
    Column::new("rerun_of", Id, |it| Value::id(it.rerun_of)),
    Column::new("root", Id, |it| Value::id(Some(it.root))),
    Column::new("reruns", Id, |it| list(it.reruns.iter().map(ToString::to_string).collect())),
    Column::new("solved_by", Id, |it| Value::id(it.solved_by)),
    Column::new("superseded_by", Id, |it| Value::id(it.superseded_by)),
    Column::new("anomaly_at", Instant, |it| {
        Value::some(it.anomaly.as_ref(), |anomaly| Value::At(anomaly.at))
    }),
    Column::new("lines_pruned_at", Instant, |it| Value::some(it.lines_pruned_at, Value::At)),
    Column::new("idempotency_key", Id, |it| Value::text(&it.idempotency_key)),
    Column::new("definition_version", Number, |it| Value::number(it.definition_version)),
    Column::new("position", Number, |it| Value::number(it.position.0)),
];

/// What its class asks for; that of its first error while it has none.
fn action(it: &Execution) -> Value<'_> {
    match (&it.first_error, it.class) {
        (Some(error), _) => Value::text(&error.action),
        (None, Some(class)) => Value::text(class.action(None)),
        (None, None) => Value::Nothing,
    }
}

fn json<T: serde::Serialize>(value: &T, is_empty: bool) -> Value<'_> {
    match serde_json::to_value(value) {
        Ok(value) if !is_empty => Value::Json(Cow::Owned(value)),
        Ok(_) | Err(_) => Value::Nothing,
    }
}

fn list(texts: Vec<String>) -> Value<'static> {
    if texts.is_empty() { Value::Nothing } else { Value::List(texts) }
}

fn noted(note: &Note) -> String {
    format!("{} {}: {}", note.at, note.actor, note.text)
}

fn remark(remark: Option<&Remark>) -> Value<'static> {
    Value::some(remark, |Remark { at, actor, note }| {
        let note = note.as_ref().map_or_else(String::new, |note| format!(": {note}"));
        Value::text(format!("{at} {actor}{note}"))
    })
}
