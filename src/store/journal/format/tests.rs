//! The bytes of headers, frames and records.

use super::*;

#[test]
fn a_segments_header_has_these_bytes() {
    let header = SegmentHeader {
        format: COMPLETE,
        first: 0x0102,
        previous: [9; 32],
        created: Instant::from_millis(3),
    };
    let bytes = header.to_bytes();
    let mut expected = b"DAYBKJNL\x01\x00\x00\x00\x02\x01\x00\x00\x00\x00\x00\x00".to_vec();
    expected.extend([9; 32]);
    expected.extend([3, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[..60], expected);
    assert_eq!(SegmentHeader::from_bytes(&bytes), Ok(header));
}

#[test]
fn a_segment_of_a_newer_format_is_told_from_a_damaged_one() {
    let header = SegmentHeader {
        format: COMPLETE,
        first: 1,
        previous: [0; 32],
        created: Instant::default(),
    };
    let mut newer = header.to_bytes();
    newer[8] = 3;
    assert_eq!(SegmentHeader::from_bytes(&newer), Err(NoHeader::Newer(3)));
    let mut damaged = header.to_bytes();
    damaged[12] ^= 1;
    assert!(matches!(SegmentHeader::from_bytes(&damaged), Err(NoHeader::Damaged(_))));
}

#[test]
fn a_frame_reads_back_and_any_changed_bit_is_noticed() {
    let mut records = Vec::new();
    let hash = put_record(&mut records, |into| {
        into.extend_from_slice(b"event");
        Ok::<(), ()>(())
    })
    .unwrap();
    let header = FrameHeader {
        count: 1,
        first: 7,
        synced: 6,
        chain: chain(&[0; 32], [&hash]),
        run_after: None,
    };
    let mut frame = Vec::new();
    header.write(&records, &mut frame);
    assert_eq!(FrameHeader::size(&frame), Some(frame.len()));
    assert_eq!(FrameHeader::from_bytes(&frame), Some(header));
    let record = Record::cut(&frame[FRAME_HEADER..]).unwrap();
    assert_eq!(
        (record.content, record.rest, record.is_sound()),
        (Content::Event(b"event"), &[][..], true)
    );
    for bit in 32..frame.len() * 8 {
        let mut damaged = frame.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(FrameHeader::from_bytes(&damaged), None, "bit {bit}");
    }
}

#[test]
fn a_pruned_record_keeps_the_hash_under_a_checksum() {
    let mut records = Vec::new();
    put_pruned(&mut records, &[7; 32]);
    assert_eq!(records[..4], [0xff; 4]);
    assert_eq!(records.len(), 40);
    let record = Record::cut(&records).unwrap();
    assert_eq!((record.content, record.is_sound()), (Content::Pruned(&[7; 32]), true));
    assert_eq!(record.content.hash(), [7; 32]);
    records[20] ^= 1;
    assert!(!Record::cut(&records).unwrap().is_sound());
    assert!(Record::cut(&records[..39]).is_none());
}

#[test]
fn a_run_of_pruned_frames_has_these_bytes() {
    let header = FrameHeader {
        count: 0x0001_0000_0002,
        first: 5,
        synced: 4,
        chain: [8; 32],
        run_after: Some([9; 32]),
    };
    let mut frame = Vec::new();
    header.write(&[], &mut frame);
    let mut expected = vec![92, 0, 0, 0];
    expected.extend(&frame[4..8]);
    expected.extend([0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend([8; 32]);
    expected.extend([2, 0, 0, 0, 1, 0, 0, 0]);
    expected.extend([9; 32]);
    assert_eq!(frame, expected);
    assert_eq!(FrameHeader::from_bytes(&frame), Some(header));
    assert_eq!(header.last(), 0x0001_0000_0006);
}
