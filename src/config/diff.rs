//! What differs between two definitions.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::document::document;
use crate::domain::definition::Interface;
use crate::domain::event::Change;
use crate::domain::masking::{is_reference, masked};

/// Tables whose entries are compared one by one, also when the table is new or gone.
const OPENED: [&str; 4] = ["calendars", "env", "labels", "schedules"];

/// Compares two definitions in the words of their file; none stands for "there is no such interface".
///
/// Paths are dotted (`schedules.sales.cron`), in order; values are JSON. A table that is new or gone is one change with
/// all of it. Credentials are references; text that looks like a secret, and the addresses of monitors and hooks, are
/// masked, yet a change of them is a change.
pub fn diff(old: Option<&Interface>, new: Option<&Interface>) -> Vec<Change> {
    let side = |side: Option<&Interface>| side.map_or_else(|| Value::Object(Map::new()), whole);
    let mut changes = Vec::new();
    compare("", &side(old), &side(new), &mut changes);
    changes
}

/// The definition with the calendars that it names.
fn whole(interface: &Interface) -> Value {
    let mut doc = document(interface);
    if let Value::Object(doc) = &mut doc
        && !interface.calendars.is_empty()
    {
        doc.insert("calendars".to_owned(), json!(interface.calendars));
    }
    doc
}

fn compare(path: &str, old: &Value, new: &Value, changes: &mut Vec<Change>) {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return };
    let empty = Value::Object(Map::new());
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let (before, after) = (old.get(name), new.get(name));
        if before == after {
            continue;
        }
        let opened = OPENED.contains(&path.as_str());
        match (before, after) {
            (Some(Value::Object(_)), Some(Value::Object(_)))
                if !is_reference(before) && !is_reference(after) =>
            {
                compare(&path, before.unwrap_or(&empty), after.unwrap_or(&empty), changes);
            }
            _ if opened => {
                compare(&path, before.unwrap_or(&empty), after.unwrap_or(&empty), changes)
            }
            _ => changes.push(Change {
                from: before.map(|value| masked(name, value).to_string()),
                to: after.map(|value| masked(name, value).to_string()),
                path,
            }),
        }
    }
}

/// Shows changes one to a line: `+ path = value`, `- path = value`, `~ path: before -> after`.
///
/// A new schedule is shown by what it runs and when; its other keys have their defaults or stand in the file.
pub fn render_changes(changes: &[Change]) -> String {
    let mut shown = String::new();
    for change in changes {
        let line = match (&change.from, &change.to) {
            (None, Some(to)) => format!("+ {} = {}", change.path, short(&change.path, to)),
            (Some(from), None) => format!("- {} = {}", change.path, short(&change.path, from)),
            (Some(from), Some(to)) if from == to => {
                format!("~ {}: changed (value not shown)", change.path)
            }
            (Some(from), Some(to)) => format!("~ {}: {from} -> {to}", change.path),
            (None, None) => continue,
        };
        shown.push_str(&line);
        shown.push('\n');
    }
    shown
}

fn short(path: &str, json: &str) -> String {
    let is_schedule = path.strip_prefix("schedules.").is_some_and(|rest| !rest.contains('.'));
    let Some(Value::Object(map)) = is_schedule.then(|| serde_json::from_str(json).ok()).flatten()
    else {
        return json.to_owned();
    };
    let told = ["cron", "every", "at", "manual", "reboot", "command", "shell", "http"];
    let parts: Vec<String> =
        told.iter().filter_map(|key| Some(format!("{key} = {}", map.get(*key)?))).collect();
    format!("{{ {} }}", parts.join(", "))
}
