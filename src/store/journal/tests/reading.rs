//! Reading from anywhere, with and without an index, and while others append.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[tokio::test]
async fn reading_may_begin_anywhere_in_a_long_segment() {
    let lab = Lab::new();
    let (log, _) = lab.open();
    let tickets: Vec<_> = (0..3_000)
        .map(|version| log.append(noted(execution_stream(1), Expected::Exact(version), "x")))
        .collect();
    for ticket in tickets {
        ticket.await.unwrap();
    }
    for reopened in [false, true] {
        let again;
        let log = if reopened {
            log.close();
            let lab_again = Lab::new();
            for path in lab.segments() {
                fs::copy(&path, lab_again.dir.path().join(path.file_name().unwrap())).unwrap();
            }
            again = (lab_again.open().0, lab_again);
            &again.0
        } else {
            &log
        };
        for after in [0, 1, 255, 256, 257, 1_500, 2_998, 2_999, 3_000] {
            let read = log.read(Position(after), 2).unwrap();
            let positions: Vec<u64> = read.iter().map(|event| event.position.0).collect();
            let expected: Vec<u64> = (after + 1..=3_000).take(2).collect();
            assert_eq!(positions, expected, "after {after}");
        }
        let mut scan = log.scan(Position(2_000));
        let mut count = 0;
        while let Some(raw) = scan.next_raw().unwrap() {
            assert_eq!(raw.header().unwrap().version, raw.position.0);
            count += 1;
        }
        assert_eq!(count, 1_001);
    }
}

/// An index that has come up to a position and counts what it is asked.
struct Index {
    stream: StreamId,
    positions: Vec<Position>,
    until: Position,
    asked: AtomicUsize,
}

impl Positions for Index {
    fn positions(&self, stream: &StreamId, after: u64, limit: usize) -> Option<Indexed> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        assert_eq!(*stream, self.stream);
        let after = usize::try_from(after).unwrap();
        let positions = self.positions.iter().skip(after).take(limit).copied().collect();
        Some(Indexed { positions, until: self.until })
    }
}

#[tokio::test]
async fn an_index_that_lags_behind_is_completed_from_the_log() {
    let lab = Lab::with_segments(1_000);
    let (log, _) = lab.open();
    for number in 0..30 {
        add(&log, number).await;
    }
    let stream = execution_stream(2);
    let without = log.read_stream(&stream, 0, 100).unwrap();
    let index = Arc::new(Index {
        stream: stream.clone(),
        positions: [3, 8, 13].map(Position).to_vec(),
        until: Position(17),
        asked: AtomicUsize::new(0),
    });
    log.attach_positions(Arc::clone(&index) as Arc<dyn Positions>);
    let with = log.read_stream(&stream, 0, 100).unwrap();
    assert_eq!(with, without);
    assert_eq!(
        with.iter().map(|event| event.position.0).collect::<Vec<_>>(),
        [3, 8, 13, 18, 23, 28]
    );
    assert_eq!(log.read_stream(&stream, 2, 2).unwrap(), without[2..4]);
    assert_eq!(index.asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn an_index_that_goes_on_while_it_is_asked_gives_no_event_twice() {
    let lab = Lab::new();
    let (log, _) = lab.open();
    for number in 0..30 {
        add(&log, number).await;
    }
    let stream = execution_stream(2);
    let without = log.read_stream(&stream, 0, 100).unwrap();
    log.attach_positions(Arc::new(Index {
        stream: stream.clone(),
        positions: [3, 8, 13, 18, 23].map(Position).to_vec(),
        until: Position(17),
        asked: AtomicUsize::new(0),
    }));
    assert_eq!(log.read_stream(&stream, 0, 100).unwrap(), without);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_appenders_share_syncs_and_each_learns_its_own_place() {
    let lab = Lab::with_segments(20_000);
    let commits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&commits);
    let on_commit: OnCommit = Arc::new(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let options = JournalOptions { on_commit: Some(on_commit), ..lab.options() };
    let log = Arc::new(JournalLog::open(options).unwrap().0);
    let tasks: Vec<_> = (0..32)
        .map(|number| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                for version in 0..20 {
                    let text = format!("{number}-{version}");
                    let added = noted(execution_stream(number), Expected::Exact(version), &text);
                    let place = log.append(added).await.unwrap();
                    let read = log.read(Position(place.first.0 - 1), 1).unwrap();
                    assert_eq!(read[0].event, testing::note(&text));
                }
            })
        })
        .collect();
    while tasks.iter().any(|task| !task.is_finished()) {
        assert_eq!(log.verify_now().unwrap().difference, None);
        tokio::task::yield_now().await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(log.verify_now().unwrap().events, 640);
    assert!(commits.load(Ordering::Relaxed) < 640);
}
