//! Writing one execution's log.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use crate::domain::cause::Cause;
use crate::domain::class::{Class, Level, Source};
use crate::domain::line::LineCounts;
use crate::instant::Instant;

use super::chunk::ChunkBuilder;
use super::error::LinesError;
use super::store::{Live, LogSummary, Store};
use super::writer::{Cut, Order};
use crate::store::space::Space;

/// A line to be written. Its class is decided before (contract, rule 11), and secrets are already replaced.
#[derive(Clone, Copy, Debug)]
pub struct NewLine<'a> {
    /// When it was read.
    pub at: Instant,
    /// The attempt that wrote it, from 1.
    pub attempt: u32,
    /// Where it came from.
    pub source: Source,
    /// How serious.
    pub level: Level,
    /// Whose move it is.
    pub class: Option<Class>,
    /// The cause under the class.
    pub cause: Option<Cause>,
    /// The text, without its line end.
    pub text: &'a str,
    /// For a cascade: the earlier line of the same attempt that caused it.
    pub cascade_of: Option<u64>,
    /// Further fields, as a JSON object.
    pub fields: Option<&'a serde_json::Value>,
}

/// What a chunk weighs in the queue besides its lines.
const CHUNK_OVERHEAD: usize = 256;

/// The log of one execution, being written. Dropping it hands over what is buffered, without waiting.
#[derive(Debug)]
pub struct LogWriter {
    store: Arc<Store>,
    live: Arc<Live>,
    chunk: Box<ChunkBuilder>,
    lines: u64,
    bytes: u64,
    counts: LineCounts,
}

impl LogWriter {
    /// Continues the log behind `live` where its last writer left it.
    pub(super) fn new(store: Arc<Store>, live: Arc<Live>) -> Self {
        let (lines, bytes) = live.handed();
        let chunk = store.shared.spare_builder();
        Self { store, live, chunk, lines, bytes, counts: LineCounts::default() }
    }

    /// Adds a line and gives its number, from 1. Does not wait: call [`Self::ready`] once per block of output.
    ///
    /// A text or fields beyond 1 MiB are cut and say so.
    pub fn push(&mut self, line: NewLine<'_>) -> u64 {
        if line.text.len() >= self.chunk.room() {
            self.cut();
        }
        self.bytes += self.chunk.push(&line) as u64;
        self.lines += 1;
        self.counts.add(line.level, line.class, 1);
        self.lines
    }

    /// Adds the lines of `block`, all plain information, and gives their number.
    ///
    /// `block` holds whole lines of UTF-8, each ended by `\n` (the last one may lack it). It is copied, not looked into.
    pub fn push_plain_block(
        &mut self,
        at: Instant,
        attempt: u32,
        source: Source,
        block: &[u8],
    ) -> u64 {
        let labels = NewLine {
            at,
            attempt,
            source,
            level: Level::Info,
            class: None,
            cause: None,
            text: "",
            cascade_of: None,
            fields: None,
        };
        let before = self.lines;
        let mut rest = block;
        while !rest.is_empty() {
            let room = self.chunk.room();
            let fitting = memchr::memrchr(b'\n', &rest[..rest.len().min(room)]);
            let end = match fitting {
                Some(end) => end + 1,
                None if self.chunk.lines() > 0 => {
                    self.cut();
                    continue;
                }
                None => memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1),
            };
            let (lines, following) = rest.split_at(end);
            rest = following;
            if lines.len() <= super::chunk::PIECE_MAX_BYTES && lines.ends_with(b"\n") {
                let count = u64::from(self.chunk.push_block(&labels, lines));
                self.lines += count;
                self.counts.add(labels.level, labels.class, count);
                self.bytes += lines.len() as u64 - count;
            } else {
                let text = String::from_utf8_lossy(lines);
                let text = text.strip_suffix('\n').unwrap_or(&text);
                self.push(NewLine { text, ..labels });
            }
        }
        self.lines - before
    }

    /// Waits until few enough lines are waiting for the disk. Call it once per block of output. Does not wait for room on
    /// a full disk: whoever prints must not be held up by that, and what it prints is not to be pushed then.
    ///
    /// # Errors
    /// [`LinesError::Closed`] after a failed write or sync: the lines pushed since may be lost.
    pub async fn ready(&mut self) -> Result<(), LinesError> {
        let shared = &self.store.shared;
        loop {
            let drained = shared.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            if let Some(closed) = shared.closed() {
                return Err(closed);
            }
            let queue = shared.options.queue_bytes;
            if self.live.pending.load(Ordering::Acquire) <= queue / 2
                && shared.pending.load(Ordering::Acquire) <= queue
                || shared.waits_for_room()
            {
                return Ok(());
            }
            drained.await;
        }
    }

    /// Hands over what is buffered: it is on disk, and readable, soon after. For the caller's 250 ms tick.
    pub fn cut(&mut self) {
        if let Some(cut) = self.take() {
            self.store.send(Order::Chunk(cut));
        }
    }

    /// What is buffered, which counts as handed over from now on.
    fn take(&mut self) -> Option<Cut> {
        if self.chunk.lines() == 0 {
            return None;
        }
        let shared = &self.store.shared;
        let chunk = std::mem::replace(&mut self.chunk, shared.spare_builder());
        let first_line = self.live.hand_over(self.lines, self.bytes);
        let size = chunk.size() + CHUNK_OVERHEAD;
        self.live.pending.fetch_add(size, Ordering::AcqRel);
        shared.pending.fetch_add(size, Ordering::AcqRel);
        Some(Cut { live: Arc::clone(&self.live), chunk, first_line, size })
    }

    /// The room on the disk, where it is watched.
    pub(crate) fn space(&self) -> Option<&Space> {
        self.store.shared.space.as_deref()
    }

    /// Lines pushed so far, those of an earlier writer included.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The lines pushed by this writer, by kind.
    pub const fn counts(&self) -> LineCounts {
        self.counts
    }

    /// Bytes of their text, without line ends.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Ends the log; when this resolves, all of it is on disk.
    ///
    /// # Errors
    /// [`LinesError::Closed`] after a failed write or sync.
    pub async fn finish(mut self) -> Result<LogSummary, LinesError> {
        let last = self.take();
        let (reply, answer) = oneshot::channel();
        self.store.send(Order::Finish { live: Arc::clone(&self.live), last, reply });
        match answer.await {
            Ok(result) => result,
            Err(_) => Err(self.store.shared.closed().unwrap_or_else(|| LinesError::Closed {
                why: "the writing thread has ended".to_owned(),
            })),
        }
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.cut();
        self.live.writers.fetch_sub(1, Ordering::AcqRel);
        if self.live.pending.load(Ordering::Acquire) == 0 {
            // The writing thread has nothing more to do for it, and need not wake.
            self.store.shared.release(&self.live);
        } else {
            self.store.send(Order::Release { live: Arc::clone(&self.live) });
        }
    }
}
