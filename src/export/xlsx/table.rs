//! A table on as many sheets as it takes.

use std::borrow::Cow;

use rust_xlsxwriter::{Format, Worksheet};

use super::super::ExportError;
use super::super::columns::{Column, Kind, Value};
use super::super::formula::looks_like_formula;
use super::book::{Book, Look, Tone};
use crate::instant::Instant;

/// What a cell takes at most, counted as the programs count: in UTF-16.
const CELL_MAX: usize = 32_767;
/// Bytes of a cell's markup at most.
const CELL_BYTES: u64 = 100;
/// Bytes that stand for one at most: a control character is written as `_x0000_`.
const LETTER_BYTES: u64 = 7;
/// What stands at the end of a text that was cut.
const CUT: &str = " … [cut: a cell takes no more]";

/// Rows of `T`, and the sheets that they are on.
pub(super) struct Table<T: 'static> {
    name: &'static str,
    columns: &'static [Column<T>],
    /// The last one is being written.
    pub(super) sheets: Vec<Worksheet>,
    /// Rows on the last one, its headings included.
    filled: u32,
    rows: u64,
    cut: u64,
    most_bytes: u64,
}

impl<T> Table<T> {
    /// A table without rows.
    pub(super) fn new(
        name: &'static str,
        columns: &'static [Column<T>],
        book: &mut Book<'_>,
    ) -> Result<Self, ExportError> {
        let (sheets, most_bytes) = (Vec::new(), 0);
        let mut table = Self { name, columns, sheets, filled: 0, rows: 0, cut: 0, most_bytes };
        table.turn(book)?;
        Ok(table)
    }

    /// Rows, on all sheets.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Texts that were cut.
    pub(super) fn cut(&self) -> u64 {
        self.cut
    }

    /// Bytes that its sheets take at most before they are packed.
    pub(super) fn most_bytes(&self) -> u64 {
        self.most_bytes
    }

    /// Adds a row.
    pub(super) fn add(
        &mut self,
        row: &T,
        tone: Tone,
        book: &mut Book<'_>,
    ) -> Result<(), ExportError> {
        if self.filled > book.sheet_rows() {
            self.turn(book)?;
        }
        let Some(sheet) = self.sheets.last_mut() else { return Ok(()) };
        for (column, place) in self.columns.iter().zip(0..) {
            let mut cell = Cell { sheet, look: book.look(), tone, place: (self.filled, place) };
            let value = (column.value)(row);
            self.most_bytes += CELL_BYTES;
            match &value {
                Value::Nothing => cell.nothing()?,
                Value::Number(number) => cell.number(*number)?,
                Value::At(at) => cell.instant(*at, column.kind)?,
                Value::Text(_) | Value::List(_) | Value::Json(_) => {
                    let text = value.as_text().unwrap_or_default();
                    let fitting = fitting(&text);
                    self.cut += u64::from(fitting.len() != text.len());
                    self.most_bytes += LETTER_BYTES * fitting.len() as u64;
                    cell.text(&fitting)?;
                }
            }
        }
        self.filled += 1;
        self.rows += 1;
        Ok(())
    }

    /// Says what an empty table means, and lets all sheets be filtered.
    pub(super) fn close(&mut self, when_empty: &str) -> Result<(), ExportError> {
        if self.rows == 0
            && let Some(sheet) = self.sheets.last_mut()
        {
            sheet.write_string(1, 0, when_empty)?;
        }
        self.filter()
    }

    /// Goes on on a new sheet.
    fn turn(&mut self, book: &mut Book<'_>) -> Result<(), ExportError> {
        self.filter()?;
        let mut sheet = book.sheet()?;
        let name = match self.sheets.len() {
            0 => self.name.to_owned(),
            before => format!("{} {}", self.name, before + 1),
        };
        sheet.set_name(name)?;
        sheet.set_freeze_panes(1, 0)?;
        for (column, place) in self.columns.iter().zip(0..) {
            sheet.set_column_width(place, width(column))?;
            if column.kind == Kind::Instant {
                sheet.set_column_format(place, &book.look().instant)?;
            }
            sheet.write_string_with_format(0, place, column.title(), &book.look().heading)?;
        }
        self.sheets.push(sheet);
        self.filled = 1;
        Ok(())
    }

    fn filter(&mut self) -> Result<(), ExportError> {
        let last = u16::try_from(self.columns.len()).unwrap_or(u16::MAX).saturating_sub(1);
        if let Some(sheet) = self.sheets.last_mut() {
            sheet.autofilter(0, 0, self.filled.saturating_sub(1), last)?;
        }
        Ok(())
    }
}

