//! Secrets of a crontab. What is imported ends in the event log, so their values stay behind.

use std::collections::BTreeSet;

use super::entry::Variable;
use super::read::Read;
use super::{Left, name};
use crate::config::values::is_variable;
use crate::domain::masking::sounds_secret;
use crate::ids::InterfaceId;

/// A variable that becomes a credential.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Secret {
    /// The variable.
    pub(super) name: String,
    /// The credential.
    pub(super) credential: String,
    /// The line that sets the value.
    pub(super) line: usize,
    /// Whether there are imported lines for which cron does not set it.
    pub(super) not_for_all: bool,
}

/// Finds the variables that hold secrets. A variable has one value in `[env]`, the first that an entry gets: entries with
/// another one are left.
pub(super) fn take_out(id: &InterfaceId, read: &mut Read) -> Vec<Secret> {
    let mut secrets: Vec<(String, Variable)> = Vec::new();
    for entry in std::mem::take(&mut read.entries) {
        let other = secrets.iter().find(|(name, first)| {
            entry.variables.get(name).is_some_and(|here| here.value != first.value)
        });
        if let Some((name, first)) = other {
            read.left.push(Left {
                file: read.file.clone(),
                line: entry.line,
                text: masked(&entry.text),
                reason: format!(
                    "its `{name}` differs from that of line {}, and an interface has one value for a secret; put the lines into a crontab of their own",
                    first.line
                ),
            });
            continue;
        }
        for (name, variable) in &entry.variables {
            let known = secrets.iter().any(|(known, _)| known == name);
            if !known && is_secret(name, &variable.value) {
                secrets.push((name.clone(), variable.clone()));
            }
        }
        read.entries.push(entry);
    }
    let mut taken = BTreeSet::new();
    secrets
        .into_iter()
        .map(|(name, first)| {
            let credential = format!("{id}-{}", name.to_lowercase().replace('_', "-"));
            Secret {
                credential: name::unique(&credential, &mut taken),
                line: first.line,
                not_for_all: read.entries.iter().any(|entry| !entry.variables.contains_key(&name)),
                name,
            }
        })
        .collect()
}

fn is_secret(name: &str, value: &str) -> bool {
    !value.is_empty() && (sounds_secret(name) || login(value).is_some())
}

/// A secret inside a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<'a> {
    /// What stands before it and says that it is one, such as `PGPASSWORD=`.
    pub(super) before: &'a str,
    /// The secret itself.
    pub(super) value: &'a str,
}

/// The secrets that stand in `command` itself: `NAME=value` and `--name=value` whose name promises one, and addresses with
/// a login. What the shell puts in later (`$TOKEN`) and paths are none.
pub(super) fn in_command(command: &str) -> Vec<Found<'_>> {
    let ends = |c: char| c.is_whitespace() || "'\"`;|&()<>".contains(c);
    let mut found = Vec::new();
    for (at, _) in command.match_indices('=') {
        let (before, after) = command.split_at(at);
        let name = before.rsplit(ends).next().unwrap_or_default();
        let value = after.trim_start_matches('=').trim_start_matches(['"', '\'']);
        let value = value.split(ends).next().unwrap_or_default();
        let plain = name.trim_start_matches('-');
        let named = is_variable(&plain.replace('-', "_")) && sounds_secret(plain);
        if named && !value.is_empty() && !value.starts_with(['$', '/', '~']) {
            let start = before.len() - name.len();
            found.push(Found { before: command.get(start..=at).unwrap_or_default(), value });
        }
    }
    let words = command.split(ends);
    found.extend(words.filter_map(login));
    found
}

/// The user's name and password in an address. Outside of the web a name alone (`ssh://git@host`) is none.
fn login(text: &str) -> Option<Found<'_>> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (value, _) = authority.rsplit_once('@')?;
    let web = scheme.ends_with("http") || scheme.ends_with("https");
    let before = text.get(..scheme.len() + 3)?;
    (!value.contains('$') && (web || value.contains(':'))).then_some(Found { before, value })
}

/// The line without the secrets in it.
pub(super) fn masked(line: &str) -> String {
    let mut text = line.trim().to_owned();
    for found in in_command(line) {
        let (secret, hidden) =
            (format!("{}{}", found.before, found.value), format!("{}***", found.before));
        // Quotes may stand between a name and its value.
        text = match text.contains(&secret) {
            true => text.replace(&secret, &hidden),
            false => text.replace(found.value, "***"),
        };
    }
    text
}
