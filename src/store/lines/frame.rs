//! A chunk as it stands in a segment: a description of fixed length, then the payload.

use crate::ids::ExecutionId;

use super::bytes::{array_at, u32_at, u64_at};

/// Begins each chunk. `0xFF` occurs in no UTF-8 text, so no output of a job can look like a chunk.
pub(super) const MAGIC: [u8; 4] = [0xFF, b'D', b'C', 0xFE];
/// Magic, checksum and description.
pub(super) const HEAD_LEN: usize = 128;
/// The longest payload that is accepted, stored or unpacked: a chunk of 64 KiB and one line of the longest kind.
pub(super) const PAYLOAD_MAX: usize = 4 << 20;

/// The payload is stored as it is.
pub(super) const PLAIN: u8 = 0;
/// The payload is one zstd frame.
pub(super) const ZSTD: u8 = 1;

const HASHED_FROM: usize = 56;

/// What a chunk says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Stored bytes behind the head.
    pub(super) payload_len: u32,
    /// CRC32C of them.
    pub(super) payload_crc: u32,
    /// Where the group commit that wrote this chunk began: everything before it was already on disk. Tells damage
    /// from a torn tail.
    pub(super) group_at: u64,
    /// BLAKE3 over the description from `execution` on, and the payload.
    pub(super) hash: [u8; 32],
    /// Whose lines.
    pub(super) execution: ExecutionId,
    /// Number of its first line, from 1.
    pub(super) first_line: u64,
    /// Earliest and latest instant, in milliseconds.
    pub(super) at_min: i64,
    /// See `at_min`.
    pub(super) at_max: i64,
    /// Number of the chunk in its execution, from 0.
    pub(super) chunk: u32,
    /// Lines in it.
    pub(super) lines: u32,
    /// Lowest and highest attempt.
    pub(super) attempt_min: u32,
    /// See `attempt_min`.
    pub(super) attempt_max: u32,
    /// Bytes of text, without line ends.
    pub(super) text_len: u32,
    /// Bytes of the payload once unpacked.
    pub(super) raw_len: u32,
    /// Bit n: a line of level n occurs.
    pub(super) levels: u8,
    /// Bit n: a line of class n occurs.
    pub(super) classes: u8,
    /// [`PLAIN`] or [`ZSTD`].
    pub(super) codec: u8,
}

impl Head {
    /// Number of its last line.
    pub(super) fn last_line(&self) -> u64 {
        self.first_line.saturating_add(u64::from(self.lines)).saturating_sub(1)
    }

    /// Head and payload together.
    pub(super) fn frame_len(&self) -> u64 {
        HEAD_LEN as u64 + u64::from(self.payload_len)
    }

    /// Fills in length, checksum and hash for `payload` and gives the bytes that precede it.
    pub(super) fn seal(&mut self, payload: &[u8]) -> [u8; HEAD_LEN] {
        self.payload_len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        self.payload_crc = crc32c::crc32c(payload);
        self.hash = self.hash_with(payload);
        self.encode()
    }

    /// The hash that this description and `payload` should have.
    pub(super) fn hash_with(&self, payload: &[u8]) -> [u8; 32] {
        let head = self.encode();
        let mut hasher = blake3::Hasher::new();
        hasher.update(&head[HASHED_FROM..]);
        hasher.update(payload);
        *hasher.finalize().as_bytes()
    }

    /// The head's bytes.
    pub(super) fn encode(&self) -> [u8; HEAD_LEN] {
        let mut b = [0; HEAD_LEN];
        b[0..4].copy_from_slice(&MAGIC);
        b[8..12].copy_from_slice(&self.payload_len.to_le_bytes());
        b[12..16].copy_from_slice(&self.payload_crc.to_le_bytes());
        b[16..24].copy_from_slice(&self.group_at.to_le_bytes());
        b[24..56].copy_from_slice(&self.hash);
        b[56..72].copy_from_slice(self.execution.uuid().as_bytes());
        b[72..80].copy_from_slice(&self.first_line.to_le_bytes());
        b[80..88].copy_from_slice(&self.at_min.to_le_bytes());
        b[88..96].copy_from_slice(&self.at_max.to_le_bytes());
        b[96..100].copy_from_slice(&self.chunk.to_le_bytes());
        b[100..104].copy_from_slice(&self.lines.to_le_bytes());
        b[104..108].copy_from_slice(&self.attempt_min.to_le_bytes());
        b[108..112].copy_from_slice(&self.attempt_max.to_le_bytes());
        b[112..116].copy_from_slice(&self.text_len.to_le_bytes());
        b[116..120].copy_from_slice(&self.raw_len.to_le_bytes());
        b[120..123].copy_from_slice(&[self.levels, self.classes, self.codec]);
        let crc = crc32c::crc32c(&b[8..]);
        b[4..8].copy_from_slice(&crc.to_le_bytes());
        b
    }

    /// Reads a head back, checking magic, checksum and bounds.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub(super) fn decode(b: &[u8; HEAD_LEN]) -> Result<Self, String> {
        if b[0..4] != MAGIC {
            return Err("no chunk begins here".to_owned());
        }
        let (stored, computed) = (u32_at(b, 4), crc32c::crc32c(&b[8..]));
        if stored != computed {
            return Err(format!(
                "the head's checksum is {computed:08x}, and {stored:08x} was written"
            ));
        }
        Self::decode_description(&b[8..]).ok_or_else(|| {
            let length = u32_at(b, 8).max(u32_at(b, 116));
            format!("a chunk of {} lines and {length} bytes is not possible", u32_at(b, 100))
        })
    }

    /// Reads what follows magic and checksum; none when no such chunk can be.
    pub(super) fn decode_description(d: &[u8]) -> Option<Self> {
        let at = |offset: usize| u32_at(d, offset - 8);
        let long = |offset: usize| u64_at(d, offset - 8);
        let head = Self {
            payload_len: at(8),
            payload_crc: at(12),
            group_at: long(16),
            hash: array_at(d, 24 - 8),
            execution: ExecutionId::from_uuid(uuid::Uuid::from_bytes(array_at(d, 56 - 8))),
            first_line: long(72),
            at_min: long(80).cast_signed(),
            at_max: long(88).cast_signed(),
            chunk: at(96),
            lines: at(100),
            attempt_min: at(104),
            attempt_max: at(108),
            text_len: at(112),
            raw_len: at(116),
            levels: d[120 - 8],
            classes: d[121 - 8],
            codec: d[122 - 8],
        };
        let fits = |length: u32| length as usize <= PAYLOAD_MAX;
        (fits(head.payload_len) && fits(head.raw_len) && head.lines > 0).then_some(head)
    }

    /// Checks `payload` against the checksum.
    ///
    /// # Errors
    /// Both checksums, in words.
    pub(super) fn check_payload(&self, payload: &[u8]) -> Result<(), String> {
        let computed = crc32c::crc32c(payload);
        if computed == self.payload_crc {
            return Ok(());
        }
        Err(format!(
            "the payload's checksum is {computed:08x}, and {:08x} was written (chunk {} of execution {}, lines {} to {})",
            self.payload_crc,
            self.chunk,
            self.execution,
            self.first_line,
            self.last_line()
        ))
    }
}

/// A chunk and where it stands in its segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Offset of the chunk's magic.
    pub(super) offset: u64,
    /// Its description.
    pub(super) head: Head,
}

impl Entry {
    /// The order in an index: by execution, then line.
    pub(super) fn key(&self) -> (ExecutionId, u64) {
        (self.head.execution, self.head.first_line)
    }
}
