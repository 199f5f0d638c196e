//! The store that the rest of Daybook holds, and what its threads share.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

use tokio::sync::{Notify, watch};

use crate::ids::ExecutionId;
use crate::store::space::Space;

use super::chunk::ChunkBuilder;
use super::error::LinesError;
use super::index::Index;
use super::log_writer::LogWriter;
use super::recover::{Recovered, recover};
use super::writer::{Order, spawn};

/// How the store divides its files and how much may wait.
#[derive(Clone, Copy, Debug)]
pub struct LinesOptions {
    /// A segment is sealed when it is longer than this.
    pub segment_bytes: u64,
    /// A segment is sealed when it holds so many chunks: they stand in memory until then, some 200 bytes each.
    pub segment_chunks: usize,
    /// Bytes of lines, all executions together, that may wait for the disk before writers have to wait.
    pub queue_bytes: usize,
}

impl Default for LinesOptions {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, segment_chunks: 16_384, queue_bytes: 8 << 20 }
    }
}

/// Stored bytes that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// File and offset, or execution.
    pub place: String,
    /// What is wrong.
    pub what: String,
}

/// What opening the store found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinesRecovery {
    /// Segments on disk.
    pub segments: usize,
    /// Chunks that were walked because their segment had no index yet.
    pub walked_chunks: usize,
    /// Bytes of a commit that a crash tore, cut off: nobody had seen them.
    pub cut_bytes: u64,
    /// Damaged headers, and damage inside the walked segments. [`LineStore::verify`] looks everywhere.
    pub damage: Vec<Damage>,
}

/// How far a followed log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FollowState {
    /// The newest line on disk; 0 before the first.
    pub last_line: u64,
    /// Nobody writes it any more.
    pub finished: bool,
}

/// A log as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSummary {
    /// Its lines.
    pub lines: u64,
    /// Bytes of their text, without line ends.
    pub bytes: u64,
    /// BLAKE3 over the hashes of its chunks, in order.
    pub hash: [u8; 32],
}

/// The log lines of all executions. Cloning is cheap; when the last clone and writer are gone, what was handed over
/// is written and the files are closed.
#[derive(Clone, Debug)]
pub struct LineStore {
    pub(super) store: Arc<Store>,
}

impl LineStore {
    /// Opens the store in the folder `dir`, which is made if missing, and mends what a crash left.
    ///
    /// Takes time by the number of segments and the length of the newest, not by the length of history.
    ///
    /// # Errors
    /// [`LinesError::Io`], [`LinesError::Version`]. Damage is no error: it is in the answer.
    pub fn open(dir: &Path, options: LinesOptions) -> Result<(Self, LinesRecovery), LinesError> {
        Self::start(dir, options, None, recover(dir)?)
    }

