//! Secrets become `***` before anything is written.
//!
//! A secret may stand across two reads of a pipe, two chunks or two lines, so what is replaced is the stream, before it
//! is cut into lines. What could be the beginning of a secret is held back until the next bytes decide.

use std::borrow::Cow;

use aho_corasick::{AhoCorasick, MatchKind};
use http::HeaderMap;
use reqwest::Url;

use super::credentials::Secret;
use crate::domain::template::push_percent_encoded;

/// Shorter values are not replaced: they would hit ordinary text (contract, section 3).
const SECRET_MIN_BYTES: usize = 6;

/// What stands in a secret's place.
pub const MASK: &str = "***";

/// Replaces a set of secrets. Costs nothing without secrets.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    known: Vec<Secret>,
    patterns: Vec<Vec<u8>>,
    automaton: Option<AhoCorasick>,
    longest: usize,
}

impl Redactor {
    /// Replaces each of `secrets` that has 6 bytes or more.
    ///
    /// Also its percent-encoded and its JSON-escaped forms, and the single lines of one that has several.
    pub fn new(secrets: &[Secret]) -> Self {
        let mut redactor = Self::default();
        redactor.learn(secrets);
        redactor
    }

    /// Replaces nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Replaces `secrets` as well from now on.
    pub fn learn(&mut self, secrets: &[Secret]) {
        let before = self.known.len();
        for secret in secrets {
            if secret.expose().len() >= SECRET_MIN_BYTES && !self.known.contains(secret) {
                self.known.push(secret.clone());
            }
        }
        if self.known.len() > before {
            self.compile();
        }
    }

    fn compile(&mut self) {
        let mut patterns: Vec<Vec<u8>> =
            self.known.iter().flat_map(|secret| forms(secret.expose())).collect();
        patterns.sort_unstable();
        patterns.dedup();
        self.longest = patterns.iter().map(Vec::len).max().unwrap_or(0);
        // A failure is possible only beyond some gigabytes of patterns; then nothing may be shown at all.
        self.automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&patterns)
            .or_else(|_too_large| AhoCorasick::new((0..=u8::MAX).map(|byte| [byte])))
            .ok();
        self.patterns = patterns;
    }

    /// Whether there is anything to replace.
    pub const fn is_active(&self) -> bool {
        self.automaton.is_some()
    }

    /// `text` with all secrets replaced.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match &self.automaton {
            Some(automaton) if automaton.is_match(text) => {
                let mut clean = String::with_capacity(text.len());
                automaton.replace_all_with(text, &mut clean, |_, _, to| {
                    to.push_str(MASK);
                    true
                });
                Cow::Owned(clean)
            }
            Some(_) | None => Cow::Borrowed(text),
        }
    }

    /// `value` with all secrets in its strings and keys replaced.
    pub fn json(&self, value: serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        if !self.is_active() {
            return value;
        }
        match value {
            Value::String(text) => Value::String(self.text(&text).into_owned()),
            Value::Array(items) => items.into_iter().map(|item| self.json(item)).collect(),
            Value::Object(map) => map
                .into_iter()
                .map(|(key, item)| (self.text(&key).into_owned(), self.json(item)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain,
        }
    }

    /// The URL without user information, without the values of parameters that name a secret, and without secrets.
    pub fn url(&self, url: &Url) -> String {
        let mut clean = url.clone();
        if (!url.username().is_empty() && clean.set_username(MASK).is_err())
            || (url.password().is_some() && clean.set_password(Some(MASK)).is_err())
        {
            return MASK.to_owned();
        }
        clean.set_fragment(None);
        if let Some(query) = url.query() {
            clean.set_query(Some(&mask_parameters(query)));
        }
        self.text(clean.as_str()).into_owned()
    }

    /// The headers as a JSON object of lower-case names; repeated ones joined by `, `.
    pub fn headers(&self, headers: &HeaderMap) -> serde_json::Value {
        let mut shown = serde_json::Map::new();
        for name in headers.keys() {
            let values: Vec<Cow<'_, str>> = headers
                .get_all(name)
                .iter()
                .map(|value| {
                    let value_text = String::from_utf8_lossy(value.as_bytes());
                    if value.is_sensitive() || names_a_secret(name.as_str()) {
                        Cow::Borrowed(MASK)
                    } else if let Some((place, query)) = value_text.split_once('?') {
                        // An address, such as that of a redirect.
                        Cow::Owned(format!("{place}?{}", mask_parameters(query)))
                    } else {
                        value_text
                    }
                })
                .collect();
            let joined = self.text(&values.join(", ")).into_owned();
            shown.insert(name.as_str().to_owned(), joined.into());
        }
        shown.into()
    }
}

/// Whether a header's or parameter's name says that its value is a secret.
pub fn names_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let whole = ["authorization", "cookie", "set-cookie", "key", "sig", "pwd", "pass", "auth"];
    let part =
        ["token", "secret", "password", "passwd", "api-key", "apikey", "signature", "credential"];
    whole.contains(&name.as_str())
        || name.ends_with("-authorization")
        || name.ends_with("-key")
        || name.ends_with("-auth")
        || part.iter().any(|part| name.contains(part))
}

