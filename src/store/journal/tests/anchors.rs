//! Starting from a checkpoint: its anchor, its heads, and streams that left memory.

use std::fs::OpenOptions;
use std::sync::Arc;

use super::*;
use crate::store::testing::{append, closing};
use crate::store::{AppendError, ColdHead, ColdHeads};

#[tokio::test]
async fn from_a_checkpoint_only_the_tail_is_read_and_all_streams_are_known() {
    for segment_bytes in [1, 1_000, 64 << 20] {
        let lab = Lab::with_segments(segment_bytes);
        let state = {
            let (log, _) = lab.open();
            for number in 0..50 {
                add(&log, number).await;
            }
            let state = log.state().await.unwrap();
            for number in 50..57 {
                add(&log, number).await;
            }
            state
        };
        let (log, recovery) = lab.open_from(state).unwrap();
        assert_eq!((recovery.position, recovery.scanned), (Position(57), 7));
        assert_eq!(recovery.anchor_refused, None);
        for stream in 0..5 {
            let version = if stream < 2 { 12 } else { 11 };
            let next = noted(execution_stream(stream), Expected::Exact(version), "next");
            log.append(next).await.unwrap();
        }
        assert_eq!(log.verify_now().unwrap().difference, None);
    }
}

#[tokio::test]
async fn a_state_taken_while_appends_are_on_their_way_is_right_afterwards() {
    let lab = Lab::new();
    let (log, _) = lab.open();
    let tickets: Vec<_> = (0..100)
        .map(|version| log.append(noted(execution_stream(1), Expected::Exact(version), "x")))
        .collect();
    let state = log.state().await.unwrap();
    for ticket in tickets {
        ticket.await.unwrap();
    }
    drop(log);
    let (log, _) = lab.open_from(state).unwrap();
    log.append(noted(execution_stream(1), Expected::Exact(100), "next")).await.unwrap();
}

#[tokio::test]
async fn a_log_that_ends_before_its_checkpoint_has_lost_events_and_is_refused() {
    let lab = Lab::new();
    let ends = lab.fill(10).await;
    let state = {
        let (log, _) = lab.open();
        log.state().await.unwrap()
    };
    let file = OpenOptions::new().write(true).open(lab.last_segment()).unwrap();
    file.set_len(ends[7]).unwrap();
    let refused = lab.open_from(state).err().unwrap();
    assert!(
        refused
            .to_string()
            .contains("the log ends at position 8, but the checkpoint saw position 10"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_last_write_that_a_head_of_the_checkpoint_knows_is_damaged_not_torn() {
    let lab = Lab::new();
    let (log, _) = lab.open();
    for number in 0..5 {
        add(&log, number).await;
    }
    let before = log.state().await.unwrap();
    for number in 5..10 {
        add(&log, number).await;
    }
    let state = LogState { anchor: before.anchor, ..log.state().await.unwrap() };
    let end = log.size_bytes();
    drop(log);
    let file = OpenOptions::new().write(true).open(lab.last_segment()).unwrap();
    file.set_len(end - 1).unwrap();
    let refused = lab.open_from(state).err().unwrap();
    assert!(refused.to_string().contains("from position 10 were acknowledged"), "{refused}");
}

#[tokio::test]
async fn a_checkpoint_of_another_log_is_reported_and_the_whole_log_read() {
    let lab = Lab::new();
    lab.fill(10).await;
    let other = Lab::new();
    other.fill(3).await;
    let mut state = {
        let (log, _) = other.open();
        log.state().await.unwrap()
    };
    state.anchor.chain = [1; 32];
    let (_log, recovery) = lab.open_from(state).unwrap();
    assert_eq!((recovery.position, recovery.scanned), (Position(10), 10));
    assert_eq!(recovery.anchor_refused.as_deref(), Some("position 3 does not stand where it was"));
}

#[tokio::test]
async fn ended_executions_leave_memory_once_they_are_in_the_index() {
    struct Ended;
    impl ColdHeads for Ended {
        fn version_of(&self, _stream: &StreamId) -> ColdHead {
            ColdHead::Known(1)
        }
    }
    let lab = Lab::new();
    let (log, _) = lab.open();
    for number in 0..100 {
        log.append(append(vec![closing(execution_stream(number))])).await.unwrap();
    }
    log.append(noted(StreamId::Daemon, Expected::Fresh, "x")).await.unwrap();
    assert_eq!(log.hot_streams(), 101);
    log.forget(Position(60));
    assert_eq!(log.hot_streams(), 41);
    log.attach_cold(Arc::new(Ended));
    let state = log.state().await.unwrap();
    log.append(noted(execution_stream(7), Expected::Exact(1), "note")).await.unwrap();
    log.close();
    drop(log);
    let (log, _) = lab.open_from(state).unwrap();
    assert_eq!(log.hot_streams(), 42);
    let refused = log.append(noted(execution_stream(8), Expected::Exact(1), "note")).await;
    assert!(matches!(refused, Err(AppendError::Rebuilding { .. })), "{refused:?}");
    log.forget(Position(60));
    log.attach_cold(Arc::new(Ended));
    log.append(noted(execution_stream(8), Expected::Exact(1), "note")).await.unwrap();
    log.append(noted(execution_stream(7), Expected::Exact(2), "note")).await.unwrap();
}
