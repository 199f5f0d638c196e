//! Texts for people: they cannot drive the terminal, are measured by the columns they take, cut and wrapped.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Text that cannot move the cursor, change colours or forge a row: control characters are shown as escapes.
pub fn clean(text: &str) -> Cow<'_, str> {
    let hidden = |c: char| c.is_control() || is_direction(c) || is_invisible(c);
    if !text.chars().any(hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\t' => shown.push_str("    "),
            c if hidden(c) => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Characters that turn the direction of writing, and so can show another text than the one that is there.
const fn is_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Characters that make two names look like one.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// The columns that a text takes at a terminal: two for each character of East Asian scripts and for most pictures.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// As much of the beginning as fits.
fn head(text: &str, most: usize) -> String {
    let mut taken = 0;
    let fits = |c: &char| {
        taken += c.width().unwrap_or(0);
        taken <= most
    };
    text.chars().take_while(fits).collect()
}

/// As much of the end as fits.
fn tail(text: &str, most: usize) -> String {
    let backwards: String = text.chars().rev().collect();
    head(&backwards, most).chars().rev().collect()
}

/// The first line of a text, cut at its end to so many columns.
pub fn brief(text: &str, most: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    if columns(line) <= most {
        return line.to_owned();
    }
    format!("{}…", head(line, most.saturating_sub(1)).trim_end())
}

/// A name, cut in its middle to so many columns: both ends tell it from others.
pub fn short_name(name: &str, most: usize) -> String {
    if columns(name) <= most {
        return name.to_owned();
    }
    let left = most.saturating_sub(1);
    format!("{}…{}", head(name, left - left / 2), tail(name, left / 2))
}

/// The words of a text in rows of at most `width` columns.
///
/// A longer word that is all ASCII is a path, an address or a hash: it stays in one piece, so that it can be copied, and
/// the terminal wraps it. A command of ours in backticks counts as one word.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    let mut row = String::new();
    for word in words(text) {
        if !row.is_empty() && columns(&row) + 1 + columns(&word) <= width {
            row.push(' ');
            row.push_str(&word);
            continue;
        }
        if !row.is_empty() {
            rows.push(std::mem::take(&mut row));
        }
        if !word.is_ascii() {
            rows.extend(pieces(&word, width));
            row = rows.pop().unwrap_or_default();
        } else {
            row = word;
        }
    }
    if !row.is_empty() {
        rows.push(row);
    }
    rows
}

/// A text in pieces of at most `width` columns, wherever they end.
pub fn pieces(text: &str, width: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    for c in text.chars() {
        if !piece.is_empty() && columns(&piece) + c.width().unwrap_or(0) > width {
            pieces.push(std::mem::take(&mut piece));
        }
        piece.push(c);
    }
    pieces.push(piece);
    pieces
}

fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut quoted = false;
    for token in text.split_whitespace() {
        match words.last_mut().filter(|_| quoted) {
            Some(command) => {
                command.push(' ');
                command.push_str(token);
                quoted = !token.contains('`');
            }
            None => {
                let begun = token.trim_start_matches('(') == "`daybook";
                quoted = begun && text.matches('`').count().is_multiple_of(2);
                words.push(token.to_owned());
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_of_jobs_cannot_drive_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(clean("ad\u{202e}nim"), "ad\\u{202e}nim");
        assert_eq!(clean("adm\u{200b}in"), "adm\\u{200b}in");
        assert_eq!(clean("plain é"), "plain é");
    }

    #[test]
    fn a_long_text_is_cut_to_its_first_line() {
        assert_eq!(brief("one two\nthree", 20), "one two");
        assert_eq!(brief("one two three", 8), "one two…");
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(columns("請求書"), 6);
        assert_eq!(brief("請求書の取込", 8), "請求書…");
        assert_eq!(short_name("請求書の取込", 8), "請求…込");
    }

    #[test]
    fn a_name_keeps_both_its_ends() {
        assert_eq!(short_name("fnac/integrate-the-sales", 12), "fnac/i…sales");
        assert_eq!(short_name("fnac/sales", 12), "fnac/sales");
    }

    #[test]
    fn a_paragraph_is_wrapped_between_words() {
        let text = format!("{} {} end", "a".repeat(40), "b".repeat(40));
        assert_eq!(wrapped(&text, 80), ["a".repeat(40), format!("{} end", "b".repeat(40))]);
        assert!(wrapped("", 80).is_empty());
    }

    #[test]
    fn text_without_spaces_is_wrapped_and_a_path_stays_whole() {
        assert_eq!(wrapped("請求書の取込に失敗", 8), ["請求書の", "取込に失", "敗"]);
        let path = format!("/{}", "x".repeat(100));
        assert_eq!(wrapped(&format!("see {path} there"), 80), ["see", &path, "there"]);
    }

    #[test]
    fn a_command_of_ours_is_not_torn_apart() {
        assert_eq!(
            wrapped("paused; `daybook schedule resume a/b` ends it", 32),
            ["paused;", "`daybook schedule resume a/b`", "ends it"]
        );
        assert_eq!(wrapped("an odd `daybook tick", 10), ["an odd", "`daybook", "tick"]);
    }
}
