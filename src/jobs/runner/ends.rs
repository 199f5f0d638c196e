//! What became of a generation's attempts, on record: which began, and how they ended.
//!
//! Each record is a length, a CRC32C and a JSON text; a torn one at the end is as if it had never been begun.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::folder::Folder;
use super::wire::{AttemptKey, Before, Ended};

/// Beyond this the file is written anew, with what is still needed.
const REWRITE_FROM: u64 = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Note {
    Started { of: AttemptKey, before: Before },
    Ended(Ended),
}

impl Note {
    const fn of(&self) -> AttemptKey {
        match self {
            Self::Started { of, .. } => *of,
            Self::Ended(ended) => ended.of,
        }
    }
}

/// The file that they stand in.
pub(super) struct Ends {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Ends {
    /// Begins it.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn create(folder: &Folder) -> io::Result<Self> {
        let path = folder.ends();
        let mut options = OpenOptions::new();
        let file = options.append(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { path, file, length: 0 })
    }

    /// Adds a record.
    ///
    /// # Errors
    /// The file system's. What was written of it is taken back.
    pub(super) fn add(&mut self, note: &Note) -> io::Result<()> {
        let bytes = sealed(note)?;
        if let Err(err) = self.file.write_all(&bytes) {
            self.file.set_len(self.length)?;
            return Err(err);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// All of it is on disk when this returns.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Whether it is worth while to write it anew.
    pub(super) const fn is_long(&self) -> bool {
        self.length >= REWRITE_FROM
    }

    /// Writes it anew with what stands in it of the attempts that are `needed`.
    ///
    /// # Errors
    /// The file system's; then it stays as it was.
    pub(super) fn rewrite(&mut self, needed: impl Fn(AttemptKey) -> bool) -> io::Result<()> {
        let mut bytes = Vec::new();
        for note in notes(&std::fs::read(&self.path)?).iter().filter(|note| needed(note.of())) {
            bytes.extend(sealed(note)?);
        }
        let new = self.path.with_extension("new");
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create(true).mode(0o600).open(&new)?;
        file.set_len(0)?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        std::fs::rename(&new, &self.path)?;
        (self.file, self.length) = (file, bytes.len() as u64);
        Ok(())
    }
}

fn sealed(note: &Note) -> io::Result<Vec<u8>> {
    let text = serde_json::to_vec(note).map_err(io::Error::other)?;
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(8 + text.len());
    bytes.extend(length.to_le_bytes());
    bytes.extend(crc32c::crc32c(&text).to_le_bytes());
    bytes.extend(text);
    Ok(bytes)
}

fn notes(bytes: &[u8]) -> Vec<Note> {
    let (mut notes, mut rest) = (Vec::new(), bytes);
    while let Some((length, behind)) = rest.split_first_chunk::<4>()
        && let Some((sum, behind)) = behind.split_first_chunk::<4>()
        && let Some((text, behind)) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)
        && crc32c::crc32c(text) == u32::from_le_bytes(*sum)
        && let Ok(note) = serde_json::from_slice(text)
    {
        notes.push(note);
        rest = behind;
    }
    notes
}

/// What is on record of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::jobs) struct OnRecord {
    pub(in crate::jobs) before: Before,
    /// None when it never ended by record: its runner went before.
    pub(in crate::jobs) ended: Option<Ended>,
}

/// What is on record in a generation's folder.
pub(in crate::jobs) fn on_record(folder: &Folder) -> HashMap<AttemptKey, OnRecord> {
    let mut found: HashMap<AttemptKey, OnRecord> = HashMap::new();
    for note in notes(&std::fs::read(folder.ends()).unwrap_or_default()) {
        let attempt = found.entry(note.of()).or_default();
        match note {
            Note::Started { before, of: _ } => attempt.before = before,
            Note::Ended(ended) => attempt.ended = Some(ended),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::spool::Place;
    use super::super::wire::How;
    use super::*;
    use crate::ids::ExecutionId;
    use crate::instant::Instant;

    fn key(n: u8) -> AttemptKey {
        AttemptKey { execution: ExecutionId::random(Instant::from_secs(5), [n; 10]), attempt: 1 }
    }

    fn started(n: u8) -> Note {
        let before = Before { lines: u64::from(n), bytes: 7 };
        Note::Started { of: key(n), before }
    }

    fn ended(n: u8) -> Ended {
        let how = How::NotStarted { program: "/bin/x".to_owned(), errno: Some(2) };
        Ended { of: key(n), how, spooled: Place::default(), lost_bytes: 0, took_ms: 5 }
    }

    fn folder() -> (tempfile::TempDir, Folder) {
        let runs = tempfile::tempdir().expect("a folder");
        let folder = Folder::make(runs.path(), Instant::default()).expect("made");
        (runs, folder)
    }

    #[test]
    fn a_torn_record_takes_nothing_of_the_others_along() {
        let (_runs, folder) = folder();
        let mut ends = Ends::create(&folder).expect("made");
        for note in [started(1), Note::Ended(ended(1)), started(2)] {
            ends.add(&note).expect("written");
        }
        let whole = std::fs::read(folder.ends()).expect("a file");
        ends.add(&Note::Ended(ended(2))).expect("written");
        ends.sync().expect("synced");
        let all = std::fs::read(folder.ends()).expect("a file");
        assert_eq!(on_record(&folder)[&key(2)].ended, Some(ended(2)));
        for cut in whole.len()..all.len() {
            std::fs::write(folder.ends(), &all[..cut]).expect("a file");
            let found = on_record(&folder);
            assert_eq!(found[&key(1)].ended, Some(ended(1)), "cut at {cut}");
            let before = Before { lines: 2, bytes: 7 };
            assert_eq!(found[&key(2)], OnRecord { before, ended: None }, "cut at {cut}");
        }
        let mut flipped = all;
        let last = flipped.len() - 3;
        flipped[last] ^= 1;
        std::fs::write(folder.ends(), &flipped).expect("a file");
        assert_eq!(on_record(&folder)[&key(2)].ended, None, "what is no longer what was written");
    }

    #[test]
    fn a_file_that_is_written_anew_keeps_what_is_needed_and_goes_on() {
        let (_runs, folder) = folder();
        let mut ends = Ends::create(&folder).expect("made");
        for note in [started(1), started(2), Note::Ended(ended(1))] {
            ends.add(&note).expect("written");
        }
        ends.rewrite(|of| of == key(2)).expect("written");
        ends.add(&Note::Ended(ended(2))).expect("written");
        let found = on_record(&folder);
        assert_eq!(found.len(), 1);
        assert_eq!(found[&key(2)].ended, Some(ended(2)));
    }
}
