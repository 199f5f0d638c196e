//! What counts of a data folder at one position.

use std::path::{Path, PathBuf};

use super::{JOURNAL, LINES};
use crate::error_text::in_full;
use crate::ids::Position;
use crate::store::checkpoint::{self, CheckpointFile};
use crate::store::journal::{JournalExtent, JournalLog};
use crate::store::lines::{LineStore, LinesExtent};

/// Looks at both ends until the lines stood still between two of them. Writes come every few milliseconds at most.
const LOOKS: usize = 1_000;

/// What counts of a data folder at one position: all of it is on disk, and stays while others write on. Its files are opened one by
/// one: as long as it is used, retention has to stand still.
#[derive(Debug)]
pub struct Source {
    /// The folder.
    pub data: PathBuf,
    /// The events.
    pub journal: JournalExtent,
    /// The lines: all that closed executions need, and none of an execution that is opened later.
    pub lines: LinesExtent,
    /// The newest whole checkpoint that promises nothing beyond.
    pub checkpoint: Option<CheckpointFile>,
    /// The log goes on behind it: lines of executions that are opened there may be among the lines.
    cut: bool,
}

impl Source {
    /// What is on disk of a store in use, which nothing is pruned from until this is used no more.
    ///
    /// # Errors
    /// In words: a checkpoint file cannot be read.
    pub fn in_use(data: &Path, log: &JournalLog, lines: &LineStore) -> Result<Self, String> {
        // Read before the log's end: what it promises is on disk then.
        let checkpoints = checkpoint::files(data).map_err(|err| in_full(&err))?;
        // A closing is recorded after its lines, and a command starts after its opening. So if no line is written while
        // the log's end is read, the lines are exactly those of that moment.
        for _ in 0..LOOKS {
            let lines_extent = lines.extent().map_err(|err| in_full(&err))?;
            let journal = log.extent();
            if lines.stands_at(&lines_extent) {
                let checkpoint = usable(checkpoints, journal.position);
                let data = data.to_owned();
                return Ok(Self { data, journal, lines: lines_extent, checkpoint, cut: false });
            }
        }
        Err("lines are written without a pause: no moment was found at which log and lines fit; try again when less is printed".to_owned())
    }

    /// What is on disk of a folder that nobody uses, up to `until` if it is given: the last whole append before it counts.
    ///
    /// # Errors
    /// In words, with a hint: the log is damaged before, or cannot be read.
    pub fn of_folder(
        data: &Path,
        until: Option<Position>,
    ) -> Result<Self, (String, Option<String>)> {
        let journal = JournalExtent::of_folder(&data.join(JOURNAL), until)
            .map_err(|err| (in_full(&err), err.hint()))?;
        let lines =
            LinesExtent::of_folder(&data.join(LINES)).map_err(|err| (in_full(&err), None))?;
        let checkpoints = checkpoint::files(data).map_err(|err| (in_full(&err), None))?;
        let checkpoint = usable(checkpoints, journal.position);
        let cut = until.is_some();
        Ok(Self { data: data.to_owned(), journal, lines, checkpoint, cut })
    }

    /// Whether the log goes on behind it.
    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    /// Bytes of all files that count.
    pub fn bytes(&self) -> u64 {
        let journal: u64 = self.journal.files.iter().map(|file| file.bytes).sum();
        let lines: u64 = self.lines.files.iter().map(|file| file.bytes).sum();
        journal + lines + self.checkpoint.as_ref().map_or(0, |file| file.bytes.len() as u64)
    }
}

/// The newest whole checkpoint that promises nothing beyond `position`.
fn usable(files: Vec<CheckpointFile>, position: Position) -> Option<CheckpointFile> {
    let fits = |file: &CheckpointFile| {
        file.read.as_ref().is_ok_and(|checkpoint| checkpoint.promises() <= position)
    };
    let at = |file: &CheckpointFile| file.read.as_ref().map_or(Position(0), |it| it.position);
    files.into_iter().filter(fits).max_by_key(at)
}
