//! The executions that are open, and whether each starts when it may and not before.

use std::collections::{BTreeMap, BTreeSet};

use super::append::Append;
use super::outliving::Lives;
use super::story::{File, Spec};
use super::{Checked, ensure};
use crate::domain::event::{Envelope, Event, Opened, Outcome, SlotsPassed, Trigger};
use crate::domain::slot::Reason;
use crate::ids::{ExecutionId, InterfaceId, ScheduleRef, StreamId};
use crate::instant::Instant;

/// Executions at once.
pub(super) const AT_ONCE: usize = 16;

/// What the story asked for and the log does not show yet.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) runs: Vec<(ScheduleRef, bool)>,
    pub(super) reruns: Vec<(ExecutionId, bool)>,
    pub(super) cancels: BTreeSet<ExecutionId>,
    pub(super) resumes: Vec<String>,
}

impl Asked {
    pub(super) fn take_resume(&mut self, target: &str) -> bool {
        take(&mut self.resumes, |asked| asked == target).is_some()
    }
}

fn take<T>(from: &mut Vec<T>, which: impl FnMut(&T) -> bool) -> Option<T> {
    from.iter().position(which).map(|at| from.remove(at))
}

/// The open executions.
#[derive(Default)]
pub(super) struct Turns {
    pub(super) asked: Asked,
    open: BTreeMap<ExecutionId, Open>,
    /// Those that are over, the newest last.
    ended: Vec<ExecutionId>,
    schedules_of: BTreeMap<ExecutionId, ScheduleRef>,
    versions: BTreeMap<(InterfaceId, u32), File>,
    limits: BTreeMap<InterfaceId, u32>,
    /// When the next one of a schedule's series may start.
    paced: BTreeMap<ScheduleRef, i64>,
    /// Nothing may start: the daemon is about to end.
    pub(super) draining: bool,
    pub(super) lives: Lives,
}

/// An open execution.
pub(super) struct Open {
    pub(super) schedule: ScheduleRef,
    pub(super) trigger: Trigger,
    pub(super) phase: Phase,
    slot: Option<Instant>,
    root: ExecutionId,
    forced: bool,
    cancelling: bool,
    /// Runs one after another with the others of its schedule.
    one_by_one: bool,
    lock: Option<&'static str>,
    /// Its splay is over then, whether it waits for that or not.
    splayed: i64,
    /// It waits for its splay: until then.
    not_before: Option<i64>,
    /// The pace at which its series goes on behind it, in milliseconds.
    pace: Option<i64>,
    on_interrupt: &'static str,
    /// Attempts started.
    attempts: u32,
    /// Its opening's place among all.
    ordinal: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Queued,
    Running,
    Waiting,
}

/// An execution that was just closed.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) id: ExecutionId,
    pub(super) schedule: ScheduleRef,
    pub(super) root: ExecutionId,
    trigger: Trigger,
    outcome: Outcome,
    on_interrupt: &'static str,
    /// Nothing of it ran on, and nobody had asked for its end.
    interrupted: bool,
}

impl Ended {
    pub(super) fn meets(&self, wanted: &str) -> bool {
        match wanted {
            "any" => self.outcome != Outcome::Cancelled,
            wanted => self.outcome.as_str() == wanted,
        }
    }
}

impl Open {
    fn shares_a_seat(&self, other: &Self) -> bool {
        let schedule = self.one_by_one && other.one_by_one && self.schedule == other.schedule;
        schedule || (self.lock.is_some() && self.lock == other.lock)
    }

    /// Whether it runs or will run as one of a series, whose pace it keeps also when it sets none itself.
    fn is_in_series(&self) -> bool {
        self.trigger.is_series() && !(self.cancelling && self.phase == Phase::Queued)
    }
}

fn executions(events: &[Envelope]) -> impl Iterator<Item = (ExecutionId, &Event)> {
    events.iter().filter_map(|envelope| match &envelope.stream {
        StreamId::Execution(id) => Some((*id, &envelope.event)),
        _ => None,
    })
}

impl Turns {
    /// A new process knows nothing of paces, and has no answer to give.
    pub(super) fn restart(&mut self, now: Instant, held: &BTreeMap<ExecutionId, u32>) {
        self.paced.clear();
        self.draining = false;
        let running = self.open.iter().filter(|(_, open)| open.phase == Phase::Running);
        self.lives.restart(running.map(|(id, open)| {
            let wanted = held.get(id) == Some(&open.attempts);
            (*id, wanted, open.cancelling)
        }));
        for (id, open) in &mut self.open {
            open.not_before = Some(open.splayed).filter(|at| *at > now.millis());
            // One that waits for its next attempt, or whose attempt runs on, is taken over as if it started.
            let goes_on = open.phase == Phase::Waiting || self.lives.goes_on(*id);
            if let (true, Some(pace)) = (goes_on, open.pace) {
                self.paced.insert(open.schedule.clone(), now.millis() + pace);
            }
        }
        self.asked = Asked::default();
    }

