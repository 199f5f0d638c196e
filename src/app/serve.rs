//! The daemon from its start to its end.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::service::{self, AppendPath};
use super::store;
use super::upkeep::Upkeep;
use super::wiring::{Counting, Folder, files};
use crate::civil::zone_data;
use crate::cli::ServeOptions;
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Environment, Loaded, LogFormat, Paint, Problem, Settings};
use crate::domain::access::Role;
use crate::domain::classify::Classifier;
use crate::domain::event::Actor;
use crate::engine::board::Board;
use crate::engine::commit::Committer;
use crate::engine::handle::Handle;
use crate::engine::ports::{Courier, Performer, go_on};
use crate::engine::{Engine, Identity, Parts};
use crate::http;
use crate::http::server::{Bind, BindError, Server, SocketMode, TlsFiles};
use crate::jobs::probe::{Probe, system_roots};
use crate::jobs::{CredentialDirs, JobSettings, LocalPerformer};
use crate::notify::{self, Alive, CourierParts, OutboxCourier};
use crate::projection::Projections;
use crate::store::journal::OpenError;
use crate::telemetry::logging::{self, LogSettings};
use crate::telemetry::metrics::Metrics;

/// Requests that may wait for the engine.
const REQUESTS_WAITING: usize = 1_024;

/// Files that change together are read together after this time.
const FILES_QUIET: Duration = Duration::from_millis(300);

/// Open HTTP requests get so long to finish at the end.
const HTTP_GRACE: Duration = Duration::from_secs(5);

/// Why the daemon did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Settings or files are wrong: exit 78.
    #[error("{0}")]
    Configuration(String),
    /// Another daemon has the data folder: exit 7.
    #[error("{0}")]
    Locked(String),
    /// What is on disk cannot be used: exit 1.
    #[error("{0}")]
    Store(String),
    /// The machine refuses something: exit 1.
    #[error("{0}")]
    Machine(String),
}

impl ServeError {
    /// The process's exit code (contract, section 5).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Configuration(_) => 78,
            Self::Locked(_) => 7,
            Self::Store(_) | Self::Machine(_) => 1,
        }
    }

    pub(super) fn from_log(err: OpenError) -> Self {
        let hint = err.hint().map_or_else(String::new, |hint| format!("\nhint: {hint}"));
        let words = format!("{err}{hint}");
        if let OpenError::Locked { .. } = err { Self::Locked(words) } else { Self::Store(words) }
    }

    fn machine(what: &str, err: &dyn std::error::Error) -> Self {
        Self::Machine(format!("{what}: {err}"))
    }
}

impl From<BindError> for ServeError {
    fn from(err: BindError) -> Self {
        match err {
            BindError::InUse { .. } => Self::Locked(err.to_string()),
            BindError::Insecure { .. } | BindError::Tls { .. } => {
                Self::Configuration(err.to_string())
            }
            BindError::InTheWay { .. } | BindError::Listen { .. } => Self::Machine(err.to_string()),
        }
    }
}

