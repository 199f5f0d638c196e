//! Segments that retention wrote again: the chain stays, readers go on, what is gone is told from what is broken.

use std::collections::BTreeSet;

use super::*;
use crate::store::AppendError;
use crate::store::journal::format::{PRUNED, SEGMENT_HEADER};

/// Prunes the events at `positions` from all full segments, however little that frees.
fn prune(log: &JournalLog, positions: &BTreeSet<u64>) -> Vec<PrunedSegment> {
    let mut gone = |event: RawEvent<'_>| positions.contains(&event.position.0);
    let prune = |sealed| log.prune_segment(&sealed, 1, &mut gone).unwrap();
    log.sealed().into_iter().map(prune).collect()
}

fn positions(log: &JournalLog) -> Vec<u64> {
    all(log).iter().map(|event| event.position.0).collect()
}

#[tokio::test]
async fn pruned_events_are_gone_and_everything_else_stays_as_it_was() {
    let mut dice = Dice(7);
    for _ in 0..20 {
        let lab = Lab::with_segments(3_000);
        lab.fill(120).await;
        let (log, _) = lab.open();
        let before = (all(&log), log.head());
        let sealed_to = log.sealed().last().unwrap().last.0;
        let share = 1 + dice.below(4);
        // In two passes: the second one finds what the first one left.
        let mut gone = BTreeSet::new();
        for _ in 0..2 {
            gone.extend((1..=sealed_to).filter(|_| dice.below(5) < share));
            prune(&log, &gone);
        }
        let left: Vec<_> =
            before.0.iter().filter(|event| !gone.contains(&event.position.0)).cloned().collect();
        let check = |log: &JournalLog| {
            assert_eq!(all(log), left);
            for stream in (0..5).map(execution_stream) {
                let of_stream: Vec<_> =
                    left.iter().filter(|event| event.stream == stream).cloned().collect();
                assert_eq!(log.read_stream(&stream, 0, 1_000).unwrap(), of_stream);
            }
            for after in (0..120).step_by(7) {
                let next: Vec<_> =
                    left.iter().filter(|event| event.position.0 > after).take(3).cloned().collect();
                assert_eq!(log.read(Position(after), 3).unwrap(), next);
            }
            let report = log.verify_now().unwrap();
            assert_eq!(report.difference, None);
            assert_eq!((report.events, report.pruned), (left.len() as u64, gone.len() as u64));
            assert_eq!((log.head(), report.bytes), (before.1, log.size_bytes()));
        };
        check(&log);
        drop(log);
        let (log, recovery) = lab.open();
        assert_eq!((recovery.position, recovery.torn), (Position(120), None));
        check(&log);
        log.append(noted(execution_stream(1), Expected::Exact(24), "next")).await.unwrap();
    }
}

#[tokio::test]
async fn a_segment_of_which_nothing_is_left_is_one_record_with_the_hashes_around_it() {
    let lab = Lab::with_segments(3_000);
    lab.fill(60).await;
    let (log, _) = lab.open();
    let sealed = log.sealed()[1];
    let previous = segment::read_header(&lab.segments()[1]).unwrap().unwrap().previous;
    let after = segment::read_header(&lab.segments()[2]).unwrap().unwrap().previous;
    prune(&log, &(sealed.first.0..=sealed.last.0).collect());
    let bytes = fs::read(&lab.segments()[1]).unwrap();
    assert_eq!(bytes.len(), SEGMENT_HEADER + 100);
    assert_eq!(SegmentHeader::from_bytes(&bytes).unwrap().format, PRUNED);
    let run = FrameHeader::from_bytes(&bytes[SEGMENT_HEADER..]).unwrap();
    let count = sealed.last.0 - sealed.first.0 + 1;
    assert_eq!((run.first, run.count), (sealed.first.0, count));
    assert_eq!((run.run_after, run.chain), (Some(previous), after));
}

