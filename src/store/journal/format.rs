//! The bytes of a segment: one header, then frames, each of them one append.
//!
//! Segment header, 64 bytes: magic 8, format 2, zero 2, first position 8, chain hash before it 32, created 8 (ms), CRC32C 4.
//!
//! Frame, 60 bytes and its records: length 4 (of all that follows the checksum), CRC32C 4 (over the same), count of
//! events 4, first position 8, newest position on disk when it was written 8, chain hash 32. Record: length 4,
//! CRC32C 4, the event's stored bytes. Numbers are little-endian, checksums CRC-32C.
//!
//! The position on disk tells damage from a torn write: frames are written in groups, and the next group only after
//! the sync of the one before. A broken frame that is followed by a good one is torn if that one was written in the
//! same group, and damaged if the good one knew the broken one to be on disk.

use crate::instant::Instant;

/// The first bytes of every segment.
const MAGIC: [u8; 8] = *b"DAYBKJNL";
/// The format written here. 1: as described above.
pub(super) const FORMAT: u16 = 1;
/// Size of a segment's header, in bytes.
pub(super) const SEGMENT_HEADER: usize = 64;
/// Size of a frame's header, in bytes.
pub(super) const FRAME_HEADER: usize = 60;
/// Size of a record's header, in bytes.
pub(super) const RECORD_HEADER: usize = 8;
/// Bytes of a frame that its length does not count.
const UNCOUNTED: usize = 8;

/// The most that the records of one append may take, in bytes.
pub(super) const MAX_APPEND_BYTES: usize = 1 << 30;

/// A BLAKE3 hash.
pub(super) type Hash = [u8; 32];

/// What a segment begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// The position of its first event.
    pub(super) first: u64,
    /// The chain hash of the frame before it; zeros in the first segment.
    pub(super) previous: Hash,
    /// When the first append in it was recorded.
    pub(super) created: Instant,
}

/// Why bytes are no segment header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoHeader {
    Damaged(&'static str),
    Newer(u16),
}

impl SegmentHeader {
    pub(super) fn to_bytes(self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.first.to_le_bytes());
        bytes[20..52].copy_from_slice(&self.previous);
        bytes[52..60].copy_from_slice(&self.created.millis().to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, NoHeader> {
        let Some(bytes) = bytes.first_chunk::<SEGMENT_HEADER>() else {
            return Err(NoHeader::Damaged("the file is shorter than a segment's header"));
        };
        if bytes[..8] != MAGIC {
            return Err(NoHeader::Damaged("the file does not begin like a segment"));
        }
        let format = u16::from_le_bytes(chunk(bytes, 8));
        if format > FORMAT {
            return Err(NoHeader::Newer(format));
        }
        if crc32c::crc32c(&bytes[..60]) != u32::from_le_bytes(chunk(bytes, 60)) {
            return Err(NoHeader::Damaged("the checksum of the segment's header is wrong"));
        }
        Ok(Self {
            first: u64::from_le_bytes(chunk(bytes, 12)),
            previous: chunk(bytes, 20),
            created: Instant::from_millis(i64::from_le_bytes(chunk(bytes, 52))),
        })
    }
}

/// What a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// How many events it holds.
    pub(super) count: u32,
    /// The position of the first one.
    pub(super) first: u64,
    /// The newest position on disk when it was written.
    pub(super) synced: u64,
    /// BLAKE3 of the chain hash before it and its events' hashes.
    pub(super) chain: Hash,
}

impl FrameHeader {
    /// The position of its last event.
    pub(super) const fn last(&self) -> u64 {
        self.first + self.count as u64 - 1
    }

    /// Writes the frame around `records`, which are in their final form.
    pub(super) fn write(&self, records: &[u8], into: &mut Vec<u8>) {
        let start = into.len();
        let length = FRAME_HEADER - UNCOUNTED + records.len();
        // Appends above `MAX_APPEND_BYTES` were refused before.
        into.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        into.extend_from_slice(&[0; 4]);
        into.extend_from_slice(&self.count.to_le_bytes());
        into.extend_from_slice(&self.first.to_le_bytes());
        into.extend_from_slice(&self.synced.to_le_bytes());
        into.extend_from_slice(&self.chain);
        into.extend_from_slice(records);
        let crc = crc32c::crc32c(&into[start + UNCOUNTED..]);
        into[start + 4..start + UNCOUNTED].copy_from_slice(&crc.to_le_bytes());
    }

    /// How many bytes the frame that begins here takes, if its length makes sense at all.
    pub(super) fn size(bytes: &[u8]) -> Option<usize> {
        let length = usize::try_from(u32::from_le_bytes(*bytes.first_chunk()?)).ok()?;
        (length >= FRAME_HEADER - UNCOUNTED).then_some(length + UNCOUNTED)
    }

