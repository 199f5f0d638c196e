//! Puts a line into the one form that rules are written for.
//!
//! Systems write the same cause as `RATE_LIMIT_EXCEEDED`, `rateLimitExceeded`, `RateLimitExceeded` and "Rate limit exceeded".
//! Here they become one: lower case, words apart, quotes alike, escapes resolved, addresses and paths out of the way.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

/// No rule looks further than this into a line, in bytes.
const SEEN_BYTES: usize = 4096;

/// Appends the normalised form of `line` to `out`.
pub(super) fn append(line: &str, out: &mut String) {
    let line = head(line, SEEN_BYTES);
    let mut words = Words { out, previous: ' ', before: ' ' };
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        if c == '\\' && stack_follows(rest) {
            break;
        }
        let skip = special(rest, words.previous);
        if skip.bytes > 0 {
            words.text(skip.instead);
            rest = rest.get(skip.bytes..).unwrap_or("");
            continue;
        }
        rest = rest.get(c.len_utf8()..).unwrap_or("");
        words.push(c, rest);
    }
}

/// The normalised form of a line whose message begins at `message`, in `out`; the answer is where the message begins there.
pub(super) fn normalise(line: &str, message: usize, out: &mut String) -> usize {
    out.clear();
    let (header, message) = line.split_at_checked(message).unwrap_or(("", line));
    append(header, out);
    canonical(out);
    let at = out.len();
    let mut rest = String::with_capacity(message.len() + 16);
    append(message, &mut rest);
    canonical(&mut rest);
    out.push_str(&rest);
    at
}

/// Whether a stack written as one string goes on here: `Error: x\n    at y`.
fn stack_follows(rest: &str) -> bool {
    rest.strip_prefix("\\n")
        .is_some_and(|next| next.starts_with("  ") && next.trim_start().starts_with("at "))
}

/// The longest prefix of at most `bytes` bytes that ends at a character.
pub(super) fn head(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}

struct Words<'a> {
    out: &'a mut String,
    previous: char,
    before: char,
}

impl Words<'_> {
    fn text(&mut self, text: &str) {
        for c in text.chars() {
            self.push(c, "");
        }
    }

    fn push(&mut self, c: char, rest: &str) {
        let next = rest.chars().next().unwrap_or(' ');
        let c = match c {
            '\u{2018}' | '\u{2019}' | '"' | '`' | '\u{201c}' | '\u{201d}' | '\u{ab}' | '\u{bb}'
            | '\u{b4}' => '\'',
            '_' | '-' if self.previous.is_alphanumeric() && next.is_alphanumeric() => ' ',
            c if c.is_whitespace() => ' ',
            c => c,
        };
        if c == ' ' && self.out.ends_with(' ') {
            self.remember(c);
            return;
        }
        if c.is_ascii_uppercase() && self.starts_word(rest) {
            self.out.push(' ');
        }
        if c.is_ascii() {
            self.out.push(c.to_ascii_lowercase());
        } else {
            self.out.extend(c.to_lowercase());
        }
        self.remember(c);
    }

    fn remember(&mut self, c: char) {
        self.before = self.previous;
        self.previous = c;
    }

    /// `…dF…` begins a word, and so does the last capital of `HTTPErr…`.
    fn starts_word(&self, rest: &str) -> bool {
        if self.previous.is_ascii_lowercase() {
            return true;
        }
        let mut next = rest.bytes();
        self.previous.is_ascii_uppercase()
            && self.before.is_ascii_uppercase() | !self.before.is_alphanumeric()
            && next.next().is_some_and(|b| b.is_ascii_lowercase())
            && next.next().is_some_and(|b| b.is_ascii_lowercase())
    }
}

struct Skip {
    bytes: usize,
    instead: &'static str,
}

const NOTHING: Skip = Skip { bytes: 0, instead: "" };

/// Sequences that are more than one character: terminal colours, escapes, addresses, paths.
fn special(rest: &str, previous: char) -> Skip {
    let bytes = rest.as_bytes();
    match bytes.first() {
        Some(0x1b) => Skip { bytes: terminal_escape(bytes), instead: "" },
        Some(b'\\') => match bytes.get(1) {
            Some(b'n' | b'r' | b't')
                if !bytes.get(2).is_some_and(u8::is_ascii_lowercase)
                    || bytes.get(1) == Some(&b'n') =>
            {
                Skip { bytes: 2, instead: " " }
            }
            Some(b'"' | b'\'') => Skip { bytes: 2, instead: "'" },
            _ => NOTHING,
        },
        Some(b'%') if bytes.starts_with(b"%20") => Skip { bytes: 3, instead: " " },
        Some(b'h' | b'H') if !previous.is_alphanumeric() => address(rest),
        Some(b'/') if !previous.is_alphanumeric() && previous != '/' && previous != '<' => {
            path(rest)
        }
        Some(b'A'..=b'Z')
            if !previous.is_alphanumeric() && matches!(bytes.get(1..3), Some(b":\\" | b":/")) =>
        {
            path(rest)
        }
        _ => NOTHING,
    }
}

