//! A definition in the words of its file: the same keys, durations and sizes, as JSON.

use serde_json::{Map, Value, json};

use super::values::{show_duration, show_rate, show_size};
use crate::domain::blackout::Blackout;
use crate::domain::definition::{
    CatchUp, CatchUpMode, EnvValue, Fold, Gap, Http, Interface, Job, Match, OnInterrupt, Overlap,
    Retry, Role, Rule, Schedule, Timing,
};

/// The definition as its file would say it, defaults included; what is not given is left out.
///
/// Written as TOML and read again it gives the same definition, the calendars apart, which have files of their own.
pub fn document(interface: &Interface) -> Value {
    let mut doc = Map::new();
    doc.insert("name".to_owned(), json!(interface.name));
    put(&mut doc, "type", interface.kind.as_ref());
    doc.insert("timezone".to_owned(), json!(interface.timezone));
    put(&mut doc, "owner", interface.owner.as_ref());
    put(&mut doc, "runbook", interface.runbook.as_ref());
    doc.insert("labels".to_owned(), json!(interface.labels));
    doc.insert("retention".to_owned(), retention(interface));
    put(&mut doc, "notify", interface.notify.as_ref());
    doc.insert("env".to_owned(), variables(&interface.env));
    let mut limits = Map::new();
    put(&mut limits, "concurrent", interface.limits.concurrent);
    put(&mut limits, "rate", interface.limits.rate.map(show_rate));
    doc.insert("limits".to_owned(), Value::Object(limits));
    doc.insert("rules".to_owned(), interface.rules.iter().map(rule).collect());
    doc.insert("blackout".to_owned(), interface.blackout.iter().map(blackout).collect());
    let schedules = interface.schedules.iter().map(|(id, one)| (id.to_string(), schedule(one)));
    doc.insert("schedules".to_owned(), Value::Object(schedules.collect()));
    doc.retain(|_, value| !is_empty(value));
    Value::Object(doc)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

fn put<T: serde::Serialize>(doc: &mut Map<String, Value>, key: &str, value: Option<T>) {
    if let Some(value) = value {
        doc.insert(key.to_owned(), json!(value));
    }
}

fn retention(interface: &Interface) -> Value {
    let retention = &interface.retention;
    let mut doc = Map::new();
    put(&mut doc, "ok", retention.ok_ms.map(show_duration));
    put(&mut doc, "ko", retention.ko_ms.map(show_duration));
    put(&mut doc, "lines", retention.lines_ms.map(show_duration));
    put(&mut doc, "count", retention.count);
    put(&mut doc, "bytes", retention.bytes.map(show_size));
    Value::Object(doc)
}

fn variables(values: &std::collections::BTreeMap<String, EnvValue>) -> Value {
    let value = |value: &EnvValue| match value {
        EnvValue::Text(text) => json!(text),
        EnvValue::Credential(name) => json!({ "credential": name }),
        EnvValue::File(path) => json!({ "file": path }),
        EnvValue::FromEnv(name) => json!({ "from_env": name }),
    };
    Value::Object(values.iter().map(|(name, one)| (name.clone(), value(one))).collect())
}

fn rule(rule: &Rule) -> Value {
    let (how, text) = match &rule.when {
        Match::Contains(text) => ("contains", text),
        Match::Equals(text) => ("equals", text),
        Match::Matches(text) => ("matches", text),
    };
    json!({ how: text, "class": rule.class.as_str(), "cause": rule.cause.code() })
}

fn blackout(blackout: &Blackout) -> Value {
    match blackout {
        Blackout::Calendar(name) => json!(name),
        Blackout::Weekly { days, from, to } => {
            let mut doc = Map::new();
            put(&mut doc, "days", Some(days).filter(|days| !days.is_empty()));
            put(&mut doc, "from", Some(from));
            put(&mut doc, "to", Some(to));
            Value::Object(doc)
        }
        Blackout::Once { from, to } => json!({ "from": from, "to": to }),
    }
}

fn schedule(schedule: &Schedule) -> Value {
    let mut doc = Map::new();
    doc.insert("enabled".to_owned(), json!(schedule.enabled));
    match &schedule.timing {
        Timing::Cron(pattern) => put(&mut doc, "cron", Some(pattern)),
        Timing::Every { period_ms, anchor } => {
            put(&mut doc, "every", Some(show_duration(*period_ms)));
            put(&mut doc, "anchor", anchor.as_ref());
        }
        Timing::At(at) => put(&mut doc, "at", Some(at)),
        Timing::Manual => put(&mut doc, "manual", Some(true)),
        Timing::Reboot => put(&mut doc, "reboot", Some(true)),
        Timing::After(after) => {
            let deadline = show_duration(after.deadline_ms);
            let (schedule, outcome) = (after.schedule.to_string(), after.outcome.as_str());
            let after = json!({ "schedule": schedule, "outcome": outcome, "deadline": deadline });
            doc.insert("after".to_owned(), after);
        }
    }
    doc.insert("timezone".to_owned(), json!(schedule.timezone));
    match &schedule.job {
        Job::Command(words) => put(&mut doc, "command", Some(words)),
        Job::Shell(text) => put(&mut doc, "shell", Some(text)),
        Job::Http(call) => put(&mut doc, "http", Some(http(call))),
    }
    doc.insert("cwd".to_owned(), json!(schedule.cwd));
    let params = schedule.params.iter().map(|(name, param)| {
        let mut doc = Map::new();
        put(&mut doc, "default", param.default.as_ref());
        (name.clone(), Value::Object(doc))
    });
    doc.insert("params".to_owned(), Value::Object(params.collect()));
    doc.insert("ok_exit".to_owned(), json!(schedule.ok_exit));
    put(&mut doc, "timeout", schedule.timeout_ms.map(show_duration));
    doc.insert("anomaly_after".to_owned(), json!(show_duration(schedule.anomaly_after_ms)));
    treatment(schedule, &mut doc);
    doc.retain(|key, value| key == "command" || !is_empty(value));
    Value::Object(doc)
}

fn catch_up(catch_up: &CatchUp) -> Value {
    let mode = match catch_up.mode {
        CatchUpMode::None => "none",
        CatchUpMode::Last => "last",
        CatchUpMode::All => "all",
    };
    let mut doc = Map::new();
    put(&mut doc, "mode", Some(mode));
    put(&mut doc, "window", Some(show_duration(catch_up.window_ms)));
    if catch_up.mode == CatchUpMode::All {
        put(&mut doc, "max", Some(catch_up.max));
    }
    put(&mut doc, "rate", catch_up.rate.map(show_rate));
    Value::Object(doc)
}

fn treatment(schedule: &Schedule, doc: &mut Map<String, Value>) {
    doc.insert("retry".to_owned(), retry(&schedule.retry));
    let overlap = match schedule.overlap {
        Overlap::Skip => "skip",
        Overlap::Allow => "allow",
        Overlap::Queue => "queue",
        Overlap::QueueAll => "queue-all",
        Overlap::CancelRunning => "cancel-running",
    };
    doc.insert("overlap".to_owned(), json!(overlap));
    doc.insert("catch_up".to_owned(), catch_up(&schedule.catch_up));
    put(doc, "lock", schedule.lock.as_ref());
    let splay = Some(schedule.splay_ms).filter(|ms| *ms > 0);
    put(doc, "splay", splay.map(show_duration));
    if let Some(calendars) = &schedule.calendars {
        doc.insert("exclude".to_owned(), json!(calendars.exclude));
        doc.insert("only".to_owned(), json!(calendars.only));
    }
    let mut dst = Map::new();
    put(
        &mut dst,
        "gap",
        schedule.dst.gap.map(|gap| match gap {
            Gap::Shift => "shift",
            Gap::Skip => "skip",
        }),
    );
    put(
        &mut dst,
        "fold",
        schedule.dst.fold.map(|fold| match fold {
            Fold::First => "first",
            Fold::Last => "last",
            Fold::Both => "both",
        }),
    );
    doc.insert("dst".to_owned(), Value::Object(dst));
    let role = match schedule.role {
        Role::Regular => "regular",
        Role::Errors => "errors",
        Role::Maintenance => "maintenance",
    };
    doc.insert("role".to_owned(), json!(role));
    let on_interrupt = match schedule.on_interrupt {
        OnInterrupt::Ko => "ko",
        OnInterrupt::Rerun => "rerun",
    };
    doc.insert("on_interrupt".to_owned(), json!(on_interrupt));
    doc.insert("max_log".to_owned(), json!(show_size(schedule.max_log_bytes)));
    put(doc, "ping", schedule.ping.as_ref());
    doc.insert("priority".to_owned(), json!(schedule.priority));
}

fn retry(retry: &Retry) -> Value {
    // The waits say nothing while there is only one attempt.
    if retry.attempts == 1 {
        return Value::Object(Map::new());
    }
    let mut doc = Map::new();
    doc.insert("attempts".to_owned(), json!(retry.attempts));
    doc.insert("delay".to_owned(), json!(show_duration(retry.delay_ms)));
    doc.insert("factor".to_owned(), json!(retry.factor));
    doc.insert("max_delay".to_owned(), json!(show_duration(retry.max_delay_ms)));
    if !retry.on.is_empty() {
        doc.insert("on".to_owned(), json!(retry.on));
    }
    Value::Object(doc)
}

fn http(http: &Http) -> Value {
    let mut doc = Map::new();
    doc.insert("method".to_owned(), json!(http.method));
    doc.insert("url".to_owned(), json!(http.url));
    doc.insert("headers".to_owned(), variables(&http.headers));
    put(&mut doc, "body", http.body.as_ref());
    doc.insert("expect".to_owned(), json!(http.expect));
    doc.insert("max_body".to_owned(), json!(show_size(http.max_body_bytes)));
    doc.retain(|_, value| !is_empty(value));
    Value::Object(doc)
}
