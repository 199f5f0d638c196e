//! Everything that the routes need, in one place. `app.rs` fills it in.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::auth::Failures;
use super::idempotency::Answers;
use super::problem::{Code, Problem};
use super::session::Sessions;
use crate::archive::{Asked, BackupError, Checked, Finding, Made, Progress, Tick};
use crate::clock::Clock;
use crate::config::{Loaded, MetricsAccess};
use crate::engine::handle::Handle;
use crate::engine::ports::BoxFuture;
use crate::ids::{Position, hex};
use crate::instant::Instant;
use crate::jobs::Runners;
use crate::jobs::probe::Probe;
use crate::projection::Projections;
use crate::store::EventLog;
use crate::store::journal::Difference;
use crate::store::lines::LineStore;
use crate::store::space::Space;
use crate::telemetry::metrics::Metrics;

/// What the routes work with. Shared by all requests.
pub struct Parts {
    /// The way to the engine.
    pub engine: Handle,
    /// The event log, for reading.
    pub log: Arc<dyn EventLog>,
    /// The lists.
    pub projections: Projections,
    /// The executions' logs.
    pub lines: LineStore,
    /// The room on the disk.
    pub space: Arc<Space>,
    /// The store's own figures and check.
    pub store: StoreAccess,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Who owns the commands.
    pub runners: Runners,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// What `interface test` needs.
    pub probe: Probe,
    /// What the settings say.
    pub settings: Settings,
    /// Reads the schedules' files, for `check`; wired by `app.rs`. Blocks.
    pub files: Box<dyn Fn() -> Loaded + Send + Sync>,
    /// What is kept between requests.
    pub memory: Memory,
    /// Cancelled when the daemon stops: endless answers end.
    pub stop: CancellationToken,
}

/// The state handed to every route.
pub type App = Arc<Parts>;

/// What is kept between requests; a restart forgets it.
#[derive(Debug, Default)]
pub struct Memory {
    /// Login links and sessions.
    pub sessions: Sessions,
    /// Failed logins.
    pub failures: Failures,
    /// Requests with an idempotency key that are being answered, and answers that hold secrets.
    pub answers: Answers,
    /// Held by a backfill from its look at the lists to its answer: a KO that another one is about to run again looks open
    /// until then.
    pub backfills: tokio::sync::Mutex<()>,
    /// Held by a check or a backup: each reads the whole store, and one at a time is enough for the disk.
    pub store_work: Arc<tokio::sync::Mutex<()>>,
    /// One permit for each export of the whole store.
    pub store_exports: Exports<2>,
    /// One permit for each export of executions: whoever may look may ask for these.
    pub exports: Exports<4>,
    /// How far a check or a backup has come.
    pub tick: std::sync::Mutex<Option<Tick>>,
    newest: AtomicU64,
}

/// Exports, of which `MOST` may go on at once: a slow reader holds a thread or a file.
#[derive(Debug)]
pub struct Exports<const MOST: usize>(Arc<Semaphore>);

impl<const MOST: usize> Default for Exports<MOST> {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

impl<const MOST: usize> Exports<MOST> {
    /// Begins one; it goes on for as long as its permit is held.
    ///
    /// # Errors
    /// Too many go on.
    pub fn begin(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.0).try_acquire_owned().map_err(|_full| {
            let detail =
                format!("{MOST} exports go on, and no more may; wait for one of them to end");
            Problem::new(Code::Conflict, detail).with_retry_after(EXPORT_RETRY_S)
        })
    }
}

/// When it is worth trying again to begin an export, in seconds.
const EXPORT_RETRY_S: u64 = 5;

impl Memory {
    /// Notes that a command was answered with `position`: reads from now on wait for it.
    pub fn answered(&self, position: Position) {
        self.newest.fetch_max(position.0, Ordering::AcqRel);
    }

    /// The newest position that a command was answered with.
    pub fn newest_answer(&self) -> Position {
        Position(self.newest.load(Ordering::Acquire))
    }
}

/// What the settings say about the API.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The data folder.
    pub data: PathBuf,
    /// The folder below which backups are written.
    pub backups: PathBuf,
    /// How people reach the console, such as `http://127.0.0.1:7474`; none without a TCP listener.
    pub base_url: Option<String>,
    /// Who may read the metrics without a token.
    pub metrics: MetricsAccess,
    /// The program's version.
    pub version: String,
    /// The revision that it was built from.
    pub revision: Option<String>,
}

/// The store's figures and what is done with it as a whole, wired by `app.rs` to the journal and the line store. All of it
/// may block.
pub struct StoreAccess {
    /// Reads the figures.
    pub info: Box<dyn Fn() -> Result<StoreInfo, String> + Send + Sync>,
    /// Checks every byte, folds the log from zero, and compares.
    pub verify: Box<Verify>,
    /// Makes a backup in a folder, keeping so many.
    pub backup: Box<BackUp>,
    /// Writes out everything.
    pub export: Box<Export>,
    /// Plans what retention removes, or removes it. Waits and does not block.
    pub prune: Box<Prune>,
}

