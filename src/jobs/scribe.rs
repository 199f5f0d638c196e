//! From a command's bytes to its log: redaction, lines, classification, the limit, and what the attempt said.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::credentials::Secret;
use super::curtailed::Curtailed;
use super::redact::Redactor;
use super::runner::Before;
use crate::clock::Clock;
use crate::domain::cause::Cause;
use crate::domain::class::{Class, Level, Source};
use crate::domain::classify::{Classifier, Judgement, RootFinder, Session};
use crate::domain::event::{ErrorCounts, FirstError};
use crate::domain::space::Room;
use crate::domain::verdict::{Closing, Said};
use crate::ids::InterfaceId;
use crate::instant::Instant;
use crate::store::lines::{LinesError, LogWriter, NewLine};
use crate::telemetry::metrics::Metrics;

mod cut;
mod limits;
mod state;
mod written;

pub(super) use state::ScribeState;

use cut::Stream;
use written::Written;

/// Characters of the first error's text that go into its event.
const FIRST_ERROR_MAX_CHARS: usize = 2000;

/// What a [`Scribe`] is made of.
pub struct ScribeParts {
    /// Where the lines go.
    pub writer: LogWriter,
    /// The interface's rules and the built-in ones.
    pub classifier: Arc<Classifier>,
    /// What must not be written. Each attempt adds the credentials that it reads.
    pub secrets: Redactor,
    /// When a line was read.
    pub clock: Arc<dyn Clock>,
    /// After so many bytes of text only error lines are kept.
    pub max_log_bytes: u64,
    /// Where its lines are counted, and as whose.
    pub metrics: Arc<Metrics>,
    /// The interface.
    pub interface: InterfaceId,
    /// Where facts go that cannot wait for the end.
    pub seen: mpsc::UnboundedSender<ScribeNews>,
}

/// A fact that cannot wait for the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScribeNews {
    /// The first error line of an attempt that is no cascade. Handed to the writer, maybe not yet on disk.
    FirstError(FirstError),
    /// The disk has little room.
    Curtailed {
        /// The last line kept before.
        line: u64,
        /// How little.
        room: Room,
    },
    /// The limit was reached.
    Limited {
        /// The last line kept before.
        line: u64,
        /// The limit, in bytes.
        max_bytes: u64,
    },
}

/// What an execution's log amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScribeSummary {
    /// Lines.
    pub lines: u64,
    /// Bytes of text.
    pub bytes: u64,
    /// BLAKE3 over the hashes of the chunks, in order.
    pub hash: [u8; 32],
    /// Error lines by class, over all attempts. A continued line is one.
    pub errors: ErrorCounts,
}

/// Writes one execution's log.
///
/// A line ends at a line feed; a carriage return before it belongs to the line end, any other byte stays. What is not
/// UTF-8 is shown as `\xNN`. A line of more than 64 KiB is split: each further part has the first one's level, class
/// and cause, and `continues` in its fields names the first one's number; it counts as no further error.
pub struct Scribe {
    writer: LogWriter,
    own_rules: bool,
    session: Session,
    secrets: Redactor,
    clock: Arc<dyn Clock>,
    max_log_bytes: u64,
    metrics: Arc<Metrics>,
    interface: InterfaceId,
    seen: mpsc::UnboundedSender<ScribeNews>,
    attempt: u32,
    streams: [Stream; 2],
    /// The newest judged line was plain information, so a plain block cannot be the rest of a trace.
    quiet: bool,
    limited: bool,
    dropped_lines: u64,
    dropped_bytes: u64,
    curtailed: Curtailed,
    /// The room on the disk has had a say since somebody asked.
    curtails: bool,
    errors: ErrorCounts,
    said: Said,
    root: RootFinder,
    failure: Option<LinesError>,
    /// Lines up to now, and bytes of their text.
    lines: u64,
    bytes: u64,
    /// Lines to come that stand in the log already.
    written: Written,
}

