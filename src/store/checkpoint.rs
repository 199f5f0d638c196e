//! The checkpoint: what a start needs so that it need not read the whole history.
//!
//! Two files, `checkpoint-0` and `checkpoint-1`, written in turn: `magic 8, format 2, number 8, length 8, BLAKE3 32` and
//! the packed content, the hash over all of it but itself. Each is written beside its place, synced and renamed, so
//! that a crash leaves at least one whole. Both may be deleted: the start then reads the log from its beginning.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::codec::{pack, unpack};
use super::journal::LogState;
use crate::crash;
use crate::ids::Position;

const MAGIC: [u8; 8] = *b"DAYBKCHK";
/// The format written here. 1: as described above.
const FORMAT: u16 = 1;
const HASHED: usize = 8 + 2 + 8 + 8;
const HEADER: usize = HASHED + 32;

/// What the daemon knew when everything up to a position was folded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// `state` holds the fold of everything up to here.
    pub position: Position,
    /// The form of `state`; another one than the reader's means folding again.
    pub state_version: u32,
    /// The folded state, in the engine's own form.
    pub state: Vec<u8>,
    /// Where the log stood.
    pub log: LogState,
}

impl Checkpoint {
    /// The newest position of which it says that it was on disk.
    pub fn promises(&self) -> Position {
        let heads = self.log.heads.iter().map(|(_, head)| head.last);
        let heads = heads.max().unwrap_or_default();
        self.position.max(self.log.anchor.position).max(heads)
    }
}

/// Why a checkpoint was not written or not looked for.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The operating system refused.
    #[error("cannot use `{path}`")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        err: io::Error,
    },
    /// The content cannot be packed.
    #[error("the checkpoint cannot be packed: {why}")]
    Pack {
        /// The codec's words.
        why: String,
    },
}

/// A checkpoint file that was of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub what: String,
}

/// The folder's two checkpoint files.
#[derive(Debug)]
pub struct Checkpoints {
    dir: PathBuf,
    /// The number of the next one; its lowest bit names the file.
    next: u64,
}

/// One of the folder's checkpoint files.
#[derive(Debug)]
pub struct CheckpointFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What they say; the error is what is wrong with them.
    pub read: Result<Checkpoint, String>,
}

/// The checkpoint files in `dir`, as they are: for checks and backups.
///
/// # Errors
/// [`CheckpointError::Io`] when a file is there and cannot be read.
pub fn files(dir: &Path) -> Result<Vec<CheckpointFile>, CheckpointError> {
    let mut found = Vec::new();
    for turn in 0..2 {
        let path = file(dir, turn);
        match fs::read(&path) {
            Ok(bytes) => {
                let checkpoint = read(&bytes).map(|(_, checkpoint)| checkpoint);
                found.push(CheckpointFile { path, bytes, read: checkpoint });
            }
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            Err(err) => return Err(CheckpointError::Io { path, err }),
        }
    }
    Ok(found)
}

/// What was found in the folder.
#[derive(Debug)]
pub struct FoundCheckpoint {
    /// The newest whole one.
    pub newest: Option<Checkpoint>,
    /// Files that were damaged or of another format. They are overwritten in their turn.
    pub ignored: Vec<Ignored>,
}

impl Checkpoints {
    /// Reads the newest whole checkpoint in `dir`.
    ///
    /// # Errors
    /// [`CheckpointError::Io`] when a file is there and cannot be read; damage is no error.
    pub fn open(dir: &Path) -> Result<(Self, FoundCheckpoint), CheckpointError> {
        let mut newest: Option<(u64, Checkpoint)> = None;
        let mut ignored = Vec::new();
        for turn in 0..2 {
            let path = file(dir, turn);
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
                Err(err) => return Err(CheckpointError::Io { path, err }),
            };
            match read(&bytes) {
                Ok((number, found)) => {
                    if newest.as_ref().is_none_or(|(known, _)| number > *known) {
                        newest = Some((number, found));
                    }
                }
                Err(what) => ignored.push(Ignored { path, what }),
            }
        }
        let next = newest.as_ref().map_or(0, |(number, _)| number + 1);
        let newest = newest.map(|(_, checkpoint)| checkpoint);
        Ok((Self { dir: dir.to_owned(), next }, FoundCheckpoint { newest, ignored }))
    }

    /// Writes `checkpoint` in place of the older of the two. It is on disk when this returns.
    ///
    /// # Errors
    /// [`CheckpointError`]; the newest checkpoint before is then still there.
    pub fn write(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let bytes = written(self.next, checkpoint).map_err(|why| CheckpointError::Pack { why })?;
        let path = file(&self.dir, self.next % 2);
        let beside = path.with_extension("new");
        let replace = || {
            let mut file = File::create(&beside)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            crash::point(crash::Point::CheckpointWritten);
            fs::rename(&beside, &path)?;
            crash::point(crash::Point::CheckpointNamed);
            super::sync_folder(&self.dir)
        };
        if let Err(err) = replace() {
            // On a full disk it would take room for nothing.
            drop(fs::remove_file(&beside));
            return Err(CheckpointError::Io { path, err });
        }
        self.next += 1;
        Ok(())
    }
}

