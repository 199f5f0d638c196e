//! The daemon from its start to its end.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::SignalKind;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_cron_scheduler::JobScheduler;
use tokio_util::sync::CancellationToken;

use super::daemon::{Daemon, log_settings, make_private};
use super::ending::{DrainHeard, Signals, hear};
use super::error::ServeError;
use super::retention::Retention;
use super::service::{self, AppendPath};
use super::space;
use super::store::{self, Stores};
use super::tasks;
use super::upkeep::Upkeep;
use super::wiring::{Counting, Folder, files};
use crate::civil::zone_data;
use crate::cli::ServeOptions;
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Environment, Loaded, Paint, Problem, Settings};
use crate::crash;
use crate::domain::classify::Classifier;
use crate::domain::event::DrainAsked;
use crate::domain::space::Watermarks;
use crate::engine::board::Board;
use crate::engine::commit::Committer;
use crate::engine::handle::{Asked, Handle};
use crate::engine::ports::{Courier, News, Performer};
use crate::engine::{Engine, Identity, Parts};
use crate::http;
use crate::http::server::Server;
use crate::jobs::{LocalPerformer, Proxies, Runners, boot_id};
use crate::notify::{self, CourierParts, OutboxCourier};
use crate::task;
use crate::telemetry::logging;
use crate::telemetry::metrics::Metrics;

/// The program's version.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The revision that the program was built from, as the build was told.
pub(super) const REVISION: Option<&str> = option_env!("DAYBOOK_REVISION");

/// Requests that may wait for the engine.
const REQUESTS_WAITING: usize = 1_024;

/// Open HTTP requests get so long to finish at the end.
const HTTP_GRACE: Duration = Duration::from_secs(5);

/// `daybook serve`: runs the daemon, says why it ended, gives the exit code.
pub fn serve_command(options: &ServeOptions, environment: Environment) -> u8 {
    match serve(&options.flags(), environment) {
        Ok(()) => 0,
        Err(err) => {
            let heading = if let ServeError::Refused(_) = err { "" } else { "error: " };
            // Nothing is left to tell when even standard error is closed.
            drop(writeln!(std::io::stderr(), "{heading}{err}"));
            err.exit_code()
        }
    }
}

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// [`ServeError`].
pub fn serve(flags: &config::Flags, environment: Environment) -> Result<(), ServeError> {
    // What somebody else's program has left open is no business of commands, and a runner would hold it for as long as it lives.
    close_fds::set_fds_cloexec(3, &[]);
    let paint = Paint::choose(std::io::IsTerminal::is_terminal(&std::io::stderr()), &environment);
    let refuse = |problems: &[Problem]| ServeError::Refused(config::render_all(problems, paint));
    let settings = Settings::load(flags, &environment).map_err(|problems| refuse(&problems))?;
    // Before the first file, that of the log: what the daemon and its commands write is nobody else's business.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let _log = logging::init(&log_settings(&settings, &environment))
        .map_err(|err| ServeError::Configuration(err.to_string()))?;
    #[cfg(debug_assertions)]
    if let Some(place) = environment.filled("TEST_CRASH_AT") {
        crash::arm(place).map_err(ServeError::Configuration)?;
    }
    let folder = Folder { dir: settings.schedules.value.clone(), environment: environment.clone() };
    let loaded = folder.read();
    if loaded.has_errors() {
        return Err(refuse(&loaded.problems));
    }
    loaded
        .problems
        .iter()
        .for_each(|problem| tracing::warn!(%problem, "a file is accepted with a warning"));
    make_private(&settings.data.value)?;
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed before");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|err| ServeError::machine("the runtime", &err))?;
    runtime.block_on(Daemon { settings, folder, environment }.run(loaded))
}

/// What every part of the daemon shares.
#[derive(Clone)]
pub(super) struct Core {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) board: Arc<Board>,
    pub(super) handle: Handle,
    pub(super) metrics: Arc<Metrics>,
    /// For pings and notices.
    pub(super) client: reqwest::Client,
    pub(super) news: mpsc::UnboundedSender<News>,
    /// Cancelled when the daemon stops.
    pub(super) stop: CancellationToken,
}

/// What the engine hears.
struct Heard {
    requests: mpsc::Receiver<Asked>,
    news: mpsc::UnboundedReceiver<News>,
}

impl Core {
    fn new(
        metrics: Arc<Metrics>,
        client: reqwest::Client,
        environment: &Environment,
    ) -> (Self, Heard) {
        let clock = clock(environment);
        let board = Arc::new(Board::default());
        board.write(|state| state.started_at = clock.now());
        let (handle, requests) = Handle::new(Arc::clone(&board), REQUESTS_WAITING);
        let (news, heard) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let core = Self { clock, board, handle, metrics, client, news, stop };
        (core, Heard { requests, news: heard })
    }
}

