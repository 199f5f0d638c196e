//! One key, asked of flag, variable and file in this order.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Flags, Origin, Setting, variable};
use crate::config::environment::Environment;
use crate::config::interface::hide_likely_secrets;
use crate::config::keys::{Key, Kind, SETTINGS};
use crate::config::problem::{Problem, Severity};
use crate::config::reader::Fields;
use crate::config::report::{Report, error};
use crate::config::values::{ValueError, check_url, nearest, one_of, parse_duration, parse_size};
use crate::config::words::expects;
use crate::domain::masking::has_login;
use crate::domain::space::Amount;

/// The levels of the daemon's own log.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The layers that settings are read from, and what is wrong with them.
pub(super) struct Layers<'a> {
    flags: &'a Flags,
    env: &'a Environment,
    file: &'a str,
    text: &'a str,
    document: Spanned<DeTable<'a>>,
    report: Report,
    problems: RefCell<Vec<Problem>>,
}

/// A key's value as text, before it is read.
struct Raw {
    text: String,
    origin: Origin,
    /// The value's place, when it stands in the file.
    span: Option<std::ops::Range<usize>>,
}

/// What the layers say about a key: nothing, or a value with its origin. After an error it is nothing.
pub(super) struct Given<T>(Option<Setting<T>>);

impl<T> Given<T> {
    pub(super) fn or(self, default: impl FnOnce() -> T) -> Setting<T> {
        self.0.unwrap_or_else(|| Setting { value: default(), origin: Origin::Default })
    }

    pub(super) fn or_default(self, default: impl FnOnce() -> Option<T>) -> Option<Setting<T>> {
        self.0.or_else(|| default().map(|value| Setting { value, origin: Origin::Default }))
    }

    pub(super) fn optional(self) -> Setting<Option<T>> {
        match self.0 {
            Some(Setting { value, origin }) => Setting { value: Some(value), origin },
            None => Setting { value: None, origin: Origin::Default },
        }
    }
}

impl<'a> Layers<'a> {
    pub(super) fn new(
        flags: &'a Flags,
        env: &'a Environment,
        file: &'a str,
        text: &'a str,
    ) -> Self {
        let report = Report::new(text);
        let (document, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            hide_likely_secrets(&report, text);
        }
        for err in &errors {
            report.add(error(
                err.span().unwrap_or(0..0),
                "",
                format!("not TOML: {}", err.message()),
            ));
        }
        if errors.is_empty() {
            // Opening the table reports its unknown keys.
            Fields::top(document.get_ref(), &SETTINGS, &report);
        }
        let layers =
            Self { flags, env, file, text, document, report, problems: RefCell::default() };
        layers.check_flags();
        layers
    }

    fn check_flags(&self) {
        for name in self.flags.keys() {
            if *name != "config" && SETTINGS.key(name).is_none() {
                let names = SETTINGS.keys.iter().map(|key| key.name);
                let problem =
                    Problem::without_place(Severity::Error, flag(name), "is not a setting");
                self.problems.borrow_mut().push(match nearest(name, names) {
                    Some(near) => problem.with_hint(format!("did you mean `{}`?", flag(near))),
                    None => problem,
                });
            }
        }
    }

    fn raw(&self, name: &str) -> Option<(Raw, &'static Key)> {
        let key: Option<&'static Key> = SETTINGS.key(name);
        debug_assert!(key.is_some(), "`{name}` is not in the table of settings");
        let key = key?;
        if let Some(text) = self.flags.get(name) {
            return Some((
                Raw { text: text.clone(), origin: Origin::Flag(flag(name)), span: None },
                key,
            ));
        }
        let variable = variable(name);
        // An empty variable is how scripts and units say "not set".
        if let Some(text) = self.env.filled(&variable) {
            return Some((
                Raw { text: text.to_owned(), origin: Origin::Variable(variable), span: None },
                key,
            ));
        }
        let value = self.document.get_ref().get(name)?;
        if key.secret {
            self.report.hide(value.span());
        }
        let Some(text) = scalar(value.get_ref(), &key.kind) else {
            self.report.add(error(
                value.span(),
                name,
                format!("`{name}`: expects {}", expects(&key.kind)),
            ));
            return None;
        };
        let line =
            self.text.get(..value.span().start).unwrap_or_default().matches('\n').count() + 1;
        let origin = Origin::File { path: self.file.to_owned(), line };
        Some((Raw { text, origin, span: Some(value.span()) }, key))
    }

