//! A command's output on its way to the log: framed records in files of some megabytes, which go as they are read.
//!
//! Secrets are replaced before anything is written. A record is a head of 16 bytes (what it is, the length, when it was read)
//! and its bytes. A file is never longer than [`PIECE_BYTES`] and one record.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::wire::AttemptKey;
use crate::instant::Instant;

/// A file of the spool takes no further record beyond this.
pub(in crate::jobs) const PIECE_BYTES: u32 = 4 << 20;

const HEAD_BYTES: usize = 16;

/// Bytes of a record at most; what claims to be longer is none.
const RECORD_MAX: usize = 1 << 20;

/// Bytes that are read from a file at once.
const READ_BYTES: usize = 256 << 10;

/// A place in an attempt's spool.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub(in crate::jobs) struct Place {
    /// The file, from 0.
    pub(in crate::jobs) piece: u32,
    /// Bytes in it.
    pub(in crate::jobs) at: u32,
}

impl Place {
    /// Behind everything.
    pub(in crate::jobs) const END: Self = Self { piece: u32::MAX, at: u32::MAX };
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::jobs) enum Kind {
    Stdout,
    Stderr,
    /// A warning of Daybook's own.
    Warning,
    /// Output is missing here; the words say how much and why.
    Gap,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Stdout, Self::Stderr, Self::Warning, Self::Gap];

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte).checked_sub(1)?).copied()
    }
}

fn file_of(folder: &Path, of: AttemptKey, piece: u32) -> PathBuf {
    folder.join(format!("{}-{}.{piece}", of.execution, of.attempt))
}

/// Removes the file of `piece`, if there is one.
pub(in crate::jobs) fn remove(folder: &Path, of: AttemptKey, piece: u32) -> bool {
    fs::remove_file(file_of(folder, of, piece)).is_ok()
}

/// Writes one attempt's spool.
pub(super) struct SpoolWriter {
    folder: PathBuf,
    of: AttemptKey,
    file: Option<File>,
    place: Place,
    /// Bytes of the finished pieces that exist.
    pieces: VecDeque<(u32, u64)>,
    waiting: u64,
}

impl SpoolWriter {
    pub(super) fn new(folder: &Path, of: AttemptKey) -> Self {
        Self {
            folder: folder.to_owned(),
            of,
            file: None,
            place: Place::default(),
            pieces: VecDeque::new(),
            waiting: 0,
        }
    }

    /// Where the next record will stand.
    pub(super) const fn place(&self) -> Place {
        self.place
    }

    /// Bytes that are kept.
    pub(super) const fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Adds a record. After an error nothing of it is there.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn write(&mut self, kind: Kind, at: Instant, bytes: &[u8]) -> io::Result<()> {
        let mut head = [0; HEAD_BYTES];
        head[0] = kind as u8 + 1;
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        head[4..8].copy_from_slice(&length.to_le_bytes());
        head[8..].copy_from_slice(&at.millis().to_le_bytes());
        if self.place.at >= PIECE_BYTES {
            self.pieces.push_back((self.place.piece, u64::from(self.place.at)));
            self.place = Place { piece: self.place.piece + 1, at: 0 };
            self.file = None;
        }
        let size = HEAD_BYTES + bytes.len();
        let place = self.place;
        let file = self.file()?;
        let mut parts = [IoSlice::new(&head), IoSlice::new(bytes)];
        let written = file.write_vectored(&parts).and_then(|written| match written {
            whole if whole == size => Ok(()),
            0 => Err(io::ErrorKind::WriteZero.into()),
            part => {
                let mut parts = &mut parts[..];
                IoSlice::advance_slices(&mut parts, part);
                parts.iter().try_for_each(|part| file.write_all(part))
            }
        });
        if let Err(err) = written {
            // The beginning of it must not be taken for a record.
            let cut = file.set_len(u64::from(place.at));
            cut.and_then(|()| file.seek(SeekFrom::Start(u64::from(place.at))))?;
            return Err(err);
        }
        self.place.at += u32::try_from(size).map_err(io::Error::other)?;
        self.waiting += size as u64;
        Ok(())
    }

    fn file(&mut self) -> io::Result<&mut File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let path = file_of(&self.folder, self.of, self.place.piece);
                let mut options = fs::OpenOptions::new();
                options.write(true).create(true).truncate(true).mode(0o600).open(path)?
            }
        };
        Ok(self.file.insert(file))
    }

    /// What stands before `piece` is not needed any more.
    pub(super) fn keep_from(&mut self, piece: u32) {
        while let Some((number, bytes)) = self.pieces.front().copied().filter(|(n, _)| *n < piece) {
            remove(&self.folder, self.of, number);
            self.waiting -= bytes;
            self.pieces.pop_front();
        }
    }

    /// Everything is on disk when this returns.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn sync(&self) -> io::Result<()> {
        for (piece, _) in &self.pieces {
            File::open(file_of(&self.folder, self.of, *piece))?.sync_data()?;
        }
        self.file.as_ref().map_or(Ok(()), File::sync_data)
    }

    /// Removes all of it.
    pub(super) fn remove(&mut self) {
        self.keep_from(u32::MAX);
        if self.file.take().is_some() || self.place != Place::default() {
            remove(&self.folder, self.of, self.place.piece);
        }
    }
}

/// A record.
pub(in crate::jobs) struct Record<'a> {
    pub(in crate::jobs) kind: Kind,
    pub(in crate::jobs) at: Instant,
    pub(in crate::jobs) bytes: &'a [u8],
}

