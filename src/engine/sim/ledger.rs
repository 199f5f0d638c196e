//! The second ledger: reads the log append by append, says what should have become of each slot, and compares.

use std::collections::{BTreeMap, BTreeSet};

use super::append::{Append, Own, outcome_of};
use super::nominal::{Walk, once};
use super::rules::{CATCH_UP, Expected, PassedOver, START, Situation, TOO_LATE, expected};
use super::story::{File, Spec, When};
use super::turns::Turns;
use super::{Checked, ensure};
use crate::domain::event::{Anchor, Envelope, Event, SlotsPassed, Trigger};
use crate::ids::{ExecutionId, InterfaceId, ScheduleRef, StreamId};
use crate::instant::Instant;

mod follow;

const HOUR: i64 = 3_600_000;

/// What the log should say.
#[derive(Default)]
pub(super) struct Ledger {
    /// The files as they would be read now.
    pub(super) files: BTreeMap<InterfaceId, File>,
    pub(super) turns: Turns,
    schedules: BTreeMap<ScheduleRef, Known>,
    /// Interfaces that are paused, until when.
    paused: BTreeMap<InterfaceId, Option<i64>>,
    /// When time last did not simply pass: a start, a set clock, a suspend.
    pub(super) disturbed: Instant,
    /// The daemon is about to stop: slots wait for the next one.
    pub(super) draining: bool,
    /// Corrections of the clock to a later instant.
    passed_over: Vec<(i64, i64)>,
    boot: Option<String>,
    /// Outcomes so far.
    pub(super) decided: u64,
}

/// A schedule.
struct Known {
    /// As it is in force; none when it is not in its file.
    spec: Option<Spec>,
    cursor: i64,
    walk: Walk,
    /// Counts the times that the cursor was moved back.
    pass: u32,
    outcomes: BTreeMap<i64, u32>,
    /// Slots whose execution was opened.
    ran: BTreeSet<i64>,
    paused: Option<Option<i64>>,
    /// Slots that wait for an execution, until when.
    awaiting: BTreeMap<i64, (ExecutionId, i64)>,
}

impl Known {
    fn new() -> Self {
        Self {
            spec: None,
            cursor: i64::MIN,
            walk: Walk::none(),
            pass: 0,
            outcomes: BTreeMap::new(),
            ran: BTreeSet::new(),
            paused: None,
            awaiting: BTreeMap::new(),
        }
    }

    /// The slots up to `until` that have no outcome. One that ran keeps its own, whatever the clock says.
    fn due(&mut self, until: Instant) -> Vec<i64> {
        let due = self.walk.due(until);
        due.into_iter().filter(|slot| !self.ran.contains(slot)).collect()
    }

    fn decide(&mut self, id: &ScheduleRef, slot: i64, at: Instant) -> Checked {
        let before = self.outcomes.insert(slot, self.pass);
        let shown = Instant::from_millis(slot);
        ensure(before < Some(self.pass), || format!("{id} {shown} has a second outcome"))?;
        self.awaiting.remove(&slot);
        // One that waited since before the clock was set back lies ahead of what is still to come.
        if slot <= at.millis() {
            self.advance(slot);
        }
        Ok(())
    }

    fn advance(&mut self, cursor: i64) {
        self.cursor = self.cursor.max(cursor);
        self.walk.decided(cursor);
    }

    fn anchor(&mut self, cursor: Instant) {
        if cursor.millis() < self.cursor {
            self.pass += 1;
        }
        self.cursor = cursor.millis();
        if let Some(spec) = &self.spec {
            self.walk = Walk::new(spec, cursor);
        }
    }

    /// Whether a follower takes notice of a slot of the schedule that it follows.
    fn is_new(&self, slot: i64) -> bool {
        self.cursor < slot && !self.awaiting.contains_key(&slot) && !self.ran.contains(&slot)
    }
}

impl Ledger {
    /// Reads one append.
    pub(super) fn read(&mut self, events: &[Envelope]) -> Checked {
        let at = events.first().map_or_else(Instant::default, |envelope| envelope.at);
        let ended = self.turns.close(events)?;
        let append = Append { at, events, ended };
        let own = append.own()?;
        let mut followers = BTreeMap::new();
        for (id, known) in &self.schedules {
            if let Some(spec) = &known.spec
                && let When::After { of, .. } = &spec.when
            {
                followers.insert(id.clone(), of.clone());
            }
        }
        for (id, events) in &own {
            if !followers.contains_key(id) {
                self.read_own(&append, id, events).map_err(|why| format!("{id}: {why}"))?;
            }
        }
        for (id, followed) in &followers {
            let events = own.get(id).map_or(&[][..], Vec::as_slice);
            let passes: Vec<&SlotsPassed> = own
                .get(followed)
                .into_iter()
                .flatten()
                .filter_map(|own| if let Own::Passed(passed) = own { Some(*passed) } else { None })
                .collect();
            self.read_follower(&append, id, (events, &passes))
                .map_err(|why| format!("{id}: {why}"))?;
        }
        self.read_definitions(&append)?;
        self.turns.open(&append)?;
        for (id, opened) in append.openings() {
            if let (Some(slot), None) = (opened.slot, opened.rerun_of)
                && let Some(known) = self.schedules.get_mut(&opened.schedule)
            {
                ensure(known.ran.insert(slot.millis()), || format!("{id} runs twice by itself"))?;
            }
        }
        self.read_reboots(&append)?;
        let in_force = |id: &ScheduleRef| {
            let spec = self.in_force(id)?;
            Some((spec.on_interrupt, spec.overlap))
        };
        self.turns.check_reruns(&append, in_force)?;
        self.turns.start(&append)?;
        self.turns.lives.read(&append, self.turns.attempts())
    }

