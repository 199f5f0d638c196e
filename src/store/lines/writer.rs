//! The one thread that writes: compress, append, sync, and only then publish.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::chunk::ChunkBuilder;
use super::error::LinesError;
use super::frame::{Entry, ZSTD};
use super::index::Active;
use super::sealed::Sealed;
use super::segment::{ActiveFile, HEADER_LEN, seal_bytes};
use super::store::{Live, LogSummary, Shared};
use crate::crash;
use crate::error_text::in_full;
use crate::store::space;

/// One commit takes no more orders than fill this many bytes of lines, so that a short log need not wait for long.
const GROUP_BYTES: usize = 2 << 20;
/// The least time from one sync to the next while little is to be written: a sync costs as much as the lines of many logs.
const COMPANY: Duration = Duration::from_millis(2);
/// What fills this many bytes waits for no others.
const MUCH_BYTES: usize = 64 << 10;
/// Payloads below this are stored plain: compressing them saves nothing.
const COMPRESS_FROM: usize = 192;
/// A segment shorter than this is not sealed at the end: walking it at the next start takes no time.
const SEAL_AT_END_BYTES: u64 = 1 << 20;
const ZSTD_LEVEL: i32 = 1;

/// What the writing thread is asked to do, in order.
pub(super) enum Order {
    /// Write these lines.
    Chunk(Cut),
    /// Write these last lines, and answer when everything is on disk: the log is complete.
    Finish {
        live: Arc<Live>,
        last: Option<Cut>,
        reply: oneshot::Sender<Result<LogSummary, LinesError>>,
    },
    /// A writer is gone.
    Release { live: Arc<Live> },
}

/// Lines of a log that are handed over.
pub(super) struct Cut {
    pub(super) live: Arc<Live>,
    pub(super) chunk: Box<ChunkBuilder>,
    pub(super) first_line: u64,
    /// Its weight in bytes.
    pub(super) size: usize,
}

/// Starts the writing thread on `file`. It ends when the sender of `inbox` is dropped.
///
/// # Errors
/// [`LinesError::Io`] when the system gives no thread.
pub(super) fn spawn(
    dir: &Path,
    shared: Arc<Shared>,
    file: ActiveFile,
    inbox: mpsc::Receiver<Order>,
) -> Result<JoinHandle<()>, LinesError> {
    let zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(LinesError::io("open", dir))?;
    let mut writer = Writer {
        dir: dir.to_owned(),
        shared,
        file,
        zstd,
        raw: Vec::new(),
        packed: Vec::new(),
        group: Vec::new(),
        fresh: Vec::new(),
        ended: Vec::new(),
    };
    std::thread::Builder::new()
        .name("daybook-lines".to_owned())
        .spawn(move || writer.run(&inbox))
        .map_err(LinesError::io("start a thread for", dir))
}

struct Fresh {
    live: Arc<Live>,
    entry: Entry,
    size: usize,
}

enum Ended {
    Finish(Arc<Live>, oneshot::Sender<Result<LogSummary, LinesError>>),
    Release(Arc<Live>),
}

struct Writer {
    dir: PathBuf,
    shared: Arc<Shared>,
    file: ActiveFile,
    zstd: zstd::bulk::Compressor<'static>,
    raw: Vec<u8>,
    packed: Vec<u8>,
    /// The bytes of this commit.
    group: Vec<u8>,
    /// The chunks of this commit.
    fresh: Vec<Fresh>,
    /// Who waits for this commit.
    ended: Vec<Ended>,
}

/// Closes the store when the thread ends, by a panic too, so that nobody waits for it.
struct Farewell(Arc<Shared>);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.fail("the writing thread has ended".to_owned());
    }
}

impl Writer {
    fn run(&mut self, inbox: &mpsc::Receiver<Order>) {
        let _farewell = Farewell(Arc::clone(&self.shared));
        let mut next = Instant::now();
        while let Ok(order) = inbox.recv() {
            let mut taken = self.take(order);
            if taken < MUCH_BYTES && !self.shared.closing.load(Ordering::Acquire) {
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            while taken < GROUP_BYTES
                && let Ok(order) = inbox.try_recv()
            {
                taken += self.take(order);
            }
            if self.shared.closed().is_none()
                && let Err(err) = self.commit()
            {
                self.shared.fail(in_full(&err));
            }
            next = Instant::now() + COMPANY;
            self.answer();
        }
        if self.shared.closed().is_none()
            && self.file.len >= SEAL_AT_END_BYTES
            && let Err(err) = self.seal()
        {
            self.shared.fail(in_full(&err));
        }
    }

    /// Takes `order` into the commit and gives its weight in bytes.
    fn take(&mut self, order: Order) -> usize {
        match order {
            Order::Chunk(cut) => self.pack(cut),
            Order::Finish { live, last, reply } => {
                self.ended.push(Ended::Finish(live, reply));
                last.map_or(0, |cut| self.pack(cut))
            }
            Order::Release { live } => {
                self.ended.push(Ended::Release(live));
                0
            }
        }
    }

    /// Adds lines to the commit and gives their weight.
    fn pack(&mut self, cut: Cut) -> usize {
        let Cut { live, mut chunk, first_line, size } = cut;
        let mut head = chunk.finish(live.execution, first_line, &mut self.raw);
        self.shared.recycle(chunk);
        let payload = if self.raw.len() >= COMPRESS_FROM && self.compress() {
            head.codec = ZSTD;
            &self.packed
        } else {
            &self.raw
        };
        let offset = self.file.len + self.group.len() as u64;
        head.group_at = self.file.len;
        {
            let mut tail = live.tail.lock().unwrap_or_else(PoisonError::into_inner);
            head.chunk = tail.chunks;
            let bytes = head.seal(payload);
            self.group.extend_from_slice(&bytes);
            self.group.extend_from_slice(payload);
            tail.add(&head.hash, head.lines, head.text_len);
        }
        self.fresh.push(Fresh { live, entry: Entry { offset, head }, size });
        size
    }

    /// Compresses what is in `raw`; false when that gains nothing.
    fn compress(&mut self) -> bool {
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(self.raw.len()));
        self.zstd.compress_to_buffer(&self.raw, &mut self.packed).is_ok()
            && self.packed.len() < self.raw.len()
    }

