//! Moves a store that was put together beside into its place: all or nothing.
//!
//! What is to be moved stands in a file before the first move. Whoever finds that file goes on where the last one stopped:
//! each move is made or is still to be made, and both can be seen.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files::{create_private, make_private, remove};
use super::{INDEX, JOURNAL, LINES};
use crate::store::sync_folder;

/// Where a store is put together.
pub(super) const STAGE: &str = "restore.partial";
/// What is to be moved.
const INTENT: &str = "restore.json";
/// What a store is made of; the events last, for a daemon that starts without them would begin anew.
const NAMES: [&str; 6] = [INDEX, "runs", "checkpoint-0", "checkpoint-1", LINES, JOURNAL];

/// What is to be moved.
#[derive(Debug, Serialize, Deserialize)]
struct Intent {
    /// The folder for what was there.
    aside: String,
    /// What comes from the stage.
    staged: Vec<String>,
}

/// Why a store was not moved into its place.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// Somebody else does so at the moment.
    #[error("a restore works on `{}`", .0.display())]
    Busy(PathBuf),
    /// The operating system refused; the next try goes on.
    #[error("cannot move the restored store into place in `{}`", path.display())]
    Io {
        /// The data folder.
        path: PathBuf,
        /// The system's words.
        #[source]
        err: io::Error,
    },
}

/// Whether a data folder holds a store, or parts of one.
pub(super) fn is_filled(data: &Path) -> bool {
    let has_files = |name: &str| {
        fs::read_dir(data.join(name)).is_ok_and(|entries| {
            entries.filter_map(Result::ok).any(|entry| entry.file_name() != "lock")
        })
    };
    has_files(JOURNAL)
        || has_files(LINES)
        || ["checkpoint-0", "checkpoint-1"].iter().any(|name| data.join(name).exists())
}

/// Moves what stands in the stage of `data` into its place, and what was there to the folder `aside` in it.
pub(super) fn switch(data: &Path, aside: &str) -> Result<(), SwitchError> {
    let io = |err| SwitchError::Io { path: data.to_owned(), err };
    let stage = data.join(STAGE);
    let staged = NAMES.iter().filter(|name| stage.join(name).exists());
    let staged = staged.map(|name| (*name).to_owned()).collect();
    let intent = Intent { aside: aside.to_owned(), staged };
    let text = serde_json::to_string(&intent).map_err(|err| io(io::Error::other(err)))?;
    let beside = data.join(INTENT).with_extension("new");
    let begin = || {
        remove_file(&beside)?;
        let mut file = create_private(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        sync_folder(&stage)?;
        file.try_lock().map_err(|err| match err {
            TryLockError::WouldBlock => io::Error::from(io::ErrorKind::WouldBlock),
            TryLockError::Error(err) => err,
        })?;
        fs::rename(&beside, data.join(INTENT))?;
        sync_folder(data)?;
        Ok(file)
    };
    let _held = begin().map_err(io)?;
    go_on(data, &intent).map_err(io)
}

/// Goes on with a restore that was interrupted while it moved the store into its place; true when there was one.
///
/// # Errors
/// [`SwitchError`].
pub fn finish_switch(data: &Path) -> Result<bool, SwitchError> {
    let io = |err| SwitchError::Io { path: data.to_owned(), err };
    let file = match File::open(data.join(INTENT)) {
        Ok(file) => file,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(err) => return Err(io(err)),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(SwitchError::Busy(data.to_owned())),
        Err(TryLockError::Error(err)) => return Err(io(err)),
    }
    let intent = serde_json::from_reader(&file).map_err(|err| io(err.into()))?;
    go_on(data, &intent).map_err(io)?;
    Ok(true)
}

fn go_on(data: &Path, intent: &Intent) -> io::Result<()> {
    let stage = data.join(STAGE);
    let aside = data.join(&intent.aside);
    for name in NAMES {
        let (place, new) = (data.join(name), stage.join(name));
        let comes = intent.staged.iter().any(|staged| staged == name);
        // A name that comes and is no longer in the stage has been moved.
        if place.exists() && (new.exists() || !comes) {
            make_private(&aside)?;
            fs::rename(&place, aside.join(name))?;
            sync_folder(&aside)?;
        }
        if new.exists() {
            fs::rename(&new, &place)?;
        }
        sync_folder(data)?;
    }
    remove(&stage)?;
    remove_file(&data.join(INTENT))?;
    sync_folder(data)
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
        _ => Ok(()),
    }
}
