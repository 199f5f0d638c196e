//! Everything that the routes need, in one place. `app.rs` fills it in.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::auth::{Failures, hex};
use super::idempotency::Answers;
use super::session::Sessions;
use crate::clock::Clock;
use crate::config::{Loaded, MetricsAccess};
use crate::engine::handle::Handle;
use crate::ids::Position;
use crate::jobs::Runners;
use crate::jobs::probe::Probe;
use crate::projection::Projections;
use crate::store::EventLog;
use crate::store::journal::{Difference, VerifyReport};
use crate::store::lines::{LineStore, LinesReport};
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
    newest: AtomicU64,
}

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
    /// How people reach the console, such as `http://127.0.0.1:7474`; none without a TCP listener.
    pub base_url: Option<String>,
    /// Who may read the metrics without a token.
    pub metrics: MetricsAccess,
    /// The program's version.
    pub version: String,
    /// The revision that it was built from.
    pub revision: Option<String>,
}

/// The store's figures and check, wired by `app.rs` to the journal and the line store. Both may block.
pub struct StoreAccess {
    /// Reads the figures.
    pub info: Box<dyn Fn() -> Result<StoreInfo, String> + Send + Sync>,
    /// Checks every byte of the journal and the lines.
    pub verify: Box<dyn Fn() -> Result<StoreVerified, String> + Send + Sync>,
}

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
    /// What is damaged, as far as it was read; the daemon reads nothing again for this.
    pub problems: Vec<String>,
}

/// What a check of the store found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreVerified {
    /// Nothing is damaged. What was pruned is no damage.
    pub ok: bool,
    /// Events read.
    pub events: u64,
    /// Chunks of lines read.
    pub chunks: u64,
    /// Events that retention pruned: their hashes are in the chain, and so is what they followed from.
    pub pruned: u64,
    /// The hash chain's head, in hex.
    pub head: String,
    /// What is damaged: file, offset, what is wrong.
    pub problems: Vec<String>,
    /// What is no damage and worth knowing: what a crash left of a write that nobody had seen.
    pub notes: Vec<String>,
}

impl StoreVerified {
    /// Both reports of a check in one.
    pub fn of(log: &VerifyReport, lines: &LinesReport) -> Self {
        let mut problems: Vec<String> = log.difference.iter().map(damage).collect();
        problems
            .extend(lines.damage.iter().map(|found| format!("{}: {}", found.place, found.what)));
        let unfinished =
            [(log.unfinished, "frame of the event log"), (lines.unfinished, "chunk of lines")];
        let note = |(bytes, what): (u64, &str)| {
            let note = format!(
                "{bytes} bytes after the last whole {what}: an unfinished write, which the next start takes away"
            );
            (bytes > 0).then_some(note)
        };
        Self {
            ok: problems.is_empty(),
            events: log.events,
            chunks: lines.chunks,
            pruned: log.pruned,
            head: hex(&log.head),
            problems,
            notes: unfinished.into_iter().filter_map(note).collect(),
        }
    }
}

/// Where the event log is damaged, and what is wrong there.
pub fn damage(difference: &Difference) -> String {
    let Difference { place, what, after } = difference;
    format!("{place}: {what} (after position {after})")
}
