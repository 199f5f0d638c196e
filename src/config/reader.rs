//! Reads one TOML table by its table of keys.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::checks::Fault;
use super::keys::{Key, Kind, Table};
use super::report::{Report, error};
use super::values::{self, ValueError, nearest, one_of};
use super::words::{bad_name, expects, lower_first, unknown};
use crate::domain::definition::Rate;

/// One TOML table: asks for keys by name, each of which stands in its [`Table`].
pub(super) struct Fields<'a> {
    table: &'a DeTable<'a>,
    keys: &'static Table,
    path: String,
    span: Range<usize>,
    report: &'a Report,
}

/// A value with its key and place.
pub(super) struct Item<'a> {
    /// Where its name stands, or the value itself when it has none.
    name_at: Range<usize>,
    value: &'a Spanned<DeValue<'a>>,
    kind: &'static Kind,
    path: String,
    report: &'a Report,
}

impl<'a> Fields<'a> {
    /// Opens the file's top level.
    pub(super) fn top(table: &'a DeTable<'a>, keys: &'static Table, report: &'a Report) -> Self {
        Self::open(table, keys, (String::new(), 0..0), report)
    }

    /// Opens a table and reports its unknown, unsupported, missing and contradicting keys.
    fn open(
        table: &'a DeTable<'a>,
        keys: &'static Table,
        (path, span): (String, Range<usize>),
        report: &'a Report,
    ) -> Self {
        let fields = Self { table, keys, path, span, report };
        fields.check_names();
        fields.check_groups();
        fields
    }

    fn check_names(&self) {
        for name in self.table.keys() {
            let (text, span) = (name.get_ref().as_ref(), name.span());
            let path = self.path_of(text);
            match self.keys.key(text) {
                None => self.report.add(unknown(self.keys, text, span, &path)),
                Some(key) if key.later => self.report.add(
                    error(span, &path, format!("`{text}` is not supported by this version yet"))
                        .hint(format!("its meaning is reserved: {}", lower_first(key.doc))),
                ),
                Some(_) => (),
            }
        }
    }

    fn check_groups(&self) {
        for group in self.keys.one_of {
            let mut given = self
                .table
                .keys()
                .filter(|name| group.keys.contains(&name.get_ref().as_ref()))
                .collect::<Vec<_>>();
            given.sort_by_key(|name| name.span().start);
            match given.as_slice() {
                [] => {
                    let accepted: Vec<&str> = group
                        .keys
                        .iter()
                        .copied()
                        .filter(|n| self.keys.key(n).is_some_and(|k| !k.later))
                        .collect();
                    self.report.add(
                        error(
                            self.span.clone(),
                            &self.path,
                            format!("{} does not say {}", self.title(), group.asks),
                        )
                        .hint(format!("give one of {}", one_of(&accepted))),
                    );
                }
                [_] => (),
                [first, others @ ..] => {
                    for other in others {
                        let name = other.get_ref();
                        self.report.add(
                            error(
                                other.span(),
                                &self.path_of(name),
                                format!(
                                    "`{name}` beside `{}`: {} must say {} exactly once",
                                    first.get_ref(),
                                    self.title(),
                                    group.asks
                                ),
                            )
                            .hint("remove one of them"),
                        );
                    }
                }
            }
        }
        for name in self.keys.required {
            if !self.table.contains_key(*name) {
                self.report.add(error(
                    self.span.clone(),
                    &self.path,
                    format!("{} needs `{name}`", self.title()),
                ));
            }
        }
    }

