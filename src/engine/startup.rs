//! What the engine does before its first decision: tells the truth about what the former process left behind, and about
//! the time in between.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio::time::{Instant as Stopwatch, timeout_at};

use super::commit::{After, conclusion};
use super::core::{Draft, Engine, STEP_BACK_MAX, Timer};
use super::ports::{Files, Held, HeldAttempt, News, Reporter, Unfinished, Work, go_on};
use super::requests::Original;
use super::slots::Opening;
use crate::domain::cause::Cause;
use crate::domain::definition::{OnInterrupt, Overlap, Timing};
use crate::domain::event::{Actor, AttemptEnded, DaemonStarted, Event, Opened, Outcome, Trigger};
use crate::domain::execution::{Command, Conclusion, Phase};
use crate::ids::{ExecutionId, ScheduleRef, StreamId};
use crate::instant::Instant;
use crate::task;

/// The start waits so long for what a killed daemon left running, and as long for ends that no daemon has heard of. What
/// takes longer ends while slots run.
pub const HEARING_MAX: Duration = Duration::from_secs(1);

/// The end of an execution that is being settled.
type Settling = JoinHandle<Option<Conclusion>>;

/// The executions that the former process left.
#[derive(Default)]
struct LeftBehind {
    /// They go on waiting for their turn.
    queued: Vec<ExecutionId>,
    /// They go on waiting for an attempt that is planned.
    planned: Vec<(Work, Instant)>,
    /// They run on: their attempt outlived the daemon.
    running: Vec<Work>,
    /// Their attempt ended while no daemon was there.
    ended: Vec<Work>,
    /// They end now.
    unfinished: Vec<(Work, Unfinished)>,
}

impl Engine {
    /// Goes on where the log ends. `files` are those that were just read; reports come through `heard`.
    pub async fn start(&mut self, mut files: Files, heard: &mut UnboundedReceiver<News>) {
        self.let_go_of_unchanged(&mut files);
        let known = self.state.schedules.names();
        known.iter().for_each(|id| self.tally(id));
        let before = self.state.daemon.boot_id.clone();
        // Taken before this start owes anything itself: that goes to the courier when it is recorded.
        let owed: Vec<_> = self.state.outbox.values().cloned().map(After::Deliver).collect();
        let mut held = self.parts.performer.held().await;
        let LeftBehind { queued, planned, running, ended, unfinished } =
            self.left_behind(&mut held);
        self.let_go(held).await;
        let interrupted = unfinished.iter().filter(|(_, why)| *why == Unfinished::Interrupted);
        let taken_over = running.len() + ended.len();
        let counts = (interrupted.count() as u64, taken_over as u64);
        let (concluded, settling) = self.settle(unfinished).await;
        let mut draft = Draft::new(self.now(), Actor::Daybook);
        self.adopt_all();
        // The courier finds the addresses on the board, and what was owed before goes first.
        draft.then(After::Show(self.patch_all()));
        owed.into_iter().for_each(|deliver| draft.then(deliver));
        // By itself: behind what is decided below, these rows would hide it.
        self.submit(draft);
        self.hear_ends(ended, heard).await;
        let mut draft = Draft::new(self.now(), Actor::Daybook);
        let (mut again, mut closed) = (Vec::new(), Vec::new());
        for (work, conclusion) in concluded {
            let execution = self.state.executions.get(&work.execution);
            let cancelled = execution.is_some_and(|execution| execution.cancelling);
            closed.extend(self.close_unfinished(&mut draft, &work, Command::Close(conclusion)));
            if !cancelled {
                again.push(work);
            }
        }
        for id in queued {
            if let Some(execution) = self.state.executions.get(&id) {
                let asks = self.asks(execution, draft.at);
                self.ready.wait(id, execution, asks);
            }
        }
        for work in running {
            self.go_on_with(&mut draft, work, After::TakeOver);
        }
        for (work, at) in planned {
            self.go_on_with(&mut draft, work, |work, reporter| After::Resume(work, at, reporter));
        }
        settling.into_iter().for_each(|(work, end)| self.await_end(&draft, work, end));
        self.anchor_ahead(&mut draft);
        self.end_pauses(&mut draft);
        // Not before all are closed and pauses have ended: neither stands in the way any more.
        for (opened, outcome) in &closed {
            self.deliver_to_followers(&mut draft, opened, *outcome);
        }
        // A closing and the re-run that follows from it are one append, whatever the files add.
        draft.keep_whole(!again.is_empty());
        self.apply(&mut draft, files);
        for work in &again {
            self.decide_slots(&mut draft, &work.opened.schedule);
            self.rerun_interrupted(&mut draft, work);
        }
        draft.keep_whole(false);
        // So are this start and what it starts: one that is not on record has run nothing.
        self.record_start(&mut draft, counts);
        if before.as_deref() != Some(&self.parts.identity.boot_id) {
            self.run_reboot_schedules(&mut draft);
        }
        for id in self.state.schedules.names() {
            self.decide_slots(&mut draft, &id);
            self.submit_if_large(&mut draft);
        }
        self.start_ready(&mut draft);
        draft.then(After::Ready);
        self.submit(draft);
        let schedules = self.state.schedules.names();
        schedules.iter().for_each(|id| self.plan_next(id));
        self.plan_deadlines();
    }

