//! What a backup says of itself.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::fold::{Finding, Part};
use super::{Progress, Tick};
use crate::ids::Position;
use crate::instant::Instant;

/// The manifest's file name.
pub const MANIFEST: &str = "manifest.json";
/// The form of backups that is written and read here.
const FORMAT: u32 = 1;
/// How much is read at once.
const BUFFER: usize = 1 << 20;

/// A backup's manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of the backup.
    pub format: u32,
    /// The program's version that made it.
    pub version: String,
    /// When it was made.
    pub created: Instant,
    /// The data folder that it is of.
    pub data: String,
    /// The last event in it.
    pub position: Position,
    /// The chain hash after that event, in hex.
    pub head: String,
    /// Events.
    pub events: u64,
    /// Chunks of lines.
    pub chunks: u64,
    /// Lines.
    pub lines: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// The files.
    pub files: Vec<FileEntry>,
    /// What a data folder has and a backup has not.
    pub left_out: Vec<String>,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// From the backup's folder, such as `journal/00000000000000000001.seg`.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of its bytes, in hex.
    pub blake3: String,
}

impl Manifest {
    /// The form that is written here.
    pub(super) const FORMAT: u32 = FORMAT;

    /// Reads the manifest in `folder`.
    ///
    /// # Errors
    /// In words: there is none, it cannot be read, or a newer version wrote it.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let path = folder.join(MANIFEST);
        let text = fs::read_to_string(&path).map_err(|err| {
            format!("`{}` cannot be read: {err}; is it a backup?", path.display())
        })?;
        let manifest: Self = serde_json::from_str(&text)
            .map_err(|err| format!("`{}` is not a backup's manifest: {err}", path.display()))?;
        if manifest.format != FORMAT {
            return Err(format!(
                "`{}` has format {}, this version reads {FORMAT}: use the version that wrote it, {}",
                path.display(),
                manifest.format,
                manifest.version
            ));
        }
        Ok(manifest)
    }

    /// Compares the files in `folder` with what the manifest says of them.
    pub(super) fn compare(&self, folder: &Path, progress: Progress<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut done = 0;
        for file in &self.files {
            let path = folder.join(&file.path);
            let finding = |what: String, right: String, other: String| {
                Finding {
                part: Part::Manifest,
                place: path.display().to_string(),
                what,
                expected: Some(right),
                found: Some(other),
                mend: "use another backup; the part before the damage can still be exported from this one".to_owned(),
            }
            };
            let mut read = |bytes: u64| {
                done += bytes;
                progress(Tick { what: "reading the backup", done, total: self.bytes });
            };
            let wrong = match hash_of(&path, &mut read) {
                Ok((bytes, _)) if bytes != file.bytes => {
                    let (right, other) = (file.bytes.to_string(), bytes.to_string());
                    Some(finding("the file has another size".to_owned(), right, other))
                }
                Ok((_, hash)) if hash != file.blake3 => {
                    let what = "the file is not the one that was written".to_owned();
                    Some(finding(what, file.blake3.clone(), hash))
                }
                Ok(_) => None,
                Err(err) => {
                    let what = "the file cannot be read".to_owned();
                    Some(finding(what, format!("{} bytes", file.bytes), err.to_string()))
                }
            };
            found.extend(wrong);
        }
        found
    }
}

/// Size and BLAKE3 of a file; `read` is told of each part.
pub(super) fn hash_of(path: &Path, read: &mut dyn FnMut(u64)) -> std::io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((bytes, hasher.finalize().to_hex().to_string())),
            count => {
                hasher.update(buffer.get(..count).unwrap_or_default());
                bytes += count as u64;
                read(count as u64);
            }
        }
    }
}