    /// Reads the header of a whole frame whose checksum is right.
    pub(super) fn from_bytes(frame: &[u8]) -> Option<Self> {
        let header = frame.first_chunk::<FRAME_HEADER>()?;
        if crc32c::crc32c(&frame[UNCOUNTED..]) != u32::from_le_bytes(chunk(header, 4)) {
            return None;
        }
        let read = Self {
            count: u32::from_le_bytes(chunk(header, 8)),
            first: Self::first_of(header),
            synced: u64::from_le_bytes(chunk(header, 20)),
            chain: chunk(header, 28),
        };
        let sound = read.count > 0 && read.first.checked_add(u64::from(read.count)).is_some();
        sound.then_some(read)
    }

    /// The first position of the frame that begins here, unchecked.
    pub(super) fn first_of(header: &[u8; FRAME_HEADER]) -> u64 {
        u64::from_le_bytes(chunk(header, 12))
    }
}

/// Writes one event's stored bytes as a record; `write` puts them behind what is there.
pub(super) fn put_record<E>(
    into: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<Hash, E> {
    let start = into.len();
    into.extend_from_slice(&[0; RECORD_HEADER]);
    write(into)?;
    let event = &into[start + RECORD_HEADER..];
    let length = u32::try_from(event.len()).unwrap_or(u32::MAX);
    let crc = crc32c::crc32c(event);
    let hash = crate::store::codec::hash(event);
    into[start..start + 4].copy_from_slice(&length.to_le_bytes());
    into[start + 4..start + RECORD_HEADER].copy_from_slice(&crc.to_le_bytes());
    Ok(hash)
}

/// One record cut off a frame's body.
pub(super) struct Record<'a> {
    crc: u32,
    /// The event's stored bytes.
    pub(super) event: &'a [u8],
    /// What follows it.
    pub(super) rest: &'a [u8],
}

impl<'a> Record<'a> {
    /// Cuts the first record off `body`; none when `body` is too short for it.
    pub(super) fn cut(body: &'a [u8]) -> Option<Self> {
        let (length, rest) = body.split_first_chunk::<4>()?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (event, rest) = rest.split_at_checked(length)?;
        Some(Self { crc: u32::from_le_bytes(*crc), event, rest })
    }

    /// Whether the event's own checksum is right.
    pub(super) fn is_sound(&self) -> bool {
        crc32c::crc32c(self.event) == self.crc
    }
}

/// The chain's next hash. Source: contract, rule 10.
pub(super) fn chain<'a>(previous: &Hash, events: impl IntoIterator<Item = &'a Hash>) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(previous);
    for hash in events {
        hasher.update(hash);
    }
    *hasher.finalize().as_bytes()
}

/// `N` bytes from `at`, which lie inside.
fn chunk<const N: usize, const M: usize>(bytes: &[u8; M], at: usize) -> [u8; N] {
    let mut chunk = [0; N];
    chunk.copy_from_slice(&bytes[at..at + N]);
    chunk
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segments_header_has_these_bytes() {
        let header =
            SegmentHeader { first: 0x0102, previous: [9; 32], created: Instant::from_millis(3) };
        let bytes = header.to_bytes();
        let mut expected = b"DAYBKJNL\x01\x00\x00\x00\x02\x01\x00\x00\x00\x00\x00\x00".to_vec();
        expected.extend([9; 32]);
        expected.extend([3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[..60], expected);
        assert_eq!(SegmentHeader::from_bytes(&bytes), Ok(header));
    }

    #[test]
    fn a_segment_of_a_newer_format_is_told_from_a_damaged_one() {
        let header = SegmentHeader { first: 1, previous: [0; 32], created: Instant::default() };
        let mut newer = header.to_bytes();
        newer[8] = 2;
        assert_eq!(SegmentHeader::from_bytes(&newer), Err(NoHeader::Newer(2)));
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
        let header = FrameHeader { count: 1, first: 7, synced: 6, chain: chain(&[0; 32], [&hash]) };
        let mut frame = Vec::new();
        header.write(&records, &mut frame);
        assert_eq!(FrameHeader::size(&frame), Some(frame.len()));
        assert_eq!(FrameHeader::from_bytes(&frame), Some(header));
        let record = Record::cut(&frame[FRAME_HEADER..]).unwrap();
        assert_eq!((record.event, record.rest, record.is_sound()), (&b"event"[..], &[][..], true));
        for bit in 32..frame.len() * 8 {
            let mut damaged = frame.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHeader::from_bytes(&damaged), None, "bit {bit}");
        }
    }
}
