//! Slots of 100,000 schedules: how long after its instant each is decided and durable, beside a bare timer and one group
//! commit measured in the same run.
//!
//! `cargo bench --bench slots [-- SCHEDULES [SECONDS] [FOLDER]]` (default: 100,000 schedules, 120 s, a scratch folder
//! below `.`). The schedules stand in 100 interfaces and come once a minute each, spread evenly over its seconds, so that
//! 1,667 fall on every whole second. Engine, committer and journal are the daemon's own, on the host's clock; the job
//! ends at once and writes no line. Index, checkpoints, metrics and HTTP are not in the run.
//!
//! A slot counts as durable when the group that holds its `SlotStarted` has been synced and acknowledged: the journal's
//! writer stamps each group with the wall clock, and the positions say afterwards which slots were in it. Nothing is
//! read while the run lasts. The limit is a kernel timer at whole seconds, then one write and one `fdatasync` of as many
//! bytes as the decisions of one second took.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

#[path = "common/at_once.rs"]
mod at_once;

use std::collections::HashSet;
use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use at_once::{AtOnce, Nobody};
use daybook::app::checks;
use daybook::clock::{Clock, SystemClock};
use daybook::config::{self, load_text};
use daybook::domain::definition::Interface;
use daybook::domain::event::{Change, Event};
use daybook::engine::board::Board;
use daybook::engine::commit::Committer;
use daybook::engine::handle::Handle;
use daybook::engine::ports::{Courier, Definitions, FileProblem, Files, News, Performer, settled};
use daybook::engine::state::State;
use daybook::engine::{Engine, Identity, Parts};
use daybook::ids::{ExecutionId, InterfaceId, Position};
use daybook::instant::Instant;
use daybook::store::journal::{Commit, JournalLog, JournalOptions, OnCommit};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant as Moment;

type Failure = Box<dyn Error>;

const INTERFACES: u64 = 100;
const SCHEDULES: u64 = 100_000;
const SECONDS: u64 = 120;
/// Executions at once, as the daemon has it by default.
const MAX_CONCURRENT: usize = 128;
/// Whole seconds at which the limit is measured, at least and at most.
const LIMIT_ROUNDS: (u64, u64) = (10, 60);
/// How long the engine may take to finish what its start or the run has left.
const PATIENCE: Duration = Duration::from_secs(120);
/// What one append adds to its two events on disk, in bytes: the headers of its frame and records.
const FRAMING_BYTES: u64 = 60 + 2 * 8;

fn main() -> Result<(), Failure> {
    let size = Size::from_arguments()?;
    let folder = tempfile::tempdir_in(&size.folder)?;
    tokio::runtime::Runtime::new()?.block_on(measure(&size, folder.path()))
}

/// What is asked for.
struct Size {
    schedules: u64,
    seconds: u64,
    folder: PathBuf,
}

impl Size {
    fn from_arguments() -> Result<Self, Failure> {
        let mut numbers = Vec::new();
        let mut folder = PathBuf::from(".");
        for argument in std::env::args().skip(1).filter(|argument| !argument.starts_with('-')) {
            match argument.parse::<u64>() {
                Ok(0) => return Err("schedules and seconds must be at least 1".into()),
                Ok(number) => numbers.push(number),
                Err(_) => folder = PathBuf::from(argument),
            }
        }
        let number = |at: usize, default: u64| numbers.get(at).copied().unwrap_or(default);
        Ok(Self { schedules: number(0, SCHEDULES), seconds: number(1, SECONDS), folder })
    }
}

async fn measure(size: &Size, folder: &Path) -> Result<(), Failure> {
    row("schedules", &format!("{} in {INTERFACES} interfaces, {} s", size.schedules, size.seconds));
    let began = Moment::now();
    let running = Running::start(&folder.join("journal"), size.schedules).await?;
    running.settle().await?;
    row("definitions accepted", &format!("{:.1} s until durable", began.elapsed().as_secs_f64()));
    if !running.idle().await? {
        row("not idle", "the run begins although executions of the start are still open");
    }
    row("peak memory, start", &format!("{:.0} MB", peak_memory_mb()));
    let run = Run::over(size.seconds).await?;
    if !running.idle().await? {
        row("not idle", "executions are still open long after the run");
    }
    if let Some(why) = &*running.failed.borrow() {
        return Err(why.clone().into());
    }
    let (log, groups) = running.stop().await;
    let slots = read_back(&log, &groups, &run.window)?;
    print_run(size, &run, &groups, &slots);
    let herd = size.schedules.div_ceil(60);
    let bytes = slots.bytes_each() * herd;
    let rounds = size.seconds.clamp(LIMIT_ROUNDS.0, LIMIT_ROUNDS.1);
    let (timer, group) = limit(&folder.join("raw"), bytes, rounds).await?;
    row("limit: timer alone", &timer.shown());
    row("limit: timer, group", &format!("{}; {herd} records, {bytes} bytes", group.shown()));
    row("ratio of p99", &format!("{:.2}", Percentiles::of(slots.durable_ms).p99 / group.p99));
    Ok(())
}