    pub(super) fn define(&mut self, id: &InterfaceId, version: u32, file: File) {
        match file.concurrent {
            Some(limit) => self.limits.insert(id.clone(), limit),
            None => self.limits.remove(id),
        };
        self.versions.insert((id.clone(), version), file);
    }

    pub(super) fn open_of(&self, id: &ScheduleRef) -> impl Iterator<Item = &Open> {
        self.open.values().filter(move |open| open.schedule == *id)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&ExecutionId, &Open)> {
        self.open.iter()
    }

    pub(super) fn newest_ended(&self, back: usize) -> Option<(ExecutionId, &ScheduleRef)> {
        let id = *self.ended.iter().rev().nth(back)?;
        Some((id, self.schedules_of.get(&id)?))
    }

    fn spec(&self, opened: &Opened) -> Checked<&Spec> {
        let key = (opened.schedule.interface.clone(), opened.definition_version);
        let spec = self.versions.get(&key).and_then(|file| file.schedules.get(&opened.schedule));
        spec.ok_or_else(|| format!("{} has no definition {}", opened.schedule, key.1))
    }

    /// Takes the closings of an append.
    pub(super) fn close(&mut self, events: &[Envelope]) -> Checked<Vec<Ended>> {
        let mut ended = Vec::new();
        for (id, event) in executions(events) {
            let Event::Closed(closed) = event else { continue };
            let open =
                self.open.remove(&id).ok_or_else(|| format!("{id} ends, and is not open"))?;
            self.ended.push(id);
            self.asked.cancels.remove(&id);
            let interrupted = self.lives.ends(id, events)? && !open.cancelling;
            let goes_on = self.open_of(&open.schedule).any(|other| other.is_in_series());
            if open.is_in_series() && open.phase != Phase::Queued && !goes_on {
                self.paced.remove(&open.schedule);
            }
            let Open { schedule, root, trigger, on_interrupt, .. } = open;
            let outcome = closed.outcome;
            ended.push(Ended { id, schedule, root, trigger, outcome, on_interrupt, interrupted });
        }
        Ok(ended)
    }

    /// Takes the openings of an append, and the wishes for an end.
    pub(super) fn open(&mut self, append: &Append<'_>) -> Checked {
        for (id, event) in executions(append.events) {
            match event {
                Event::Opened(opened) => self.opened(append, id, opened)?,
                Event::CancelRequested(_) => {
                    let by_hand = self.asked.cancels.remove(&id);
                    let makes_way = self.makes_way(append, id);
                    ensure(by_hand || makes_way, || format!("{id} is cancelled for no reason"))?;
                    if let Some(open) = self.open.get_mut(&id) {
                        open.cancelling = true;
                    }
                }
                _ => (),
            }
        }
        for (newer, opened) in executions(append.events) {
            if let Event::Opened(opened) = opened {
                let ordinal = self.open.get(&newer).map(|newer| newer.ordinal);
                for (id, open) in self.open.iter().filter(|(_, open)| Some(open.ordinal) < ordinal)
                {
                    let stays = !open.cancelling && self.gives_way(open, opened);
                    ensure(!stays, || format!("{id} does not make way for {newer}"))?;
                }
            }
        }
        Ok(())
    }