    fn commit(&mut self) -> Result<(), LinesError> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        let group = std::mem::take(&mut self.group);
        let appended = self.with_room(group.len(), |writer| writer.file.append(&group));
        self.group = group;
        appended?;
        crash::point(crash::Point::LinesSynced);
        let entries = self.fresh.iter().map(|fresh| fresh.entry.clone());
        self.shared.index.publish(entries, self.file.len);
        for fresh in &self.fresh {
            let last_line = fresh.entry.head.last_line();
            fresh.live.state.send_modify(|state| state.last_line = last_line);
        }
        let options = self.shared.options;
        let chunks = self.shared.index.with_active(|active| active.entries.len());
        if self.file.len >= options.segment_bytes || chunks >= options.segment_chunks {
            self.seal()?;
        }
        Ok(())
    }

    /// Does `what`, which needs about `bytes`; while there is no room for it, takes from the reserve or waits. Gives up
    /// when nobody writes lines any more.
    fn with_room<T>(
        &mut self,
        bytes: usize,
        what: impl Fn(&mut Self) -> Result<T, LinesError>,
    ) -> Result<T, LinesError> {
        let mut waits = false;
        let done = loop {
            let err = match what(self) {
                Err(err) if err.is_no_room() => err,
                done => break done,
            };
            let Some(space) = &self.shared.space else { break Err(err) };
            if space.make_room(space::Writer::Lines, bytes as u64) {
                continue;
            }
            if self.shared.closing.load(Ordering::Acquire) {
                break Err(err);
            }
            if !waits {
                waits = true;
                tracing::error!(err = %in_full(&err), "lines wait for room on the disk; what jobs print meanwhile is not kept");
                space.waits(space::Writer::Lines, true);
                self.shared.drained.notify_waiters();
            }
            space.wait();
        };
        if let Some(space) = self.shared.space.as_ref().filter(|_| waits) {
            space.waits(space::Writer::Lines, false);
        }
        done
    }

    /// Ends the commit: counts down what waited, and answers.
    fn answer(&mut self) {
        self.group.clear();
        for fresh in self.fresh.drain(..) {
            fresh.live.pending.fetch_sub(fresh.size, Ordering::AcqRel);
            self.shared.pending.fetch_sub(fresh.size, Ordering::AcqRel);
        }
        for ended in self.ended.drain(..) {
            match ended {
                Ended::Finish(live, reply) => {
                    let result = match self.shared.closed() {
                        Some(closed) => Err(closed),
                        None => {
                            Ok(live.tail.lock().unwrap_or_else(PoisonError::into_inner).summary())
                        }
                    };
                    if result.is_ok() {
                        live.state.send_modify(|state| state.finished = true);
                    }
                    // Whoever no longer waits for the answer needs none.
                    drop(reply.send(result));
                }
                Ended::Release(live) => self.shared.release(&live),
            }
        }
        self.shared.drained.notify_waiters();
    }

    fn seal(&mut self) -> Result<(), LinesError> {
        let seal_at = self.file.len;
        let sealed = self.shared.index.with_active(|a| seal_bytes(seal_at, a.entries.values()));
        let Some((bytes, trailer)) = sealed else { return Ok(()) };
        self.with_room(bytes.len(), |writer| writer.file.append(&bytes))?;
        crash::point(crash::Point::LinesSealed);
        let number = self.file.number + 1;
        let next = self.with_room(0, |writer| ActiveFile::create(&writer.dir, number))?;
        #[cfg(test)]
        let next = next.with_fault(&self.file);
        let old = std::mem::replace(&mut self.file, next);
        let active = Active {
            number: self.file.number,
            path: self.file.path.clone(),
            len: HEADER_LEN,
            entries: std::collections::BTreeMap::new(),
        };
        self.shared.index.rotate(Sealed::new(old.number, old.path, trailer), active);
        Ok(())
    }
}
