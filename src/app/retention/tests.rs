//! A pass over histories from seeds: what is left is what a fold from zero says, and nothing more than what is over is gone.

use std::collections::BTreeSet;
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::task::Poll;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::history::{Dice, History, Written};
use super::*;
use crate::app::compact::{begin, why_not};
use crate::app::store::{self, Stores};
use crate::app::wiring::Folder;
use crate::clock::VirtualClock;
use crate::config::Environment;
use crate::domain::event::{EVENT_NAMES, Outcome};
use crate::domain::space::Watermarks;
use crate::engine::state::State;
use crate::http::PruneError;
use crate::projection::{By, EventFilter, ExecutionFilter, Order, SlotRange};
use crate::store::lines::LineQuery;
use crate::telemetry::metrics::Metrics;

mod whole;

const DAY: Duration = Duration::from_secs(86_400);

fn now() -> Instant {
    Instant::from_secs(1_800_000_000)
}

/// A data folder, with small segments so that a short history fills many.
struct Lab {
    data: tempfile::TempDir,
    metrics: Arc<Metrics>,
    definition: String,
}

/// A store at work, with an engine for which nothing is due.
struct Working {
    retention: Retention,
    stores: Stores,
    engine: JoinHandle<Option<()>>,
    failure: watch::Receiver<Option<String>>,
    following: JoinHandle<Option<()>>,
    stop: CancellationToken,
}

impl Lab {
    fn new(retention: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!(
            "retention = {{ {retention} }}\nnotify = \"https://chat.example/hook\"\n\
             [schedules.sales]\ncron = \"0 */3 * * *\"\ncommand = [\"x\"]\nping = \"https://hc-ping.com/x\"\n\
             [schedules.stock]\ncron = \"0 */6 * * *\"\ncommand = [\"x\"]\n\
             [schedules.after]\nafter = {{ schedule = \"fnac/sales\" }}\ncommand = [\"x\"]\n"
        );
        fs::write(folder.path().join("fnac.toml"), text).expect("writes");
        let environment = Environment::default();
        let loaded = Folder { dir: folder.path().to_owned(), environment }.read();
        let problems: Vec<_> = loaded.problems.iter().map(ToString::to_string).collect();
        let file = loaded.accepted.into_values().next().unwrap_or_else(|| panic!("{problems:?}"));
        let definition = serde_json::to_string(&file.interface).expect("shown");
        let metrics = Arc::new(Metrics::new("0", "test").expect("made"));
        Self { data: tempfile::tempdir().expect("a folder"), metrics, definition }
    }

    fn path(&self) -> &Path {
        self.data.path()
    }

    fn open(&self) -> Working {
        let sizes = (Watermarks::default(), Some(30_000));
        let mut stores = store::open(self.path(), sizes, &self.metrics).expect("opens");
        let stop = CancellationToken::new();
        let (follow, stopped) = (stores.projections.clone(), stop.clone());
        let following =
            crate::task::spawn("the follower", async move { follow.follow(stopped).await });
        let (news, heard) = mpsc::unbounded_channel();
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(now()));
        let (engine, failure) = begin(&mut stores, (&clock, news.clone()), heard);
        let upkeep = stores.upkeep(news);
        let retention = Retention {
            upkeep,
            lines: stores.lines.clone(),
            clock,
            usual: definition::Retention::default(),
            care: Care::Thorough,
            freeing: Arc::default(),
        };
        Working { retention, stores, engine, failure, following, stop }
    }

    async fn written(&self, seed: u64, days: u64) -> BTreeMap<ExecutionId, Written> {
        let working = self.open();
        let mut history = History::new(&working.stores, seed);
        history.write(&self.definition, days, now()).await;
        let written = std::mem::take(&mut history.written);
        working.end().await;
        written
    }
}

impl Working {
    /// Waits until the lists show all that is on disk.
    async fn caught_up(&self) {
        let newest = *self.stores.log.durable().borrow();
        let mut applied = self.stores.projections.applied();
        applied.wait_for(|applied| *applied >= newest).await.expect("the follower works");
    }

