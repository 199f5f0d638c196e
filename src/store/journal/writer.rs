//! The one thread that writes: what is queued becomes one write and one sync, then the acknowledgements.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::format::{
    COMPLETE, FRAME_HEADER, FrameHeader, Hash, SEGMENT_HEADER, SegmentHeader, chain,
};
use super::recover::Anchor;
use super::segment::{self, Edition, POINT_EVERY, Segment};
use crate::crash;
use crate::ids::Position;
use crate::instant::Instant;
use crate::store::heads::Heads;
use crate::store::space::{self, Space, is_no_room};
use crate::store::{AppendError, Appended, ColdHeads};

/// The most that one write takes from the queue, in bytes, beyond its first append.
const MAX_BATCH_BYTES: usize = 4 << 20;

/// One group of appends that went to disk together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// How many appends.
    pub appends: u64,
    /// How many events.
    pub events: u64,
    /// How many bytes were written.
    pub bytes: u64,
    /// How long write and sync took together.
    pub took: Duration,
}

/// Is told of every group that went to disk, on the writer's thread.
pub type OnCommit = Arc<dyn Fn(Commit) + Send + Sync>;

/// An append on its way to disk.
pub(super) struct Pending {
    pub(super) first: Position,
    pub(super) count: u32,
    pub(super) at: Instant,
    /// The records in their final form.
    pub(super) records: Vec<u8>,
    /// The events' hashes.
    pub(super) hashes: Vec<Hash>,
    pub(super) ticket: oneshot::Sender<Result<Appended, AppendError>>,
}

/// What appenders and the writer share.
pub(super) struct State {
    pub(super) heads: Heads,
    pub(super) cold: Arc<dyn ColdHeads>,
    /// The position that the next event gets.
    pub(super) next: Position,
    /// Why nothing more is accepted.
    pub(super) closed: Option<String>,
    queue: VecDeque<Pending>,
    /// Whether the writer sleeps.
    idle: bool,
}

impl State {
    /// Hands `pending` to the writer; true when it must be woken.
    pub(super) fn push(&mut self, pending: Pending) -> bool {
        self.queue.push_back(pending);
        std::mem::take(&mut self.idle)
    }
}

/// What the log's handle, its readers and its writer share.
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) wake: Condvar,
    pub(super) segments: RwLock<Vec<Arc<Segment>>>,
    /// The end of what is on disk.
    pub(super) end: Mutex<Anchor>,
    pub(super) durable: watch::Sender<Position>,
    /// The first error, once there is one.
    pub(super) failed: watch::Sender<Option<String>>,
    #[cfg(test)]
    pub(super) fails_next_sync: std::sync::atomic::AtomicBool,
    /// Writes that find the disk full, half of their bytes written, before one succeeds.
    #[cfg(test)]
    pub(super) full_for: std::sync::atomic::AtomicU32,
}

impl Shared {
    pub(super) fn new(
        segments: Vec<Arc<Segment>>,
        end: Anchor,
        heads: Heads,
        cold: Arc<dyn ColdHeads>,
    ) -> Self {
        let durable = end.position;
        Self {
            state: Mutex::new(State {
                heads,
                cold,
                next: durable.plus(1),
                closed: None,
                queue: VecDeque::new(),
                idle: false,
            }),
            wake: Condvar::new(),
            segments: RwLock::new(segments),
            end: Mutex::new(end),
            durable: watch::Sender::new(durable),
            failed: watch::Sender::new(None),
            #[cfg(test)]
            fails_next_sync: false.into(),
            #[cfg(test)]
            full_for: 0.into(),
        }
    }