/// The size of the store's segments, where a test of this build wants another one.
#[cfg_attr(not(debug_assertions), expect(unused_variables, reason = "only tests choose"))]
fn segment_bytes(environment: &Environment) -> Option<u64> {
    #[cfg(debug_assertions)]
    if let Some(bytes) = environment.filled("TEST_SEGMENT_BYTES") {
        return bytes.parse().ok();
    }
    None
}

/// The host's clock, unless a test of this build has its own.
#[cfg_attr(not(debug_assertions), expect(unused_variables, reason = "only tests have a clock"))]
fn clock(environment: &Environment) -> Arc<dyn Clock> {
    #[cfg(debug_assertions)]
    if let Some(clock) = super::test_clock::named_in(environment) {
        return clock;
    }
    Arc::new(SystemClock::new())
}

/// What decides, how it fails, and who performs what it decides.
pub(super) struct Deciding {
    pub(super) engine: JoinHandle<Option<()>>,
    pub(super) failing: watch::Sender<Option<String>>,
    pub(super) failed: watch::Receiver<Option<String>>,
    pub(super) lines_failed: watch::Receiver<Option<String>>,
    pub(super) performer: LocalPerformer,
    /// The newest wish that the daemon ends.
    pub(super) drains: watch::Receiver<Option<DrainAsked>>,
}

impl Daemon {
    async fn run(self, loaded: Loaded) -> Result<(), ServeError> {
        let metrics = Metrics::new(VERSION, REVISION.unwrap_or("unknown"))
            .map_err(|err| ServeError::machine("the metrics", &err))?;
        let proxy = Proxies::new(&self.environment.all()).rule();
        let client = notify::client(&proxy)
            .map_err(|err| ServeError::machine("the client for pings", &err))?;
        let (core, heard) = Core::new(Arc::new(metrics), client, &self.environment);
        let marks =
            Watermarks { low: self.settings.disk_low.value, full: self.settings.disk_full.value };
        let segment_bytes = segment_bytes(&self.environment);
        let mut stores =
            store::open(&self.settings.data.value, (marks, segment_bytes), &core.metrics)?;
        let server = Server::bind(&self.binds()).await?;
        // Before the first command runs: a signal must not leave it behind.
        let (mut signals, hangup) = (Signals::listen()?, hear(SignalKind::hangup())?);
        let mut deciding = tokio::select! {
            biased;
            // Nothing is decided yet: whatever is owed is on record, and the next start sees to it.
            reason = signals.told() => {
                tracing::info!(%reason, "stopping before the start is over");
                stores.log.close();
                return Ok(());
            }
            deciding = self.decide(&core, &mut stores, heard, loaded) => deciding?,
        };
        let watch = space::watch(Arc::clone(&stores.space), core.news.clone());
        task::spawn("the watch over the disk", watch);
        let upkeep = stores.upkeep(core.news.clone());
        upkeep.tell_head();
        let retention = self.retention(&core, &stores, &upkeep);
        let mut scheduler = match self.prepare(&core, &upkeep, &retention).await {
            Ok(scheduler) => scheduler,
            Err(err) => {
                self.interrupt(&deciding.performer).await;
                return Err(err);
            }
        };
        let serving =
            self.listen((&core, &stores), &retention, deciding.performer.runners(), server).await;
        tasks::watch_files(&self, &core, hangup);
        let append = AppendPath { news: core.news.clone(), space: Arc::clone(&stores.space) };
        let report = service::report(core.handle.clone(), Arc::clone(&core.clock), append);
        task::spawn_essential("the service's report", &deciding.failing, report);
        tasks::keep_alive(&self, &core, &stores.space);
        service::ready(core.board.read(|state| state.schedules.len()));
        let ended = self.until_over(&core, &upkeep, &mut signals, &mut deciding).await;
        service::stopping();
        if let Err(err) = scheduler.shutdown().await {
            tracing::debug!(error = %err, "the upkeep did not stop");
        }
        let ended = match ended {
            Ok(reason) => {
                self.stop_in_order(&core, &upkeep, &deciding.performer, reason).await;
                Ok(())
            }
            Err(err) => {
                // Nothing can be recorded any more; the next start tells of what is interrupted.
                self.interrupt(&deciding.performer).await;
                Err(err)
            }
        };
        core.stop.cancel();
        drop(serving.await);
        deciding.engine.abort();
        stores.log.close();
        upkeep.tell_head();
        ended
    }

