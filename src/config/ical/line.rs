//! Content lines of an iCalendar file (RFC 5545, section 3.1).

use std::ops::Range;

use crate::config::report::{Report, error};

/// Characters of a line that messages show.
const SHOWN_MAX: usize = 60;

/// One property, over however many lines it is folded. Its parameters are not kept: a value says itself whether it is a day.
pub(super) struct Line {
    /// In capitals.
    pub(super) name: String,
    pub(super) value: String,
    /// The first of its lines in the text.
    pub(super) at: Range<usize>,
    whole: String,
}

impl Line {
    /// As messages show it.
    pub(super) fn shown(&self) -> String {
        let mut shown: String = self.whole.chars().take(SHOWN_MAX).collect();
        if shown.len() < self.whole.len() {
            shown.push('…');
        }
        shown
    }

    fn read(whole: String, at: Range<usize>) -> Result<Self, Range<usize>> {
        let mut quoted = false;
        let colon = whole.char_indices().find(|(_, letter)| {
            quoted ^= *letter == '"';
            *letter == ':' && !quoted
        });
        let parts = colon.and_then(|(colon, _)| whole.split_at_checked(colon));
        let Some((head, value)) = parts else { return Err(at) };
        let name = head.split(';').next().unwrap_or_default().to_ascii_uppercase();
        let value = value.trim_start_matches(':').trim().to_owned();
        if name.is_empty() { Err(at) } else { Ok(Self { name, value, at, whole }) }
    }
}

/// The lines of a text, those that are folded put together. What is no line is reported.
pub(super) fn unfold(text: &str, report: &Report) -> Vec<Line> {
    let mut raw: Vec<(String, Range<usize>)> = Vec::new();
    let mut start = 0;
    for piece in text.split_inclusive('\n') {
        let line = piece.trim_end_matches(['\n', '\r']);
        let at = start..start + line.len();
        start += piece.len();
        // Some programs put a mark of the encoding before the text.
        let line = line.trim_start_matches('\u{feff}');
        match (line.strip_prefix([' ', '\t']), raw.last_mut()) {
            (Some(more), Some((whole, _))) => whole.push_str(more),
            _ if line.trim().is_empty() => (),
            _ => raw.push((line.to_owned(), at)),
        }
    }
    let mut lines = Vec::new();
    for (whole, at) in raw {
        match Line::read(whole, at) {
            Ok(line) => lines.push(line),
            Err(at) => report.add(error(at, "", "not a line of an iCalendar file").hint(
                "each line is a name, a colon and a value; a line that begins with a blank goes on",
            )),
        }
    }
    lines
}
