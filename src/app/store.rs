//! Opens what is on disk: the log, the checkpoint, the fold, the lines, the index.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};

use super::error::ServeError;
use super::retention::Retention;
use super::serve::VERSION;
use super::upkeep::Upkeep;
use crate::archive::{self, BackupError, BackupOrder, Source};
use crate::clock::Clock;
use crate::crash;
use crate::domain::space::{Room, Watermarks};
use crate::engine::ports::News;
use crate::engine::state::{STATE_VERSION, State};
use crate::error_text::in_full;
use crate::http;
use crate::ids::{InterfaceId, Position, StreamId, hex};
use crate::projection::{LateHeads, Projections, PrunedOf};
use crate::store::checkpoint::{Checkpoint, Checkpoints};
use crate::store::journal::{Indexed, JournalLog, JournalOptions, Positions};
use crate::store::lines::{LineStore, LinesOptions};
use crate::store::space::Space;
use crate::store::{EventLog, codec};
use crate::telemetry::metrics::Metrics;

/// What is on disk, opened.
pub(super) struct Stores {
    pub(super) log: Arc<JournalLog>,
    pub(super) lines: LineStore,
    pub(super) projections: Projections,
    pub(super) space: Arc<Space>,
    /// With the position of the newest one.
    pub(super) checkpoints: Arc<Mutex<(Checkpoints, Position)>>,
    /// The fold of everything up to `position`.
    pub(super) state: State,
    pub(super) position: Position,
}

impl Stores {
    /// What keeps them in order while the engine that hears `news` writes to them.
    pub(super) fn upkeep(&self, news: mpsc::UnboundedSender<News>) -> Upkeep {
        Upkeep {
            space: Arc::clone(&self.space),
            log: Arc::clone(&self.log),
            projections: self.projections.clone(),
            checkpoints: Arc::clone(&self.checkpoints),
            news,
        }
    }

    /// The store's figures and what is done with it as a whole.
    pub(super) fn access(
        &self,
        data: &Path,
        retention: &Retention,
        clock: &Arc<dyn Clock>,
    ) -> http::StoreAccess {
        let (log, lines) = (Arc::clone(&self.log), self.lines.clone());
        let (checked, checked_lines) = (Arc::clone(&self.log), self.lines.clone());
        let (copied, copied_lines) = (Arc::clone(&self.log), self.lines.clone());
        let (index, folder) = (self.projections.clone(), data.to_owned());
        let (space, room) = (Arc::clone(&self.space), Arc::clone(&self.space));
        let (backed_up, now) = (folder.clone(), Arc::clone(clock));
        let (exported, clock) = (folder.clone(), Arc::clone(clock));
        // What retention takes meanwhile would be missing without a word in the log.
        let (checking, copying) = (Arc::clone(&retention.freeing), Arc::clone(&retention.freeing));
        let (exporting, retention) = (Arc::clone(&retention.freeing), retention.clone());
        http::StoreAccess {
            info: self.info(data),
            verify: Box::new(move |asked, progress| {
                let _stays = checking.blocking_read();
                let store = (folder.as_path(), &*checked, &checked_lines);
                // The comparison folds rows beside; the log needs the room more.
                let index = (room.seen().room() == Room::Enough).then_some(&index);
                archive::check_running(store, index, asked, progress).map_err(|err| in_full(&err))
            }),
            backup: Box::new(move |dir, keep, progress| {
                let _stays = copying.blocking_read();
                let source = Source::in_use(&backed_up, &copied, &copied_lines)
                    .map_err(BackupError::NoMoment)?;
                // Lines are dropped below this mark: a backup must not lead there.
                let spare = space.marks(space.seen().measured.total).0;
                let created = now.now();
                let order = BackupOrder { dir, version: VERSION, created, keep, spare };
                source.back_up(order, progress)
            }),
            export: Box::new(move |to| {
                let _stays = exporting.blocking_read();
                let source = Source::in_use(&exported, &log, &lines)?;
                archive::export(&source, (VERSION, clock.now()), to, &mut |_| {})
                    .map(drop)
                    .map_err(|err| in_full(&err))
            }),
            prune: Box::new(move |mode| {
                let retention = retention.clone();
                Box::pin(async move { retention.run(mode).await.map_err(http::PruneError::from) })
            }),
        }
    }

    fn info(&self, data: &Path) -> Box<dyn Fn() -> Result<http::StoreInfo, String> + Send + Sync> {
        let (shown, lines_shown) = (Arc::clone(&self.log), self.lines.clone());
        let (projections, data) = (self.projections.clone(), data.display().to_string());
        Box::new(move || {
            let (head, position) = shown.head();
            let status = projections.status();
            Ok(http::StoreInfo {
                data: data.clone(),
                position,
                head: hex(&head),
                journal_bytes: shown.size_bytes(),
                lines_bytes: lines_shown.size_bytes(),
                index_bytes: status.size_bytes,
                indexed: Some(status.position),
                rebuilding: status.rebuilding,
                pruned: pruned(&projections),
                problems: Vec::new(),
                work: None,
            })
        })
    }
}

