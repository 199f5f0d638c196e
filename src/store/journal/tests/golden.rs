//! The bytes of a segment, kept in `tests/golden/` for good.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::store::journal::format::{Content, FRAME_HEADER, Record, SEGMENT_HEADER};

/// Two groups: one append alone, then two that went to disk together.
fn appends() -> Vec<Written> {
    let (one, two) = (execution_stream(1), execution_stream(2));
    vec![
        (0, vec![(one.clone(), 1, "one")]),
        (1, vec![(StreamId::Daemon, 1, "two"), (one, 2, "three")]),
        (1, vec![(two, 1, "four")]),
    ]
}

fn golden_file(format: u16) -> PathBuf {
    let name = format!("journal-segment-v{format}.bin");
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The segment of the first format, pruned of its first two events.
fn pruned() -> Vec<u8> {
    let lab = Lab::new();
    let path = lab.dir.path().join(segment::file_name(1));
    let bytes = golden(1);
    fs::write(&path, &bytes).unwrap();
    let segment = segment::Segment::new(Position(1), path.clone(), bytes.len() as u64);
    let pruned = rewrite::prune(&segment, 1, &mut |event| event.position <= Position(2)).unwrap();
    assert_eq!((pruned.events, pruned.left, pruned.written), (2, 2, true));
    fs::read(&path).unwrap()
}

fn golden(format: u16) -> Vec<u8> {
    let path = golden_file(format);
    fs::read(&path).unwrap_or_else(|err| {
        panic!(
            "{}: {err}; write the missing file with `cargo test golden -- --ignored`",
            path.display()
        )
    })
}

#[test]
fn a_journal_segment_of_the_first_format_is_read_event_by_event() {
    let lab = Lab::new();
    fs::write(lab.dir.path().join(segment::file_name(1)), golden(1)).unwrap();
    let (log, recovery) = lab.open();
    assert_eq!((recovery.position, recovery.torn), (Position(4), None));
    let read: Vec<_> =
        all(&log).into_iter().map(|event| (event.stream, event.version, event.event)).collect();
    let written: Vec<_> = appends()
        .into_iter()
        .flat_map(|(_, events)| events)
        .map(|(stream, version, text)| (stream, version, testing::note(text)))
        .collect();
    assert_eq!(read, written);
    assert_eq!(log.verify_now().unwrap().difference, None);
}

/// The events stay the bytes that they are: their own versions have files of their own.
#[test]
fn a_journal_segment_of_the_first_format_is_written_again_byte_by_byte() {
    let stored = golden(1);
    let header = SegmentHeader::from_bytes(&stored).unwrap();
    let mut bytes = header.to_bytes().to_vec();
    let mut previous = header.previous;
    let mut rest = &stored[SEGMENT_HEADER..];
    while !rest.is_empty() {
        let (frame, following) = rest.split_at(FrameHeader::size(rest).unwrap());
        let read = FrameHeader::from_bytes(frame).unwrap();
        let (mut records, mut hashes) = (Vec::new(), Vec::new());
        let mut body = &frame[FRAME_HEADER..];
        while let Some(record) = Record::cut(body) {
            let Content::Event(event) = record.content else { panic!("nothing is pruned here") };
            let copied = put_record(&mut records, |into| {
                into.extend_from_slice(event);
                Ok::<(), ()>(())
            });
            hashes.push(copied.unwrap());
            body = record.rest;
        }
        previous = chain(&previous, &hashes);
        let count = hashes.len() as u64;
        FrameHeader { count, chain: previous, ..read }.write(&records, &mut bytes);
        rest = following;
    }
    assert_eq!(bytes, stored);
}

#[test]
fn a_journal_segment_of_the_second_format_is_read_without_what_was_pruned() {
    let lab = Lab::new();
    fs::write(lab.dir.path().join(segment::file_name(1)), golden(2)).unwrap();
    let (log, recovery) = lab.open();
    assert_eq!((recovery.position, recovery.torn), (Position(4), None));
    let read: Vec<_> =
        all(&log).into_iter().map(|event| (event.position.0, event.version, event.event)).collect();
    assert_eq!(read, [(3, 2, testing::note("three")), (4, 1, testing::note("four"))]);
    let report = log.verify_now().unwrap();
    assert_eq!((report.events, report.pruned, report.difference), (2, 2, None));
}

#[test]
fn a_journal_segment_of_the_second_format_is_written_again_byte_by_byte() {
    assert_eq!(pruned(), golden(2));
}

/// Run by hand when the file is missing. An existing file is never touched.
#[test]
#[ignore = "writes the golden file that is missing"]
fn writes_the_missing_journal_segment() {
    let path = golden_file(1);
    if !path.exists() {
        fs::write(path, segment_of(&appends()).0).unwrap();
    }
    let path = golden_file(2);
    if !path.exists() {
        fs::write(path, pruned()).unwrap();
    }
}
