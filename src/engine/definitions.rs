//! Takes over what the files say: new definitions, new and changed schedules, removed ones.

use std::mem;
use std::sync::Arc;

use super::board;
use super::commit::After;
use super::core::{Draft, Engine, Timer};
use super::handle::ReloadReport;
use super::ports::{FileProblem, Files};
use super::slots::zone_of;
use super::view::Patch;
use crate::civil::Zone;
use crate::domain::definition::{self, Timing};
use crate::domain::event::{
    Anchor, FilesRefused, InterfaceDefined, InterfaceRemoved, ScheduleAnchored, ScheduleRemoved,
};
use crate::domain::policy::Run;
use crate::domain::slot::{Reason, Verdict};
use crate::domain::timing::Plan;
use crate::ids::{InterfaceId, ScheduleRef, StreamId};
use crate::instant::Instant;

/// What a definition and its changes may take on record: an event has a limit, and beyond this a file is a mistake.
const DEFINITION_MAX_BYTES: usize = 24 << 20;

/// A file that reads well and still cannot be taken over.
fn refused(id: &InterfaceId, message: String, hint: Option<String>) -> Box<FileProblem> {
    let file = format!("{id}.toml");
    let text = match &hint {
        Some(hint) => format!("{file}: {message} ({hint})"),
        None => format!("{file}: {message}"),
    };
    Box::new(FileProblem { text, file, line: None, column: None, message, hint })
}

impl Engine {
    /// Makes the accepted definitions the ones in force. Interfaces whose file was refused keep theirs.
    pub(super) fn apply(&mut self, draft: &mut Draft, mut files: Files) -> ReloadReport {
        self.let_go_of_unchanged(&mut files);
        let mut applied = ReloadReport { problems: files.problems, ..ReloadReport::default() };
        for (id, definition) in &files.accepted {
            match self.define(draft, id, definition) {
                Ok(()) => applied.accepted.push(id.clone()),
                Err(problem) => applied.problems.push(*problem),
            }
            self.submit_if_large(draft);
        }
        let gone = |id: &&InterfaceId| {
            let has_file = files.accepted.contains_key(*id)
                || files.unchanged.contains(*id)
                || files.refused.contains(*id);
            !files.unreadable && !has_file
        };
        let known = self.state.interfaces.iter().filter(|(_, interface)| !interface.removed);
        applied.removed = known.map(|(id, _)| id).filter(gone).cloned().collect();
        for id in &applied.removed {
            self.schedules_of(id).iter().for_each(|schedule| self.remove_schedule(draft, schedule));
            self.record(draft, &StreamId::Interface(id.clone()), InterfaceRemoved {}.into());
            self.submit_if_large(draft);
        }
        let problems: Vec<String> =
            applied.problems.iter().map(|problem| problem.text.clone()).collect();
        if !problems.is_empty() {
            let refused = FilesRefused { problems: problems.clone() };
            self.record(draft, &StreamId::Daemon, refused.into());
        }
        let shown = board::Files { problems, read_at: Some(draft.at) };
        draft.then(After::Show(Patch::of_files(shown)));
        self.record_zones(draft);
        self.cache.forget_unused();
        self.tell_observers();
        applied
    }

    /// Drops the definitions that are in force already.
    pub(super) fn let_go_of_unchanged(&self, files: &mut Files) {
        let in_force = |id: &InterfaceId, definition: &definition::Interface| {
            let current = self.state.interfaces.get(id).filter(|interface| !interface.removed);
            let current = current.and_then(|interface| interface.definition());
            current.is_some_and(|current| **current == *definition)
        };
        for (id, definition) in mem::take(&mut files.accepted) {
            if in_force(&id, &definition) {
                files.unchanged.insert(id);
            } else {
                files.accepted.insert(id, definition);
            }
        }
    }

    fn tell_observers(&self) {
        let names = self.state.schedules.names();
        let in_force = names.iter().filter_map(|id| {
            let (_, _, schedule) = self.definition(id)?;
            Some((id, schedule.timing.trigger()))
        });
        let in_force: Vec<_> = in_force.collect();
        self.parts.observers.iter().for_each(|observer| observer.applied(&in_force));
    }

    /// Makes a definition the one in force, unless it is too large for an event: then says so.
    fn define(
        &mut self,
        draft: &mut Draft,
        id: &InterfaceId,
        definition: &definition::Interface,
    ) -> Result<(), Box<FileProblem>> {
        let text = serde_json::to_string(definition)
            .map_err(|err| refused(id, format!("cannot be recorded: {err}"), None))?;
        let interface = self.state.interfaces.get(id);
        let old = interface
            .filter(|interface| !interface.removed)
            .and_then(|interface| interface.definition())
            .cloned();
        let definition_version = interface.map_or(0, |interface| interface.definition_version) + 1;
        let changes = self.parts.definitions.changes(old.as_deref(), Some(definition));
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let told = changes.iter().map(|change| length(&change.from) + length(&change.to));
        let bytes = text.len() + told.sum::<usize>();
        if bytes > DEFINITION_MAX_BYTES {
            let why = format!("takes {bytes} bytes on record, the limit is {DEFINITION_MAX_BYTES}");
            let hint = "divide its schedules among several interfaces".to_owned();
            return Err(refused(id, why, Some(hint)));
        }
        // The old timing's slots are decided by the old definition, up to this instant.
        for schedule in self.schedules_of(id) {
            self.decide_slots(draft, &schedule);
        }
        let defined = InterfaceDefined { definition_version, definition: text, changes };
        self.record(draft, &StreamId::Interface(id.clone()), defined.into());
        for schedule in self.schedules_of(id) {
            if !definition.schedules.contains_key(&schedule.schedule) {
                self.remove_schedule(draft, &schedule);
            }
        }
        for name in definition.schedules.keys() {
            let full = ScheduleRef { interface: id.clone(), schedule: name.clone() };
            self.anchor(draft, &full, old.as_deref(), (definition, definition_version));
        }
        self.adopt(id, definition);
        Ok(())
    }