/// See [`StoreAccess::prune`].
pub type Prune = dyn Fn(PruneMode) -> BoxFuture<Result<StorePruned, PruneError>> + Send + Sync;

/// Why retention did not come to its end. What it recorded holds, and the next pass goes on with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PruneError {
    /// Something is under way that has to end first.
    UnderWay {
        /// What.
        why: String,
    },
    /// The lists that it plans with are being rebuilt, or lag behind.
    Rebuilding {
        /// How much is done.
        percent: u8,
    },
    /// The daemon ends.
    Closing {
        /// What has ended.
        why: String,
    },
    /// The store cannot be read or written.
    Failed {
        /// What is wrong.
        why: String,
    },
}

/// Whether retention only says what it would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PruneMode {
    /// It says what it would remove.
    Plan,
    /// It removes it.
    Remove,
}

/// What retention removed, or would remove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorePruned {
    /// Nothing was removed: this is the plan.
    pub dry_run: bool,
    /// Interfaces of which something goes.
    pub interfaces: Vec<PrunedInterface>,
    /// Events whose bytes go.
    pub events: u64,
    /// Bytes that the event log becomes smaller by.
    pub journal_bytes: u64,
    /// Bytes that the lines become smaller by.
    pub lines_bytes: u64,
    /// The parts of the store before and after, in bytes; null while the daemon runs, where the index goes on.
    pub parts: Option<StoreParts>,
}

/// The parts of the store in bytes, as the files were before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreParts {
    /// The event log before.
    pub journal_before: u64,
    /// The event log after.
    pub journal_after: u64,
    /// The lines before.
    pub lines_before: u64,
    /// The lines after.
    pub lines_after: u64,
    /// The index before.
    pub index_before: u64,
    /// The index after.
    pub index_after: u64,
}

/// What goes of one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrunedInterface {
    /// The interface.
    pub interface: String,
    /// Executions that go.
    pub executions: u64,
    /// Of these: they are older than `ok` or `ko` allows.
    pub by_age: u64,
    /// Of these: `count` newer ones are kept.
    pub by_count: u64,
    /// Executions that stay and lose their lines, by `lines` or `bytes`.
    pub lines_of: u64,
    /// Schedules of which skipped or missed slots go.
    pub slots_of: u64,
}

/// See [`StoreAccess::verify`].
pub type Verify = dyn Fn(Asked, Progress<'_>) -> Result<Checked, String> + Send + Sync;
/// See [`StoreAccess::backup`].
pub type BackUp = dyn Fn(&std::path::Path, Option<usize>, Progress<'_>) -> Result<Made, BackupError>
    + Send
    + Sync;
/// See [`StoreAccess::export`].
pub type Export = dyn Fn(&mut dyn std::io::Write) -> Result<(), String> + Send + Sync;

/// What the store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreInfo {
    /// The data folder.
    pub data: String,
    /// The newest position on disk.
    #[schema(value_type = u64)]
    pub position: Position,
    /// The hash chain's head, in hex.
    pub head: String,
    /// Bytes of the journal's segments.
    pub journal_bytes: u64,
    /// Bytes of the lines' segments.
    pub lines_bytes: u64,
    /// Bytes of the index and the lists.
    pub index_bytes: u64,
    /// The newest position that the lists show; null without the daemon, who alone knows it.
    #[schema(value_type = Option<u64>)]
    pub indexed: Option<Position>,
    /// How much of a rebuild of the lists is done, in percent; null when none runs.
    pub rebuilding: Option<u8>,
    /// What retention took of each interface so far; empty while the lists are rebuilt, and without the daemon.
    pub pruned: Vec<InterfacePruned>,
    /// What is damaged, as far as it was read; the daemon reads nothing again for this.
    pub problems: Vec<String>,
    /// Long work on the store that goes on; null when there is none.
    pub work: Option<StoreWork>,
}

/// Long work on the store that goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreWork {
    /// What is done.
    pub what: String,
    /// Bytes so far.
    pub done: u64,
    /// Bytes in all; 0 when that is not known.
    pub total: u64,
}

/// What retention took of an interface so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InterfacePruned {
    /// The interface.
    pub interface: String,
    /// Executions.
    pub executions: u64,
    /// Executions that lost their lines alone.
    pub lines_of: u64,
    /// When it last took something.
    #[schema(value_type = Option<String>, format = "date-time")]
    pub at: Option<Instant>,
}