    /// The same in a store that waits for room on a full disk, where another one fails.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with_room(
        dir: &Path,
        options: LinesOptions,
        space: Arc<Space>,
    ) -> Result<(Self, LinesRecovery), LinesError> {
        Self::start(dir, options, Some(space), recover(dir)?)
    }

    fn start(
        dir: &Path,
        options: LinesOptions,
        space: Option<Arc<Space>>,
        recovered: Recovered,
    ) -> Result<(Self, LinesRecovery), LinesError> {
        let Recovered { sealed, active, file, recovery } = recovered;
        let shared = Arc::new(Shared {
            options,
            space,
            closing: AtomicBool::new(false),
            index: Index::new(sealed, active),
            live: Mutex::default(),
            pending: AtomicUsize::new(0),
            drained: Notify::new(),
            failure: watch::Sender::new(None),
            upkeep: Mutex::default(),
            spare: Mutex::default(),
        });
        let (orders, inbox) = mpsc::channel();
        let thread = spawn(dir, Arc::clone(&shared), file, inbox)?;
        let store = Store { shared, orders: Some(orders), thread: Some(thread) };
        Ok((Self { store: Arc::new(store) }, recovery))
    }

    /// Opens a store whose syncs fail while the switch is on.
    #[cfg(test)]
    pub(super) fn open_with_fault(
        dir: &Path,
        space: Option<Arc<Space>>,
    ) -> (Self, Arc<super::segment::Fault>) {
        let recovered = recover(dir).expect("opens");
        let fault = Arc::clone(&recovered.file.fault);
        (Self::start(dir, LinesOptions::default(), space, recovered).expect("starts").0, fault)
    }

    /// Begins the log of an execution that has none. Continues it when this process already began it.
    pub fn writer(&self, execution: ExecutionId) -> LogWriter {
        let mut all = self.store.shared.live();
        let live = all.entry(execution).or_insert_with(|| Live::new(execution, Tail::default()));
        Self::write(&self.store, live)
    }

    /// Continues the log of an execution after its last line on disk: the last writer was interrupted.
    ///
    /// # Errors
    /// [`LinesError::Busy`] while another writer of it exists. [`LinesError::Io`] and [`LinesError::Damaged`] when
    /// the log so far cannot be read.
    pub fn reopen_writer(&self, execution: ExecutionId) -> Result<LogWriter, LinesError> {
        if let Some(live) = self.store.shared.live().get(&execution) {
            return Self::write_on(&self.store, live);
        }
        let tail = self.tail(execution)?.unwrap_or_default();
        let mut all = self.store.shared.live();
        let live = all.entry(execution).or_insert_with(|| Live::new(execution, tail));
        Self::write_on(&self.store, live)
    }

    fn write_on(store: &Arc<Store>, live: &Arc<Live>) -> Result<LogWriter, LinesError> {
        if live.writers.load(Ordering::Acquire) > 0 {
            return Err(LinesError::Busy { execution: live.execution });
        }
        Ok(Self::write(store, live))
    }

    fn write(store: &Arc<Store>, live: &Arc<Live>) -> LogWriter {
        live.writers.fetch_add(1, Ordering::AcqRel);
        live.state.send_if_modified(|state| std::mem::take(&mut state.finished));
        LogWriter::new(Arc::clone(store), Arc::clone(live))
    }

    /// How far the log of `execution` is, as a value that can be waited on. Only what is on disk counts.
    ///
    /// A log with lines that nobody writes is finished; one without lines is still to come.
    pub fn follow(&self, execution: ExecutionId) -> watch::Receiver<FollowState> {
        if let Some(live) = self.store.shared.live().get(&execution) {
            return live.state.subscribe();
        }
        let ended = match self.store.shared.index.last_chunk(execution) {
            Ok(last) => {
                last.map(|last| FollowState { last_line: last.head.last_line(), finished: true })
            }
            // Whoever follows goes on to read, and gets the error there.
            Err(_) => Some(FollowState { last_line: 0, finished: true }),
        };
        if let Some(ended) = ended {
            return watch::channel(ended).1;
        }
        let mut all = self.store.shared.live();
        all.retain(|_, live| live.is_needed());
        let live = all.entry(execution).or_insert_with(|| Live::new(execution, Tail::default()));
        live.state.subscribe()
    }

    /// The log of `execution` as a whole, from its chunks' descriptions; none when it has no lines.
    ///
    /// # Errors
    /// [`LinesError::Io`]; [`LinesError::Damaged`] when chunks are missing.
    pub fn summary(&self, execution: ExecutionId) -> Result<Option<LogSummary>, LinesError> {
        Ok(self.tail(execution)?.map(|tail| tail.summary()))
    }

    /// Bytes of all segments.
    pub fn size_bytes(&self) -> u64 {
        self.store.shared.index.size_bytes()
    }

    /// The first failed write or sync, once there was one: the daemon must end then.
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.store.shared.failure.subscribe()
    }

    fn tail(&self, execution: ExecutionId) -> Result<Option<Tail>, LinesError> {
        let mut tail = Tail::default();
        super::read::each_chunk(&self.store.shared.index, execution, 1, &mut |_, chunk| {
            let head = &chunk.head;
            if head.chunk != tail.chunks || head.first_line != tail.lines + 1 {
                return Err(LinesError::Damaged {
                    place: format!("execution {execution}"),
                    what: format!(
                        "chunk {} with line {} follows line {}: chunks between them are missing",
                        head.chunk, head.first_line, tail.lines
                    ),
                });
            }
            tail.add(&head.hash, head.lines, head.text_len);
            Ok(true)
        })?;
        Ok((tail.chunks > 0).then_some(tail))
    }
}

/// The store without its handle: ends its thread when dropped.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) shared: Arc<Shared>,
    orders: Option<mpsc::Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Store {
    /// Hands `order` to the writing thread.
    pub(super) fn send(&self, order: Order) {
        let sent = self.orders.as_ref().map(|orders| orders.send(order));
        if !matches!(sent, Some(Ok(()))) {
            self.shared.fail("the writing thread has ended".to_owned());
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        self.orders = None;
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            self.shared.fail("the writing thread panicked".to_owned());
        }
    }
}

