//! The bytes of a segment: one header, then frames, each of them one append.
//!
//! Segment header, 64 bytes: magic 8, format 2, zero 2, first position 8, chain hash before it 32, created 8 (ms), CRC32C 4.
//!
//! Frame, 60 bytes and its records: length 4 (of all that follows the checksum), CRC32C 4 (over the same), count of
//! events 4, first position 8, newest position on disk when it was written 8, chain hash 32. Record: length 4,
//! CRC32C 4, the event's stored bytes. Numbers are little-endian, checksums CRC-32C.
//!
//! Segments are written in format 1. Retention writes sealed ones again in format 2, which also knows events that were
//! pruned: a record of length `0xffff_ffff` holds the 32-byte hash of an event instead of its bytes, and a frame whose
//! count is 0 stands for a run of frames of which nothing is left. Such a run's body has the count of its events 8 and
//! the chain hash before them 32; the chain hash in its header is the one after them.
//!
//! The position on disk tells damage from a torn write: frames are written in groups, and the next group only after
//! the sync of the one before. A broken frame that is followed by a good one is torn if that one was written in the
//! same group, and damaged if the good one knew the broken one to be on disk.

use crate::instant::Instant;

/// The first bytes of every segment.
const MAGIC: [u8; 8] = *b"DAYBKJNL";
/// The format of segments in which every event is there. It is the one that is written.
pub(super) const COMPLETE: u16 = 1;
/// The format of segments that retention wrote again.
pub(super) const PRUNED: u16 = 2;
/// The newest format that is read here.
pub(super) const FORMAT: u16 = PRUNED;
/// Size of a segment's header, in bytes.
pub(super) const SEGMENT_HEADER: usize = 64;
/// Size of a frame's header, in bytes.
pub(super) const FRAME_HEADER: usize = 60;
/// Size of a record's header, in bytes.
pub(super) const RECORD_HEADER: usize = 8;
/// Bytes of a frame that its length does not count.
const UNCOUNTED: usize = 8;
/// The length of a record whose event was pruned. No event is as long.
const PRUNED_LENGTH: u32 = u32::MAX;
/// Size of the body of a run of pruned frames, in bytes.
const RUN_BODY: usize = 40;

/// The most that the records of one append may take, in bytes.
pub(super) const MAX_APPEND_BYTES: usize = 1 << 30;

/// A BLAKE3 hash.
pub(super) type Hash = [u8; 32];

/// What a segment begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// [`COMPLETE`] or [`PRUNED`].
    pub(super) format: u16,
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
        bytes[8..10].copy_from_slice(&self.format.to_le_bytes());
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
            format,
            first: u64::from_le_bytes(chunk(bytes, 12)),
            previous: chunk(bytes, 20),
            created: Instant::from_millis(i64::from_le_bytes(chunk(bytes, 52))),
        })
    }
}

/// What a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// How many events it holds, or held.
    pub(super) count: u64,
    /// The position of the first one.
    pub(super) first: u64,
    /// The newest position on disk when it was written.
    pub(super) synced: u64,
    /// BLAKE3 of the chain hash before it and its events' hashes.
    pub(super) chain: Hash,
    /// The chain hash before it, when it is a run of frames of which nothing is left; it has no records.
    pub(super) run_after: Option<Hash>,
}

impl FrameHeader {
    /// The position of its last event.
    pub(super) const fn last(&self) -> u64 {
        self.first + self.count - 1
    }

