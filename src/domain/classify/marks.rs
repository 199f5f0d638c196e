//! What the program itself says about a line: class prefixes, and lines that are JSON objects.

use serde_json::{Map, Value};

use super::level::named;
use crate::domain::cause::Cause;
use crate::domain::class::{Class, Level};

/// A class prefix: which, and where the text after it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    pub(super) class: Class,
    pub(super) rest: usize,
    /// `Mapping:` with a capital, or `[mapping]`: a mark even without a level.
    pub(super) plain: bool,
}

/// The class prefix at the start of `message`: `Mapping: …`, `mapping: …`, `[mapping] …`.
pub(super) fn prefix(message: &str) -> Option<Prefix> {
    let body = message.trim_start_matches([' ', '\t', '-', '|', ':']);
    let before = message.len() - body.len();
    let (inner, bracket) = body.strip_prefix('[').map_or((body, false), |inner| (inner, true));
    for class in Class::ALL {
        let upper = class.as_str().to_ascii_uppercase();
        for name in [class.title(), class.as_str(), upper.as_str()] {
            let Some(rest) = inner.strip_prefix(name) else { continue };
            let close = if bracket { rest.strip_prefix(']') } else { rest.strip_prefix(':') };
            let Some(rest) = close else { continue };
            let rest = if bracket { rest.strip_prefix(':').unwrap_or(rest) } else { rest };
            let text = rest.trim_start();
            if text.len() == rest.len() && !text.is_empty() {
                return None;
            }
            return Some(Prefix {
                class,
                rest: before + body.len() - text.len(),
                plain: bracket || name != class.as_str(),
            });
        }
    }
    None
}

/// A line that is one JSON object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) level: Option<Level>,
    pub(super) class: Option<Class>,
    pub(super) cause: Option<Cause>,
    /// The text for people, if there is one.
    pub(super) message: Option<String>,
    /// What the rules read: the message and what the record says about the error, without stack and context.
    pub(super) evidence: String,
    /// The object itself.
    pub(super) fields: Map<String, Value>,
}

/// Reads a line that begins with `{`.
pub(super) fn record(line: &str) -> Option<Record> {
    let line = line.trim();
    if !(line.starts_with('{') && line.ends_with('}')) {
        return None;
    }
    let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(line) else { return None };
    let text = |keys: &[&str]| {
        keys.iter().find_map(|key| {
            fields.get(*key).and_then(Value::as_str).filter(|text| !text.trim().is_empty())
        })
    };
    let message = text(&["msg", "message", "text", "event", "@message", "body", "log", "title"])
        .map(str::to_owned);
    let cause: Option<Cause> = text(&["cause"]).and_then(|code| code.parse().ok());
    let class =
        text(&["class"]).and_then(|word| word.parse().ok()).or_else(|| cause.map(Cause::class));
    let cause = cause.filter(|cause| Some(cause.class()) == class);
    let mut evidence = message.clone().unwrap_or_default();
    for key in [
        "error",
        "err",
        "exception",
        "reason",
        "detail",
        "details",
        "description",
        "error_description",
        "errorMessage",
        "error_message",
        "errorText",
        "cause",
        "errors",
        "fieldErrors",
        "statusCode",
        "status_code",
        "code",
        "status",
        "category",
        "type",
        "name",
        "hint",
        "exc_info",
        "fault",
        "data",
    ] {
        if let Some(value) = fields.get(key) {
            add(&mut evidence, key, value, 0);
        }
    }
    if message.is_none() && evidence.is_empty() {
        for (key, value) in &fields {
            name(&mut evidence, key, value);
        }
    }
    Some(Record { level: level(&fields), class, cause, message, evidence, fields })
}

/// Keys under which an object says that it reports a failure.
pub(super) const FAILURES: &[&str] = &[
    "error",
    "errors",
    "exception",
    "errorCode",
    "error_code",
    "errorMessage",
    "error_message",
    "errorMessages",
    "error_description",
    "fault",
    "faults",
    "Error",
    "Errors",
    "Fault",
];

/// Whether an object is what another system answered to say no: loggers write down a level and the time, and records have keys of
/// their own. `failed` says that it names a failure.
pub(super) fn is_answer(fields: &Map<String, Value>, failed: bool) -> bool {
    const LOGGED: &[&str] = &[
        "level",
        "severity",
        "lvl",
        "loglevel",
        "levelname",
        "log.level",
        "time",
        "ts",
        "timestamp",
        "@timestamp",
        "logger",
        "caller",
        "pid",
        "s",
    ];
    const ANSWERED: &[&str] = &[
        "message",
        "msg",
        "code",
        "status",
        "status_code",
        "statuscode",
        "detail",
        "details",
        "title",
        "type",
        "description",
        "documentation_url",
        "more_info",
        "hint",
        "help",
        "category",
        "fields",
        "errors",
        "error",
        "request_id",
        "requestid",
        "correlationid",
        "trace_id",
        "traceid",
        "instance",
        "links",
        "context",
        "success",
        "ok",
        "reason",
    ];
    let well = |(key, value): (&String, &Value)| match value {
        Value::Bool(set) => *set && (key == "success" || key == "ok"),
        Value::String(text) => {
            ["ok", "success", "successful"].contains(&text.to_lowercase().as_str())
        }
        Value::Number(number) => {
            key == "code" && number.as_u64().is_some_and(|code| code == 0 || code == 200)
        }
        _ => false,
    };
    let named = |key: &String| ANSWERED.contains(&key.to_lowercase().as_str());
    !LOGGED.iter().any(|key| fields.contains_key(*key))
        && (failed || fields.len() > 1 && fields.keys().all(named) && !fields.iter().any(well))
}

