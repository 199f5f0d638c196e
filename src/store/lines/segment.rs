//! A segment file: header, the growing end, and the seal (index, bloom filter, trailer).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::crash;
use crate::ids::ExecutionId;
use crate::store::space::is_no_room;
use crate::store::sync_folder;

use super::bytes::{array_at, u32_at, u64_at};
use super::error::LinesError;
use super::frame::{Entry, HEAD_LEN, Head};

/// The newest format version that is written and read.
pub(super) const VERSION: u16 = 1;
/// Bytes before the first chunk.
pub(super) const HEADER_LEN: u64 = 32;
/// Bytes at the end of a sealed segment.
pub(super) const TRAILER_LEN: usize = 128;
/// Bytes of one index entry: offset, description, checksum.
pub(super) const ENTRY_LEN: usize = 8 + (HEAD_LEN - 8) + 4;
/// Begins the index of a sealed segment.
pub(super) const SEAL_MAGIC: [u8; 8] = *b"\xFFDAYSEAL";

const HEADER_MAGIC: [u8; 8] = *b"\xFFDAYLINE";
const TRAILER_MAGIC: [u8; 8] = *b"\xFFDAYTRAI";

/// The extension of a segment that is being written again.
pub(super) const UNFINISHED: &str = "new";

/// The file of segment `number`.
pub(super) fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.seg"))
}

/// The number in a segment's file name.
pub(super) fn number_of(path: &Path) -> Option<u64> {
    if path.extension()? != "seg" {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}

/// Whether retention took chunks out of a segment. Part of the format: the byte behind the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// All that was written to it is there.
    Complete = 0,
    /// It was written again without some of it.
    Pruned = 1,
}

/// The bytes that segment `number` begins with.
pub(super) fn header(number: u64, kind: Kind) -> [u8; HEADER_LEN as usize] {
    let mut b = [0; HEADER_LEN as usize];
    b[0..8].copy_from_slice(&HEADER_MAGIC);
    b[8..10].copy_from_slice(&VERSION.to_le_bytes());
    b[10] = kind as u8;
    b[16..24].copy_from_slice(&number.to_le_bytes());
    let crc = crc32c::crc32c(&b[..28]);
    b[28..32].copy_from_slice(&crc.to_le_bytes());
    b
}

/// Checks the header of the segment at `path`.
///
/// # Errors
/// [`LinesError::Damaged`], [`LinesError::Version`], [`LinesError::Io`].
pub(super) fn check_header(file: &File, path: &Path, number: u64) -> Result<(), LinesError> {
    let mut b = [0; HEADER_LEN as usize];
    match file.read_exact_at(&mut b, 0) {
        // No header has that form, so the next check tells.
        Err(err) if err.kind() == std::io::ErrorKind::UnexpectedEof => b.fill(0),
        read => read.map_err(LinesError::io("read", path))?,
    }
    if b[0..8] != HEADER_MAGIC || u32_at(&b, 28) != crc32c::crc32c(&b[..28]) {
        return Err(LinesError::damaged(path, 0, "the segment's header is not readable"));
    }
    let found = u16::from_le_bytes(array_at(&b, 8));
    if found != VERSION {
        return Err(LinesError::Version { path: path.to_owned(), found, known: VERSION });
    }
    let inside = u64_at(&b, 16);
    if inside != number {
        let what = format!("the header says segment {inside}: the file was renamed");
        return Err(LinesError::damaged(path, 16, what));
    }
    Ok(())
}

/// Whether retention took chunks out of the segment whose checked header `file` begins with.
///
/// # Errors
/// [`LinesError::Io`].
pub(super) fn kind_of(file: &File, path: &Path) -> Result<Kind, LinesError> {
    let mut byte = [0];
    file.read_exact_at(&mut byte, 10).map_err(LinesError::io("read", path))?;
    Ok(if byte[0] == Kind::Pruned as u8 { Kind::Pruned } else { Kind::Complete })
}

