//! Retention: plans what of the history is over, has it forgotten step by step, then frees the bytes.
//!
//! One pass at a time. What goes is recorded before any byte does, so a pass that is cut short is taken up by the next one.
//! Between its steps it pauses: slots must not wait for it.

mod error;
mod gone;
#[cfg(test)]
mod history;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{RwLock, oneshot};
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

pub(super) use self::error::PassError;
use self::gone::Gone;
use super::upkeep::Upkeep;
use crate::clock::Clock;
use crate::domain::definition;
use crate::domain::event::{Event, Forgotten, HistoryPruned, PruneStep};
use crate::domain::retention::{Fate, Judge, Limit, Summary, divide};
use crate::engine::Engine;
use crate::engine::forget::{Chains, Keeping};
use crate::engine::ports::go_on;
use crate::http::{PruneMode, PrunedInterface, StorePruned};
use crate::ids::{ExecutionId, Position, ScheduleRef, StreamId};
use crate::instant::Instant;
use crate::projection::{Projections, QueryError};
use crate::store::EventLog;
use crate::store::lines::{LineStore, Pruning};

/// When it is looked whether a pass is due: every ten minutes, away from the seconds that people choose.
const LOOK: &str = "37 4-59/10 * * * *";
/// Executions read from the lists at once.
const PAGE: usize = 256;
/// Executions and schedules that are forgotten in one append.
const BATCH: usize = 512;
/// Between two batches, so that whatever is due comes first.
const PAUSE: Duration = Duration::from_millis(5);
/// Between two segments.
const SEGMENT_PAUSE: Duration = Duration::from_millis(50);
/// A segment is written again when that frees at least this share of it.
const WORTH: u64 = 16;

/// How thorough a pass is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// Beside a daemon that decides: what is worth it, with pauses.
    Gentle,
    /// With nothing else to do: all that retention ever forgot, without pauses.
    Thorough,
}

/// Who applies retention.
#[derive(Clone)]
pub(super) struct Retention {
    pub(super) upkeep: Upkeep,
    pub(super) lines: LineStore,
    pub(super) clock: Arc<dyn Clock>,
    /// For interfaces whose files say nothing.
    pub(super) usual: definition::Retention,
    pub(super) care: Care,
    /// Taken by a pass alone; shared by those who read the store as a whole, from whom nothing may be taken meanwhile.
    pub(super) freeing: Arc<RwLock<()>>,
}

/// What a pass removes of one interface.
#[derive(Default)]
struct Planned {
    shown: PrunedInterface,
    forgotten: Vec<Forgotten>,
    chains: Chains,
}

impl Retention {
    /// Plans what goes and, unless only the plan is wanted, removes it.
    ///
    /// # Errors
    /// [`PassError`].
    pub(super) async fn run(&self, mode: PruneMode) -> Result<StorePruned, PassError> {
        match mode {
            PruneMode::Plan => {
                let Ok(_beside) = self.freeing.try_read() else { return Err(PassError::UnderWay) };
                self.plan().await
            }
            PruneMode::Remove => {
                // Never waits: those who come later would wait behind it.
                let Ok(_alone) = self.freeing.try_write() else { return Err(PassError::UnderWay) };
                self.pass().await
            }
        }
    }

    /// Whether a pass is due: the last one ended at least `every` ago, or was cut short.
    pub(super) async fn is_due(&self, every: Duration) -> bool {
        let known = self.ask_engine(|engine| engine.retention()).await;
        let before = self.clock.now() - every;
        known.is_ok_and(|known| known.unfreed || known.ended_at.is_none_or(|at| at <= before))
    }

    /// Whether no pass came to its end for twice as long as there should be between two; without any, since `begun`.
    pub(super) async fn is_late(&self, every: Duration, begun: Instant) -> bool {
        let known = self.ask_engine(|engine| engine.retention()).await;
        let before = self.clock.now() - every * 2;
        known.is_ok_and(|known| known.ended_at.unwrap_or(begun) < before)
    }

    /// Begins to look every few minutes whether a pass is due.
    ///
    /// # Errors
    /// The scheduler refuses.
    pub(super) async fn start(
        &self,
        scheduler: &JobScheduler,
        every: Duration,
    ) -> Result<(), JobSchedulerError> {
        let (retention, begun) = (self.clone(), self.clock.now());
        let look = Job::new_async(LOOK, move |_, _| {
            let retention = retention.clone();
            Box::pin(async move {
                if !retention.is_due(every).await || !retention.has_work().await {
                    return;
                }
                match retention.run(PruneMode::Remove).await {
                    Ok(_) => {}
                    Err(why @ PassError::UnderWay) if retention.is_late(every, begun).await => {
                        tracing::warn!(%why, "retention waits, and for too long: nothing is removed meanwhile; let checks, backups and exports end, or have fewer of them");
                    }
                    Err(why @ PassError::UnderWay) => tracing::debug!(%why, "retention waits"),
                    Err(why) => {
                        tracing::warn!(%why, "retention did not come to its end; it is tried again");
                    }
                }
            })
        })?;
        scheduler.add(look).await.map(drop)
    }

