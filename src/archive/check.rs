//! `store verify`: every byte is read, the log is folded from zero, and all that claims to be such a fold is compared.

use std::path::Path;

use super::files::size_of;
use super::fold::{Finding, Fold, Part, mend_lines};
use super::manifest::Manifest;
use super::{INDEX, JOURNAL, LINES, Progress, Tick};
use crate::error_text::in_full;
use crate::ids::{Position, hex};
use crate::projection::{IndexCopy, Projections, Recount};
use crate::store::checkpoint;
use crate::store::journal::{JournalLog, VerifyReport};
use crate::store::lines::{LineStore, LinesExtent, LinesReport, LinesSurvey};

/// Where rows are folded for a comparison, in the index's folder; deleted at the end, and at the next start.
const SCRATCH: &str = "recount";
/// Where the index is copied for a comparison.
const COPY: &str = "compared";

/// What is asked of a check beyond soundness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The log had this head once: at `at`, or anywhere.
    pub head: Option<[u8; 32]>,
    /// Where.
    pub at: Option<Position>,
}

/// What a check saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// The events.
    pub log: VerifyReport,
    /// The lines.
    pub lines: LinesReport,
    /// What is not as it should be; the first one explains the rest.
    pub findings: Vec<Finding>,
    /// Closed executions whose lines were compared with what their closing says.
    pub logs: u64,
    /// Of these, how many lack lines that retention took.
    pub logs_pruned: u64,
    /// The position at which a checkpoint was compared with the fold.
    pub checkpoint: Option<Position>,
    /// The position at which the index was compared with the fold.
    pub index: Option<Position>,
    /// Where the head that was asked for stands.
    pub head_at: Option<Position>,
    /// What is no damage and worth knowing.
    pub notes: Vec<String>,
}

/// Why a check could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct CheckError {
    /// What, in words.
    pub what: String,
}

impl CheckError {
    fn new(err: &dyn std::error::Error) -> Self {
        Self { what: in_full(err) }
    }
}

/// Checks a data folder that nobody uses. Nothing in it is changed but the folders of the comparison, which are deleted.
///
/// # Errors
/// A file cannot be read. Damage is no error: it is in the answer.
pub fn check_folder(
    data: &Path,
    asked: Asked,
    progress: Progress<'_>,
) -> Result<Checked, CheckError> {
    let lines = data.join(LINES);
    let extent = LinesExtent::of_folder(&lines).map_err(|err| CheckError::new(&err))?;
    let survey = LinesSurvey::of(&extent).map_err(|err| CheckError::new(&err))?;
    let report = if lines.is_dir() {
        progress(Tick { what: "reading the lines", done: 0, total: 0 });
        LineStore::verify_surveyed(&lines, &survey).map_err(|err| CheckError::new(&err))?
    } else {
        LinesReport::default()
    };
    let logs = |id| survey.logged(id).map_err(|err| in_full(&err));
    let total = size_of(&data.join(JOURNAL));
    let mut fold = Fold::new(&logs, total, progress);
    let files = checkpoint::files(data).map_err(|err| CheckError::new(&err))?;
    fold.claims(files);
    let copy = index_copy(data, &mut fold);
    if let Some(head) = asked.head {
        fold.seek(head, asked.at);
    }
    let log = JournalLog::verify_with(&data.join(JOURNAL), None, &mut fold);
    let log = log.map_err(|err| CheckError::new(&err))?;
    let mut index = None;
    if let Some(copy) = copy
        && log.difference.is_none()
    {
        index = compare_copy(&copy, &mut fold, &data.join(INDEX), &log);
    }
    let checked = conclude(fold, (log, report, index), asked);
    sweep(data);
    Ok(checked)
}

/// Removes what a comparison left that did not come to its end.
fn sweep(data: &Path) {
    for name in [SCRATCH, COPY] {
        // Nothing is lost with it, and the next check empties it first.
        super::files::remove(&data.join(INDEX).join(name)).unwrap_or_default();
    }
}