/// Keys whose values tell where, not what.
const ASIDE: &[&str] = &[
    "stack",
    "stacktrace",
    "trace",
    "stack_trace",
    "traceback",
    "file",
    "path",
    "url",
    "headers",
    "config",
    "request",
];

fn add(evidence: &mut String, key: &str, value: &Value, depth: usize) {
    const LONGEST: usize = 2_000;
    if evidence.len() > LONGEST || depth > 4 || ASIDE.contains(&key) {
        return;
    }
    match value {
        Value::String(text) if text.contains('\n') => {
            // A stack in a string: its first line says what, and the last one does in Python.
            let mut lines =
                text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with(' '));
            let first = lines.next().unwrap_or("");
            let last = lines
                .next_back()
                .filter(|line| !line.trim_start().starts_with("at "))
                .unwrap_or("");
            join(evidence, first);
            join(evidence, last);
        }
        Value::String(text) => join(evidence, text),
        Value::Number(number) => join(evidence, &format!("{key} {number}")),
        Value::Array(items) => {
            items.iter().take(5).for_each(|item| add(evidence, key, item, depth + 1))
        }
        Value::Object(inner) => {
            inner.iter().for_each(|(key, value)| add(evidence, key, value, depth + 1))
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// A member of an object that has no text for people. Members that say nothing (`null`, `false`, 0, empty) name nothing either.
fn name(evidence: &mut String, key: &str, value: &Value) {
    let nothing = match value {
        Value::Null => true,
        Value::Bool(set) => !set,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(inner) => inner.is_empty(),
    };
    if !nothing {
        join(evidence, &format!("'{key}'"));
        add(evidence, key, value, 0);
    }
}

fn join(evidence: &mut String, text: &str) {
    if text.is_empty() || evidence.contains(text) {
        return;
    }
    if !evidence.is_empty() {
        evidence.push_str(": ");
    }
    evidence.push_str(text);
}

/// The level under the keys that JSON loggers use; numbers are those of bunyan and pino, or syslog's from 0 to 7.
fn level(fields: &Map<String, Value>) -> Option<Level> {
    for key in [
        "level",
        "severity",
        "lvl",
        "loglevel",
        "log_level",
        "logLevel",
        "levelname",
        "log.level",
        "@level",
        "levelName",
        "severity_text",
        "SeverityText",
        "Level",
        "s",
    ] {
        match fields.get(key) {
            Some(Value::String(word)) => {
                if let Some(level) = named(word.trim()) {
                    return Some(level);
                }
            }
            Some(Value::Number(number)) => return number.as_u64().and_then(numbered),
            _ => {}
        }
    }
    let status = fields.get("status").and_then(Value::as_str)?;
    ["error", "failure", "failed", "fail"]
        .contains(&status.to_ascii_lowercase().as_str())
        .then_some(Level::Error)
}

const fn numbered(number: u64) -> Option<Level> {
    Some(match number {
        0..=3 | 50..=69 => Level::Error,
        4 | 40..=49 => Level::Warning,
        5 | 6 | 30..=39 => Level::Info,
        7 | 10..=29 => Level::Debug,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_prefix_is_a_word_of_the_closed_set_with_a_colon_or_brackets() {
        let found = prefix("Mapping: no entry for FNAC-77").unwrap();
        assert_eq!((found.class, found.rest, found.plain), (Class::Mapping, 9, true));
        let found = prefix("[external] gone").unwrap();
        assert_eq!((found.class, found.rest, found.plain), (Class::External, 11, true));
        assert!(!prefix("mapping: lower case needs an error level").unwrap().plain);
        for line in ["Mappings: 4", "Externals: x", "[mapper] x", "Mapping::new()", "Fatal: x"] {
            assert_eq!(prefix(line), None, "{line}");
        }
    }

    #[test]
    fn a_json_line_names_level_class_cause_and_text() {
        let read = record(r#"{"level":"error","class":"mapping","cause":"MAP-FIELD","msg":"price is empty","record":"FNAC-77"}"#).unwrap();
        assert_eq!(read.level, Some(Level::Error));
        assert_eq!((read.class, read.cause), (Some(Class::Mapping), Some(Cause::MapField)));
        assert_eq!(read.message.as_deref(), Some("price is empty"));
        assert_eq!(read.fields.get("record").and_then(Value::as_str), Some("FNAC-77"));
    }

    #[test]
    fn a_cause_of_another_class_does_not_count() {
        let read = record(r#"{"class":"external","cause":"MAP-FIELD","msg":"x"}"#).unwrap();
        assert_eq!((read.class, read.cause), (Some(Class::External), None));
        let read = record(r#"{"cause":"EXT-RATE","msg":"x"}"#).unwrap();
        assert_eq!((read.class, read.cause), (Some(Class::External), Some(Cause::ExtRate)));
    }

    #[test]
    fn numbers_of_pino_are_levels() {
        assert_eq!(record(r#"{"level":50,"msg":"x"}"#).unwrap().level, Some(Level::Error));
        assert_eq!(record(r#"{"level":30,"msg":"x"}"#).unwrap().level, Some(Level::Info));
    }

    #[test]
    fn text_that_only_looks_like_json_is_no_record() {
        for line in ["{", "{\"a\":", "{not json}", "[1]"] {
            assert_eq!(record(line), None, "{line}");
        }
    }
}
