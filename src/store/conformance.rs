//! What every event log must do. Each check gets a fresh log; `conformance!` makes a test of each for one subject.

use std::sync::Arc;

use super::testing::{append, closing, execution_stream, note, noted, part};
use super::{
    Append, AppendError, Appended, ColdHead, ColdHeads, EventLog, Expected, Links, samples,
};
use crate::domain::event::{Actor, Envelope, Event};
use crate::ids::{EventId, Position, StreamId};

/// An event log under test.
pub(super) trait Subject {
    fn log(&self) -> Arc<dyn EventLog>;
    fn attach_cold(&self, cold: Arc<dyn ColdHeads>);
    /// The next write or sync fails.
    fn break_disk(&self);
    /// The log as the next process finds it.
    fn reopened(self: Box<Self>) -> Box<dyn Subject>;
}

macro_rules! checks {
    ($($check:ident,)*) => {
        /// Declares a test for each check; `$make` is an expression for a fresh subject.
        macro_rules! conformance {
            ($make:expr) => {
                $(#[tokio::test]
                async fn $check() {
                    crate::store::conformance::$check($make).await;
                })*
            };
        }
    };
}

checks! {
    appended_events_are_read_back_in_order_with_all_that_was_said,
    events_of_several_streams_are_appended_all_or_none,
    a_wrong_belief_is_answered_with_the_truth,
    a_fresh_stream_is_trusted_but_not_against_better_knowledge,
    pipelined_appends_build_on_each_other_without_waiting,
    pages_of_a_read_join_without_gap_or_overlap,
    a_stream_is_read_alone_and_in_pages,
    a_stream_named_twice_in_one_append_continues,
    an_append_without_events_does_nothing,
    what_is_acknowledged_is_durable_and_readable_at_once,
    a_dropped_ticket_cancels_nothing,
    a_forgotten_stream_is_asked_for,
    a_failed_disk_acknowledges_nothing_and_closes_the_log_for_good,
    the_next_process_finds_the_same_events,
    every_kind_of_event_survives,
}

async fn ok(log: &dyn EventLog, append: Append) -> Appended {
    log.append(append).await.unwrap()
}

fn texts(events: &[Envelope]) -> Vec<&str> {
    events
        .iter()
        .map(|envelope| match &envelope.event {
            Event::Noted(noted) => noted.text.as_deref().unwrap_or(""),
            other => other.name(),
        })
        .collect()
}

pub(super) async fn appended_events_are_read_back_in_order_with_all_that_was_said(
    subject: Box<dyn Subject>,
) {
    let log = subject.log();
    let link = EventId::derive(&StreamId::Daemon, 9, samples::at());
    let mut first = noted(execution_stream(1), Expected::Fresh, "one");
    first.actor = Actor::Token("grafana".to_owned());
    first.streams[0].links = Links { correlation: Some(link), causation: Some(link) };
    assert_eq!(ok(&*log, first).await, Appended { first: Position(1), last: Position(1) });
    ok(&*log, noted(execution_stream(1), Expected::Exact(1), "two")).await;
    let read = log.read(Position(0), 10).unwrap();
    assert_eq!(texts(&read), ["one", "two"]);
    assert_eq!((read[0].position, read[0].version), (Position(1), 1));
    assert_eq!((read[1].position, read[1].version), (Position(2), 2));
    assert_eq!(read[0].actor, Actor::Token("grafana".to_owned()));
    assert_eq!((read[0].correlation, read[0].causation), (Some(link), Some(link)));
    assert_eq!(read[0].id, EventId::derive(&execution_stream(1), 1, samples::at()));
    assert_ne!(read[0].hash, read[1].hash);
}

pub(super) async fn events_of_several_streams_are_appended_all_or_none(subject: Box<dyn Subject>) {
    let log = subject.log();
    let schedule = StreamId::Schedule(samples::schedule());
    let both = |version| {
        append(vec![
            part(schedule.clone(), Expected::Exact(version), note("slot")),
            part(execution_stream(7), Expected::Fresh, note("opened")),
        ])
    };
    let appended = ok(&*log, both(0)).await;
    assert_eq!(appended, Appended { first: Position(1), last: Position(2) });
    // The second part is wrong, so the first one must not be there either.
    let refused = log.append(both(1)).await;
    assert_eq!(
        refused,
        Err(AppendError::Conflict { stream: execution_stream(7), expected: 0, actual: 1 })
    );
    assert_eq!(log.read(Position(0), 10).unwrap().len(), 2);
    ok(&*log, noted(schedule, Expected::Exact(1), "next")).await;
}