    /// Takes over the attempts that ended while no daemon was there, and hears of their ends before anything is decided: they
    /// stand in no slot's way any more.
    async fn hear_ends(&mut self, ended: Vec<Work>, heard: &mut UnboundedReceiver<News>) {
        let executions: Vec<_> = ended.iter().map(|work| work.execution).collect();
        let mut draft = Draft::new(self.now(), Actor::Daybook);
        for work in ended {
            self.go_on_with(&mut draft, work, After::TakeOver);
        }
        self.submit(draft);
        let until = Stopwatch::now() + HEARING_MAX;
        while executions.iter().any(|id| self.is_running(id)) {
            let Ok(Some(news)) = timeout_at(until, heard.recv()).await else { break };
            self.hear(news);
        }
    }

    fn is_running(&self, id: &ExecutionId) -> bool {
        self.state.executions.get(id).is_some_and(|execution| execution.phase == Phase::Running)
    }

    /// What becomes of each open execution. Takes the attempts that run on out of `held`.
    fn left_behind(&self, held: &mut Held) -> LeftBehind {
        let mut left = LeftBehind::default();
        for (id, execution) in &self.state.executions {
            let is_it = |held: &HeldAttempt| {
                execution.phase == Phase::Running && held.number == execution.attempts
            };
            if let Some(attempt) = held.get(id).copied().filter(is_it) {
                held.remove(id);
                let goes_on = if attempt.ended { &mut left.ended } else { &mut left.running };
                goes_on.extend(self.work(*id));
                continue;
            }
            let why = match execution.phase {
                Phase::Queued if execution.cancelling => Unfinished::CancelledInQueue,
                Phase::Running if execution.cancelling => Unfinished::CancelledInTheMiddle,
                Phase::Running => Unfinished::Interrupted,
                Phase::Waiting => match self.planned_at(*id) {
                    Some(_) if execution.cancelling => Unfinished::CancelledInQueue,
                    Some(at) => {
                        left.planned.extend(self.work(*id).map(|work| (work, at)));
                        continue;
                    }
                    None => Unfinished::Interrupted,
                },
                Phase::Queued => {
                    left.queued.push(*id);
                    continue;
                }
                Phase::Closed(_) => continue,
            };
            left.unfinished.extend(self.work(*id).map(|work| (work, why)));
        }
        left
    }

    /// Lets the performer end and forget what it holds and nobody goes on with. That is waited for only where it would run
    /// beside an attempt of the same execution: a log that was put back to an earlier state knows less than what runs.
    async fn let_go(&self, unwanted: Held) {
        if unwanted.is_empty() {
            return;
        }
        tracing::warn!(count = unwanted.len(), "ending attempts that nobody waits for");
        let open = unwanted.keys().any(|id| self.state.executions.contains_key(id));
        let gone = task::spawn("letting go", self.parts.performer.let_go(unwanted));
        if open && let Err(err) = gone.await {
            tracing::error!(error = %err, "what nobody waits for was not ended");
        }
    }