/// What the writing thread, the writers and the readers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: LinesOptions,
    /// Where room comes from on a full disk.
    pub(super) space: Option<Arc<Space>>,
    /// The last handle is gone: nobody waits for room any more.
    pub(super) closing: AtomicBool,
    pub(super) index: Index,
    live: Mutex<HashMap<ExecutionId, Arc<Live>>>,
    /// Bytes handed over and not yet on disk.
    pub(super) pending: AtomicUsize,
    /// Told after each commit.
    pub(super) drained: Notify,
    failure: watch::Sender<Option<String>>,
    /// Held by whoever replaces segments or reads all of them.
    pub(super) upkeep: Mutex<()>,
    #[expect(clippy::vec_box, reason = "they go in and out of orders as boxes")]
    spare: Mutex<Vec<Box<ChunkBuilder>>>,
}

const SPARE_BUILDERS: usize = 16;

impl Shared {
    pub(super) fn live(&self) -> MutexGuard<'_, HashMap<ExecutionId, Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the store for good. The first reason stays.
    pub(super) fn fail(&self, why: String) {
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            failure.get_or_insert(why);
            first
        });
        self.drained.notify_waiters();
    }

    /// Whether the writing thread waits for room.
    pub(super) fn waits_for_room(&self) -> bool {
        self.space.as_ref().is_some_and(|space| space.lines_wait())
    }

    /// The error that everybody gets once the store is closed.
    pub(super) fn closed(&self) -> Option<LinesError> {
        self.failure.borrow().as_ref().map(|why| LinesError::Closed { why: why.clone() })
    }

    /// An empty builder, used before if there is one.
    pub(super) fn spare_builder(&self) -> Box<ChunkBuilder> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps `builder` for later.
    pub(super) fn recycle(&self, mut builder: Box<ChunkBuilder>) {
        builder.clear();
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_BUILDERS {
            spare.push(builder);
        }
    }

    /// Forgets `live` unless somebody writes it.
    pub(super) fn release(&self, live: &Arc<Live>) {
        let mut all = self.live();
        if live.writers.load(Ordering::Acquire) == 0
            && all.get(&live.execution).is_some_and(|held| Arc::ptr_eq(held, live))
        {
            all.remove(&live.execution);
        }
    }
}

/// A log that is being written or waited for.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) execution: ExecutionId,
    pub(super) state: watch::Sender<FollowState>,
    pub(super) writers: AtomicUsize,
    /// Its bytes handed over and not yet on disk.
    pub(super) pending: AtomicUsize,
    /// Lines and text bytes handed over.
    handed: Mutex<(u64, u64)>,
    /// The chunks written; only the writing thread changes it.
    pub(super) tail: Mutex<Tail>,
}

impl Live {
    fn new(execution: ExecutionId, tail: Tail) -> Arc<Self> {
        let state = FollowState { last_line: tail.lines, finished: false };
        Arc::new(Self {
            execution,
            state: watch::Sender::new(state),
            writers: AtomicUsize::new(0),
            pending: AtomicUsize::new(0),
            handed: Mutex::new((tail.lines, tail.bytes)),
            tail: Mutex::new(tail),
        })
    }

    /// Lines and text bytes handed over so far.
    pub(super) fn handed(&self) -> (u64, u64) {
        *self.handed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that all up to line `lines` is handed over and gives the number of the first such line.
    pub(super) fn hand_over(&self, lines: u64, bytes: u64) -> u64 {
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        let first = handed.0 + 1;
        *handed = (lines, bytes);
        first
    }

    fn is_needed(&self) -> bool {
        self.writers.load(Ordering::Acquire) > 0
            || self.pending.load(Ordering::Acquire) > 0
            || self.state.receiver_count() > 0
    }
}

/// The chunks of a log so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail {
    hasher: blake3::Hasher,
    pub(super) chunks: u32,
    pub(super) lines: u64,
    bytes: u64,
}

impl Tail {
    pub(super) fn add(&mut self, hash: &[u8; 32], lines: u32, text_len: u32) {
        self.hasher.update(hash);
        self.chunks += 1;
        self.lines += u64::from(lines);
        self.bytes += u64::from(text_len);
    }

    pub(super) fn summary(&self) -> LogSummary {
        LogSummary {
            lines: self.lines,
            bytes: self.bytes,
            hash: *self.hasher.finalize().as_bytes(),
        }
    }
}
