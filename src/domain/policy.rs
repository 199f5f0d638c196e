//! What becomes of due slots: the one table for start-up, resume, clock jumps, stalls and normal running.
//!
//! Source: contract, section 4.

use std::collections::VecDeque;

use super::definition::{CatchUp, CatchUpMode, Overlap};
use super::slot::{Reason, Verdict};
use crate::ids::ExecutionId;
use crate::instant::Instant;

/// A slot at most this late runs as usual, in milliseconds.
pub const GRACE_MS: i64 = 60_000;

/// A run lists at most so many of its instants.
pub const LISTED_MAX: usize = 1_000;

/// What is true of a schedule when its slots are decided.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    /// Its file switches it off.
    pub disabled: bool,
    /// It or its interface is paused.
    pub paused: bool,
    /// Steps of the clock over which no slot could be decided, each from an instant to a later one.
    pub stepped: &'a [(Instant, Instant)],
    /// An execution of it that is open.
    pub open: Option<ExecutionId>,
    /// An execution of it that is open and belongs to no series of catch-up or backfill.
    pub open_live: Option<ExecutionId>,
    /// What to do when one is open.
    pub overlap: Overlap,
    /// What to do about late slots.
    pub catch_up: &'a CatchUp,
}

impl Situation<'_> {
    /// Why a slot would not run, however punctual.
    pub const fn unwanted(&self) -> Option<Reason> {
        if self.disabled {
            Some(Reason::Disabled)
        } else if self.paused {
            Some(Reason::Paused)
        } else {
            None
        }
    }

    /// The execution in the way of a slot that may run.
    fn in_the_way(&self, of_series: bool) -> Option<ExecutionId> {
        let open = if of_series { self.open_live } else { self.open };
        open.filter(|_| self.overlap == Overlap::Skip)
    }

    /// Slots that may start at once, at most.
    fn starts_max(&self) -> usize {
        match self.catch_up.mode {
            CatchUpMode::None | CatchUpMode::Last => 1,
            CatchUpMode::All => usize::try_from(self.catch_up.max).unwrap_or(usize::MAX),
        }
    }

    /// Why a slot is missed that gave way to newer ones.
    const fn gave_way(&self) -> Reason {
        match self.catch_up.mode {
            CatchUpMode::None => Reason::Down,
            CatchUpMode::Last => Reason::Coalesced,
            CatchUpMode::All => Reason::Max,
        }
    }

    fn missed(&self, slot: Instant, reason: Reason) -> Reason {
        let stepped_over = || self.stepped.iter().any(|(from, to)| *from < slot && slot <= *to);
        if reason == Reason::Down && stepped_over() { Reason::Clock } else { reason }
    }
}

/// What becomes of one slot, or of a run of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Its execution is opened.
    Start {
        /// The nominal instant.
        slot: Instant,
        /// Whether it is late beyond the grace.
        caught_up: bool,
    },
    /// Nothing is started.
    Pass(Run),
}

/// Consecutive slots with one outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first nominal instant.
    pub first: Instant,
    /// The last nominal instant.
    pub last: Instant,
    /// How many.
    pub count: u64,
    /// The nominal instants, up to [`LISTED_MAX`].
    pub instants: Vec<Instant>,
    /// Skipped or missed.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The execution that stood in the way.
    pub execution: Option<ExecutionId>,
}

impl Run {
    /// A run of one slot.
    pub fn of(
        slot: Instant,
        verdict: Verdict,
        reason: Reason,
        execution: Option<ExecutionId>,
    ) -> Self {
        let instants = vec![slot];
        Self { first: slot, last: slot, count: 1, instants, verdict, reason, execution }
    }

    fn push(&mut self, slot: Instant) {
        self.last = slot;
        self.count += 1;
        if self.instants.len() < LISTED_MAX {
            self.instants.push(slot);
        }
    }

    /// Takes in the run that follows.
    fn extend(&mut self, next: &Self) {
        self.last = next.last;
        self.count += next.count;
        let room = LISTED_MAX.saturating_sub(self.instants.len());
        self.instants.extend(next.instants.iter().take(room));
    }
}

/// Decides the undecided slots `due` (ascending, none after `now`) of one schedule; the answer covers each of them once,
/// in order.
pub fn decide(
    due: impl Iterator<Item = Instant>,
    now: Instant,
    situation: &Situation<'_>,
) -> Vec<Decision> {
    let mut made = Decisions::default();
    let window_ms = i64::try_from(situation.catch_up.window_ms).unwrap_or(i64::MAX);
    let starts_max = situation.starts_max();
    for slot in due {
        if let Some(reason) = situation.unwanted() {
            made.pass(slot, Verdict::Skipped, reason);
            continue;
        }
        let late_ms = now.millis() - slot.millis();
        let prompt = late_ms <= GRACE_MS;
        let reason = match situation.catch_up.mode {
            _ if prompt => None,
            CatchUpMode::None => Some(Reason::Down),
            CatchUpMode::Last | CatchUpMode::All if late_ms <= window_ms => None,
            CatchUpMode::Last | CatchUpMode::All => Some(Reason::TooLate),
        };
        match reason {
            Some(reason) => made.pass(slot, Verdict::Missed, situation.missed(slot, reason)),
            None => {
                made.hold(slot, !prompt);
                if made.held > starts_max {
                    made.give_way(situation);
                }
            }
        }
    }
    let mut decisions = made.settle(situation);
    coalesce_only_into_a_start(&mut decisions);
    decisions
}

