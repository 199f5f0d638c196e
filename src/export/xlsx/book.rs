//! A workbook while it is made, and the file that becomes of it.

use std::fs::File;
use std::io::{self, Seek as _, Write};

use rust_xlsxwriter::{Color, DocProperties, ExcelDateTime, Format, Workbook, Worksheet};

use super::super::{ExportError, Watch};
use super::Making;
use super::table::Table;

/// Between two looks whether it may go on, while it is put together.
const LOOK_BYTES: usize = 1 << 20;

/// How a row looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// As usual.
    Plain,
    /// Red: an error, a KO.
    Bad,
}

/// The forms of cells.
pub(super) struct Look {
    pub(super) heading: Format,
    pub(super) instant: Format,
    /// A text that stays one when somebody edits the cell.
    pub(super) quoted: Format,
    pub(super) bad: Format,
    pub(super) bad_instant: Format,
    pub(super) bad_quoted: Format,
}

impl Look {
    fn new() -> Self {
        // The red of the programs' own style for what is bad.
        let bad = Format::new()
            .set_background_color(Color::RGB(0x00FF_C7CE))
            .set_font_color(Color::RGB(0x009C_0006));
        let instant = "yyyy-mm-dd hh:mm:ss.000";
        Self {
            heading: Format::new().set_bold().set_background_color(Color::RGB(0x00D9_E1F2)),
            instant: Format::new().set_num_format(instant),
            quoted: Format::new().set_quote_prefix(),
            bad_instant: bad.clone().set_num_format(instant),
            bad_quoted: bad.clone().set_quote_prefix(),
            bad,
        }
    }
}

/// A workbook while it is made.
pub(super) struct Book<'a> {
    workbook: Workbook,
    look: Look,
    making: Making<'a>,
    /// Bytes that the sheets take at most before they are packed.
    most_bytes: u64,
}

impl<'a> Book<'a> {
    pub(super) fn new(making: Making<'a>) -> Result<Self, ExportError> {
        (making.watch)()?;
        let mut workbook = Workbook::new();
        workbook.set_tempdir(making.folder)?;
        // Left to itself, it would ask the wall clock.
        let created = ExcelDateTime::from_timestamp(making.at.secs())?;
        let properties = DocProperties::new()
            .set_author(format!("daybook {}", making.version))
            .set_creation_datetime(&created);
        workbook.set_properties(&properties);
        Ok(Self { workbook, look: Look::new(), making, most_bytes: 0 })
    }

    pub(super) fn look(&self) -> &Look {
        &self.look
    }

    pub(super) fn sheet_rows(&self) -> u32 {
        self.making.sheet_rows
    }

    /// Whether it may go on.
    pub(super) fn watch(&self) -> Result<(), ExportError> {
        (self.making.watch)()
    }

    /// A new sheet, whose rows wait in a file of its own.
    pub(super) fn sheet(&mut self) -> Result<Worksheet, ExportError> {
        Ok(self.workbook.new_worksheet_with_constant_memory()?)
    }

    /// Takes over the sheets of a table, behind those it has.
    pub(super) fn take<T>(
        &mut self,
        mut table: Table<T>,
        when_empty: &str,
    ) -> Result<(), ExportError> {
        table.close(when_empty)?;
        self.most_bytes += table.most_bytes();
        for sheet in table.sheets {
            self.workbook.push_worksheet(sheet);
        }
        Ok(())
    }

    /// Puts it together: a file without a name, at its beginning.
    pub(super) fn finish(mut self) -> Result<File, ExportError> {
        let mut file = tempfile::tempfile_in(self.making.folder)?;
        let mut to = Watched { file: &mut file, watch: self.making.watch, since: 0, why: None };
        // Not every program reads the form that more than 4 GiB need.
        let is_large = self.most_bytes > u64::from(u32::MAX);
        let saved = self.workbook.use_zip_large_file(is_large).save_to_writer(&mut to);
        if let Some(why) = to.why {
            return Err(why);
        }
        saved?;
        file.rewind()?;
        Ok(file)
    }
}

/// Writes to a file for as long as it may go on.
struct Watched<'a> {
    file: &'a mut File,
    watch: &'a Watch<'a>,
    since: usize,
    /// Why it may not.
    why: Option<ExportError>,
}

impl Write for Watched<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.since += bytes.len();
        if self.since >= LOOK_BYTES {
            self.since = 0;
            if let Err(why) = (self.watch)() {
                self.why = Some(why);
                return Err(io::Error::other("it may not go on"));
            }
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
