//! A bench for tests: a folder, a line store, and real attempts of real jobs on it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard, mpsc};
use tokio_util::sync::CancellationToken;

use super::survivors::Survivors;
use super::{
    AttemptContext, AttemptReport, Caller, CredentialDirs, JobSettings, Made, Redactor, Runners,
    Scribe, ScribeNews, ScribeParts, ScribeSummary, run_attempt,
};
use crate::clock::{Clock, Woke};
use crate::domain::class::{Level, Source};
use crate::domain::classify::Classifier;
use crate::domain::definition::{
    CatchUp, CatchUpMode, Dst, Http, Interface, Job, Limits, OnInterrupt, Overlap, Retention,
    Retry, Role, Schedule, Timing,
};
use crate::domain::event::{Opened, Trigger};
use crate::domain::line::Line;
use crate::ids::{ExecutionId, ScheduleRef};
use crate::instant::Instant;
use crate::store::lines::{LineQuery, LineStore, LinesOptions, LogWriter};
use crate::store::space::Space;
use crate::telemetry::metrics::Metrics;

mod performing;
mod threads;
mod trees;

pub(super) use performing::Outlived;
pub(super) use threads::started;
pub(super) use trees::{Trees, in_each_way};

/// Only one attempt at a time, so that what one leaves behind is never taken for another one's.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Waits until no attempt of another test runs, and keeps it so.
pub(super) async fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().await
}

pub(super) struct StillClock;

impl Clock for StillClock {
    fn now(&self) -> Instant {
        Instant::parse("2026-10-25T00:30:05Z").expect("valid")
    }

    fn sleep_until(&self, _at: Instant) -> Pin<Box<dyn Future<Output = Woke> + Send + '_>> {
        Box::pin(std::future::ready(Woke::OnTime))
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

/// A clock that nothing ever waits long enough for: a planned retry stays planned.
struct EndlessClock;

impl Clock for EndlessClock {
    fn now(&self) -> Instant {
        StillClock.now()
    }

    fn sleep_until(&self, _at: Instant) -> Pin<Box<dyn Future<Output = Woke> + Send + '_>> {
        Box::pin(std::future::pending())
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

pub(super) struct Bench {
    pub(super) root: TempDir,
    pub(super) interface: Interface,
    pub(super) schedule: Schedule,
    pub(super) opened: Opened,
    pub(super) execution: ExecutionId,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) grace: Duration,
    pub(super) caller: Option<Caller>,
    pub(super) cancel: CancellationToken,
    pub(super) trees: Trees,
    /// The room on the disk of its lines; none is as much as there is.
    pub(super) space: Option<Arc<Space>>,
    /// Cancels the attempt at its first error line.
    pub(super) cancel_at_error: bool,
    /// Cancelled: the daemon stops.
    pub(super) interrupt: CancellationToken,
}

/// What a log says while it is written.
type Seen = mpsc::UnboundedReceiver<ScribeNews>;

pub(super) struct Finished {
    pub(super) report: AttemptReport,
    pub(super) lines: Vec<Line>,
    pub(super) summary: ScribeSummary,
    pub(super) news: Vec<ScribeNews>,
}

impl Finished {
    /// Texts of the lines from `source`.
    pub(super) fn texts(&self, source: Source) -> Vec<&str> {
        self.lines.iter().filter(|l| l.source == source).map(|l| l.text.as_str()).collect()
    }

    pub(super) fn warnings(&self) -> Vec<&str> {
        self.lines.iter().filter(|l| l.level == Level::Warning).map(|l| l.text.as_str()).collect()
    }

    pub(super) fn closing(&self) -> &Line {
        self.lines.last().expect("an attempt has a closing line")
    }
}

pub(super) fn shell(text: &str) -> Bench {
    Bench::new(Job::Shell(text.to_owned()))
}

pub(super) fn command(arguments: &[&str]) -> Bench {
    Bench::new(Job::Command(arguments.iter().map(|text| (*text).to_owned()).collect()))
}

pub(super) fn http(method: &str, url: &str) -> Http {
    Http {
        method: method.to_owned(),
        url: url.to_owned(),
        headers: BTreeMap::new(),
        body: None,
        expect: Vec::new(),
        max_body_bytes: 1 << 20,
    }
}

impl Bench {
    pub(super) fn new(job: Job) -> Self {
        let name: ScheduleRef = "fnac/sales".parse().expect("valid");
        let slot = Instant::parse("2026-10-25T00:30:00Z").expect("valid");
        let mut entropy = [0; 10];
        entropy.copy_from_slice(&rand_bytes()[..10]);
        let execution = ExecutionId::random(slot, entropy);
        Self {
            root: tempfile::tempdir().expect("folder"),
            interface: interface(&name),
            schedule: schedule(job),
            opened: Opened {
                schedule: name,
                slot: Some(slot),
                trigger: Trigger::Cron,
                definition_version: 1,
                params: BTreeMap::new(),
                rerun_of: None,
                root: execution,
                idempotency_key: "key-1".to_owned(),
                previous_slot: None,
                last_ok_slot: None,
                priority: 0,
                forced: false,
            },
            execution,
            environment: BTreeMap::new(),
            grace: Duration::from_millis(300),
            caller: None,
            cancel: CancellationToken::new(),
            trees: Trees::Proc,
            space: None,
            cancel_at_error: false,
            interrupt: CancellationToken::new(),
        }
    }

    pub(super) fn credential(&self, name: &str, value: &str) {
        use std::os::unix::fs::PermissionsExt;
        let folder = self.root.path().join("data/credentials");
        std::fs::create_dir_all(&folder).expect("folder");
        std::fs::write(folder.join(name), value).expect("file");
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(folder.join(name), mode).expect("mode");
    }

