//! The follower on a real sled: catching up, stopping anywhere, throwing away, rebuilding.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use tokio_util::sync::CancellationToken;

use super::history::{History, TestLog, at, histories, schedule};
use crate::domain::event::Outcome;
use crate::ids::{Position, StreamId};
use crate::projection::disk::{self, Found};
use crate::projection::fold::{self, Checkpoint};
use crate::projection::query::{ExecutionFilter, QueryError};
use crate::projection::rows::{Changes, MemoryRows, Overlay, Rows};
use crate::projection::{LateHeads, Projections, Rebuilding};
use crate::store::{ColdHead, ColdHeads};

fn some_history() -> History {
    let mut runner = TestRunner::deterministic();
    histories(2_000).new_tree(&mut runner).expect("a history").current()
}

fn last(history: &History) -> Position {
    Position(history.events.len() as u64)
}

/// All rows but the checkpoint.
fn dump(rows: &impl Rows) -> MemoryRows {
    let mut all = MemoryRows::default();
    rows.scan_back(&[1], &[255], &mut |key, value| {
        all.0.insert(key.to_vec(), value.to_vec());
        ControlFlow::Continue(())
    })
    .expect("rows are sound");
    all
}

async fn followed(index: &Projections, until: Position) {
    let stop = CancellationToken::new();
    let following = tokio::spawn({
        let (index, stop) = (index.clone(), stop.clone());
        async move { index.follow(stop).await }
    });
    let mut applied = index.applied();
    let reached = applied.wait_for(|applied| *applied >= until);
    tokio::time::timeout(Duration::from_secs(60), reached)
        .await
        .expect("the follower gets there")
        .expect("the index is there");
    stop.cancel();
    following.await.expect("the follower ends well");
}

fn open(dir: &Path, log: &Arc<TestLog>) -> Projections {
    Projections::open(dir, Arc::clone(log) as _).expect("the folder can be used")
}