impl Scribe {
    /// Begins an execution's log, with its first attempt.
    pub fn new(parts: ScribeParts) -> Self {
        let (lines, bytes) = (parts.writer.lines(), parts.writer.bytes());
        Self {
            writer: parts.writer,
            own_rules: parts.classifier.has_own_rules(),
            session: Session::new(parts.classifier),
            secrets: parts.secrets,
            clock: parts.clock,
            max_log_bytes: parts.max_log_bytes,
            metrics: parts.metrics,
            interface: parts.interface,
            seen: parts.seen,
            attempt: 1,
            streams: [Stream::default(), Stream::default()],
            quiet: true,
            limited: false,
            dropped_lines: 0,
            dropped_bytes: 0,
            curtailed: Curtailed::default(),
            curtails: false,
            errors: ErrorCounts::default(),
            said: Said::default(),
            root: RootFinder::default(),
            failure: None,
            lines,
            bytes,
            written: Written::default(),
        }
    }

    /// Goes on behind `attempt`, whose process ended, and which left error lines in the log: `errors`, those of earlier
    /// attempts included.
    pub fn continued(mut self, attempt: u32, errors: ErrorCounts) -> Self {
        self.attempt = attempt;
        self.errors = errors;
        self.limited = self.bytes >= self.max_log_bytes;
        self
    }

    /// Lines of the log up to now, those that are not on disk yet included.
    pub(super) const fn lines(&self) -> u64 {
        self.lines
    }

    /// What the log holds up to now.
    pub(super) const fn before(&self) -> Before {
        Before { lines: self.lines, bytes: self.bytes }
    }

    /// What is replaced before anything is written.
    pub const fn secrets(&self) -> &Redactor {
        &self.secrets
    }

    /// Replaces `secrets` as well from now on.
    pub fn learn(&mut self, secrets: &[Secret]) {
        self.secrets.learn(secrets);
    }

    /// Begins attempt `n`, counted from 1. Errors of earlier ones stay in the log and in the counts.
    pub fn begin_attempt(&mut self, n: u32) {
        if n != self.attempt {
            self.session.next_attempt();
        }
        self.attempt = n;
        self.quiet = true;
        self.said = Said::default();
        self.root = RootFinder::default();
    }

    /// Takes a block of output and waits until the writer can take more.
    pub async fn output(&mut self, source: Source, block: &[u8]) {
        self.take(source, block);
        self.ready().await;
    }

    /// Waits until the writer can take more. Nothing is lost when the wait is given up.
    pub async fn ready(&mut self) {
        if self.failure.is_none()
            && let Err(err) = self.writer.ready().await
        {
            self.failure = Some(err);
        }
    }

    /// Takes a block of output. The caller then awaits [`Scribe::ready`].
    pub fn take(&mut self, source: Source, block: &[u8]) {
        self.tell_of_curtailed(false);
        let slot = usize::from(source == Source::Stderr);
        let mut stream = std::mem::take(&mut self.streams[slot]);
        let at = self.clock.now();
        let clean = stream.redacted.push(&self.secrets, block);
        self.cut_into_lines(&mut stream, source, at, &clean);
        self.streams[slot] = stream;
    }

    /// Takes a block in which secrets are replaced already, read at `at`. The caller then awaits [`Scribe::ready`].
    pub(super) fn take_clean(&mut self, source: Source, at: Instant, block: &[u8]) {
        self.tell_of_curtailed(false);
        let slot = usize::from(source == Source::Stderr);
        let mut stream = std::mem::take(&mut self.streams[slot]);
        self.cut_into_lines(&mut stream, source, at, block);
        self.streams[slot] = stream;
    }

    /// Whether the room on the disk has decided about lines since this was asked last: the same output would give other lines.
    pub(super) fn was_curtailed(&mut self) -> bool {
        std::mem::take(&mut self.curtails)
    }

    /// Output is missing from here on, as `text` says: what was begun is a line.
    pub(super) fn take_gap(&mut self, at: Instant, text: &str) {
        self.end_lines(at);
        self.note(Level::Warning, None, None, text, None);
    }

    /// Hands on what is buffered: the tick of 250 ms.
    pub fn cut(&mut self) {
        self.writer.cut();
    }

    /// The attempt's output is over: a last line without its end is a line.
    pub fn end_output(&mut self) {
        self.end_lines(self.clock.now());
        if self.dropped_lines > 0 {
            let text = format!(
                "max_log: {} lines with {} bytes were not kept",
                self.dropped_lines, self.dropped_bytes
            );
            (self.dropped_lines, self.dropped_bytes) = (0, 0);
            self.note(Level::Warning, None, None, &text, None);
        }
        self.tell_of_curtailed(true);
    }