    fn read<T>(
        &self,
        name: &str,
        read: impl Fn(&str, &'static Key) -> Result<T, ValueError>,
    ) -> Given<T> {
        let Some((raw, key)) = self.raw(name) else { return Given(None) };
        match read(&raw.text, key) {
            Ok(value) => Given(Some(Setting { value, origin: raw.origin })),
            Err(err) => {
                self.refuse_raw(name, &raw, &err);
                Given(None)
            }
        }
    }

    fn refuse_raw(&self, name: &str, raw: &Raw, err: &ValueError) {
        if let Some(span) = raw.span.clone() {
            self.report.add(
                error(span, name, format!("`{name}`: {}", err.why)).maybe_hint(err.hint.clone()),
            );
            return;
        }
        let problem =
            Problem::without_place(Severity::Error, raw.origin.to_string(), err.why.clone())
                .with_key(name);
        self.problems.borrow_mut().push(match &err.hint {
            Some(hint) => problem.with_hint(hint),
            None => problem,
        });
    }

    /// Refuses a setting for what it means beside the others.
    pub(super) fn refuse(&self, name: &str, why: &str, hint: Option<String>) {
        let refused = ValueError { why: why.to_owned(), hint };
        match self.raw(name) {
            Some((raw, _)) => self.refuse_raw(name, &raw, &refused),
            None => self.refuse_raw(
                name,
                &Raw { text: String::new(), origin: Origin::Flag(flag(name)), span: None },
                &refused,
            ),
        }
    }

    /// A setting without a default; refused when it is absent.
    pub(super) fn needed(
        &self,
        given: Option<Setting<PathBuf>>,
        name: &str,
        why: &str,
    ) -> Setting<PathBuf> {
        given.unwrap_or_else(|| {
            // A value that was given and refused has been reported.
            if self.raw(name).is_none() {
                self.refuse(name, why, None);
            }
            Setting { value: PathBuf::new(), origin: Origin::Default }
        })
    }

    /// What the daemon logs about itself. A misspelt level would be taken for the name of a module, and nothing be logged.
    pub(super) fn log_level(&self, name: &str) -> Given<String> {
        self.read(name, |text, _| {
            for directive in filled(text)?.split(',').map(str::trim) {
                let is_word =
                    !directive.is_empty() && directive.bytes().all(|b| b.is_ascii_alphanumeric());
                let is_level = LEVELS.iter().any(|level| level.eq_ignore_ascii_case(directive));
                if is_word && !is_level {
                    let err = ValueError::new(format!("`{directive}` is not {}", one_of(&LEVELS)));
                    return Err(match nearest(directive, LEVELS) {
                        Some(near) => err.hint(format!("did you mean `{near}`?")),
                        None => err.hint("a part of the program is `daybook::engine=debug`"),
                    });
                }
            }
            Ok(text.to_owned())
        })
    }

    /// A path; one in the file counts from the file's folder.
    pub(super) fn path(&self, name: &str) -> Given<PathBuf> {
        let given = self.read(name, |text, _| filled(text).map(PathBuf::from));
        Given(given.0.map(|setting| {
            match (&setting.origin, std::path::Path::new(self.file).parent()) {
                (Origin::File { .. }, Some(folder)) => {
                    Setting { value: folder.join(&setting.value), origin: setting.origin }
                }
                _ => setting,
            }
        }))
    }

    pub(super) fn url(&self, name: &str) -> Given<String> {
        self.read(name, |text, _| {
            check_url(text)?;
            if has_login(text) {
                return Err(ValueError::new("holds a user name or password"));
            }
            Ok(text.to_owned())
        })
    }

    pub(super) fn address(&self, name: &str) -> Given<SocketAddr> {
        self.read(name, |text, _| {
            // `localhost:7474` is what people type; both names of it are meant, one is enough.
            let text = text
                .strip_prefix("localhost:")
                .map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
            text.parse().ok().ok_or_else(|| {
                ValueError::new(format!("`{text}` is not an address with a port"))
                    .hint("write \"127.0.0.1:7474\", \"[::1]:7474\" or \"0.0.0.0:7474\"")
            })
        })
    }

    pub(super) fn duration(&self, name: &str) -> Given<Duration> {
        self.read(name, |text, _| parse_duration(text).map(Duration::from_millis))
    }

    /// A size, or a share of the file system.
    pub(super) fn amount(&self, name: &str) -> Given<Amount> {
        self.read(name, |text, _| {
            let Some(percent) = text.trim().strip_suffix('%') else {
                return parse_size(text).map(Amount::Bytes);
            };
            let percent = percent.trim().parse().ok().filter(|percent| *percent < 100);
            percent.map(Amount::Percent).ok_or_else(|| {
                ValueError::new(format!("`{text}` is not a share from 0% to 99%"))
                    .hint("write \"5%\", or a size such as \"2GiB\"")
            })
        })
    }

    pub(super) fn number(&self, name: &str) -> Given<u32> {
        self.read(name, |text, key| {
            let Kind::Integer(min, max) = key.kind else {
                return Err(ValueError::new("is not a number"));
            };
            let number =
                text.trim().parse::<i64>().ok().filter(|number| (min..=max).contains(number));
            number
                .and_then(|number| u32::try_from(number).ok())
                .ok_or_else(|| ValueError::new(format!("`{text}` is not {}", expects(&key.kind))))
        })
    }

    pub(super) fn flag(&self, name: &str) -> Given<bool> {
        self.read(name, |text, _| match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(ValueError::new(format!("`{text}` is not true or false"))),
        })
    }