#[tokio::test]
async fn a_reader_that_has_the_former_file_open_reads_it_to_its_end() {
    let lab = Lab::with_segments(20_000);
    lab.fill(300).await;
    let (log, _) = lab.open();
    let sealed = log.sealed();
    let mut scan = log.scan(Position(1));
    scan.next_raw().unwrap();
    let gone: BTreeSet<_> = (1..=sealed[1].last.0).filter(|position| position % 3 != 0).collect();
    prune(&log, &gone);
    let mut read = vec![1];
    while let Some(event) = scan.next_raw().unwrap() {
        read.push(event.position.0);
    }
    let old_file = 1..=sealed[0].last.0;
    let new_file = (sealed[1].first.0..=300).filter(|position| !gone.contains(position));
    assert_eq!(read, old_file.chain(new_file).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_index_may_still_name_what_was_pruned() {
    struct Every(Vec<Position>);
    impl Positions for Every {
        fn positions(&self, _: &StreamId, _: u64, limit: usize) -> Option<Indexed> {
            let positions = self.0.iter().copied().take(limit).collect();
            Some(Indexed { positions, until: Position(60) })
        }
    }
    let lab = Lab::with_segments(3_000);
    lab.fill(60).await;
    let (log, _) = lab.open();
    let gone = (1..=20).chain([26]).collect();
    prune(&log, &gone);
    let stream = execution_stream(0);
    let indexed = (1..=60).step_by(5).map(Position).collect();
    log.attach_positions(std::sync::Arc::new(Every(indexed)));
    let read = log.read_stream(&stream, 0, 100).unwrap();
    let read: Vec<_> = read.iter().map(|event| event.position.0).collect();
    assert_eq!(read, [21, 31, 36, 41, 46, 51, 56]);
}

#[tokio::test]
async fn what_frees_too_little_stays_as_it_is() {
    let lab = Lab::with_segments(3_000);
    lab.fill(60).await;
    let (log, _) = lab.open();
    let before = fs::read(&lab.segments()[0]).unwrap();
    let pruned = log
        .prune_segment(&log.sealed()[0], 500, &mut |event| event.position == Position(2))
        .unwrap();
    assert_eq!((pruned.events, pruned.written), (1, false));
    assert!(pruned.bytes_after < pruned.bytes_before);
    assert_eq!(fs::read(&lab.segments()[0]).unwrap(), before);
    assert_eq!(positions(&log).len(), 60);
}

/// A kill at any moment of the rewriting leaves either file whole, and the next pass goes on.
#[tokio::test]
async fn a_pass_that_was_cut_short_loses_nothing_and_the_next_one_goes_on() {
    let lab = Lab::with_segments(3_000);
    lab.fill(60).await;
    let gone: BTreeSet<u64> = (1..=10).collect();
    let path = lab.segments()[0].clone();
    let (before, after) = {
        let (log, _) = lab.open();
        let before = fs::read(&path).unwrap();
        prune(&log, &gone);
        (before, fs::read(&path).unwrap())
    };
    let new = path.with_extension("new");
    for written in (0..=after.len()).step_by(50).chain([after.len()]) {
        fs::write(&path, &before).unwrap();
        fs::write(&new, &after[..written]).unwrap();
        let (log, recovery) = lab.open();
        assert_eq!((recovery.position, recovery.torn), (Position(60), None));
        assert!(!new.exists());
        assert_eq!(positions(&log), (1..=60).collect::<Vec<_>>());
        prune(&log, &gone);
        assert_eq!(positions(&log), (11..=60).collect::<Vec<_>>());
        drop(log);
        assert_eq!(fs::read(&path).unwrap(), after);
    }
}

#[tokio::test]
async fn a_damaged_segment_is_left_as_it_is_and_told() {
    let lab = Lab::with_segments(3_000);
    lab.fill(60).await;
    let (log, _) = lab.open();
    let path = lab.segments()[0].clone();
    flip(&path, 500, 2);
    let damaged = fs::read(&path).unwrap();
    let refused = log.prune_segment(&log.sealed()[0], 1, &mut |_| true).unwrap_err();
    assert!(refused.to_string().starts_with(&path.display().to_string()), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), damaged);
    assert!(!path.with_extension("new").exists());
}

#[tokio::test]
async fn a_flipped_bit_in_what_pruning_left_is_found() {
    let lab = Lab::with_segments(3_000);
    lab.fill(60).await;
    let (log, _) = lab.open();
    prune(&log, &(1..=9).chain([11]).collect());
    drop(log);
    let path = lab.segments()[0].clone();
    let length = fs::metadata(&path).unwrap().len();
    for offset in (0..length).step_by(9) {
        flip(&path, offset, 5);
        let report = JournalLog::verify(lab.dir.path()).unwrap();
        // Two bytes of the header are of no use.
        let unused = (10..12).contains(&offset);
        assert_eq!(report.difference.is_none(), unused, "offset {offset}");
        flip(&path, offset, 5);
    }
}

#[test]
fn a_version_may_be_missing_only_where_something_was_pruned() {
    let lab = Lab::new();
    let (mut bytes, starts) = segment_of(&[
        (0, vec![(execution_stream(1), 1, "one")]),
        (1, vec![(StreamId::Daemon, 1, "two")]),
        (2, vec![(StreamId::Daemon, 4, "three")]),
    ]);
    let first = FrameHeader::from_bytes(&bytes[starts[0]..starts[1]]).unwrap();
    let (mut run, header) = (Vec::new(), FrameHeader { run_after: Some([0; 32]), ..first });
    header.write(&[], &mut run);
    bytes.splice(starts[0]..starts[1], run);
    fs::write(lab.dir.path().join(segment::file_name(1)), bytes).unwrap();
    let difference = JournalLog::verify(lab.dir.path()).unwrap().difference.unwrap();
    assert_eq!(difference.what, "event 3 has version 4 in its stream, expected 2");
}

#[tokio::test]
async fn a_stream_goes_on_with_its_version_when_its_older_events_were_pruned() {
    let lab = Lab::with_segments(3_000);
    lab.fill(60).await;
    let (log, _) = lab.open();
    let sealed_to = log.sealed().last().unwrap().last.0;
    prune(&log, &(1..=sealed_to).filter(|position| position % 5 == 1).collect());
    drop(log);
    let (log, _) = lab.open();
    let next = |version| noted(execution_stream(0), Expected::Exact(version), "next");
    let refused = log.append(next(3)).await;
    assert!(matches!(refused, Err(AppendError::Conflict { actual: 12, .. })), "{refused:?}");
    log.append(next(12)).await.unwrap();
}
