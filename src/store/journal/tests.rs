//! The journal's own promises: recovery, anchors, reading, checking. The rest is in `conformance`.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::format::{FrameHeader, SEGMENT_HEADER, SegmentHeader, chain, put_record};
use super::*;
use crate::domain::event::Envelope;
use crate::ids::{Position, StreamId};
use crate::instant::Instant;
use crate::store::testing::{append, closing, execution_stream, noted};
use crate::store::{AppendError, ColdHead, ColdHeads, EventLog, Expected, codec, samples, testing};

/// A journal in a folder of its own.
struct Lab {
    dir: tempfile::TempDir,
    segment_bytes: u64,
}

impl Lab {
    fn new() -> Self {
        Self::with_segments(64 << 20)
    }

    fn with_segments(segment_bytes: u64) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), segment_bytes }
    }

    fn options(&self) -> JournalOptions {
        JournalOptions { segment_bytes: self.segment_bytes, ..JournalOptions::new(self.dir.path()) }
    }

    fn open(&self) -> (JournalLog, Recovery) {
        JournalLog::open(self.options()).unwrap()
    }

    fn open_from(&self, from: LogState) -> Result<(JournalLog, Recovery), OpenError> {
        JournalLog::open(JournalOptions { from: Some(from), ..self.options() })
    }

    fn segments(&self) -> Vec<PathBuf> {
        segment::list(self.dir.path()).unwrap().into_iter().map(|(_, path)| path).collect()
    }

    fn last_segment(&self) -> PathBuf {
        self.segments().pop().unwrap()
    }

    /// Appends `count` events one after the other, each in a group of its own; answers where each frame ends.
    async fn fill(&self, count: u64) -> Vec<u64> {
        let (log, _) = self.open();
        let mut ends = Vec::new();
        for number in 0..count {
            add(&log, number).await;
            ends.push(log.size_bytes());
        }
        ends
    }
}

fn flip(path: &Path, offset: u64, bit: u8) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    byte[0] ^= 1 << bit;
    file.write_all_at(&byte, offset).unwrap();
}

async fn add(log: &JournalLog, number: u64) {
    let text = format!("event {number}");
    log.append(noted(execution_stream(number % 5), Expected::Any, &text)).await.unwrap();
}

fn all(log: &JournalLog) -> Vec<Envelope> {
    log.read(Position(0), usize::MAX).unwrap()
}

/// A generator of numbers that is the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[tokio::test]
async fn a_new_journal_is_empty_and_gets_its_first_segment_with_the_first_event() {
    let lab = Lab::new();
    let (log, recovery) = lab.open();
    assert_eq!((recovery.position, recovery.torn), (Position(0), None));
    assert_eq!(lab.segments(), Vec::<PathBuf>::new());
    add(&log, 1).await;
    assert_eq!(lab.last_segment().file_name().unwrap(), "00000000000000000001.seg");
    let header = segment::read_header(&lab.last_segment()).unwrap().unwrap();
    assert_eq!(header, SegmentHeader { first: 1, previous: [0; 32], created: samples::at() });
}

#[tokio::test]
async fn a_second_daemon_on_the_same_folder_is_refused_with_the_first_ones_process() {
    let lab = Lab::new();
    let (log, _) = lab.open();
    let refused = JournalLog::open(lab.options()).err().unwrap();
    let mine = format!(" (process {})", std::process::id());
    assert!(matches!(&refused, OpenError::Locked { holder, .. } if *holder == mine), "{refused}");
    drop(log);
    lab.open();
}

#[tokio::test]
async fn a_half_written_frame_is_cut_off_kept_aside_and_reported() {
    let lab = Lab::new();
    let ends = lab.fill(10).await;
    let path = lab.last_segment();
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..usize::try_from(ends[9]).unwrap() - 3]).unwrap();
    let (log, recovery) = lab.open();
    assert_eq!(recovery.position, Position(9));
    let torn = recovery.torn.unwrap();
    assert_eq!((torn.offset, torn.bytes), (ends[8], ends[9] - ends[8] - 3));
    assert_eq!(
        fs::read(&torn.kept).unwrap(),
        whole[usize::try_from(ends[8]).unwrap()..whole.len() - 3]
    );
    add(&log, 10).await;
    drop(log);
    let (log, recovery) = lab.open();
    assert_eq!((recovery.position, recovery.torn), (Position(10), None));
    assert_eq!(all(&log).len(), 10);
}