    async fn pass(&self) -> StorePruned {
        self.caught_up().await;
        self.retention.run(PruneMode::Remove).await.expect("a whole pass")
    }

    async fn state(&self) -> State {
        self.retention.ask_engine(|engine| engine.state().clone()).await.expect("the engine works")
    }

    async fn end(self) {
        let Self { retention, stores, engine, following, stop, .. } = self;
        engine.abort();
        drop(engine.await);
        stop.cancel();
        drop(following.await);
        let log = Arc::clone(&stores.log);
        log.close();
        drop((retention, stores));
        // A pass that was cut short may have left a step at work.
        while Arc::strong_count(&log) > 1 {
            tokio::task::yield_now().await;
        }
    }
}

/// All that the lists answer, as text; positions of pruned events count for nothing.
fn answers(lists: &Projections) -> Vec<String> {
    let mut all = Vec::new();
    let mut cursor = None;
    loop {
        let filter = ExecutionFilter::default();
        let page = lists.executions(&filter, 1_000, cursor.as_deref()).expect("answers");
        all.extend(page.items.iter().map(|it| format!("{it:?}")));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    for schedule in ["fnac/sales", "fnac/stock", "fnac/after"] {
        let schedule: ScheduleRef = schedule.parse().expect("valid");
        let slots = lists.slots(&schedule, SlotRange::default(), (1_000, None), &|_| None);
        all.extend(slots.expect("answers").items.iter().map(|it| format!("{it:?}")));
        all.push(format!("{:?}", lists.schedule_facts(&schedule).expect("answers")));
        all.push(format!("{:?}", lists.last_ok_slot(&schedule, now()).expect("answers")));
        let stream = StreamId::Schedule(schedule);
        all.push(format!("{:?}", lists.positions(&stream, 0, usize::MAX).expect("answers")));
    }
    let of_kind = |(code, name): &(u16, &'static str)| {
        (*name, EventFilter { kind: Some(*code), ..EventFilter::default() })
    };
    let by = |name, by| (name, EventFilter { by: Some(by), ..EventFilter::default() });
    let people = [by("people", By::People), by("somebody", By::Actor("local:1000".to_owned()))];
    for (name, filter) in EVENT_NAMES.iter().map(of_kind).chain(people) {
        let page = lists.events(&filter, Order::NewestFirst, (1_000, None)).expect("answers");
        let positions: Vec<_> = page.items.iter().map(|event| event.position).collect();
        all.push(format!("{name}: {positions:?}"));
    }
    all.push(format!("{:?}", lists.red_schedules(None).expect("answers")));
    all.push(format!("orphans: {}", lists.status().orphans));
    all
}

/// The state that a fold of what is left comes to.
fn refolded(working: &Working) -> State {
    let mut state = State::default();
    let mut scan = working.stores.log.scan(Position(1));
    while let Some(envelope) = scan.next_envelope().expect("readable") {
        state.replay(&envelope);
        state.fresh.clear();
    }
    state
}

/// Everything that must hold after a pass; answers which executions are gone.
async fn check(
    working: &Working,
    written: &BTreeMap<ExecutionId, Written>,
    (ok, ko): (u32, u32),
) -> BTreeSet<ExecutionId> {
    working.caught_up().await;
    let log = &working.stores.log;
    let report = log.verify_now().expect("readable");
    assert_eq!(report.difference, None);
    assert_eq!(working.stores.lines.verify().expect("readable").damage, []);
    let (lived, refolded) = (working.state().await.comparable(), refolded(working).comparable());
    assert!(lived == refolded, "lived:    {lived:#?}\nrefolded: {refolded:#?}");
    let anew = tempfile::tempdir().expect("a folder");
    let shared: Arc<dyn EventLog> = log.clone();
    let lists = Projections::open(anew.path(), shared).expect("opens");
    let stop = CancellationToken::new();
    let (follow, stopped) = (lists.clone(), stop.clone());
    let following = crate::task::spawn("a follower", async move { follow.follow(stopped).await });
    let newest = *log.durable().borrow();
    lists.applied().wait_for(|applied| *applied >= newest).await.expect("it follows");
    let (lived, folded) = (answers(&working.stores.projections), answers(&lists));
    for (lived, folded) in lived.iter().zip(&folded) {
        assert_eq!(lived, folded);
    }
    assert_eq!(lived.len(), folded.len());
    stop.cancel();
    drop(following.await);
    let mut gone = BTreeSet::new();
    for (id, execution) in written {
        let row = working.stores.projections.execution(*id).expect("answers");
        let events = log.read_stream(&StreamId::Execution(*id), 0, 1_000).expect("readable");
        let Some(row) = row else {
            assert_eq!(events, [], "{id} is gone");
            assert!(working.stores.projections.pruned_at(*id).expect("answers").is_some());
            let limit = if execution.outcome == Outcome::Ko { ko } else { ok };
            assert!(execution.ended < now() - DAY * limit, "{id} is too young: {execution:?}");
            gone.insert(*id);
            continue;
        };
        let versions: Vec<_> = events.iter().map(|event| event.version).collect();
        assert_eq!(versions, (1..=versions.len() as u64).collect::<Vec<_>>(), "{id}");
        assert!(versions.len() >= 4, "{id}");
        if row.lines_pruned_at.is_none() {
            let lines = working.stores.lines.read(*id, &LineQuery::default()).expect("readable");
            let lines: Vec<_> = lines.into_iter().map(|line| line.text).collect();
            assert_eq!(lines, execution.lines, "{id}");
        }
    }
    gone
}

/// What the files of a folder take on the disk.
fn on_disk(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let files = fs::read_dir(folder).expect("lists");
    let taken = |path: PathBuf| {
        let file = fs::File::open(path).expect("opened");
        // What is not on the disk yet may take other blocks there.
        file.sync_all().expect("synced");
        file.metadata().expect("known").blocks() * 512
    };
    files.map(|file| taken(file.expect("lists").path())).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fold_of_what_is_left_is_the_state_that_lived_through_it() {
    for seed in 0..4 {
        let mut dice = Dice(seed + 100);
        let ok = 5 + u32::try_from(dice.below(40)).expect("small");
        let ko = ok + u32::try_from(dice.below(40)).expect("small");
        let lines = 3 + dice.below(30);
        let lab = Lab::new(&format!("ok = \"{ok}d\", ko = \"{ko}d\", lines = \"{lines}d\""));
        let written = lab.written(seed, 90).await;
        let working = lab.open();
        working.caught_up().await;
        let before = (on_disk(&lab.path().join("journal")), on_disk(&lab.path().join("lines")));
        let plan = working.retention.run(PruneMode::Plan).await.expect("a plan");
        assert_eq!(on_disk(&lab.path().join("journal")), before.0, "a plan removes nothing");
        let pruned = working.pass().await;
        assert_eq!(plan.interfaces, pruned.interfaces, "seed {seed}");
        assert!(pruned.events <= plan.events && pruned.events * 10 >= plan.events * 8, "{plan:?}");
        let gone = check(&working, &written, (ok, ko)).await;
        assert_eq!(gone.len() as u64, pruned.interfaces[0].executions, "seed {seed}");
        let share = gone.len() * 100 / written.len();
        let freed = before.0 - on_disk(&lab.path().join("journal"));
        assert!(
            freed * 100 / before.0 >= share as u64 / 2,
            "{freed} of {} for {share} %",
            before.0
        );
        assert!(on_disk(&lab.path().join("lines")) < before.1);
        // What is gone stays gone, and a second pass finds nothing.
        assert_eq!(working.pass().await.interfaces, []);
        working.end().await;
        let again = lab.open();
        assert_eq!(check(&again, &written, (ok, ko)).await, gone);
        again.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_is_cut_short_anywhere_loses_nothing_and_the_next_one_ends_it() {
    let lab = Lab::new("ok = \"20d\", ko = \"30d\", lines = \"10d\"");
    let written = lab.written(7, 60).await;
    let mut polls = 3;
    loop {
        let working = lab.open();
        working.caught_up().await;
        let done = {
            let mut pass = Box::pin(working.retention.run(PruneMode::Remove));
            let mut left = polls;
            std::future::poll_fn(|context| {
                if left == 0 {
                    return Poll::Ready(None);
                }
                left -= 1;
                pass.as_mut().poll(context).map(Some)
            })
            .await
        };
        let gone = check(&working, &written, (20, 30)).await;
        working.end().await;
        if done.is_some() {
            assert!(gone.len() * 2 > written.len(), "{} of {}", gone.len(), written.len());
            break;
        }
        polls *= 2;
    }
    let working = lab.open();
    assert_eq!(working.pass().await.interfaces, []);
    working.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_and_bytes_hold_for_what_is_there_already() {
    let lab = Lab::new("count = 100, bytes = \"5KiB\"");
    let written = lab.written(3, 60).await;
    let working = lab.open();
    let pruned = working.pass().await;
    assert_eq!(pruned.interfaces[0].by_age, 0);
    assert!(pruned.interfaces[0].lines_of > 0);
    let gone = check(&working, &written, (2, 2)).await;
    let kept: Vec<_> = written.iter().filter(|(id, _)| !gone.contains(id)).collect();
    let waits = |it: &Written| it.outcome == Outcome::Ko && !it.acknowledged;
    assert!(written.iter().filter(|(id, _)| gone.contains(id)).all(|(_, it)| !waits(it)));
    assert!(kept.iter().filter(|(_, it)| !waits(it)).count() < 150, "{}", kept.len());
    working.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_cannot_go_on_says_whether_to_try_again() {
    let lab = Lab::new("ok = \"20d\"");
    let working = lab.open();
    let freeing = Arc::clone(&working.retention.freeing);
    let other = freeing.write().await;
    for mode in [PruneMode::Plan, PruneMode::Remove] {
        let refused = working.retention.run(mode).await.expect_err("another one goes on");
        assert!(matches!(PruneError::from(refused), PruneError::UnderWay { .. }));
    }
    drop(other);
    let copying = freeing.read().await;
    let refused = working.retention.run(PruneMode::Remove).await.expect_err("it is copied");
    assert!(matches!(PruneError::from(refused), PruneError::UnderWay { .. }));
    assert!(working.retention.run(PruneMode::Plan).await.is_ok(), "a plan takes nothing");
    drop(copying);
    assert!(working.retention.run(PruneMode::Remove).await.is_ok());
    working.engine.abort();
    // News reach nobody once it is gone.
    while !working.engine.is_finished() {
        tokio::task::yield_now().await;
    }
    let refused = working.retention.run(PruneMode::Remove).await.expect_err("nobody records it");
    assert!(matches!(PruneError::from(refused), PruneError::Closing { .. }));
    working.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_is_late_after_twice_its_time_without_a_whole_pass() {
    let lab = Lab::new("ok = \"1d\"");
    lab.written(3, 4).await;
    let mut working = lab.open();
    let hour = Duration::from_secs(3_600);
    let (early, late) = (now() - DAY * 2 - hour, now() - DAY * 2 + hour);
    assert!(!working.retention.is_late(DAY, late).await, "it has time yet");
    assert!(working.retention.is_late(DAY, early).await, "no pass ever ended");
    working.pass().await;
    assert!(!working.retention.is_late(DAY, early).await, "one ended just now");
    working.retention.clock = Arc::new(VirtualClock::new(now() + DAY * 2 - hour));
    assert!(!working.retention.is_late(DAY, early).await);
    working.retention.clock = Arc::new(VirtualClock::new(now() + DAY * 2 + hour));
    assert!(working.retention.is_late(DAY, early).await);
    working.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_ends_with_the_log_tells_what_the_log_says() {
    let lab = Lab::new("ok = \"20d\"");
    let working = lab.open();
    working.stores.log.close();
    let err = working.retention.run(PruneMode::Remove).await.expect_err("nothing is recorded");
    let told = why_not(&err, working.failure.borrow().clone()).to_string();
    assert!(told.starts_with("the event log failed: ") && told.contains("closed"), "{told}");
    working.end().await;
}