    /// Whether anybody wants anything removed.
    async fn has_work(&self) -> bool {
        self.keeping().await.is_ok_and(|keeping| !keeping.is_empty())
    }

    async fn plan(&self) -> Result<StorePruned, PassError> {
        let mut gone = Gone { near: Some(BTreeSet::new()), ..Gone::default() };
        let mut pruned = StorePruned { dry_run: true, ..StorePruned::default() };
        for keeping in self.keeping().await? {
            let planned = self.plan_interface(&keeping, &mut gone).await?;
            gone.take(&planned.forgotten);
            pruned.show(planned.shown);
        }
        self.free(gone, None, &mut pruned).await?;
        Ok(pruned)
    }

    async fn pass(&self) -> Result<StorePruned, PassError> {
        let pass = self.ask_engine(|engine| engine.next_pass()).await??;
        // What a pass that was cut short has forgotten. Where it stands was in rows that are gone.
        let unfreed = self.unfreed().await?;
        let near = unfreed.is_empty().then(BTreeSet::new);
        let mut gone = Gone { near, ..Gone::default() };
        gone.take(&unfreed);
        let mut pruned = StorePruned::default();
        for keeping in self.keeping().await? {
            let planned = self.plan_interface(&keeping, &mut gone).await?;
            if planned.forgotten.is_empty() {
                continue;
            }
            let chains = Arc::new(planned.chains);
            for batch in divide(planned.forgotten, BATCH) {
                gone.take(&self.forget(pass, batch, Arc::clone(&chains)).await?);
            }
            pruned.show(planned.shown);
        }
        let executions = gone.executions.len() as u64;
        let counts = (executions, gone.lines.len() as u64 - executions);
        self.tell_engine(move |engine, then| engine.decide_pass(pass, counts, then)).await?;
        // The next start goes on behind what is written again: a checkpoint's place in it would be lost. There are two of them,
        // in two files: the older one must not lead there either.
        let settled = *self.upkeep.log.durable().borrow();
        for _ in 0..2 {
            self.upkeep.checkpoint(0).await;
        }
        self.free(gone, Some(settled), &mut pruned).await?;
        let freed = (pruned.events, pruned.journal_bytes, pruned.lines_bytes);
        self.tell_engine(move |engine, then| engine.end_pass(pass, freed, then)).await?;
        tracing::info!(
            pass,
            executions,
            events = pruned.events,
            journal_bytes = pruned.journal_bytes,
            lines_bytes = pruned.lines_bytes,
            "retention came to its end"
        );
        Ok(pruned)
    }

    /// What was forgotten before, and whose bytes may still be there.
    async fn unfreed(&self) -> Result<Vec<Forgotten>, PassError> {
        let (upkeep, care) = (self.upkeep.clone(), self.care);
        let found = tokio::task::spawn_blocking(move || match care {
            Care::Gentle => upkeep.projections.unfreed().map_err(PassError::from),
            Care::Thorough => all_forgotten(&upkeep),
        });
        found.await?
    }

    /// What each interface keeps, with what the settings say where it says nothing; those that keep all are left out.
    async fn keeping(&self) -> Result<Vec<Keeping>, PassError> {
        let mut all = self.ask_engine(|engine| engine.keeping()).await?;
        for keeping in &mut all {
            let (own, usual) = (&mut keeping.retention, &self.usual);
            own.ok_ms = own.ok_ms.or(usual.ok_ms);
            own.ko_ms = own.ko_ms.or(usual.ko_ms);
            own.lines_ms = own.lines_ms.or(usual.lines_ms);
        }
        all.retain(|keeping| keeping.retention != definition::Retention::default());
        Ok(all)
    }

