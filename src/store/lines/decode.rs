//! Reading a chunk's lines back.

use crate::domain::cause::Cause;
use crate::domain::class::{Class, Level, Source};
use crate::instant::Instant;

use super::bytes::{take_byte, take_slice, take_varint, unzigzag};
use super::chunk::{HAS_CASCADE, HAS_CAUSE, HAS_FIELDS, HAS_LINE_ENDS};
use super::frame::{Head, PAYLOAD_MAX, PLAIN, ZSTD};
use super::query::LineRef;

/// Unpacks payloads, keeping its memory between them.
pub(super) struct Unpacker {
    zstd: zstd::bulk::Decompressor<'static>,
    raw: Vec<u8>,
    lossy: String,
}

impl Unpacker {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { zstd: zstd::bulk::Decompressor::new()?, raw: Vec::new(), lossy: String::new() })
    }

    /// Unpacks `payload`, whose checksum has been checked, into lines.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub(super) fn lines<'a>(
        &'a mut self,
        head: &Head,
        payload: &'a [u8],
    ) -> Result<ChunkLines<'a>, String> {
        let raw = match head.codec {
            PLAIN => payload,
            ZSTD => {
                self.raw.clear();
                self.raw.reserve((head.raw_len as usize).min(PAYLOAD_MAX));
                self.zstd
                    .decompress_to_buffer(payload, &mut self.raw)
                    .map_err(|err| format!("the payload does not unpack: {err}"))?;
                &self.raw
            }
            other => return Err(format!("compression {other} is unknown")),
        };
        if raw.len() != head.raw_len as usize {
            return Err(format!("{} bytes unpacked instead of {}", raw.len(), head.raw_len));
        }
        let mut rest = raw;
        let runs = take_column(&mut rest).ok_or("the runs end early")?;
        let extras = take_column(&mut rest).ok_or("the extras end early")?;
        let text = if let Ok(text) = std::str::from_utf8(rest) {
            text
        } else {
            self.lossy = String::from_utf8_lossy(rest).into_owned();
            &self.lossy
        };
        let mut lines = ChunkLines {
            next_line: head.first_line,
            left: head.lines,
            run_left: 0,
            index: 0,
            extra_at: None,
            run: Labels::default(),
            runs,
            extras,
            text,
        };
        lines.find_extra(0)?;
        Ok(lines)
    }
}

fn take_column<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_varint(from)?).ok()?;
    take_slice(from, length)
}

#[derive(Clone, Copy, Debug)]
struct Labels {
    at: i64,
    attempt: u32,
    source: Source,
    level: Level,
    class: Option<Class>,
    cause: Option<Cause>,
}

impl Default for Labels {
    fn default() -> Self {
        Self {
            at: 0,
            attempt: 0,
            source: Source::Stdout,
            level: Level::Info,
            class: None,
            cause: None,
        }
    }
}

/// The lines of one chunk, one after another.
pub(super) struct ChunkLines<'a> {
    next_line: u64,
    left: u32,
    run_left: u64,
    index: u64,
    extra_at: Option<u64>,
    run: Labels,
    runs: &'a [u8],
    extras: &'a [u8],
    text: &'a str,
}

impl<'a> ChunkLines<'a> {
    /// All text that is left, each line with its line end.
    pub(super) fn rest(&self) -> &'a str {
        self.text
    }

    /// The next line; none after the last.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub(super) fn next_line(&mut self) -> Result<Option<LineRef<'a>>, String> {
        if self.left == 0 {
            return if self.text.is_empty() && self.run_left == 0 && self.runs.is_empty() {
                Ok(None)
            } else {
                Err("more is stored than the described lines".to_owned())
            };
        }
        while self.run_left == 0 {
            self.next_run().ok_or("a run is not readable")??;
        }
        let extra =
            if self.extra_at == Some(self.index) { self.take_extra()? } else { Extra::default() };
        let text = self.take_text(extra.line_ends).ok_or("the text ends early")?;
        let line = LineRef {
            line: self.next_line,
            at: Instant::from_millis(self.run.at),
            attempt: self.run.attempt,
            source: self.run.source,
            level: self.run.level,
            class: self.run.class,
            cause: self.run.cause,
            text,
            cascade_of: extra.cascade_of,
            fields: extra.fields,
        };
        self.next_line = self.next_line.saturating_add(1);
        self.left -= 1;
        self.run_left -= 1;
        self.index += 1;
        Ok(Some(line))
    }

    fn next_run(&mut self) -> Option<Result<(), String>> {
        self.run_left = take_varint(&mut self.runs)?;
        self.run.at = self.run.at.wrapping_add(unzigzag(take_varint(&mut self.runs)?));
        self.run.attempt = u32::try_from(take_varint(&mut self.runs)?).ok()?;
        let kind = take_byte(&mut self.runs)?;
        self.run.source = match kind & 3 {
            0 => Source::Stdout,
            1 => Source::Stderr,
            2 => Source::Daybook,
            _ => return None,
        };
        self.run.level = match (kind >> 2) & 3 {
            0 => Level::Debug,
            1 => Level::Info,
            2 => Level::Warning,
            _ => Level::Error,
        };
        self.run.class = match (kind >> 4) & 7 {
            0 => None,
            1 => Some(Class::External),
            2 => Some(Class::Configuration),
            3 => Some(Class::Mapping),
            4 => Some(Class::Technical),
            5 => Some(Class::Cascade),
            _ => return None,
        };
        self.run.cause = None;
        if kind & HAS_CAUSE != 0 {
            let number = take_varint(&mut self.runs)?;
            let cause = u16::try_from(number).ok().and_then(Cause::from_number);
            let Some(cause) = cause else {
                return Some(Err(format!("{number} is the number of no known cause")));
            };
            self.run.cause = Some(cause);
        }
        Some(Ok(()))
    }

    fn take_text(&mut self, line_ends: u64) -> Option<&'a str> {
        let mut ends = memchr::memchr_iter(b'\n', self.text.as_bytes());
        let end = ends.nth(usize::try_from(line_ends).ok()?)?;
        let (text, rest) = self.text.split_at_checked(end)?;
        self.text = rest.get(1..)?;
        Some(text)
    }

    fn find_extra(&mut self, previous: u64) -> Result<(), String> {
        self.extra_at = if self.extras.is_empty() {
            None
        } else {
            let step = take_varint(&mut self.extras).ok_or("an extra is not readable")?;
            Some(previous.saturating_add(step))
        };
        Ok(())
    }

    fn take_extra(&mut self) -> Result<Extra<'a>, String> {
        let extra = self.read_extra().ok_or("an extra is not readable")?;
        self.find_extra(self.index)?;
        Ok(extra)
    }

    fn read_extra(&mut self) -> Option<Extra<'a>> {
        let flags = take_byte(&mut self.extras)?;
        let mut extra = Extra::default();
        if flags & HAS_CASCADE != 0 {
            extra.cascade_of = Some(take_varint(&mut self.extras)?);
        }
        if flags & HAS_LINE_ENDS != 0 {
            extra.line_ends = take_varint(&mut self.extras)?;
        }
        if flags & HAS_FIELDS != 0 {
            extra.fields = Some(std::str::from_utf8(take_column(&mut self.extras)?).ok()?);
        }
        Some(extra)
    }
}

#[derive(Default)]
struct Extra<'a> {
    cascade_of: Option<u64>,
    line_ends: u64,
    fields: Option<&'a str>,
}
