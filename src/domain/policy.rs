//! What becomes of due slots: the one table for start-up, resume, clock jumps, stalls and normal running.
//!
//! Source: contract, section 4.

use std::collections::VecDeque;
use std::fmt;

use super::closing::{ClosedBy, Closings};
use super::definition::{CatchUp, CatchUpMode, Overlap};
use super::slot::{Reason, Verdict};
use super::timing::Plan;
use crate::ids::ExecutionId;
use crate::instant::Instant;

/// A slot at most this late runs as usual, in milliseconds.
pub const GRACE_MS: i64 = 60_000;

/// A run lists at most so many of its instants.
pub const LISTED_MAX: usize = 1_000;

/// Slots that are looked at to find one that would run.
const LOOKS_MAX: usize = 10_000;

/// What people and files want of a schedule's slots, whenever they are decided.
#[derive(Clone, Debug, Default)]
pub struct Wishes<'a> {
    /// Its file switches it off.
    pub disabled: bool,
    /// It or its interface is paused, the longer of both.
    pub paused: Option<Paused>,
    /// Its interface's blackouts and its calendars.
    pub closings: Option<Closings<'a>>,
    /// The slot that somebody asked to skip.
    pub skip_next: Option<Instant>,
}

/// A pause in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paused {
    /// It ends by itself with the slots of this instant; none means until somebody ends it.
    pub until: Option<Instant>,
}

/// Why a slot would not run, however punctual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwanted<'a> {
    /// The schedule's file switches it off.
    Disabled,
    /// The schedule or its interface is paused.
    Paused(Paused),
    /// A blackout or calendar closes its time.
    Closed(ClosedBy<'a>),
    /// Somebody asked to skip it.
    SkipNext,
}

impl<'a> Wishes<'a> {
    /// Why a slot at `at` would not run; none when it may. The order of the reasons is that of this function.
    pub fn against(&self, at: Instant) -> Option<Unwanted<'a>> {
        self.against_until(at).map(|(why, _)| why)
    }

    /// The same, with the instant from which on, or after which, the reason may no longer hold.
    fn against_until(&self, at: Instant) -> Option<(Unwanted<'a>, Option<Instant>)> {
        if self.disabled {
            return Some((Unwanted::Disabled, None));
        }
        if let Some(paused) = self.paused
            && paused.until.is_none_or(|until| at <= until)
        {
            return Some((Unwanted::Paused(paused), paused.until));
        }
        if let Some((by, until)) = self.closings.as_ref().and_then(|closings| closings.at(at)) {
            return Some((Unwanted::Closed(by), Some(until)));
        }
        (self.skip_next == Some(at)).then_some((Unwanted::SkipNext, Some(at)))
    }

    /// The first slot after `after` that nothing speaks against; none when there is none, or none in sight.
    pub fn next_wanted(&self, plan: &Plan, after: Instant) -> Option<Instant> {
        let mut slot = plan.next_after(after)?;
        for _ in 0..LOOKS_MAX {
            let Some((_, until)) = self.against_until(slot) else { return Some(slot) };
            // A slot at the very end of a window is outside of it.
            let just_before = Instant::from_millis(until?.millis().saturating_sub(1));
            slot = plan.next_after(slot.max(just_before))?;
        }
        None
    }
}

impl Unwanted<'_> {
    /// The reason in the ledger.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Disabled => Reason::Disabled,
            Self::Paused(_) => Reason::Paused,
            Self::Closed(ClosedBy::Blackout(_)) => Reason::Blackout,
            Self::Closed(ClosedBy::Excluded(_) | ClosedBy::NotIn(_)) => Reason::Calendar,
            Self::SkipNext => Reason::SkipNext,
        }
    }
}

impl fmt::Display for Unwanted<'_> {
    /// `paused until 2026-11-22T06:00:00.000Z`, `calendar fr-holidays`, `blackout 22:00 to 06:00 on sat`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("disabled"),
            Self::Paused(Paused { until: None }) => f.write_str("paused"),
            Self::Paused(Paused { until: Some(until) }) => write!(f, "paused until {until}"),
            Self::Closed(by) => by.fmt(f),
            Self::SkipNext => f.write_str("skip-next"),
        }
    }
}

/// What is true of a schedule when its slots are decided.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    /// What people and files want of its slots.
    pub wishes: &'a Wishes<'a>,
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
        if let Some(why) = situation.wishes.against(slot) {
            made.pass(slot, Verdict::Skipped, why.reason());
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

/// Decides a slot whose time is not its nominal instant: it waited for another schedule, which delivered `now`. After a step
/// back of the clock it may lie ahead, and beyond the end of a pause that is in force: nothing starts in a pause.
pub fn decide_delivered(slot: Instant, now: Instant, situation: &Situation<'_>) -> Decision {
    let skipped =
        |reason, execution| Decision::Pass(Run::of(slot, Verdict::Skipped, reason, execution));
    let wishes = situation.wishes;
    let held = |why: &Unwanted<'_>| matches!(why, Unwanted::Disabled | Unwanted::Paused(_));
    if let Some(why) = wishes.against(slot.min(now)).filter(held).or_else(|| wishes.against(slot)) {
        return skipped(why.reason(), None);
    }
    match situation.in_the_way(false) {
        Some(open) => skipped(Reason::Overlap, Some(open)),
        None => Decision::Start { slot, caught_up: false },
    }
}

/// What becomes of a follower's slots when the followed ones started nothing: they are skipped for the follower's own
/// reason where it has one, else for that.
pub fn decide_followed(run: &Run, wishes: &Wishes<'_>) -> Vec<Run> {
    let skipped = Verdict::Skipped;
    if run.instants.len() as u64 != run.count {
        // A calendar cannot be asked about slots that are not listed; the dependency holds for them all.
        let whole = |why: &Unwanted<'_>| matches!(why, Unwanted::Disabled | Unwanted::Paused(_));
        let why = wishes.against(run.last).filter(whole).map(|why| why.reason());
        let reason = why.unwrap_or(Reason::Dependency);
        return vec![Run { verdict: skipped, reason, execution: None, ..run.clone() }];
    }
    let mut runs: Vec<Run> = Vec::new();
    for slot in &run.instants {
        let reason = wishes.against(*slot).map_or(Reason::Dependency, |why| why.reason());
        match runs.last_mut() {
            Some(last) if last.reason == reason => last.push(*slot),
            Some(_) | None => runs.push(Run::of(*slot, skipped, reason, None)),
        }
    }
    runs
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
    /// A late slot gave way to a newer one.
    late_gave_way: bool,
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
        let Some(Decision::Start { slot, caught_up }) = self.open.pop_front() else { return };
        self.held -= 1;
        self.late_gave_way |= caught_up;
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
            // One that is on time and stands for late ones is what is caught up of them: no series is in its way.
            match situation.in_the_way(caught_up || self.late_gave_way) {
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