    async fn plan_interface(
        &self,
        keeping: &Keeping,
        gone: &mut Gone,
    ) -> Result<Planned, PassError> {
        let mut judge = Judge::new(keeping.retention.clone(), self.clock.now());
        let mut found: BTreeMap<ScheduleRef, Forgotten> = BTreeMap::new();
        let mut planned = Planned::default();
        planned.shown.interface = keeping.interface.to_string();
        let mut events: HashMap<ExecutionId, Vec<u64>> = HashMap::new();
        let mut before = Position(u64::MAX);
        loop {
            let page = self.page(keeping, before).await?;
            let Some(oldest) = page.last().and_then(|(events, _)| events.first()) else { break };
            before = Position(*oldest);
            for (positions, summary) in page {
                events.insert(summary.id, positions);
                let judged = judge.see(summary);
                if judged.len() > 1 {
                    let chain: Arc<[ExecutionId]> =
                        judged.iter().map(|judged| judged.execution.id).collect();
                    planned.chains.extend(chain.iter().map(|id| (*id, Arc::clone(&chain))));
                }
                for judged in judged {
                    let id = judged.execution.id;
                    let positions = events.remove(&id).unwrap_or_default();
                    let Some(of) = planned.shown.count(judged.fate) else { continue };
                    gone.at(&positions);
                    let schedule = judged.execution.schedule;
                    let forgotten = found.entry(schedule).or_insert_with_key(nothing_of);
                    match of {
                        What::Execution => forgotten.executions.push(id),
                        What::Lines => forgotten.lines.push(id),
                    }
                }
            }
            self.pause(PAUSE).await;
        }
        for schedule in &keeping.schedules {
            let Some(until) = judge.slots_until(schedule) else { continue };
            let slots = self.ask_lists(schedule, move |lists, schedule| {
                lists.forgettable_slots(schedule, until)
            });
            let slots = slots.await?;
            if !slots.is_empty() {
                planned.shown.slots_of += 1;
                gone.at(&slots);
                found.entry(schedule.clone()).or_insert_with_key(nothing_of);
            }
        }
        for (schedule, forgotten) in &mut found {
            forgotten.slots_until = judge.slots_until(schedule);
            forgotten.decided_until = judge.decided_until(schedule);
            // Oldest first: a pass that is cut short has taken what was over for longest.
            forgotten.executions.reverse();
            forgotten.lines.reverse();
            let executions: HashSet<_> = forgotten.executions.iter().copied().collect();
            let started = self.ask_lists(schedule, move |lists, schedule| {
                lists.started_slots(schedule, &executions)
            });
            gone.at(&started.await?);
        }
        planned.forgotten = found.into_values().collect();
        Ok(planned)
    }

    /// The next page of an interface's executions. Their lines are measured only where the bytes matter.
    async fn page(
        &self,
        keeping: &Keeping,
        before: Position,
    ) -> Result<Vec<(Vec<u64>, Summary)>, PassError> {
        let (lists, lines) = (self.upkeep.projections.clone(), self.lines.clone());
        let (interface, by_bytes) = (keeping.interface.clone(), keeping.retention.bytes.is_some());
        let page = tokio::task::spawn_blocking(move || {
            let mut page = lists.summaries(&interface, before, PAGE)?;
            let counted = page.iter_mut().filter(|(_, it)| by_bytes && it.lines_bytes > 0);
            for (_, summary) in counted {
                summary.lines_bytes = lines.summary(summary.id)?.map_or(0, |log| log.bytes);
            }
            Ok::<_, PassError>(page)
        });
        page.await?
    }

    /// Has a batch forgotten, and waits until the lists know; answers what of it was.
    async fn forget(
        &self,
        pass: u64,
        batch: Vec<Forgotten>,
        chains: Arc<Chains>,
    ) -> Result<Vec<Forgotten>, PassError> {
        let (reply, answer) = oneshot::channel();
        let asked = go_on(&self.upkeep.news, move |engine| {
            let then = move |forgotten, at| drop(reply.send((forgotten, at)));
            engine.forget(pass, batch, &chains, then);
        });
        if !asked {
            return Err(PassError::Engine);
        }
        let (forgotten, position) = answer.await.map_err(|_closed| PassError::Engine)?;
        self.upkeep.projections.caught_up(position).await?;
        self.pause(PAUSE).await;
        Ok(forgotten)
    }

