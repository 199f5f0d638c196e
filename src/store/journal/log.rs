//! The journal as the rest of the program sees it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use tokio::sync::watch;

use super::appending::Receipt;
use super::format::Hash;
use super::pieces::{JournalExtent, JournalFile};
use super::positions::{Indexed, Positions};
use super::recover::{Anchor, OpenError, Recovery, recover};
use super::scan::Scan;
use super::segment::Segment;
use super::verify::{self, VerifyReport, Watch};
use super::writer::{OnCommit, Shared, Writer};
use crate::domain::event::Envelope;
use crate::ids::{Position, StreamId};
use crate::store::heads::Heads;
use crate::store::space::Space;
use crate::store::sync_folder;
use crate::store::{
    Append, AppendError, AppendTicket, ColdHead, ColdHeads, EventLog, Head, NoColdStreams,
    ReadError,
};

/// How much a scan reads at once, in bytes.
const SCAN_BYTES: usize = 1 << 20;
/// How much a short read reads at once, in bytes.
const READ_BYTES: usize = 16 << 10;

/// How a journal is opened.
#[derive(Clone)]
pub struct JournalOptions {
    /// The folder with the segments; created when it is missing.
    pub dir: PathBuf,
    /// A new segment begins above this size.
    pub segment_bytes: u64,
    /// Who knows the executions that are no longer in memory.
    pub cold: Arc<dyn ColdHeads>,
    /// What the newest checkpoint says about the log.
    pub from: Option<LogState>,
    /// Told of every group of appends that went to disk.
    pub on_commit: Option<OnCommit>,
    /// Where room comes from on a full disk: appends then wait for it. Without it a full disk fails the log.
    pub space: Option<Arc<Space>>,
}

impl JournalOptions {
    /// The journal in `dir`, read from its beginning, with segments of 64 MiB.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes: 64 << 20,
            cold: Arc::new(NoColdStreams),
            from: None,
            on_commit: None,
            space: None,
        }
    }
}

/// What a checkpoint keeps of the log: with it a start reads only what came later.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LogState {
    /// The end of the log at that time.
    pub anchor: Anchor,
    /// Where the streams in memory stood.
    pub heads: Vec<(StreamId, Head)>,
    /// The newest event of the streams that were no longer in memory.
    pub forgotten: Position,
}

/// The event log in segment files. One for each data folder.
pub struct JournalLog {
    pub(super) shared: Arc<Shared>,
    dir: PathBuf,
    positions: RwLock<Option<Arc<dyn Positions>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Held as long as the log is open.
    _lock: File,
}

