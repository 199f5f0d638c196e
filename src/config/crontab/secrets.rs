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

/// The secrets that stand in `command` itself: `NAME=value`, `--name=value`, `--name value` and `Name: value` whose name
/// promises one, logins (`-u me:value`), passwords of MySQL's tools (`-pvalue`), and addresses with a login. What the shell
/// puts in later (`$TOKEN`) and paths are none.
pub(super) fn in_command(command: &str) -> Vec<Found<'_>> {
    let mut found = Vec::new();
    found.extend(command.match_indices('=').filter_map(|(at, _)| assigned(command, at)));
    found.extend(command.match_indices(':').filter_map(|(at, _)| header(command, at)));
    let mut of_mysql = false;
    for (start, word) in words(command) {
        found.extend(option(command, start, word).or_else(|| user(command, start, word)));
        found.extend(if of_mysql { mysql_password(command, start, word) } else { None });
        let program = word.rsplit('/').next().unwrap_or_default();
        let rest = command.get(start + word.len()..).unwrap_or_default();
        of_mysql = (of_mysql || program.starts_with("mysql") || program.starts_with("mariadb"))
            && !rest.starts_with([';', '|', '&']);
    }
    found.extend(words(command).filter_map(|(_, word)| login(word)));
    found
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || "'\"`;|&()<>".contains(c)
}

/// The words of `command`, quotes or not, each with its place.
fn words(command: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut next = 0;
    command.split_inclusive(ends_word).map(move |piece| {
        let start = next;
        next += piece.len();
        (start, piece.trim_end_matches(ends_word))
    })
}

/// What the shell makes one word of at the beginning of `text`, as far as it is written there.
fn value_at(text: &str) -> &str {
    let quote = text.chars().next().filter(|c| ['"', '\''].contains(c));
    match quote {
        Some(quote) => text.split(quote).nth(1).unwrap_or_default(),
        None => text.split(ends_word).next().unwrap_or_default(),
    }
}

fn is_put_in_later(value: &str) -> bool {
    value.starts_with(['$', '`'])
}

fn is_written_out(value: &str) -> bool {
    !value.trim_matches(['"', '\'']).is_empty()
        && !is_put_in_later(value)
        && !value.starts_with(['/', '~'])
}

/// `NAME=value` or `--name=value`, around the `=` at `at`.
fn assigned(command: &str, at: usize) -> Option<Found<'_>> {
    let (before, after) = command.split_at(at);
    let name = before.rsplit(ends_word).next()?;
    let plain = name.trim_start_matches('-');
    let value = value_at(after.trim_start_matches('='));
    let named = is_variable(&plain.replace('-', "_")) && sounds_secret(plain);
    let secret = named || (plain != name && names_a_login(plain) && is_login(value));
    let before = command.get(at - name.len()..=at)?;
    (secret && is_written_out(value)).then_some(Found { before, value })
}

/// `Name: value`, around the `:` at `at`, up to the end of the quotes that it stands in.
fn header(command: &str, at: usize) -> Option<Found<'_>> {
    let (head, after) = command.split_at(at);
    let name = head.rsplit(|c| ends_word(c) || c == '=').next()?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if !is_name || !sounds_secret(name) {
        return None;
    }
    let outside = head.strip_suffix(name)?;
    let inside = after.strip_prefix(':')?;
    let whole = match outside.chars().next_back().filter(|c| ['"', '\''].contains(c)) {
        Some(quote) => inside.split(quote).next()?,
        None => inside.split(['"', '\'', '`', ';', '|', '&', '<', '>']).next()?,
    };
    // The scheme of an `Authorization` may stand there, and what follows it come later.
    let scheme = ["Bearer ", "Basic ", "Token ", "Digest ", "ApiKey "]
        .into_iter()
        .find(|scheme| whole.trim_start().starts_with(scheme))
        .unwrap_or_default();
    let value = whole.trim_start().strip_prefix(scheme)?.trim();
    let value = if outside.ends_with(['"', '\'']) { value } else { value_at(value) };
    let before = command.get(at - name.len()..at + after.find(value)?)?;
    is_written_out(value).then_some(Found { before, value })
}

/// `--name value`, where `word` at `start` is the option.
fn option<'a>(command: &'a str, start: usize, word: &str) -> Option<Found<'a>> {
    let name = word.trim_start_matches('-');
    // `--no-password` and `--password-stdin` have no value.
    let flag = name.starts_with("no-") || name.ends_with("-stdin");
    let named = name != word && is_variable(&name.replace('-', "_")) && sounds_secret(name);
    let (before, value) = next_word(command, start, word)?;
    (named && !flag && is_written_out(value)).then_some(Found { before, value })
}

/// `-u me:value` or `--user me:value`, where `word` at `start` is the option.
fn user<'a>(command: &'a str, start: usize, word: &str) -> Option<Found<'a>> {
    let name = word.strip_prefix('-')?;
    if name.starts_with('u') {
        let (before, value) = (command.get(start..start + 2)?, value_at(command.get(start + 2..)?));
        if is_login(value) {
            return Some(Found { before, value });
        }
    }
    let letters = !name.starts_with('-') && name.ends_with('u');
    let named = letters || names_a_login(name.trim_start_matches('-'));
    let (before, value) = next_word(command, start, word)?;
    (named && is_login(value)).then_some(Found { before, value })
}

fn names_a_login(option: &str) -> bool {
    ["user", "proxy-user", "http-user", "auth"].contains(&option)
}

/// Whether `value` is a name with a password; `33:33` is a user with a group, and `+%H:%M` is for `date -u`.
fn is_login(value: &str) -> bool {
    let is_id = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    value.split_once(':').is_some_and(|(name, password)| {
        let ids = is_id(name) && is_id(password);
        is_written_out(password) && !name.is_empty() && !name.starts_with('+') && !ids
    })
}

/// The password of `mysqldump -pvalue`, where `word` at `start` is the option. Without a value it is asked for.
fn mysql_password<'a>(command: &'a str, start: usize, word: &str) -> Option<Found<'a>> {
    word.strip_prefix("-p")?;
    let before = command.get(start..start + 2)?;
    let value = value_at(command.get(start + 2..)?);
    (!value.is_empty() && !is_put_in_later(value)).then_some(Found { before, value })
}

/// What follows the option `word` at `start`, and all that stands before it from the option on.
fn next_word<'a>(command: &'a str, start: usize, word: &str) -> Option<(&'a str, &'a str)> {
    let rest = command.get(start + word.len()..)?;
    let value = value_at(rest.trim_start());
    let at = command.len() - rest.trim_start().len();
    let next_is_apart = rest.starts_with(char::is_whitespace) && !value.starts_with('-');
    next_is_apart.then_some((command.get(start..at)?, value))
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
