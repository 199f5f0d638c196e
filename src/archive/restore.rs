//! `store restore`: a backup, or the whole segments of what is there, becomes the store.

use std::fs::{self, File, TryLockError};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::check::{check_backup, check_folder};
use super::files::{Copying, make_private, remove};
use super::fold::{Finding, Part};
use super::source::Source;
use super::switch::{STAGE, SwitchError, finish_switch, is_filled, switch};
use super::{Asked, JOURNAL, LINES, Progress};
use crate::domain::event::Event;
use crate::error_text::in_full;
use crate::ids::{ExecutionId, Position, StreamId, hex};
use crate::instant::Instant;
use crate::store::journal::{JournalExtent, JournalLog, Piece};
use crate::store::lines::{LinePiece, LinesBuilder, LinesError, LinesExtent, Moved};

/// The journal's file that whoever works on a data folder holds.
const LOCK: &str = "lock";

/// Up to where is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Everything.
    End,
    /// The last segment that is whole: the newest one of a log without damage.
    SegmentEnd,
    /// This position, which has to be the end of a segment or of the log.
    Position(Position),
}

/// Says whether something else than a daemon still works in a data folder, and what.
pub type StillAtWork = fn(&Path) -> Result<(), String>;

/// What is asked of a restore.
#[derive(Clone, Copy, Debug)]
pub struct RestoreOrder<'a> {
    /// The backup; none for what is there.
    pub backup: Option<&'a Path>,
    /// The data folder.
    pub data: &'a Path,
    /// Up to where.
    pub to: To,
    /// What is there may be put aside.
    pub replace: bool,
    /// Now: it names the folder of what is put aside.
    pub now: Instant,
    /// Asked once no daemon can start there any more.
    pub at_work: StillAtWork,
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The last event.
    pub position: Position,
    /// The chain hash after it, in hex.
    pub head: String,
    /// Events.
    pub events: u64,
    /// Lines.
    pub lines: u64,
    /// Where what was there stands now.
    pub aside: Option<PathBuf>,
    /// What is worth knowing.
    pub notes: Vec<String>,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A daemon, or another restore, works on the folder.
    #[error("a daemon works on `{}`", .0.display())]
    InUse(PathBuf),
    /// Something else still works there.
    #[error("{0}")]
    AtWork(String),
    /// The folder holds a store.
    #[error("`{}` is not empty", .0.display())]
    Filled(PathBuf),
    /// The backup is not sound.
    #[error("{}: {}", .0.place, .0.what)]
    Unsound(Box<Finding>),
    /// No segment ends at the position.
    #[error("no segment ends at position {asked}{}", nearest(ends, *asked))]
    NoEnd {
        /// The position.
        asked: Position,
        /// Where segments end.
        ends: Vec<Position>,
    },
    /// Not even the first segment is whole.
    #[error("the first segment is damaged: {what}")]
    NothingWhole {
        /// Where and how.
        what: String,
    },
    /// What is to be restored cannot be read.
    #[error("{what}")]
    Unreadable {
        /// What and why.
        what: String,
    },
    /// The operating system refused.
    #[error("cannot write to `{}`", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        #[source]
        err: io::Error,
    },
    /// It is put together, and could not be moved into place.
    #[error(transparent)]
    Switch(#[from] SwitchError),
}

/// Names the ends around a position.
fn nearest(ends: &[Position], asked: Position) -> String {
    let before = ends.iter().rev().find(|end| **end < asked);
    let after = ends.iter().find(|end| **end > asked);
    match (before, after) {
        (Some(before), Some(after)) => format!("; the nearest ones are {before} and {after}"),
        (Some(only), None) | (None, Some(only)) => format!("; the nearest one is {only}"),
        (None, None) => "; there is none".to_owned(),
    }
}

