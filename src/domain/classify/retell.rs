//! Recognises an error that is told again: under another heading, or by what it speaks of.

/// Whether `outer` tells the cause of `inner` again under another heading.
pub(super) fn wraps(outer: &str, inner: &str) -> bool {
    const SHORTEST: usize = 16;
    let cause = outer.rsplit_once(": ").map_or("", |(_, cause)| cause).trim_end();
    if cause.len() < SHORTEST || outer == inner || !inner.trim_end().ends_with(cause) {
        return false;
    }
    opening(outer) != opening(inner)
}

/// How a message begins, without its numbers: errors that begin alike are told side by side, not one because of the other.
fn opening(text: &str) -> Vec<String> {
    text.split_whitespace()
        .take(3)
        .map(|word| word.replace(|c: char| c.is_ascii_digit(), ""))
        .collect()
}

/// Whether two messages begin alike.
pub(super) fn same_opening(one: &str, other: &str) -> bool {
    opening(one) == opening(other)
}

/// Whether `outer` says no more than the beginning of `inner`: `Connection failed!` below `Connection failed: refused`.
pub(super) fn begins(outer: &str, inner: &str) -> bool {
    const SHORTEST: usize = 12;
    let (outer, inner) = (body(outer), body(inner));
    let bare = |text: &'_ str| text.trim_end_matches(|c: char| !c.is_alphanumeric()).len();
    let (end, whole) = (bare(outer), bare(inner));
    end >= SHORTEST && end < whole && outer.get(..end).is_some_and(|begin| inner.starts_with(begin))
}

/// A message without the place in the program that stands before it: `[check:43] - Connection failed`.
fn body(message: &str) -> &str {
    let rest = message
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .map_or(message, |(_, rest)| rest);
    rest.trim_start_matches(|c: char| !c.is_alphanumeric())
}

/// Whether both messages name the same thing: `column 'birth_year'`, `db.example:5432`.
pub(super) fn names_same(outer: &str, inner: &str) -> bool {
    names(outer).any(|name| names(inner).any(|other| other == name))
}

/// What a message names: words that are joined from others or stand between quotes, and addresses.
fn names(message: &str) -> impl Iterator<Item = &str> {
    let stop =
        |c: char| c.is_whitespace() || "()[]{}<>,;\"'`\u{201c}\u{201d}\u{ab}\u{bb}=|".contains(c);
    message
        .split(stop)
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
        .filter(|word| is_name(word))
}

fn is_name(word: &str) -> bool {
    const SHORTEST: usize = 6;
    if word.len() < SHORTEST {
        return false;
    }
    let bytes = word.as_bytes();
    let letters = bytes.iter().filter(|b| b.is_ascii_alphabetic()).count();
    if letters == 0 {
        // An address in numbers; a time, a date or a figure is none.
        return bytes.iter().filter(|&&b| b == b'.').count() == 3;
    }
    // An exception is the same in many errors, and so is the file that a frame names.
    if ["Error", "Exception", "Warning"].iter().any(|end| word.contains(end)) {
        return false;
    }
    let camel = bytes
        .windows(2)
        .any(|two| matches!(two, [a, b] if a.is_ascii_lowercase() && b.is_ascii_uppercase()));
    let joint = word.contains('_') || word.contains('.') && letters >= 4;
    camel || joint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_name_the_same_are_recognised() {
        for (outer, inner) in [
            ("cannot check 'birth_year': wrong type", "failed to convert column 'birth_year'"),
            ("no connection in the pool for 10.1.2.3:9729", "connect to 10.1.2.3:9729 timed out"),
            ("fetchQuote gave up", "failed fetchQuote (timeout)"),
        ] {
            assert!(names_same(outer, inner), "{outer}");
        }
        for (outer, inner) in [
            ("order 7 failed", "order 7 has no customer"),
            ("ValueError: a", "ValueError: b"),
            ("at 10:00:00.123", "since 10:00:00.123"),
        ] {
            assert!(!names_same(outer, inner), "{outer}");
        }
    }

    #[test]
    fn a_message_that_leaves_out_the_reason_begins_another() {
        assert!(begins(
            "[main:4] - Connection to db failed!",
            "[db:9] - Connection to db failed: refused"
        ));
        assert!(!begins("Connection to db failed: refused", "Connection to db failed!"));
        assert!(!begins("no", "no way"));
    }
}