#[tokio::test]
async fn a_bit_flipped_in_an_acknowledged_event_is_refused_and_in_the_last_write_cut_off() {
    let lab = Lab::new();
    let ends = lab.fill(8).await;
    let path = lab.last_segment();
    let whole = fs::read(&path).unwrap();
    let mut dice = Dice(1);
    for _ in 0..150 {
        let offset = dice.below(whole.len() as u64);
        flip(&path, offset, u8::try_from(dice.below(8)).unwrap());
        let opened = JournalLog::open(lab.options());
        if offset < ends[6] {
            let Err(OpenError::Damaged { place, hint, .. }) = opened else {
                // The format's number may become a newer one.
                assert!(matches!(opened, Err(OpenError::Newer { .. })) && offset < 10, "{offset}");
                fs::write(&path, &whole).unwrap();
                continue;
            };
            assert!(place.starts_with(path.to_str().unwrap()), "{place}");
            assert!(hint.contains("daybook store restore"), "{hint}");
        } else {
            let (log, recovery) = opened.unwrap();
            assert_eq!((recovery.position, all(&log).len()), (Position(7), 7), "{offset}");
            assert!(recovery.torn.is_some());
        }
        fs::write(&path, &whole).unwrap();
    }
}

#[tokio::test]
async fn a_segment_cut_anywhere_opens_with_the_whole_frames_before_the_cut() {
    let lab = Lab::new();
    let ends = lab.fill(3).await;
    let path = lab.last_segment();
    let whole = fs::read(&path).unwrap();
    let before = {
        let (log, _) = lab.open();
        all(&log)
    };
    for length in (SEGMENT_HEADER..whole.len()).filter(|length| {
        // Every length near a border, and some between.
        length % 9 == 0 || ends.iter().any(|end| end.abs_diff(*length as u64) < 9)
    }) {
        fs::write(&path, &whole[..length]).unwrap();
        let (log, recovery) = lab.open();
        let expected = ends.iter().filter(|end| **end <= length as u64).count();
        assert_eq!(all(&log), before[..expected], "cut to {length}");
        let is_whole = length == SEGMENT_HEADER || ends.contains(&(length as u64));
        assert_eq!(recovery.torn.is_none(), is_whole, "cut to {length}");
    }
}

#[tokio::test]
async fn random_damage_never_panics_and_never_changes_what_is_read() {
    let lab = Lab::with_segments(2_000);
    lab.fill(40).await;
    let before = {
        let (log, _) = lab.open();
        all(&log)
    };
    let originals: Vec<_> =
        lab.segments().into_iter().map(|path| (path.clone(), fs::read(&path).unwrap())).collect();
    let mut dice = Dice(7);
    for round in 0..120 {
        let (path, whole) =
            &originals[usize::try_from(dice.below(originals.len() as u64)).unwrap()];
        let mut damaged = whole.clone();
        for _ in 0..=dice.below(4) {
            let at = usize::try_from(dice.below(damaged.len() as u64)).unwrap();
            match dice.below(3) {
                0 => damaged[at] ^= 1 << dice.below(8),
                1 => damaged.truncate(at.max(1)),
                _ => {
                    let end = damaged.len().min(at + 64);
                    damaged[at..end].fill(0);
                }
            }
        }
        fs::write(path, &damaged).unwrap();
        drop(JournalLog::verify(lab.dir.path()));
        if let Ok((log, _)) = JournalLog::open(lab.options()) {
            let read = all(&log);
            assert_eq!(read, before[..read.len()], "round {round}");
            assert_eq!(log.verify_now().unwrap().difference, None, "round {round}");
        }
        for (path, whole) in &originals {
            fs::write(path, whole).unwrap();
        }
    }
}

/// Writes frames by hand: `(stream, version, newest position on disk)` for each.
fn write_segment(lab: &Lab, frames: &[(StreamId, u64, u64)]) -> (PathBuf, Vec<usize>) {
    let header = SegmentHeader { first: 1, previous: [0; 32], created: Instant::default() };
    let mut bytes = header.to_bytes().to_vec();
    let mut previous = [0; 32];
    let mut starts = Vec::new();
    for (first, (stream, version, synced)) in (1..).zip(frames) {
        let event = testing::note("x");
        let stored = codec::Stored {
            stream,
            version: *version,
            at: samples::at(),
            actor: &crate::domain::event::Actor::Daybook,
            correlation: None,
            causation: None,
            event: &event,
        };
        let mut records = Vec::new();
        let hash = put_record(&mut records, |into| codec::encode(&stored, into)).unwrap();
        previous = chain(&previous, [&hash]);
        starts.push(bytes.len());
        FrameHeader { count: 1, first, synced: *synced, chain: previous }
            .write(&records, &mut bytes);
    }
    let path = lab.dir.path().join(segment::file_name(1));
    fs::write(&path, bytes).unwrap();
    (path, starts)
}

#[test]
fn a_power_cut_that_kept_only_the_later_part_of_a_write_is_torn_not_damaged() {
    let lab = Lab::new();
    // Events 2 to 4 went to disk in one write, after event 1.
    let frames =
        [0, 1, 1, 1].iter().zip(1..).map(|(synced, number)| (execution_stream(number), 1, *synced));
    let (path, starts) = write_segment(&lab, &frames.collect::<Vec<_>>());
    let mut bytes = fs::read(&path).unwrap();
    bytes[starts[1]..starts[2]].fill(0);
    fs::write(&path, bytes).unwrap();
    let (log, recovery) = lab.open();
    assert_eq!(recovery.position, Position(1));
    assert_eq!(recovery.torn.unwrap().offset, starts[1] as u64);
    assert_eq!(all(&log).len(), 1);
}

