//! Which history is over: decided from summaries of an interface's executions, shown newest first.
//!
//! What is over by its limits may still be needed: the newest executions of a schedule say how it stands, the members of
//! a re-run chain say of each other how they were mended, and what ended a moment ago may have a ping on its way. Such
//! executions stay, whatever the limits say. A KO that nobody acknowledged stays up to its own limit.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::definition::Retention;
use super::event::{Forgotten, Outcome};
use crate::ids::{ExecutionId, ScheduleRef};
use crate::instant::Instant;

/// What ended within this time stays: it may be owed a delivery, which is dropped after 24 hours (contract, section 9).
pub const SETTLED_AFTER: Duration = Duration::from_secs(48 * 3600);

/// What retention has to know of an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its id.
    pub id: ExecutionId,
    /// The first one of its re-run chain; itself when it is that one.
    pub root: ExecutionId,
    /// It is a re-run, or has re-runs.
    pub chained: bool,
    /// Its schedule.
    pub schedule: ScheduleRef,
    /// Its slot.
    pub slot: Option<Instant>,
    /// How and when it ended; none while it is open.
    pub ended: Option<(Outcome, Instant)>,
    /// A person has dealt with it.
    pub acknowledged: bool,
    /// It is a KO that nothing mended and nobody acknowledged (contract, rule 5).
    pub open_ko: bool,
    /// A backfill opened it, so the slot itself was passed over.
    pub backfilled: bool,
    /// Bytes of its lines that are still there; 1 where nobody counted them.
    pub lines_bytes: u64,
}

/// Why something is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// It is older than the limit.
    Age,
    /// There are as many newer ones as may be kept.
    Count,
    /// The newer ones have as many bytes as may be kept.
    Bytes,
}

/// What becomes of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays as it is.
    Stays,
    /// It stays and loses its lines.
    LinesGo(Limit),
    /// It goes.
    Goes(Limit),
}

/// An execution with its fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The execution.
    pub execution: Summary,
    /// What becomes of it.
    pub fate: Fate,
}

/// What is known of a schedule from its executions so far.
#[derive(Debug, Default)]
struct Seen {
    newest: bool,
    finished: bool,
    /// Cancelled ones do not count.
    decided: bool,
    /// As `decided`, before the time in which deliveries may be owed.
    settled: bool,
    last_ok_at: Option<Instant>,
    last_ok_slot: Option<Instant>,
    /// The newest slot whose execution goes by count.
    counted_out: Option<Instant>,
    /// The newest slot whose execution goes.
    gone_to: Option<Instant>,
    /// The oldest slot of the past that a backfill opened and that stays.
    backfilled: Option<Instant>,
}

/// Judges the executions of one interface, each once, from the newest opening to the oldest.
#[derive(Debug)]
pub struct Judge {
    limits: Retention,
    now: Instant,
    finished: u64,
    lines_bytes: u64,
    schedules: HashMap<ScheduleRef, Seen>,
    /// Members of chains whose first one was not seen yet.
    chains: BTreeMap<ExecutionId, Vec<Judged>>,
}

impl Judge {
    /// A judge by `limits`, as they are now.
    pub fn new(limits: Retention, now: Instant) -> Self {
        let (schedules, chains) = (HashMap::new(), BTreeMap::new());
        Self { limits, now, finished: 0, lines_bytes: 0, schedules, chains }
    }

    /// Judges the next older execution; answers what is now certain, which is nothing inside a re-run chain.
    pub fn see(&mut self, execution: Summary) -> Vec<Judged> {
        let fate = self.fate(&execution);
        let judged = Judged { execution, fate };
        if !judged.execution.chained {
            self.note(&judged);
            return vec![judged];
        }
        let root = judged.execution.root;
        let is_root = judged.execution.id == root;
        self.chains.entry(root).or_default().push(judged);
        if !is_root {
            return Vec::new();
        }
        let mut chain = self.chains.remove(&root).unwrap_or_default();
        let whole = chain.iter().all(|judged| matches!(judged.fate, Fate::Goes(_)));
        for judged in &mut chain {
            if !whole && let Fate::Goes(limit) = judged.fate {
                judged.fate = self.lines_fate(&judged.execution, limit);
            }
            self.note(judged);
        }
        chain
    }

    /// Up to where the skipped and missed slots of `schedule` are over, once all of its executions were seen.
    pub fn slots_until(&self, schedule: &ScheduleRef) -> Option<Instant> {
        let seen = self.schedules.get(schedule);
        let aged = self.limits.ok_ms.map(|limit| before(self.now, limit));
        let until = aged.max(seen.and_then(|seen| seen.counted_out))?;
        let settled = until.min(self.now - SETTLED_AFTER);
        // The slot's own id was opened later: the event that passed it over has to stay.
        let backfilled = seen.and_then(|seen| seen.backfilled).map(|slot| before(slot, 1));
        Some(backfilled.map_or(settled, |least| least.min(settled)))
    }

    /// Up to where what became of the slots of `schedule` may be forgotten, so that they must be taken for decided.
    pub fn decided_until(&self, schedule: &ScheduleRef) -> Option<Instant> {
        let gone_to = self.schedules.get(schedule).and_then(|seen| seen.gone_to);
        gone_to.max(self.slots_until(schedule))
    }

