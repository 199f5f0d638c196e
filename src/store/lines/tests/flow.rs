//! Publishing, following, waiting, failing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;

use super::*;
use crate::domain::space::Measured;
use crate::store::space::Space;

/// Waits until the newest line on disk is at least `line`.
async fn until(follow: &mut tokio::sync::watch::Receiver<FollowState>, line: u64) -> FollowState {
    *follow.wait_for(|state| state.last_line >= line).await.expect("the log goes on")
}

#[tokio::test]
async fn a_follower_is_told_of_lines_that_can_be_read_and_of_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut follow = store.follow(execution(1));
    assert_eq!(*follow.borrow(), FollowState { last_line: 0, finished: false });
    let mut writer = store.writer(execution(1));
    writer.push(info("one"));
    assert_eq!(texts(&store, execution(1)), [""; 0]);
    writer.cut();
    assert_eq!(until(&mut follow, 1).await, FollowState { last_line: 1, finished: false });
    assert_eq!(texts(&store, execution(1)), ["one"]);
    writer.push(info("two"));
    writer.push(info("three"));
    writer.finish().await.unwrap();
    assert_eq!(*follow.borrow_and_update(), FollowState { last_line: 3, finished: true });
    assert_eq!(*store.follow(execution(1)).borrow(), FollowState { last_line: 3, finished: true });
    drop(store);
    let store = open(dir.path());
    assert_eq!(*store.follow(execution(1)).borrow(), FollowState { last_line: 3, finished: true });
}

#[tokio::test]
async fn a_writer_that_is_dropped_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut follow = store.follow(execution(1));
    let mut writer = store.writer(execution(1));
    writer.push(info("one"));
    drop(writer);
    assert_eq!(until(&mut follow, 1).await, FollowState { last_line: 1, finished: false });
    let mut writer = store.reopen_writer(execution(1)).unwrap();
    assert_eq!(writer.push(info("two")), 2);
    writer.finish().await.unwrap();
    assert_eq!(texts(&store, execution(1)), ["one", "two"]);
}

#[tokio::test]
async fn a_log_that_is_being_written_cannot_be_reopened() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let writer = store.writer(execution(1));
    let refused = store.reopen_writer(execution(1));
    assert!(matches!(refused, Err(LinesError::Busy { execution: id }) if id == execution(1)));
    drop(writer);
}

#[tokio::test]
async fn whoever_writes_faster_than_the_disk_has_to_wait() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let shared = &store.store.shared;
    let mut writer = store.writer(execution(1));
    assert!(matches!(writer.ready().now_or_never(), Some(Ok(()))));
    shared.pending.fetch_add(shared.options.queue_bytes + 1, Ordering::AcqRel);
    {
        let ready = writer.ready();
        tokio::pin!(ready);
        assert!(ready.as_mut().now_or_never().is_none());
        shared.pending.fetch_sub(shared.options.queue_bytes + 1, Ordering::AcqRel);
        shared.drained.notify_waiters();
        assert!(matches!(ready.now_or_never(), Some(Ok(()))));
    }
    writer.finish().await.unwrap();
}

#[tokio::test]
async fn the_queue_stays_short_when_the_writer_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_small(dir.path());
    let mut writer = store.writer(execution(1));
    let block = "a line\n".repeat(9_000);
    for _ in 0..100 {
        writer.ready().await.unwrap();
        let pending = store.store.shared.pending.load(Ordering::Acquire);
        assert!(pending <= 1 << 20, "{pending} bytes wait");
        writer.push_plain_block(Instant::from_millis(1), 1, Source::Stdout, block.as_bytes());
    }
    assert_eq!(writer.finish().await.unwrap().lines, 900_000);
    assert_eq!(store.store.shared.pending.load(Ordering::Acquire), 0);
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_shown_or_acknowledged_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let (store, fault) = LineStore::open_with_fault(dir.path(), None);
    let mut follow = store.follow(execution(1));
    let mut writer = store.writer(execution(1));
    writer.push(info("one"));
    writer.cut();
    until(&mut follow, 1).await;
    fault.fails.store(true, Ordering::Relaxed);
    writer.push(info("two"));
    let failed = writer.finish().await.expect_err("the sync failed").to_string();
    assert!(failed.contains("cannot sync") && failed.contains("injected fault"), "{failed}");
    fault.fails.store(false, Ordering::Relaxed);
    let mut writer = store.writer(execution(2));
    assert!(matches!(writer.ready().await, Err(LinesError::Closed { .. })));
    writer.push(info("three"));
    assert!(matches!(writer.finish().await, Err(LinesError::Closed { .. })));
    assert_eq!(texts(&store, execution(1)), ["one"]);
    assert_eq!(texts(&store, execution(2)), [""; 0]);
    assert_eq!(follow.borrow().last_line, 1);
    assert!(store.failure().borrow().is_some());
}

#[tokio::test]
async fn logs_that_ended_leave_nothing_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in 0..50 {
        let mut writer = store.writer(execution(n));
        writer.push(info("done"));
        writer.finish().await.unwrap();
    }
    // The releases precede this log's end in the queue.
    store.writer(execution(99)).finish().await.unwrap();
    let left = store.store.shared.live().len();
    assert!(left <= 1, "{left} logs are still in memory");
}

/// Whoever prints is not held up, and what was handed over before is there when there is room again.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_lines_wait_and_nobody_who_pushes_them_does() {
    let dir = tempfile::tempdir().unwrap();
    let figures = Measured { free: 0, total: 200 << 20 };
    let space = Arc::new(Space::of_figures(dir.path(), figures));
    let lines = dir.path().join("lines");
    let (store, fault) = LineStore::open_with_fault(&lines, Some(Arc::clone(&space)));
    let mut follow = store.follow(execution(1));
    let mut writer = store.writer(execution(1));
    writer.push(info("one"));
    writer.cut();
    until(&mut follow, 1).await;
    fault.full.store(true, Ordering::Relaxed);
    writer.push(info("two"));
    writer.cut();
    space.watch().wait_for(|seen| seen.lines_wait).await.unwrap();
    let block = "a line\n".repeat(9_000);
    for _ in 0..300 {
        writer.ready().await.unwrap();
        writer.push_plain_block(Instant::from_millis(1), 1, Source::Stdout, block.as_bytes());
    }
    assert_eq!(follow.borrow().last_line, 1);
    fault.full.store(false, Ordering::Relaxed);
    assert_eq!(writer.finish().await.unwrap().lines, 2 + 300 * 9_000);
    assert!(store.failure().borrow().is_none());
    assert_eq!(store.verify().unwrap().damage, []);
}
