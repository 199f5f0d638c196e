//! What `verify` says of a log.

use super::*;

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
