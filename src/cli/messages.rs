//! What a person is told beside the data, on standard error: messages, and how far long work has come.

use std::fmt::Display;
use std::io::{self, Write};

use super::render::Palette;
use super::text::{brief, columns, wrapped};

/// Narrower than this, nothing is wrapped.
const WIDTH_MIN: usize = 20;

/// Whether messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// They are.
    Aloud,
    /// `--quiet`: only what is wrong.
    Quiet,
    /// `--json`: what is wrong is a document.
    Json,
}

/// How messages look.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Whether they are written.
    pub voice: Voice,
    /// Their colours.
    pub palette: Palette,
    /// Columns of the terminal that shows them; none when they go elsewhere.
    pub width: Option<usize>,
    /// Whether the terminal lets a line be written anew.
    pub lively: bool,
}

/// Where messages go.
pub struct Messages<'a> {
    err: &'a mut dyn Write,
    manner: Manner,
    /// Columns of the line that tells how far work has come; 0 when there is none.
    standing: usize,
}

impl<'a> Messages<'a> {
    /// Messages to `err`.
    pub fn new(err: &'a mut dyn Write, manner: Manner) -> Self {
        Self { err, manner, standing: 0 }
    }

    /// Their colours.
    pub const fn palette(&self) -> Palette {
        self.manner.palette
    }

    /// Columns of the terminal that shows them.
    pub const fn width(&self) -> Option<usize> {
        self.manner.width
    }

    /// Whether a line that changes can be shown.
    pub fn is_lively(&self) -> bool {
        self.manner.lively && self.manner.width.is_some() && self.manner.voice == Voice::Aloud
    }

    /// Writes a message, wrapped at a terminal.
    ///
    /// # Errors
    /// Nothing can be written.
    pub fn say(&mut self, text: impl Display) -> io::Result<()> {
        match self.manner.voice {
            Voice::Aloud => self.complain(text),
            Voice::Quiet | Voice::Json => Ok(()),
        }
    }

    /// The same for what is wrong, which `--quiet` does not leave out.
    ///
    /// # Errors
    /// Nothing can be written.
    pub fn complain(&mut self, text: impl Display) -> io::Result<()> {
        if self.manner.voice == Voice::Json {
            return Ok(());
        }
        let text = text.to_string();
        let lines: Vec<String> = match self.manner.width {
            None => vec![text],
            Some(width) => text.lines().flat_map(|line| hanging(line, width)).collect(),
        };
        writeln!(self.errors(), "{}", lines.join("\n"))
    }

    /// Puts a line in the place of the one before it, until something else is said. Nobody has to be there to read it.
    pub fn show(&mut self, text: &str) {
        let Some(width) = self.manner.width.filter(|_| self.is_lively()) else { return };
        let line = brief(text, width.saturating_sub(1));
        let gap = " ".repeat(self.standing.saturating_sub(columns(&line)));
        self.standing = columns(&line);
        let shown = write!(self.err, "\r{line}{gap}").and_then(|()| self.err.flush());
        shown.unwrap_or_default();
    }

    /// Removes that line.
    pub fn erase(&mut self) {
        let blank = " ".repeat(std::mem::take(&mut self.standing));
        if !blank.is_empty() {
            write!(self.err, "\r{blank}\r").and_then(|()| self.err.flush()).unwrap_or_default();
        }
    }

    /// Where errors go.
    pub fn errors(&mut self) -> &mut dyn Write {
        self.erase();
        self.err
    }
}

/// A line in rows of at most `width` columns, each as far in as the first.
fn hanging(line: &str, width: usize) -> Vec<String> {
    let text = line.trim_start();
    if columns(line) <= width || text.is_empty() {
        return vec![line.to_owned()];
    }
    let lead = " ".repeat(line.len() - text.len());
    let width = width.max(WIDTH_MIN).saturating_sub(lead.len());
    wrapped(text, width).into_iter().map(|row| format!("{lead}{row}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(manner: Manner, tell: impl FnOnce(&mut Messages<'_>)) -> String {
        let mut err = Vec::new();
        tell(&mut Messages::new(&mut err, manner));
        String::from_utf8(err).expect("text")
    }

    const TERMINAL: Manner =
        Manner { voice: Voice::Aloud, palette: Palette::plain(), width: Some(30), lively: true };

    #[test]
    fn a_message_is_wrapped_at_a_terminal_only() {
        let say = |out: &mut Messages<'_>| {
            out.say("    twenty words\nand some more than fit on this line").expect("memory");
        };
        assert_eq!(told(TERMINAL, say), "    twenty words\nand some more than fit on this\nline\n");
        let pipe = Manner { width: None, ..TERMINAL };
        assert_eq!(told(pipe, say), "    twenty words\nand some more than fit on this line\n");
    }

    #[test]
    fn a_line_of_progress_is_gone_before_anything_else_is_said() {
        let work = |out: &mut Messages<'_>| {
            out.show("copying: 10 %");
            out.show("done");
            out.say("made").expect("memory");
        };
        let blank = " ".repeat("copying: 1".len() - 1);
        assert_eq!(told(TERMINAL, work), format!("\rcopying: 10 %\rdone{blank}\r    \rmade\n"));
    }

    #[test]
    fn there_is_no_progress_in_a_pipe_at_a_dumb_terminal_and_in_silence() {
        let work = |out: &mut Messages<'_>| out.show("copying: 10 %");
        for manner in [
            Manner { width: None, ..TERMINAL },
            Manner { lively: false, ..TERMINAL },
            Manner { voice: Voice::Quiet, ..TERMINAL },
            Manner { voice: Voice::Json, ..TERMINAL },
        ] {
            assert_eq!(told(manner, work), "", "{manner:?}");
        }
    }

    #[test]
    fn the_quiet_one_tells_only_what_is_wrong() {
        let tell = |out: &mut Messages<'_>| {
            out.say("made").expect("memory");
            out.complain("damaged").expect("memory");
        };
        let of = |voice| told(Manner { voice, ..TERMINAL }, tell);
        assert_eq!(of(Voice::Aloud), "made\ndamaged\n");
        assert_eq!(of(Voice::Quiet), "damaged\n");
        assert_eq!(of(Voice::Json), "");
    }
}
