//! Writes imported lines as an interface's file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::Host;
use super::entry::Entry;
use super::name;
use super::secrets::Secret;

/// The text of the interface's file.
pub(super) fn file(
    source: &str,
    entries: &[Entry],
    host: &Host,
    notes: &[String],
    secrets: &[Secret],
) -> String {
    let variables: Vec<BTreeMap<String, String>> =
        entries.iter().map(|entry| in_force(entry, host, secrets)).collect();
    let common = common(&variables);
    let mut text = String::new();
    comment(&mut text, &format!("Imported from {source} for a daemon that runs as {}.", host.user));
    for note in notes {
        comment(&mut text, &format!("{note}."));
    }
    push(&mut text, &format!("\nname = {}", quoted(source)));
    push(&mut text, &format!("timezone = {}", quoted(&host.zone)));
    push(&mut text, "\n[env]");
    for (name, value) in &common {
        push(&mut text, &format!("{name} = {}", quoted(value)));
    }
    for Secret { name, credential, .. } in secrets {
        push(&mut text, &format!("{name} = {{ credential = {} }}", quoted(credential)));
    }
    let mut taken = BTreeSet::new();
    for (entry, variables) in entries.iter().zip(&variables) {
        let name = name::unique(&name::schedule(&entry.command), &mut taken);
        push(&mut text, &format!("\n# Line {}.\n[schedules.{name}]", entry.line));
        push(&mut text, &format!("cron = {}", quoted(&entry.pattern)));
        if let Some(zone) = &entry.zone {
            push(&mut text, &format!("timezone = {}", quoted(zone)));
        }
        push(&mut text, &job(entry, variables, &common));
        let home = variables.get("HOME").unwrap_or(&host.home);
        push(&mut text, &format!("cwd = {}", quoted(home)));
        // cron starts a line whether or not its former run is over, and never makes up for one.
        push(&mut text, "overlap = \"allow\"");
        push(&mut text, "catch_up = { mode = \"none\" }");
    }
    text
}

/// TOML takes no control characters in a comment, and an address in `MAILTO` or a path may hold some.
fn comment(text: &mut String, line: &str) {
    push(text, &format!("# {}", line.replace(char::is_control, "\u{fffd}")));
}

fn push(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// The variables that cron would set for the command, without the secrets.
fn in_force(entry: &Entry, host: &Host, secrets: &[Secret]) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::from([
        ("HOME".to_owned(), host.home.clone()),
        ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
        ("SHELL".to_owned(), "/bin/sh".to_owned()),
    ]);
    if entry.zone.is_some() {
        // Daybook tells the command the schedule's zone; cron leaves it the machine's.
        variables.insert("TZ".to_owned(), host.zone.clone());
    }
    let set = entry.variables.iter().map(|(name, variable)| (name.clone(), variable.value.clone()));
    variables.extend(set.filter(|(name, _)| secrets.iter().all(|secret| secret.name != *name)));
    // Nobody can change these two in a crontab.
    variables.insert("LOGNAME".to_owned(), host.user.clone());
    variables.insert("USER".to_owned(), host.user.clone());
    variables
}

/// What is the same for all lines, and can stand in `[env]`.
fn common(all: &[BTreeMap<String, String>]) -> BTreeMap<String, String> {
    let Some((first, rest)) = all.split_first() else { return BTreeMap::new() };
    let shared =
        |name: &String, value: &String| rest.iter().all(|other| other.get(name) == Some(value));
    // Text in `[env]` may hold templates, so a value that looks like one is exported by the command itself.
    let plain = |value: &String| !value.contains("{{");
    first
        .iter()
        .filter(|(name, value)| {
            shared(name, value) && plain(value) && !name.starts_with("DAYBOOK_")
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The job's key. Variables of this line alone are exported before its command.
fn job(
    entry: &Entry,
    variables: &BTreeMap<String, String>,
    common: &BTreeMap<String, String>,
) -> String {
    let mut script = String::new();
    for (name, value) in variables.iter().filter(|(name, _)| !common.contains_key(*name)) {
        // Writing to a String cannot fail.
        write!(script, "{name}={}; export {name}; ", shell_quoted(value)).unwrap_or_default();
    }
    let shell = variables.get("SHELL").map_or("/bin/sh", String::as_str);
    if shell == "/bin/sh" {
        script.push_str(&entry.command);
    } else {
        write!(script, "exec {} -c {}", shell_quoted(shell), shell_quoted(&entry.command))
            .unwrap_or_default();
    }
    format!("shell = {}", quoted(&script))
}

fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