/// `daybook serve`: runs the daemon, says why it ended, gives the exit code.
pub fn serve_command(options: ServeOptions, environment: Environment) -> u8 {
    match serve(&options.flags(), environment) {
        Ok(()) => 0,
        Err(err) => {
            // Nothing is left to tell when even standard error is closed.
            drop(writeln!(std::io::stderr(), "error: {err}"));
            err.exit_code()
        }
    }
}

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// [`ServeError`].
pub fn serve(flags: &config::Flags, environment: Environment) -> Result<(), ServeError> {
    let paint = Paint::choose(std::io::IsTerminal::is_terminal(&std::io::stderr()), &environment);
    let refuse =
        |problems: &[Problem]| ServeError::Configuration(config::render_all(problems, paint));
    let settings = Settings::load(flags, &environment).map_err(|problems| refuse(&problems))?;
    let _log = logging::init(&log_settings(&settings, &environment))
        .map_err(|err| ServeError::Configuration(err.to_string()))?;
    let folder = Folder { dir: settings.schedules.value.clone(), environment: environment.clone() };
    let loaded = folder.read();
    if loaded.has_errors() {
        return Err(refuse(&loaded.problems));
    }
    loaded
        .problems
        .iter()
        .for_each(|problem| tracing::warn!(%problem, "a file is accepted with a warning"));
    // Commands inherit it: what they write is nobody else's business.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
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

fn log_settings(settings: &Settings, environment: &Environment) -> LogSettings {
    LogSettings {
        level: settings.log_level.value.clone(),
        format: match settings.log_format.value {
            LogFormat::Auto | LogFormat::Journald => logging::Format::Auto,
            LogFormat::Text => logging::Format::Text,
            LogFormat::Json => logging::Format::Json,
        },
        folder: settings.log_dir.value.clone(),
        journal_stream: environment.filled("JOURNAL_STREAM").map(ToOwned::to_owned),
        no_color: environment.filled("NO_COLOR").is_some(),
    }
}

fn make_private(data: &Path) -> Result<(), ServeError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(data);
    made.map_err(|err| {
        ServeError::Machine(format!(
            "the data folder `{}`: {err}\nhint: name another one with --data",
            data.display()
        ))
    })
}

struct Daemon {
    settings: Settings,
    folder: Folder,
    environment: Environment,
}

/// What runs, for the end.
struct Running {
    handle: Handle,
    upkeep: Upkeep,
    stop: CancellationToken,
    failed: watch::Receiver<Option<String>>,
}

impl Daemon {
    async fn run(self, loaded: Loaded) -> Result<(), ServeError> {
        let settings = &self.settings;
        let revision = option_env!("DAYBOOK_REVISION").unwrap_or("unknown");
        let metrics = Metrics::new(env!("CARGO_PKG_VERSION"), revision);
        let metrics = Arc::new(metrics.map_err(|err| ServeError::machine("the metrics", &err))?);
        let mut stores = store::open(&settings.data.value, &metrics)?;
        let server = Server::bind(&self.binds()).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let stop = CancellationToken::new();
        let job_settings = Arc::new(self.job_settings()?);
        tokio::spawn(job_settings.processes.clone().collect_orphans());
        let (news, heard) = mpsc::unbounded_channel();
        let board = Arc::new(Board::default());
        board.write(|state| state.started_at = clock.now());
        let (handle, requests) = Handle::new(Arc::clone(&board), REQUESTS_WAITING);
        let builtin = Classifier::new(&[]).map_err(|err| ServeError::Machine(err.to_string()))?;
        let performer: Arc<dyn Performer> = Arc::new(LocalPerformer::new(
            stores.lines.clone(),
            job_settings,
            Arc::clone(&clock),
            Arc::new(builtin),
            Box::new(jitter),
        ));
        let client =
            notify::client().map_err(|err| ServeError::machine("the HTTP client", &err))?;
        let courier: Arc<dyn Courier> = Arc::new(OutboxCourier::new(CourierParts {
            client: client.clone(),
            clock: Arc::clone(&clock),
            board: Arc::clone(&board),
            lines: stores.lines.clone(),
            projections: Arc::new(stores.projections.clone()),
            news: news.clone(),
        }));
        let (commits, committed) = mpsc::unbounded_channel();
        let (failed, failure) = watch::channel(None);
        let committer = Committer {
            performer: Arc::clone(&performer),
            courier: Arc::clone(&courier),
            board: Arc::clone(&board),
            failed,
        };
        tokio::spawn(committer.run(committed, stores.position));
        let parts = Parts {
            log: stores.log.clone(),
            clock: Arc::clone(&clock),
            performer,
            courier,
            definitions: Arc::new(self.folder.clone()),
            board: Arc::clone(&board),
            observers: vec![Arc::new(Counting(Arc::clone(&metrics)))],
            entropy: Box::new(|| http::auth::random().unwrap_or_default()),
            max_concurrent: settings.max_concurrent.value as usize,
            identity: Identity {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                boot_id: boot_id(),
                zone_data: zone_data().version,
            },
        };
        let follow = stores.projections.clone();
        let stop_following = stop.child_token();
        tokio::spawn(async move { follow.follow(stop_following).await });
        let mut engine =
            Engine::new(parts, std::mem::take(&mut stores.state), commits, news.clone());
        engine.start(files(loaded)).await;
        let deciding = tokio::spawn(engine.run(requests, heard));
        let schedules = board.read(|state| state.schedules.len());
        let upkeep = Upkeep {
            log: stores.log.clone(),
            projections: stores.projections.clone(),
            checkpoints: Arc::new(Mutex::new((stores.checkpoints, stores.position))),
            news: news.clone(),
        };
        upkeep.settle().await;
        let mut scheduler = upkeep
            .start()
            .await
            .map_err(|err| ServeError::machine("the upkeep's scheduler", &err))?;
        self.define_metrics(&metrics, &board);
        self.admin_token(&handle).await?;
        let app = Arc::new(self.http_parts(
            &stores.log,
            stores.lines.clone(),
            stores.projections.clone(),
            HttpShared {
                handle: handle.clone(),
                metrics: Arc::clone(&metrics),
                clock: Arc::clone(&clock),
                stop: stop.clone(),
            },
        ));
        let addresses = server.addresses();
        let serving = tokio::spawn(server.serve(http::router(&app), stop.clone(), HTTP_GRACE));
        self.greet(&app, &addresses).await;
        self.watch_files(&handle, &metrics, &board);
        tokio::spawn(service::report(
            handle.clone(),
            Arc::clone(&clock),
            AppendPath { news: news.clone() },
        ));
        self.keep_alive(client, &clock, &board, &metrics);
        service::ready(schedules);
        let mut running = Running { handle, upkeep, stop, failed: failure };
        let ended = self.until_told(&mut running, stores.lines.failure()).await;
        service::stopping();
        if let Err(err) = scheduler.shutdown().await {
            tracing::debug!(error = %err, "the upkeep did not stop");
        }
        if let Ok(reason) = &ended {
            self.stop_in_order(&running, reason).await;
        }
        running.stop.cancel();
        drop(serving.await);
        deciding.abort();
        stores.log.close();
        ended.map(drop)
    }