fn width<T>(column: &Column<T>) -> f64 {
    let least = match column.kind {
        Kind::Number => 10.0,
        Kind::Instant => 24.0,
        Kind::Word => 15.0,
        Kind::Id => 38.0,
        Kind::Text => 60.0,
    };
    // The filter's button takes the place of some letters.
    let title = u32::try_from(column.title().len()).unwrap_or(u32::MAX);
    f64::max(least, f64::from(title) + 4.0)
}

/// As much of a text as a cell takes; it says when that is not all.
fn fitting(text: &str) -> Cow<'_, str> {
    // No text has more units in UTF-16 than bytes in UTF-8.
    if text.len() <= CELL_MAX || text.encode_utf16().count() <= CELL_MAX {
        return Cow::Borrowed(text);
    }
    let mut left = CELL_MAX - CUT.encode_utf16().count();
    let kept = text.chars().take_while(|letter| {
        let fits = letter.len_utf16() <= left;
        left = left.saturating_sub(letter.len_utf16());
        fits
    });
    let mut kept: String = kept.collect();
    kept.push_str(CUT);
    Cow::Owned(kept)
}

/// A cell that is being written.
struct Cell<'a> {
    sheet: &'a mut Worksheet,
    look: &'a Look,
    tone: Tone,
    place: (u32, u16),
}

impl Cell<'_> {
    fn nothing(&mut self) -> Result<(), ExportError> {
        let (row, column) = self.place;
        if self.tone == Tone::Bad {
            self.sheet.write_blank(row, column, &self.look.bad)?;
        }
        Ok(())
    }

    fn number(&mut self, number: i64) -> Result<(), ExportError> {
        let (row, column) = self.place;
        // A sheet knows no other numbers: beyond 2^53 they are rounded.
        let number = number as f64;
        match self.tone {
            Tone::Plain => self.sheet.write_number(row, column, number)?,
            Tone::Bad => {
                self.sheet.write_number_with_format(row, column, number, &self.look.bad)?
            }
        };
        Ok(())
    }

    fn instant(&mut self, at: Instant, kind: Kind) -> Result<(), ExportError> {
        let (row, column) = self.place;
        let Some(days) = days(at) else { return self.text(&at.to_string()) };
        let format = match (self.tone, kind) {
            (Tone::Bad, _) => Some(&self.look.bad_instant),
            // The column's own: to look one up for each cell takes longer than to write it.
            (Tone::Plain, Kind::Instant) => None,
            (Tone::Plain, Kind::Number | Kind::Word | Kind::Id | Kind::Text) => {
                Some(&self.look.instant)
            }
        };
        match format {
            None => self.sheet.write_number(row, column, days)?,
            Some(format) => self.sheet.write_number_with_format(row, column, days, format)?,
        };
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), ExportError> {
        let (row, column) = self.place;
        let format: Option<&Format> = match (self.tone, looks_like_formula(text)) {
            (Tone::Plain, false) => None,
            (Tone::Plain, true) => Some(&self.look.quoted),
            (Tone::Bad, false) => Some(&self.look.bad),
            (Tone::Bad, true) => Some(&self.look.bad_quoted),
        };
        match format {
            None => self.sheet.write_string(row, column, text)?,
            Some(format) => self.sheet.write_string_with_format(row, column, text, format)?,
        };
        Ok(())
    }
}

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
/// Days from what the sheets count from to 1970. Dates are the same everywhere from March 1900 on.
const DAYS_TO_1970: i64 = 25_569;

/// An instant as days and their parts; none of before 1901 or behind 9999.
fn days(at: Instant) -> Option<f64> {
    let ms = at.millis().checked_add(DAYS_TO_1970 * DAY_MS)?;
    let range = 367 * DAY_MS..2_958_466 * DAY_MS;
    range.contains(&ms).then(|| ms as f64 / DAY_MS as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_days_since_the_end_of_1899() {
        let at = |text| days(Instant::parse(text).expect("an instant"));
        assert_eq!(at("1970-01-01T00:00:00Z"), Some(25_569.0));
        assert_eq!(at("2026-11-22T12:00:00Z"), Some(46_348.5));
        assert_eq!(at("1899-01-01T00:00:00Z"), None);
        assert_eq!(days(Instant::from_millis(i64::MAX)), None);
    }

    #[test]
    fn a_text_that_no_cell_takes_is_cut_and_says_so() {
        let short = "a".repeat(CELL_MAX);
        assert_eq!(fitting(&short), short);
        // Two units each, four bytes.
        let cut = fitting(&"😀".repeat(CELL_MAX)).into_owned();
        assert!(cut.starts_with("😀") && cut.ends_with(CUT), "{}", cut.len());
        let units = cut.encode_utf16().count();
        assert!((CELL_MAX - 1..=CELL_MAX).contains(&units), "{units}");
    }
}
