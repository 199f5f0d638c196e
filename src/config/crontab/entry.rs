//! One line of a crontab.

use std::collections::BTreeMap;

use super::{Format, Host};
use crate::config::checks::Checker;
use crate::config::schedule::cron_timing;
use crate::domain::definition::Dst;

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Blank, or a comment.
    Nothing,
    /// `NAME = value`.
    Variable(String, String),
    /// When and what.
    Entry(Entry),
}

/// A variable's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Variable {
    /// Its value, without quotes.
    pub(super) value: String,
    /// The line that sets it, from 1.
    pub(super) line: usize,
}

/// A line that can be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// From 1.
    pub(super) line: usize,
    /// The line as it stands.
    pub(super) text: String,
    /// The pattern, in our dialect.
    pub(super) pattern: String,
    /// The command, with `\%` read as `%`.
    pub(super) command: String,
    /// The zone of `CRON_TZ`.
    pub(super) zone: Option<String>,
    /// Variables in force at the line, without those that speak to cron.
    pub(super) variables: BTreeMap<String, Variable>,
}

/// Variables that speak to cron, not to the commands.
const CRONS_OWN: [&str; 3] = ["MAILTO", "CRON_TZ", "RANDOM_DELAY"];

/// Reads one line with the variables set above it. The error says why the line is not imported.
pub(super) fn parse(
    line: &str,
    format: Format,
    host: &Host,
    variables: &BTreeMap<String, Variable>,
    checker: &Checker,
) -> Result<Line, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(Line::Nothing);
    }
    if let Some((name, value)) = assignment(line) {
        return Ok(Line::Variable(name, value));
    }
    let (pattern, rest) = split_pattern(line)?;
    let command = match format {
        Format::User => rest,
        Format::System => own_command(rest, host)?,
    };
    let command = command_text(command)?;
    let value = |name: &str| variables.get(name).map(|variable| variable.value.as_str());
    let zone = value("CRON_TZ").filter(|zone| *zone != host.zone);
    if let Some(zone) = zone {
        checker.zone(zone).map_err(|why| format!("CRON_TZ: {why}"))?;
    }
    if let Some(most) = value("RANDOM_DELAY").filter(|most| !["", "0"].contains(&most.trim())) {
        return Err(format!(
            "RANDOM_DELAY={most}: a random delay (cronie's) has no counterpart; without that line it is imported"
        ));
    }
    let pattern = our_pattern(&pattern)?;
    let timing = cron_timing(&pattern);
    let checked = checker.timing(&timing, zone.unwrap_or(&host.zone), Dst::default());
    checked.as_ref().as_ref().map_err(|why| why.why.clone())?;
    let in_force = variables.iter().filter(|(name, _)| !CRONS_OWN.contains(&name.as_str()));
    Ok(Line::Entry(Entry {
        line: 0,
        text: String::new(),
        pattern,
        command,
        zone: zone.map(str::to_owned),
        variables: in_force.map(|(name, value)| (name.clone(), value.clone())).collect(),
    }))
}

/// The variable that a line sets.
pub(super) fn assigned(line: &str) -> Option<String> {
    assignment(line.trim()).map(|(name, _)| name)
}

/// `NAME = value`, with the value's quotes taken off as cron does. Source: crontab(5).
fn assignment(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once('=')?;
    let unquote = |text: &str| {
        let text = text.trim();
        let quoted = |mark| text.strip_prefix(mark).and_then(|text| text.strip_suffix(mark));
        quoted('"').or_else(|| quoted('\'')).unwrap_or(text).to_owned()
    };
    let name = unquote(name);
    crate::config::values::is_variable(&name).then(|| (name, unquote(value)))
}

fn split_pattern(line: &str) -> Result<(String, &str), String> {
    if line.starts_with('@') {
        let (nickname, rest) = line.split_once(char::is_whitespace).ok_or("there is no command")?;
        return Ok((nickname.to_lowercase(), rest.trim_start()));
    }
    if line.starts_with('-') {
        return Err("a leading `-` (not to log the start) has no counterpart".to_owned());
    }
    let mut rest = line;
    let mut fields = Vec::new();
    for _ in 0..5 {
        let (field, tail) = rest
            .split_once(char::is_whitespace)
            .ok_or("there are fewer than five fields and a command")?;
        fields.push(field);
        rest = tail.trim_start();
    }
    let looks_right =
        |field: &&str| field.chars().all(|c| c.is_ascii_alphanumeric() || "*,-/~".contains(c));
    if let Some(field) = fields.iter().find(|field| !looks_right(field)) {
        return Err(format!("`{field}` is not a field of a cron pattern"));
    }
    Ok((fields.join(" "), rest))
}