    fn fate(&mut self, execution: &Summary) -> Fate {
        let needed = self.is_needed(execution);
        let Some((outcome, at)) = execution.ended else { return Fate::Stays };
        self.finished += 1;
        self.lines_bytes += execution.lines_bytes;
        let by_age = match outcome {
            Outcome::Ko => self.limits.ko_ms,
            Outcome::Ok | Outcome::Cancelled => self.limits.ok_ms,
        };
        let too_old = by_age.is_some_and(|limit| at < before(self.now, limit));
        let ko_waits = outcome == Outcome::Ko && !execution.acknowledged;
        let too_many = !ko_waits && self.limits.count.is_some_and(|count| self.finished > count);
        let limit = if too_old { Some(Limit::Age) } else { too_many.then_some(Limit::Count) };
        match limit.filter(|_| !needed && at < self.now - SETTLED_AFTER) {
            Some(limit) => Fate::Goes(limit),
            None => self.lines_fate_by_limits(execution, at),
        }
    }

    fn lines_fate_by_limits(&self, execution: &Summary, at: Instant) -> Fate {
        let too_old = self.limits.lines_ms.is_some_and(|limit| at < before(self.now, limit));
        let too_much = self.limits.bytes.is_some_and(|bytes| self.lines_bytes > bytes);
        match (too_old, too_much) {
            (true, _) => self.lines_fate(execution, Limit::Age),
            (false, true) => self.lines_fate(execution, Limit::Bytes),
            (false, false) => Fate::Stays,
        }
    }

    /// What is needed itself may lose its lines, unless somebody still has to look at them.
    const fn lines_fate(&self, execution: &Summary, limit: Limit) -> Fate {
        if execution.lines_bytes == 0 || execution.open_ko {
            Fate::Stays
        } else {
            Fate::LinesGo(limit)
        }
    }

    /// Whether it says how its schedule stands. Of what is seen later only something that is more so counts.
    fn is_needed(&mut self, execution: &Summary) -> bool {
        let settled_before = self.now - SETTLED_AFTER;
        let seen = self.schedules.entry(execution.schedule.clone()).or_default();
        let mut needed = !std::mem::replace(&mut seen.newest, true);
        let Some((outcome, at)) = execution.ended else { return true };
        needed |= !std::mem::replace(&mut seen.finished, true);
        if outcome != Outcome::Cancelled {
            needed |= !std::mem::replace(&mut seen.decided, true);
            // Whether the next one after it is told of follows from how it ended.
            needed |= at < settled_before && !std::mem::replace(&mut seen.settled, true);
        }
        if outcome == Outcome::Ok {
            for (newest, this) in
                [(&mut seen.last_ok_at, Some(at)), (&mut seen.last_ok_slot, execution.slot)]
            {
                needed |= this > *newest;
                *newest = this.max(*newest);
            }
        }
        needed
    }

    fn note(&mut self, judged: &Judged) {
        let execution = &judged.execution;
        let Some(slot) = execution.slot else { return };
        let seen = self.schedules.entry(execution.schedule.clone()).or_default();
        if let Fate::Goes(_) = judged.fate {
            seen.gone_to = seen.gone_to.max(Some(slot));
        }
        match judged.fate {
            Fate::Goes(Limit::Count | Limit::Bytes) => {
                seen.counted_out = seen.counted_out.max(Some(slot));
            }
            Fate::Goes(Limit::Age) => (),
            Fate::Stays | Fate::LinesGo(_) if execution.backfilled => {
                seen.backfilled = Some(seen.backfilled.map_or(slot, |known| known.min(slot)));
            }
            Fate::Stays | Fate::LinesGo(_) => (),
        }
    }
}

/// Divides what is forgotten into parts that name at most `most` executions, or as many schedules without any.
pub fn divide(forgotten: Vec<Forgotten>, most: usize) -> Vec<Vec<Forgotten>> {
    let mut parts: Vec<Vec<Forgotten>> = Vec::new();
    let mut room = 0;
    for mut one in forgotten {
        loop {
            if room == 0 {
                parts.push(Vec::new());
                room = most.max(1);
            }
            let executions = one.executions.len().min(room);
            let lines = one.lines.len().min(room - executions);
            let rest = Forgotten {
                schedule: one.schedule.clone(),
                executions: one.executions.split_off(executions),
                lines: one.lines.split_off(lines),
                slots_until: one.slots_until,
                decided_until: one.decided_until,
            };
            room -= (executions + lines).max(1);
            let is_done = rest.executions.is_empty() && rest.lines.is_empty();
            let part = std::mem::replace(&mut one, rest);
            if let Some(last) = parts.last_mut() {
                last.push(part);
            }
            if is_done {
                break;
            }
        }
    }
    parts
}

/// `by_ms` milliseconds before `at`.
fn before(at: Instant, by_ms: u64) -> Instant {
    Instant::from_millis(at.millis().saturating_sub_unsigned(by_ms))
}

#[cfg(test)]
mod tests;
