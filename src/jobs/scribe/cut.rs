//! From bytes to lines: where one ends, what it says, and how one that is too long is split.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::Scribe;
use crate::domain::cause::Cause;
use crate::domain::class::{Class, Level, Source};
use crate::domain::classify::surely_plain;
use crate::domain::line::LINE_MAX_BYTES;
use crate::instant::Instant;
use crate::jobs::readable::{pieces, visible, whole_characters, without_return};
use crate::jobs::redact::RedactedStream;
use crate::store::lines::NewLine;

/// What is left of one output stream between two blocks.
#[derive(Default)]
pub(super) struct Stream {
    pub(super) redacted: RedactedStream,
    pub(super) partial: Vec<u8>,
    pub(super) begun: Option<Begun>,
}

/// The first part of a line that goes on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Begun {
    line: u64,
    level: Level,
    class: Option<Class>,
    cause: Option<Cause>,
    kept: bool,
}

impl Scribe {
    pub(super) fn cut_into_lines(
        &mut self,
        stream: &mut Stream,
        source: Source,
        at: Instant,
        bytes: &[u8],
    ) {
        let mut rest = bytes;
        if !stream.partial.is_empty() || stream.begun.is_some() {
            let Some(end) = memchr::memchr(b'\n', rest) else {
                self.extend_partial(stream, source, at, rest);
                return;
            };
            self.extend_partial(stream, source, at, &rest[..end]);
            self.end_partial(stream, source, at);
            rest = &rest[end + 1..];
        }
        let whole = memchr::memrchr(b'\n', rest).map_or(0, |end| end + 1);
        if whole > 0 {
            self.whole_lines(source, at, &rest[..whole]);
        }
        self.extend_partial(stream, source, at, &rest[whole..]);
    }

    fn extend_partial(&mut self, stream: &mut Stream, source: Source, at: Instant, bytes: &[u8]) {
        let mut rest = bytes;
        while stream.partial.len() + rest.len() > LINE_MAX_BYTES {
            let (fits, more) = rest.split_at(LINE_MAX_BYTES - stream.partial.len());
            stream.partial.extend_from_slice(fits);
            rest = more;
            let whole = whole_characters(&stream.partial);
            let carry = stream.partial.split_off(whole);
            let part = std::mem::replace(&mut stream.partial, carry);
            stream.begun = Some(self.part(source, at, &part, stream.begun));
        }
        stream.partial.extend_from_slice(rest);
    }

    pub(super) fn end_partial(&mut self, stream: &mut Stream, source: Source, at: Instant) {
        let begun = stream.begun.take();
        let line = without_return(&stream.partial);
        if begun.is_none() || !line.is_empty() {
            self.part(source, at, line, begun);
        }
        stream.partial.clear();
    }

    /// Takes lines that all end inside `bytes`.
    fn whole_lines(&mut self, source: Source, at: Instant, bytes: &[u8]) {
        let plain = self.quiet && !self.own_rules && surely_plain(bytes);
        if plain && self.is_kept_as_it_stands(bytes) {
            self.lines += self.writer.push_plain_block(at, self.attempt, source, bytes);
            self.bytes = self.writer.bytes();
            return;
        }
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            let line = without_return(&bytes[start..end]);
            start = end + 1;
            if line.len() > LINE_MAX_BYTES {
                self.long_line(source, at, line);
            } else if plain {
                self.plain_line(source, at, line);
            } else {
                self.part(source, at, line, None);
            }
        }
    }

    /// Whether no line of a plain block is to be shown differently, split or dropped.
    fn is_kept_as_it_stands(&self, bytes: &[u8]) -> bool {
        self.keeps(Level::Info)
            && !self.written.is_left()
            && bytes.len() <= LINE_MAX_BYTES
            && self.bytes + (bytes.len() as u64) < self.max_log_bytes
            && memchr::memchr(b'\r', bytes).is_none()
            && std::str::from_utf8(bytes).is_ok()
    }

    fn long_line(&mut self, source: Source, at: Instant, line: &[u8]) {
        let mut stream = Stream::default();
        self.extend_partial(&mut stream, source, at, line);
        self.end_partial(&mut stream, source, at);
    }

    fn plain_line(&mut self, source: Source, at: Instant, line: &[u8]) {
        let kept = self.keeps(Level::Info);
        let text = if kept { visible(line) } else { Cow::Borrowed("") };
        if text.len() > LINE_MAX_BYTES {
            self.part(source, at, line, None);
            return;
        }
        if !kept || !self.written.may_be_next(source, at, &text) {
            self.drop_line(line.len());
            return;
        }
        self.push(NewLine {
            at,
            attempt: self.attempt,
            source,
            level: Level::Info,
            class: None,
            cause: None,
            text: &text,
            cascade_of: None,
            fields: None,
        });
        self.check_limit();
    }

    /// Takes one line, or a part of one; `begun` is its first part. Escapes may make it longer than a line may be.
    fn part(&mut self, source: Source, at: Instant, bytes: &[u8], begun: Option<Begun>) -> Begun {
        let text = visible(bytes);
        let mut pieces = pieces(&text);
        let mut begun = match begun {
            Some(begun) => begun,
            None => self.judged(source, at, pieces.next().unwrap_or_default()),
        };
        for piece in pieces {
            self.continuation(source, at, piece, &mut begun);
        }
        begun
    }

    fn judged(&mut self, source: Source, at: Instant, text: &str) -> Begun {
        let number = self.lines + 1;
        let mut judgement = self.session.judge(number, source, text);
        self.quiet = judgement.level == Level::Info && judgement.class.is_none();
        let mut begun = Begun {
            line: number,
            level: judgement.level,
            class: judgement.class,
            cause: judgement.cause,
            kept: self.keeps(judgement.level),
        };
        let bytes = text.len();
        // Taking a JSON line apart undoes its escapes, which may bring a secret to light.
        let text = judgement.text.take().map_or_else(
            || Cow::Borrowed(text),
            |text| Cow::Owned(self.secrets.text(&text).into_owned()),
        );
        let first = pieces(&text).next().unwrap_or_default();
        begun.kept = begun.kept && self.written.may_be_next(source, at, first);
        if !begun.kept {
            self.drop_line(bytes);
            return begun;
        }
        let fields = judgement.fields.take().map(|fields| self.secrets.json(fields));
        let line = self.push(NewLine {
            at,
            attempt: self.attempt,
            source,
            level: judgement.level,
            class: judgement.class,
            cause: judgement.cause,
            text: first,
            cascade_of: judgement.cascade_of,
            fields: fields.as_ref(),
        });
        self.said.marked_error |= judgement.marked && judgement.level == Level::Error;
        self.notice(line, &judgement, &text);
        self.check_limit();
        Begun { line, ..begun }
    }

    fn continuation(&mut self, source: Source, at: Instant, text: &str, begun: &mut Begun) {
        begun.kept = begun.kept && self.written.may_be_next(source, at, text);
        if !begun.kept {
            self.drop_line(text.len());
            return;
        }
        self.push(NewLine {
            at,
            attempt: self.attempt,
            source,
            level: begun.level,
            class: begun.class,
            cause: begun.cause,
            text,
            cascade_of: None,
            fields: Some(&serde_json::json!({ "continues": begun.line })),
        });
        self.check_limit();
        begun.kept = self.keeps(begun.level);
    }
}