/// The segment that grows.
#[derive(Debug)]
pub(super) struct ActiveFile {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    file: File,
    /// Everything before it is on disk.
    pub(super) len: u64,
    #[cfg(test)]
    pub(super) fault: std::sync::Arc<Fault>,
}

/// What a test lets go wrong.
#[cfg(test)]
#[derive(Debug, Default)]
pub(super) struct Fault {
    /// Syncs fail.
    pub(super) fails: std::sync::atomic::AtomicBool,
    /// Writes find the disk full when half of their bytes are written.
    pub(super) full: std::sync::atomic::AtomicBool,
}

impl ActiveFile {
    /// Creates segment `number`; its name is on disk too when this returns.
    ///
    /// # Errors
    /// [`LinesError::Io`].
    pub(super) fn create(dir: &Path, number: u64) -> Result<Self, LinesError> {
        let path = path_of(dir, number);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(LinesError::io("create", &path))?;
        if let Err(err) = file.write_all(&header(number, Kind::Complete)) {
            if is_no_room(&err) {
                // So that it can be created again.
                std::fs::remove_file(&path).map_err(LinesError::io("remove", &path))?;
            }
            return Err(LinesError::Io { action: "write", path, err });
        }
        file.sync_all().map_err(LinesError::io("sync", &path))?;
        sync_dir(dir)?;
        Ok(Self::new(number, path, file, HEADER_LEN))
    }

    /// Opens an unsealed segment again, whose chunks end at `len`; what follows is cut off. Those before `proven` are on
    /// disk for certain.
    ///
    /// # Errors
    /// [`LinesError::Io`].
    pub(super) fn resume(
        path: &Path,
        number: u64,
        (proven, len): (u64, u64),
    ) -> Result<Self, LinesError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(LinesError::io("open", path))?;
        let found = file.metadata().map_err(LinesError::io("read", path))?.len();
        if found != len {
            file.set_len(len).map_err(LinesError::io("cut", path))?;
        }
        // Also chunks that were whole but never synced count from now on. After a failed sync the system takes their
        // pages for clean: they are written again, so that this sync does something.
        let length = usize::try_from(len.saturating_sub(proven)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, proven).map_err(LinesError::io("read", path))?;
        file.write_all_at(&bytes, proven).map_err(LinesError::io("write", path))?;
        file.sync_all().map_err(LinesError::io("sync", path))?;
        Ok(Self::new(number, path.to_owned(), file, len))
    }

    #[cfg(not(test))]
    fn new(number: u64, path: PathBuf, file: File, len: u64) -> Self {
        Self { number, path, file, len }
    }

    #[cfg(test)]
    fn new(number: u64, path: PathBuf, file: File, len: u64) -> Self {
        Self { number, path, file, len, fault: std::sync::Arc::default() }
    }

    /// Fails when `other` is told to.
    #[cfg(test)]
    pub(super) fn with_fault(mut self, other: &Self) -> Self {
        self.fault = std::sync::Arc::clone(&other.fault);
        self
    }

    /// Appends `bytes` and returns when they are on disk.
    ///
    /// # Errors
    /// [`LinesError::Io`]; after [`LinesError::is_no_room`] it is as if nothing was tried, after any other nothing may be
    /// appended any more.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), LinesError> {
        #[cfg(test)]
        if self.fault.fails.load(std::sync::atomic::Ordering::Relaxed) {
            let err = std::io::Error::other("injected fault");
            return Err(LinesError::Io { action: "sync", path: self.path.clone(), err });
        }
        if let Err(err) = self.write(bytes) {
            if is_no_room(&err) {
                self.file.set_len(self.len).map_err(LinesError::io("cut", &self.path))?;
            }
            return Err(LinesError::Io { action: "write", path: self.path.clone(), err });
        }
        crash::point(crash::Point::LinesWritten);
        self.file.sync_data().map_err(LinesError::io("sync", &self.path))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> std::io::Result<()> {
        #[cfg(test)]
        if self.fault.full.load(std::sync::atomic::Ordering::Relaxed) {
            self.file.write_all_at(&bytes[..bytes.len() / 2], self.len)?;
            return Err(std::io::Error::from(std::io::ErrorKind::StorageFull));
        }
        self.file.write_all_at(bytes, self.len)
    }
}