    pub(super) fn settings(&mut self) -> JobSettings {
        let credentials = CredentialDirs {
            systemd: None,
            data: self.root.path().join("data/credentials"),
            root: self.root.path().to_owned(),
            environment: Arc::new(self.environment.clone()),
        };
        let caller = self.caller.take().unwrap_or_else(|| Caller::new(&credentials.environment));
        JobSettings {
            root: self.root.path().to_owned(),
            credentials,
            grace: self.grace,
            interrupt: self.interrupt.clone(),
            runners: self.runners(),
            caller,
            metrics: metrics(),
        }
    }

    /// A runner in this process.
    fn runners(&self) -> Runners {
        let shared = (Arc::new(StillClock) as Arc<dyn Clock>, metrics());
        Runners::inside(self.root.path().join("runs"), self.trees.processes(), shared)
    }

    pub(super) fn lines(&self) -> LineStore {
        let folder = self.root.path().join("lines");
        let options = LinesOptions::default();
        let opened = match &self.space {
            Some(space) => LineStore::open_with_room(&folder, options, Arc::clone(space)),
            None => LineStore::open(&folder, options),
        };
        opened.expect("a line store").0
    }

    /// Somebody who writes its log with `writer`.
    pub(super) fn scribe(&self, writer: LogWriter) -> (Scribe, Seen) {
        let (seen, news) = mpsc::unbounded_channel();
        let scribe = Scribe::new(ScribeParts {
            writer,
            classifier: Arc::new(Classifier::new(&[]).expect("no rules")),
            secrets: Redactor::none(),
            clock: Arc::new(StillClock),
            max_log_bytes: self.schedule.max_log_bytes,
            metrics: metrics(),
            interface: self.interface.id.clone(),
            seen,
        });
        (scribe, news)
    }

    /// What one attempt needs, with its log in `store`.
    pub(super) fn attempt(&mut self, store: &LineStore) -> (AttemptContext, Scribe, Seen) {
        let (scribe, news) = self.scribe(store.writer(self.execution));
        let schedule: crate::ids::ScheduleId = "sales".parse().expect("valid");
        self.interface.schedules.insert(schedule.clone(), self.schedule.clone());
        let context = AttemptContext {
            execution: self.execution,
            attempt: 1,
            interface: Arc::new(self.interface.clone()),
            schedule,
            opened: Arc::new(self.opened.clone()),
            settings: Arc::new(self.settings()),
            clock: Arc::new(StillClock),
            cancel: self.cancel.clone(),
            draining: self.interrupt.child_token(),
            lines: store.clone(),
            survivors: Arc::new(Survivors::new(None)),
        };
        (context, scribe, news)
    }

    /// Runs one attempt and reads its log.
    pub(super) async fn run(mut self) -> Finished {
        let _alone = ONE_AT_A_TIME.lock().await;
        let store = self.lines();
        let (context, mut scribe, mut news) = self.attempt(&store);
        let mut told = Vec::new();
        let made = {
            let attempt = run_attempt(&context, &mut scribe);
            tokio::pin!(attempt);
            loop {
                tokio::select! {
                    made = &mut attempt => break made,
                    Some(item) = news.recv() => {
                        told.push(item);
                        if self.cancel_at_error {
                            self.cancel.cancel();
                        }
                    }
                }
            }
        };
        let Made::Ended(report) = made else { panic!("it was left to its runner") };
        let summary = scribe.finish().await.expect("all lines are written");
        while let Ok(item) = news.try_recv() {
            told.push(item);
        }
        let query = LineQuery { limit: usize::MAX, ..LineQuery::default() };
        let lines = store.read(self.execution, &query).expect("readable");
        Finished { report, lines, summary, news: told }
    }
}

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new("0.1.0", "test").expect("unique names"))
}

fn rand_bytes() -> [u8; 16] {
    let folder = tempfile::tempdir().expect("folder");
    let hash = blake3::hash(folder.path().as_os_str().as_encoded_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_bytes()[..16]);
    bytes
}

fn interface(name: &ScheduleRef) -> Interface {
    Interface {
        id: name.interface.clone(),
        name: "FNAC".to_owned(),
        kind: None,
        timezone: "Europe/Paris".to_owned(),
        owner: None,
        runbook: None,
        labels: BTreeMap::new(),
        retention: Retention::default(),
        notify: None,
        env: BTreeMap::new(),
        limits: Limits::default(),
        rules: Vec::new(),
        blackout: Vec::new(),
        calendars: BTreeMap::new(),
        schedules: BTreeMap::new(),
    }
}

fn schedule(job: Job) -> Schedule {
    Schedule {
        enabled: true,
        timing: Timing::Manual,
        timezone: "Europe/Paris".to_owned(),
        job,
        cwd: ".".to_owned(),
        params: BTreeMap::new(),
        ok_exit: vec![0],
        timeout_ms: Some(60_000),
        anomaly_after_ms: 3_600_000,
        retry: Retry { attempts: 1, delay_ms: 0, factor: 1.0, max_delay_ms: 0, on: Vec::new() },
        overlap: Overlap::Skip,
        catch_up: CatchUp { mode: CatchUpMode::Last, window_ms: 0, max: 24, rate: None },
        dst: Dst::default(),
        role: Role::Regular,
        on_interrupt: OnInterrupt::Ko,
        max_log_bytes: 1 << 30,
        ping: None,
        priority: 0,
        lock: None,
        splay_ms: 0,
        calendars: None,
    }
}