fn generations(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .expect("the folder is there")
        .map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_follows_event_by_event_and_what_is_rebuilt_give_the_same_rows() {
    let history = some_history();
    let log = Arc::new(TestLog::of(&History::default()));
    let folder = tempfile::tempdir().expect("a folder");
    let index = open(folder.path(), &log);
    assert_eq!(index.status().rebuilding, None, "an empty log needs no rebuild");
    log.grow_to(&history);
    followed(&index, last(&history)).await;
    let followed_rows = index.ask(|rows| Ok(dump(rows))).expect("it answers");
    drop(index);

    std::fs::remove_dir_all(folder.path().join("g-000001")).expect("it is there");
    let index = open(folder.path(), &log);
    let answer = index.executions(&ExecutionFilter::default(), 10, None);
    assert_eq!(answer, Err(QueryError::Rebuilding(Rebuilding { percent: 0 })));
    followed(&index, last(&history)).await;
    assert_eq!(index.ask(|rows| Ok(dump(rows))), Ok(followed_rows.clone()));
    assert_eq!(followed_rows, dump(&history.rows()));
}

/// Opens the rows again once sled has let go of its lock, which it does a moment after its database was dropped.
fn open_again(folder: &Path, log: &TestLog) -> Found {
    let locked = std::fs::File::open(folder.join("g-000001/db")).expect("it is there");
    while locked.try_lock().is_err() {
        std::thread::yield_now();
    }
    drop(locked);
    disk::open_newest(folder, log).expect("the folder can be used")
}

#[tokio::test]
async fn a_follower_that_died_between_two_batches_goes_on_where_the_checkpoint_stands() {
    let history = some_history();
    let log = TestLog::of(&history);
    let folder = tempfile::tempdir().expect("a folder");
    let rows = disk::create(folder.path()).expect("sled opens");
    rows.write(Changes::new(), &Checkpoint::default()).expect("written");
    rows.keep();
    drop(rows);
    for events in history.events.chunks(97) {
        let found = open_again(folder.path(), &log);
        let Found::Agreed(rows, mut checkpoint) = found else {
            panic!("it agrees with the log: {found:?}");
        };
        let mut overlay = Overlay::new(Arc::new(rows));
        let behind = events.iter().filter(|event| event.position > checkpoint.position);
        let events: Vec<_> = behind.cloned().collect();
        for event in &events {
            fold::apply(&mut overlay, &mut checkpoint, event).expect("rows are sound");
        }
        let changes = overlay.take_changes();
        overlay.base().write(changes, &checkpoint).expect("written");
        // The next batch is folded, and the process dies before it is written.
        for event in history.events.iter().skip(checkpoint.position.0 as usize).take(5) {
            fold::apply(&mut overlay, &mut checkpoint, event).expect("rows are sound");
        }
    }
    let found = open_again(folder.path(), &log);
    let Found::Agreed(rows, checkpoint) = found else {
        panic!("it agrees with the log: {found:?}");
    };
    assert_eq!(checkpoint.position, last(&history));
    assert_eq!(dump(&rows), dump(&history.rows()));
}

#[tokio::test]
async fn an_index_of_another_log_is_thrown_away_and_folded_anew() {
    let mut history = some_history();
    let folder = tempfile::tempdir().expect("a folder");
    let index = open(folder.path(), &Arc::new(TestLog::of(&history)));
    followed(&index, last(&history)).await;
    drop(index);
    let mut other = History::default();
    for _ in 0..history.events.len() + 3 {
        other.start_daemon();
    }
    let log = Arc::new(TestLog::of(&other));
    let index = open(folder.path(), &log);
    let status = index.status();
    assert_eq!(status.rebuilding, Some(0));
    assert!(status.why.expect("it says why").contains("another event at position"));
    followed(&index, last(&other)).await;
    assert_eq!(index.version_of(&StreamId::Daemon), ColdHead::Known(last(&other).0));
    drop(index);

    history.events.truncate(5);
    let index = open(folder.path(), &Arc::new(TestLog::of(&history)));
    let why = index.status().why.expect("it says why");
    assert!(why.contains("the log only to 5"), "{why}");
    followed(&index, Position(5)).await;
    assert_eq!(generations(folder.path()).len(), 1, "old generations are deleted");
}

#[tokio::test]
async fn a_damaged_database_is_replaced() {
    let history = some_history();
    let log = Arc::new(TestLog::of(&history));
    let folder = tempfile::tempdir().expect("a folder");
    let index = open(folder.path(), &log);
    followed(&index, last(&history)).await;
    drop(index);
    let file = folder.path().join(&generations(folder.path())[0]).join("db");
    let length = std::fs::metadata(&file).expect("it is there").len();
    std::fs::write(&file, vec![0xa5; usize::try_from(length).expect("small")]).expect("writable");
    let index = open(folder.path(), &log);
    assert_eq!(index.status().rebuilding, Some(0));
    followed(&index, last(&history)).await;
    assert_eq!(index.ask(|rows| Ok(dump(rows))), Ok(dump(&history.rows())));
}

#[tokio::test]
async fn an_index_that_turns_out_to_be_unreadable_is_rebuilt_while_the_daemon_runs() {
    let history = some_history();
    let log = Arc::new(TestLog::of(&history));
    let folder = tempfile::tempdir().expect("a folder");
    let index = open(folder.path(), &log);
    followed(&index, last(&history)).await;
    let answer = index.ask::<()>(|_rows| Err(QueryError::Index { why: "torn".to_owned() }));
    assert_eq!(answer, Err(QueryError::Rebuilding(Rebuilding { percent: 0 })));
    assert_eq!(index.status().why.as_deref(), Some("torn"));
    followed(&index, last(&history)).await;
    assert_eq!(index.ask(|rows| Ok(dump(rows))), Ok(dump(&history.rows())));
    assert_eq!(generations(folder.path()).len(), 1, "the unreadable one is deleted");
}

#[tokio::test]
async fn who_must_not_end_with_sled_gets_no_answer_and_the_index_is_rebuilt() {
    let history = some_history();
    let log = Arc::new(TestLog::of(&history));
    let folder = tempfile::tempdir().expect("a folder");
    let index = open(folder.path(), &log);
    followed(&index, last(&history)).await;
    let newest = index.executions(&ExecutionFilter::default(), 1, None).expect("a list");
    let newest = newest.items.first().expect("one").id;
    assert_eq!(index.just_opened(newest).expect("it is listed").id, newest);
    assert_eq!(index.unless_sled_panics(|| panic!("as sled does")), None::<()>);
    assert_eq!((index.rebuilding(), index.just_opened(newest).is_none()), (Some(0), true));
    followed(&index, last(&history)).await;
    assert_eq!(index.rebuilding(), None);
}

#[tokio::test(start_paused = true)]
async fn a_reader_waits_for_its_own_write_up_to_two_seconds() {
    let history = some_history();
    let log = Arc::new(TestLog::of(&history));
    let folder = tempfile::tempdir().expect("a folder");
    let index = open(folder.path(), &log);
    let began = tokio::time::Instant::now();
    assert!(index.caught_up(last(&history)).await.is_err(), "nobody follows");
    assert_eq!(began.elapsed().as_secs(), 2);
    let following = tokio::spawn({
        let index = index.clone();
        async move { index.follow(CancellationToken::new()).await }
    });
    let mut applied = index.applied();
    applied.wait_for(|applied| *applied == last(&history)).await.expect("the index is there");
    assert_eq!(index.caught_up(last(&history)).await, Ok(()));
    assert_eq!(index.status().lag_events, 0);
    following.abort();
}

#[tokio::test]
async fn heads_are_known_once_the_index_is_attached() {
    let name = schedule("fnac/sales");
    let mut history = History::default();
    let id = history.slot(&name, at(0));
    history.run(id, Outcome::Ok);
    let late = LateHeads::default();
    let stream = StreamId::Execution(id);
    assert_eq!(late.version_of(&stream), ColdHead::Rebuilding);
    let folder = tempfile::tempdir().expect("a folder");
    let index = open(folder.path(), &Arc::new(TestLog::of(&history)));
    late.attach(&index);
    assert_eq!(late.version_of(&stream), ColdHead::Rebuilding, "it is not folded yet");
    followed(&index, last(&history)).await;
    assert_eq!(late.version_of(&stream), ColdHead::Known(4));
    drop(index);
    assert_eq!(late.version_of(&stream), ColdHead::Rebuilding, "it is gone");
}