    pub(super) fn choice<T>(&self, name: &str, of: impl Fn(&str) -> Option<T>) -> Given<T> {
        self.read(name, |text, key| {
            let Kind::Choice(words, _) = key.kind else {
                return Err(ValueError::new("has no choice"));
            };
            of(text).ok_or_else(|| {
                let err = ValueError::new(format!("`{text}` is not {}", one_of(words)));
                match nearest(text, words.iter().copied()) {
                    Some(near) => err.hint(format!("did you mean `{near}`?")),
                    None => err,
                }
            })
        })
    }

    /// Everything that was found, the file's first.
    pub(super) fn finish(self) -> Vec<Problem> {
        let mut problems = self.report.finish(self.file);
        problems.extend(self.problems.into_inner());
        problems
    }
}

fn filled(text: &str) -> Result<&str, ValueError> {
    if text.trim().is_empty() {
        Err(ValueError::new("is empty").hint("give it a value, or leave it out"))
    } else {
        Ok(text)
    }
}

/// The flag of a key: `max_concurrent` is `--max-concurrent`.
fn flag(key: &str) -> String {
    format!("--{}", key.replace('_', "-"))
}

/// A value of the file as the text that a variable would hold; none when its type does not fit.
fn scalar(value: &DeValue<'_>, kind: &Kind) -> Option<String> {
    match (value, kind) {
        (DeValue::Boolean(flag), Kind::Flag) => Some(flag.to_string()),
        (DeValue::Integer(number), Kind::Integer(..) | Kind::Duration) => {
            Some(number.as_str().to_owned())
        }
        (DeValue::String(_), Kind::Flag | Kind::Integer(..)) => None,
        (DeValue::String(text), _) => Some(text.clone().into_owned()),
        _ => None,
    }
}