    /// Concludes the unfinished executions beside one another. Those that take long, because what they left running does, are
    /// given back with their ends to come.
    async fn settle(
        &self,
        unfinished: Vec<(Work, Unfinished)>,
    ) -> (Vec<(Work, Conclusion)>, Vec<(Work, Settling)>) {
        let begin = |(work, why): (Work, Unfinished)| {
            let concluding = self.parts.performer.conclude(work.clone(), why);
            let end = task::spawn("a conclusion", conclusion(work.execution, concluding));
            (work, end)
        };
        let all: Vec<_> = unfinished.into_iter().map(begin).collect();
        let until = Stopwatch::now() + HEARING_MAX;
        let (mut concluded, mut settling) = (Vec::new(), Vec::new());
        for (work, mut end) in all {
            match timeout_at(until, &mut end).await {
                Ok(Ok(Some(conclusion))) => concluded.push((work, conclusion)),
                // The next start sees to it: this one ends already.
                Ok(_) => (),
                Err(_takes_long) => settling.push((work, end)),
            }
        }
        (concluded, settling)
    }

    /// Lets an execution whose processes still live be what it is, running: it holds its seats and counts for limits and
    /// overlap, until they are gone.
    fn await_end(&mut self, draft: &Draft, work: Work, end: Settling) {
        let id = work.execution;
        let Some(execution) = self.state.executions.get(&id) else { return };
        if execution.phase != Phase::Queued {
            let asks = self.asks(execution, draft.at);
            self.ready.start_at_once(id, &work.opened.schedule.interface, asks, draft.at);
        }
        self.cancels.insert(id, work.cancel.clone());
        let news = self.news.clone();
        task::spawn("an execution that settles", async move {
            if let Ok(Some(conclusion)) = end.await {
                go_on(&news, move |engine| engine.settled(&work, conclusion));
            }
        });
    }

    /// The processes of an interrupted execution are gone.
    fn settled(&mut self, work: &Work, conclusion: Conclusion) {
        let id = work.execution;
        let mut draft = Draft::new(self.now(), Actor::Daybook);
        let ended = AttemptEnded::unseen(work.attempts, Cause::TecInterrupted);
        let conclusion = Conclusion { interrupted: true, ..conclusion };
        self.happened(&mut draft, id, Command::EndAttempt(ended));
        self.happened(&mut draft, id, Command::Close(conclusion));
        self.start_ready(&mut draft);
        self.submit(draft);
    }

    /// When the next attempt of a waiting execution is planned, from its stream. None when its last one was interrupted.
    fn planned_at(&self, id: ExecutionId) -> Option<Instant> {
        let events = self.parts.log.read_stream(&StreamId::Execution(id), 0, usize::MAX);
        let events = events.unwrap_or_else(|err| {
            tracing::warn!(execution = %id, error = %err, "its plan cannot be read");
            Vec::new()
        });
        events.into_iter().rev().find_map(|envelope| match envelope.event {
            Event::RetryPlanned(planned) => Some(Some(planned.at)),
            Event::AttemptEnded(_) => Some(None),
            _other => None,
        })?
    }

    /// Lets an execution of a former daemon go on, as `after` says. It runs already, as far as limits are concerned.
    fn go_on_with(
        &mut self,
        draft: &mut Draft,
        work: Work,
        after: impl FnOnce(Work, Reporter) -> After,
    ) {
        let id = work.execution;
        let Some(execution) = self.state.executions.get(&id) else { return };
        let schedule = &work.opened.schedule;
        let limit = work.interface.as_ref().and_then(|interface| {
            Some(Duration::from_millis(
                interface.schedules.get(&schedule.schedule)?.anomaly_after_ms,
            ))
        });
        if let (Some(limit), Some(started)) = (limit, execution.started_at) {
            self.timers.push(started + limit, Timer::Anomaly(id));
        }
        let asks = self.asks(execution, draft.at);
        self.ready.start_at_once(id, &schedule.interface, asks, draft.at);
        if execution.cancelling {
            // The former daemon may not have passed it on.
            work.cancel.cancel();
        }
        self.cancels.insert(id, work.cancel.clone());
        let reporter = self.reporter(id);
        draft.then(after(work, reporter));
    }