/// What stands where the system's format has a user's name; none when the line is no entry.
pub(super) fn first_word(line: &str) -> Option<&str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') || assignment(line).is_some() {
        return None;
    }
    let (_, rest) = split_pattern(line).ok()?;
    rest.split_whitespace().next()
}

/// Takes the user's name off a line of the system's format.
fn own_command<'a>(rest: &'a str, host: &Host) -> Result<&'a str, String> {
    let (user, command) =
        rest.split_once(char::is_whitespace).ok_or("there is no command after the user's name")?;
    if user == host.user { Ok(command.trim_start()) } else { Err(as_another(user, host)) }
}

/// Why a line of `user` is not imported.
pub(super) fn as_another(user: &str, host: &Host) -> String {
    format!("it runs as `{user}`, and Daybook would run it as `{}`", host.user)
}

/// The command as the shell gets it: up to the first bare `%`, which would begin standard input.
fn command_text(raw: &str) -> Result<String, String> {
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.trim_end().chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&'%') => {
                text.push('%');
                chars.next();
            }
            '%' => {
                return Err(
                    "the text after `%` would go to standard input, which is empty here".to_owned()
                );
            }
            c => text.push(c),
        }
    }
    if text.is_empty() {
        return Err("there is no command".to_owned());
    }
    if leaves_something_running(&text) {
        return Err(
            "`&` leaves a process in the background, and Daybook ends what a command leaves behind"
                .to_owned(),
        );
    }
    if reads_as_template(&text) {
        return Err("it holds text that reads as a template of Daybook".to_owned());
    }
    Ok(text)
}

/// Whether `check` would take `text` for a template, which does not work in `shell`.
pub(super) fn reads_as_template(text: &str) -> bool {
    let text = text.replace(' ', "");
    ["{{slot.", "{{param.", "{{execution."].iter().any(|mark| text.contains(mark))
}

/// Whether a lone `&` stands outside quotes and comments: not `&&`, `>&`, `&>`, `|&`.
fn leaves_something_running(text: &str) -> bool {
    let mut quote = None;
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(mark), c) if c == mark => quote = None,
            (None | Some('"'), '\\') => {
                chars.next();
            }
            (Some(_), _) => (),
            (None, '\'' | '"') => quote = Some(c),
            (None, '#') if before.is_whitespace() => return false,
            (None, '&') => {
                let next = chars.peek().copied();
                if next == Some('&') {
                    chars.next();
                } else if next != Some('>') && !['>', '<', '|'].contains(&before) {
                    return true;
                }
            }
            (None, _) => (),
        }
        before = c;
    }
    false
}

/// The pattern in our dialect. cron combines the two day fields by AND when either begins with `*`; ours does so for `+`.
fn our_pattern(pattern: &str) -> Result<String, String> {
    if pattern.starts_with('@') {
        return Ok(pattern.to_owned());
    }
    if pattern.contains('~') {
        return Err("a random time (`~`) has no counterpart".to_owned());
    }
    let fields: Vec<&str> = pattern.split(' ').collect();
    let &[minute, hour, day, month, weekday] = fields.as_slice() else {
        return Err("there are fewer than five fields and a command".to_owned());
    };
    // These are ours; cron refuses the file.
    if let Some(field) = [day, weekday].into_iter().find(|field| field.ends_with(['L', 'W'])) {
        return Err(format!("`{field}` is not a field of cron's patterns"));
    }
    let stepped = |field: &str| field.starts_with('*') && field != "*";
    if day == "*" || weekday == "*" || !(stepped(day) || stepped(weekday)) {
        return Ok(pattern.to_owned());
    }
    let weekday = if stepped(weekday) { spelled_out(weekday)? } else { weekday.to_owned() };
    Ok(format!("{minute} {hour} {day} {month} +{weekday}"))
}

/// `*/2` as the weekdays that it means: from Sunday, 0 to 6 (cron's range ends at 7, which is Sunday again).
fn spelled_out(weekday: &str) -> Result<String, String> {
    let step = weekday
        .strip_prefix("*/")
        .and_then(|step| step.parse::<usize>().ok())
        .filter(|step| *step > 0);
    let step = step.ok_or_else(|| format!("`{weekday}` is not a step of weekdays"))?;
    let mut days: Vec<usize> = (0..=7).step_by(step).map(|day| day % 7).collect();
    days.sort_unstable();
    days.dedup();
    Ok(days.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
}
