//! The log folded from zero while it is checked, and compared with whatever claims to be such a fold.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Progress, Tick};
use crate::domain::event::{Closed, Envelope, Event, Forgotten, HistoryPruned, PruneStep};
use crate::engine::state::{STATE_VERSION, State};
use crate::ids::{ExecutionId, Position, StreamId, hex};
use crate::projection::Recount;
use crate::store::checkpoint::CheckpointFile;
use crate::store::codec;
use crate::store::journal::Watch;
use crate::store::lines::Logged;

/// Findings of one part that are told; the first of them says most.
const FINDINGS_MAX: usize = 20;

/// Which part of the store a finding is about. In this order, for what comes first explains the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The files of a backup do not fit its manifest.
    Manifest,
    /// The events.
    Journal,
    /// The head is not the one that was asked for: the log was changed and chained again.
    Head,
    /// The log lines.
    Lines,
    /// The engine's checkpoint.
    Checkpoint,
    /// The lists.
    Index,
}

impl Part {
    /// The name used in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Journal => "journal",
            Self::Head => "head",
            Self::Lines => "lines",
            Self::Checkpoint => "checkpoint",
            Self::Index => "index",
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Of which part.
    pub part: Part,
    /// File and offset, or what is there instead of one.
    pub place: String,
    /// What is wrong.
    pub what: String,
    /// What should be there, where that can be told.
    pub expected: Option<String>,
    /// What is there.
    pub found: Option<String>,
    /// What the operator can do.
    pub mend: String,
}

/// A checkpoint to be compared when the fold comes to its position.
struct Claim {
    path: PathBuf,
    position: Position,
    /// None when another version of the program wrote its form.
    state: Option<State>,
}

/// What chunks of lines say of a log.
pub(super) type Logs<'a> = &'a dyn Fn(ExecutionId) -> Result<Logged, String>;

/// Folds on the way.
pub(super) struct Fold<'a> {
    state: State,
    position: Position,
    claims: Vec<Claim>,
    /// Which stream and version has to stand at a position, and which checkpoint says so.
    heads: BTreeMap<Position, (StreamId, u64, PathBuf)>,
    logs: Logs<'a>,
    /// Logs that are not what their closing says, unless retention took lines of them later in the log: where they were
    /// closed, how many lines and which hash that says.
    lacking: BTreeMap<ExecutionId, (Position, u64, [u8; 32])>,
    pub(super) recount: Option<(Recount, Position)>,
    /// The head that is looked for, and where.
    sought: Option<([u8; 32], Option<Position>)>,
    pub(super) sought_at: Option<Position>,
    pub(super) findings: Vec<Finding>,
    /// Closed executions whose lines were compared.
    pub(super) logs_compared: u64,
    /// Of these, how many lack lines that retention took.
    pub(super) logs_pruned: u64,
    /// The newest checkpoint that was compared.
    pub(super) checkpoint: Option<Position>,
    pub(super) notes: Vec<String>,
    done: u64,
    total: u64,
    progress: Progress<'a>,
}

impl<'a> Fold<'a> {
    pub(super) fn new(logs: Logs<'a>, total: u64, progress: Progress<'a>) -> Self {
        Self {
            state: State::default(),
            position: Position(0),
            claims: Vec::new(),
            heads: BTreeMap::new(),
            logs,
            lacking: BTreeMap::new(),
            recount: None,
            sought: None,
            sought_at: None,
            findings: Vec::new(),
            logs_compared: 0,
            logs_pruned: 0,
            checkpoint: None,
            notes: Vec::new(),
            done: 0,
            total,
            progress,
        }
    }

    /// Compares the state with what these files claim. Checkpoints that cannot be read are findings.
    pub(super) fn claims(&mut self, files: Vec<CheckpointFile>) {
        for CheckpointFile { path, read, .. } in files {
            let checkpoint = match read {
                Ok(checkpoint) => checkpoint,
                Err(what) => {
                    self.find(Finding {
                        part: Part::Checkpoint,
                        place: path.display().to_string(),
                        what: format!("the checkpoint is of no use: {what}"),
                        expected: None,
                        found: None,
                        mend: mend_checkpoint(&path.display().to_string()),
                    });
                    continue;
                }
            };
            let state = if checkpoint.state_version == STATE_VERSION {
                match codec::unpack::<State>(&checkpoint.state) {
                    Ok(state) => Some(state),
                    Err(why) => {
                        self.wrong_checkpoint(&path, format!("its state cannot be read: {why}"));
                        None
                    }
                }
            } else {
                let (own, other) = (STATE_VERSION, checkpoint.state_version);
                self.notes.push(format!(
                    "`{}` holds the state in form {other}, this version folds form {own}: it is not compared",
                    path.display()
                ));
                None
            };
            for (stream, head) in checkpoint.log.heads {
                self.heads.insert(head.last, (stream, head.version, path.clone()));
            }
            self.claims.push(Claim { path, position: checkpoint.position, state });
        }
        self.claims.sort_by_key(|claim| claim.position);
        self.compare_claims();
    }

