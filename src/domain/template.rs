//! Templates: `{{ slot.date }}` in commands, parameters, variables and HTTP calls. Substitution only.
//!
//! | name | value |
//! |---|---|
//! | `slot.at` | the nominal instant, RFC 3339 in UTC; empty without a slot |
//! | `slot.date` | its date in the schedule's zone; without a slot that of the execution's creation |
//! | `slot.previous` | the preceding nominal instant; empty if none |
//! | `slot.last_ok` | the newest earlier slot whose execution or re-run is ok; empty if none |
//! | `param.<name>` | a declared parameter |
//! | `execution.id`, `execution.root` | this execution, and the first of its re-run chain |
//! | `execution.interface`, `execution.schedule` | the ids |
//! | `execution.trigger` | `cron`, `manual`, `rerun` … |
//! | `execution.attempt` | from 1 |
//! | `execution.idempotency_key` | the same for every re-run and attempt |
//!
//! There are no calls, no conditions and no nesting, so a template can neither run nor read anything. A value is never
//! looked at again for templates. A `{{` that is none has no place here: `shell` takes it, where nothing is filled in.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// What a template may name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// The nominal instant.
    SlotAt,
    /// The nominal instant's local date.
    SlotDate,
    /// The preceding nominal instant.
    SlotPrevious,
    /// The newest earlier slot that is ok.
    SlotLastOk,
    /// The execution's id.
    ExecutionId,
    /// The first of the re-run chain.
    ExecutionRoot,
    /// The interface's id.
    ExecutionInterface,
    /// The schedule's bare id.
    ExecutionSchedule,
    /// What started it.
    ExecutionTrigger,
    /// The attempt, from 1.
    ExecutionAttempt,
    /// What external systems may use to recognise a repetition.
    ExecutionIdempotencyKey,
    /// A declared parameter.
    Param(String),
}

impl Name {
    /// All names but the parameters, in the table's order.
    pub const FIXED: [(&'static str, Self); 11] = [
        ("slot.at", Self::SlotAt),
        ("slot.date", Self::SlotDate),
        ("slot.previous", Self::SlotPrevious),
        ("slot.last_ok", Self::SlotLastOk),
        ("execution.id", Self::ExecutionId),
        ("execution.root", Self::ExecutionRoot),
        ("execution.interface", Self::ExecutionInterface),
        ("execution.schedule", Self::ExecutionSchedule),
        ("execution.trigger", Self::ExecutionTrigger),
        ("execution.attempt", Self::ExecutionAttempt),
        ("execution.idempotency_key", Self::ExecutionIdempotencyKey),
    ];

    fn parse(text: &str) -> Option<Self> {
        if let Some(param) = text.strip_prefix("param.") {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            return (!param.is_empty() && param.chars().all(plain))
                .then(|| Self::Param(param.to_owned()));
        }
        Self::FIXED.into_iter().find(|(known, _)| *known == text).map(|(_, name)| name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Param(param) => write!(f, "param.{param}"),
            fixed => {
                let known = Self::FIXED.iter().find(|(_, name)| name == fixed);
                f.write_str(known.map_or("", |(text, _)| text))
            }
        }
    }
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No such name; the nearest one that exists.
    Unknown {
        /// The name that was given.
        name: String,
        /// The nearest known one.
        nearest: String,
    },
    /// A `{{` without its `}}`.
    Unclosed,
    /// Nothing between `{{` and `}}`.
    Empty,
    /// The name is right, but nobody gave it a value.
    NoValue {
        /// The name.
        name: String,
    },
}

/// A template that cannot be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// Where the `{{` stands, in bytes from the start of the text.
    pub offset: usize,
    /// How many bytes the template has.
    pub length: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

impl std::error::Error for TemplateError {}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            Fault::Unknown { name, nearest } => {
                write!(f, "unknown name `{name}` in a template; did you mean `{nearest}`?")
            }
            Fault::Unclosed => f.write_str(
                "`{{` without `}}`; a `{{` that is no template can only stand in `shell`",
            ),
            Fault::Empty => f.write_str("a template without a name; write `{{ slot.date }}`"),
            Fault::NoValue { name } => write!(f, "`{name}` has no value"),
        }
    }
}

/// The values of one attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values(BTreeMap<Name, String>);

impl Values {
    /// No values.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Gives `name` a value.
    pub fn set(&mut self, name: Name, value: impl Into<String>) {
        self.0.insert(name, value.into());
    }

    /// The value of `name`.
    pub fn get(&self, name: &Name) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// How a value is written where it is filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// As it is.
    None,
    /// Percent-encoded (RFC 3986, section 2.3), except at the very start of the text, where it is the address itself.
    Url,
    /// As the inside of a JSON string.
    Json,
}

/// Checks `text` and names what it uses, in order of appearance, each with its offset in bytes.
///
/// Whether a parameter is declared is the caller's question.
///
/// # Errors
/// [`TemplateError`] for the first template with an unknown name, none, or no end.
pub fn check(text: &str) -> Result<Vec<(usize, Name)>, TemplateError> {
    let mut names = Vec::new();
    for part in Parts::new(text) {
        if let Part::Template { offset, name, .. } = part? {
            names.push((offset, name));
        }
    }
    Ok(names)
}

/// Fills `text` in.
///
/// # Errors
/// As [`check`], and [`Fault::NoValue`] for a name that `values` lacks.
pub fn render<'a>(text: &'a str, values: &Values) -> Result<Cow<'a, str>, TemplateError> {
    render_escaped(text, values, Escape::None)
}