    /// Every section under this lock leaves the state whole, so a panic elsewhere does not spoil it.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn end(&self) -> Anchor {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        if self.full_for.load(std::sync::atomic::Ordering::Relaxed) > 0 {
            self.full_for.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
            file.write_all(&bytes[..bytes.len() / 2])?;
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        #[cfg(test)]
        if self.fails_next_sync.swap(false, std::sync::atomic::Ordering::Relaxed) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        file.sync_data()
    }

    /// Accepts nothing more; what is queued is still written.
    pub(super) fn close(&self, why: &str) {
        self.state().closed.get_or_insert_with(|| why.to_owned());
        self.wake.notify_all();
    }

    /// Waits for appends and takes as many as fit into one write; none when the log is closed.
    fn take(&self) -> Option<VecDeque<Pending>> {
        let mut state = self.state();
        while state.queue.is_empty() {
            if state.closed.is_some() {
                return None;
            }
            state.idle = true;
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.idle = false;
        let mut bytes = 0;
        let fitting = state.queue.iter().take_while(|pending| {
            bytes += pending.records.len() + FRAME_HEADER;
            bytes <= MAX_BATCH_BYTES
        });
        let fitting = fitting.count().max(1);
        if fitting == state.queue.len() {
            return Some(std::mem::take(&mut state.queue));
        }
        Some(state.queue.drain(..fitting).collect())
    }

    /// Closes the log for good and fails all that waits.
    fn fail(&self, why: &str) {
        let waiting = {
            let mut state = self.state();
            state.closed = Some(why.to_owned());
            std::mem::take(&mut state.queue)
        };
        for pending in waiting {
            refuse(pending, why);
        }
        self.failed.send_if_modified(|failed| {
            let is_first = failed.is_none();
            failed.get_or_insert_with(|| why.to_owned());
            is_first
        });
    }
}

fn refuse(pending: Pending, why: &str) {
    // Nobody may wait for it any more.
    drop(pending.ticket.send(Err(AppendError::Closed { why: why.to_owned() })));
}

/// The writer's own side.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) dir: PathBuf,
    pub(super) segment_bytes: u64,
    pub(super) on_commit: Option<OnCommit>,
    /// Where room comes from on a full disk; without it that is an error like any other.
    space: Option<Arc<Space>>,
    file: Option<File>,
    segment: Option<Arc<Segment>>,
    /// The end of what is written; on disk only after the sync.
    end: Anchor,
    buffer: Vec<u8>,
    since_point: u32,
}

impl Writer {
    /// Takes up the last segment where the recovery found its end.
    pub(super) fn new(
        shared: Arc<Shared>,
        (dir, segment_bytes): (PathBuf, u64),
        on_commit: Option<OnCommit>,
        space: Option<Arc<Space>>,
    ) -> io::Result<Self> {
        let end = shared.end();
        let segment =
            shared.segments.read().unwrap_or_else(PoisonError::into_inner).last().cloned();
        let file = segment.as_ref().map(|segment| {
            let mut file = OpenOptions::new().write(true).open(&segment.path)?;
            file.seek(SeekFrom::Start(end.offset))?;
            Ok::<File, io::Error>(file)
        });
        let file = file.transpose()?;
        Ok(Self {
            shared,
            dir,
            segment_bytes,
            on_commit,
            space,
            file,
            segment,
            end,
            buffer: Vec::new(),
            since_point: 0,
        })
    }

    /// Writes until the log is closed or the disk fails.
    pub(super) fn run(mut self) {
        let guard = EndsLog(Arc::clone(&self.shared));
        while let Some(batch) = self.shared.take() {
            let began = tokio::time::Instant::now();
            match self.write(&batch) {
                Ok(bytes) => {
                    let commit = Commit {
                        appends: batch.len() as u64,
                        events: batch.iter().map(|pending| u64::from(pending.count)).sum(),
                        bytes,
                        took: began.elapsed(),
                    };
                    crash::point(crash::Point::JournalSynced);
                    self.acknowledge(batch);
                    crash::point(crash::Point::JournalAcknowledged);
                    if let Some(on_commit) = &self.on_commit {
                        on_commit(commit);
                    }
                }
                Err(why) => {
                    self.shared.fail(&why);
                    for pending in batch {
                        refuse(pending, &why);
                    }
                    break;
                }
            }
        }
        drop(guard);
    }

