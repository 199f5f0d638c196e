//! Placeholder.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::domain::definition;
use crate::domain::event::Change;
use crate::ids::InterfaceId;
/// Environment.
#[derive(Clone, Debug, Default)]
pub struct Environment;
/// Loaded.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Accepted.
    pub accepted: BTreeMap<InterfaceId, LoadedFile>,
    /// Problems.
    pub problems: Vec<Problem>,
    /// Refused.
    pub refused: BTreeSet<String>,
}
/// File.
#[derive(Debug)]
pub struct LoadedFile {
    /// Id.
    pub id: InterfaceId,
    /// Interface.
    pub interface: definition::Interface,
}
/// Severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Error.
    Error,
    /// Warning.
    Warning,
}
/// Problem.
#[derive(Clone, Debug)]
pub struct Problem {
    /// File.
    pub file: String,
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
    /// Message.
    pub message: String,
    /// Hint.
    pub hint: Option<String>,
    /// Severity.
    pub severity: Severity,
}
/// Load.
pub fn load_folder(_dir: &Path, _env: &Environment) -> Loaded {
    Loaded::default()
}
/// Diff.
pub fn diff(
    old: Option<&definition::Interface>,
    new: Option<&definition::Interface>,
) -> Vec<Change> {
    if old == new {
        Vec::new()
    } else {
        vec![Change {
            path: "name".to_owned(),
            from: old.map(|o| o.name.clone()),
            to: new.map(|n| n.name.clone()),
        }]
    }
}