/// Puts a store into place. What was there is moved aside as a whole; nothing is deleted.
///
/// # Errors
/// [`RestoreError`]; then all is as it was, but for a [`RestoreError::Switch`], which the next try or start goes on with.
pub fn restore(order: RestoreOrder<'_>, progress: Progress<'_>) -> Result<Restored, RestoreError> {
    let data = order.data;
    make_private(data).map_err(|err| RestoreError::Io { path: data.to_owned(), err })?;
    let lock = take(data, order.at_work)?;
    let filled = is_filled(data);
    if order.backup.is_some() && filled && !order.replace {
        return Err(RestoreError::Filled(data.to_owned()));
    }
    let from = order.backup.unwrap_or(data);
    let ends = match order.backup {
        Some(backup) => ends_of_backup(backup, &mut *progress)?,
        None => ends_of_folder(data)?,
    };
    let to = match order.to {
        To::End => ends.end,
        To::SegmentEnd => ends.end.or_else(|| ends.segments.last().copied()),
        To::Position(asked) => {
            let known = ends.all().find(|end| *end == asked);
            Some(known.ok_or_else(|| RestoreError::NoEnd { asked, ends: ends.all().collect() })?)
        }
    };
    let to = to.ok_or_else(|| RestoreError::NothingWhole { what: ends.damage.clone() })?;
    let stage = data.join(STAGE);
    let io = |err| RestoreError::Io { path: stage.clone(), err };
    remove(&stage).map_err(io)?;
    let staged = put_together(from, &stage, (to, ends.end == Some(to)), progress);
    let (restored, notes) = staged.inspect_err(|_| remove(&stage).unwrap_or_default())?;
    let aside = into_place(data, order.now)?.filter(|_| filled);
    drop(lock);
    Ok(Restored { aside, notes, ..restored })
}

/// Moves the stage into its place; gives the folder of what was there.
pub(super) fn into_place(data: &Path, now: Instant) -> Result<Option<PathBuf>, SwitchError> {
    let name = format!("replaced-{}", now.to_string().replace([':', '.'], "-"));
    switch(data, &name)?;
    let aside = data.join(name);
    // Of a folder that held no store only the lock was put aside: these fail where anything else is in it.
    let lock = aside.join(JOURNAL);
    if fs::read_dir(&lock).is_ok_and(|entries| entries.count() == 1) {
        drop(fs::remove_file(lock.join(LOCK)));
        drop(fs::remove_dir(lock).and_then(|()| fs::remove_dir(&aside)));
    }
    Ok(aside.exists().then_some(aside))
}

/// Takes the folder as a daemon would, so that none starts on it meanwhile, and goes on with a restore that was interrupted.
pub(super) fn take(data: &Path, at_work: StillAtWork) -> Result<File, RestoreError> {
    if finish_switch(data)? {
        tracing::warn!(data = %data.display(), "an interrupted restore was brought to its end first");
    }
    let journal = data.join(JOURNAL);
    make_private(&journal).map_err(|err| RestoreError::Io { path: journal.clone(), err })?;
    let path = journal.join(LOCK);
    let mut options = File::options();
    options.write(true).create(true).truncate(false).mode(0o600);
    let lock = options.open(&path).map_err(|err| RestoreError::Io { path: path.clone(), err })?;
    match lock.try_lock() {
        Ok(()) => at_work(data).map(|()| lock).map_err(RestoreError::AtWork),
        Err(TryLockError::WouldBlock) => Err(RestoreError::InUse(data.to_owned())),
        Err(TryLockError::Error(err)) => Err(RestoreError::Io { path, err }),
    }
}

/// Where one can stop.
struct Ends {
    /// The ends of segments that others follow.
    segments: Vec<Position>,
    /// The end of the log, when it is whole.
    end: Option<Position>,
    /// What is wrong with the log.
    damage: String,
}

impl Ends {
    fn all(&self) -> impl Iterator<Item = Position> {
        self.segments.iter().copied().chain(self.end)
    }
}

/// A backup is used only if all of it is sound.
fn ends_of_backup(backup: &Path, progress: Progress<'_>) -> Result<Ends, RestoreError> {
    let (_, checked) = check_backup(backup, Asked::default(), progress)
        .map_err(|err| RestoreError::Unreadable { what: err.what })?;
    // Lines that were damaged when the backup was made are no reason to go without the events.
    let wrong = checked.findings.iter().find(|finding| finding.part != Part::Lines);
    if let Some(finding) = wrong {
        return Err(RestoreError::Unsound(Box::new(finding.clone())));
    }
    let segments = JournalExtent::segment_ends(&backup.join(JOURNAL));
    let segments = segments.map_err(|err| RestoreError::Unreadable { what: in_full(&err) })?;
    Ok(Ends { segments, end: Some(checked.log.position), damage: String::new() })
}

