//! CSV by RFC 4180: UTF-8, commas, a first line with the names. Texts in a form that no program takes for formulas.

use std::io::Write;

use super::columns::{Column, Value};
use super::formula::for_csv;
use super::{ExportError, Pages};

/// Writes a table.
///
/// # Errors
/// [`ExportError`]; rows before it are written.
pub fn csv<T>(
    columns: &[Column<T>],
    rows: &mut Pages<'_, T>,
    to: &mut dyn Write,
) -> Result<(), ExportError> {
    let mut writer = ::csv::Writer::from_writer(to);
    writer.write_record(columns.iter().map(|column| column.name)).map_err(io)?;
    for page in rows {
        for row in page? {
            for column in columns {
                let value = (column.value)(&row);
                match &value {
                    Value::Nothing => writer.write_field(""),
                    Value::Number(number) => writer.write_field(number.to_string()),
                    Value::At(at) => writer.write_field(at.to_string()),
                    Value::Text(_) | Value::List(_) | Value::Json(_) => {
                        writer.write_field(&*for_csv(&value.as_text().unwrap_or_default()))
                    }
                }
                .map_err(io)?;
            }
            writer.write_record(None::<&[u8]>).map_err(io)?;
        }
    }
    Ok(writer.flush()?)
}

fn io(err: ::csv::Error) -> ExportError {
    ExportError::Io(std::io::Error::from(err))
}