/// Decides a slot whose time is not its nominal instant: it waited for another schedule, which delivered just now.
pub fn decide_delivered(slot: Instant, situation: &Situation<'_>) -> Decision {
    let skipped =
        |reason, execution| Decision::Pass(Run::of(slot, Verdict::Skipped, reason, execution));
    if let Some(reason) = situation.unwanted() {
        return skipped(reason, None);
    }
    match situation.in_the_way(false) {
        Some(open) => skipped(Reason::Overlap, Some(open)),
        None => Decision::Start { slot, caught_up: false },
    }
}

/// Decisions in the making.
#[derive(Default)]
struct Decisions {
    /// Final.
    done: Vec<Decision>,
    /// From the first slot that may still start on.
    open: VecDeque<Decision>,
    /// Slots in `open` that may start.
    held: usize,
}

impl Decisions {
    fn hold(&mut self, slot: Instant, caught_up: bool) {
        self.open.push_back(Decision::Start { slot, caught_up });
        self.held += 1;
    }

    fn pass(&mut self, slot: Instant, verdict: Verdict, reason: Reason) {
        if self.held == 0 {
            return pass(&mut self.done, slot, (verdict, reason, None));
        }
        match self.open.back_mut() {
            Some(Decision::Pass(run)) if run.reason == reason => run.push(slot),
            _ => self.open.push_back(Decision::Pass(Run::of(slot, verdict, reason, None))),
        }
    }

    /// The oldest slot that may start does not: newer ones take its place.
    fn give_way(&mut self, situation: &Situation<'_>) {
        let Some(Decision::Start { slot, .. }) = self.open.pop_front() else { return };
        self.held -= 1;
        let reason = situation.missed(slot, situation.gave_way());
        pass(&mut self.done, slot, (Verdict::Missed, reason, None));
        while matches!(self.open.front(), Some(Decision::Pass(_)))
            && let Some(Decision::Pass(run)) = self.open.pop_front()
        {
            join(&mut self.done, run);
        }
    }

    /// Lets the held slots start, unless an open execution stands in the way.
    fn settle(mut self, situation: &Situation<'_>) -> Vec<Decision> {
        // A newest slot that is on time joins the older ones that are caught up: they would keep it from starting.
        let series = self.held > 1;
        for decision in self.open {
            let (slot, caught_up) = match decision {
                Decision::Start { slot, caught_up } => (slot, caught_up || series),
                Decision::Pass(run) => {
                    join(&mut self.done, run);
                    continue;
                }
            };
            match situation.in_the_way(caught_up) {
                None => self.done.push(Decision::Start { slot, caught_up }),
                open => pass(&mut self.done, slot, (Verdict::Skipped, Reason::Overlap, open)),
            }
        }
        self.done
    }
}

/// Adds a slot to the last run, or begins one with it.
fn pass(
    decisions: &mut Vec<Decision>,
    slot: Instant,
    (verdict, reason, execution): (Verdict, Reason, Option<ExecutionId>),
) {
    match decisions.last_mut() {
        Some(Decision::Pass(run)) if run.reason == reason => run.push(slot),
        _ => decisions.push(Decision::Pass(Run::of(slot, verdict, reason, execution))),
    }
}

fn join(decisions: &mut Vec<Decision>, run: Run) {
    match decisions.last_mut() {
        Some(Decision::Pass(last)) if last.reason == run.reason => last.extend(&run),
        _ => decisions.push(Decision::Pass(run)),
    }
}

/// "Coalesced" promises that a newer slot ran in its place. When overlap kept that one from starting, those before share
/// its fate.
fn coalesce_only_into_a_start(decisions: &mut Vec<Decision>) {
    let overlap = decisions.iter().find_map(|decision| match decision {
        Decision::Pass(run) if run.reason == Reason::Overlap => Some(run.execution),
        Decision::Pass(_) | Decision::Start { .. } => None,
    });
    let Some(execution) = overlap else { return };
    for decision in std::mem::take(decisions) {
        match decision {
            Decision::Pass(run) if run.reason == Reason::Coalesced => {
                let (verdict, reason) = (Verdict::Skipped, Reason::Overlap);
                join(decisions, Run { verdict, reason, execution, ..run });
            }
            Decision::Pass(run) => join(decisions, run),
            Decision::Start { .. } => decisions.push(decision),
        }
    }
}

#[cfg(test)]
mod tests;