    /// Takes what is gone out of the segments before `settled`, or only counts it.
    async fn free(
        &self,
        gone: Gone,
        settled: Option<Position>,
        pruned: &mut StorePruned,
    ) -> Result<(), PassError> {
        let gone = Arc::new(gone);
        let sealed = self.upkeep.log.sealed();
        let wanted = sealed.into_iter().filter(|sealed| {
            settled.is_none_or(|settled| sealed.last < settled)
                && gone.may_be_between(sealed.first, sealed.last)
        });
        for sealed in wanted.collect::<Vec<_>>() {
            let (log, gone) = (Arc::clone(&self.upkeep.log), Arc::clone(&gone));
            let worth = self.worth(settled, sealed.bytes);
            let done = tokio::task::spawn_blocking(move || {
                log.prune_segment(&sealed, worth, &mut |event| gone.takes(event))
            });
            let done = done.await??;
            if done.written || settled.is_none() {
                pruned.events += done.events;
                pruned.journal_bytes += done.bytes_before.saturating_sub(done.bytes_after);
            }
            self.pause(SEGMENT_PAUSE).await;
        }
        for (number, bytes) in self.lines.sealed_with(&gone.lines) {
            let (lines, gone) = (self.lines.clone(), Arc::clone(&gone));
            let pruning = match settled {
                None => Pruning::Count,
                Some(_) => Pruning::Do { worth: self.worth(settled, bytes) },
            };
            let done = tokio::task::spawn_blocking(move || {
                lines.prune_segment(number, &|id| gone.lines.contains(&id), pruning)
            });
            pruned.lines_bytes += done.await??.bytes;
            self.pause(SEGMENT_PAUSE).await;
        }
        Ok(())
    }

    /// Bytes that a segment of `bytes` must give back to be written again.
    fn worth(&self, settled: Option<Position>, bytes: u64) -> u64 {
        match (settled, self.care) {
            (None, _) => u64::MAX,
            (Some(_), Care::Gentle) => (bytes / WORTH).max(1),
            (Some(_), Care::Thorough) => 1,
        }
    }

    async fn pause(&self, pause: Duration) {
        if self.care == Care::Gentle {
            tokio::time::sleep(pause).await;
        }
    }

    async fn ask_lists<T: Send + 'static>(
        &self,
        schedule: &ScheduleRef,
        question: impl FnOnce(&Projections, &ScheduleRef) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, PassError> {
        let (lists, schedule) = (self.upkeep.projections.clone(), schedule.clone());
        Ok(tokio::task::spawn_blocking(move || question(&lists, &schedule)).await??)
    }

    async fn ask_engine<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Engine) -> T + Send + 'static,
    ) -> Result<T, PassError> {
        let (reply, answer) = oneshot::channel();
        let asked = go_on(&self.upkeep.news, move |engine| drop(reply.send(question(engine))));
        if !asked {
            return Err(PassError::Engine);
        }
        answer.await.map_err(|_closed| PassError::Engine)
    }

    /// Lets the engine record something and waits until it is on disk.
    async fn tell_engine(
        &self,
        tell: impl FnOnce(&mut Engine, Box<dyn FnOnce(Position) + Send>) + Send + 'static,
    ) -> Result<(), PassError> {
        let (reply, answer) = oneshot::channel();
        let asked = go_on(&self.upkeep.news, move |engine| {
            tell(engine, Box::new(move |_| reply.send(()).unwrap_or_default()));
        });
        if !asked {
            return Err(PassError::Engine);
        }
        answer.await.map_err(|_closed| PassError::Engine)
    }
}

/// What goes of an execution.
enum What {
    Execution,
    Lines,
}

impl PrunedInterface {
    /// Counts a fate; answers what goes, if something does.
    fn count(&mut self, fate: Fate) -> Option<What> {
        match fate {
            Fate::Stays => None,
            Fate::LinesGo(_) => {
                self.lines_of += 1;
                Some(What::Lines)
            }
            Fate::Goes(limit) => {
                self.executions += 1;
                match limit {
                    Limit::Age => self.by_age += 1,
                    Limit::Count | Limit::Bytes => self.by_count += 1,
                }
                Some(What::Execution)
            }
        }
    }
}

impl StorePruned {
    fn show(&mut self, interface: PrunedInterface) {
        if interface.executions + interface.lines_of + interface.slots_of > 0 {
            self.interfaces.push(interface);
        }
    }
}

fn nothing_of(schedule: &ScheduleRef) -> Forgotten {
    let schedule = schedule.clone();
    Forgotten {
        schedule,
        executions: Vec::new(),
        lines: Vec::new(),
        slots_until: None,
        decided_until: None,
    }
}

/// Everything that retention ever forgot.
fn all_forgotten(upkeep: &Upkeep) -> Result<Vec<Forgotten>, PassError> {
    let mut scan = upkeep.log.scan(Position(1));
    let mut found = Vec::new();
    while let Some(raw) = scan.next_raw()? {
        if raw.header().is_ok_and(|header| header.stream == StreamId::Daemon)
            && let Ok(envelope) = raw.decode()
            && let Event::HistoryPruned(HistoryPruned { step: PruneStep::Forgotten(all), .. }) =
                envelope.event
        {
            found.extend(all);
        }
    }
    Ok(found)
}