fn row(name: &str, figure: &str) {
    println!("{name:<22} {figure}");
}

fn print_run(size: &Size, run: &Run, groups: &[Group], slots: &Slots) {
    let expected: u64 = run.window.clone().map(|second| due_at(size.schedules, second)).sum();
    let started = slots.started.len() as u64;
    let (twice, passed) = (slots.twice, slots.passed);
    let missing = expected.saturating_sub(started + passed);
    row("slots expected", &expected.to_string());
    row("slots started", &format!("{started}; {twice} twice, {passed} passed, {missing} missing"));
    let durable = Percentiles::of(slots.durable_ms.clone());
    row("decided and durable", &format!("{} (wanted: p99 10.00 or less)", durable.shown()));
    row("engine woken", &Percentiles::of(slots.woken_ms.clone()).shown());
    let seconds = size.seconds as f64;
    let share = run.cpu.as_secs_f64() / seconds * 100.0;
    row("processor time", &format!("{share:.1} % of a core (wanted: 15.0 or less)"));
    let second = |group: &Group| group.at_ns.div_euclid(1_000_000_000);
    let groups: Vec<&Group> =
        groups.iter().filter(|group| run.window.contains(&second(group))).collect();
    let sum = |of: fn(&Commit) -> u64| {
        groups.iter().map(|group| of(&group.commit)).sum::<u64>() as f64 / seconds
    };
    let (appends, events) = (sum(|commit| commit.appends), sum(|commit| commit.events));
    row("events", &format!("{events:.0} /s in {appends:.0} appends /s"));
    let each = events * seconds / started.max(1) as f64;
    let bytes = slots.bytes_each();
    row("one execution", &format!("{each:.1} events; slot and opening {bytes} bytes"));
    let took = groups.iter().map(|group| group.commit.took.as_secs_f64() * 1e3).collect();
    let rate = groups.len() as f64 / seconds;
    let sync = Percentiles::of(took).shown();
    row("group commits", &format!("{rate:.0} /s, write and sync {sync}"));
    let peak = if run.is_own_peak { "peak memory, run" } else { "peak memory, in all" };
    row(peak, &format!("{:.0} MB", run.peak_mb));
}

/// How many of the schedules are due at a second since the epoch.
fn due_at(schedules: u64, second: i64) -> u64 {
    let within = second.rem_euclid(60).unsigned_abs();
    schedules / 60 + u64::from(within < schedules % 60)
}

/// The schedules, as their files would say.
struct Spread(u64);

impl Definitions for Spread {
    fn load(&self) -> Files {
        let each = self.0.div_ceil(INTERFACES);
        let mut files = Files::default();
        for number in 0..self.0.div_ceil(each) {
            let schedules = number * each..self.0.min((number + 1) * each);
            let text: String = schedules.map(schedule).collect();
            let name = format!("interface-{number}");
            let id: InterfaceId = name.parse().expect("a name of letters, a dash and digits");
            let (interface, problems) = load_text(&id, &format!("{name}.toml"), &text, checks());
            match interface {
                Some(interface) => {
                    files.accepted.insert(id, interface);
                }
                None => files.problems.extend(problems.iter().map(|problem| FileProblem {
                    text: problem.to_string(),
                    ..FileProblem::default()
                })),
            }
        }
        files
    }

    fn changes(&self, old: Option<&Interface>, new: Option<&Interface>) -> Vec<Change> {
        config::diff(old, new)
    }
}

fn schedule(number: u64) -> String {
    let second = number % 60;
    format!(
        "[schedules.s{number}]\ncron = \"{second} * * * * *\"\ncommand = [\"true\"]\noverlap = \"allow\"\n"
    )
}

/// A group of appends that went to disk together.
struct Group {
    /// The position of its last event.
    last: u64,
    /// The wall clock once it was acknowledged, in nanoseconds since the epoch.
    at_ns: i64,
    commit: Commit,
}

