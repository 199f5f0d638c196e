//! A command's bytes as text that can be kept.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::domain::line::LINE_MAX_BYTES;

/// The line without the carriage return of its end.
pub(super) fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// How many bytes of `bytes` end with a whole character, so that a split does not tear one apart.
pub(super) fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(&bytes[bytes.len().saturating_sub(4)..]) {
        Ok(_) => bytes.len(),
        Err(_) => (1..4.min(bytes.len()))
            .map(|back| bytes.len() - back)
            .find(|at| {
                let tail = std::str::from_utf8(&bytes[*at..]);
                tail.is_err_and(|err| err.valid_up_to() == 0 && err.error_len().is_none())
            })
            .unwrap_or(bytes.len()),
    }
}

/// The bytes as text; those that are not UTF-8 as `\xNN`.
pub(super) fn visible(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let mut text = String::with_capacity(bytes.len() + 32);
            for chunk in bytes.utf8_chunks() {
                text.push_str(chunk.valid());
                for byte in chunk.invalid() {
                    write!(text, "\\x{byte:02X}").expect("writing to a string cannot fail");
                }
            }
            Cow::Owned(text)
        }
    }
}

/// `text` in pieces of at most 64 KiB; one empty piece for an empty text.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut end = text.len().min(LINE_MAX_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let (piece, more) = text.split_at(end);
        rest = (!more.is_empty()).then_some(more);
        Some(piece)
    })
}
