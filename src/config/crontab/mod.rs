//! Reads crontab files and writes them as an interface's file, without changing a meaning in silence.
//!
//! What cron does and Daybook does not (another user, text for standard input, processes left in the background) is listed
//! as not imported, with the reason. What differs for every line (mail, umask) is said in notes.

mod entry;
mod name;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::checks::{Checker, Checks};
use crate::ids::InterfaceId;
use entry::{Entry, Line};

/// Which of cron's two formats a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A user's crontab: five fields and the command.
    User,
    /// `/etc/crontab` and `/etc/cron.d/*`: a user's name before the command.
    System,
}

impl Format {
    /// The format of the crontab `text` at `path`: by its place, as cron decides it. Elsewhere, as for a copy, it is the
    /// system's when each entry has the name of a user of this machine before its command.
    pub fn of(path: &Path, text: &str, is_user: impl Fn(&str) -> bool) -> Self {
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        if path.ends_with("etc/crontab") || folder.ends_with("cron.d") {
            return Self::System;
        }
        let mut words = text.lines().filter_map(entry::first_word).peekable();
        if words.peek().is_some() && words.all(is_user) { Self::System } else { Self::User }
    }
}

/// Who runs the imported commands, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The user that the daemon runs as.
    pub user: String,
    /// That user's home folder, where cron would start the commands.
    pub home: String,
    /// The machine's zone, by which cron reads the times.
    pub zone: String,
}

/// A crontab as an interface's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Import {
    /// The interface's id, from the file's name.
    pub id: InterfaceId,
    /// The text of `<id>.toml`; none when no line could be imported.
    pub toml: Option<String>,
    /// How many lines were imported.
    pub imported: usize,
    /// Lines that were not.
    pub left: Vec<Left>,
    /// What is different for all of them.
    pub notes: Vec<String>,
}

/// A line that was not imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Left {
    /// The crontab file.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// The line itself.
    pub text: String,
    /// Why not.
    pub reason: String,
}

/// Imports the text of the crontab at `path`.
pub fn import(path: &Path, text: &str, format: Format, host: &Host, checks: Checks) -> Import {
    let checker = Checker::new(checks);
    let file = path.display().to_string();
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    let mut entries: Vec<Entry> = Vec::new();
    let mut left = Vec::new();
    let mut mail = None;
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        match entry::parse(line, format, host, &variables, &checker) {
            Ok(Line::Nothing) => (),
            Ok(Line::Variable(name, value)) => {
                if name == "MAILTO" {
                    mail = Some(value.clone());
                }
                variables.insert(name, value);
            }
            Ok(Line::Entry(entry)) => entries.push(Entry { line: line_number, ..entry }),
            Err(reason) => left.push(Left {
                file: file.clone(),
                line: line_number,
                text: line.trim().to_owned(),
                reason,
            }),
        }
    }
    let id = name::interface(path);
    let notes = if entries.is_empty() { Vec::new() } else { notes(mail.as_deref(), &entries) };
    let toml = (!entries.is_empty()).then(|| write::file(&file, &entries, host, &notes));
    Import { id, toml, imported: entries.len(), left, notes }
}

fn notes(mail: Option<&str>, entries: &[Entry]) -> Vec<String> {
    let mut notes = vec![
        "commands run with umask 077 and without standard input; cron's umask is usually 022"
            .to_owned(),
        "an exit status other than 0 makes an execution KO; cron ignores it".to_owned(),
    ];
    match mail {
        Some("") => notes.push("MAILTO is empty: cron dropped the output; Daybook keeps it in the log".to_owned()),
        Some(to) => notes.push(format!(
            "cron mailed the output to {to}; Daybook keeps it in the log (`notify` tells a person of a KO)"
        )),
        None => notes.push("cron mailed the output to the user; Daybook keeps it in the log".to_owned()),
    }
    if entries.iter().any(|entry| entry.zone.is_some()) {
        notes.push(
            "CRON_TZ became the schedule's zone, as in cronie; Debian's cron ignores it".to_owned(),
        );
    }
    notes
}
