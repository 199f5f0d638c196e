//! The follower: reads the log in order, folds it into the rows, and says how far it has come.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::disk::{self, DiskRows, Found};
use super::events::{self, EventFilter, Order};
use super::fold::Checkpoint;
use super::ledger::{self, Expand, SlotRange};
use super::ok_slots;
use super::query::{self, ExecutionFilter, QueryError, ScheduleFacts};
use super::resolve::{self, ResolveError};
use super::view::{self, Page};
use super::worker::{Stride, Worker, share};
use crate::domain::space::Room;
use crate::ids::{ExecutionId, InterfaceId, Position, ScheduleRef, StreamId};
use crate::instant::Instant;
use crate::store::EventLog;
use crate::store::space::Space;

/// The least time from one stride to the next: readers who need the newest event wait up to so long.
const COMPANY: Duration = Duration::from_millis(10);

/// How long a reader waits for its own write (contract, rule 2).
const CATCH_UP: Duration = Duration::from_secs(2);
/// How long to wait after a failure before the next try.
const PAUSE: Duration = Duration::from_secs(5);
/// Times that a question is asked before its error counts: rows may change between two reads of one answer.
const ASK_TIMES: usize = 3;

/// The index cannot answer yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the index is being rebuilt: {percent} %")]
pub struct Rebuilding {
    /// How much of the log is folded.
    pub percent: u8,
}

/// Why the index could not even be begun.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the folder of the index `{path}`")]
pub struct OpenError {
    /// The folder.
    pub path: PathBuf,
    /// The system's words.
    #[source]
    pub err: std::io::Error,
}

/// How the index stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectionStatus {
    /// The last event that answers reflect.
    pub position: Position,
    /// Events on disk that they do not reflect yet: `daybook_projection_lag_events`.
    pub lag_events: u64,
    /// How much of the log is folded, in percent; none when lists answer.
    pub rebuilding: Option<u8>,
    /// Why it is rebuilt.
    pub why: Option<String>,
    /// Events of executions that nobody opened; 0 in a sound log.
    pub orphans: u64,
    /// Bytes on disk.
    pub size_bytes: u64,
}

/// What can be asked at the moment.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    Ready { rows: Arc<DiskRows>, checkpoint: Checkpoint },
    Rebuilding { percent: u8, why: String },
}

/// What all clones have in common.
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) log: Arc<dyn EventLog>,
    pub(super) phase: RwLock<Phase>,
    pub(super) applied: watch::Sender<Position>,
    wake: Notify,
    /// Nothing is folded anew while the disk is full.
    space: OnceLock<Arc<Space>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn phase(&self) -> Phase {
        self.phase.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        let applied = match &phase {
            Phase::Ready { checkpoint, .. } => checkpoint.position,
            Phase::Rebuilding { .. } => Position(0),
        };
        *self.phase.write().unwrap_or_else(PoisonError::into_inner) = phase;
        self.applied.send_replace(applied);
    }

    /// Throws `rows` away, unless somebody did so before.
    pub(super) fn discard(&self, rows: &Arc<DiskRows>, why: &str) {
        let mut phase = self.phase.write().unwrap_or_else(PoisonError::into_inner);
        if !matches!(&*phase, Phase::Ready { rows: current, .. } if Arc::ptr_eq(current, rows)) {
            return;
        }
        tracing::warn!(why, "the index is thrown away and rebuilt");
        rows.discard();
        let rebuilding = Phase::Rebuilding { percent: 0, why: why.to_owned() };
        let old = std::mem::replace(&mut *phase, rebuilding);
        drop(phase);
        // Whoever lets go last closes sled and deletes its folder; nobody should wait for that on the lock.
        drop(old);
        self.applied.send_replace(Position(0));
        self.wake.notify_one();
    }

    fn percent(&self) -> u8 {
        match self.phase() {
            Phase::Rebuilding { percent, .. } => percent,
            Phase::Ready { checkpoint, .. } => {
                share(checkpoint.position, *self.log.durable().borrow())
            }
        }
    }
}

/// The index and the projections. Clones share one index.
#[derive(Clone, Debug)]
pub struct Projections {
    shared: Arc<Shared>,
}

