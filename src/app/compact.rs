//! `daybook store compact` on a data folder that no daemon works on.
//!
//! An engine that nothing is due for and nobody asks records the pass, so that it is the same pass as the daemon's. All that
//! retention ever forgot leaves the segments, however little that is worth, and the index is made anew: sled gives no
//! space back.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::daemon::usual;
use super::error::ServeError;
use super::retention::{Care, PassError, Retention};
use super::serve::VERSION;
use super::store::{self, Stores};
use crate::clock::{Clock, SystemClock};
use crate::config::Settings;
use crate::domain::definition;
use crate::domain::effect::Effect;
use crate::domain::event::Change;
use crate::domain::execution::Conclusion;
use crate::domain::space::Watermarks;
use crate::engine::board::Board;
use crate::engine::commit::Committer;
use crate::engine::ports::{
    BoxFuture, Courier, Definitions, Files, Held, News, Performer, Reporter, Unfinished, Work,
};
use crate::engine::{Engine, Identity, Parts};
use crate::http::{PruneMode, StoreParts, StorePruned};
use crate::instant::Instant;
use crate::store::EventLog;
use crate::task;
use crate::telemetry::metrics::Metrics;

/// Removes what is over, or only says what is, in the data folder `data`.
///
/// # Errors
/// A daemon works on the folder (exit code 7), or what is in it cannot be read or written.
pub fn compact_folder(
    data: &Path,
    settings: &Settings,
    dry_run: bool,
) -> Result<StorePruned, (u8, String)> {
    compact(data, settings, dry_run).map_err(|err| (err.exit_code(), err.to_string()))
}

fn compact(data: &Path, settings: &Settings, dry_run: bool) -> Result<StorePruned, ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|err| ServeError::machine("the runtime", &err))?;
    let usual = usual(settings);
    let mode = if dry_run { PruneMode::Plan } else { PruneMode::Remove };
    let (journal_before, lines_before, index_before) = sizes(data);
    let pruned = runtime.block_on(work(data, usual, mode));
    drop(runtime);
    let mut pruned = pruned?;
    let (journal_after, lines_after, index_after) = sizes(data);
    pruned.parts = (!dry_run).then_some(StoreParts {
        journal_before,
        journal_after,
        lines_before,
        lines_after,
        index_before,
        index_after,
    });
    Ok(pruned)
}

async fn work(
    data: &Path,
    usual: definition::Retention,
    mode: PruneMode,
) -> Result<StorePruned, ServeError> {
    let failed = |err: &dyn std::error::Error| ServeError::machine("compacting", err);
    let metrics = Arc::new(Metrics::new(VERSION, "compact").map_err(|err| failed(&err))?);
    let mut stores = store::open(data, (Watermarks::default(), None), &metrics)?;
    let stop = CancellationToken::new();
    let following = follow(&stores, &stop);
    let (news, heard) = mpsc::unbounded_channel();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (engine, failure) = begin(&mut stores, (&clock, news.clone()), heard);
    let upkeep = stores.upkeep(news);
    whole(&stores).await;
    let retention = Retention {
        upkeep: upkeep.clone(),
        lines: stores.lines.clone(),
        clock,
        usual,
        care: Care::Thorough,
        freeing: Arc::default(),
    };
    let pruned = retention.run(mode).await;
    if mode == PruneMode::Remove {
        upkeep.checkpoint(0).await;
    }
    engine.abort();
    // It holds the log, which is opened once more below.
    drop(engine.await);
    stop.cancel();
    following.await.map_err(|err| failed(&err))?;
    stores.log.close();
    drop((retention, upkeep, stores));
    let pruned = pruned.map_err(|err| why_not(&err, failure.borrow().clone()))?;
    if mode == PruneMode::Remove {
        index_anew(data, &metrics).await?;
    }
    Ok(pruned)
}

/// An engine that ended did so because the log failed, which says more.
pub(super) fn why_not(err: &PassError, failure: Option<String>) -> ServeError {
    match failure {
        Some(why) => ServeError::Store(why),
        None => ServeError::machine("compacting", err),
    }
}

/// Waits until the lists show all that is on disk.
async fn whole(stores: &Stores) {
    let newest = *stores.log.durable().borrow();
    let mut applied = stores.projections.applied();
    // It ends only with the follower, which ends last.
    drop(applied.wait_for(|applied| *applied >= newest).await);
}

