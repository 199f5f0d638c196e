//! Which bytes of the lines' files count at one moment: for backups and exports.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use super::error::LinesError;
use super::recover::{is_unborn, segment_numbers};
use super::segment::{HEADER_LEN, Kind, Trailer, kind_of, path_of};
use super::store::LineStore;
use super::walk::{Extent, walk};

/// The segments of a line store, as far as they were on disk at one moment. They are opened one by one, when they are read:
/// whoever uses it sees to it that retention puts no others in their place meanwhile.
#[derive(Clone, Debug, Default)]
pub struct LinesExtent {
    /// In order of their numbers.
    pub files: Vec<LinesFile>,
}

/// One segment.
#[derive(Clone, Debug)]
pub struct LinesFile {
    /// Its number.
    pub number: u64,
    /// Where it is.
    pub path: PathBuf,
    /// How much of it counts.
    pub bytes: u64,
    /// Where its index begins; none while it is not sealed.
    pub seal_at: Option<u64>,
    /// Retention wrote it again without some of its chunks.
    pub pruned: bool,
}

impl LineStore {
    /// What is on disk now: it stays as it is, whatever is written meanwhile, until something is pruned.
    ///
    /// # Errors
    /// [`LinesError::Io`].
    pub fn extent(&self) -> Result<LinesExtent, LinesError> {
        // What retention writes again has another length than its index here says, for a moment. A segment that is sealed
        // meanwhile keeps its path.
        let _alone = self.store.shared.upkeep.lock().unwrap_or_else(PoisonError::into_inner);
        let (sealed, (number, path, bytes)) = self.store.shared.index.extent();
        let mut files = Vec::new();
        for sealed in sealed {
            let (number, path) = (sealed.number, sealed.path.clone());
            let (bytes, seal_at) = (sealed.trailer.file_len(), Some(sealed.trailer.seal_at));
            let pruned = is_pruned(&sealed.open()?, &path, bytes)?;
            files.push(LinesFile { number, path, bytes, seal_at, pruned });
        }
        files.push(LinesFile { number, path, bytes, seal_at: None, pruned: false });
        Ok(LinesExtent { files })
    }

    /// Whether nothing was written, sealed or dropped since `extent` was taken.
    pub fn stands_at(&self, extent: &LinesExtent) -> bool {
        let (sealed, (number, _, bytes)) = self.store.shared.index.extent();
        let newest = extent.files.last().map(|file| (file.number, file.bytes));
        sealed.len() + 1 == extent.files.len() && newest == Some((number, bytes))
    }
}

/// Whether retention wrote the segment again; one without a whole header was not.
fn is_pruned(file: &File, path: &Path, len: u64) -> Result<bool, LinesError> {
    Ok(len >= HEADER_LEN && kind_of(file, path)? == Kind::Pruned)
}

impl LinesExtent {
    /// The whole chunks in `dir`, which nobody writes; nothing when there is no such folder.
    ///
    /// # Errors
    /// [`LinesError::Io`].
    pub fn of_folder(dir: &Path) -> Result<Self, LinesError> {
        let mut extent = Self::default();
        if !dir.is_dir() {
            return Ok(extent);
        }
        for number in segment_numbers(dir)? {
            let path = path_of(dir, number);
            let file = File::open(&path).map_err(LinesError::io("open", &path))?;
            let len = file.metadata().map_err(LinesError::io("read", &path))?.len();
            if is_unborn(&path, len)? {
                continue;
            }
            let trailer = Trailer::read(&file, &path, len)?;
            let (bytes, seal_at) = match trailer {
                Some(trailer) => (len, Some(trailer.seal_at)),
                None => (walk(&path, Extent::UpTo(len), &mut |_, _| {})?.end, None),
            };
            let pruned = is_pruned(&file, &path, len)?;
            extent.files.push(LinesFile { number, path, bytes, seal_at, pruned });
        }
        Ok(extent)
    }
}