/// Reads one attempt's spool.
pub(in crate::jobs) struct SpoolReader {
    folder: PathBuf,
    of: AttemptKey,
    file: Option<File>,
    place: Place,
    buffer: Vec<u8>,
    /// Of the buffer, what was given out.
    taken: usize,
}

impl SpoolReader {
    /// Reads from `place` on, at which a record begins.
    pub(in crate::jobs) fn new(folder: &Path, of: AttemptKey, place: Place) -> Self {
        let folder = folder.to_owned();
        Self { folder, of, file: None, place, buffer: Vec::new(), taken: 0 }
    }

    /// Where the next record begins.
    pub(in crate::jobs) const fn place(&self) -> Place {
        self.place
    }

    /// The next record before `until`. None at `until`, and where what is there ends before it.
    ///
    /// # Errors
    /// The file system's.
    pub(in crate::jobs) fn next(&mut self, until: Place) -> io::Result<Option<Record<'_>>> {
        while self.place < until {
            if let Some((kind, at, length)) = self.head()
                && self.buffer.len() - self.taken >= HEAD_BYTES + length
            {
                let from = self.taken + HEAD_BYTES;
                self.taken = from + length;
                self.place.at += u32::try_from(HEAD_BYTES + length).map_err(io::Error::other)?;
                let bytes = &self.buffer[from..self.taken];
                return Ok(Some(Record { kind, at, bytes }));
            }
            if !self.fill()? && !self.turn_over(until)? {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// What the next record is, once its head is in the buffer. What is no head is none: a torn record.
    fn head(&self) -> Option<(Kind, Instant, usize)> {
        let head = self.buffer.get(self.taken..)?.first_chunk::<HEAD_BYTES>()?;
        let length = u32::from_le_bytes(*head[4..].first_chunk()?) as usize;
        let at = Instant::from_millis(i64::from_le_bytes(*head[8..].first_chunk()?));
        Some((Kind::of(head[0])?, at, length)).filter(|(.., length)| *length <= RECORD_MAX)
    }

    /// Reads more of the file. False at its end.
    fn fill(&mut self) -> io::Result<bool> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let mut file = match File::open(file_of(&self.folder, self.of, self.place.piece)) {
                    Ok(file) => file,
                    // Nothing was written.
                    Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(false),
                    Err(err) => return Err(err),
                };
                file.seek(SeekFrom::Start(u64::from(self.place.at)))?;
                none.insert(file)
            }
        };
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let read = file.take(READ_BYTES as u64).read_to_end(&mut self.buffer)?;
        Ok(read > 0)
    }

    /// Goes on to the next file when this one is finished. False when there is none.
    fn turn_over(&mut self, until: Place) -> io::Result<bool> {
        let finished = self.place.at >= PIECE_BYTES && self.place.piece < until.piece;
        if !finished || self.taken < self.buffer.len() {
            return Ok(false);
        }
        let next = Place { piece: self.place.piece + 1, at: 0 };
        if !file_of(&self.folder, self.of, next.piece).try_exists()? {
            return Ok(false);
        }
        self.place = next;
        self.file = None;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> AttemptKey {
        let execution = crate::ids::ExecutionId::random(Instant::from_secs(5), [5; 10]);
        AttemptKey { execution, attempt: 2 }
    }

    fn all(reader: &mut SpoolReader, until: Place) -> Vec<(Kind, Vec<u8>)> {
        let mut records = Vec::new();
        while let Some(record) = reader.next(until).expect("readable") {
            records.push((record.kind, record.bytes.to_vec()));
        }
        records
    }

    #[test]
    fn records_come_back_over_files_that_go_as_they_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = SpoolWriter::new(folder.path(), key());
        let block = vec![b'x'; 64 << 10];
        let mut written = Vec::new();
        for number in 0..200_u32 {
            let kind = Kind::ALL[number as usize % 4];
            let bytes = [&number.to_le_bytes()[..], &block[..number as usize * 300]].concat();
            writer.write(kind, Instant::from_millis(1), &bytes).expect("written");
            written.push((kind, bytes));
        }
        let end = writer.place();
        assert!(end.piece >= 1, "{end:?}");
        let mut reader = SpoolReader::new(folder.path(), key(), Place::default());
        assert_eq!(all(&mut reader, end), written);
        assert_eq!(reader.place(), end);

        let waiting = writer.waiting();
        writer.keep_from(1);
        assert!(writer.waiting() < waiting);
        let mut rest = SpoolReader::new(folder.path(), key(), Place { piece: 1, at: 0 });
        let rest = all(&mut rest, Place::END);
        assert!(written.ends_with(&rest) && !rest.is_empty());
        writer.remove();
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }

    #[test]
    fn a_torn_record_ends_what_can_be_read_and_nothing_is_made_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = SpoolWriter::new(folder.path(), key());
        writer.write(Kind::Stdout, Instant::default(), b"whole\n").expect("written");
        let whole = writer.place();
        writer.write(Kind::Stderr, Instant::default(), b"torn\n").expect("written");
        let path = file_of(folder.path(), key(), 0);
        let bytes = fs::read(&path).expect("a file");
        for cut in whole.at as usize..bytes.len() {
            fs::write(&path, &bytes[..cut]).expect("a file");
            let mut reader = SpoolReader::new(folder.path(), key(), Place::default());
            assert_eq!(all(&mut reader, Place::END), [(Kind::Stdout, b"whole\n".to_vec())]);
        }
    }

    #[test]
    fn where_nothing_was_written_there_is_nothing_to_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut reader = SpoolReader::new(folder.path(), key(), Place::default());
        assert_eq!(all(&mut reader, Place::END), []);
    }
}
