//! The bytes of a segment, kept in `tests/golden/` for good.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::store::journal::format::{FRAME_HEADER, Record, SEGMENT_HEADER};

/// Two groups: one append alone, then two that went to disk together.
fn appends() -> Vec<Written> {
    let (one, two) = (execution_stream(1), execution_stream(2));
    vec![
        (0, vec![(one.clone(), 1, "one")]),
        (1, vec![(StreamId::Daemon, 1, "two"), (one, 2, "three")]),
        (1, vec![(two, 1, "four")]),
    ]
}

fn golden_file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/journal-segment-v1.bin")
}

fn golden() -> Vec<u8> {
    let path = golden_file();
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
    fs::write(lab.dir.path().join(segment::file_name(1)), golden()).unwrap();
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
    let stored = golden();
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
            let copied = put_record(&mut records, |into| {
                into.extend_from_slice(record.event);
                Ok::<(), ()>(())
            });
            hashes.push(copied.unwrap());
            body = record.rest;
        }
        previous = chain(&previous, &hashes);
        let count = u32::try_from(hashes.len()).unwrap();
        FrameHeader { count, chain: previous, ..read }.write(&records, &mut bytes);
        rest = following;
    }
    assert_eq!(bytes, stored);
}

/// Run by hand when the file is missing. An existing file is never touched.
#[test]
#[ignore = "writes the golden file that is missing"]
fn writes_the_missing_journal_segment() {
    let path = golden_file();
    if !path.exists() {
        fs::write(path, segment_of(&appends()).0).unwrap();
    }
}
