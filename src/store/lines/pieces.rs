//! The lines' segments taken to pieces, and put together again to the same bytes: for exports, imports and restores.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::ids::ExecutionId;

use super::bytes::array_at;
use super::decode::Unpacker;
use super::error::LinesError;
use super::extent::LinesExtent;
use super::frame::{Entry, HEAD_LEN, Head};
use super::query::LineRef;
use super::segment::{HEADER_LEN, Kind, header, path_of, seal_bytes, sync_dir};
use super::store::Damage;
use super::walk::{Extent, walk};

/// A part of the lines' files, in the order in which they stand there.
#[derive(Debug)]
pub enum LinePiece<'a> {
    /// A segment begins.
    Segment {
        /// Its number.
        number: u64,
        /// It does not grow any more.
        sealed: bool,
        /// Retention wrote it again without some of its chunks.
        pruned: bool,
    },
    /// A chunk of one execution's lines.
    Chunk(StoredChunk<'a>),
    /// Bytes that should be a chunk and are none.
    Damage(Damage),
}

/// A chunk as it is stored.
#[derive(Debug)]
pub struct StoredChunk<'a> {
    head: Head,
    payload: &'a [u8],
}

impl StoredChunk<'_> {
    /// Whose lines.
    pub fn execution(&self) -> ExecutionId {
        self.head.execution
    }

    /// Its number in its log, from 0.
    pub fn number(&self) -> u32 {
        self.head.chunk
    }

    /// Number of its first line.
    pub fn first_line(&self) -> u64 {
        self.head.first_line
    }

    /// How many lines it holds.
    pub fn lines(&self) -> u32 {
        self.head.lines
    }

    /// BLAKE3 of what it holds: what the log's own hash is made of.
    pub fn hash(&self) -> [u8; 32] {
        self.head.hash
    }

    /// Its bytes: description and payload.
    pub fn bytes(&self) -> Vec<u8> {
        [&self.head.encode()[..], self.payload].concat()
    }

    /// Shows its lines.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn for_each_line(
        &self,
        visit: &mut dyn FnMut(&LineRef<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut unpacker = Unpacker::new().map_err(|err| err.to_string())?;
        let mut lines = unpacker.lines(&self.head, self.payload)?;
        while let Some(line) = lines.next_line()? {
            visit(&line)?;
        }
        Ok(())
    }

    /// Reads what [`Self::bytes`] gave.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn read(bytes: &[u8]) -> Result<StoredChunk<'_>, String> {
        let (head, payload) =
            bytes.split_at_checked(HEAD_LEN).ok_or_else(|| "the chunk is cut short".to_owned())?;
        let head = Head::decode(&array_at(head, 0))?;
        if payload.len() != head.payload_len as usize {
            return Err("the chunk has another length than it says".to_owned());
        }
        head.check_payload(payload)?;
        if head.hash != head.hash_with(payload) {
            return Err("the chunk does not have the hash that it carries".to_owned());
        }
        Ok(StoredChunk { head, payload })
    }
}