/// What retention took so far; nothing while the lists cannot tell.
fn pruned(projections: &Projections) -> Vec<http::InterfacePruned> {
    let shown = |(interface, taken): (InterfaceId, PrunedOf)| http::InterfacePruned {
        interface: interface.to_string(),
        executions: taken.executions,
        lines_of: taken.lines_of,
        at: taken.at,
    };
    projections.pruned().map(|all| all.into_iter().map(shown).collect()).unwrap_or_default()
}

/// Opens everything below `data` and folds what the checkpoint does not hold.
pub(super) fn open(
    data: &Path,
    (marks, segment_bytes): (Watermarks, Option<u64>),
    metrics: &Arc<Metrics>,
) -> Result<Stores, ServeError> {
    // First of all: on a full disk the start takes the reserve.
    let space = Arc::new(Space::open(data, marks));
    if archive::finish_switch(data).map_err(|err| ServeError::from_switch(&err))? {
        tracing::warn!("a restore that had been interrupted was brought to its end");
    }
    let (checkpoints, found) =
        Checkpoints::open(data).map_err(|err| failed("the checkpoint", &err))?;
    for ignored in &found.ignored {
        tracing::warn!(file = %ignored.path.display(), why = %ignored.what, "a checkpoint is of no use");
    }
    let heads = Arc::new(LateHeads::default());
    let counted = Arc::clone(metrics);
    let mut options = JournalOptions {
        cold: heads.clone(),
        from: found.newest.as_ref().map(|checkpoint| checkpoint.log.clone()),
        space: Some(Arc::clone(&space)),
        on_commit: Some(Arc::new(move |commit| counted.append_took(commit.took))),
        ..JournalOptions::new(data.join("journal"))
    };
    let mut lines_options = LinesOptions::default();
    if let Some(bytes) = segment_bytes {
        (options.segment_bytes, lines_options.segment_bytes) = (bytes, bytes);
    }
    let (log, recovery) = JournalLog::open(options).map_err(|err| ServeError::from_log(&err))?;
    if let Some(torn) = &recovery.torn {
        tracing::warn!(segment = %torn.segment.display(), offset = torn.offset, bytes = torn.bytes,
            "an unfinished write was cut off the log; it had never been acknowledged");
    }
    let log = Arc::new(log);
    let opened = LineStore::open_with_room(&data.join("lines"), lines_options, Arc::clone(&space));
    let (lines, recovered) = opened.map_err(|err| failed("the lines", &err))?;
    for damage in &recovered.damage {
        tracing::error!(place = %damage.place, what = %damage.what, "stored lines are damaged");
    }
    if let Some(why) = &recovery.anchor_refused {
        tracing::warn!(%why, "the checkpoint does not belong to this log; the whole log is folded");
    }
    let usable = found.newest.filter(|_| recovery.anchor_refused.is_none());
    let (state, folded) = restore(usable);
    let (state, position) = fold(&log, state, folded)?;
    crash::point(crash::Point::StartFolded);
    let shared: Arc<dyn EventLog> = log.clone();
    let projections =
        Projections::open(&data.join("index"), shared).map_err(|err| failed("the index", &err))?;
    projections.mind(Arc::clone(&space));
    heads.attach(&projections);
    log.attach_positions(Arc::new(IndexedPositions(projections.clone())));
    let indexed = projections.status();
    if indexed.rebuilding.is_none() {
        log.forget(indexed.position);
    }
    let checkpoints = Arc::new(Mutex::new((checkpoints, position)));
    Ok(Stores { log, lines, projections, space, checkpoints, state, position })
}

/// The state that a checkpoint holds, if this program wrote its form.
fn restore(checkpoint: Option<Checkpoint>) -> (State, Position) {
    let Some(checkpoint) =
        checkpoint.filter(|checkpoint| checkpoint.state_version == STATE_VERSION)
    else {
        return (State::default(), Position(0));
    };
    match codec::unpack(&checkpoint.state) {
        Ok(state) => (state, checkpoint.position),
        Err(why) => {
            tracing::warn!(%why, "the checkpoint's state cannot be read; the whole log is folded");
            (State::default(), Position(0))
        }
    }
}

fn failed(what: &str, err: &dyn std::error::Error) -> ServeError {
    ServeError::Store(format!("{what}: {}", in_full(err)))
}

fn fold(
    log: &JournalLog,
    mut state: State,
    from: Position,
) -> Result<(State, Position), ServeError> {
    let mut position = from;
    let mut scan = log.scan(from.plus(1));
    loop {
        match scan.next_envelope() {
            Ok(Some(envelope)) => {
                state.replay(&envelope);
                // Deliveries that arose in the past stand in the outbox.
                state.fresh.clear();
                position = envelope.position;
            }
            Ok(None) => break,
            Err(err) => return Err(failed("the log", &err)),
        }
    }
    Ok((state, position))
}

/// Tells the log where a stream's events stand.
struct IndexedPositions(Projections);

impl Positions for IndexedPositions {
    fn positions(&self, stream: &StreamId, after_version: u64, limit: usize) -> Option<Indexed> {
        // Read before the rows: what is folded meanwhile is then read twice instead of never.
        let until = *self.0.applied().borrow();
        let positions = self.0.positions(stream, after_version, limit).ok()?;
        Some(Indexed { positions, until })
    }
}
