//! A bench for tests: a folder, a line store, and real attempts of real jobs on it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard, mpsc};
use tokio_util::sync::CancellationToken;

use super::procfs::{self, Process};
use super::survivors::Survivors;
use super::{
    AttemptContext, AttemptReport, Caller, CredentialDirs, JobSettings, LocalPerformer, Made,
    Redactor, Runners, Scribe, ScribeNews, ScribeParts, ScribeSummary, run_attempt,
};
use crate::clock::{Clock, Woke};
use crate::domain::class::{Class, Level, Source};
use crate::domain::classify::Classifier;
use crate::domain::definition::{
    CatchUp, CatchUpMode, Dst, Http, Interface, Job, Limits, OnInterrupt, Overlap, Retention,
    Retry, Role, Schedule, Timing,
};
use crate::domain::event::{Opened, Trigger};
use crate::domain::execution::{Command, Conclusion};
use crate::domain::line::Line;
use crate::engine::ports::{News, Performer, Reporter, Unfinished, Work};
use crate::ids::{ExecutionId, ScheduleRef};
use crate::instant::Instant;
use crate::store::lines::{LineQuery, LineStore, LinesOptions, NewLine};
use crate::store::space::Space;
use crate::telemetry::metrics::Metrics;

mod threads;
mod trees;

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

    fn lines(&self) -> LineStore {
        let folder = self.root.path().join("lines");
        let options = LinesOptions::default();
        let opened = match &self.space {
            Some(space) => LineStore::open_with_room(&folder, options, Arc::clone(space)),
            None => LineStore::open(&folder, options),
        };
        opened.expect("a line store").0
    }

    /// A performer, the execution as work for it, and its lines.
    fn performer(mut self) -> (LocalPerformer, Work, LineStore, TempDir) {
        let lines = self.lines();
        let performer = self.performer_on(lines.clone());
        self.interface.schedules.insert(self.opened.schedule.schedule.clone(), self.schedule);
        let work = Work {
            execution: self.execution,
            opened: Arc::new(self.opened),
            interface: Some(Arc::new(self.interface)),
            attempts: 1,
            cancel: self.cancel,
        };
        (performer, work, lines, self.root)
    }

    /// Has a performer perform the execution, stops it at its first report, and has the next one take over and cancel.
    /// `sleepers` are command lines of what runs.
    pub(super) async fn outlived(self, sleepers: &[String]) -> Outlived {
        let (trees, execution) = (self.trees, self.execution);
        let (environment, grace) = (self.environment.clone(), self.grace);
        let told_first;
        let (lines, root, work) = {
            let _alone = ONE_AT_A_TIME.lock().await;
            let (performer, work, lines, root) = self.performer();
            told_first = stopped_at_once(performer, work.clone()).await;
            (lines, root, work)
        };
        let line_of = |process: &Process| process.describe(&Redactor::none());
        let all: Vec<String> = procfs::all().iter().map(line_of).collect();
        let lives = sleepers.iter().all(|line| all.iter().any(|one| one.contains(line.as_str())));
        let mut next = Bench::new(Job::Shell(String::new()));
        (next.root, next.trees, next.environment, next.grace) = (root, trees, environment, grace);
        let _alone = ONE_AT_A_TIME.lock().await;
        let performer = next.performer_on(lines.clone());
        assert_eq!(performer.held().await.get(&execution).map(|held| held.number), Some(1));
        work.cancel.cancel();
        let (news, mut heard) = mpsc::unbounded_channel();
        let performed = tokio::spawn(performer.take_over(work, Reporter { execution, news }));
        let mut told_by_next = Vec::new();
        while let Some(News::Happened { commands, done, .. }) = heard.recv().await {
            told_by_next.extend(commands);
            done.map_or(Ok(()), |done| done.send(())).expect("it is waited for");
        }
        performed.await.expect("no panic");
        let lines = lines.read(execution, &LineQuery::default()).expect("readable");
        Outlived { told: told_first, lives, told_by_next, lines }
    }

    /// Has a performer perform the execution, interrupts it at its first report, and gives all reports.
    pub(super) async fn interrupted(self) -> Vec<Command> {
        let _alone = ONE_AT_A_TIME.lock().await;
        let (performer, work, _lines, _root) = self.performer();
        stopped_at_once(performer, work).await
    }

    fn performer_on(&mut self, lines: LineStore) -> LocalPerformer {
        let settings = Arc::new(self.settings());
        let builtin = Arc::new(Classifier::new(&[]).expect("no rules"));
        let jitter = Box::new(|| 1.0);
        LocalPerformer::new(lines, settings, Arc::new(EndlessClock), builtin, jitter)
    }

    /// Has a performer perform the execution, lets the daemon stop once the first line is on disk, and gives all reports
    /// with the log.
    pub(super) async fn drained(self) -> (Vec<Command>, Vec<Line>) {
        let _alone = ONE_AT_A_TIME.lock().await;
        let execution = self.execution;
        let (performer, work, lines, _root) = self.performer();
        let mut log = lines.follow(execution);
        let (news, mut heard) = mpsc::unbounded_channel();
        let performed = tokio::spawn(performer.perform(work, Reporter { execution, news }));
        drop(log.wait_for(|log| log.last_line >= 1).await.expect("a line"));
        performer.drain();
        let mut told = Vec::new();
        while let Some(News::Happened { commands, .. }) = heard.recv().await {
            told.extend(commands);
        }
        performed.await.expect("no panic");
        (told, lines.read(execution, &LineQuery::default()).expect("readable"))
    }

    /// Has a performer perform the execution to its end; each report with the number of lines that were on disk when it
    /// was heard, and the log.
    pub(super) async fn performed(self) -> (Vec<(Command, u64)>, Vec<Line>) {
        let _alone = ONE_AT_A_TIME.lock().await;
        let execution = self.execution;
        let (performer, work, lines, _root) = self.performer();
        let log = lines.follow(execution);
        let (news, mut heard) = mpsc::unbounded_channel();
        let performed = tokio::spawn(performer.perform(work, Reporter { execution, news }));
        let mut told = Vec::new();
        while let Some(News::Happened { commands, .. }) = heard.recv().await {
            let on_disk = log.borrow().last_line;
            told.extend(commands.into_iter().map(|command| (command, on_disk)));
        }
        performed.await.expect("no panic");
        (told, lines.read(execution, &LineQuery::default()).expect("readable"))
    }

    /// Has a performer go on with the execution, whose first attempt left the error line and the note of `former`.
    pub(super) async fn resumed(self, former: [&str; 2]) -> (Vec<Command>, Vec<Line>) {
        let _alone = ONE_AT_A_TIME.lock().await;
        let execution = self.execution;
        let (performer, work, lines, _root) = self.performer();
        let mut writer = lines.writer(execution);
        let note = NewLine {
            at: StillClock.now(),
            attempt: 1,
            source: Source::Daybook,
            level: Level::Info,
            class: None,
            cause: None,
            text: former[1],
            cascade_of: None,
            fields: None,
        };
        let class = Some(Class::Mapping);
        writer.push(NewLine { level: Level::Error, class, text: former[0], ..note });
        writer.push(note);
        writer.finish().await.expect("written");
        let (news, mut heard) = mpsc::unbounded_channel();
        let past = StillClock.now();
        let performed = tokio::spawn(performer.resume(work, past, Reporter { execution, news }));
        let mut told = Vec::new();
        while let Some(News::Happened { commands, done, .. }) = heard.recv().await {
            told.extend(commands);
            if let Some(done) = done {
                done.send(()).expect("the performer waits for it");
            }
        }
        performed.await.expect("no panic");
        (told, lines.read(execution, &LineQuery::default()).expect("readable"))
    }

    /// Has a performer go on with the execution where nothing gets recorded any more, interrupts it at its first report,
    /// and gives all reports.
    pub(super) async fn resumed_without_a_journal(self) -> Vec<Command> {
        let _alone = ONE_AT_A_TIME.lock().await;
        let execution = self.execution;
        let (performer, work, lines, _root) = self.performer();
        lines.writer(execution).finish().await.expect("written");
        let (news, mut heard) = mpsc::unbounded_channel();
        let past = StillClock.now();
        let performed = tokio::spawn(performer.resume(work, past, Reporter { execution, news }));
        let (mut told, mut unanswered) = (Vec::new(), Vec::new());
        let ended = tokio::time::timeout(Duration::from_secs(10), async {
            while let Some(News::Happened { commands, done, .. }) = heard.recv().await {
                told.extend(commands);
                unanswered.push(done);
                performer.interrupt();
            }
            performer.idle().await;
        });
        ended.await.expect("the interrupt ends it");
        performed.await.expect("no panic");
        told
    }

    /// Has a performer conclude the execution, and reads its log.
    pub(super) async fn concluded(self, why: Unfinished) -> (Conclusion, Vec<Line>) {
        let _alone = ONE_AT_A_TIME.lock().await;
        let (performer, work, lines, _root) = self.performer();
        let execution = work.execution;
        let conclusion = performer.conclude(work, why).await;
        (conclusion, lines.read(execution, &LineQuery::default()).expect("readable"))
    }

    /// Runs one attempt and reads its log.
    pub(super) async fn run(mut self) -> Finished {
        let _alone = ONE_AT_A_TIME.lock().await;
        let store = self.lines();
        let (seen, mut news) = mpsc::unbounded_channel();
        let mut scribe = Scribe::new(ScribeParts {
            writer: store.writer(self.execution),
            classifier: Arc::new(Classifier::new(&[]).expect("no rules")),
            secrets: Redactor::none(),
            clock: Arc::new(StillClock),
            max_log_bytes: self.schedule.max_log_bytes,
            metrics: metrics(),
            interface: self.interface.id.clone(),
            seen,
        });
        let settings = Arc::new(self.settings());
        let schedule: crate::ids::ScheduleId = "sales".parse().expect("valid");
        self.interface.schedules.insert(schedule.clone(), self.schedule.clone());
        let context = AttemptContext {
            execution: self.execution,
            attempt: 1,
            interface: Arc::new(self.interface),
            schedule,
            opened: Arc::new(self.opened),
            settings,
            clock: Arc::new(StillClock),
            cancel: self.cancel.clone(),
            draining: self.interrupt.child_token(),
            lines: store.clone(),
            survivors: Arc::new(Survivors::new(None)),
        };
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

/// What became of an execution that outlived its first performer.
pub(super) struct Outlived {
    /// By the first one.
    pub(super) told: Vec<Command>,
    /// Whether all of it lived when that was gone.
    pub(super) lives: bool,
    pub(super) told_by_next: Vec<Command>,
    pub(super) lines: Vec<Line>,
}

/// All that `performer` reports until it is stopped, at its first report.
async fn stopped_at_once(performer: LocalPerformer, work: Work) -> Vec<Command> {
    let execution = work.execution;
    let (news, mut heard) = mpsc::unbounded_channel();
    let performed = tokio::spawn(performer.perform(work, Reporter { execution, news }));
    let mut told = Vec::new();
    while let Some(News::Happened { commands, .. }) = heard.recv().await {
        told.extend(commands);
        performer.interrupt();
    }
    performer.idle().await;
    performed.await.expect("no panic");
    told
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
