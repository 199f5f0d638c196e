//! What the engine does before its first decision: tells the truth about what the former process left behind, and about
//! the time in between.

use super::commit::After;
use super::core::{Draft, Engine, Timer};
use super::ports::{Files, Unfinished, Work};
use crate::domain::cause::Cause;
use crate::domain::definition::{OnInterrupt, Timing};
use crate::domain::event::{Actor, AttemptEnded, DaemonStarted, Opened, Outcome, Trigger};
use crate::domain::execution::{Command, Phase};
use crate::ids::{ExecutionId, ScheduleRef, StreamId};

impl Engine {
    /// Goes on where the log ends. `files` are those that were just read.
    pub async fn start(&mut self, files: Files) {
        let known: Vec<_> = self.state.schedules.keys().cloned().collect();
        known.iter().for_each(|id| self.tally(id));
        let before = self.state.daemon.boot_id.clone();
        let (queued, running) = self.left_behind();
        let mut concluded = Vec::new();
        for work in running {
            let conclusion =
                self.parts.performer.conclude(work.clone(), Unfinished::Interrupted).await;
            concluded.push((work, conclusion));
        }
        let mut draft = Draft::new(self.now(), Actor::Daybook);
        self.record_start(&mut draft, concluded.len());
        self.adopt_all();
        let mut again = Vec::new();
        for (work, conclusion) in concluded {
            self.close_interrupted(&mut draft, &work, Command::Close(conclusion));
            again.push(work);
        }
        for id in queued {
            if let Some(execution) = self.state.executions.get(&id) {
                self.ready.wait(id, execution);
            }
        }
        self.end_pauses(&mut draft);
        let schedules: Vec<_> = self.state.schedules.keys().cloned().collect();
        for id in &schedules {
            self.decide_slots(&mut draft, id);
        }
        self.apply(&mut draft, files);
        again.into_iter().for_each(|work| self.rerun_interrupted(&mut draft, &work));
        if before.as_deref() != Some(&self.parts.identity.boot_id) {
            self.run_reboot_schedules(&mut draft);
        }
        self.start_ready(&mut draft);
        self.state.outbox.values().cloned().for_each(|effect| draft.then(After::Deliver(effect)));
        draft.then(After::Show(self.patch_all()));
        draft.then(After::Ready);
        self.submit(draft);
        let schedules: Vec<_> = self.state.schedules.keys().cloned().collect();
        schedules.iter().for_each(|id| self.plan_next(id));
    }

    /// The executions that the former process left: those that waited, and those that ran.
    fn left_behind(&self) -> (Vec<ExecutionId>, Vec<Work>) {
        let mut queued = Vec::new();
        let mut running = Vec::new();
        for (id, execution) in &self.state.executions {
            match execution.phase {
                Phase::Queued => queued.push(*id),
                Phase::Running | Phase::Waiting => running.extend(self.work(*id)),
                Phase::Closed(_) => (),
            }
        }
        (queued, running)
    }

    fn record_start(&mut self, draft: &mut Draft, interrupted: usize) {
        let identity = self.parts.identity.clone();
        let started = DaemonStarted {
            version: identity.version,
            boot_id: identity.boot_id,
            zone_data: identity.zone_data,
            interrupted: interrupted as u64,
        };
        self.record(draft, &StreamId::Daemon, started.into());
    }

    fn close_interrupted(&mut self, draft: &mut Draft, work: &Work, close: Command) {
        let stream = StreamId::Execution(work.execution);
        let ended = AttemptEnded {
            attempt: work.attempts,
            exit_code: None,
            signal: None,
            usage: None,
            outcome: Outcome::Ko,
            cause: Some(Cause::TecInterrupted),
        };
        for command in [Command::EndAttempt(ended), close] {
            let Some(execution) = self.state.executions.get(&work.execution) else { return };
            // Between two attempts there is none to end.
            if let Ok(event) = execution.decide(draft.at, command) {
                self.record(draft, &stream, event);
            }
        }
    }

    fn rerun_interrupted(&mut self, draft: &mut Draft, work: &Work) {
        let id = &work.opened.schedule;
        let wanted = self
            .definition(id)
            .is_some_and(|(_, _, schedule)| schedule.on_interrupt == OnInterrupt::Rerun);
        if !wanted || work.opened.trigger == Trigger::Rerun {
            return;
        }
        let execution = ExecutionId::random(draft.at, (self.parts.entropy)());
        let fresh = self.opening(id, execution, Trigger::Rerun, None);
        let opened = Opened {
            trigger: Trigger::Rerun,
            definition_version: fresh.definition_version,
            rerun_of: Some(work.execution),
            forced: false,
            ..(*work.opened).clone()
        };
        self.open(draft, execution, opened);
    }

    /// Ends pauses whose time passed while nobody looked: slots up to then were paused, later ones were not.
    fn end_pauses(&mut self, draft: &mut Draft) {
        let now = draft.at;
        for (id, until) in self.pauses() {
            if until > now {
                self.timers.push(until, Timer::Resume(id))
            } else {
                self.end_pause(draft, &id, until)
            }
        }
        let interfaces: Vec<_> = self
            .state
            .interfaces
            .iter()
            .filter_map(|(id, interface)| Some((id.clone(), interface.paused.as_ref()?.until?)))
            .collect();
        for (id, until) in interfaces {
            if until > now {
                self.timers.push(until, Timer::ResumeInterface(id));
            } else {
                self.end_interface_pause(draft, &id, until);
            }
        }
    }

    fn pauses(&self) -> Vec<(ScheduleRef, crate::instant::Instant)> {
        let paused = self.state.schedules.iter();
        paused
            .filter_map(|(id, schedule)| Some((id.clone(), schedule.paused.as_ref()?.until?)))
            .collect()
    }

    /// `@reboot`: once for each start of the machine.
    fn run_reboot_schedules(&mut self, draft: &mut Draft) {
        let all: Vec<_> = self.state.schedules.keys().cloned().collect();
        for id in all {
            let Some((interface, _, schedule)) = self.definition(&id) else { continue };
            let paused =
                self.state.schedules.get(&id).is_some_and(|schedule| schedule.paused.is_some())
                    || self
                        .state
                        .interfaces
                        .get(&interface.id)
                        .is_some_and(|interface| interface.paused.is_some());
            if schedule.timing != Timing::Reboot || !schedule.enabled || paused {
                continue;
            }
            let execution = ExecutionId::random(draft.at, (self.parts.entropy)());
            let opened = self.opening(&id, execution, Trigger::Reboot, None);
            self.open(draft, execution, opened);
        }
    }
}