    fn binds(&self) -> Vec<Bind> {
        let settings = &self.settings;
        // A runtime folder is the service's: its group may use the command line.
        let mode = if self.environment.filled("RUNTIME_DIRECTORY").is_some() {
            SocketMode::Group
        } else {
            SocketMode::User
        };
        let tls = settings.tls_cert.value.clone().zip(settings.tls_key.value.clone());
        vec![
            Bind::Unix { path: settings.socket.value.clone(), mode },
            Bind::Tcp {
                address: settings.listen.value,
                tls: tls.map(|(certificate, key)| TlsFiles { certificate, key }),
                insecure: settings.insecure_listen.value,
            },
        ]
    }

    /// The folder that holds the schedules folder.
    fn root(&self) -> PathBuf {
        let dir = &self.folder.dir;
        let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.clone());
        dir.parent().map_or_else(|| dir.clone(), Path::to_path_buf)
    }

    fn job_settings(&self) -> Result<JobSettings, ServeError> {
        let credentials = CredentialDirs {
            systemd: self.environment.path("CREDENTIALS_DIRECTORY"),
            data: self.settings.data.value.join("credentials"),
            root: self.root(),
            environment: Arc::new(self.environment.all()),
        };
        JobSettings::new(self.root(), credentials, self.settings.grace.value)
            .map_err(|err| ServeError::machine("the adoption of processes", &err))
    }

    fn http_parts(
        &self,
        log: &Arc<crate::store::journal::JournalLog>,
        lines: crate::store::lines::LineStore,
        projections: Projections,
        shared: HttpShared,
    ) -> http::Parts {
        let settings = &self.settings;
        let folder = self.folder.clone();
        let environment = self.environment.all();
        http::Parts {
            engine: shared.handle,
            log: log.clone(),
            store: store_access(log, &lines, &projections, &settings.data.value),
            projections,
            lines,
            metrics: shared.metrics,
            clock: shared.clock,
            probe: Probe {
                root: self.root(),
                credentials_directory: self.environment.path("CREDENTIALS_DIRECTORY"),
                credentials: settings.data.value.join("credentials"),
                path: environment.get("PATH").cloned().unwrap_or_default(),
                variables: environment.keys().cloned().collect(),
                roots: Arc::new(system_roots()),
            },
            settings: http::Settings {
                data: settings.data.value.clone(),
                base_url: Some(self.base_url(settings.listen.value)),
                metrics: settings.metrics.value,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                revision: option_env!("DAYBOOK_REVISION").unwrap_or("unknown").to_owned(),
            },
            files: Box::new(move || folder.read()),
            memory: http::Memory::default(),
            stop: shared.stop,
        }
    }

    fn base_url(&self, address: std::net::SocketAddr) -> String {
        let scheme = if self.settings.tls_cert.value.is_some() { "https" } else { "http" };
        format!("{scheme}://{address}")
    }

    fn define_metrics(&self, metrics: &Metrics, board: &Board) {
        super::wiring::define(metrics, board);
    }

    /// On the first start: an admin token in `<data>/token`, readable by the daemon's user alone.
    async fn admin_token(&self, handle: &Handle) -> Result<(), ServeError> {
        let path = self.settings.data.value.join("token");
        if !handle.tokens().is_empty() || path.exists() {
            return Ok(());
        }
        let new = http::auth::new_token("admin", Role::Admin)
            .map_err(|err| ServeError::machine("the admin token", &err))?;
        let refuse =
            |err: std::io::Error| ServeError::Machine(format!("`{}`: {err}", path.display()));
        let mut options = fs::OpenOptions::new();
        let mut file =
            options.write(true).create_new(true).mode(0o600).open(&path).map_err(refuse)?;
        std::io::Write::write_all(&mut file, format!("{}\n", new.text).as_bytes())
            .map_err(refuse)?;
        let created = handle.create_token(Actor::Daybook, new.record).await;
        created.map_err(|err| ServeError::machine("the admin token", &err)).map(drop)
    }

    /// Says where it listens; a login link only to a terminal or on request.
    async fn greet(&self, app: &http::App, addresses: &[std::net::SocketAddr]) {
        for address in addresses {
            tracing::info!(url = %self.base_url(*address), socket = %self.settings.socket.value.display(), "listening");
        }
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
        if !(terminal || self.settings.print_login.value) {
            return;
        }
        match http::login_url(app).await {
            Ok(url) => tracing::info!(%url, "log in to the console (once, within 10 minutes)"),
            Err(why) => tracing::warn!(%why, "no login link could be made"),
        }
    }

    /// Takes changed files over, on change and on SIGHUP.
    fn watch_files(&self, handle: &Handle, metrics: &Arc<Metrics>, board: &Arc<Board>) {
        let (handle, metrics, board) = (handle.clone(), Arc::clone(metrics), Arc::clone(board));
        let dir = self.folder.dir.clone();
        tokio::spawn(async move {
            let mut watch = match config::watch(&dir, FILES_QUIET) {
                Ok(watch) => Some(watch),
                Err(err) => {
                    tracing::warn!(error = %err, "changes of the files are not noticed; reload by SIGHUP or `daybook reload`");
                    None
                }
            };
            let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
            loop {
                let changed = async {
                    match &mut watch {
                        Some(watch) => watch.changed().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = changed => (),
                    _ = hangup.recv() => (),
                }
                match handle.reload(Actor::Daybook).await {
                    Ok(done) => tracing::info!(
                        accepted = done.value.accepted.len(),
                        removed = done.value.removed.len(),
                        problems = done.value.problems.len(),
                        "the files were read again"
                    ),
                    Err(err) => tracing::warn!(error = %err, "the files were not read again"),
                }
                super::wiring::define(&metrics, &board);
            }
        });
    }

    fn keep_alive(
        &self,
        client: reqwest::Client,
        clock: &Arc<dyn Clock>,
        board: &Arc<Board>,
        metrics: &Arc<Metrics>,
    ) {
        let Some(url) = self.settings.ping.value.as_deref().and_then(|url| url.parse().ok()) else {
            return;
        };
        let metrics = Arc::clone(metrics);
        tokio::spawn(notify::keep_pinging(Alive {
            client,
            clock: Arc::clone(clock),
            board: Arc::clone(board),
            url,
            period: self.settings.ping_every.value,
            counted: Box::new(move |taken| {
                use crate::domain::event::Delivery;
                metrics.ping("alive", if taken { Delivery::Sent } else { Delivery::Failed });
            }),
        }));
    }

    /// Waits for a signal, or for the first failure of the disk.
    async fn until_told(
        &self,
        running: &mut Running,
        mut lines: watch::Receiver<Option<String>>,
    ) -> Result<String, ServeError> {
        let refuse = |err: std::io::Error| ServeError::machine("the signals", &err);
        let mut term = signal(SignalKind::terminate()).map_err(refuse)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(refuse)?;
        tokio::select! {
            _ = term.recv() => Ok("SIGTERM".to_owned()),
            _ = interrupt.recv() => Ok("SIGINT".to_owned()),
            why = first(&mut running.failed) => Err(ServeError::Store(format!("the event log failed: {why}"))),
            why = first(&mut lines) => Err(ServeError::Store(format!("the line store failed: {why}"))),
        }
    }

    /// Starts nothing more, gives what runs the grace, records the stop and writes a checkpoint.
    async fn stop_in_order(&self, running: &Running, reason: &str) {
        tracing::info!(%reason, "stopping");
        go_on(&running.upkeep.news, Engine::drain);
        let idle = async {
            while running.handle.status().running > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(self.settings.grace.value, idle).await.is_err() {
            tracing::warn!(running = running.handle.status().running, "executions are interrupted");
        }
        let reason = reason.to_owned();
        go_on(&running.upkeep.news, move |engine| engine.record_stop(&reason));
        running.upkeep.settle().await;
        running.upkeep.checkpoint(0).await;
    }
}

struct HttpShared {
    handle: Handle,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
}

/// The first failure that `failed` tells of.
async fn first(failed: &mut watch::Receiver<Option<String>>) -> String {
    match failed.wait_for(Option::is_some).await {
        Ok(why) => why.clone().unwrap_or_default(),
        Err(_ended) => std::future::pending().await,
    }
}

fn store_access(
    log: &Arc<crate::store::journal::JournalLog>,
    lines: &crate::store::lines::LineStore,
    projections: &Projections,
    data: &Path,
) -> http::StoreAccess {
    let (shown, lines_shown, projections, data) =
        (Arc::clone(log), lines.clone(), projections.clone(), data.display().to_string());
    let (checked, lines_checked) = (Arc::clone(log), lines.clone());
    http::StoreAccess {
        info: Box::new(move || {
            let (head, position) = shown.head();
            let status = projections.status();
            Ok(http::StoreInfo {
                data: data.clone(),
                position,
                head: http::auth::hex(&head),
                journal_bytes: shown.size_bytes(),
                lines_bytes: lines_shown.size_bytes(),
                index_bytes: status.size_bytes,
                indexed: status.position,
                rebuilding: status.rebuilding,
            })
        }),
        verify: Box::new(move || {
            let report = checked.verify_now().map_err(|err| err.to_string())?;
            let lines = lines_checked.verify().map_err(|err| err.to_string())?;
            Ok(super::wiring::verified(&report, &lines))
        }),
    }
}

/// A number from 0 to 1 that is good enough to spread retries.
fn jitter() -> f64 {
    let bytes: [u8; 4] = http::auth::random().unwrap_or([128; 4]);
    f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
}

/// The kernel's boot id; empty where there is none.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| String::new(), |id| id.trim().to_owned())
}