/// Checks a store that is in use, up to what is on disk now. Reads from threads that may block; the writers go on. Without
/// `projections`, for want of room, the index is not compared.
///
/// # Errors
/// A file cannot be read. Damage is no error: it is in the answer.
pub fn check_running(
    (data, log, lines): (&Path, &JournalLog, &LineStore),
    projections: Option<&Projections>,
    asked: Asked,
    progress: Progress<'_>,
) -> Result<Checked, CheckError> {
    // Read before the log's end: what they promise is on disk then.
    let files = checkpoint::files(data).map_err(|err| CheckError::new(&err))?;
    let (_, until) = log.head();
    let report = lines.verify().map_err(|err| CheckError::new(&err))?;
    let logs = |id| lines.logged(id).map_err(|err| in_full(&err));
    let total = log.size_bytes();
    let mut fold = Fold::new(&logs, total, progress);
    fold.claims(files);
    if let Some(head) = asked.head {
        fold.seek(head, asked.at);
    }
    let scratch = data.join(INDEX).join(SCRATCH);
    match projections.map(|_| Recount::begin(&scratch)) {
        Some(Ok(recount)) => fold.recount(recount, until),
        Some(Err(why)) => fold.notes.push(format!("the index is not compared: {why}")),
        None => {
            fold.notes.push("the index is not compared: the disk has too little room".to_owned())
        }
    }
    let seen = JournalLog::verify_with(log.dir(), Some(until), &mut fold);
    let seen = seen.map_err(|err| CheckError::new(&err))?;
    let mut index = None;
    if seen.difference.is_none()
        && let Some((mut recount, _)) = fold.recount.take()
        && let Some(projections) = projections
    {
        match recount.compare_in_use(projections) {
            Ok(difference) => {
                index = Some(recount.position());
                if let Some(difference) = difference {
                    fold.find(of_row(difference, &data.join(INDEX)));
                }
            }
            Err(why) => fold.notes.push(format!("the index is not compared: {why}")),
        }
    }
    let checked = conclude(fold, (seen, report, index), asked);
    sweep(data);
    Ok(checked)
}

/// Checks a backup: its files against the manifest, then as any data folder.
///
/// # Errors
/// A file cannot be read. Damage is no error: it is in the answer.
pub fn check_backup(
    folder: &Path,
    asked: Asked,
    progress: Progress<'_>,
) -> Result<(Manifest, Checked), CheckError> {
    let manifest = Manifest::read(folder).map_err(|what| CheckError { what })?;
    let wrong = manifest.compare(folder, progress);
    let mut checked = check_folder(folder, asked, progress)?;
    if checked.findings.is_empty()
        && (manifest.position, manifest.head.as_str())
            != (checked.log.position, hex(&checked.log.head).as_str())
    {
        checked.findings.push(Finding {
            part: Part::Manifest,
            place: folder.display().to_string(),
            what: "the log is not the one that the manifest names".to_owned(),
            expected: Some(format!("position {}, head {}", manifest.position, manifest.head)),
            found: Some(format!(
                "position {}, head {}",
                checked.log.position,
                hex(&checked.log.head)
            )),
            mend: "use another backup".to_owned(),
        });
    }
    checked.findings.splice(0..0, wrong);
    Ok((manifest, checked))
}

/// A copy of the index, with rows that are folded up to where it reaches.
fn index_copy(data: &Path, fold: &mut Fold<'_>) -> Option<IndexCopy> {
    let index = data.join(INDEX);
    let copy = match IndexCopy::of(&index, &index.join(COPY)) {
        Ok(copy) => copy?,
        Err(what) => {
            fold.find(unusable_index(&index, &what));
            return None;
        }
    };
    match Recount::begin(&index.join(SCRATCH)) {
        Ok(recount) => fold.recount(recount, copy.reaches().0),
        Err(why) => fold.notes.push(format!("the index is not compared: {why}")),
    }
    Some(copy)
}

