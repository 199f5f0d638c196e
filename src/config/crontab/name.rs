//! Names for what has none: interfaces from files, schedules from commands.

use std::collections::BTreeSet;
use std::path::Path;

use crate::ids::InterfaceId;

/// Words that begin a command without saying what it does.
const WRAPPERS: [&str; 26] = [
    "env",
    "nice",
    "ionice",
    "nohup",
    "sudo",
    "timeout",
    "flock",
    "sh",
    "bash",
    "dash",
    "zsh",
    "exec",
    "test",
    "cd",
    "command",
    "if",
    "then",
    "true",
    "systemd-cat",
    "chronic",
    "setsid",
    "time",
    "perl",
    "php",
    "python3",
    "python",
];

/// The longest name taken from a command; what follows is only for people.
const LENGTH: usize = 40;

/// The id of the interface that a crontab becomes.
pub(super) fn interface(path: &Path) -> InterfaceId {
    let stem = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let slug =
        slug(stem.trim_end_matches(".crontab").trim_end_matches(".cron").trim_end_matches(".txt"));
    let fallback = || InterfaceId::new("crontab");
    // Both arms are names by construction; a slug that is not one only means that the file had no letters.
    InterfaceId::new(&slug)
        .or_else(|_| fallback())
        .unwrap_or_else(|_| unreachable!("`crontab` is a name"))
}

/// A name for a command: the base name of the first program that is not a mere wrapper or check.
pub(super) fn schedule(command: &str) -> String {
    let mut spaced = command.to_owned();
    for mark in [";", "||", "&&"] {
        spaced = spaced.replace(mark, &format!(" {mark} "));
    }
    let words = spaced
        .split(|c: char| c.is_whitespace() || "()'\"{}`".contains(c))
        .filter(|word| !word.is_empty());
    let mut checked = false;
    let mut candidates = Vec::new();
    for word in words {
        match word {
            // What `test` or `[` is asked about is not the program.
            "test" | "[" | "[[" | "cd" => checked = true,
            "&&" | "||" | ";" | "|" | "]" | "]]" | "then" => checked = false,
            _ if checked
                || word.starts_with(['-', '$', '>', '<', '&', '!'])
                || word.contains('=') => {}
            _ => candidates.push(word.rsplit('/').next().unwrap_or(word)),
        }
    }
    let named = candidates.iter().find(|word| {
        !WRAPPERS.contains(word)
            && word.chars().any(|c| c.is_ascii_alphabetic())
            && !slug(word).is_empty()
    });
    let name = named
        .or_else(|| candidates.first())
        .map(|word| slug(strip_suffix(word)))
        .unwrap_or_default();
    if name.is_empty() { "job".to_owned() } else { name }
}

/// `name`, or the first of `name-2`, `name-3` and so on that is not taken.
pub(super) fn unique(name: &str, taken: &mut BTreeSet<String>) -> String {
    let mut candidate = name.to_owned();
    let mut number = 2;
    while !taken.insert(candidate.clone()) {
        candidate = format!("{name}-{number}");
        number += 1;
    }
    candidate
}

fn strip_suffix(word: &str) -> &str {
    [".sh", ".py", ".pl", ".rb", ".php"]
        .iter()
        .find_map(|tail| word.strip_suffix(tail))
        .unwrap_or(word)
}

/// Small letters, digits and single dashes.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let cut: String = slug.chars().take(LENGTH).collect();
    cut.trim_end_matches('-').to_owned()
}
