//! A table's columns: each has one name, in the first row of a sheet, in the first line of CSV and in JSON.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use crate::ids::ExecutionId;
use crate::instant::Instant;

/// What stands in a cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Nothing is known: an empty cell, null in JSON.
    Nothing,
    /// A whole number.
    Number(i64),
    /// A point in time: a date where there are dates, else RFC 3339.
    At(Instant),
    /// A text.
    Text(Cow<'a, str>),
    /// Texts: one behind another in a cell, a list in JSON.
    List(Vec<String>),
    /// Anything else: its JSON as a text in a cell.
    Json(Cow<'a, serde_json::Value>),
}

impl<'a> Value<'a> {
    /// A text.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(text.into())
    }

    /// A number; one that is larger than any that we count is the largest.
    pub fn number(number: impl TryInto<i64>) -> Self {
        Self::Number(number.try_into().unwrap_or(i64::MAX))
    }

    /// The same, if there is one.
    pub fn some<T>(given: Option<T>, value: impl FnOnce(T) -> Self) -> Self {
        given.map_or(Self::Nothing, value)
    }

    /// The id of an execution, if there is one.
    pub fn id(id: Option<ExecutionId>) -> Self {
        Self::some(id, |id| Self::text(id.to_string()))
    }

    /// What stands in a cell that holds texts alone; none when that is nothing, a number or an instant.
    pub(super) fn as_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Nothing | Self::Number(_) | Self::At(_) => None,
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::List(texts) => Some(Cow::Owned(texts.join(", "))),
            Self::Json(value) => Some(Cow::Owned(value.to_string())),
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => to.serialize_unit(),
            Self::Number(number) => to.serialize_i64(*number),
            Self::At(at) => at.serialize(to),
            Self::Text(text) => to.serialize_str(text),
            Self::List(texts) => texts.serialize(to),
            Self::Json(value) => value.serialize(to),
        }
    }
}

/// What a column holds: its width and form in a sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Numbers.
    Number,
    /// Instants.
    Instant,
    /// Words, such as a status.
    Word,
    /// Ids of executions.
    Id,
    /// Texts.
    Text,
}

/// A column of a table of `T`.
#[derive(Debug)]
pub struct Column<T: 'static> {
    /// Its name in CSV and JSON.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// The cell of a row.
    pub value: for<'a> fn(&'a T) -> Value<'a>,
}

impl<T> Column<T> {
    pub(super) const fn new(
        name: &'static str,
        kind: Kind,
        value: for<'a> fn(&'a T) -> Value<'a>,
    ) -> Self {
        Self { name, kind, value }
    }

    /// The name as people read it: `created_at` is `Created at (UTC)`.
    pub fn title(&self) -> String {
        title(self.name, self.kind)
    }
}

/// See [`Column::title`].
pub(super) fn title(name: &str, kind: Kind) -> String {
    let mut title = name.replace('_', " ");
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    if kind == Kind::Instant {
        title.push_str(" (UTC)");
    }
    title
}