/// What a check of the store found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreVerified {
    /// Nothing is damaged, and all that claims to be a fold of the log is one. What was pruned is no damage.
    pub ok: bool,
    /// The last sound position.
    #[schema(value_type = u64)]
    pub position: Position,
    /// Events read.
    pub events: u64,
    /// Chunks of lines read.
    pub chunks: u64,
    /// Events that retention pruned: their hashes are in the chain, and so is what they followed from.
    pub pruned: u64,
    /// The hash chain's head, in hex.
    pub head: String,
    /// Closed executions whose lines were compared with what their closing says.
    pub logs: u64,
    /// Of these, how many lack lines that retention took.
    pub logs_pruned: u64,
    /// The position at which the newest checkpoint was compared with the log folded from zero; null when none was.
    #[schema(value_type = Option<u64>)]
    pub checkpoint: Option<Position>,
    /// The position at which the lists were compared with the log folded from zero; null when they were not.
    #[schema(value_type = Option<u64>)]
    pub index: Option<Position>,
    /// Where the head that was asked for stands.
    #[schema(value_type = Option<u64>)]
    pub head_at: Option<Position>,
    /// The first thing that is not as it should be; it explains the rest.
    pub difference: Option<StoreDifference>,
    /// All that is not as it should be: file, offset, what is wrong.
    pub problems: Vec<String>,
    /// What is no damage and worth knowing: what a crash left of a write that nobody had seen.
    pub notes: Vec<String>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreDifference {
    /// `manifest`, `journal`, `head`, `lines`, `checkpoint` or `index`.
    pub part: String,
    /// File and offset, or what is there instead of one.
    pub place: String,
    /// What is wrong.
    pub what: String,
    /// What should be there, where that can be told.
    pub expected: Option<String>,
    /// What is there.
    pub found: Option<String>,
    /// What the operator can do.
    pub mend: String,
}

impl StoreDifference {
    fn of(finding: &Finding) -> Self {
        let Finding { part, place, what, expected, found, mend } = finding.clone();
        Self { part: part.as_str().to_owned(), place, what, expected, found, mend }
    }

    /// As one line.
    pub fn line(&self) -> String {
        let sides = match (&self.expected, &self.found) {
            (Some(expected), Some(found)) => format!("; expected {expected}, found {found}"),
            (Some(expected), None) => format!("; expected {expected}"),
            (None, _) => String::new(),
        };
        format!("{}: {}{sides}", self.place, self.what)
    }
}

impl StoreVerified {
    /// What a check saw, in its shape.
    pub fn of(checked: &Checked) -> Self {
        let Checked { log, lines, .. } = checked;
        let differences: Vec<_> = checked.findings.iter().map(StoreDifference::of).collect();
        let unfinished =
            [(log.unfinished, "frame of the event log"), (lines.unfinished, "chunk of lines")];
        let note = |(bytes, what): (u64, &str)| {
            let note = format!(
                "{bytes} bytes after the last whole {what}: an unfinished write, which the next start takes away"
            );
            (bytes > 0).then_some(note)
        };
        Self {
            ok: differences.is_empty(),
            position: log.position,
            events: log.events,
            chunks: lines.chunks,
            pruned: log.pruned,
            head: hex(&log.head),
            logs: checked.logs,
            logs_pruned: checked.logs_pruned,
            checkpoint: checked.checkpoint,
            index: checked.index,
            head_at: checked.head_at,
            problems: differences.iter().map(StoreDifference::line).collect(),
            difference: differences.into_iter().next(),
            notes: unfinished.into_iter().filter_map(note).chain(checked.notes.clone()).collect(),
        }
    }
}

/// A backup that was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreBackup {
    /// Its folder.
    pub path: String,
    /// The last event in it.
    #[schema(value_type = u64)]
    pub position: Position,
    /// The hash chain's head there, in hex.
    pub head: String,
    /// Events in it.
    pub events: u64,
    /// Lines in it.
    pub lines: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// It was there already, and is sound.
    pub was_there: bool,
    /// Older ones that were deleted for it, by name.
    pub removed: Vec<String>,
    /// What is not in it, and has to be kept elsewhere.
    pub left_out: Vec<String>,
    /// Lines that are damaged in the store, and so in the backup.
    pub problems: Vec<String>,
}

impl StoreBackup {
    /// What was made, in its shape.
    pub fn of(made: &Made) -> Self {
        let manifest = made.manifest.clone();
        Self {
            path: made.path.display().to_string(),
            position: manifest.position,
            head: manifest.head,
            events: manifest.events,
            lines: manifest.lines,
            bytes: manifest.bytes,
            was_there: made.was_there,
            removed: made.removed.clone(),
            left_out: manifest.left_out,
            problems: made.findings.iter().map(|it| StoreDifference::of(it).line()).collect(),
        }
    }
}

/// Where the event log is damaged, and what is wrong there.
pub fn damage(difference: &Difference) -> String {
    let Difference { place, what, after } = difference;
    format!("{place}: {what} (after position {after})")
}