    /// Folds rows beside, up to `until`.
    pub(super) fn recount(&mut self, recount: Recount, until: Position) {
        self.recount = Some((recount, until));
    }

    /// Looks for a head, at one position or anywhere.
    pub(super) fn seek(&mut self, head: [u8; 32], at: Option<Position>) {
        self.sought = Some((head, at));
    }

    /// Whether a checkpoint claims to know of events beyond `position`.
    pub(super) fn unreached(&self, position: Position) -> Option<(PathBuf, Position)> {
        let claims = self.claims.iter().map(|claim| (claim.path.clone(), claim.position));
        let heads = self.heads.iter().map(|(at, (_, _, path))| (path.clone(), *at));
        claims.chain(heads).filter(|(_, at)| *at > position).max_by_key(|(_, at)| *at)
    }

    pub(super) fn find(&mut self, finding: Finding) {
        let same = self.findings.iter().filter(|known| known.part == finding.part).count();
        if same < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }

    fn wrong_checkpoint(&mut self, path: &std::path::Path, what: String) {
        let place = path.display().to_string();
        let mend = mend_checkpoint(&place);
        let part = Part::Checkpoint;
        self.find(Finding { part, place, what, expected: None, found: None, mend });
    }

    /// Compares the checkpoints that stand at the position that the fold has reached.
    fn compare_claims(&mut self) {
        while let Some(claim) = self.claims.first()
            && claim.position <= self.position
        {
            let claim = self.claims.remove(0);
            let Some(state) = claim.state else { continue };
            self.checkpoint = self.checkpoint.max(Some(claim.position));
            // Openings that retention took are counted by the one and not by the other.
            let (folded, state) = match self.state.daemon.retention.pass {
                0 => (self.state.clone(), state),
                _ => (self.state.clone().comparable(), state.comparable()),
            };
            if let Some((what, expected, found)) = difference(&folded, &state) {
                let place = claim.path.display().to_string();
                self.find(Finding {
                    part: Part::Checkpoint,
                    what: format!("{what} is not what the log adds up to at {}", claim.position),
                    expected: Some(expected),
                    found: Some(found),
                    mend: mend_checkpoint(&place),
                    place,
                });
            }
        }
    }

    fn compare_log(&mut self, execution: ExecutionId, position: Position, closed: &Closed) {
        // An execution that never began has no log, and claims none.
        if closed.log_hash == [0; 32] && closed.lines == 0 {
            return;
        }
        self.logs_compared += 1;
        let logged = match (self.logs)(execution) {
            Ok(logged) => logged,
            Err(what) => {
                self.find(Finding {
                    part: Part::Lines,
                    place: format!("the log of execution {execution}"),
                    what,
                    expected: None,
                    found: None,
                    mend: mend_lines(),
                });
                return;
            }
        };
        if (logged.lines, logged.hash) != (closed.lines, closed.log_hash) {
            self.lacking.insert(execution, (position, closed.lines, closed.log_hash));
        }
    }

    /// Retention took lines of these: whatever is left of them is as it should be.
    fn explain(&mut self, forgotten: &[Forgotten]) {
        for forgotten in forgotten {
            for execution in forgotten.executions.iter().chain(&forgotten.lines) {
                self.logs_pruned += u64::from(self.lacking.remove(execution).is_some());
            }
        }
    }

    /// Finds the logs that are not what their closing says although retention took nothing of them.
    pub(super) fn compare_unexplained(&mut self) {
        let mut lacking: Vec<_> = std::mem::take(&mut self.lacking).into_iter().collect();
        lacking.sort_unstable_by_key(|(_, (position, ..))| *position);
        lacking.truncate(FINDINGS_MAX);
        for (execution, closed) in lacking {
            if let Ok(logged) = (self.logs)(execution) {
                self.find_lacking(execution, closed, logged);
            }
        }
    }

    fn find_lacking(
        &mut self,
        execution: ExecutionId,
        (position, lines, hash): (Position, u64, [u8; 32]),
        logged: Logged,
    ) {
        let what = match logged.gap {
            Some(gap) => format!("lines from {gap} are missing"),
            None if logged.lines == lines => "the lines are not those that it said".to_owned(),
            None => format!("{} of {lines} lines are there", logged.lines),
        };
        let place = logged.place.unwrap_or_else(|| format!("the log of execution {execution}"));
        self.find(Finding {
            part: Part::Lines,
            place,
            what: format!("execution {execution}, closed at {position}: {what}"),
            expected: Some(format!("{lines} lines, hash {}", hex(&hash))),
            found: Some(format!("{} lines, hash {}", logged.lines, hex(&logged.hash))),
            mend: mend_lines(),
        });
    }