impl Projections {
    /// Opens the index in `dir` and checks that it agrees with `log`.
    ///
    /// One that does not open or does not agree is deleted; [`Projections::follow`] then folds a new one, and questions
    /// are answered with [`Rebuilding`] until it is done. Blocks for as long as sled takes to open.
    ///
    /// # Errors
    /// [`OpenError`] when the folder cannot be made or listed.
    pub fn open(dir: &Path, log: Arc<dyn EventLog>) -> Result<Self, OpenError> {
        let found =
            disk::open_newest(dir, &*log).map_err(|err| OpenError { path: dir.to_owned(), err })?;
        let phase = match found {
            Found::Agreed(rows, checkpoint) => Phase::Ready { rows: Arc::new(rows), checkpoint },
            Found::Nothing { why } => match disk::begin_empty(dir, &*log) {
                Some((rows, checkpoint)) => Phase::Ready { rows: Arc::new(rows), checkpoint },
                None => {
                    tracing::info!(why, "the index is folded anew");
                    Phase::Rebuilding { percent: 0, why }
                }
            },
        };
        let applied = match &phase {
            Phase::Ready { checkpoint, .. } => checkpoint.position,
            Phase::Rebuilding { .. } => Position(0),
        };
        let shared = Shared {
            dir: dir.to_owned(),
            log,
            phase: RwLock::new(phase),
            applied: watch::Sender::new(applied),
            wake: Notify::new(),
            space: OnceLock::new(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// From now on folds nothing anew while `space` is full: the index would take what the log needs.
    pub fn mind(&self, space: Arc<Space>) {
        drop(self.shared.space.set(space));
    }

    fn is_held_back(&self) -> bool {
        let full = self.shared.space.get().is_some_and(|space| space.seen().room() == Room::Full);
        full && matches!(self.shared.phase(), Phase::Rebuilding { .. })
    }

    /// The log that is followed.
    pub(super) fn log(&self) -> &dyn EventLog {
        &*self.shared.log
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(super) fn downgrade(&self) -> Weak<Shared> {
        Arc::downgrade(&self.shared)
    }

    pub(super) fn upgrade(shared: &Weak<Shared>) -> Option<Self> {
        shared.upgrade().map(|shared| Self { shared })
    }

    /// Follows the log until `stop`. One at a time: whoever drops this future leaves its thread at work for a moment, and
    /// a second follower would then fold the same events again.
    pub async fn follow(&self, stop: CancellationToken) {
        let mut durable = self.shared.log.durable();
        let mut worker: Option<Worker> = None;
        loop {
            durable.borrow_and_update();
            if self.is_held_back() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(PAUSE) => continue,
                }
            }
            let begun = tokio::time::Instant::now();
            let pause = match self.stride(worker.take(), &stop).await {
                Stride::On(next) => {
                    worker = Some(next);
                    Duration::ZERO
                }
                Stride::Done(next) => {
                    worker = Some(next);
                    Duration::MAX
                }
                Stride::Failed => PAUSE,
            };
            if pause.is_zero() && !stop.is_cancelled() {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.shared.wake.notified() => (),
                () = tokio::time::sleep(pause), if pause != Duration::MAX => (),
                changed = durable.changed(), if pause == Duration::MAX => {
                    if changed.is_err() {
                        return;
                    }
                    // Events come in company: one batch of rows for all of them costs a fraction of one for each.
                    tokio::time::sleep_until(begun + COMPANY).await;
                }
            }
        }
    }

    /// Works for a while on a thread that may block.
    async fn stride(&self, worker: Option<Worker>, stop: &CancellationToken) -> Stride {
        let (shared, stop) = (Arc::clone(&self.shared), stop.clone());
        match tokio::task::spawn_blocking(move || Worker::stride(&shared, worker, &stop)).await {
            Ok(stride) => stride,
            Err(err) => {
                if err.is_panic() {
                    self.discard_after_panic();
                }
                Stride::Failed
            }
        }
    }

    /// Throws the rows away: sled panics at some damage where it should answer with an error.
    pub(super) fn discard_after_panic(&self) {
        if let Phase::Ready { rows, .. } = self.shared.phase() {
            self.shared.discard(&rows, "sled panicked");
        }
    }

    /// The last event that answers reflect, as a value that can be waited on.
    pub fn applied(&self) -> watch::Receiver<Position> {
        self.shared.applied.subscribe()
    }

    /// Waits until answers reflect the event at `position`, up to 2 s.
    ///
    /// # Errors
    /// [`Rebuilding`] when they do not by then.
    pub async fn caught_up(&self, position: Position) -> Result<(), Rebuilding> {
        let mut applied = self.applied();
        let reached = applied.wait_for(|applied| *applied >= position);
        match tokio::time::timeout(CATCH_UP, reached).await {
            Ok(Ok(_reached)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Rebuilding { percent: self.shared.percent() }),
        }
    }

    /// How much of the log is folded, in percent; none when lists answer. Costs nothing.
    pub fn rebuilding(&self) -> Option<u8> {
        match self.shared.phase() {
            Phase::Ready { .. } => None,
            Phase::Rebuilding { percent, .. } => Some(percent),
        }
    }

    /// Tells how the index stands. Asks the file system for its size.
    pub fn status(&self) -> ProjectionStatus {
        let durable = *self.shared.log.durable().borrow();
        let lag = |position: Position| durable.0.saturating_sub(position.0);
        match self.shared.phase() {
            Phase::Ready { rows, checkpoint } => ProjectionStatus {
                position: checkpoint.position,
                lag_events: lag(checkpoint.position),
                rebuilding: None,
                why: None,
                orphans: checkpoint.orphans,
                size_bytes: rows.size_bytes(),
            },
            Phase::Rebuilding { percent, why } => ProjectionStatus {
                position: Position(0),
                lag_events: lag(Position(0)),
                rebuilding: Some(percent),
                why: Some(why),
                orphans: 0,
                size_bytes: 0,
            },
        }
    }

    /// Asks the rows. An index that cannot be read is thrown away, and folded anew by the follower.
    pub(super) fn ask<T>(
        &self,
        question: impl Fn(&DiskRows) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        let rows = match self.shared.phase() {
            Phase::Ready { rows, .. } => rows,
            Phase::Rebuilding { percent, .. } => return Err(Rebuilding { percent }.into()),
        };
        let mut trouble = String::new();
        for _ in 0..ASK_TIMES {
            match question(&rows) {
                Err(QueryError::Index { why }) => trouble = why,
                answer => return answer,
            }
        }
        self.shared.discard(&rows, &trouble);
        Err(Rebuilding { percent: 0 }.into())
    }

    /// One execution.
    ///
    /// # Errors
    /// [`QueryError::Rebuilding`].
    pub fn execution(&self, id: ExecutionId) -> Result<Option<view::Execution>, QueryError> {
        self.ask(|rows| query::execution(rows, id))
    }

    /// The execution that a person means: a full id, the beginning of one, `latest` or `latest-ko`.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub fn resolve(&self, text: &str) -> Result<ExecutionId, ResolveError> {
        self.ask(|rows| match resolve::resolve(rows, text) {
            Err(ResolveError::Index { why }) => Err(QueryError::Index { why }),
            answer => Ok(answer),
        })?
    }

    /// Executions that `filter` lets through, newest first by the position of their opening, at most `limit` (up to
    /// 1,000) of them after the page that ended with `cursor`.
    ///
    /// # Errors
    /// [`QueryError::Rebuilding`], [`QueryError::Cursor`].
    pub fn executions(
        &self,
        filter: &ExecutionFilter,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<view::Execution>, QueryError> {
        self.ask(|rows| query::executions(rows, filter, limit, cursor))
    }

    /// The executions of one slot: its own and all re-runs of it, oldest first.
    ///
    /// # Errors
    /// [`QueryError::Rebuilding`].
    pub fn executions_of_slot(
        &self,
        schedule: &ScheduleRef,
        slot: Instant,
    ) -> Result<Vec<view::Execution>, QueryError> {
        self.ask(|rows| query::executions_of_slot(rows, schedule, slot))
    }

    /// The newest slot before `before` whose execution or a re-run of it ended ok.
    ///
    /// # Errors
    /// [`QueryError::Rebuilding`].
    pub fn last_ok_slot(
        &self,
        schedule: &ScheduleRef,
        before: Instant,
    ) -> Result<Option<Instant>, QueryError> {
        self.ask(|rows| Ok(ok_slots::last_before(rows, schedule, before)?.map(|ok| ok.slot)))
    }

    /// What a schedule's executions add up to: the newest one, the last success, red or not.
    ///
    /// # Errors
    /// [`QueryError::Rebuilding`].
    pub fn schedule_facts(&self, schedule: &ScheduleRef) -> Result<ScheduleFacts, QueryError> {
        self.ask(|rows| query::schedule_facts(rows, schedule))
    }

    /// The schedules of an interface (or of all) whose newest finished execution is an open KO, by name.
    ///
    /// # Errors
    /// [`QueryError::Rebuilding`].
    pub fn red_schedules(
        &self,
        interface: Option<&InterfaceId>,
    ) -> Result<Vec<ScheduleRef>, QueryError> {
        self.ask(|rows| query::red_schedules(rows, interface))
    }

    /// When an execution of the interface last ended ok.
    ///
    /// # Errors
    /// [`QueryError::Rebuilding`].
    pub fn interface_last_ok_at(
        &self,
        interface: &InterfaceId,
    ) -> Result<Option<Instant>, QueryError> {
        self.ask(|rows| query::interface_last_ok_at(rows, interface))
    }

    /// A schedule's ledger, newest decision first, one slot for each instant; `page` is limit (up to 1,000) and cursor.
    ///
    /// Runs of more than 1,000 slots name only their ends; `expand` is asked for what lies between.
    ///
    /// # Errors
    /// [`QueryError::Rebuilding`], [`QueryError::Cursor`].
    pub fn slots(
        &self,
        schedule: &ScheduleRef,
        range: SlotRange,
        page: (usize, Option<&str>),
        expand: Expand<'_>,
    ) -> Result<Page<view::Slot>, QueryError> {
        let limit = page.0.clamp(1, query::LIMIT_MAX);
        self.ask(|rows| ledger::list(rows, schedule, range, (limit, page.1), expand))
    }

    /// A schedule's slots with the positions of the events that decided them, newest decision first, at most `limit`.
    ///
    /// # Errors
    /// [`QueryError::Rebuilding`].
    pub fn decided(
        &self,
        schedule: &ScheduleRef,
        range: SlotRange,
        limit: usize,
        expand: Expand<'_>,
    ) -> Result<Vec<(Position, view::Slot)>, QueryError> {
        self.ask(|rows| ledger::decided(rows, schedule, range, limit, expand))
    }

    /// Events that `filter` lets through; `page` is limit (up to 1,000) and cursor.
    ///
    /// # Errors
    /// [`QueryError::Rebuilding`], [`QueryError::Cursor`], [`QueryError::Log`].
    pub fn events(
        &self,
        filter: &EventFilter,
        order: Order,
        page: (usize, Option<&str>),
    ) -> Result<Page<view::Event>, QueryError> {
        self.ask(|rows| events::list(rows, &*self.shared.log, filter, order, page))
    }

    /// One event; none beyond the end of the log, and none that was pruned.
    ///
    /// # Errors
    /// [`QueryError::Log`]. It does not need the index.
    pub fn event(&self, position: Position) -> Result<Option<view::Event>, QueryError> {
        let Some(before) = position.0.checked_sub(1) else {
            return Ok(None);
        };
        let found = self.shared.log.read(Position(before), 1)?;
        let event = found.first().filter(|event| event.position == position);
        Ok(event.map(events::show).transpose()?)
    }

    /// The positions of up to `limit` events of `stream` with versions above `after_version`, in order: those that the
    /// log had when they were folded, up to [`Projections::applied`].
    ///
    /// # Errors
    /// [`QueryError::Rebuilding`].
    pub fn positions(
        &self,
        stream: &StreamId,
        after_version: u64,
        limit: usize,
    ) -> Result<Vec<Position>, QueryError> {
        self.ask(|rows| events::positions_of(rows, stream, after_version, limit))
    }
}