/// Syncs the folder itself, so that a new file's name is on disk.
///
/// # Errors
/// [`LinesError::Io`].
pub(super) fn sync_dir(dir: &Path) -> Result<(), LinesError> {
    sync_folder(dir).map_err(LinesError::io("sync", dir))
}

/// What a sealed segment says of itself at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trailer {
    /// Where the chunks end and the seal begins.
    pub(super) seal_at: u64,
    /// Entries in the index.
    pub(super) entries: u32,
    /// CRC32C of the index.
    pub(super) index_crc: u32,
    /// Bytes of the bloom filter.
    pub(super) bloom_len: u32,
    /// CRC32C of the bloom filter.
    pub(super) bloom_crc: u32,
    /// The lowest and the highest execution id.
    pub(super) lowest: ExecutionId,
    /// See `lowest`.
    pub(super) highest: ExecutionId,
}

impl Trailer {
    /// Offset of index entry `at`.
    pub(super) fn entry_at(&self, at: u32) -> u64 {
        self.seal_at + SEAL_MAGIC.len() as u64 + u64::from(at) * ENTRY_LEN as u64
    }

    /// Offset of the bloom filter.
    pub(super) fn bloom_at(&self) -> u64 {
        self.entry_at(self.entries)
    }

    /// The file's whole length.
    pub(super) fn file_len(&self) -> u64 {
        self.bloom_at() + u64::from(self.bloom_len) + TRAILER_LEN as u64
    }

    fn encode(&self) -> [u8; TRAILER_LEN] {
        let mut b = [0; TRAILER_LEN];
        b[0..8].copy_from_slice(&TRAILER_MAGIC);
        b[8..16].copy_from_slice(&self.seal_at.to_le_bytes());
        b[16..20].copy_from_slice(&self.entries.to_le_bytes());
        b[20..24].copy_from_slice(&self.index_crc.to_le_bytes());
        b[24..28].copy_from_slice(&self.bloom_len.to_le_bytes());
        b[28..32].copy_from_slice(&self.bloom_crc.to_le_bytes());
        b[32..48].copy_from_slice(self.lowest.uuid().as_bytes());
        b[48..64].copy_from_slice(self.highest.uuid().as_bytes());
        let crc = crc32c::crc32c(&b[..TRAILER_LEN - 4]);
        b[TRAILER_LEN - 4..].copy_from_slice(&crc.to_le_bytes());
        b
    }

    /// The trailer of a file of `len` bytes; none when it is not sealed, or its trailer is damaged.
    ///
    /// # Errors
    /// [`LinesError::Io`].
    pub(super) fn read(file: &File, path: &Path, len: u64) -> Result<Option<Self>, LinesError> {
        let Some(at) = len.checked_sub(TRAILER_LEN as u64).filter(|at| *at >= HEADER_LEN) else {
            return Ok(None);
        };
        let mut b = [0; TRAILER_LEN];
        file.read_exact_at(&mut b, at).map_err(LinesError::io("read", path))?;
        let crc = crc32c::crc32c(&b[..TRAILER_LEN - 4]);
        if b[0..8] != TRAILER_MAGIC || crc != u32_at(&b, TRAILER_LEN - 4) {
            return Ok(None);
        }
        let id = |at| ExecutionId::from_uuid(uuid::Uuid::from_bytes(array_at(&b, at)));
        let trailer = Self {
            seal_at: u64_at(&b, 8),
            entries: u32_at(&b, 16),
            index_crc: u32_at(&b, 20),
            bloom_len: u32_at(&b, 24),
            bloom_crc: u32_at(&b, 28),
            lowest: id(32),
            highest: id(48),
        };
        Ok((trailer.seal_at <= len && trailer.file_len() == len).then_some(trailer))
    }
}