pub(super) async fn a_wrong_belief_is_answered_with_the_truth(subject: Box<dyn Subject>) {
    let log = subject.log();
    ok(&*log, noted(execution_stream(1), Expected::Exact(0), "one")).await;
    let conflict =
        |expected| Err(AppendError::Conflict { stream: execution_stream(1), expected, actual: 1 });
    for expected in [0, 2] {
        let refused = log.append(noted(execution_stream(1), Expected::Exact(expected), "x")).await;
        assert_eq!(refused, conflict(expected));
    }
    ok(&*log, noted(execution_stream(1), Expected::Any, "two")).await;
    assert_eq!(texts(&log.read(Position(0), 10).unwrap()), ["one", "two"]);
}

pub(super) async fn a_fresh_stream_is_trusted_but_not_against_better_knowledge(
    subject: Box<dyn Subject>,
) {
    struct Rebuilding;
    impl ColdHeads for Rebuilding {
        fn version_of(&self, _stream: &StreamId) -> ColdHead {
            ColdHead::Rebuilding
        }
    }
    let log = subject.log();
    let ended = ok(&*log, append(vec![closing(execution_stream(9))])).await;
    log.forget(ended.last);
    subject.attach_cold(Arc::new(Rebuilding));
    ok(&*log, noted(execution_stream(1), Expected::Fresh, "one")).await;
    assert!(log.can_check(&execution_stream(1)) && log.can_check(&StreamId::Daemon));
    assert!(!log.can_check(&execution_stream(2)));
    assert_eq!(
        log.append(noted(execution_stream(1), Expected::Fresh, "again")).await,
        Err(AppendError::Conflict { stream: execution_stream(1), expected: 0, actual: 1 })
    );
    for expected in [Expected::Any, Expected::Exact(0)] {
        assert_eq!(
            log.append(noted(execution_stream(2), expected, "x")).await,
            Err(AppendError::Rebuilding { stream: execution_stream(2) })
        );
    }
}

pub(super) async fn pipelined_appends_build_on_each_other_without_waiting(
    subject: Box<dyn Subject>,
) {
    let log = subject.log();
    let tickets: Vec<_> = (0..200)
        .map(|version| {
            log.append(noted(execution_stream(1), Expected::Exact(version), &version.to_string()))
        })
        .collect();
    for (ticket, position) in tickets.into_iter().zip(1..) {
        let at = Position(position);
        assert_eq!(ticket.await, Ok(Appended { first: at, last: at }));
    }
    let expected: Vec<String> = (0..200).map(|number: u64| number.to_string()).collect();
    assert_eq!(texts(&log.read(Position(0), 1000).unwrap()), expected);
}

pub(super) async fn pages_of_a_read_join_without_gap_or_overlap(subject: Box<dyn Subject>) {
    let log = subject.log();
    for number in 0..25 {
        let parts = (0..4).map(|part_number| {
            let stream = execution_stream(number * 4 + part_number);
            part(stream, Expected::Fresh, note("x"))
        });
        ok(&*log, append(parts.collect())).await;
    }
    for limit in [1, 3, 7, 100, 1000] {
        let mut positions = Vec::new();
        loop {
            let after = positions.last().copied().unwrap_or_default();
            let page = log.read(after, limit).unwrap();
            if page.is_empty() {
                break;
            }
            positions.extend(page.iter().map(|event| event.position));
        }
        assert_eq!(positions, (1..=100).map(Position).collect::<Vec<_>>(), "pages of {limit}");
    }
    assert_eq!(log.read(Position(100), 10), Ok(vec![]));
    assert_eq!(log.read(Position(7_000), 10), Ok(vec![]));
    assert_eq!(log.read(Position(0), 0), Ok(vec![]));
}

pub(super) async fn a_stream_is_read_alone_and_in_pages(subject: Box<dyn Subject>) {
    let log = subject.log();
    for round in 0..5 {
        for stream in [1, 2] {
            let text = format!("{stream}-{round}");
            ok(&*log, noted(execution_stream(stream), Expected::Exact(round), &text)).await;
        }
    }
    let all = log.read_stream(&execution_stream(2), 0, 100).unwrap();
    assert_eq!(texts(&all), ["2-0", "2-1", "2-2", "2-3", "2-4"]);
    let page = log.read_stream(&execution_stream(2), 1, 2).unwrap();
    assert_eq!(texts(&page), ["2-1", "2-2"]);
    assert_eq!((page[0].version, page[0].position), (2, Position(4)));
    assert_eq!(log.read_stream(&execution_stream(2), 5, 10), Ok(vec![]));
    assert_eq!(log.read_stream(&execution_stream(3), 0, 10), Ok(vec![]));
}