    /// Writes the frame around `records`, which are in their final form; a run has none.
    pub(super) fn write(&self, records: &[u8], into: &mut Vec<u8>) {
        let start = into.len();
        let body = if self.run_after.is_some() { RUN_BODY } else { records.len() };
        let length = FRAME_HEADER - UNCOUNTED + body;
        // Appends above `MAX_APPEND_BYTES` were refused before, so length and count fit.
        into.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        into.extend_from_slice(&[0; 4]);
        let count = if self.run_after.is_some() { 0 } else { self.count };
        into.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
        into.extend_from_slice(&self.first.to_le_bytes());
        into.extend_from_slice(&self.synced.to_le_bytes());
        into.extend_from_slice(&self.chain);
        if let Some(before) = &self.run_after {
            into.extend_from_slice(&self.count.to_le_bytes());
            into.extend_from_slice(before);
        } else {
            into.extend_from_slice(records);
        }
        let crc = crc32c::crc32c(&into[start + UNCOUNTED..]);
        into[start + 4..start + UNCOUNTED].copy_from_slice(&crc.to_le_bytes());
    }

    /// How many bytes the frame that begins here takes, if its length makes sense at all.
    pub(super) fn size(bytes: &[u8]) -> Option<usize> {
        let length = usize::try_from(u32::from_le_bytes(*bytes.first_chunk()?)).ok()?;
        (length >= FRAME_HEADER - UNCOUNTED).then_some(length + UNCOUNTED)
    }

    /// Reads the header of a whole frame whose checksum is right, and that of a run with its body.
    pub(super) fn from_bytes(frame: &[u8]) -> Option<Self> {
        let header = frame.first_chunk::<FRAME_HEADER>()?;
        if crc32c::crc32c(&frame[UNCOUNTED..]) != u32::from_le_bytes(chunk(header, 4)) {
            return None;
        }
        let mut read = Self {
            count: u64::from(u32::from_le_bytes(chunk(header, 8))),
            first: Self::first_of(header),
            synced: u64::from_le_bytes(chunk(header, 20)),
            chain: chunk(header, 28),
            run_after: None,
        };
        if read.count == 0 {
            let body: &[u8; RUN_BODY] = frame[FRAME_HEADER..].try_into().ok()?;
            read.count = u64::from_le_bytes(chunk(body, 0));
            read.run_after = Some(chunk(body, 8));
        }
        read.is_sound().then_some(read)
    }

    /// Whether it counts anything, and its positions are numbers.
    pub(super) fn is_sound(&self) -> bool {
        self.count > 0 && self.first.checked_add(self.count).is_some()
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

/// Writes a record that keeps the hash of an event and not its bytes.
pub(super) fn put_pruned(into: &mut Vec<u8>, hash: &Hash) {
    into.extend_from_slice(&PRUNED_LENGTH.to_le_bytes());
    into.extend_from_slice(&crc32c::crc32c(hash).to_le_bytes());
    into.extend_from_slice(hash);
}

/// One record cut off a frame's body.
pub(super) struct Record<'a> {
    crc: u32,
    /// What it holds.
    pub(super) content: Content<'a>,
    /// What follows it.
    pub(super) rest: &'a [u8],
}

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    /// The event's stored bytes.
    Event(&'a [u8]),
    /// The hash of an event that was pruned.
    Pruned(&'a Hash),
}

impl Content<'_> {
    /// The event's hash.
    pub(super) fn hash(&self) -> Hash {
        match self {
            Self::Event(bytes) => crate::store::codec::hash(bytes),
            Self::Pruned(hash) => **hash,
        }
    }
}

impl<'a> Record<'a> {
    /// Cuts the first record off `body`; none when `body` is too short for it.
    pub(super) fn cut(body: &'a [u8]) -> Option<Self> {
        let (length, rest) = body.split_first_chunk::<4>()?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        let (length, crc) = (u32::from_le_bytes(*length), u32::from_le_bytes(*crc));
        if length == PRUNED_LENGTH {
            let (hash, rest) = rest.split_first_chunk()?;
            return Some(Self { crc, content: Content::Pruned(hash), rest });
        }
        let (event, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        Some(Self { crc, content: Content::Event(event), rest })
    }

    /// Whether the record's own checksum is right.
    pub(super) fn is_sound(&self) -> bool {
        let bytes: &[u8] = match &self.content {
            Content::Event(bytes) => bytes,
            Content::Pruned(hash) => *hash,
        };
        crc32c::crc32c(bytes) == self.crc
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
mod tests;