impl LinesExtent {
    /// Shows all pieces in order until `visit` breaks.
    ///
    /// # Errors
    /// [`LinesError::Io`]. Damage is a piece.
    pub fn for_each(
        &self,
        visit: &mut dyn FnMut(LinePiece<'_>) -> ControlFlow<()>,
    ) -> Result<(), LinesError> {
        for file in &self.files {
            let (number, path) = (file.number, &file.path);
            let (sealed, pruned) = (file.seal_at.is_some(), file.pruned);
            let mut flow = visit(LinePiece::Segment { number, sealed, pruned });
            if flow.is_break() {
                return Ok(());
            }
            let extent = Extent::Known(file.seal_at.unwrap_or(file.bytes));
            let walked = walk(path, extent, &mut |Entry { offset, head }, payload| {
                if flow.is_break() {
                    return;
                }
                // The seal of the hash, which a flip of several bits behind the checksums would show.
                flow = if head.hash == head.hash_with(payload) {
                    visit(LinePiece::Chunk(StoredChunk { head, payload }))
                } else {
                    let what = format!("chunk {} has another hash than it carries", head.chunk);
                    visit(LinePiece::Damage(damage(path, offset, what)))
                };
            })?;
            for (offset, what) in walked.damage {
                if flow.is_continue() {
                    flow = visit(LinePiece::Damage(damage(path, offset, what)));
                }
            }
            if flow.is_break() {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn damage(path: &Path, offset: u64, what: String) -> Damage {
    Damage { place: format!("`{}` at byte {offset}", path.display()), what }
}

/// Puts a line store together in an empty folder.
#[derive(Debug)]
pub struct LinesBuilder {
    dir: PathBuf,
    open: Option<Building>,
}

#[derive(Debug)]
struct Building {
    path: PathBuf,
    file: BufWriter<File>,
    len: u64,
    sealed: bool,
    entries: Vec<Entry>,
}

impl LinesBuilder {
    /// Begins in `dir`, which is made.
    ///
    /// # Errors
    /// [`LinesError::Io`].
    pub fn create(dir: &Path) -> Result<Self, LinesError> {
        fs::create_dir_all(dir).map_err(LinesError::io("create", dir))?;
        Ok(Self { dir: dir.to_owned(), open: None })
    }

    /// Begins a segment, and ends the one before. It is marked as one that retention wrote again if it was `pruned`.
    ///
    /// # Errors
    /// [`LinesError::Io`], also when the segment is there already.
    pub fn segment(&mut self, number: u64, sealed: bool, pruned: bool) -> Result<(), LinesError> {
        self.close()?;
        let path = path_of(&self.dir, number);
        let begun = File::options().write(true).create_new(true).open(&path);
        let mut file = begun.map(BufWriter::new).map_err(LinesError::io("create", &path))?;
        let kind = if pruned { Kind::Pruned } else { Kind::Complete };
        file.write_all(&header(number, kind)).map_err(LinesError::io("write", &path))?;
        self.open = Some(Building { path, file, len: HEADER_LEN, sealed, entries: Vec::new() });
        Ok(())
    }

    /// Puts a chunk behind what is there, as it was stored; `moved` says that it does not stand where it stood.
    ///
    /// # Errors
    /// [`LinesError::Io`]; [`LinesError::Damaged`] without a segment.
    pub fn chunk(&mut self, chunk: &StoredChunk<'_>, moved: Moved) -> Result<(), LinesError> {
        let Some(open) = &mut self.open else {
            let place = format!("execution {}", chunk.execution());
            return Err(LinesError::Damaged {
                place,
                what: "a chunk without a segment".to_owned(),
            });
        };
        let mut head = chunk.head.clone();
        if moved == Moved::Yes {
            // Whatever stands before it is on disk before it.
            head.group_at = open.len;
        }
        let put =
            open.file.write_all(&head.encode()).and_then(|()| open.file.write_all(chunk.payload));
        put.map_err(LinesError::io("write", &open.path))?;
        let length = head.frame_len();
        open.entries.push(Entry { offset: open.len, head });
        open.len += length;
        Ok(())
    }

    /// Brings everything to disk.
    ///
    /// # Errors
    /// [`LinesError::Io`].
    pub fn finish(mut self) -> Result<(), LinesError> {
        self.close()?;
        sync_dir(&self.dir)
    }

    fn close(&mut self) -> Result<(), LinesError> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        if open.sealed {
            open.entries.sort_by_key(Entry::key);
            if let Some((bytes, _)) = seal_bytes(open.len, open.entries.iter()) {
                open.file.write_all(&bytes).map_err(LinesError::io("write", &open.path))?;
            }
        }
        let synced = open.file.flush().and_then(|()| open.file.get_ref().sync_all());
        synced.map_err(LinesError::io("sync", &open.path))
    }
}

/// Whether a chunk stands where it stood when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// Its segment is put together as it was.
    No,
    /// Others before it are missing.
    Yes,
}