pub(super) async fn a_stream_named_twice_in_one_append_continues(subject: Box<dyn Subject>) {
    let log = subject.log();
    let twice = append(vec![
        part(execution_stream(1), Expected::Fresh, note("one")),
        part(execution_stream(1), Expected::Exact(1), note("two")),
    ]);
    ok(&*log, twice).await;
    let read = log.read_stream(&execution_stream(1), 0, 10).unwrap();
    assert_eq!(read.iter().map(|event| event.version).collect::<Vec<_>>(), [1, 2]);
}

pub(super) async fn an_append_without_events_does_nothing(subject: Box<dyn Subject>) {
    let log = subject.log();
    ok(&*log, noted(execution_stream(1), Expected::Fresh, "one")).await;
    let nothing = ok(&*log, append(vec![])).await;
    assert_eq!(nothing, Appended { first: Position(1), last: Position(1) });
    let next = ok(&*log, noted(execution_stream(1), Expected::Exact(1), "two")).await;
    assert_eq!(next.first, Position(2));
}

pub(super) async fn what_is_acknowledged_is_durable_and_readable_at_once(
    subject: Box<dyn Subject>,
) {
    let log = subject.log();
    let mut durable = log.durable();
    for number in 0..50 {
        let ticket = log.append(noted(execution_stream(number), Expected::Fresh, "x"));
        let readable = log.read(Position(0), 1000).unwrap().len() as u64;
        assert!(readable <= durable.borrow_and_update().0, "readable before it is on disk");
        let appended = ticket.await.unwrap();
        assert!(*durable.borrow_and_update() >= appended.last);
        let read = log.read(appended.first.plus(0), 10).unwrap();
        assert_eq!(read, vec![], "nothing follows the newest");
        let read = log.read(Position(appended.first.0 - 1), 10).unwrap();
        assert_eq!(read.len(), 1);
    }
}

pub(super) async fn a_dropped_ticket_cancels_nothing(subject: Box<dyn Subject>) {
    let log = subject.log();
    drop(log.append(noted(execution_stream(1), Expected::Fresh, "kept")));
    ok(&*log, noted(execution_stream(1), Expected::Exact(1), "next")).await;
    assert_eq!(texts(&log.read(Position(0), 10).unwrap()), ["kept", "next"]);
}

pub(super) async fn a_forgotten_stream_is_asked_for(subject: Box<dyn Subject>) {
    struct Knows(StreamId, u64);
    impl ColdHeads for Knows {
        fn version_of(&self, stream: &StreamId) -> ColdHead {
            ColdHead::Known(if *stream == self.0 { self.1 } else { 0 })
        }
    }
    let log = subject.log();
    let stream = execution_stream(1);
    let ended = ok(&*log, append(vec![closing(stream.clone())])).await;
    log.forget(ended.last);
    subject.attach_cold(Arc::new(Knows(stream.clone(), 1)));
    assert_eq!(
        log.append(noted(stream.clone(), Expected::Exact(0), "x")).await,
        Err(AppendError::Conflict { stream: stream.clone(), expected: 0, actual: 1 })
    );
    ok(&*log, noted(stream.clone(), Expected::Any, "afterwards")).await;
    let read = log.read_stream(&stream, 0, 10).unwrap();
    assert_eq!(texts(&read), ["closed", "afterwards"]);
    assert_eq!(read[1].version, 2);
}

pub(super) async fn a_failed_disk_acknowledges_nothing_and_closes_the_log_for_good(
    subject: Box<dyn Subject>,
) {
    let log = subject.log();
    ok(&*log, noted(execution_stream(1), Expected::Fresh, "kept")).await;
    subject.break_disk();
    let refused = log.append(noted(execution_stream(1), Expected::Exact(1), "lost")).await;
    assert!(matches!(refused, Err(AppendError::Closed { .. })), "{refused:?}");
    let refused = log.append(noted(execution_stream(2), Expected::Fresh, "late")).await;
    assert!(matches!(refused, Err(AppendError::Closed { .. })), "{refused:?}");
    assert_eq!(*log.durable().borrow(), Position(1));
}