fn compare_copy(
    copy: &IndexCopy,
    fold: &mut Fold<'_>,
    index: &Path,
    log: &VerifyReport,
) -> Option<Position> {
    let (position, _) = copy.reaches();
    let end = log.position;
    if position > end {
        fold.find(Finding {
            part: Part::Journal,
            place: log.end.clone(),
            what: format!("the index saw position {position} on disk: events are lost"),
            expected: Some(format!("at least position {position}")),
            found: Some(format!("position {end}")),
            mend: mend_journal(end),
        });
        return None;
    }
    let (mut recount, _) = fold.recount.take()?;
    match recount.compare(copy) {
        Ok(difference) => {
            if let Some(difference) = difference {
                fold.find(of_row(difference, index));
            }
            Some(position)
        }
        Err(what) => {
            fold.find(unusable_index(index, &what));
            None
        }
    }
}

fn unusable_index(index: &Path, what: &str) -> Finding {
    Finding {
        part: Part::Index,
        place: index.display().to_string(),
        what: format!("the index cannot be read: {what}"),
        expected: None,
        found: None,
        mend: mend_index(index),
    }
}

fn of_row(difference: crate::projection::RowDifference, index: &Path) -> Finding {
    Finding {
        part: Part::Index,
        place: format!("{}, row {}", index.display(), difference.row),
        what: "the index does not say what the log adds up to".to_owned(),
        expected: Some(difference.expected),
        found: Some(difference.found),
        mend: mend_index(index),
    }
}

fn mend_index(index: &Path) -> String {
    format!("stop the daemon and delete `{}`: it is rebuilt while slots run", index.display())
}

fn mend_journal(position: Position) -> String {
    format!(
        "`daybook store restore BACKUP` puts a backup into place; `daybook store export --until {position}` reads what is whole; `daybook store restore --to-segment-end` goes on with the segments that are whole, and puts the damaged ones aside"
    )
}

/// Puts together what the passes saw.
fn conclude(
    mut fold: Fold<'_>,
    (log, lines, index): (VerifyReport, LinesReport, Option<Position>),
    asked: Asked,
) -> Checked {
    if let Some(difference) = &log.difference {
        fold.find(Finding {
            part: Part::Journal,
            place: difference.place.clone(),
            what: format!("{} (after position {})", difference.what, difference.after),
            expected: None,
            found: None,
            mend: mend_journal(difference.after),
        });
    } else {
        fold.compare_unexplained();
        if let Some((path, position)) = fold.unreached(log.position) {
            fold.find(Finding {
                part: Part::Journal,
                place: log.end.clone(),
                what: format!(
                    "the log ends here, but `{}` saw position {position} on disk: events are lost",
                    path.display()
                ),
                expected: Some(format!("position {position}")),
                found: Some(format!("position {}", log.position)),
                mend: mend_journal(log.position),
            });
        }
        if let (Some(head), None) = (asked.head, fold.sought_at) {
            fold.find(of_head(head, asked.at, &log));
        }
    }
    for damage in &lines.damage {
        fold.find(Finding {
            part: Part::Lines,
            place: damage.place.clone(),
            what: damage.what.clone(),
            expected: None,
            found: None,
            mend: mend_lines(),
        });
    }
    let mut findings = std::mem::take(&mut fold.findings);
    // The damaged bytes themselves say more than the logs that they are missing in.
    findings.sort_by_key(|finding| (finding.part, finding.expected.is_some()));
    Checked {
        logs: fold.logs_compared,
        logs_pruned: fold.logs_pruned,
        checkpoint: fold.checkpoint,
        head_at: fold.sought_at,
        notes: std::mem::take(&mut fold.notes),
        log,
        lines,
        index,
        findings,
    }
}

fn of_head(head: [u8; 32], at: Option<Position>, log: &VerifyReport) -> Finding {
    let place = at.map_or_else(|| "the log".to_owned(), |at| format!("position {at}"));
    Finding {
        part: Part::Head,
        what: match at {
            Some(at) if at > log.position => format!("the log ends at position {}, before it", log.position),
            Some(_) => "the head there is another one: what comes before was changed and chained again".to_owned(),
            None => "it never had that head: it was changed and chained again, or is another one".to_owned(),
        },
        place,
        expected: Some(hex(&head)),
        found: (at == Some(log.position)).then(|| hex(&log.head)),
        mend: "keep this folder as it is; compare it with a backup from before: `daybook store verify --backup DIR`, `daybook store export`".to_owned(),
    }
}