    fn compare_head(&mut self, envelope: &Envelope) {
        let Some((stream, version, path)) = self.heads.remove(&envelope.position) else { return };
        if stream == envelope.stream && version == envelope.version {
            return;
        }
        let place = path.display().to_string();
        self.find(Finding {
            part: Part::Checkpoint,
            what: format!("event {} is not the one that it knew there", envelope.position),
            expected: Some(format!("{} version {}", envelope.stream, envelope.version)),
            found: Some(format!("{stream} version {version}")),
            mend: mend_checkpoint(&place),
            place,
        });
    }
}

impl Watch for Fold<'_> {
    fn event(&mut self, envelope: &Envelope) {
        self.state.replay(envelope);
        // Deliveries that arose in the past stand in the outbox.
        self.state.fresh.clear();
        self.position = envelope.position;
        self.compare_head(envelope);
        self.compare_claims();
        if let (StreamId::Execution(id), Event::Closed(closed)) =
            (&envelope.stream, &envelope.event)
        {
            self.compare_log(*id, envelope.position, closed);
        }
        if let Event::HistoryPruned(HistoryPruned { step: PruneStep::Forgotten(all), .. }) =
            &envelope.event
        {
            self.explain(all);
        }
        if let Some((recount, until)) = &mut self.recount
            && envelope.position <= *until
            && let Err(why) = recount.apply(envelope)
        {
            self.notes.push(format!("the index is not compared: {why}"));
            self.recount = None;
        }
    }

    fn frame(&mut self, position: Position, head: &[u8; 32]) {
        if let Some((sought, at)) = &self.sought
            && sought == head
            && at.is_none_or(|at| at == position)
        {
            self.sought_at = Some(position);
        }
    }

    fn read(&mut self, bytes: u64) {
        self.done += bytes;
        (self.progress)(Tick { what: "reading the events", done: self.done, total: self.total });
    }
}

fn mend_checkpoint(place: &str) -> String {
    format!("with the daemon stopped delete `{place}`: the next start folds the log instead")
}

pub(super) fn mend_lines() -> String {
    "the events are whole, and the daemon runs on; `daybook store restore BACKUP` brings the lines of a backup back"
        .to_owned()
}

/// The first thing in which two states differ: what, and both sides. Values are told by their hash, since a definition may
/// hold a secret.
pub(super) fn difference(right: &State, other: &State) -> Option<(String, String, String)> {
    if right == other {
        return None;
    }
    let sides = |what: String, right: String, other: String| Some((what, right, other));
    if right.daemon != other.daemon {
        let what = "the state of the daemon".to_owned();
        return sides(what, told(Some(&right.daemon)), told(Some(&other.daemon)));
    }
    if let Some((key, right, other)) = in_maps(&right.interfaces, &other.interfaces) {
        return sides(format!("the state of interface `{key}`"), right, other);
    }
    let mut names = right.schedules.names();
    names.extend(other.schedules.names());
    for name in names {
        let (right, other) = (right.schedules.get(&name), other.schedules.get(&name));
        if right != other {
            return sides(format!("the state of schedule `{name}`"), told(right), told(other));
        }
    }
    if let Some((key, right, other)) = in_maps(&right.executions, &other.executions) {
        return sides(format!("the state of execution {key}"), right, other);
    }
    if right.opened != other.opened {
        let (right, other) = (right.opened.to_string(), other.opened.to_string());
        return sides("the number of executions opened".to_owned(), right, other);
    }
    let what = "the outbox of deliveries".to_owned();
    let count =
        |state: &State| format!("{} deliveries, {}", state.outbox.len(), told(Some(&state.outbox)));
    sides(what, count(right), count(other))
}

fn in_maps<K: Ord + std::fmt::Display, V: PartialEq + serde::Serialize>(
    right: &BTreeMap<K, V>,
    other: &BTreeMap<K, V>,
) -> Option<(String, String, String)> {
    let keys = right.keys().chain(other.keys());
    keys.filter(|key| right.get(key) != other.get(key))
        .min()
        .map(|key| (key.to_string(), told(right.get(key)), told(other.get(key))))
}

fn told<T: serde::Serialize>(value: Option<&T>) -> String {
    let Some(value) = value else { return "nothing".to_owned() };
    let mut bytes = Vec::new();
    match codec::pack(value, &mut bytes) {
        Ok(()) => {
            let hash = blake3::hash(&bytes).to_hex();
            format!("BLAKE3 {}", hash.get(..16).unwrap_or_default())
        }
        Err(why) => why,
    }
}