/// `a=1&token=2` as `a=1&token=***`.
fn mask_parameters(query: &str) -> String {
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if names_a_secret(name) => format!("{name}={MASK}"),
            Some(_) | None => pair.to_owned(),
        })
        .collect();
    pairs.join("&")
}

fn forms(value: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![value.as_bytes().to_vec()];
    let written = json_forms(value).into_iter().chain(encoded_forms(value));
    forms.extend(written.map(String::into_bytes));
    if value.contains('\n') {
        let lines = value.lines().map(str::trim).filter(|line| line.len() >= SECRET_MIN_BYTES);
        forms.extend(lines.map(|line| line.as_bytes().to_vec()));
    }
    forms
}

/// `value` as programs write it into JSON: what has to be escaped, and where they do more, also `/` (PHP) and what is not
/// ASCII, in digits of either case.
fn json_forms(value: &str) -> Vec<String> {
    let quoted = serde_json::Value::from(value).to_string();
    let inside = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let plain = inside.unwrap_or(value).to_owned();
    let in_ascii = |digits: fn(u16) -> String| -> String {
        let mut text = String::new();
        for c in plain.chars() {
            if c.is_ascii() {
                text.push(c);
            } else {
                text.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| digits(*unit)));
            }
        }
        text
    };
    let lower = in_ascii(|unit| format!("\\u{unit:04x}"));
    let upper = in_ascii(|unit| format!("\\u{unit:04X}"));
    let forms = [plain, lower, upper];
    let slashed = forms.each_ref().map(|form| form.replace('/', "\\/"));
    forms.into_iter().chain(slashed).collect()
}

/// `value` as programs put it into addresses: percent-encoded, with `/` as it stands, as a form's field, each also with
/// lower-case digits.
fn encoded_forms(value: &str) -> Vec<String> {
    let mut strict = String::new();
    push_percent_encoded(&mut strict, value);
    let in_path = strict.replace("%2F", "/");
    let in_form = strict.replace("%20", "+").replace('~', "%7E");
    let lower = |text: &String| {
        let mut parts = text.split('%');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| {
            let (digits, rest) = part.split_at_checked(2).unwrap_or((part, ""));
            format!("{text}%{}{rest}", digits.to_ascii_lowercase())
        })
    };
    let forms = [strict, in_path, in_form];
    let in_lower_case = forms.each_ref().map(lower);
    forms.into_iter().chain(in_lower_case).collect()
}

/// One stream of bytes under redaction.
#[derive(Clone, Debug, Default)]
pub(super) struct RedactedStream {
    pending: Vec<u8>,
}

impl RedactedStream {
    /// Takes the next `block` and returns what is safe to show of it and of what was held back.
    pub(super) fn push<'a>(&mut self, redactor: &Redactor, block: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(automaton) = &redactor.automaton else { return Cow::Borrowed(block) };
        if self.pending.is_empty()
            && held_from(redactor, block, 0) == block.len()
            && !automaton.is_match(block)
        {
            return Cow::Borrowed(block);
        }
        let mut bytes = std::mem::take(&mut self.pending);
        bytes.extend_from_slice(block);
        let mut clean = Vec::with_capacity(bytes.len());
        let mut from = 0;
        let mut held = held_from(redactor, &bytes, 0);
        for found in automaton.find_iter(&bytes) {
            // A match behind the held point might be part of a longer one that begins there.
            if found.start() >= held {
                break;
            }
            clean.extend_from_slice(&bytes[from..found.start()]);
            clean.extend_from_slice(MASK.as_bytes());
            from = found.end();
            held = held_from(redactor, &bytes, from);
        }
        clean.extend_from_slice(&bytes[from..held]);
        self.pending = bytes.split_off(held);
        Cow::Owned(clean)
    }

    /// The stream has ended: what was held back was no secret, or a whole one inside a longer one's beginning.
    pub(super) fn finish(&mut self, redactor: &Redactor) -> Vec<u8> {
        let bytes = std::mem::take(&mut self.pending);
        let Some(automaton) = &redactor.automaton else { return bytes };
        let mut clean = Vec::with_capacity(bytes.len());
        automaton.replace_all_with_bytes(&bytes, &mut clean, |_, _, to| {
            to.extend_from_slice(MASK.as_bytes());
            true
        });
        clean
    }
}