    fn opened(&mut self, append: &Append<'_>, id: ExecutionId, opened: &Opened) -> Checked {
        let at = append.at.millis();
        match opened.trigger {
            Trigger::Manual => {
                let wish = (opened.schedule.clone(), opened.forced);
                let asked = take(&mut self.asked.runs, |asked| *asked == wish);
                ensure(asked.is_some(), || format!("{wish:?} runs, and nobody asked"))?;
            }
            Trigger::Rerun => {
                let original = opened.rerun_of.ok_or("a re-run of nothing")?;
                let wish = (original, opened.forced);
                let asked = take(&mut self.asked.reruns, |asked| *asked == wish).is_some();
                let interrupted = append.ended.iter().any(|ended| {
                    ended.id == original
                        && ended.interrupted
                        && ended.trigger != Trigger::Rerun
                        && ended.on_interrupt == "rerun"
                });
                ensure(asked || interrupted, || format!("{original} runs again by itself"))?;
            }
            _ => ensure(opened.slot.is_some() || opened.trigger == Trigger::Reboot, || {
                format!("{id} has no slot")
            })?,
        }
        let spec = self.spec(opened)?;
        let series = opened.trigger.is_series();
        let live_slot = opened
            .slot
            .filter(|_| !series && !matches!(opened.trigger, Trigger::Manual | Trigger::Rerun));
        let delay = opened.schedule.splay_ms(spec.splay_s * 1000);
        let splayed = live_slot
            .filter(|_| spec.splay_s > 0)
            .map_or(i64::MIN, |slot| slot.millis() + i64::try_from(delay).expect("small"));
        let rate = spec.rate_per_hour.filter(|_| series && spec.mode == "all");
        let open = Open {
            schedule: opened.schedule.clone(),
            trigger: opened.trigger,
            phase: Phase::Queued,
            slot: opened.slot,
            root: opened.root,
            forced: opened.forced,
            cancelling: false,
            one_by_one: series || spec.overlap != "allow",
            lock: spec.lock,
            splayed,
            not_before: Some(splayed).filter(|splayed| *splayed > at),
            pace: rate.map(|rate| 3_600_000 / i64::from(rate)),
            on_interrupt: spec.on_interrupt,
            attempts: 0,
            ordinal: self.schedules_of.len(),
        };
        self.open.insert(id, open);
        let before = self.schedules_of.insert(id, opened.schedule.clone());
        ensure(before.is_none(), || format!("{id} is opened twice"))
    }

    /// Whether `open` is to end for a newer slot of its schedule.
    fn gives_way(&self, open: &Open, newer: &Opened) -> bool {
        let by_hand = |trigger| matches!(trigger, Trigger::Manual | Trigger::Rerun);
        let live = |trigger: Trigger| !trigger.is_series();
        let slot = newer.slot.is_some() && live(newer.trigger) && !by_hand(newer.trigger);
        if !slot || open.schedule != newer.schedule || !live(open.trigger) {
            return false;
        }
        match self.spec(newer).map(|spec| spec.overlap) {
            Ok("queue") => open.phase == Phase::Queued && !by_hand(open.trigger),
            Ok("cancel-running") => true,
            _ => false,
        }
    }

    fn makes_way(&self, append: &Append<'_>, id: ExecutionId) -> bool {
        let Some(open) = self.open.get(&id) else { return false };
        executions(append.events).any(|(newer, event)| match event {
            Event::Opened(opened) => newer != id && self.gives_way(open, opened),
            _ => false,
        })
    }

    /// Takes the attempts of an append.
    pub(super) fn start(&mut self, append: &Append<'_>) -> Checked {
        for (id, event) in executions(append.events) {
            match event {
                Event::AttemptStarted(started) if started.attempt == 1 => {
                    self.started(id, append.at.millis()).map_err(|why| format!("{id}: {why}"))?;
                }
                Event::AttemptStarted(_) => {
                    self.go_to(id, Phase::Waiting, Phase::Running)?;
                    self.open.entry(id).and_modify(|open| open.attempts += 1);
                }
                Event::AttemptEnded(_) if self.open.contains_key(&id) => {
                    self.go_to(id, Phase::Running, Phase::Waiting)?;
                }
                _ => (),
            }
        }
        Ok(())
    }

    fn go_to(&mut self, id: ExecutionId, from: Phase, to: Phase) -> Checked {
        let open = self.open.get_mut(&id).ok_or_else(|| format!("{id} is not open"))?;
        ensure(open.phase == from, || format!("{id} goes from {:?} to {to:?}", open.phase))?;
        open.phase = to;
        Ok(())
    }

    fn started(&mut self, id: ExecutionId, at: i64) -> Checked {
        let open = self.open.get(&id).ok_or("starts, and is not open")?;
        ensure(open.phase == Phase::Queued && !open.cancelling, || {
            format!("starts when {:?}, cancelled: {}", open.phase, open.cancelling)
        })?;
        if !open.forced {
            let obstacle = self.obstacle(open, at);
            ensure(obstacle.is_none(), || format!("starts, against: {obstacle:?}"))?;
            let older = |other: &&Open| {
                let behind = other.phase == Phase::Queued && !other.cancelling;
                behind && other.trigger.is_series() && other.slot < open.slot
            };
            let overtaken =
                open.trigger.is_series() && self.open_of(&open.schedule).any(|other| older(&other));
            ensure(!overtaken, || format!("starts before an older slot than {:?}", open.slot))?;
        }
        if let Some(pace) = open.pace {
            self.paced.insert(open.schedule.clone(), at + pace);
        }
        ensure(!self.draining, || "starts while the daemon drains".to_owned())?;
        self.open.entry(id).and_modify(|open| open.attempts += 1);
        self.go_to(id, Phase::Queued, Phase::Running)
    }

