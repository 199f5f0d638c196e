//! Texts that a table's program would take for a formula, and what is done about it.
//!
//! Whoever writes a line may choose its beginning: `=HYPERLINK(…)` or `@SUM(…)` in a log must stay what it is. In a workbook
//! a cell says itself that it holds a text. CSV has no such thing: there an apostrophe stands before the text. Source: OWASP,
//! CSV Injection.

use std::borrow::Cow;

/// Whether a program may take a cell that begins so for a formula.
pub(super) fn looks_like_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r'])
}

/// The text as it stands in CSV: `'` before each place that a program may take for the beginning of a formula.
///
/// That is the text's beginning, and what follows a line end, a tab or a semicolon: where these separate cells, a text does
/// not end at its quotation mark.
pub(super) fn for_csv(text: &str) -> Cow<'_, str> {
    let separators = [';', '\t', '\n', '\r'];
    let mut places = Vec::new();
    if looks_like_formula(text) {
        places.push(0);
    }
    for (at, separator) in text.match_indices(separators) {
        let begin = at + separator.len();
        let rest = text.get(begin..).unwrap_or_default();
        let bare = rest.trim_start_matches('"');
        if bare.starts_with(['=', '+', '-', '@']) {
            places.push(begin + rest.len() - bare.len());
        }
    }
    if places.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + places.len());
    let mut done = 0;
    for place in places {
        safe.push_str(text.get(done..place).unwrap_or_default());
        safe.push('\'');
        done = place;
    }
    safe.push_str(text.get(done..).unwrap_or_default());
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    // S3-11
    #[test]
    fn a_text_that_begins_like_a_formula_has_an_apostrophe_in_csv() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"] {
            assert_eq!(
                for_csv(text),
                format!("'{text}").replace("\t=", "\t'=").replace("\r=", "\r'=")
            );
        }
        for text in ["", "1+1", "a = b", "Mapping: no product", "a-b@c", "x\ty; z\nw"] {
            assert_eq!(for_csv(text), text);
        }
    }

    #[test]
    fn what_another_separator_would_make_a_cell_has_one_too() {
        assert_eq!(for_csv("x;=1+1"), "x;'=1+1");
        assert_eq!(for_csv("x\n\"@SUM(1)"), "x\n\"'@SUM(1)");
        assert_eq!(for_csv("x\t+1;-1"), "x\t'+1;'-1");
    }
}
