//! JSON Lines: one object for each row, with the columns' names. Unknown is null, never absent.

use std::io::{self, Write};

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::columns::Column;
use super::{EXECUTION, ExportError, LINE, MOMENT, Moment, Pages};
use crate::domain::line::Line;
use crate::projection::view::Execution;

struct Row<'a, T: 'static> {
    /// What kind of row it is, where there are several.
    kind: Option<&'static str>,
    columns: &'a [Column<T>],
    row: &'a T,
}

impl<T> Serialize for Row<'_, T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        if let Some(kind) = self.kind {
            map.serialize_entry("row", kind)?;
        }
        for column in self.columns {
            map.serialize_entry(column.name, &(column.value)(self.row))?;
        }
        map.end()
    }
}

impl<T> Row<'_, T> {
    fn write(&self, to: &mut dyn Write) -> Result<(), ExportError> {
        serde_json::to_writer(&mut *to, self).map_err(io::Error::from)?;
        Ok(to.write_all(b"\n")?)
    }
}

/// Writes a table.
///
/// # Errors
/// [`ExportError`]; rows before it are written.
pub fn jsonl<T>(
    columns: &[Column<T>],
    rows: &mut Pages<'_, T>,
    to: &mut dyn Write,
) -> Result<(), ExportError> {
    for page in rows {
        for row in &page? {
            Row { kind: None, columns, row }.write(to)?;
        }
    }
    Ok(to.flush()?)
}

/// One execution: a row `execution`, a row `line` for each line, a row `event` for each event.
#[derive(Debug)]
pub struct Jsonl<'a> {
    /// The execution.
    pub execution: &'a Execution,
    /// Its events.
    pub timeline: &'a [Moment],
}

impl Jsonl<'_> {
    /// Writes it with its lines.
    ///
    /// # Errors
    /// [`ExportError`]; rows before it are written.
    pub fn write(
        &self,
        lines: &mut Pages<'_, Line>,
        to: &mut dyn Write,
    ) -> Result<(), ExportError> {
        Row { kind: Some("execution"), columns: EXECUTION, row: self.execution }.write(to)?;
        for page in lines {
            for row in &page? {
                Row { kind: Some("line"), columns: LINE, row }.write(to)?;
            }
        }
        for row in self.timeline {
            Row { kind: Some("event"), columns: MOMENT, row }.write(to)?;
        }
        Ok(to.flush()?)
    }
}
