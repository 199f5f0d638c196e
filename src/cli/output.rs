//! The one way out: data to stdout, messages to stderr.

use std::fmt::Display;
use std::io::{self, Write};

use serde_json::Value;

use super::render::{Palette, Rows};

/// Where a command's results go, and how they look there.
pub struct Output<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    /// Whether data is JSON.
    pub json: bool,
    /// Colours of the data.
    pub palette: Palette,
    /// Colours of the messages.
    pub messages: Palette,
    /// Whether a person reads the data.
    pub terminal: bool,
    /// Columns of the terminal; none when the data goes elsewhere.
    pub width: Option<u16>,
}

/// How results look.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Whether data is JSON.
    pub json: bool,
    /// Colours of the data.
    pub palette: Palette,
    /// Colours of the messages.
    pub messages: Palette,
    /// Whether a person reads the data.
    pub terminal: bool,
    /// Columns of the terminal.
    pub width: u16,
}

impl<'a> Output<'a> {
    /// An output to `out` and `err`.
    pub fn new(out: &'a mut dyn Write, err: &'a mut dyn Write, look: Look) -> Self {
        let Look { json, palette, messages, terminal, width } = look;
        let width = terminal.then_some(width);
        Self { out, err, json, palette, messages, terminal, width }
    }

    /// Writes a line of data.
    ///
    /// # Errors
    /// Nothing can be written.
    pub fn line(&mut self, text: impl Display) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// Writes data as it is.
    ///
    /// # Errors
    /// Nothing can be written.
    pub fn raw(&mut self, text: &[u8]) -> io::Result<()> {
        self.out.write_all(text)
    }

    /// Writes a JSON document: indented for a person, on one line for a program.
    ///
    /// # Errors
    /// Nothing can be written.
    pub fn document(&mut self, value: &Value) -> io::Result<()> {
        if self.terminal { writeln!(self.out, "{value:#}") } else { writeln!(self.out, "{value}") }
    }

    /// Writes a row of JSON Lines.
    ///
    /// # Errors
    /// Nothing can be written.
    pub fn row(&mut self, value: &Value) -> io::Result<()> {
        writeln!(self.out, "{value}")
    }

    /// Writes a table.
    ///
    /// # Errors
    /// Nothing can be written.
    pub fn table(&mut self, rows: Rows) -> io::Result<()> {
        let shown = rows.show(self.palette, self.width);
        self.out.write_all(shown.as_bytes())
    }

    /// Writes a message for a person; with `--json` there are none but errors.
    ///
    /// # Errors
    /// Nothing can be written.
    pub fn message(&mut self, text: impl Display) -> io::Result<()> {
        if self.json { Ok(()) } else { writeln!(self.err, "{text}") }
    }

    /// Where data goes, for writers of their own.
    pub fn data(&mut self) -> &mut dyn Write {
        self.out
    }

    /// Where messages go.
    pub fn errors(&mut self) -> &mut dyn Write {
        self.err
    }

    /// Hands on what is buffered.
    ///
    /// # Errors
    /// Nothing can be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.err.flush()
    }
}