    fn record_start(&mut self, draft: &mut Draft, (interrupted, taken_over): (u64, u64)) {
        let identity = self.parts.identity.clone();
        let started = DaemonStarted {
            version: identity.version,
            boot_id: identity.boot_id,
            zone_data: identity.zone_data,
            interrupted,
            taken_over,
        };
        self.record(draft, &StreamId::Daemon, started.into());
    }

    /// Says what was closed, and how.
    fn close_unfinished(
        &mut self,
        draft: &mut Draft,
        work: &Work,
        close: Command,
    ) -> Option<(Opened, Outcome)> {
        let stream = StreamId::Execution(work.execution);
        let ended = AttemptEnded::unseen(work.attempts, Cause::TecInterrupted);
        let mut found = None;
        for command in [Command::EndAttempt(ended), close] {
            let execution = self.state.executions.get(&work.execution)?;
            // In the queue and between two attempts there is none to end.
            if let Ok(event) = execution.decide(draft.at, command) {
                if let Event::Closed(closed) = &event {
                    found = Some((execution.opened.clone(), closed.outcome));
                }
                self.record(draft, &stream, event);
            }
        }
        found
    }

    /// A re-run that is interrupted is not run again, so that what brings the machine down does so twice at most. A slot
    /// that was caught up meanwhile runs in the interrupted one's place, unless the two may wait for each other.
    pub(super) fn rerun_interrupted(&mut self, draft: &mut Draft, work: &Work) {
        let id = &work.opened.schedule;
        let Some((_, _, schedule)) = self.definition(id) else { return };
        let is_rerun = work.opened.rerun_of.is_some();
        let open = self.state.schedules.get(id).is_some_and(|schedule| !schedule.open.is_empty());
        let of_series = work.opened.trigger.is_series();
        let replaced = open
            && !of_series
            && matches!(schedule.overlap, Overlap::Skip | Overlap::CancelRunning);
        if schedule.on_interrupt != OnInterrupt::Rerun || is_rerun || replaced {
            return;
        }
        let opened = (*work.opened).clone();
        self.open_again(
            draft,
            Original { id: work.execution, opened, force: false },
            Trigger::Rerun,
        );
    }

    /// A clock that was set back by hours while nobody looked left cursors in the future: without this their schedules
    /// would be silent until it has caught up.
    fn anchor_ahead(&mut self, draft: &mut Draft) {
        let ahead = self.state.schedules.names_where(|schedule| {
            schedule.cursor.is_some_and(|cursor| cursor.since(draft.at) > STEP_BACK_MAX)
        });
        if !ahead.is_empty() {
            tracing::warn!(
                schedules = ahead.len(),
                "the clock was set back while the daemon was down"
            );
        }
        self.anchor_again(draft, ahead);
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

    fn pauses(&self) -> Vec<(ScheduleRef, Instant)> {
        let names = self.state.schedules.names_where(|schedule| schedule.paused.is_some());
        let until = |id: &ScheduleRef| self.state.schedules.get(id)?.paused.as_ref()?.until;
        names.into_iter().filter_map(|id| until(&id).map(|until| (id, until))).collect()
    }

    /// `@reboot`: once for each start of the machine.
    fn run_reboot_schedules(&mut self, draft: &mut Draft) {
        let all = self.state.schedules.names();
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
            let (trigger, at) = (Trigger::Reboot, draft.at);
            let opened = self.opening(&id, Opening { execution, trigger, slot: None, at });
            self.open(draft, execution, opened);
        }
    }
}
