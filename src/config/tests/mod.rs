//! Files good and bad, read as people write them.

mod bad;
mod calendars;
mod difference;
mod folder;
mod good;

use std::collections::BTreeSet;

use super::problem::{Paint, render_all};
use super::{Checks, Fault, Problem, load_text};
use crate::domain::definition::{Dst, Interface, Schedule, Timing};
use crate::ids::InterfaceId;

/// Simple judges: a few zones, patterns by their shape, the templates of the contract.
pub(super) fn checks() -> Checks {
    Checks { zone, timing, template, per_minute }
}

fn zone(name: &str) -> Result<(), String> {
    let known = ["UTC", "Europe/Paris", "Asia/Tokyo"];
    if known.contains(&name) { Ok(()) } else { Err(format!("`{name}` is not a time zone")) }
}

fn timing(timing: &Timing, _zone: &str, _dst: Dst) -> Result<Vec<String>, Fault> {
    let Timing::Cron(pattern) = timing else { return Ok(Vec::new()) };
    let nicknames =
        ["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"];
    if nicknames.contains(&pattern.as_str()) {
        return Ok(Vec::new());
    }
    let fields: Vec<&str> = pattern.split_whitespace().collect();
    if !(5..=7).contains(&fields.len()) {
        return Err(format!("`{pattern}` has {} fields instead of 5 to 7", fields.len()).into());
    }
    let numbers =
        pattern.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<u32>().ok());
    if numbers.clone().any(|n| n > 59 && n < 1970)
        || pattern.chars().any(|c| c.is_ascii_lowercase())
    {
        let at = pattern.find(|c: char| c.is_ascii_alphabetic() || c == '9').map(|at| at..at + 1);
        return Err(Fault { why: format!("`{pattern}` has a number out of range"), at });
    }
    if fields.first() == Some(&"*/7") {
        return Ok(vec!["`*/7` starts anew at each full hour".to_owned()]);
    }
    Ok(Vec::new())
}

fn template(text: &str, params: &BTreeSet<&str>) -> Result<(), Fault> {
    for part in text.split("{{").skip(1) {
        let name = part.split("}}").next().unwrap_or_default().trim();
        let known = ["slot.date", "slot.at", "slot.last_ok", "execution.id"].contains(&name)
            || name.strip_prefix("param.").is_some_and(|param| params.contains(param));
        if !known {
            return Err(format!("`{{{{ {name} }}}}` is not a known template").into());
        }
    }
    Ok(())
}

fn per_minute(timing: &Timing, _zone: &str, _dst: Dst) -> f64 {
    match timing {
        Timing::Cron(pattern) if pattern.split_whitespace().count() == 6 => 60.0,
        _ => 1.0,
    }
}

fn fnac() -> InterfaceId {
    InterfaceId::new("fnac").expect("valid")
}

fn read(text: &str) -> (Option<Interface>, Vec<Problem>) {
    load_text(&fnac(), "schedules/fnac.toml", text, checks())
}

/// The definition of a text that has nothing wrong with it.
fn accepted(text: &str) -> Interface {
    let (interface, problems) = read(text);
    assert!(problems.is_empty(), "{}", render_all(&problems, Paint::Plain));
    interface.expect("accepted")
}

/// The only schedule of `extra` lines under a manual one that runs `true`.
fn schedule(extra: &str) -> Schedule {
    let when = ["cron", "every", "at", "reboot", "manual"];
    let what = ["command", "shell", "http"];
    let has = |keys: &[&str]| {
        keys.iter().any(|key| extra.lines().any(|line| line.starts_with(&format!("{key} ="))))
    };
    let mut text = String::from("[schedules.a]\n");
    if !has(&when) {
        text.push_str("manual = true\n");
    }
    if !has(&what) {
        text.push_str("command = [\"true\"]\n");
    }
    text.push_str(extra);
    accepted(&text).schedules.into_values().next().expect("one schedule")
}

/// What is said about a text, one line for each problem.
fn said(text: &str) -> String {
    read(text).1.iter().map(|problem| format!("{problem}\n")).collect()
}