    fn anchor(
        &mut self,
        draft: &mut Draft,
        id: &ScheduleRef,
        old: Option<&definition::Interface>,
        new: (&definition::Interface, u32),
    ) {
        let (definition, definition_version) = new;
        let Some(schedule) = definition.schedules.get(&id.schedule) else { return };
        let known = self.state.schedules.get(id);
        let decided_up_to = known.and_then(|known| known.decided_up_to);
        let lives = known.is_some_and(|known| !known.removed && known.cursor.is_some());
        let old = old.filter(|old| lives && old.schedules.contains_key(&id.schedule));
        let why = match old {
            Some(old) if !old.retimed(definition, &id.schedule) => return,
            Some(_) => Anchor::Edited,
            None => Anchor::Created,
        };
        self.abandon_awaited(draft, id);
        // Whether the old timing had its one slot at the same instant.
        let old_at = old.and_then(|old| {
            let schedule = old.schedules.get(&id.schedule)?;
            let once = matches!(schedule.timing, Timing::At(_));
            self.compile(schedule).filter(|_| once)?.next_after(Instant::from_millis(0))
        });
        let anchored = ScheduleAnchored { cursor: draft.at, definition_version, why };
        self.record(draft, &StreamId::Schedule(id.clone()), anchored.into());
        if let Timing::At(_) = schedule.timing
            && let Some(plan) = self.compile(schedule)
            && let Some(at) = plan.next_after(Instant::from_millis(0)).filter(|at| *at <= draft.at)
            // A file that comes back does not tell anew of a slot that has its outcome.
            && (decided_up_to < Some(at) || why == Anchor::Edited && old_at != Some(at))
        {
            self.pass_slots(draft, id, Run::of(at, Verdict::Missed, Reason::TooLate, None));
        }
    }

    fn remove_schedule(&mut self, draft: &mut Draft, id: &ScheduleRef) {
        if self.state.schedules.get(id).is_none_or(|schedule| schedule.removed) {
            return;
        }
        self.decide_slots(draft, id);
        self.abandon_awaited(draft, id);
        self.record(draft, &StreamId::Schedule(id.clone()), ScheduleRemoved {}.into());
        self.plans.remove(id);
        self.timers.remove(&Timer::Slot(id.clone()));
    }

    /// Compiles a definition's plans and takes over its limits.
    pub(super) fn adopt(&mut self, id: &InterfaceId, definition: &definition::Interface) {
        // Blackouts count in the interface's zone; without it nobody knows which slots are closed.
        let known = definition.blackout.is_empty() || zone_of(&definition.timezone).is_some();
        if !known {
            let zone = &definition.timezone;
            tracing::error!(interface = %id, %zone, "its blackouts cannot be told: nothing of it is planned");
        }
        self.ready.limit_interface(id, definition.limits.concurrent);
        self.adopt_followers(id, definition);
        for (name, schedule) in &definition.schedules {
            let full = ScheduleRef { interface: id.clone(), schedule: name.clone() };
            match self.compile(schedule).filter(|_| known) {
                Some(plan) => self.plans.insert(full.clone(), plan),
                None => self.plans.remove(&full),
            };
            self.plan_next(&full);
        }
    }

    /// The plan of an accepted definition. None only for one that another version of the program accepted.
    fn compile(&mut self, schedule: &definition::Schedule) -> Option<Plan> {
        let zone = match Zone::load(&schedule.timezone) {
            Ok(zone) => zone,
            Err(err) => {
                tracing::error!(error = %err, "a schedule cannot be planned");
                return None;
            }
        };
        match self.cache.plan(&schedule.timing, &zone, schedule.dst) {
            Ok(plan) => Some(plan),
            Err(err) => {
                tracing::error!(error = %err, "a schedule cannot be planned");
                None
            }
        }
    }

    /// Compiles the plans of every definition in force, after a restart.
    pub(super) fn adopt_all(&mut self) {
        let all: Vec<_> = self
            .state
            .interfaces
            .iter()
            .filter(|(_, interface)| !interface.removed)
            .filter_map(|(id, interface)| Some((id.clone(), Arc::clone(interface.definition()?))))
            .collect();
        for (id, definition) in all {
            self.adopt(&id, &definition);
        }
    }
}
