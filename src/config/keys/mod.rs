//! The one table of keys for each TOML table: the parser, the JSON Schema and the reference page all read it.

mod calendar;
mod interface;
mod schedule;
mod settings;

pub use calendar::{BLACKOUT, CALENDAR, RANGE};
pub use interface::{INTERFACE, LIMITS, RETENTION, RULE};
pub use schedule::{AFTER, CATCH_UP, DST, HTTP, PARAM, RETRY, SCHEDULE, SECRET};
pub use settings::SETTINGS;

/// The tables of an interface's file, in the order of the reference page.
pub static FILE_TABLES: [&Table; 13] = [
    &INTERFACE, &SECRET, &LIMITS, &BLACKOUT, &RETENTION, &RULE, &SCHEDULE, &AFTER, &HTTP, &PARAM,
    &RETRY, &CATCH_UP, &DST,
];

/// The tables of a calendar's file.
pub static CALENDAR_TABLES: [&Table; 2] = [&CALENDAR, &RANGE];

/// One TOML table with all of its keys.
#[derive(Debug)]
pub struct Table {
    /// Its name in messages and in the reference.
    pub name: &'static str,
    /// How it is written, such as `[limits]`.
    pub place: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
    /// Groups of which exactly one key must be given.
    pub one_of: &'static [Group],
    /// Keys that must be given.
    pub required: &'static [&'static str],
}

/// Keys of which exactly one must be given.
#[derive(Debug)]
pub struct Group {
    /// The question that they answer, such as `when`.
    pub asks: &'static str,
    /// The keys.
    pub keys: &'static [&'static str],
}

impl Table {
    /// The key called `name`.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The keys that this version accepts.
    pub fn accepted(&self) -> impl Iterator<Item = &'static Key> {
        self.keys.iter().filter(|key| !key.later)
    }
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// What it means, in Markdown.
    pub doc: &'static str,
    /// The default in words or as TOML; empty when there is none.
    pub default: &'static str,
    /// An example of its value, as TOML.
    pub example: &'static str,
    /// Whether it belongs to the contract, and this version does not support it.
    pub later: bool,
    /// Other words that people try.
    pub also: &'static [&'static str],
    /// Whether its value must not be shown.
    pub secret: bool,
}

impl Key {
    const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, doc, default: "", example: "", later: false, also: &[], secret: false }
    }

    /// A key of the contract that this version recognises and refuses.
    const fn later(name: &'static str, doc: &'static str) -> Self {
        Self { later: true, ..Self::new(name, Kind::Text, doc) }
    }

    const fn default(self, default: &'static str) -> Self {
        Self { default, ..self }
    }

    const fn example(self, example: &'static str) -> Self {
        Self { example, ..self }
    }

    const fn also(self, also: &'static [&'static str]) -> Self {
        Self { also, ..self }
    }

    const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }
}

/// What a key holds.
#[derive(Debug)]
pub enum Kind {
    /// Any text that is not empty.
    Text,
    /// Text that may hold templates.
    Template,
    /// True or false.
    Flag,
    /// Only true makes sense.
    True,
    /// A whole number from the first to the second.
    Integer(i64, i64),
    /// A number not below this.
    Number(f64),
    /// `45m`.
    Duration,
    /// `1GiB`.
    Size,
    /// `60/min`.
    Rate,
    /// An `http` or `https` address.
    Url,
    /// An IANA zone name.
    Zone,
    /// A name in small letters, digits and dashes.
    Slug,
    /// A cron pattern.
    Cron,
    /// An RFC 3339 instant.
    Moment,
    /// A local date and time without an offset.
    LocalTime,
    /// A date.
    Date,
    /// A day of the week.
    Weekday,
    /// A day that comes each year.
    Yearly,
    /// A time of day, or a local date and time.
    Edge,
    /// The name of a file beside the one that names it.
    FileName,
    /// The name of a calendar, or such a table.
    Blackout(&'static Table),
    /// A regular expression.
    Regex,
    /// One of the first words; the second ones are of the contract, but not of this version.
    Choice(&'static [&'static str], &'static [&'static str]),
    /// Text, or a table that says where a secret is read.
    Secretable,
    /// A list.
    List(&'static Kind),
    /// Free names, each with such a value.
    Map(Names, &'static Kind),
    /// A table with known keys.
    Table(&'static Table),
}

/// What the free names of a map must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Anything that is not empty.
    Any,
    /// `[a-z0-9][a-z0-9-]{0,62}`.
    Slug,
    /// `[a-z0-9][a-z0-9_-]{0,62}`.
    Param,
    /// `[A-Za-z_][A-Za-z0-9_]*`, and not `DAYBOOK_…`.
    Variable,
    /// An HTTP header's name.
    Header,
}

impl Names {
    /// The same rule as a regular expression; none when any name will do.
    pub const fn pattern(self) -> Option<&'static str> {
        match self {
            Self::Any => None,
            Self::Slug => Some("^[a-z0-9][a-z0-9-]{0,62}$"),
            Self::Param => Some("^[a-z0-9][a-z0-9_-]{0,62}$"),
            Self::Variable => Some("^(?!DAYBOOK_)[A-Za-z_][A-Za-z0-9_]*$"),
            Self::Header => Some("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"),
        }
    }
}

/// Shortens the tables: `choice(&["a"])`.
const fn choice(words: &'static [&'static str]) -> Kind {
    Kind::Choice(words, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_stands_once_and_is_documented_in_a_sentence() {
        for table in FILE_TABLES.into_iter().chain(CALENDAR_TABLES).chain([&SETTINGS]) {
            for (index, key) in table.keys.iter().enumerate() {
                assert!(key.doc.ends_with('.'), "{}: {}", table.name, key.name);
                assert!(
                    !table.keys.iter().skip(index + 1).any(|other| other.name == key.name),
                    "{}: {} stands twice",
                    table.name,
                    key.name
                );
            }
            for name in table.required.iter().chain(table.one_of.iter().flat_map(|g| g.keys)) {
                assert!(table.key(name).is_some(), "{}: {name}", table.name);
            }
        }
    }
}
