//! The process environment, read once.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// A snapshot of environment variables. The only reader of the process environment; everybody else is handed one.
///
/// Variables whose name or value is not UTF-8 are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// Reads the environment of this process.
    pub fn from_process() -> Self {
        let text = |name: std::ffi::OsString| name.into_string().ok();
        Self {
            variables: std::env::vars_os()
                .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
                .collect(),
        }
    }

    /// The value of `name`; an empty one counts as set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The value of `name` unless it is unset or empty.
    pub fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// The value of `name` as a path, unless it is unset or empty.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.filled(name).map(PathBuf::from)
    }

    /// The same with `name` set to `value`.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// All variables, for the commands' basic ones and for `from_env`.
    pub fn all(&self) -> BTreeMap<String, String> {
        self.variables.clone()
    }

    /// The names that begin with `prefix`, in order.
    pub fn names<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.variables.keys().map(String::as_str).filter(move |name| name.starts_with(prefix))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self {
            variables: variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_is_set_but_not_filled() {
        let env = Environment::from_iter([("DAYBOOK_DATA", ""), ("HOME", "/home/a")]);
        assert_eq!(env.get("DAYBOOK_DATA"), Some(""));
        assert_eq!(env.filled("DAYBOOK_DATA"), None);
        assert_eq!(env.names("DAYBOOK_").collect::<Vec<_>>(), ["DAYBOOK_DATA"]);
    }
}
