//! A full disk: writes are taken back and tried again.

use std::sync::Arc;

use super::*;
use crate::domain::space::{Measured, Room};
use crate::store::AppendError;
use crate::store::journal::format::SEGMENT_HEADER;
use crate::store::space::Space;

const TOTAL: u64 = 200 << 20;

/// A journal with a disk that has `free` bytes by its figures, in whose data folder the reserve lies.
fn open(lab: &Lab, free: u64) -> (JournalLog, Arc<Space>) {
    let space = Arc::new(Space::of_figures(lab.dir.path(), Measured { free, total: TOTAL }));
    let options = JournalOptions { space: Some(Arc::clone(&space)), ..lab.options() };
    (JournalLog::open(options).unwrap().0, space)
}

#[tokio::test]
async fn an_append_on_a_full_disk_is_taken_back_and_goes_on_out_of_the_reserve() {
    let lab = Lab::new();
    let (log, space) = open(&lab, TOTAL);
    add(&log, 1).await;
    let before = space.seen().reserve;
    log.be_full_for(2);
    add(&log, 2).await;
    assert!(space.seen().reserve < before, "a piece of the reserve was taken");
    assert_eq!(space.seen().room, Room::Full);
    add(&log, 3).await;
    assert_eq!(all(&log).len(), 3);
    drop(log);
    let (log, recovery) = lab.open();
    assert_eq!((recovery.position, recovery.torn), (Position(3), None));
    assert_eq!(log.verify_now().unwrap().difference, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_reserve_appends_wait_unacknowledged_and_go_on_when_there_is_room() {
    let lab = Lab::new();
    let (log, space) = open(&lab, 0);
    assert_eq!(space.seen().reserve, 0);
    let mut seen = space.watch();
    log.be_full_for(u32::MAX);
    let ticket = log.append(noted(execution_stream(1), Expected::Fresh, "x"));
    seen.wait_for(|seen| seen.log_waits).await.unwrap();
    assert_eq!((*log.durable().borrow(), log.size_bytes()), (Position(0), SEGMENT_HEADER as u64));
    log.be_full_for(0);
    assert_eq!(ticket.await.unwrap().last, Position(1));
    seen.wait_for(|seen| !seen.log_waits).await.unwrap();
    assert_eq!(all(&log).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_waits_for_room_can_be_closed_and_acknowledges_nothing_then() {
    let lab = Lab::new();
    let (log, space) = open(&lab, 0);
    add(&log, 1).await;
    log.be_full_for(u32::MAX);
    let ticket = log.append(noted(execution_stream(2), Expected::Fresh, "x"));
    space.watch().wait_for(|seen| seen.log_waits).await.unwrap();
    log.close();
    assert!(matches!(ticket.await, Err(AppendError::Closed { .. })));
    drop(log);
    let (log, recovery) = lab.open();
    assert_eq!((recovery.position, recovery.torn), (Position(1), None));
    assert_eq!(all(&log).len(), 1);
}

/// After a failed sync nothing is known about what is on disk, whatever its reason was.
#[tokio::test]
async fn a_sync_that_finds_the_disk_full_is_not_tried_again() {
    let lab = Lab::new();
    let (log, _space) = open(&lab, TOTAL);
    add(&log, 1).await;
    log.fail_next_sync();
    let ticket = log.append(noted(execution_stream(2), Expected::Fresh, "x"));
    assert!(matches!(ticket.await, Err(AppendError::Closed { .. })));
}