/// Of what is there, whatever is whole can be used.
fn ends_of_folder(data: &Path) -> Result<Ends, RestoreError> {
    let dir = data.join(JOURNAL);
    let unreadable = |err: &dyn std::error::Error| RestoreError::Unreadable { what: in_full(err) };
    let report = JournalLog::verify(&dir).map_err(|err| unreadable(&err))?;
    let mut segments = JournalExtent::segment_ends(&dir).map_err(|err| unreadable(&err))?;
    segments.retain(|end| *end <= report.position);
    let damage = report.difference.as_ref().map(|it| format!("{}: {}", it.place, it.what));
    let end = damage.is_none().then_some(report.position);
    Ok(Ends { segments, end, damage: damage.unwrap_or_default() })
}

/// Puts together in `stage` what `from` holds up to `to`, and checks it; `all` says that this is everything.
fn put_together(
    from: &Path,
    stage: &Path,
    (to, all): (Position, bool),
    progress: Progress<'_>,
) -> Result<(Restored, Vec<String>), RestoreError> {
    let io = |err| RestoreError::Io { path: stage.to_owned(), err };
    let source =
        Source::of_folder(from, Some(to)).map_err(|(what, _)| RestoreError::Unreadable { what })?;
    let mut copying = Copying::begin(stage, source.bytes(), &mut *progress).map_err(io)?;
    copying.journal(&source).map_err(io)?;
    copying.checkpoint(&source).map_err(io)?;
    let mut notes = Vec::new();
    if all {
        copying.lines(&source).map_err(io)?;
        copying.finish().map_err(io)?;
    } else {
        copying.finish().map_err(io)?;
        let mut known = opened(&source.journal)?;
        known.sort_unstable();
        let lines = choose_lines(&source.lines, &stage.join(LINES), &known);
        notes = lines.map_err(|err| RestoreError::Unreadable { what: in_full(&err) })?;
    }
    let checked = check_folder(stage, Asked::default(), progress)
        .map_err(|err| RestoreError::Unreadable { what: err.what })?;
    for finding in checked.findings {
        if finding.part != Part::Lines {
            return Err(RestoreError::Unsound(Box::new(finding)));
        }
        notes.push(format!("{}: {}", finding.place, finding.what));
    }
    let restored = Restored {
        position: checked.log.position,
        head: hex(&checked.log.head),
        events: checked.log.events,
        lines: checked.lines.lines,
        aside: None,
        notes: Vec::new(),
    };
    Ok((restored, notes))
}

/// The executions that are opened in a journal: 16 bytes each.
pub(super) fn opened(journal: &JournalExtent) -> Result<Vec<ExecutionId>, RestoreError> {
    let mut known = Vec::new();
    let mut unreadable = None;
    let walked = journal.for_each(&mut |piece| {
        let Piece::Event(event) = piece else { return ControlFlow::Continue(()) };
        match event.decode() {
            Ok(envelope) => {
                if let (StreamId::Execution(id), Event::Opened(_)) =
                    (&envelope.stream, &envelope.event)
                {
                    known.push(*id);
                }
                ControlFlow::Continue(())
            }
            Err(err) => {
                unreadable = Some(err.to_string());
                ControlFlow::Break(())
            }
        }
    });
    walked.map_err(|err| RestoreError::Unreadable { what: in_full(&err) })?;
    match unreadable {
        Some(what) => Err(RestoreError::Unreadable { what }),
        None => Ok(known),
    }
}

/// Takes over the lines of `known` executions, which are sorted. What another execution said must not stay: the same slot
/// will open the same id again, and its log begins anew. Damaged chunks are left out and noted.
fn choose_lines(
    source: &LinesExtent,
    to: &Path,
    known: &[ExecutionId],
) -> Result<Vec<String>, LinesError> {
    let mut builder = LinesBuilder::create(to)?;
    let mut next = source.files.first().map_or(1, |file| file.number);
    let mut begins = None;
    let mut notes = Vec::new();
    let mut failed = None;
    source.for_each(&mut |piece| {
        match piece {
            LinePiece::Segment { pruned, .. } => begins = Some(pruned),
            LinePiece::Damage(damage) => notes.push(format!("{}: {}", damage.place, damage.what)),
            LinePiece::Chunk(chunk) if known.binary_search(&chunk.execution()).is_ok() => {
                let mut put = || {
                    if let Some(pruned) = begins.take() {
                        builder.segment(next, true, pruned)?;
                        next += 1;
                    }
                    builder.chunk(&chunk, Moved::Yes)
                };
                if let Err(err) = put() {
                    failed = Some(err);
                    return ControlFlow::Break(());
                }
            }
            LinePiece::Chunk(_) => {}
        }
        ControlFlow::Continue(())
    })?;
    match failed {
        Some(err) => Err(err),
        None => builder.finish().map(|()| notes),
    }
}