/// The engine at work.
struct Running {
    log: Arc<JournalLog>,
    groups: Arc<Mutex<Vec<Group>>>,
    board: Arc<Board>,
    news: mpsc::UnboundedSender<News>,
    failed: watch::Receiver<Option<String>>,
    engine: JoinHandle<()>,
    /// The engine ends when nobody can ask it any more.
    _handle: Handle,
}

/// What was measured while the engine ran.
struct Run {
    /// The seconds whose slots count.
    window: Range<i64>,
    cpu: Duration,
    peak_mb: f64,
    /// Whether the kernel forgot the peak of the start.
    is_own_peak: bool,
}

impl Run {
    /// Lets time pass. Processor time is read between two whole seconds, where nothing is due.
    async fn over(seconds: u64) -> Result<Self, Failure> {
        let clock = SystemClock::new();
        let first = clock.now().secs() + 2;
        let window = first..first + i64::try_from(seconds)?;
        // Source: proc(5), `/proc/pid/clear_refs`: 5 resets the peak of the resident set.
        let is_own_peak = std::fs::write("/proc/self/clear_refs", "5").is_ok();
        let half = Duration::from_millis(500);
        wait_until(&clock, Instant::from_secs(window.start) - half).await;
        let before = processor_time();
        wait_until(&clock, Instant::from_secs(window.end) - half).await;
        let cpu = processor_time().saturating_sub(before);
        let peak_mb = peak_memory_mb();
        wait_until(&clock, Instant::from_secs(window.end)).await;
        Ok(Self { window, cpu, peak_mb, is_own_peak })
    }
}

impl Running {
    async fn start(dir: &Path, schedules: u64) -> Result<Self, Failure> {
        let definitions = Spread(schedules);
        let files = definitions.load();
        if let Some(problem) = files.problems.first() {
            return Err(problem.text.clone().into());
        }
        let groups = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::new(open(dir, Arc::clone(&groups))?);
        let performer: Arc<dyn Performer> = Arc::new(AtOnce);
        let courier: Arc<dyn Courier> = Arc::new(Nobody);
        let board = Arc::new(Board::default());
        let (news, mut heard) = mpsc::unbounded_channel();
        let (commits, committed) = mpsc::unbounded_channel();
        let (failing, failed) = watch::channel(None);
        let committer = Committer {
            performer: Arc::clone(&performer),
            courier: Arc::clone(&courier),
            board: Arc::clone(&board),
            failed: failing,
        };
        tokio::spawn(committer.run(committed, Position(0)));
        let named = || "bench".to_owned();
        let parts = Parts {
            log: log.clone(),
            clock: Arc::new(SystemClock::new()),
            performer,
            courier,
            definitions: Arc::new(definitions),
            board: Arc::clone(&board),
            observers: Vec::new(),
            // Only executions without a slot ask for it.
            entropy: Box::new(|| [0; 10]),
            max_concurrent: MAX_CONCURRENT,
            identity: Identity { version: named(), boot_id: named(), zone_data: named() },
        };
        let (handle, requests) = Handle::new(Arc::clone(&board), 1);
        let mut engine = Engine::new(parts, State::default(), commits, news.clone());
        engine.start(files, &mut heard).await;
        let engine = tokio::spawn(engine.run(requests, heard));
        Ok(Self { log, groups, board, news, failed, engine, _handle: handle })
    }

    /// Waits until all that is decided so far is on disk.
    async fn settle(&self) -> Result<(), Failure> {
        let (reply, answer) = oneshot::channel();
        if !settled(&self.news, move |_| reply.send(()).unwrap_or_default()) {
            return Err("the engine has ended".into());
        }
        answer.await?;
        Ok(())
    }