impl JournalLog {
    /// Opens the log, mends what a crash left half written, and starts the writer.
    ///
    /// # Errors
    /// [`OpenError::Locked`] when another process has it open, [`OpenError::Damaged`] when acknowledged events cannot
    /// be read, [`OpenError::Newer`] and [`OpenError::Io`].
    pub fn open(options: JournalOptions) -> Result<(Self, Recovery), OpenError> {
        let dir = options.dir;
        create_dir(&dir)?;
        let lock = lock(&dir)?;
        let known =
            options.from.map(|state| (state.anchor, Heads::restore(state.heads, state.forgotten)));
        let found = recover(&dir, known)?;
        let shared = Arc::new(Shared::new(found.segments, found.end, found.heads, options.cold));
        let target = (dir.clone(), options.segment_bytes);
        let writer = Writer::new(Arc::clone(&shared), target, options.on_commit, options.space)
            .map_err(|err| OpenError::io(&dir, &err))?;
        let writer = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run())
            .map_err(|err| OpenError::io(&dir, &err))?;
        let log = Self {
            shared,
            dir,
            positions: RwLock::new(None),
            writer: Mutex::new(Some(writer)),
            _lock: lock,
        };
        Ok((log, found.report))
    }

    /// From now on asks `cold` about streams that are not in memory.
    pub fn attach_cold(&self, cold: Arc<dyn ColdHeads>) {
        self.shared.state().cold = cold;
    }

    /// From now on asks `positions` where a stream's events stand, instead of reading through the log.
    pub fn attach_positions(&self, positions: Arc<dyn Positions>) {
        *self.positions.write().unwrap_or_else(PoisonError::into_inner) = Some(positions);
    }

    /// The chain's newest hash on disk and the position that it belongs to.
    pub fn head(&self) -> (Hash, Position) {
        let end = self.shared.end();
        (end.chain, end.position)
    }

    /// The size of all segments, in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.segments().iter().map(|segment| segment.end()).sum()
    }

    /// How many streams are held in memory.
    pub fn hot_streams(&self) -> usize {
        self.shared.state().heads.len()
    }

    /// The folder with the segments.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The first failure of the disk, as a value that can be waited on. Once there is one, the daemon must end.
    pub fn failed(&self) -> watch::Receiver<Option<String>> {
        self.shared.failed.subscribe()
    }

    /// What a checkpoint should keep of the log. Resolves when all that it speaks of is on disk.
    ///
    /// # Errors
    /// [`AppendError::Closed`] when the disk failed meanwhile.
    pub async fn state(&self) -> Result<LogState, AppendError> {
        let (state, newest) = {
            let state = self.shared.state();
            let now = LogState {
                anchor: self.shared.end(),
                heads: state.heads.all(),
                forgotten: state.heads.forgotten(),
            };
            (now, Position(state.next.0 - 1))
        };
        // Heads may be newer than the anchor: reading on from it only repeats them. They must not be newer than the disk.
        let mut durable = self.shared.durable.subscribe();
        let mut failed = self.shared.failed.subscribe();
        tokio::select! {
            biased;
            _ = durable.wait_for(|durable| *durable >= newest) => Ok(state),
            _ = failed.wait_for(Option::is_some) => Err(self.closed()),
        }
    }

    /// A reader over the stored events from `from` to what is on disk now.
    pub fn scan(&self, from: Position) -> Scan {
        let until = *self.shared.durable.borrow();
        Scan::new(self.segments(), from, until, SCAN_BYTES)
    }

    /// Checks every stored byte of the log in `dir`, which nobody may have open.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub fn verify(dir: &Path) -> Result<VerifyReport, OpenError> {
        Self::verify_with(dir, None, &mut ())
    }

    /// The same up to `until` if it is given, shown to `watch` on the way. In a log that is open, what is on disk at
    /// `until` may be checked while others write.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub fn verify_with(
        dir: &Path,
        until: Option<Position>,
        watch: &mut dyn Watch,
    ) -> Result<VerifyReport, OpenError> {
        verify::verify(dir, until, watch)
    }

    /// Checks every stored byte up to what is on disk now.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub fn verify_now(&self) -> Result<VerifyReport, OpenError> {
        let until = *self.shared.durable.borrow();
        Self::verify_with(&self.dir, Some(until), &mut ())
    }

    /// What is on disk now: it stays as it is, whatever is written meanwhile, until something is pruned.
    pub fn extent(&self) -> JournalExtent {
        loop {
            let begun = self.shared.end().segment;
            let described = |segment: &Arc<Segment>| JournalFile {
                first: segment.first,
                path: segment.path.clone(),
                bytes: segment.end(),
            };
            let mut files: Vec<_> = self.segments().iter().map(described).collect();
            let end = self.shared.end();
            if end.segment != begun {
                continue;
            }
            files.retain(|file| file.first <= end.segment);
            if let Some(last) = files.last_mut().filter(|file| file.first == end.segment) {
                last.bytes = end.offset;
            }
            return JournalExtent { position: end.position, head: end.chain, files };
        }
    }

    /// Writes what is queued, then accepts nothing more. Blocks until the writer has ended.
    pub fn close(&self) {
        self.shared.close("it was closed");
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // A panic of the writer has already failed the log.
            drop(writer.join());
        }
        *self.positions.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.shared.state().cold = Arc::new(NoColdStreams);
    }

    /// Lets the next sync fail, after a write that succeeds.
    #[cfg(test)]
    pub(in crate::store) fn fail_next_sync(&self) {
        self.shared.fails_next_sync.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Lets so many writes find the disk full.
    #[cfg(test)]
    pub(in crate::store) fn be_full_for(&self, writes: u32) {
        self.shared.full_for.store(writes, std::sync::atomic::Ordering::Relaxed);
    }

    fn closed(&self) -> AppendError {
        let why = self.shared.state().closed.clone();
        AppendError::Closed { why: why.unwrap_or_else(|| "its writer has ended".to_owned()) }
    }

    pub(super) fn segments(&self) -> Vec<Arc<Segment>> {
        self.shared.segments.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn short_scan(&self, from: Position, limit: usize) -> Scan {
        let until = *self.shared.durable.borrow();
        let capacity = limit.saturating_mul(512).clamp(READ_BYTES, SCAN_BYTES);
        Scan::new(self.segments(), from, until, capacity)
    }

    /// Asks the index for a stream's positions.
    fn indexed(&self, stream: &StreamId, after_version: u64, limit: usize) -> Option<Indexed> {
        let positions = self.positions.read().unwrap_or_else(PoisonError::into_inner).clone();
        positions.and_then(|positions| positions.positions(stream, after_version, limit))
    }

    /// Where reading through the log for a stream may begin and end; none when there is nothing to find.
    fn bounds(&self, stream: &StreamId, after_version: u64) -> Option<(Position, Position)> {
        let durable = *self.shared.durable.borrow();
        let state = self.shared.state();
        let (version, first, last) = match state.heads.get(stream) {
            Some(head) => (head.version, head.first, head.last.min(durable)),
            None => match state.heads.cold(stream, &*state.cold) {
                ColdHead::Known(version) => (version, Position(1), durable),
                ColdHead::Rebuilding => (u64::MAX, Position(1), durable),
            },
        };
        (version > after_version).then_some((first, last))
    }
}

impl EventLog for JournalLog {
    fn append(&self, append: Append) -> AppendTicket {
        match self.enqueue(&append) {
            Ok(Receipt::Pending(receipt)) => {
                let shared = Arc::clone(&self.shared);
                Box::pin(async move {
                    receipt.await.unwrap_or_else(|_| {
                        let why = shared.state().closed.clone();
                        let why = why.unwrap_or_else(|| "its writer has ended".to_owned());
                        Err(AppendError::Closed { why })
                    })
                })
            }
            Ok(Receipt::Nothing(appended)) => Box::pin(std::future::ready(Ok(appended))),
            Err(err) => Box::pin(std::future::ready(Err(err))),
        }
    }

    fn read(&self, after: Position, limit: usize) -> Result<Vec<Envelope>, ReadError> {
        let mut scan = self.short_scan(after.plus(1), limit);
        let mut found = Vec::new();
        while found.len() < limit {
            let Some(envelope) = scan.next_envelope()? else { break };
            found.push(envelope);
        }
        Ok(found)
    }

    fn read_stream(
        &self,
        stream: &StreamId,
        after_version: u64,
        limit: usize,
    ) -> Result<Vec<Envelope>, ReadError> {
        let mut found: Vec<Envelope> = Vec::new();
        let Some((mut from, until)) = self.bounds(stream, after_version) else {
            return Ok(found);
        };
        // The index counts versions back from the newest one; where some were pruned, it names older events too.
        let most = if matches!(stream, StreamId::Execution(_)) { limit } else { usize::MAX };
        if let Some(indexed) = self.indexed(stream, after_version, most) {
            let first = indexed.positions.first().copied().unwrap_or(from);
            let mut scan = self.short_scan(first, limit);
            for position in indexed.positions {
                let event = scan.event_at(position)?;
                found.extend(event.filter(|it| it.stream == *stream && it.version > after_version));
                if found.len() >= limit {
                    return Ok(found);
                }
            }
            // The index may have gone on while it was asked: what it named is not read again.
            let last = found.last().map_or(Position(0), |event| event.position);
            from = from.max(indexed.until.max(last).plus(1));
        }
        let mut scan = self.short_scan(from, limit);
        while found.len() < limit {
            let Some(raw) = scan.next_raw()? else { break };
            if raw.position > until {
                break;
            }
            let position = raw.position;
            let is_wanted = raw
                .header()
                .map(|header| header.stream == *stream && header.version > after_version);
            let envelope = match is_wanted {
                Ok(false) => continue,
                Ok(true) => raw.decode(),
                Err(err) => Err(err),
            };
            found.push(envelope.map_err(|err| ReadError::Damaged {
                place: format!("event {position}"),
                what: err.to_string(),
            })?);
        }
        Ok(found)
    }

    fn durable(&self) -> watch::Receiver<Position> {
        self.shared.durable.subscribe()
    }

    fn can_check(&self, stream: &StreamId) -> bool {
        let state = self.shared.state();
        state.heads.can_check(stream, &*state.cold)
    }

    fn forget(&self, indexed: Position) {
        self.shared.state().heads.forget(indexed);
    }
}

impl Drop for JournalLog {
    fn drop(&mut self) {
        self.close();
    }
}

/// Creates the folder if it is missing; its name is on disk when this returns.
fn create_dir(dir: &Path) -> Result<(), OpenError> {
    // Synced at every start: a crash may have come between the creation and its sync.
    let above = dir.parent().filter(|above| !above.as_os_str().is_empty());
    let made = fs::create_dir_all(dir).and_then(|()| above.map_or(Ok(()), sync_folder));
    made.map_err(|err| OpenError::io(dir, &err))
}

/// Takes the folder for this process. The system lets go of it when the process ends, however it ends.
fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let io = |err: std::io::Error| OpenError::io(&path, &err);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).map_err(io)?;
            write!(file, "{}", std::process::id()).map_err(io)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let read = file.read_to_string(&mut holder);
            let holder = match read {
                Ok(1..) => format!(" (process {})", holder.trim()),
                _ => String::new(),
            };
            Err(OpenError::Locked { path: path.display().to_string(), holder })
        }
        Err(TryLockError::Error(err)) => Err(io(err)),
    }
}