    fn end_lines(&mut self, at: Instant) {
        for (slot, source) in [Source::Stdout, Source::Stderr].into_iter().enumerate() {
            let mut stream = std::mem::take(&mut self.streams[slot]);
            let rest = stream.redacted.finish(&self.secrets);
            self.cut_into_lines(&mut stream, source, at, &rest);
            if !stream.partial.is_empty() {
                self.end_partial(&mut stream, source, at);
            }
        }
    }

    /// Writes a line of Daybook's own and returns its number. Secrets are replaced in it as well.
    #[expect(
        clippy::too_many_arguments,
        reason = "they are a line's columns, each of its own type"
    )]
    pub fn note(
        &mut self,
        level: Level,
        class: Option<Class>,
        cause: Option<Cause>,
        text: &str,
        fields: Option<serde_json::Value>,
    ) -> u64 {
        self.own_line(
            &Closing { level, class, cause, cascade_of: None, text: text.to_owned() },
            fields,
        )
    }

    /// Writes the attempt's last line and returns its number.
    pub fn close_attempt(&mut self, closing: &Closing) -> u64 {
        self.own_line(closing, None)
    }

    /// What the attempt's lines said up to now.
    pub const fn attempt_summary(&self) -> &Said {
        &self.said
    }

    /// Ends the log; all of it is on disk then.
    ///
    /// # Errors
    /// [`LinesError`] when any line could not be written.
    pub async fn finish(mut self) -> Result<ScribeSummary, LinesError> {
        self.end_output();
        self.metrics.log_lines(&self.interface, self.writer.counts());
        let summary = self.writer.finish().await;
        match self.failure {
            Some(failure) => Err(failure),
            None => summary.map(|summary| ScribeSummary {
                lines: summary.lines,
                bytes: summary.bytes,
                hash: summary.hash,
                errors: self.errors,
            }),
        }
    }

    /// Ends this process's part of a log that another one goes on with. What was begun of a line is left to that.
    ///
    /// # Errors
    /// [`LinesError`] when any line could not be written.
    pub(super) async fn leave(self) -> Result<(), LinesError> {
        self.metrics.log_lines(&self.interface, self.writer.counts());
        let summary = self.writer.finish().await;
        self.failure.map_or_else(|| summary.map(drop), Err)
    }

    fn own_line(&mut self, line: &Closing, fields: Option<serde_json::Value>) -> u64 {
        let text = self.secrets.text(&line.text).into_owned();
        let fields = fields.map(|fields| self.secrets.json(fields));
        let number = self.push(NewLine {
            at: self.clock.now(),
            attempt: self.attempt,
            source: Source::Daybook,
            level: line.level,
            class: line.class,
            cause: line.cause,
            text: &text,
            cascade_of: line.cascade_of,
            fields: fields.as_ref(),
        });
        let judgement =
            Judgement { class: line.class, cause: line.cause, ..Judgement::plain(line.level) };
        self.notice(number, &judgement, &text);
        number
    }

    /// Writes a line, unless it stands in the log already; its number.
    fn push(&mut self, line: NewLine<'_>) -> u64 {
        self.lines += 1;
        if self.written.is_left() {
            self.written.pass();
            self.bytes += line.text.len() as u64;
        } else {
            self.writer.push(line);
            self.bytes = self.writer.bytes();
        }
        self.lines
    }

    /// Counts an error line, and keeps it when it says why the attempt failed.
    fn notice(&mut self, line: u64, judgement: &Judgement, text: &str) {
        let (Level::Error, Some(class)) = (judgement.level, judgement.class) else { return };
        self.errors.add(class);
        if !self.root.see(line, judgement) {
            return;
        }
        let cause = judgement.cause.unwrap_or(Cause::TecUnclassified);
        let text = text.chars().take(FIRST_ERROR_MAX_CHARS).collect();
        let error = FirstError { line, class, cause, text };
        let first = self.said.first_error.replace(error.clone()).is_none();
        if first {
            // People look at an error at once: it need not wait for the next tick.
            self.writer.cut();
            self.tell(ScribeNews::FirstError(error));
        }
    }

    fn tell(&self, news: ScribeNews) {
        if self.seen.send(news).is_err() {
            tracing::debug!("nobody waits for news of this log any more");
        }
    }
}