/// Fills `text` in, each value written as `escape` says.
///
/// # Errors
/// As [`render`].
pub fn render_escaped<'a>(
    text: &'a str,
    values: &Values,
    escape: Escape,
) -> Result<Cow<'a, str>, TemplateError> {
    if !text.contains("{{") {
        return Ok(Cow::Borrowed(text));
    }
    let mut filled = String::with_capacity(text.len() + 32);
    for part in Parts::new(text) {
        match part? {
            Part::Text(plain) => filled.push_str(plain),
            Part::Template { offset, length, name } => {
                let value = values.get(&name).ok_or_else(|| TemplateError {
                    offset,
                    length,
                    fault: Fault::NoValue { name: name.to_string() },
                })?;
                match escape {
                    Escape::Url if offset > 0 => push_percent_encoded(&mut filled, value),
                    Escape::Url | Escape::None => filled.push_str(value),
                    Escape::Json => push_json_escaped(&mut filled, value),
                }
            }
        }
    }
    Ok(Cow::Owned(filled))
}

/// Appends `value` with everything but RFC 3986's unreserved characters as `%XX`.
pub fn push_percent_encoded(to: &mut String, value: &str) {
    const HEX: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            to.push(char::from(byte));
        } else {
            to.push('%');
            to.push(HEX[usize::from(byte >> 4)]);
            to.push(HEX[usize::from(byte & 15)]);
        }
    }
}

fn push_json_escaped(to: &mut String, value: &str) {
    let quoted = serde_json::Value::from(value).to_string();
    to.push_str(quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value));
}

enum Part<'a> {
    Text(&'a str),
    Template { offset: usize, length: usize, name: Name },
}

struct Parts<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parts<'a> {
    const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn template(&mut self, rest: &'a str) -> Result<Part<'a>, TemplateError> {
        let offset = self.at;
        let error = |length, fault| TemplateError { offset, length, fault };
        let Some((inside, _)) = rest.split_once("}}") else {
            return Err(error(2, Fault::Unclosed));
        };
        let length = inside.len() + 4;
        let given = inside.trim();
        if given.is_empty() {
            return Err(error(length, Fault::Empty));
        }
        let name = Name::parse(given).ok_or_else(|| {
            error(length, Fault::Unknown { name: given.to_owned(), nearest: nearest(given) })
        })?;
        self.at += length;
        Ok(Part::Template { offset, length, name })
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Result<Part<'a>, TemplateError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        if let Some(inside) = rest.strip_prefix("{{") {
            let part = self.template(inside);
            if part.is_err() {
                self.at = self.text.len();
            }
            return Some(part);
        }
        let plain = rest.split_once("{{").map_or(rest, |(plain, _)| plain);
        self.at += plain.len();
        Some(Ok(Part::Text(plain)))
    }
}

fn nearest(given: &str) -> String {
    let known = Name::FIXED.iter().map(|(text, _)| *text).chain(["param.<name>"]);
    known
        .max_by(|a, b| strsim::jaro_winkler(given, a).total_cmp(&strsim::jaro_winkler(given, b)))
        .unwrap_or("slot.date")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let mut values = Values::new();
        values.set(Name::SlotDate, "2026-10-25");
        values.set(Name::SlotLastOk, "");
        values.set(Name::Param("day".to_owned()), "a b/\"{{ slot.date }}\"+é");
        values
    }

    #[test]
    fn names_are_filled_in_and_everything_else_stays() {
        let filled = render("--day={{ slot.date }} --since '{{slot.last_ok}}' }} {", &values());
        assert_eq!(filled.expect("valid"), "--day=2026-10-25 --since '' }} {");
    }

    #[test]
    fn a_value_is_never_read_as_a_template() {
        let filled = render("{{ param.day }}", &values());
        assert_eq!(filled.expect("valid"), "a b/\"{{ slot.date }}\"+é");
    }

    #[test]
    fn a_value_cannot_leave_its_place_in_an_address_or_in_json() {
        let url = render_escaped("http://x/?q={{ param.day }}", &values(), Escape::Url);
        assert_eq!(
            url.expect("valid"),
            "http://x/?q=a%20b%2F%22%7B%7B%20slot.date%20%7D%7D%22%2B%C3%A9"
        );
        let json = render_escaped(r#"{"q":"{{ param.day }}"}"#, &values(), Escape::Json);
        assert_eq!(json.expect("valid"), r#"{"q":"a b/\"{{ slot.date }}\"+é"}"#);
    }

    #[test]
    fn an_unknown_name_is_an_error_with_its_place_and_the_nearest_one() {
        let error = check("a {{ slot.dat }}").expect_err("unknown");
        assert_eq!((error.offset, error.length), (2, 14));
        assert_eq!(
            error.to_string(),
            "unknown name `slot.dat` in a template; did you mean `slot.date`?"
        );
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for (text, fault) in [("{{", Fault::Unclosed), ("x{{  }}", Fault::Empty)] {
            assert_eq!(check(text).expect_err(text).fault, fault, "{text}");
        }
        for text in ["{{ env.HOME }}", "{{ slot.date | upper }}", "{{ param. }}", "{{ param.a b }}"]
        {
            assert!(matches!(check(text).expect_err(text).fault, Fault::Unknown { .. }), "{text}");
        }
    }

    #[test]
    fn check_names_what_a_text_uses() {
        let names = check("{{ param.day }}-{{ execution.id }}").expect("valid");
        assert_eq!(names, [(0, Name::Param("day".to_owned())), (16, Name::ExecutionId)]);
    }

    #[test]
    fn a_name_without_a_value_is_named() {
        let error = render("{{ param.none }}", &values()).expect_err("no value");
        assert_eq!(error.to_string(), "`param.none` has no value");
    }
}