    /// What is true of a schedule when something is decided for it.
    fn situation<'a>(
        &'a self,
        id: &ScheduleRef,
        spec: &'a Spec,
        passed_over: &'a dyn Fn(i64) -> PassedOver,
    ) -> Situation<'a> {
        let own = self.schedules.get(id).and_then(|known| known.paused);
        let interface = self.paused.get(&id.interface).copied();
        Situation {
            spec,
            pauses: own.into_iter().chain(interface).collect(),
            open: self.turns.open_of(id).next().is_some(),
            open_live: self.turns.open_of(id).any(|open| !open.trigger.is_series()),
            passed_over,
        }
    }

    fn read_own(&mut self, append: &Append<'_>, id: &ScheduleRef, own: &[Own<'_>]) -> Checked {
        let due = self.schedules.entry(id.clone()).or_insert_with(Known::new).due(append.at);
        let known = &self.schedules[id];
        let steps = self.passed_over.clone();
        let now = append.at;
        let over = move |slot: i64| {
            let inside = |(from, to): &&(i64, i64)| *from < slot && slot <= *to;
            match steps.iter().rev().find(inside) {
                Some((_, to)) if *to == now.millis() => PassedOver::Now,
                Some(_) => PassedOver::Before,
                None => PassedOver::No,
            }
        };
        let wanted: Vec<Expected> = match &known.spec {
            Some(spec) => expected(&due, now.millis(), &self.situation(id, spec, &over)),
            None => Vec::new(),
        };
        let late = wanted.iter().find(|(slot, _)| *slot != now.millis());
        if let Some((slot, _)) = late
            && now != self.disturbed
            && !self.draining
        {
            let slot = Instant::from_millis(*slot);
            return Err(format!("{slot} is decided only at {now}"));
        }
        let mut left = wanted.as_slice();
        for event in own {
            left = self.read_event(append, id, (event, left))?;
        }
        match left.first() {
            None => Ok(()),
            Some((slot, outcomes)) => {
                let slot = Instant::from_millis(*slot);
                Err(format!("{slot} is passed over at {now}, expected {outcomes:?}"))
            }
        }
    }

    /// Reads one event; `wanted` are the slots that are to be decided, and what is left of them is given back.
    fn read_event<'e>(
        &mut self,
        append: &Append<'_>,
        id: &ScheduleRef,
        (event, wanted): (&Own<'_>, &'e [Expected]),
    ) -> Checked<&'e [Expected]> {
        match event {
            Own::Started(slot, opened) => {
                let known = self.schedules.get(id);
                let before = known.and_then(|known| known.walk.before(slot.millis()));
                let before = before.map(Instant::from_millis);
                ensure(before.is_none() || opened.previous_slot == before, || {
                    format!("{slot} follows {before:?}, told {:?}", opened.previous_slot)
                })?;
                let outcome = if opened.trigger == Trigger::CatchUp { CATCH_UP } else { START };
                self.take(append, id, (wanted, slot.millis(), outcome))
            }
            Own::Passed(passed) if wanted.is_empty() && passed.count == 1 => {
                self.read_past_once(append, id, passed)?;
                Ok(wanted)
            }
            Own::Passed(passed) => {
                let count = usize::try_from(passed.count).expect("small");
                let slots: Vec<i64> = wanted.iter().take(count).map(|(slot, _)| *slot).collect();
                let listed: Vec<i64> = passed.instants.iter().map(|slot| slot.millis()).collect();
                let whole = slots.len() == count
                    && slots.starts_with(&listed)
                    && listed.len() == count.min(1_000)
                    && slots.first() == Some(&passed.first.millis())
                    && slots.last() == Some(&passed.last.millis());
                let outcome = outcome_of(passed);
                ensure(whole, || format!("{outcome} for {listed:?}, expected {wanted:?}"))?;
                self.turns.check_in_the_way(id, passed, &append.ended)?;
                slots
                    .iter()
                    .try_fold(wanted, |left, slot| self.take(append, id, (left, *slot, &outcome)))
            }
            Own::Anchored(why, cursor) => {
                let left = |slot: i64| *why != Anchor::Clock || slot <= cursor.millis();
                if let Some((slot, _)) = wanted.first().filter(|(slot, _)| left(*slot)) {
                    let slot = Instant::from_millis(*slot);
                    return Err(format!("anchored at {cursor} with {slot} undecided"));
                }
                self.read_anchor(append, id, (*why, *cursor))?;
                Ok(wanted)
            }
            Own::Removed => {
                ensure(wanted.is_empty(), || format!("removed with {wanted:?} undecided"))?;
                if let Some(known) = self.schedules.get_mut(id) {
                    ensure(known.awaiting.is_empty(), || "removed while it waits".to_owned())?;
                    known.spec = None;
                    known.walk = Walk::none();
                }
                Ok(wanted)
            }
            Own::Awaited(..) => Err("waits for another schedule, and follows none".to_owned()),
            Own::Paused(_) | Own::Resumed => {
                self.read_pause(append, id, event)?;
                Ok(wanted)
            }
        }
    }

    fn take<'e>(
        &mut self,
        append: &Append<'_>,
        id: &ScheduleRef,
        (wanted, slot, outcome): (&'e [Expected], i64, &str),
    ) -> Checked<&'e [Expected]> {
        let shown = Instant::from_millis(slot);
        match wanted.split_first() {
            Some(((next, outcomes), left)) if *next == slot => {
                let right = outcomes.contains(&outcome);
                ensure(right, || format!("{shown} is {outcome}, expected {outcomes:?}"))?;
                self.decided += 1;
                self.schedules
                    .get_mut(id)
                    .map_or(Ok(()), |known| known.decide(id, slot, append.at))?;
                Ok(left)
            }
            other => {
                let next = other.map(|((next, outcomes), _)| {
                    format!("{} as {outcomes:?}", Instant::from_millis(*next))
                });
                Err(format!("{shown} is {outcome}, expected {next:?}"))
            }
        }
    }

    /// A time given once that is past when it is first seen.
    fn read_past_once(
        &mut self,
        append: &Append<'_>,
        id: &ScheduleRef,
        passed: &SlotsPassed,
    ) -> Checked {
        let (slot, outcome) = (passed.first, outcome_of(passed));
        let Some(known) = self.schedules.get_mut(id) else { return Ok(()) };
        let is_past = known.spec.as_ref().and_then(once).is_some_and(|at| at == slot)
            && slot <= append.at
            && known.cursor == append.at.millis()
            && outcome == TOO_LATE;
        ensure(is_past, || format!("{slot} is {outcome}, expected nothing"))?;
        self.decided += 1;
        let before = known.outcomes.insert(slot.millis(), known.pass);
        // The same time may stand in the file again after it had another one.
        ensure(before.is_none() || !known.ran.contains(&slot.millis()), || {
            format!("{slot} is {outcome}, and ran before")
        })
    }

    fn read_anchor(
        &mut self,
        append: &Append<'_>,
        id: &ScheduleRef,
        (why, cursor): (Anchor, Instant),
    ) -> Checked {
        let at = append.at;
        let spec = self.files.get(&id.interface).and_then(|file| file.schedules.get(id)).cloned();
        let Some(known) = self.schedules.get_mut(id) else { return Ok(()) };
        match why {
            Anchor::Created | Anchor::Edited => {
                let spec = spec.ok_or("anchored, and not in its file")?;
                let fits = match (&known.spec, why) {
                    (None, Anchor::Created) => true,
                    (Some(old), Anchor::Edited) => old.retimed(&spec),
                    _ => false,
                };
                ensure(fits && cursor == at, || format!("{why:?} at {cursor}, now {at}"))?;
                ensure(known.awaiting.is_empty(), || "anchored while it waits".to_owned())?;
                known.spec = Some(spec);
                known.anchor(cursor);
            }
            Anchor::Clock => {
                let far = |from: i64| from - at.millis() > 3 * HOUR;
                let stepped = append.events.iter().any(|envelope| match &envelope.event {
                    Event::ClockStepped(step) => step.to == at && far(step.from.millis()),
                    _ => false,
                });
                if cursor == at && (stepped || far(known.cursor)) {
                    known.anchor(cursor);
                } else {
                    // A slot that ran keeps its outcome; the cursor passes over it.
                    let ran =
                        known.cursor < cursor.millis() && known.ran.contains(&cursor.millis());
                    ensure(ran && cursor <= at, || {
                        format!("the cursor moves to {cursor} at {at}, where nothing ran")
                    })?;
                    known.advance(cursor.millis());
                }
            }
        }
        Ok(())
    }

    fn read_pause(&mut self, append: &Append<'_>, id: &ScheduleRef, event: &Own<'_>) -> Checked {
        let Some(known) = self.schedules.get_mut(id) else { return Ok(()) };
        match event {
            Own::Paused(until) => known.paused = Some(until.map(Instant::millis)),
            _ => {
                let was = known.paused.take().ok_or("resumed, and was not paused")?;
                let over = was.is_some_and(|until| until <= append.at.millis());
                let early = || format!("its pause until {was:?} ended");
                ensure(over || self.turns.asked.take_resume(&id.to_string()), early)?;
            }
        }
        Ok(())
    }

    fn read_definitions(&mut self, append: &Append<'_>) -> Checked {
        for envelope in append.events {
            let StreamId::Interface(id) = &envelope.stream else {
                if let Event::ClockStepped(step) = &envelope.event
                    && step.from < step.to
                {
                    self.passed_over.push((step.from.millis(), step.to.millis()));
                }
                continue;
            };
            match &envelope.event {
                Event::InterfaceDefined(defined) => {
                    let file = self.files.get(id).cloned().unwrap_or_default();
                    for (schedule, spec) in &file.schedules {
                        let known = self.schedules.get_mut(schedule);
                        let known = known.filter(|known| known.spec.is_some());
                        let known =
                            known.ok_or_else(|| format!("{schedule} is defined, not anchored"))?;
                        let moved = known.spec.as_ref().is_some_and(|old| old.retimed(spec));
                        ensure(!moved, || format!("{schedule} is retimed and not anchored"))?;
                        known.spec = Some(spec.clone());
                    }
                    self.turns.define(id, defined.definition_version, file);
                }
                Event::InterfacePaused(paused) => {
                    self.paused.insert(id.clone(), paused.until.map(Instant::millis));
                }
                Event::InterfaceResumed(_) => {
                    let was = self.paused.remove(id).ok_or("resumed, and was not paused")?;
                    let over = was.is_some_and(|until| until <= append.at.millis());
                    let early = || format!("the pause of {id} until {was:?} ended");
                    ensure(over || self.turns.asked.take_resume(&id.to_string()), early)?;
                }
                other => return Err(format!("{} of {id}", other.name())),
            }
        }
        Ok(())
    }

    fn read_reboots(&mut self, append: &Append<'_>) -> Checked {
        let boots: BTreeSet<&ScheduleRef> = append
            .openings()
            .filter(|(_, opened)| opened.trigger == Trigger::Reboot)
            .map(|(_, opened)| &opened.schedule)
            .collect();
        let started = append.events.iter().find_map(|envelope| match &envelope.event {
            Event::DaemonStarted(started) => Some(&started.boot_id),
            _ => None,
        });
        let anew = started.is_some_and(|boot| self.boot.as_ref() != Some(boot));
        let expected: BTreeSet<&ScheduleRef> = self
            .schedules
            .iter()
            .filter(|(id, known)| {
                let wanted = |spec: &Spec| spec.when == When::Reboot && spec.enabled;
                anew && known.spec.as_ref().is_some_and(wanted)
                    && known.paused.is_none()
                    && !self.paused.contains_key(&id.interface)
            })
            .map(|(id, _)| id)
            .collect();
        ensure(boots == expected, || format!("at boot runs {boots:?}, expected {expected:?}"))?;
        self.boot = started.cloned().or_else(|| self.boot.take());
        Ok(())
    }

    /// What must be so when nothing more happens at `now`.
    pub(super) fn check_quiet(&mut self, now: Instant) -> Checked {
        if self.draining {
            return Ok(());
        }
        for (id, known) in &mut self.schedules {
            if known.spec.is_none() {
                continue;
            }
            if let Some(slot) = known.due(now).first() {
                return Err(format!("{id}: {} is not decided", Instant::from_millis(*slot)));
            }
            let over = |until: &Option<i64>| until.is_some_and(|until| until <= now.millis());
            ensure(!known.paused.as_ref().is_some_and(over), || {
                format!("{id}: its pause goes on after its end")
            })?;
            let late = known.awaiting.iter().find(|(_, (_, deadline))| *deadline <= now.millis());
            ensure(late.is_none(), || format!("{id}: waits beyond the deadline: {late:?}"))?;
        }
        self.turns.check_quiet(now)
    }

    /// Whether a schedule is in its file, and the definition in force.
    pub(super) fn in_force(&self, id: &ScheduleRef) -> Option<&Spec> {
        self.schedules.get(id)?.spec.as_ref()
    }

    /// The cursor of each schedule.
    pub(super) fn cursors(&self) -> BTreeMap<ScheduleRef, Instant> {
        let cursor = |known: &Known| Instant::from_millis(known.cursor);
        self.schedules.iter().map(|(id, known)| (id.clone(), cursor(known))).collect()
    }
}
