//! The store as a whole: checked, backed up, restored, exported and imported.
//!
//! A *source* is what counts of a data folder at one position, with the daemon running or stopped. A check folds it from zero
//! and compares; a backup copies it; an export writes it out. A restore or an import puts a store together in a folder
//! beside and then moves it into place (`switch`): all or nothing, and nothing that was there is deleted.

mod backup;
mod check;
mod export;
mod files;
mod fold;
mod import;
mod manifest;
mod place;
mod restore;
mod row;
mod source;
mod switch;
#[cfg(test)]
mod tests;

pub use backup::{BackupError, BackupOrder, Made, newest_backup};
pub use check::{Asked, CheckError, Checked, check_backup, check_folder, check_running};
pub use export::{ExportError, Exported, export};
pub use files::size_of;
pub use fold::{Finding, Part};
pub use import::{Imported, import};
pub use manifest::{MANIFEST, Manifest};
pub use place::backup_folder;
pub use restore::{RestoreError, RestoreOrder, Restored, StillAtWork, To, restore};
pub use source::Source;
pub use switch::{SwitchError, finish_switch};

/// The event log's folder in a data folder.
pub const JOURNAL: &str = "journal";
/// The lines' folder in a data folder.
pub const LINES: &str = "lines";
/// The index's folder in a data folder.
pub const INDEX: &str = "index";

/// How far long work has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// What is done, such as `reading the events`.
    pub what: &'static str,
    /// Bytes so far.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Told how far long work has come.
pub type Progress<'a> = &'a mut dyn FnMut(Tick);

/// A hash of its hex digits.
///
/// # Errors
/// What a hash looks like.
pub fn parse_hash(text: &str) -> Result<[u8; 32], String> {
    blake3::Hash::from_hex(text)
        .map(|hash| *hash.as_bytes())
        .map_err(|_err| format!("`{text}` is no hash: 64 hex digits are one"))
}