fn file(dir: &Path, turn: u64) -> PathBuf {
    dir.join(format!("checkpoint-{turn}"))
}

fn written(number: u64, checkpoint: &Checkpoint) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; HEADER];
    pack(checkpoint, &mut bytes)?;
    let length = (bytes.len() - HEADER) as u64;
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..10].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[10..18].copy_from_slice(&number.to_le_bytes());
    bytes[18..26].copy_from_slice(&length.to_le_bytes());
    let hash = checksum(&bytes[..HASHED], &bytes[HEADER..]);
    bytes[HASHED..HEADER].copy_from_slice(&hash);
    Ok(bytes)
}

fn read(bytes: &[u8]) -> Result<(u64, Checkpoint), String> {
    let (header, content) =
        bytes.split_at_checked(HEADER).ok_or_else(|| "it is shorter than its header".to_owned())?;
    if header[..8] != MAGIC {
        return Err("it does not begin like a checkpoint".to_owned());
    }
    let format = u16::from_le_bytes([header[8], header[9]]);
    if format != FORMAT {
        return Err(format!("it has format {format}, this version reads {FORMAT}"));
    }
    if header[HASHED..] != checksum(&header[..HASHED], content) {
        return Err("its checksum is wrong".to_owned());
    }
    let mut number = [0; 8];
    number.copy_from_slice(&header[10..18]);
    Ok((u64::from_le_bytes(number), unpack(content)?))
}

fn checksum(header: &[u8], content: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new().update(header).update(content).finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StreamId;
    use crate::store::Head;
    use crate::store::journal::Anchor;

    fn checkpoint(position: u64) -> Checkpoint {
        let head = Head { version: 4, first: Position(1), last: Position(position), closed: false };
        Checkpoint {
            position: Position(position),
            state_version: 2,
            state: vec![1, 2, 3],
            log: LogState {
                anchor: Anchor {
                    position: Position(position),
                    chain: [5; 32],
                    segment: Position(1),
                    frame: Some(64),
                    offset: 300,
                },
                heads: vec![(StreamId::Daemon, head)],
                forgotten: Position(0),
            },
        }
    }

    fn newest(dir: &Path) -> (Option<u64>, Vec<String>) {
        let (_, found) = Checkpoints::open(dir).unwrap();
        let ignored = found.ignored.into_iter().map(|ignored| ignored.what).collect();
        (found.newest.map(|checkpoint| checkpoint.position.0), ignored)
    }

    #[test]
    fn the_newest_of_two_checkpoints_is_read_back_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (mut checkpoints, found) = Checkpoints::open(dir.path()).unwrap();
        assert_eq!(found.newest, None);
        for position in 1..=3 {
            checkpoints.write(&checkpoint(position)).unwrap();
        }
        let (mut again, found) = Checkpoints::open(dir.path()).unwrap();
        assert_eq!(found.newest, Some(checkpoint(3)));
        again.write(&checkpoint(4)).unwrap();
        assert_eq!(newest(dir.path()), (Some(4), vec![]));
    }

    #[test]
    fn after_damage_to_the_newest_the_one_before_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let (mut checkpoints, _) = Checkpoints::open(dir.path()).unwrap();
        checkpoints.write(&checkpoint(1)).unwrap();
        checkpoints.write(&checkpoint(2)).unwrap();
        let path = dir.path().join("checkpoint-1");
        let whole = fs::read(&path).unwrap();
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x10;
            fs::write(&path, &damaged).unwrap();
            let (position, ignored) = newest(dir.path());
            assert_eq!((position, ignored.len()), (Some(1), 1), "byte {place}");
        }
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(newest(dir.path()).0, Some(1), "cut to {length}");
        }
        // The damaged one is the next to be overwritten.
        let (mut checkpoints, _) = Checkpoints::open(dir.path()).unwrap();
        checkpoints.write(&checkpoint(3)).unwrap();
        assert_eq!(newest(dir.path()), (Some(3), vec![]));
    }
}
