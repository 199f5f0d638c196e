//! What becomes of due slots: the one table for start-up, resume, clock jumps, stalls and normal running.
//!
//! Source: contract, section 4.

use super::definition::{CatchUp, CatchUpMode, Overlap};
use super::slot::{Reason, Verdict};
use crate::ids::ExecutionId;
use crate::instant::Instant;

/// A slot at most this late runs as usual, in milliseconds.
pub const GRACE_MS: i64 = 60_000;

/// A run lists at most so many of its instants.
pub const LISTED_MAX: usize = 1_000;

/// What is true of a schedule when its slots are decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Situation {
    /// Its file switches it off.
    pub disabled: bool,
    /// It or its interface is paused.
    pub paused: bool,
    /// An execution of it that is open.
    pub open: Option<ExecutionId>,
    /// What to do when one is open.
    pub overlap: Overlap,
    /// What to do about late slots.
    pub catch_up: CatchUp,
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
    fn extend(&mut self, slot: Instant) {
        self.last = slot;
        self.count += 1;
        if self.instants.len() < LISTED_MAX {
            self.instants.push(slot);
        }
    }
}

/// Decides the undecided slots `due` (ascending, none after `now`) of one schedule; the answer covers each of them once,
/// in order.
pub fn decide(
    due: impl Iterator<Item = Instant>,
    now: Instant,
    situation: &Situation,
) -> Vec<Decision> {
    let mut decisions = Vec::new();
    let mut due = due.peekable();
    while let Some(slot) = due.next() {
        let newest = due.peek().is_none();
        match outcome(slot, newest, now, situation) {
            Fate::Start { caught_up } => decisions.push(Decision::Start { slot, caught_up }),
            Fate::Pass(verdict, reason, execution) => {
                pass(&mut decisions, slot, verdict, reason, execution)
            }
        }
    }
    coalesce_only_into_a_start(&mut decisions);
    decisions
}

enum Fate {
    Start { caught_up: bool },
    Pass(Verdict, Reason, Option<ExecutionId>),
}

fn outcome(slot: Instant, newest: bool, now: Instant, situation: &Situation) -> Fate {
    if situation.disabled {
        return Fate::Pass(Verdict::Skipped, Reason::Disabled, None);
    }
    if situation.paused {
        return Fate::Pass(Verdict::Skipped, Reason::Paused, None);
    }
    let late_ms = now.millis() - slot.millis();
    let in_window = late_ms <= i64::try_from(situation.catch_up.window_ms).unwrap_or(i64::MAX);
    let prompt = newest && late_ms <= GRACE_MS;
    let caught_up = newest && situation.catch_up.mode == CatchUpMode::Last && in_window;
    if prompt || caught_up {
        return match (situation.open, situation.overlap) {
            (Some(open), Overlap::Skip) => {
                Fate::Pass(Verdict::Skipped, Reason::Overlap, Some(open))
            }
            (Some(_), Overlap::Allow) | (None, _) => Fate::Start { caught_up: !prompt },
        };
    }
    match situation.catch_up.mode {
        CatchUpMode::None => Fate::Pass(Verdict::Missed, Reason::Down, None),
        CatchUpMode::Last if in_window => Fate::Pass(Verdict::Missed, Reason::Coalesced, None),
        CatchUpMode::Last => Fate::Pass(Verdict::Missed, Reason::TooLate, None),
    }
}

fn pass(
    decisions: &mut Vec<Decision>,
    slot: Instant,
    verdict: Verdict,
    reason: Reason,
    execution: Option<ExecutionId>,
) {
    if let Some(Decision::Pass(run)) = decisions.last_mut()
        && run.reason == reason
    {
        return run.extend(slot);
    }
    let run =
        Run { first: slot, last: slot, count: 1, instants: vec![slot], verdict, reason, execution };
    decisions.push(Decision::Pass(run));
}