    /// Starts the engine and those who carry out what it decides.
    async fn decide(
        &self,
        core: &Core,
        stores: &mut Stores,
        heard: Heard,
        loaded: Loaded,
    ) -> Result<Deciding, ServeError> {
        let job_settings = Arc::new(self.job_settings(&core.clock, &core.metrics)?);
        let runners = job_settings.runners.clone();
        let builtin = Classifier::new(&[]).map_err(|err| ServeError::Machine(err.to_string()))?;
        let local = LocalPerformer::new(
            stores.lines.clone(),
            job_settings,
            Arc::clone(&core.clock),
            Arc::new(builtin),
            Box::new(jitter),
        );
        let performer: Arc<dyn Performer> = Arc::new(local.clone());
        let courier: Arc<dyn Courier> = Arc::new(OutboxCourier::new(CourierParts {
            client: core.client.clone(),
            clock: Arc::clone(&core.clock),
            board: Arc::clone(&core.board),
            lines: stores.lines.clone(),
            projections: Arc::new(stores.projections.clone()),
            news: core.news.clone(),
        }));
        let (commits, committed) = mpsc::unbounded_channel();
        let (failing, failed) = watch::channel(None);
        task::spawn_essential("the care for a runner", &failing, runners.clone().keep_one());
        let committer = Committer {
            performer: Arc::clone(&performer),
            courier: Arc::clone(&courier),
            board: Arc::clone(&core.board),
            failed: failing.clone(),
        };
        task::spawn_essential("the committer", &failing, committer.run(committed, stores.position));
        let (draining, drains) = watch::channel(None);
        let mut parts = self.engine_parts(core, stores, performer, courier);
        parts.observers.push(Arc::new(DrainHeard(draining)));
        let (follow, stop) = (stores.projections.clone(), core.stop.child_token());
        let following = async move { follow.follow(stop).await };
        task::spawn_essential("the index's follower", &failing, following);
        let state = std::mem::take(&mut stores.state);
        let mut engine = Engine::new(parts, state, commits, core.news.clone());
        engine.begin_with_room(stores.space.seen());
        let mut heard = heard;
        engine.start(files(loaded), &mut heard.news).await;
        runners.forget_the_rest();
        crash::point(crash::Point::StartDecided);
        let deciding = engine.run(heard.requests, heard.news);
        let engine = task::spawn_essential("the engine", &failing, deciding);
        let lines_failed = stores.lines.failure();
        Ok(Deciding { engine, failing, failed, lines_failed, performer: local, drains })
    }

    fn engine_parts(
        &self,
        core: &Core,
        stores: &Stores,
        performer: Arc<dyn Performer>,
        courier: Arc<dyn Courier>,
    ) -> Parts {
        Parts {
            log: stores.log.clone(),
            clock: Arc::clone(&core.clock),
            performer,
            courier,
            definitions: Arc::new(self.folder.clone()),
            board: Arc::clone(&core.board),
            observers: vec![Arc::new(Counting(Arc::clone(&core.metrics)))],
            entropy: Box::new(|| http::auth::random().unwrap_or_default()),
            max_concurrent: self.settings.max_concurrent.value as usize,
            identity: Identity {
                version: VERSION.to_owned(),
                boot_id: boot_id(),
                zone_data: zone_data().version,
            },
        }
    }

    /// What must be there before requests are answered.
    async fn prepare(
        &self,
        core: &Core,
        upkeep: &Upkeep,
        retention: &Retention,
    ) -> Result<JobScheduler, ServeError> {
        upkeep.settle().await;
        let refused = |err| ServeError::machine("the upkeep's scheduler", &err);
        let scheduler = upkeep.start().await.map_err(refused)?;
        let every = self.settings.retention_every.value;
        retention.start(&scheduler, every).await.map_err(refused)?;
        tasks::admin_token(self, &core.handle).await?;
        Ok(scheduler)
    }

    /// Answers requests from now on.
    async fn listen(
        &self,
        (core, stores): (&Core, &Stores),
        retention: &Retention,
        runners: &Runners,
        server: Server,
    ) -> JoinHandle<Option<()>> {
        let addresses = server.addresses();
        let app = Arc::new(self.http_parts(
            (stores, retention),
            core,
            runners,
            addresses.first().copied(),
        ));
        let serving = server.serve(http::router(&app), core.stop.clone(), HTTP_GRACE);
        let serving = task::spawn("the HTTP server", serving);
        tasks::greet(self, &app, &addresses).await;
        serving
    }
}

/// A number from 0 to 1 that is good enough to spread retries.
fn jitter() -> f64 {
    let bytes: [u8; 4] = http::auth::random().unwrap_or([128; 4]);
    f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
}
