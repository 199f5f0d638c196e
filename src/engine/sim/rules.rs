//! What may become of due slots: the contract's section 4, read once more and in other words than the policy's.
//!
//! Where the contract is exact there is one answer. It leaves open what a slot is called that gave way to a newer one
//! which then was skipped for overlap, and one that a clock correction passed over in an earlier pass of the same hours:
//! there two answers are right.

use super::story::Spec;

/// A slot this late still starts as usual, in milliseconds.
const PROMPT: i64 = 60_000;

/// Opened as usual.
pub(super) const START: &str = "started";
/// Opened as one of a series of catch-up.
pub(super) const CATCH_UP: &str = "started to catch up";
pub(super) const DISABLED: &str = "skipped(disabled)";
pub(super) const PAUSED: &str = "skipped(paused)";
pub(super) const OVERLAP: &str = "skipped(overlap)";
pub(super) const DEPENDENCY: &str = "skipped(dependency)";
pub(super) const DOWN: &str = "missed(down)";
pub(super) const CLOCK: &str = "missed(clock)";
pub(super) const COALESCED: &str = "missed(coalesced)";
pub(super) const TOO_LATE: &str = "missed(too-late)";
pub(super) const MAX: &str = "missed(max)";

/// A slot, in milliseconds, and the outcomes that it may have.
pub(super) type Expected = (i64, Vec<&'static str>);

/// Whether a correction of the clock passed over a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PassedOver {
    No,
    /// Just now.
    Now,
    /// When these hours were passed for the first time.
    Before,
}

/// What is true when slots are decided.
pub(super) struct Situation<'a> {
    pub(super) spec: &'a Spec,
    /// Pauses in force, of the schedule and of its interface: until when, none for ever.
    pub(super) pauses: Vec<Option<i64>>,
    /// An execution of the schedule is open.
    pub(super) open: bool,
    /// One is open that belongs to no series.
    pub(super) open_live: bool,
    pub(super) passed_over: &'a dyn Fn(i64) -> PassedOver,
}

impl Situation<'_> {
    fn paused(&self, slot: i64) -> bool {
        self.pauses.iter().any(|until| until.is_none_or(|until| slot <= until))
    }

    /// Why a slot would not run in any case.
    pub(super) fn unwanted(&self, slot: i64) -> Option<&'static str> {
        match (self.spec.enabled, self.paused(slot)) {
            (false, _) => Some(DISABLED),
            (true, true) => Some(PAUSED),
            (true, false) => None,
        }
    }

    /// `for_late`: it is what is caught up of late ones, so that no series stands in its way.
    fn start(&self, of_series: bool, for_late: bool) -> &'static str {
        let open = if of_series || for_late { self.open_live } else { self.open };
        match (self.spec.overlap == "skip" && open, of_series) {
            (true, _) => OVERLAP,
            (false, true) => CATCH_UP,
            (false, false) => START,
        }
    }

    fn down(&self, slot: i64) -> Vec<&'static str> {
        match (self.passed_over)(slot) {
            PassedOver::No => vec![DOWN],
            PassedOver::Now => vec![CLOCK],
            PassedOver::Before => vec![CLOCK, DOWN],
        }
    }

    /// What becomes of a slot whose followed execution ended as wanted `at` now, when its nominal instant is past.
    pub(super) fn delivered(&self, at: i64) -> &'static str {
        self.unwanted(at).unwrap_or_else(|| self.start(false, false))
    }

    /// What may become of a slot that the followed schedule did not run. A pause that ends just now may end before it is
    /// told or after.
    pub(super) fn not_run(&self, at: i64) -> Vec<&'static str> {
        let forever = self.pauses.iter().any(|until| until.is_none_or(|until| at < until));
        match (self.spec.enabled, forever, self.pauses.is_empty()) {
            (false, ..) => vec![DISABLED],
            (true, true, _) => vec![PAUSED],
            (true, false, false) => vec![PAUSED, DEPENDENCY],
            (true, false, true) => vec![DEPENDENCY],
        }
    }
}

/// What may become of the undecided `slots` (ascending, in milliseconds) that are decided at `at`.
pub(super) fn expected(slots: &[i64], at: i64, so: &Situation<'_>) -> Vec<Expected> {
    let mut all: Vec<Expected> = Vec::new();
    let mut wanted = Vec::new();
    for slot in slots {
        match so.unwanted(*slot) {
            Some(unwanted) => all.push((*slot, vec![unwanted])),
            None => wanted.push(*slot),
        }
    }
    let window = i64::try_from(so.spec.window_s * 1000).expect("small");
    let inside = |slot: &i64| at - slot <= window;
    let newest_is_prompt = wanted.last().is_some_and(|newest| at - newest <= PROMPT);
    // Those that would start, by the mode.
    let starting: Vec<i64> = match so.spec.mode {
        "none" => wanted.last().filter(|_| newest_is_prompt).copied().into_iter().collect(),
        "last" => wanted
            .last()
            .filter(|newest| newest_is_prompt || inside(newest))
            .copied()
            .into_iter()
            .collect(),
        _ => {
            let max = usize::try_from(so.spec.max).expect("small");
            let newest_first = wanted.iter().rev().filter(|slot| inside(slot)).take(max).copied();
            newest_first.collect()
        }
    };
    let is_series = |slot: i64| starting.len() > 1 || at - slot > PROMPT;
    let gave_way = |slot: &i64| inside(slot) && at - slot > PROMPT && !starting.contains(slot);
    let for_late = so.spec.mode != "none" && wanted.iter().any(gave_way);
    let start = |slot: i64| so.start(is_series(slot), for_late);
    let blocked = starting.first().is_some_and(|slot| start(*slot) == OVERLAP);
    for slot in wanted {
        let outcomes = match so.spec.mode {
            _ if starting.contains(&slot) => vec![start(slot)],
            "none" => so.down(slot),
            _ if !inside(&slot) => vec![TOO_LATE],
            "last" if blocked => vec![OVERLAP, COALESCED],
            "last" => vec![COALESCED],
            _ => vec![MAX],
        };
        all.push((slot, outcomes));
    }
    all.sort_unstable();
    all
}