    /// How messages name the table.
    fn title(&self) -> String {
        match self.path.strip_prefix("schedules.") {
            Some(id) if !id.contains('.') => format!("schedule `{id}`"),
            _ => self.keys.name.to_owned(),
        }
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The dotted path of the table itself.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The place of the table's name.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    pub(super) fn report(&self) -> &'a Report {
        self.report
    }

    /// The value of a key, if it is given and accepted by this version.
    pub(super) fn get(&self, name: &str) -> Option<Item<'a>> {
        let key: Option<&'static Key> = self.keys.key(name);
        debug_assert!(key.is_some_and(|key| !key.later), "`{name}` is not in the table of keys");
        let key = key?;
        let (given, value) = self.table.get_key_value(name)?;
        if key.secret {
            self.report.hide(value.span());
        }
        Some(Item {
            name_at: given.span(),
            value,
            kind: &key.kind,
            path: self.path_of(name),
            report: self.report,
        })
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name)?.text()
    }

    pub(super) fn duration(&self, name: &str) -> Option<u64> {
        self.get(name)?.duration()
    }

    /// A duration that is not zero.
    pub(super) fn period(&self, name: &str) -> Option<u64> {
        let item = self.get(name)?;
        let ms = item.duration()?;
        if ms == 0 {
            item.refuse("must be longer than 0s", None);
            return None;
        }
        Some(ms)
    }

    pub(super) fn size(&self, name: &str) -> Option<u64> {
        let item = self.get(name)?;
        let text = item.text()?;
        item.parsed(values::parse_size(&text))
    }

    pub(super) fn rate(&self, name: &str) -> Option<Rate> {
        let item = self.get(name)?;
        let text = item.text()?;
        item.parsed(values::parse_rate(&text))
    }

    pub(super) fn url(&self, name: &str) -> Option<String> {
        let item = self.get(name)?;
        let text = item.text()?;
        item.parsed(values::check_url(&text)).map(|()| text)
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.get(name)?.flag()
    }

    pub(super) fn integer<T: TryFrom<i64>>(&self, name: &str) -> Option<T> {
        self.get(name)?.integer()
    }

    /// One of a choice's words, read into its type by `of`.
    pub(super) fn choice<T>(&self, name: &str, of: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.get(name)?.choice(of)
    }

    /// Opens the table under `name`.
    pub(super) fn table(&self, name: &str) -> Option<Fields<'a>> {
        self.get(name)?.table()
    }

    /// The values of a list.
    pub(super) fn list(&self, name: &str) -> Option<Vec<Item<'a>>> {
        self.get(name)?.list()
    }

    /// The values of a map by their free names, which are checked.
    pub(super) fn map(&self, name: &str) -> BTreeMap<String, Item<'a>> {
        self.get(name).map(|item| item.map()).unwrap_or_default()
    }
}

impl<'a> Item<'a> {
    pub(super) fn span(&self) -> Range<usize> {
        self.value.span()
    }

    pub(super) fn value(&self) -> &'a DeValue<'a> {
        self.value.get_ref()
    }

    /// The dotted path of the value.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The last part of the path, as messages name it.
    fn name(&self) -> &str {
        self.path.rsplit_once('.').map_or(self.path.as_str(), |(_, name)| name)
    }

    /// Refuses the value: `why` reads on after "`key` ".
    pub(super) fn refuse(&self, why: &str, hint: Option<String>) {
        self.report.add(
            error(self.span(), &self.path, format!("`{}`: {why}", self.name())).maybe_hint(hint),
        );
    }

    /// Lets what only other files can tell of the value be said at its place.
    pub(super) fn ask_later(&self) {
        let text = self.value().as_str().unwrap_or_default();
        self.report.ask_later(self.span(), &self.path, text);
    }

    /// Refuses the value in the words of the part that it belongs to, pointing at the part of it that is wrong.
    pub(super) fn refuse_fault(&self, fault: &Fault, before: &str, hint: Option<String>) {
        let text = self.value().as_str().unwrap_or_default();
        let part = fault.at.as_ref().and_then(|at| self.report.within(&self.span(), text, at));
        let span = part.unwrap_or_else(|| self.span());
        let message = format!("`{}`: {before}{}", self.name(), fault.why);
        self.report.add(error(span, &self.path, message).maybe_hint(hint));
    }

    /// Adds a warning about the value.
    pub(super) fn warn(&self, message: &str, hint: Option<String>) {
        self.report.add(
            super::report::warning(
                self.span(),
                &self.path,
                format!("`{}`: {message}", self.name()),
            )
            .maybe_hint(hint),
        );
    }

    /// Marks the value as one that must not be shown.
    pub(super) fn hide(&self) {
        self.report.hide(self.span());
    }