fn follow(stores: &Stores, stop: &CancellationToken) -> JoinHandle<Option<()>> {
    let (follow, stop) = (stores.projections.clone(), stop.clone());
    task::spawn("the index's follower", async move { follow.follow(stop).await })
}

/// Throws the index away and folds a new one.
async fn index_anew(data: &Path, metrics: &Arc<Metrics>) -> Result<(), ServeError> {
    let failed = |err: &dyn std::error::Error| ServeError::machine("the index", err);
    fs::remove_dir_all(data.join("index")).map_err(|err| failed(&err))?;
    let stores = store::open(data, (Watermarks::default(), None), metrics)?;
    let stop = CancellationToken::new();
    let following = follow(&stores, &stop);
    whole(&stores).await;
    stop.cancel();
    following.await.map_err(|err| failed(&err))?;
    stores.log.close();
    Ok(())
}

/// Starts an engine for which nothing is due, and whoever lets its decisions take effect; tells why that came to its end.
pub(super) fn begin(
    stores: &mut Stores,
    (clock, news): (&Arc<dyn Clock>, mpsc::UnboundedSender<News>),
    heard: mpsc::UnboundedReceiver<News>,
) -> (JoinHandle<Option<()>>, watch::Receiver<Option<String>>) {
    let board = Arc::new(Board::default());
    let (commits, committed) = mpsc::unbounded_channel();
    let (failed, failure) = watch::channel(None);
    let performer: Arc<dyn Performer> = Arc::new(Nobody);
    let courier: Arc<dyn Courier> = Arc::new(Nobody);
    let committer = Committer {
        performer: Arc::clone(&performer),
        courier: Arc::clone(&courier),
        board: Arc::clone(&board),
        failed,
    };
    task::spawn("the committer", committer.run(committed, stores.position));
    let parts = Parts {
        log: stores.log.clone(),
        clock: Arc::clone(clock),
        performer,
        courier,
        definitions: Arc::new(Nobody),
        board,
        observers: Vec::new(),
        entropy: Box::new(|| [0; 10]),
        max_concurrent: 1,
        identity: Identity {
            version: VERSION.to_owned(),
            boot_id: String::new(),
            zone_data: String::new(),
        },
    };
    let engine = Engine::new(parts, std::mem::take(&mut stores.state), commits, news);
    // Whoever holds the sender keeps the engine going; it is ended from outside.
    let (asking, requests) = mpsc::channel(1);
    let engine = task::spawn("the engine", async move {
        engine.run(requests, heard).await;
        drop(asking);
    });
    (engine, failure)
}

/// Performs nothing and delivers nothing: nobody asks for it here.
struct Nobody;

impl Performer for Nobody {
    fn perform(&self, _: Work, _: Reporter) -> BoxFuture<()> {
        Box::pin(std::future::pending())
    }

    fn resume(&self, _: Work, _: Instant, _: Reporter) -> BoxFuture<()> {
        Box::pin(std::future::pending())
    }

    fn held(&self) -> BoxFuture<Held> {
        Box::pin(std::future::ready(Held::default()))
    }

    fn take_over(&self, _: Work, _: Reporter) -> BoxFuture<()> {
        Box::pin(std::future::pending())
    }

    fn let_go(&self, _: Held) -> BoxFuture<()> {
        Box::pin(std::future::ready(()))
    }

    fn conclude(&self, _: Work, _: Unfinished) -> BoxFuture<Conclusion> {
        Box::pin(std::future::pending())
    }
}

impl Courier for Nobody {
    fn deliver(&self, _: Effect) {}
}

impl Definitions for Nobody {
    fn load(&self) -> Files {
        Files { unreadable: true, ..Files::default() }
    }

    fn changes(
        &self,
        _: Option<&definition::Interface>,
        _: Option<&definition::Interface>,
    ) -> Vec<Change> {
        Vec::new()
    }
}

/// What journal, lines and index take on the disk, in bytes.
fn sizes(data: &Path) -> (u64, u64, u64) {
    let of = |name: &str| on_disk(&data.join(name));
    (of("journal"), of("lines"), of("index"))
}

/// What the files below a folder take on the disk; what cannot be read counts as nothing.
fn on_disk(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => on_disk(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_gone) => 0,
    };
    entries.filter_map(Result::ok).map(size).sum()
}