/// "Coalesced" promises that a newer slot ran in its place. When overlap kept that one, the last, from starting, the run
/// before it shares its fate and takes it in.
fn coalesce_only_into_a_start(decisions: &mut Vec<Decision>) {
    if let [.., Decision::Pass(run), Decision::Pass(newest)] = decisions.as_mut_slice()
        && run.reason == Reason::Coalesced
        && newest.reason == Reason::Overlap
    {
        (run.verdict, run.reason, run.execution) =
            (newest.verdict, newest.reason, newest.execution);
        run.extend(newest.last);
        decisions.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_secs(10_000_000);
    const HOUR_MS: u64 = 3_600_000;

    fn situation(mode: CatchUpMode) -> Situation {
        let catch_up = CatchUp { mode, window_ms: 24 * HOUR_MS };
        Situation { disabled: false, paused: false, open: None, overlap: Overlap::Skip, catch_up }
    }

    /// Decides slots that are so many seconds late and shows the answer as words.
    fn table(late_s: &[i64], situation: &Situation) -> Vec<String> {
        let slots: Vec<_> =
            late_s.iter().map(|late| Instant::from_millis(NOW.millis() - late * 1000)).collect();
        let shown = |decision| match decision {
            Decision::Start { caught_up: false, .. } => "start".to_owned(),
            Decision::Start { caught_up: true, .. } => "catch-up".to_owned(),
            Decision::Pass(run) => {
                format!("{} x {}({})", run.count, run.verdict.as_str(), run.reason.as_str())
            }
        };
        decide(slots.into_iter(), NOW, situation).into_iter().map(shown).collect()
    }

    #[test]
    fn the_table() {
        let open = Some(ExecutionId::random(NOW, [1; 10]));
        let last = situation(CatchUpMode::Last);
        let none = situation(CatchUpMode::None);
        let day = 86_400;
        let cases: &[(&str, &[i64], Situation, &[&str])] = &[
            ("on time", &[0], last.clone(), &["start"]),
            ("a minute late is on time", &[60], none.clone(), &["start"]),
            ("later, nothing catches up", &[61], none.clone(), &["1 x missed(down)"]),
            (
                "later, the newest is caught up",
                &[7200, 3600],
                last.clone(),
                &["1 x missed(coalesced)", "catch-up"],
            ),
            (
                "the newest is on time, mode last",
                &[120, 60, 0],
                last.clone(),
                &["2 x missed(coalesced)", "start"],
            ),
            (
                "the newest is on time, mode none",
                &[120, 60, 0],
                none,
                &["2 x missed(down)", "start"],
            ),
            ("outside the window", &[day + 60, day + 1], last.clone(), &["2 x missed(too-late)"]),
            (
                "partly outside the window",
                &[day + 1, day, 3600],
                last.clone(),
                &["1 x missed(too-late)", "1 x missed(coalesced)", "catch-up"],
            ),
            (
                "paused",
                &[7200, 0],
                Situation { paused: true, ..last.clone() },
                &["2 x skipped(paused)"],
            ),
            (
                "disabled wins over paused",
                &[0],
                Situation { paused: true, disabled: true, ..last.clone() },
                &["1 x skipped(disabled)"],
            ),
            ("one is open", &[0], Situation { open, ..last.clone() }, &["1 x skipped(overlap)"]),
            (
                "one is open and overlap is allowed",
                &[0],
                Situation { open, overlap: Overlap::Allow, ..last.clone() },
                &["start"],
            ),
            (
                "one is open when several are due",
                &[7200, 3600, 0],
                Situation { open, ..last.clone() },
                &["3 x skipped(overlap)"],
            ),
            (
                "one is open when some are due outside the window",
                &[day + 1, 3600, 0],
                Situation { open, ..last },
                &["1 x missed(too-late)", "2 x skipped(overlap)"],
            ),
        ];
        for (name, late_s, situation, expected) in cases {
            assert_eq!(table(late_s, situation), *expected, "{name}");
        }
    }

    #[test]
    fn a_long_run_is_one_decision_that_lists_a_thousand_instants() {
        let slots = (0..5_000).map(|n| Instant::from_secs(n * 60));
        let decisions = decide(slots, NOW, &situation(CatchUpMode::Last));
        let [Decision::Pass(run)] = decisions.as_slice() else { panic!("{decisions:?}") };
        assert_eq!((run.count, run.instants.len()), (5_000, LISTED_MAX));
        assert_eq!((run.first, run.last), (Instant::from_secs(0), Instant::from_secs(4_999 * 60)));
    }
}