fn terminal_escape(bytes: &[u8]) -> usize {
    if bytes.get(1) != Some(&b'[') {
        return 1;
    }
    let end = bytes.iter().skip(2).position(|b| (0x40..=0x7e).contains(b));
    end.map_or(bytes.len(), |at| at + 3)
}

/// An address says where, not what: `https://x/errors/timeout` is no time-out.
fn address(rest: &str) -> Skip {
    let start = head(rest, 8).to_ascii_lowercase();
    if !(start.starts_with("http://") || start.starts_with("https://")) {
        return NOTHING;
    }
    Skip { bytes: token(rest, 8), instead: "url" }
}

fn path(rest: &str) -> Skip {
    let bytes = token(rest, 1);
    let text = rest.get(..bytes).unwrap_or("");
    let separators = text.bytes().filter(|b| matches!(b, b'/' | b'\\')).count();
    if separators < 2 { NOTHING } else { Skip { bytes, instead: "path" } }
}

/// Length of an address or path: up to white space, a quote or a bracket, without closing punctuation.
fn token(rest: &str, from: usize) -> usize {
    let stop = |c: char| {
        c.is_whitespace()
            || matches!(
                c,
                '"' | '\''
                    | '`'
                    | '<'
                    | '>'
                    | ')'
                    | ']'
                    | '}'
                    | ','
                    | ';'
                    | '|'
                    | '\u{2019}'
                    | '\u{bb}'
            )
    };
    let end = rest.get(from..).and_then(|tail| tail.find(stop)).map_or(rest.len(), |at| at + from);
    let token = rest.get(..end).unwrap_or(rest);
    let bare = token.trim_end_matches(['.', ':', '\\']);
    bare.len().max(from)
}

/// Contractions and the many ways to say that something could not be done.
const FROM: &[&str] = &[
    "can't",
    "can not",
    "could not",
    "couldn't",
    "unable to",
    "not able to",
    "failed to",
    "failure to",
    "fail to",
    "fails to",
    "failing to",
    "impossible to",
    "was not able to",
    "couldnot",
    "doesn't",
    "don't",
    "didn't",
    "isn't",
    "aren't",
    "wasn't",
    "weren't",
    "hasn't",
    "haven't",
    "hadn't",
    "won't",
    "wouldn't",
    "shouldn't",
    "mustn't",
    "needn't",
    "was unable to",
    "is unable to",
    "are unable to",
];
/// What each of them becomes.
const TO: &[&str] = &[
    "cannot",
    "cannot",
    "cannot",
    "cannot",
    "cannot",
    "cannot",
    "cannot",
    "cannot",
    "cannot",
    "cannot",
    "cannot",
    "cannot",
    "cannot",
    "cannot",
    "does not",
    "do not",
    "did not",
    "is not",
    "are not",
    "was not",
    "were not",
    "has not",
    "have not",
    "had not",
    "will not",
    "would not",
    "should not",
    "must not",
    "need not",
    "cannot",
    "cannot",
    "cannot",
];

/// Says it in one way.
fn canonical(out: &mut String) {
    static FINDER: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
        AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(FROM).ok()
    });
    if let Some(finder) = FINDER.as_ref()
        && finder.is_match(out.as_str())
    {
        *out = finder.replace_all(out, TO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(line: &str) -> String {
        let mut out = String::new();
        normalise(line, 0, &mut out);
        out
    }

    #[test]
    fn one_cause_written_four_ways_reads_the_same() {
        for line in [
            "RATE_LIMIT_EXCEEDED",
            "rateLimitExceeded",
            "RateLimitExceeded",
            "Rate-limit  exceeded",
        ] {
            assert_eq!(normal(line), "rate limit exceeded", "{line}");
        }
        assert_eq!(
            normal("HTTPError java.net.NoRouteToHostException"),
            "http error java.net.no route to host exception"
        );
    }

    #[test]
    fn every_way_to_say_cannot_reads_the_same() {
        for line in [
            "Can't open x",
            "Could not open x",
            "couldn\u{2019}t open x",
            "Unable to open x",
            "Failed to open x",
        ] {
            assert_eq!(normal(line), "cannot open x", "{line}");
        }
    }

    #[test]
    fn addresses_and_paths_do_not_speak() {
        assert_eq!(normal("GET https://x.example/errors/timed-out?a=1: ok"), "get url: ok");
        assert_eq!(normal("saved '/var/log/failed/timeout.log'"), "saved 'path'");
        assert_eq!(normal(r"C:\temp\denied\x.csv: ok"), "path: ok");
        assert_eq!(normal("TCP/IP"), "tcp/ip");
    }

    #[test]
    fn colours_and_escapes_go_away() {
        assert_eq!(normal("\u{1b}[31mERROR\u{1b}[0m a\\\"b\\\" c%20d"), "error a'b' c d");
    }
}