    /// Attempts that run.
    pub(super) fn attempts(&self) -> u64 {
        self.open.values().filter(|open| open.phase == Phase::Running).count() as u64
    }

    /// What was interrupted by itself runs again in the same append if its schedule says so, once, unless another one
    /// of the schedule is open that takes its place.
    pub(super) fn check_reruns(
        &self,
        append: &Append<'_>,
        in_force: impl Fn(&ScheduleRef) -> Option<(&'static str, &'static str)>,
    ) -> Checked {
        for ended in append.ended.iter().filter(|ended| ended.interrupted) {
            let Some((on_interrupt, overlap)) = in_force(&ended.schedule) else { continue };
            let again = append.openings().any(|(_, opened)| opened.rerun_of == Some(ended.id));
            let replaced = !ended.trigger.is_series()
                && ["skip", "cancel-running"].contains(&overlap)
                && self.open_of(&ended.schedule).next().is_some();
            let wanted = on_interrupt == "rerun" && ended.trigger != Trigger::Rerun && !replaced;
            ensure(again || !wanted, || format!("{} does not run again", ended.id))?;
        }
        Ok(())
    }

    fn running(&self) -> impl Iterator<Item = &Open> {
        self.open.values().filter(|open| open.phase != Phase::Queued)
    }

    /// What a waiting execution waits for.
    fn obstacle(&self, open: &Open, at: i64) -> Option<String> {
        let interface = &open.schedule.interface;
        let beside = self.running().filter(|other| other.schedule.interface == *interface).count();
        let limit = self.limits.get(interface).map(|limit| usize::try_from(*limit).expect("small"));
        let paced = self.paced.get(&open.schedule).filter(|_| open.is_in_series());
        if let Some(other) = self.running().find(|other| open.shares_a_seat(other)) {
            Some(format!("{} runs", other.schedule))
        } else if limit.is_some_and(|limit| beside >= limit) {
            Some(format!("{beside} run of {interface}"))
        } else if self.running().count() >= AT_ONCE {
            Some("the daemon's limit".to_owned())
        } else if open.not_before.is_some_and(|splayed| splayed > at) {
            Some("its splay".to_owned())
        } else if paced.is_some_and(|paced| *paced > at) {
            Some("its pace".to_owned())
        } else {
            None
        }
    }

    /// A skipped slot names what stood in its way.
    pub(super) fn check_in_the_way(
        &self,
        id: &ScheduleRef,
        passed: &SlotsPassed,
        ended: &[Ended],
    ) -> Checked {
        let Some(named) = passed.execution else {
            return ensure(passed.reason != Reason::Overlap, || "overlaps with nothing".to_owned());
        };
        let open = self.open.get(&named).is_some_and(|open| open.schedule == *id);
        ensure(open && ended.iter().all(|ended| ended.id != named), || {
            format!("{named} is not open and stands in the way")
        })
    }

    /// Nothing waits without a reason, and nothing is left of what nobody runs.
    pub(super) fn check_quiet(&mut self, now: Instant) -> Checked {
        self.lives.check_quiet()?;
        // A splay that is over stays so when the clock is set back.
        for open in self.open.values_mut() {
            open.not_before = open.not_before.filter(|splayed| *splayed > now.millis());
        }
        for (id, open) in &self.open {
            if open.phase == Phase::Queued && !open.cancelling && !self.draining {
                let obstacle = self.obstacle(open, now.millis());
                ensure(obstacle.is_some(), || {
                    format!("{id} of {} waits for nothing", open.schedule)
                })?;
            }
        }
        Ok(())
    }

    /// How many hold each seat, by its name.
    pub(super) fn held(&self) -> BTreeMap<String, u32> {
        let mut held = BTreeMap::new();
        for open in self.running() {
            let own = open.one_by_one.then(|| open.schedule.to_string());
            for seat in own.into_iter().chain(open.lock.map(str::to_owned)) {
                *held.entry(seat).or_default() += 1;
            }
        }
        held
    }

    /// Those that wait for their turn.
    pub(super) fn queued(&self) -> BTreeSet<ExecutionId> {
        let queued = |open: &Open| open.phase == Phase::Queued && !open.cancelling;
        self.open.iter().filter(|(_, open)| queued(open)).map(|(id, _)| *id).collect()
    }

    /// How many run of each interface.
    pub(super) fn running_of(&self) -> BTreeMap<InterfaceId, u32> {
        let mut running = BTreeMap::new();
        for open in self.running() {
            *running.entry(open.schedule.interface.clone()).or_default() += 1;
        }
        running
    }
}