/// The bytes that seal a segment whose chunks end at `seal_at`; `entries` come sorted. None when there are none.
pub(super) fn seal_bytes<'a>(
    seal_at: u64,
    entries: impl Iterator<Item = &'a Entry>,
) -> Option<(Vec<u8>, Trailer)> {
    let mut bytes = SEAL_MAGIC.to_vec();
    let mut executions: Vec<ExecutionId> = Vec::new();
    let mut count = 0;
    for entry in entries {
        bytes.extend_from_slice(&encode_entry(entry));
        count += 1;
        if executions.last() != Some(&entry.head.execution) {
            executions.push(entry.head.execution);
        }
    }
    let (lowest, highest) = (*executions.first()?, *executions.last()?);
    let index_crc = crc32c::crc32c(&bytes[SEAL_MAGIC.len()..]);
    let bloom = bloom_of(&executions);
    let trailer = Trailer {
        seal_at,
        entries: count,
        index_crc,
        bloom_len: u32::try_from(bloom.len()).unwrap_or(0),
        bloom_crc: crc32c::crc32c(&bloom),
        lowest,
        highest,
    };
    bytes.extend_from_slice(&bloom);
    bytes.extend_from_slice(&trailer.encode());
    Some((bytes, trailer))
}

fn encode_entry(entry: &Entry) -> [u8; ENTRY_LEN] {
    let mut b = [0; ENTRY_LEN];
    b[..8].copy_from_slice(&entry.offset.to_le_bytes());
    b[8..ENTRY_LEN - 4].copy_from_slice(&entry.head.encode()[8..]);
    let crc = crc32c::crc32c(&b[..ENTRY_LEN - 4]);
    b[ENTRY_LEN - 4..].copy_from_slice(&crc.to_le_bytes());
    b
}

/// Reads an index entry; none when its checksum or contents are wrong.
pub(super) fn decode_entry(b: &[u8]) -> Option<Entry> {
    if b.len() != ENTRY_LEN || crc32c::crc32c(&b[..ENTRY_LEN - 4]) != u32_at(b, ENTRY_LEN - 4) {
        return None;
    }
    Some(Entry { offset: u64_at(b, 0), head: Head::decode_description(&b[8..ENTRY_LEN - 4])? })
}

const BLOOM_BITS_EACH: usize = 10;
const BLOOM_PROBES: u64 = 7;

fn bloom_of(executions: &[ExecutionId]) -> Vec<u8> {
    let mut bits = vec![0u8; (executions.len() * BLOOM_BITS_EACH).div_ceil(8).max(8)];
    for execution in executions {
        for (byte, mask) in bloom_probes(*execution, bits.len()) {
            bits[byte] |= mask;
        }
    }
    bits
}

/// Whether `execution` may be among those that `bits` was made of.
pub(super) fn bloom_has(bits: &[u8], execution: ExecutionId) -> bool {
    bits.is_empty()
        || bloom_probes(execution, bits.len()).all(|(byte, mask)| bits[byte] & mask != 0)
}

fn bloom_probes(execution: ExecutionId, bytes: usize) -> impl Iterator<Item = (usize, u8)> {
    let (high, low) = execution.uuid().as_u64_pair();
    let (first, step) = (mix(low), mix(high ^ low.rotate_left(32)) | 1);
    let bits = bytes as u64 * 8;
    (0..BLOOM_PROBES).map(move |n| {
        let bit = first.wrapping_add(step.wrapping_mul(n)) % bits;
        (usize::try_from(bit / 8).unwrap_or(0), 1 << (bit % 8))
    })
}

/// The finaliser of SplitMix64: part of the format, so written out here.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