    fn mismatch<T>(&self) -> Option<T> {
        let given = match self.value() {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a point",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.refuse(&format!("expects {}, not {given}", expects(self.kind)), None);
        None
    }

    fn parsed<T>(&self, value: Result<T, ValueError>) -> Option<T> {
        value.map_err(|err| self.refuse(&err.why, err.hint)).ok()
    }

    /// Text that is not empty. `body` and templates may be empty.
    pub(super) fn text(&self) -> Option<String> {
        let Some(text) = self.value().as_str() else { return self.mismatch() };
        if text.is_empty() && !matches!(self.kind, Kind::Template | Kind::Secretable) {
            self.refuse(&format!("is empty; it expects {}", expects(self.kind)), None);
            return None;
        }
        if text.contains('\0') {
            self.refuse("holds a NUL character", None);
            return None;
        }
        Some(text.to_owned())
    }

    pub(super) fn flag(&self) -> Option<bool> {
        let Some(flag) = self.value().as_bool() else { return self.mismatch() };
        if !flag && matches!(self.kind, Kind::True) {
            self.refuse("can only be true", Some("leave the key out instead".to_owned()));
            return None;
        }
        Some(flag)
    }

    pub(super) fn duration(&self) -> Option<u64> {
        if let DeValue::Integer(number) = self.value() {
            return self.parsed(values::parse_duration(number.as_str()));
        }
        let text = self.text()?;
        self.parsed(values::parse_duration(&text))
    }

    pub(super) fn integer<T: TryFrom<i64>>(&self) -> Option<T> {
        let Some(number) = self.value().as_integer() else { return self.mismatch() };
        let Kind::Integer(min, max) = self.kind else { return self.mismatch() };
        let value = i64::from_str_radix(number.as_str(), number.radix()).ok();
        let value = value.filter(|value| (*min..=*max).contains(value));
        match value.and_then(|value| T::try_from(value).ok()) {
            Some(value) => Some(value),
            None => {
                self.refuse(
                    &format!("`{number}` is out of range; it expects {}", expects(self.kind)),
                    None,
                );
                None
            }
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        let Kind::Number(min) = self.kind else { return self.mismatch() };
        let text = match self.value() {
            DeValue::Float(number) => number.as_str(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            _ => return self.mismatch(),
        };
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() && number >= *min => Some(number),
            _ => {
                self.refuse(
                    &format!("`{text}` is out of range; it expects {}", expects(self.kind)),
                    None,
                );
                None
            }
        }
    }

    pub(super) fn choice<T>(&self, of: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text()?;
        let Kind::Choice(words, later) = self.kind else { return self.mismatch() };
        if later.contains(&text.as_str()) {
            self.refuse(
                &format!("`{text}` is not supported by this version yet"),
                Some(format!("this version knows {}", one_of(words))),
            );
            return None;
        }
        let read = words.contains(&text.as_str()).then(|| of(&text)).flatten();
        if read.is_none() {
            let hint =
                nearest(&text, words.iter().copied()).map(|word| format!("did you mean `{word}`?"));
            self.refuse(&format!("`{text}` is not {}", one_of(words)), hint);
        }
        read
    }

    pub(super) fn table(&self) -> Option<Fields<'a>> {
        let keys = match self.kind {
            Kind::Table(keys) => keys,
            Kind::Blackout(keys) => keys,
            Kind::Secretable => &super::keys::SECRET,
            _ => return self.mismatch(),
        };
        let DeValue::Table(table) = self.value() else { return self.mismatch() };
        Some(Fields::open(table, keys, (self.path.clone(), self.name_at.clone()), self.report))
    }

    pub(super) fn list(&self) -> Option<Vec<Item<'a>>> {
        let Kind::List(kind) = self.kind else { return self.mismatch() };
        let DeValue::Array(values) = self.value() else { return self.mismatch() };
        let item = |(index, value): (usize, &'a Spanned<DeValue<'a>>)| Item {
            name_at: value.span(),
            value,
            kind,
            path: format!("{}[{index}]", self.path),
            report: self.report,
        };
        Some(values.iter().enumerate().map(item).collect())
    }

    fn map(&self) -> BTreeMap<String, Item<'a>> {
        let mut items = BTreeMap::new();
        let Kind::Map(names, kind) = self.kind else { return items };
        let DeValue::Table(table) = self.value() else {
            self.mismatch::<()>();
            return items;
        };
        for (name, value) in table {
            let text = name.get_ref().as_ref();
            let path = format!("{}.{text}", self.path);
            if let Some((why, hint)) = bad_name(*names, text) {
                // It was meant as a variable or header, whose value may be anything.
                self.report.hide(value.span());
                self.report.add(error(name.span(), &path, why).hint(hint));
                continue;
            }
            let item = Item { name_at: name.span(), value, kind, path, report: self.report };
            items.insert(text.to_owned(), item);
        }
        items
    }
}
