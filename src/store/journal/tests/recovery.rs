//! What a start finds: new folders, torn writes, damage.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::*;
use crate::store::AppendError;
use crate::store::journal::format::SEGMENT_HEADER;

#[tokio::test]
async fn a_new_journal_is_empty_and_gets_its_first_segment_with_the_first_event() {
    let lab = Lab::new();
    let (log, recovery) = lab.open();
    assert_eq!((recovery.position, recovery.torn), (Position(0), None));
    assert_eq!(lab.segments(), Vec::<PathBuf>::new());
    add(&log, 1).await;
    assert_eq!(lab.last_segment().file_name().unwrap(), "00000000000000000001.seg");
    let header = segment::read_header(&lab.last_segment()).unwrap().unwrap();
    assert_eq!(
        header,
        SegmentHeader { format: 1, first: 1, previous: [0; 32], created: samples::at() }
    );
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