    /// Waits until no execution is open; false when patience ends before.
    async fn idle(&self) -> Result<bool, Failure> {
        let until = Moment::now() + PATIENCE;
        loop {
            self.settle().await?;
            if self.board.read(|state| state.open.is_empty()) {
                return Ok(true);
            }
            if Moment::now() >= until {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the engine and gives what is on disk.
    async fn stop(self) -> (Arc<JournalLog>, Vec<Group>) {
        self.engine.abort();
        drop(self.engine.await);
        self.log.close();
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        (self.log, std::mem::take(&mut *groups))
    }
}

/// A journal that stamps each group as soon as it was acknowledged.
fn open(dir: &Path, groups: Arc<Mutex<Vec<Group>>>) -> Result<JournalLog, Failure> {
    let on_commit: OnCommit = Arc::new(move |commit: Commit| {
        let at_ns = wall_ns();
        let mut groups = groups.lock().unwrap_or_else(PoisonError::into_inner);
        let before = groups.last().map_or(0, |group| group.last);
        groups.push(Group { last: before + commit.events, at_ns, commit });
    });
    let options = JournalOptions { on_commit: Some(on_commit), ..JournalOptions::new(dir) };
    Ok(JournalLog::open(options)?.0)
}

/// What the log says about the slots of the window.
#[derive(Default)]
struct Slots {
    /// From the slot's instant until it was durable, for each.
    durable_ms: Vec<f64>,
    /// From the slot's instant until the engine looked at it, for each; whole milliseconds.
    woken_ms: Vec<f64>,
    /// A slot's execution id is a function of the slot: as many ids, as many slots.
    started: HashSet<ExecutionId>,
    twice: u64,
    /// Slots that were skipped or missed.
    passed: u64,
    /// Stored bytes of all slots' decisions and openings.
    bytes: u64,
}

impl Slots {
    /// What the decision and opening of one slot take on disk.
    fn bytes_each(&self) -> u64 {
        self.bytes / (self.started.len() as u64).max(1) + FRAMING_BYTES
    }
}

fn read_back(log: &JournalLog, groups: &[Group], window: &Range<i64>) -> Result<Slots, Failure> {
    let mut slots = Slots::default();
    let counts = |slot: &Instant| window.contains(&slot.secs());
    let mut scan = log.scan(Position(1));
    while let Some(raw) = scan.next_raw()? {
        let bytes = raw.bytes.len() as u64;
        match raw.decode()?.event {
            Event::SlotStarted(started) if counts(&started.slot) => {
                let group = groups.partition_point(|group| group.last < raw.position.0);
                let group = groups.get(group).ok_or("an event is in no group that was stamped")?;
                slots.durable_ms.push(late_ms(group.at_ns, started.slot));
                slots.woken_ms.push(started.late_ms as f64);
                slots.twice += u64::from(!slots.started.insert(started.execution));
                slots.bytes += bytes;
            }
            Event::Opened(opened) if opened.slot.as_ref().is_some_and(counts) => {
                slots.bytes += bytes;
            }
            Event::SlotsPassed(passed) => {
                slots.passed += passed.instants.iter().filter(|slot| counts(slot)).count() as u64;
            }
            _ => (),
        }
    }
    Ok(slots)
}

/// What the machine gives at best: the timer alone, and with one group behind it.
async fn limit(
    path: &Path,
    bytes: u64,
    rounds: u64,
) -> Result<(Percentiles, Percentiles), Failure> {
    let clock = SystemClock::new();
    let mut file = File::create(path)?;
    let records = vec![7_u8; usize::try_from(bytes)?];
    let (mut woken_ms, mut durable_ms) = (Vec::new(), Vec::new());
    let first = clock.now().secs() + 1;
    for second in first..first + i64::try_from(rounds)? {
        let slot = Instant::from_secs(second);
        wait_until(&clock, slot).await;
        woken_ms.push(late_ms(wall_ns(), slot));
        file.write_all(&records)?;
        file.sync_data()?;
        durable_ms.push(late_ms(wall_ns(), slot));
    }
    Ok((Percentiles::of(woken_ms), Percentiles::of(durable_ms)))
}

/// A wait ends early when the clock is set.
async fn wait_until(clock: &SystemClock, at: Instant) {
    while clock.now() < at {
        clock.sleep_until(at).await;
    }
}

fn late_ms(at_ns: i64, slot: Instant) -> f64 {
    (at_ns - slot.millis() * 1_000_000) as f64 / 1e6
}

/// The wall clock, finer than the whole milliseconds of [`Clock::now`].
fn wall_ns() -> i64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// User and kernel time of all threads.
fn processor_time() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(spent.tv_sec as u64, spent.tv_nsec as u32)
}

fn peak_memory_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}

/// How values lie, in milliseconds.
struct Percentiles {
    p50: f64,
    p99: f64,
    max: f64,
}

impl Percentiles {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let index = (values.len() as f64 * part) as usize;
            values.get(index.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
        };
        Self { p50: at(0.5), p99: at(0.99), max: at(1.0) }
    }

    fn shown(&self) -> String {
        format!("{:.2} ms p50, {:.2} p99, {:.2} max", self.p50, self.p99, self.max)
    }
}
