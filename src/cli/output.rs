//! The one way out: data to stdout, messages to stderr.

use std::fmt::Display;
use std::io::{self, Write};

use serde_json::Value;

use super::messages::Messages;
use super::render::{Palette, Tone};
use super::table::{Cell, INDENT, Rows};
use super::text::{clean, columns, wrapped};

/// How output looks, for the long help and the manual.
pub const HELP: &str = "\
Output:
  At a terminal a table fits its width (COLUMNS, else its own size, else 80):
  what does not fit goes below or is cut with `…`, times are told from now, and
  ids are prefixes that every command takes. In a pipe or a file each row is one
  line with the same columns, all of it, in UTC, and without colours. What is
  cut off at a number of rows says so, there in a message.
  Colours: at a terminal, unless TERM is `dumb`; with CLICOLOR_FORCE=1 anywhere;
  with NO_COLOR or --no-color nowhere, whatever else is set. No meaning is in a
  colour alone.
  Progress and messages stand on standard error; --quiet and --json leave them
  out.";

/// Fewer columns than this are not wrapped into.
const WIDTH_MIN: usize = 20;

/// Where a command's results go, and how they look there.
pub struct Output<'a> {
    out: &'a mut dyn Write,
    /// What is said beside the data.
    pub messages: Messages<'a>,
    /// Whether data is JSON.
    pub json: bool,
    /// Colours of the data.
    pub palette: Palette,
    /// Whether a person reads the data.
    pub terminal: bool,
    /// Columns of the terminal; none when the data goes elsewhere.
    pub width: Option<usize>,
}

/// How results look.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Whether data is JSON.
    pub json: bool,
    /// Colours of the data.
    pub palette: Palette,
    /// Columns of the terminal that a person reads the data at; none when it goes elsewhere.
    pub width: Option<usize>,
}

impl<'a> Output<'a> {
    /// An output to `out`, and to where `messages` go.
    pub fn new(out: &'a mut dyn Write, messages: Messages<'a>, look: Look) -> Self {
        let Look { json, palette, width } = look;
        Self { out, messages, json, palette, terminal: width.is_some(), width }
    }

    /// Writes a line of data.
    ///
    /// # Errors
    /// Nothing can be written.
    pub fn line(&mut self, text: impl Display) -> io::Result<()> {
        writeln!(self.data(), "{text}")
    }

    /// Writes a paragraph behind `lead`: at a terminal in rows that begin below each other, elsewhere as one line.
    ///
    /// # Errors
    /// Nothing can be written.
    pub fn text(&mut self, lead: &str, tone: Tone, text: &str) -> io::Result<()> {
        let text = clean(text);
        let taken = columns(lead);
        let rows = match self.width {
            Some(width) => wrapped(&text, width.max(taken + WIDTH_MIN) - taken),
            None => vec![text.into_owned()],
        };
        let palette = self.palette;
        let mut lead = lead.to_owned();
        for row in if rows.is_empty() { vec![String::new()] } else { rows } {
            let line = format!("{lead}{}", palette.paint(tone, &row));
            self.line(line.trim_end())?;
            lead = " ".repeat(taken);
        }
        Ok(())
    }

    /// Writes what belongs on one line, two spaces apart; what does not fit at a terminal goes below, further in.
    ///
    /// # Errors
    /// Nothing can be written.
    pub fn side_by_side(&mut self, cells: &[Cell]) -> io::Result<()> {
        let (mut line, mut taken) = (String::new(), 0);
        for cell in cells {
            let wide = cell.columns();
            let narrow = self.width.filter(|width| taken > 0 && taken + 2 + wide > *width);
            if let Some(width) = narrow {
                self.line(std::mem::take(&mut line))?;
                taken = INDENT.min(width.saturating_sub(wide));
                line.push_str(&" ".repeat(taken));
            } else if taken > 0 {
                line.push_str("  ");
                taken += 2;
            }
            line.push_str(&cell.painted(self.palette));
            taken += wide;
        }
        self.line(line)
    }

    /// Writes data as it is.
    ///
    /// # Errors
    /// Nothing can be written.
    pub fn raw(&mut self, text: &[u8]) -> io::Result<()> {
        self.data().write_all(text)
    }

    /// Writes a JSON document: indented for a person, on one line for a program.
    ///
    /// # Errors
    /// Nothing can be written.
    pub fn document(&mut self, value: &Value) -> io::Result<()> {
        if self.terminal { self.line(format!("{value:#}")) } else { self.line(value) }
    }

    /// Writes a row of JSON Lines.
    ///
    /// # Errors
    /// Nothing can be written.
    pub fn row(&mut self, value: &Value) -> io::Result<()> {
        self.line(value)
    }

    /// Writes a table.
    ///
    /// # Errors
    /// Nothing can be written.
    pub fn table(&mut self, rows: &Rows) -> io::Result<()> {
        let shown = rows.show(self.palette, self.width);
        self.raw(shown.as_bytes())
    }

