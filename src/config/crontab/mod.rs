//! Reads crontab files and writes them as an interface's file, without changing a meaning in silence.
//!
//! What cron does and Daybook does not (another user, text for standard input, processes left in the background) is listed
//! as not imported, with the reason, as is a line that would carry a secret into the event log. What differs for every line (mail, umask) is said in notes.

mod entry;
mod name;
mod notes;
mod read;
mod secrets;
#[cfg(test)]
mod tests;
mod write;

use std::path::Path;

use serde::Serialize;

use super::checks::Checks;
use crate::ids::InterfaceId;

/// Which of cron's two formats a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A user's crontab: five fields and the command.
    User,
    /// `/etc/crontab` and `/etc/cron.d/*`: a user's name before the command.
    System,
}

/// Some entries have a user's name before the command, and some have not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a user of this machine stands before the command on {}, but not on {}",
    shown(with),
    shown(without)
)]
pub struct Mixed {
    /// Lines that begin with one, from 1.
    pub with: Vec<usize>,
    /// Lines that do not, from 1.
    pub without: Vec<usize>,
}

impl Format {
    /// The format of the crontab at `path` by its place, as cron decides it; none elsewhere, as for a copy.
    pub fn by_place(path: &Path) -> Option<Self> {
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        if path.ends_with("etc/crontab") || folder.ends_with("cron.d") {
            return Some(Self::System);
        }
        owner(path).map(|_| Self::User)
    }

    /// The format of `text`: the system's when each entry has the name of a user of this machine before its command, a
    /// user's when none has.
    ///
    /// # Errors
    /// Some have and some have not: read either way, lines would become nonsense.
    pub fn by_text(text: &str, is_user: impl Fn(&str) -> bool) -> Result<Self, Mixed> {
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for (index, line) in text.lines().enumerate() {
            let Some(word) = entry::first_word(line) else { continue };
            if is_user(word) { &mut with } else { &mut without }.push(index + 1);
        }
        match (with.is_empty(), without.is_empty()) {
            (true, _) => Ok(Self::User),
            (false, true) => Ok(Self::System),
            (false, false) => Err(Mixed { with, without }),
        }
    }
}

/// Whose crontab is at `path`, when it lies where cron keeps those of users.
pub fn owner(path: &Path) -> Option<&str> {
    let folder = path.parent()?;
    let spool =
        ["cron/crontabs", "cron/tabs", "spool/cron"].iter().any(|end| folder.ends_with(end));
    path.file_name().filter(|_| spool)?.to_str()
}

/// The longest list of lines in a sentence.
const SHOWN: usize = 5;

fn shown(lines: &[usize]) -> String {
    let numbers: Vec<String> = lines.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = lines.len().saturating_sub(SHOWN);
    let noun = if lines.len() == 1 { "line" } else { "lines" };
    let tail = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{noun} {}{tail}", numbers.join(", "))
}

/// A crontab.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The file, as it was named.
    pub path: &'a Path,
    /// Its bytes, which need not be text.
    pub bytes: &'a [u8],
    /// Its format.
    pub format: Format,
    /// Whose it is, when its place says so.
    pub owner: Option<&'a str>,
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
    /// The user that the daemon must run as for the lines to mean the same.
    pub user: String,
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

/// Imports a crontab.
pub fn import(source: &Source<'_>, host: &Host, checks: Checks) -> Import {
    let id = name::interface(source.path);
    let mut read = read::lines(source, host, checks);
    let secrets = secrets::take_out(&id, &mut read);
    read.left.sort_by_key(|left| left.line);
    let mut notes = Vec::new();
    let mut toml = None;
    if !read.entries.is_empty() {
        notes = notes::of(&read, &secrets, host);
        let file = source.path.display().to_string();
        toml = Some(write::file(&file, &read.entries, host, &notes, &secrets));
    }
    Import {
        id,
        user: host.user.clone(),
        toml,
        imported: read.entries.len(),
        left: read.left,
        notes,
    }
}