#[test]
fn the_same_hole_before_a_later_write_is_damage() {
    let lab = Lab::new();
    // Event 4 was written when 3 were on disk.
    let frames =
        [0, 1, 1, 3].iter().zip(1..).map(|(synced, number)| (execution_stream(number), 1, *synced));
    let (path, starts) = write_segment(&lab, &frames.collect::<Vec<_>>());
    let mut bytes = fs::read(&path).unwrap();
    bytes[starts[1]..starts[2]].fill(0);
    fs::write(&path, bytes).unwrap();
    let refused = JournalLog::open(lab.options()).err().unwrap();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
    let report = JournalLog::verify(lab.dir.path()).unwrap();
    assert_eq!(report.difference.unwrap().after, Position(1));
}

#[test]
fn verify_names_the_event_whose_version_does_not_follow() {
    let lab = Lab::new();
    let frames = [(StreamId::Daemon, 1, 0), (StreamId::Daemon, 3, 1)];
    write_segment(&lab, &frames);
    let difference = JournalLog::verify(lab.dir.path()).unwrap().difference.unwrap();
    assert_eq!(difference.what, "event 2 has version 3 in its stream, expected 2");
    assert_eq!(difference.after, Position(1));
}

#[tokio::test]
async fn verify_counts_a_sound_log_and_agrees_with_its_head() {
    let lab = Lab::with_segments(1_000);
    lab.fill(20).await;
    let (log, _) = lab.open();
    let report = log.verify_now().unwrap();
    assert_eq!((report.events, report.position), (20, Position(20)));
    assert_eq!(report.difference, None);
    assert_eq!((report.head, report.position), log.head());
    assert_eq!(report.segments, lab.segments().len() as u64);
    assert_eq!(report.bytes, log.size_bytes());
}

#[tokio::test]
async fn verify_finds_damage_in_an_old_segment_and_says_where() {
    let lab = Lab::with_segments(1_000);
    lab.fill(20).await;
    let path = lab.segments()[1].clone();
    flip(&path, 150, 3);
    let report = JournalLog::verify(lab.dir.path()).unwrap();
    let place = report.difference.unwrap().place;
    assert_eq!(place, format!("{} at offset 64", path.display()));
    let refused = JournalLog::open(lab.options()).err().unwrap();
    assert!(refused.to_string().starts_with(&place), "{refused}");
}

#[tokio::test]
async fn a_missing_segment_is_refused() {
    let lab = Lab::with_segments(1_000);
    lab.fill(20).await;
    fs::remove_file(&lab.segments()[1]).unwrap();
    let refused = JournalLog::open(lab.options()).err().unwrap();
    assert!(refused.to_string().contains("the segment begins with position"), "{refused}");
}

#[tokio::test]
async fn a_segment_of_a_newer_format_is_refused_as_such() {
    let lab = Lab::new();
    lab.fill(1).await;
    let file = OpenOptions::new().write(true).open(lab.last_segment()).unwrap();
    file.write_all_at(&[9], 8).unwrap();
    let refused = JournalLog::open(lab.options()).err().unwrap();
    assert!(matches!(refused, OpenError::Newer { format: 9, .. }), "{refused}");
}

#[tokio::test]
async fn a_segment_whose_creation_was_cut_short_is_cleared_away() {
    let lab = Lab::new();
    lab.fill(3).await;
    let unfinished = lab.dir.path().join("00000000000000000004.new");
    fs::write(&unfinished, b"DAYBK").unwrap();
    let (log, _) = lab.open();
    assert!(!unfinished.exists());
    assert_eq!(all(&log).len(), 3);
}

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

#[tokio::test]
async fn after_a_failed_sync_nothing_is_acknowledged_and_the_daemon_is_told() {
    let lab = Lab::new();
    let (log, _) = lab.open();
    add(&log, 0).await;
    let mut failed = log.failed();
    log.fail_next_sync();
    let tickets: Vec<_> = (1..4)
        .map(|number| log.append(noted(execution_stream(number), Expected::Fresh, "x")))
        .collect();
    for ticket in tickets {
        assert!(matches!(ticket.await, Err(AppendError::Closed { .. })));
    }
    failed.wait_for(Option::is_some).await.unwrap();
    assert_eq!(all(&log).len(), 1);
    assert!(matches!(log.state().await, Err(AppendError::Closed { .. })));
    drop(log);
    // What the failed sync left there was never acknowledged: it may stand or not, but the log is sound.
    let (log, _) = lab.open();
    assert_eq!(log.verify_now().unwrap().difference, None);
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
