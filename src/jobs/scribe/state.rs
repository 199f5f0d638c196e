//! Going on with an attempt's output where another scribe stood.

use serde::{Deserialize, Serialize};

use super::Scribe;
use super::cut::{Begun, Stream};
use super::written::Written;
use crate::domain::classify::{Memory, RootFinder};
use crate::domain::event::ErrorCounts;
use crate::domain::verdict::Said;
use crate::jobs::curtailed::Curtailed;
use crate::jobs::redact::RedactedStream;
use crate::jobs::runner::Before;

/// Where a scribe stands between two blocks of output: one that is given it goes on as the same one would.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::jobs) struct ScribeState {
    pub(in crate::jobs) lines: u64,
    bytes: u64,
    streams: [(Vec<u8>, Option<Begun>); 2],
    quiet: bool,
    limited: bool,
    dropped_lines: u64,
    dropped_bytes: u64,
    curtailed: Curtailed,
    errors: ErrorCounts,
    said: Said,
    root: RootFinder,
    session: Memory,
}

impl Scribe {
    /// Goes over an attempt's output once more from its beginning, before which the log held `before`, with `errors` among
    /// its lines. What the log holds beyond is not written again.
    pub(in crate::jobs) fn begin_again(&mut self, before: Before, errors: ErrorCounts) {
        self.written = Written::of(self.writer.lines().saturating_sub(before.lines));
        (self.lines, self.bytes) = (before.lines.min(self.writer.lines()), before.bytes);
        self.errors = errors;
        self.limited = self.bytes >= self.max_log_bytes;
    }

    /// The same from where another scribe stood.
    pub(in crate::jobs) fn stand_at(&mut self, state: ScribeState) {
        self.written = Written::of(self.writer.lines().saturating_sub(state.lines));
        (self.lines, self.bytes) = (state.lines.min(self.writer.lines()), state.bytes);
        let streams = state.streams;
        self.streams = streams.map(|(partial, begun)| Stream {
            redacted: RedactedStream::default(),
            partial,
            begun,
        });
        (self.quiet, self.limited) = (state.quiet, state.limited);
        (self.dropped_lines, self.dropped_bytes) = (state.dropped_lines, state.dropped_bytes);
        (self.errors, self.said, self.root) = (state.errors, state.said, state.root);
        self.curtailed = state.curtailed;
        self.session.remember(state.session);
    }

    /// Where it stands, between two blocks that were taken by [`Scribe::take_clean`].
    pub(in crate::jobs) fn state(&self) -> ScribeState {
        ScribeState {
            lines: self.lines,
            bytes: self.bytes,
            streams: self.streams.each_ref().map(|stream| (stream.partial.clone(), stream.begun)),
            quiet: self.quiet,
            limited: self.limited,
            dropped_lines: self.dropped_lines,
            dropped_bytes: self.dropped_bytes,
            curtailed: self.curtailed.clone(),
            errors: self.errors,
            said: self.said.clone(),
            root: self.root,
            session: self.session.memory().clone(),
        }
    }
}