    /// Brings a group to disk. After an error nothing is known about what is there.
    fn write(&mut self, batch: &VecDeque<Pending>) -> Result<u64, String> {
        let Some(head) = batch.front() else { return Ok(0) };
        let bytes: usize = batch.iter().map(|pending| pending.records.len() + FRAME_HEADER).sum();
        let full = self.end.offset + bytes as u64 > self.segment_bytes && self.end.frame.is_some();
        if self.file.is_none() || full {
            let rotated = self.with_room(SEGMENT_HEADER as u64, |writer| writer.rotate(head.at));
            rotated.map_err(|err| {
                format!("cannot begin a new segment in `{}`: {err}", self.dir.display())
            })?;
        }
        let Some(segment) = self.segment.clone() else {
            return Err("the journal has no segment to write to".to_owned());
        };
        self.buffer.clear();
        let synced = self.end.position.0;
        let start = self.end.offset;
        for pending in batch {
            let chain = chain(&self.end.chain, &pending.hashes);
            let header = FrameHeader {
                count: u64::from(pending.count),
                first: pending.first.0,
                synced,
                chain,
                run_after: None,
            };
            let offset = start + self.buffer.len() as u64;
            header.write(&pending.records, &mut self.buffer);
            self.since_point += 1;
            if self.since_point >= POINT_EVERY {
                self.since_point = 0;
                segment.remember(Edition::default(), header.first, offset);
            }
            self.end.position = Position(header.last());
            self.end.chain = chain;
            self.end.frame = Some(offset);
        }
        self.end.offset = start + self.buffer.len() as u64;
        let written = self.with_room(bytes as u64, |writer| writer.put(start));
        crash::point(crash::Point::JournalWritten);
        // Once all is written, no error is a lack of room: whether a sync failed is not to be tried out.
        written
            .and_then(|()| self.file.as_ref().map_or(Ok(()), |file| self.shared.sync(file)))
            .map_err(|err| format!("cannot write to `{}`: {err}", segment.path.display()))?;
        segment.set_end(self.end.offset);
        Ok(self.buffer.len() as u64)
    }

    /// Writes the buffer at `start`, or takes back what it wrote of it.
    fn put(&mut self, start: u64) -> io::Result<()> {
        let Some(file) = self.file.as_mut() else { return Ok(()) };
        let Err(err) = self.shared.write(file, &self.buffer) else { return Ok(()) };
        if is_no_room(&err) {
            // Nothing of it may stay behind the last good frame, whatever happens next.
            file.set_len(start)?;
            file.seek(SeekFrom::Start(start))?;
        }
        Err(err)
    }

    /// Does `what`, which needs about `bytes`; while there is no room for it, takes from the reserve or waits. Gives up
    /// when the log is closed.
    fn with_room(
        &mut self,
        bytes: u64,
        what: impl Fn(&mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut waits = false;
        let done = loop {
            let err = match what(self) {
                Err(err) if is_no_room(&err) => err,
                done => break done,
            };
            let Some(space) = &self.space else { break Err(err) };
            if space.make_room(space::Writer::Log, bytes) {
                continue;
            }
            if self.shared.state().closed.is_some() {
                break Err(err);
            }
            if !waits {
                waits = true;
                tracing::error!(folder = %self.dir.display(), %err, "the log waits for room on the disk; nothing is acknowledged");
                space.waits(space::Writer::Log, true);
            }
            space.wait();
        };
        if let Some(space) = self.space.as_ref().filter(|_| waits) {
            space.waits(space::Writer::Log, false);
            if done.is_ok() {
                tracing::warn!("the log has room again");
            }
        }
        done
    }

    /// Publishes what is on disk now, then tells the appenders.
    fn acknowledge(&mut self, batch: VecDeque<Pending>) {
        // A rare large append must not keep its memory for good.
        self.buffer.shrink_to(MAX_BATCH_BYTES);
        *self.shared.end.lock().unwrap_or_else(PoisonError::into_inner) = self.end.clone();
        self.shared.durable.send_replace(self.end.position);
        for pending in batch {
            let last = pending.first.plus(u64::from(pending.count) - 1);
            let appended = Appended { first: pending.first, last };
            // Nobody may wait for it any more.
            drop(pending.ticket.send(Ok(appended)));
        }
    }

    /// Begins a new segment. The former one is wholly on disk.
    fn rotate(&mut self, created: Instant) -> io::Result<()> {
        let first = self.end.position.plus(1);
        let previous = self.end.chain;
        let header = SegmentHeader { format: COMPLETE, first: first.0, previous, created };
        let (path, file) = segment::create(&self.dir, header)?;
        let segment = Arc::new(Segment::new(first, path, SEGMENT_HEADER as u64));
        self.shared
            .segments
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&segment));
        self.end.segment = first;
        self.end.frame = None;
        self.end.offset = SEGMENT_HEADER as u64;
        self.since_point = 0;
        self.file = Some(file);
        self.segment = Some(segment);
        Ok(())
    }
}

/// Fails the log when the writer ends in any way but by a close, so that nobody waits for ever.
struct EndsLog(Arc<Shared>);

impl Drop for EndsLog {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail("the journal's writer stopped on an error of its own");
        }
    }
}
