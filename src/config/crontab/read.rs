//! Reads a crontab's lines one after another, each with the variables that are in force there.

use std::collections::BTreeMap;

use super::entry::{self, Entry, Line, Variable};
use super::{Format, Host, Left, Source, secrets};
use crate::config::checks::{Checker, Checks};

/// What stands in a crontab.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// The file, as it was named.
    pub(super) file: String,
    /// Lines that can be imported.
    pub(super) entries: Vec<Entry>,
    /// Lines that cannot.
    pub(super) left: Vec<Left>,
    /// The last `MAILTO`.
    pub(super) mail: Option<String>,
    /// Whether lines end in carriage return and line feed.
    pub(super) carriage_returns: bool,
}

/// Reads all lines.
pub(super) fn lines(source: &Source<'_>, host: &Host, checks: Checks) -> Read {
    let mut reader = Reader {
        source,
        host,
        checker: Checker::new(checks),
        variables: BTreeMap::new(),
        unreadable: BTreeMap::new(),
        read: Read { file: source.path.display().to_string(), ..Read::default() },
    };
    let bytes = source.bytes.strip_suffix(b"\n").unwrap_or(source.bytes);
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        reader.line(index + 1, line);
    }
    reader.read
}

struct Reader<'a> {
    source: &'a Source<'a>,
    host: &'a Host,
    checker: Checker,
    variables: BTreeMap<String, Variable>,
    /// Variables whose newest value is no text, with their line.
    unreadable: BTreeMap<String, usize>,
    read: Read,
}

impl Reader<'_> {
    fn line(&mut self, number: usize, bytes: &[u8]) {
        let bytes = match bytes.strip_suffix(b"\r") {
            Some(line) => {
                self.read.carriage_returns = true;
                line
            }
            None => bytes,
        };
        let line = String::from_utf8_lossy(bytes);
        if std::str::from_utf8(bytes).is_err() || bytes.contains(&0) {
            self.no_text(number, &line);
            return;
        }
        let parsed =
            entry::parse(&line, self.source.format, self.host, &self.variables, &self.checker);
        match parsed {
            Ok(Line::Nothing) => (),
            Ok(Line::Variable(name, value)) => {
                if name == "MAILTO" {
                    self.read.mail = Some(value.clone());
                }
                self.unreadable.remove(&name);
                self.variables.insert(name, Variable { value, line: number });
            }
            Ok(Line::Entry(entry)) => match self.obstacle(&entry) {
                Some(reason) => self.leave(number, &line, reason),
                None => self.read.entries.push(Entry { line: number, text: line.into(), ..entry }),
            },
            Err(reason) => self.leave(number, &line, reason),
        }
    }

    /// Why an entry that is well by itself cannot be imported here.
    fn obstacle(&self, entry: &Entry) -> Option<String> {
        if let Some((name, line)) = self.unreadable.first_key_value() {
            return Some(format!("the value of `{name}` on line {line} is not text (UTF-8)"));
        }
        if self.source.format == Format::User
            && let Some(owner) = self.source.owner.filter(|owner| *owner != self.host.user)
        {
            return Some(entry::as_another(owner, self.host));
        }
        let template = |variable: &Variable| entry::reads_as_template(&variable.value);
        if let Some((name, _)) = entry.variables.iter().find(|(_, variable)| template(variable)) {
            return Some(format!("the value of `{name}` reads as a template of Daybook"));
        }
        secrets::in_command(&entry.command).first().map(|found| {
            format!(
                "`{}…` looks like a secret, and a command's text stands in the event log; set it as a variable on a line of its own",
                found.before
            )
        })
    }

    /// A line whose bytes are no text. In a comment they do no harm.
    fn no_text(&mut self, number: usize, line: &str) {
        match entry::assigned(line) {
            _ if line.trim_start().starts_with('#') => (),
            Some(name) => {
                self.leave(
                    number,
                    &format!("{name}=…"),
                    "its value is not text (UTF-8)".to_owned(),
                );
                self.unreadable.insert(name, number);
            }
            None => self.leave(
                number,
                line,
                "it holds bytes that are not text (UTF-8), and a file of schedules is text"
                    .to_owned(),
            ),
        }
    }

    fn leave(&mut self, line: usize, text: &str, reason: String) {
        self.read.left.push(Left {
            file: self.read.file.clone(),
            line,
            text: secrets::masked(text),
            reason,
        });
    }
}