/// The first place from `from` on where `bytes` ends in the beginning of a secret; its length if there is none.
fn held_from(redactor: &Redactor, bytes: &[u8], from: usize) -> usize {
    let earliest = bytes.len().saturating_sub(redactor.longest.saturating_sub(1)).max(from);
    (earliest..bytes.len())
        .find(|at| {
            let tail = &bytes[*at..];
            // The patterns are sorted: those that begin with `tail` stand right behind its place.
            let place = redactor.patterns.partition_point(|pattern| pattern.as_slice() <= tail);
            redactor.patterns.get(place).is_some_and(|pattern| pattern.starts_with(tail))
        })
        .unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn redactor(secrets: &[&str]) -> Redactor {
        Redactor::new(&secrets.iter().map(|secret| Secret::new(secret)).collect::<Vec<_>>())
    }

    fn in_blocks(redactor: &Redactor, text: &str, size: usize) -> String {
        let mut stream = RedactedStream::default();
        let mut clean = Vec::new();
        for block in text.as_bytes().chunks(size) {
            clean.extend_from_slice(&stream.push(redactor, block));
        }
        clean.extend(stream.finish(redactor));
        String::from_utf8(clean).expect("text")
    }

    #[test]
    fn a_secret_is_replaced_wherever_the_blocks_are_cut() {
        let redactor = redactor(&["hunter2-hunter2", "hunter", "two\nlines of a key"]);
        let text =
            "a hunter2-hunter2 b hunter c two\nlines of a key huntehunter2-huntex hunter2-hunte";
        for size in 1..=text.len() {
            assert_eq!(
                in_blocks(&redactor, text, size),
                "a *** b *** c *** hunte***2-huntex ***2-hunte",
                "blocks of {size}"
            );
        }
    }

    #[test]
    fn nothing_is_held_back_that_cannot_be_a_secrets_beginning() {
        let redactor = redactor(&["hunter2"]);
        let mut stream = RedactedStream::default();
        assert_eq!(&*stream.push(&redactor, b"progress 1\n"), b"progress 1\n");
        assert_eq!(&*stream.push(&redactor, b"ends in hun"), b"ends in ");
        assert_eq!(&*stream.push(&redactor, b"ger\n"), b"hunger\n");
    }

    #[test]
    fn a_value_below_six_bytes_is_left_alone() {
        assert!(!redactor(&["12345"]).is_active());
        assert_eq!(redactor(&["123456"]).text("x123456x"), "x***x");
    }

    #[test]
    fn encoded_forms_and_single_lines_of_a_secret_are_replaced_too() {
        let redactor = redactor(&["p&ss \"word\"", "-----BEGIN-----\nMIIEvQIBADANBg\n"]);
        assert_eq!(redactor.text("q=p%26ss%20%22word%22&x"), "q=***&x");
        assert_eq!(redactor.text(r#"{"pw":"p&ss \"word\""}"#), r#"{"pw":"***"}"#);
        assert_eq!(redactor.text("key: MIIEvQIBADANBg."), "key: ***.");
    }

    #[test]
    fn a_secret_is_replaced_in_every_form_that_programs_put_into_addresses() {
        let redactor = redactor(&["a/b c+d=~é"]);
        for form in [
            "a%2Fb%20c%2Bd%3D~%C3%A9",
            "a%2fb%20c%2bd%3d~%c3%a9",
            "a/b%20c%2Bd%3D~%C3%A9",
            "a/b%20c%2bd%3d~%c3%a9",
            "a%2Fb+c%2Bd%3D%7E%C3%A9",
            "a%2fb+c%2bd%3d%7e%c3%a9",
        ] {
            assert_eq!(redactor.text(form), "***", "{form}");
        }
    }

    #[test]
    fn a_secret_is_replaced_in_every_form_that_programs_write_into_json() {
        let redactor = redactor(&["a/b\"cé😀"]);
        for form in [
            r#"a/b\"cé😀"#,
            r#"a\/b\"cé😀"#,
            r#"a/b\"c\u00e9\ud83d\ude00"#,
            r#"a/b\"c\u00E9\uD83D\uDE00"#,
            r#"a\/b\"c\u00e9\ud83d\ude00"#,
            r#"a\/b\"c\u00E9\uD83D\uDE00"#,
        ] {
            assert_eq!(redactor.text(form), "***", "{form}");
        }
    }

    #[test]
    fn an_address_keeps_neither_its_user_nor_a_token() {
        let url = Url::parse("https://me:pw@x.example/a?day=1&access_token=abc&q=hunter2#frag");
        assert_eq!(
            redactor(&["hunter2"]).url(&url.expect("valid")),
            "https://***:***@x.example/a?day=1&access_token=***&q=***"
        );
    }

    #[test]
    fn headers_that_carry_credentials_are_hidden_by_name_and_by_value() {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("Bearer abc"));
        headers.insert("x-api-key", HeaderValue::from_static("abc"));
        headers.insert("x-note", HeaderValue::from_static("see hunter2"));
        headers.append("set-cookie", HeaderValue::from_static("a=b"));
        headers.append("set-cookie", HeaderValue::from_static("c=d"));
        assert_eq!(
            redactor(&["hunter2"]).headers(&headers),
            serde_json::json!({
                "authorization": "***", "x-api-key": "***", "x-note": "see ***", "set-cookie": "***, ***",
            })
        );
    }

    #[test]
    fn secrets_in_fields_are_replaced_at_any_depth() {
        let fields = serde_json::json!({"a": [{"b": "hunter2"}], "hunter2": 1});
        assert_eq!(
            redactor(&["hunter2"]).json(fields),
            serde_json::json!({"a": [{"b": "***"}], "***": 1})
        );
    }
}