    /// Writes a message for a person; with `--json` and `--quiet` there are none but errors.
    ///
    /// # Errors
    /// Nothing can be written.
    pub fn message(&mut self, text: impl Display) -> io::Result<()> {
        // What was written before stands above it.
        self.hand_on()?;
        self.messages.say(text)
    }

    /// Writes what is wrong, also with `--quiet`.
    ///
    /// # Errors
    /// Nothing can be written.
    pub fn complaint(&mut self, text: impl Display) -> io::Result<()> {
        self.hand_on()?;
        self.messages.complain(text)
    }

    /// Where data goes, for writers of their own.
    pub fn data(&mut self) -> &mut dyn Write {
        self.messages.erase();
        self.out
    }

    /// Writes a piece of a file that goes to standard output. Elsewhere than at a terminal the line of progress stays: else it
    /// would be gone with each piece as soon as it is there.
    ///
    /// # Errors
    /// Nothing can be written.
    pub fn piece(&mut self, part: &[u8]) -> io::Result<()> {
        if self.terminal { self.raw(part) } else { self.out.write_all(part) }
    }

    /// Both ways at once, for work that writes data and tells meanwhile how far it has come.
    pub fn both(&mut self) -> (&mut dyn Write, &mut Messages<'a>) {
        (self.out, &mut self.messages)
    }

    /// Hands on what is buffered.
    ///
    /// # Errors
    /// Nothing can be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.hand_on()?;
        self.messages.errors().flush()
    }

    /// Data that waited in the buffer must not land behind a line of progress.
    fn hand_on(&mut self) -> io::Result<()> {
        self.messages.erase();
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::cli::messages::{Manner, Voice};

    fn written(width: Option<usize>, write: impl FnOnce(&mut Output<'_>)) -> String {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let palette = Palette::plain();
        let manner = Manner { voice: Voice::Aloud, palette, width: None, lively: false };
        let messages = Messages::new(&mut err, manner);
        write(&mut Output::new(&mut out, messages, Look { json: false, palette, width }));
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_paragraph_is_rows_below_each_other_at_a_terminal_and_one_line_in_a_pipe() {
        let write = |out: &mut Output<'_>| {
            out.text("  why  ", Tone::Bad, "no product for code FNAC-77").expect("memory")
        };
        assert_eq!(written(Some(30), write), "  why  no product for code\n       FNAC-77\n");
        assert_eq!(written(None, write), "  why  no product for code FNAC-77\n");
    }

    /// Standard output and standard error of one terminal.
    #[derive(Clone, Default)]
    struct Screen(Rc<RefCell<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, part: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(part)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What stands there when data was buffered, progress was shown, and then something is written.
    fn screen(width: Option<usize>, write: impl FnOnce(&mut Output<'_>)) -> String {
        let screen = Screen::default();
        let (mut out, mut err) = (io::BufWriter::new(screen.clone()), screen.clone());
        let palette = Palette::plain();
        let manner = Manner { voice: Voice::Aloud, palette, width: Some(30), lively: true };
        let messages = Messages::new(&mut err, manner);
        let mut output = Output::new(&mut out, messages, Look { json: false, palette, width });
        output.line("data").expect("memory");
        output.messages.show("busy");
        write(&mut output);
        drop(out);
        String::from_utf8(screen.0.take()).expect("text")
    }

    #[test]
    fn progress_is_gone_before_buffered_data_is_handed_on() {
        let gone = "\rbusy\r    \rdata\n";
        let flushed = screen(Some(30), |out| out.flush().expect("memory"));
        assert_eq!(flushed, gone);
        let told = screen(Some(30), |out| out.message("done").expect("memory"));
        assert_eq!(told, format!("{gone}done\n"));
        let told = screen(Some(30), |out| out.complaint("wrong").expect("memory"));
        assert_eq!(told, format!("{gone}wrong\n"));
    }

    #[test]
    fn a_piece_of_a_file_leaves_progress_where_it_is_unless_it_goes_to_the_terminal() {
        let write = |out: &mut Output<'_>| out.piece(b"piece\n").expect("memory");
        assert_eq!(screen(None, write), "\rbusydata\npiece\n");
        assert_eq!(screen(Some(30), write), "\rbusy\r    \rdata\npiece\n");
    }

    #[test]
    fn what_does_not_fit_beside_goes_below() {
        let write = |out: &mut Output<'_>| {
            out.side_by_side(&["KO", "fnac/sales", "0193522b-6a00-8000"].map(Cell::from))
                .expect("memory");
        };
        assert_eq!(written(Some(30), write), "KO  fnac/sales\n    0193522b-6a00-8000\n");
        assert_eq!(written(None, write), "KO  fnac/sales  0193522b-6a00-8000\n");
    }
}