pub(super) async fn the_next_process_finds_the_same_events(subject: Box<dyn Subject>) {
    let log = subject.log();
    for number in 0..30 {
        ok(&*log, noted(execution_stream(number % 3), Expected::Any, &number.to_string())).await;
    }
    let before = log.read(Position(0), 1000).unwrap();
    drop(log);
    let reopened = subject.reopened();
    let log = reopened.log();
    assert_eq!(log.read(Position(0), 1000).unwrap(), before);
    assert_eq!(*log.durable().borrow(), Position(30));
    let next = ok(&*log, noted(execution_stream(0), Expected::Exact(10), "on")).await;
    assert_eq!(next.first, Position(31));
}

pub(super) async fn every_kind_of_event_survives(subject: Box<dyn Subject>) {
    let log = subject.log();
    let written = samples::all();
    for event in &written {
        let stream = samples::stream_of(event.code());
        ok(&*log, append(vec![part(stream, Expected::Any, event.clone())])).await;
    }
    let read = log.read(Position(0), 1000).unwrap();
    let read: Vec<Event> = read.into_iter().map(|envelope| envelope.event).collect();
    assert_eq!(read, written);
}

mod memory {
    use super::*;
    use crate::store::memory::MemoryLog;

    struct InMemory(Arc<MemoryLog>);

    impl Subject for InMemory {
        fn log(&self) -> Arc<dyn EventLog> {
            Arc::clone(&self.0) as Arc<dyn EventLog>
        }
        fn attach_cold(&self, cold: Arc<dyn ColdHeads>) {
            self.0.attach_cold(cold);
        }
        fn break_disk(&self) {
            self.0.fail_next_sync("no space left");
        }
        fn reopened(self: Box<Self>) -> Box<dyn Subject> {
            Box::new(Self(Arc::new(self.0.restarted())))
        }
    }

    conformance!(Box::new(InMemory(Arc::new(MemoryLog::new()))));

    #[tokio::test]
    async fn what_was_not_synced_is_gone_after_a_restart() {
        let log = MemoryLog::new();
        ok(&log, noted(execution_stream(1), Expected::Fresh, "kept")).await;
        log.hold_syncs();
        let waiting = log.append(noted(execution_stream(1), Expected::Exact(1), "lost"));
        assert_eq!(log.read(Position(0), 10).unwrap().len(), 1);
        let restarted = log.restarted();
        assert_eq!(texts(&restarted.read(Position(0), 10).unwrap()), ["kept"]);
        log.release_syncs();
        assert_eq!(waiting.await, Ok(Appended { first: Position(2), last: Position(2) }));
    }
}

mod journal {
    use super::*;
    use crate::store::journal::{JournalLog, JournalOptions};

    struct OnDisk {
        log: Arc<JournalLog>,
        dir: tempfile::TempDir,
        segment_bytes: u64,
    }

    fn on_disk(dir: tempfile::TempDir, segment_bytes: u64) -> Box<OnDisk> {
        let options =
            JournalOptions { segment_bytes, ..JournalOptions::new(dir.path().join("journal")) };
        let (log, _) = JournalLog::open(options).unwrap();
        Box::new(OnDisk { log: Arc::new(log), dir, segment_bytes })
    }

    impl Subject for OnDisk {
        fn log(&self) -> Arc<dyn EventLog> {
            Arc::clone(&self.log) as Arc<dyn EventLog>
        }
        fn attach_cold(&self, cold: Arc<dyn ColdHeads>) {
            self.log.attach_cold(cold);
        }
        fn break_disk(&self) {
            if self.segment_bytes == 1 {
                // The next append needs a new segment, and its folder is gone.
                std::fs::remove_dir_all(self.log.dir()).unwrap();
            } else {
                self.log.fail_next_sync();
            }
        }
        fn reopened(self: Box<Self>) -> Box<dyn Subject> {
            let Self { log, dir, segment_bytes } = *self;
            drop(log);
            on_disk(dir, segment_bytes)
        }
    }

    // A segment for each append: the hardest case for reading and recovering.
    conformance!(on_disk(tempfile::tempdir().unwrap(), 1));

    mod in_one_segment {
        use super::*;

        conformance! {{
            let dir = tempfile::tempdir().unwrap();
            on_disk(dir, 64 << 20)
        }}
    }
}
