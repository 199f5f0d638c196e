//! Opening: which segments there are, and what a crash left of the newest.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use super::error::LinesError;
use super::frame::Entry;
use super::index::Active;
use super::sealed::Sealed;
use super::segment::{
    ActiveFile, HEADER_LEN, Trailer, UNFINISHED, check_header, number_of, path_of, seal_bytes,
    sync_dir,
};
use super::store::{Damage, LinesRecovery};
use super::walk::{Extent, walk};

/// The store's files, ready to be read and written.
pub(super) struct Recovered {
    pub(super) sealed: Vec<Arc<Sealed>>,
    pub(super) active: Active,
    pub(super) file: ActiveFile,
    pub(super) recovery: LinesRecovery,
}

/// Opens the segments in `dir`, which is made if missing. Seals unsealed ones but the newest, whose torn tail is cut.
///
/// # Errors
/// [`LinesError::Io`], [`LinesError::Version`].
pub(super) fn recover(dir: &Path) -> Result<Recovered, LinesError> {
    fs::create_dir_all(dir).map_err(LinesError::io("create", dir))?;
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        sync_dir(parent)?;
    }
    remove_unfinished(dir)?;
    let numbers = drop_unborn(dir, segment_numbers(dir)?)?;
    let mut recovery = LinesRecovery { segments: numbers.len(), ..LinesRecovery::default() };
    let mut sealed = Vec::new();
    let mut newest = None;
    for (at, &number) in numbers.iter().enumerate() {
        let path = path_of(dir, number);
        let file = File::open(&path).map_err(LinesError::io("open", &path))?;
        match check_header(&file, &path, number) {
            // The chunks carry all that reading needs: damage here must not keep the daemon from starting.
            Err(LinesError::Damaged { place, what }) => {
                recovery.damage.push(Damage { place, what });
            }
            checked => checked?,
        }
        let len = file.metadata().map_err(LinesError::io("read", &path))?.len();
        if let Some(trailer) = Trailer::read(&file, &path, len)? {
            sealed.push(Arc::new(Sealed::new(number, path, trailer)));
            continue;
        }
        let (file, active) = reindex(&path, number, len, &mut recovery)?;
        if at + 1 == numbers.len() {
            newest = Some((file, active));
        } else if let Some(segment) = seal_again(file, &active)? {
            sealed.push(Arc::new(segment));
        }
    }
    let (file, active) = match newest {
        Some(newest) => newest,
        None => {
            recovery.segments += 1;
            let file = ActiveFile::create(dir, numbers.last().map_or(1, |last| last + 1))?;
            let active = active_of(&file, BTreeMap::new());
            (file, active)
        }
    };
    Ok(Recovered { sealed, active, file, recovery })
}

/// Removes what a crash left of a segment that retention was writing again: the former one still stands.
fn remove_unfinished(dir: &Path) -> Result<(), LinesError> {
    for entry in fs::read_dir(dir).map_err(LinesError::io("list", dir))? {
        let path = entry.map_err(LinesError::io("list", dir))?.path();
        if path.extension().is_some_and(|extension| extension == UNFINISHED) {
            fs::remove_file(&path).map_err(LinesError::io("remove", &path))?;
        }
    }
    Ok(())
}

/// The numbers of the segments in `dir`, ascending.
pub(super) fn segment_numbers(dir: &Path) -> Result<Vec<u64>, LinesError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir).map_err(LinesError::io("list", dir))? {
        let path = entry.map_err(LinesError::io("list", dir))?.path();
        numbers.extend(number_of(&path));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes the newest segment when a crash came before its header was on disk: it never held a line.
fn drop_unborn(dir: &Path, mut numbers: Vec<u64>) -> Result<Vec<u64>, LinesError> {
    let Some(&newest) = numbers.last() else { return Ok(numbers) };
    let path = path_of(dir, newest);
    let len = fs::metadata(&path).map_err(LinesError::io("read", &path))?.len();
    if is_unborn(&path, len)? {
        fs::remove_file(&path).map_err(LinesError::io("remove", &path))?;
        sync_dir(dir)?;
        numbers.pop();
    }
    Ok(numbers)
}

/// Whether the segment of `len` bytes at `path` has no header yet.
pub(super) fn is_unborn(path: &Path, len: u64) -> Result<bool, LinesError> {
    if len != HEADER_LEN {
        return Ok(len < HEADER_LEN);
    }
    let header = fs::read(path).map_err(LinesError::io("read", path))?;
    Ok(header.iter().all(|byte| *byte == 0))
}

fn reindex(
    path: &Path,
    number: u64,
    len: u64,
    recovery: &mut LinesRecovery,
) -> Result<(ActiveFile, Active), LinesError> {
    let mut entries = BTreeMap::new();
    let walked = walk(path, Extent::UpTo(len), &mut |entry: Entry, _| {
        entries.insert(entry.key(), entry);
    })?;
    recovery.walked_chunks += entries.len();
    // The last commit alone may be less than on disk: the one before it was synced first.
    let newest = entries.values().max_by_key(|entry| entry.offset);
    let proven = newest.map_or(walked.end, |entry| entry.head.group_at.min(walked.end));
    // A log must not look shorter than it is: reading a damaged chunk says so.
    entries.extend(walked.described.into_iter().map(|entry| (entry.key(), entry)));
    recovery.cut_bytes += len.saturating_sub(walked.end);
    recovery.damage.extend(
        walked
            .damage
            .into_iter()
            .map(|(at, what)| Damage { place: format!("`{}` at byte {at}", path.display()), what }),
    );
    let file = ActiveFile::resume(path, number, (proven, walked.end))?;
    let active = active_of(&file, entries);
    Ok((file, active))
}

fn active_of(
    file: &ActiveFile,
    entries: BTreeMap<(crate::ids::ExecutionId, u64), Entry>,
) -> Active {
    Active { number: file.number, path: file.path.clone(), len: file.len, entries }
}

fn seal_again(mut file: ActiveFile, active: &Active) -> Result<Option<Sealed>, LinesError> {
    let Some((bytes, trailer)) = seal_bytes(file.len, active.entries.values()) else {
        return Ok(None);
    };
    file.append(&bytes)?;
    Ok(Some(Sealed::new(file.number, file.path, trailer)))
}
