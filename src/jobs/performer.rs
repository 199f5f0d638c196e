//! Performs executions for the engine: attempt after attempt, the waits between them, and the end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::attempt::{AttemptContext, AttemptReport, JobSettings, Made, make_attempt};
use super::conclude::Concluder;
use super::follow::{Followed, Remains};
use super::redact::Redactor;
use super::runner::AttemptKey;
use super::runners::Runners;
use super::scribe::{Scribe, ScribeNews, ScribeParts};
use super::survivors::Survivors;
use super::tidings::Tidings;
use crate::clock::{Clock, Woke};
use crate::domain::cause::Cause;
use crate::domain::class::Level;
use crate::domain::classify::Classifier;
use crate::domain::definition;
use crate::domain::event::RetryPlanned;
use crate::domain::execution::{Command, Conclusion};
use crate::domain::retry;
use crate::domain::verdict::{self, End};
use crate::engine::ports::{BoxFuture, Held, HeldAttempt, Performer, Reporter, Unfinished, Work};
use crate::ids::InterfaceId;
use crate::instant::Instant;
use crate::store::lines::{LineStore, LogWriter};

mod closing;
mod left;

use closing::{ended, finish, forget, judged, leave_open, unwritten};

/// Performs executions on this machine.
#[derive(Clone)]
pub struct LocalPerformer(Arc<Shared>);

struct Shared {
    lines: LineStore,
    settings: Arc<JobSettings>,
    clock: Arc<dyn Clock>,
    /// A number from 0 to 1, fresh each time.
    jitter: Box<dyn Fn() -> f64 + Send + Sync>,
    classifiers: Mutex<HashMap<InterfaceId, (u32, Arc<Classifier>)>>,
    builtin: Arc<Classifier>,
    survivors: Arc<Survivors>,
    /// No further attempt begins; what runs goes on. The end of `settings.interrupt` is the end of this as well.
    draining: CancellationToken,
    /// Executions that are worked on.
    under_way: watch::Sender<usize>,
}

impl LocalPerformer {
    /// A performer that writes to `lines` and classifies by `builtin` where an interface has no rules of its own.
    /// `jitter` gives a fresh number from 0 to 1.
    pub fn new(
        lines: LineStore,
        settings: Arc<JobSettings>,
        clock: Arc<dyn Clock>,
        builtin: Arc<Classifier>,
        jitter: Box<dyn Fn() -> f64 + Send + Sync>,
    ) -> Self {
        let draining = settings.interrupt.child_token();
        let survivors = Arc::new(Survivors::new(settings.runners.cgroups()));
        Self(Arc::new(Shared {
            lines,
            settings,
            clock,
            jitter,
            classifiers: Mutex::default(),
            builtin,
            survivors,
            draining,
            under_way: watch::Sender::new(0),
        }))
    }

    /// How many executions are worked on.
    pub fn under_way(&self) -> usize {
        *self.0.under_way.borrow()
    }

    /// Resolves when no execution is worked on.
    pub async fn idle(&self) {
        let mut under_way = self.0.under_way.subscribe();
        // It cannot be closed: the sender is part of `self`.
        drop(under_way.wait_for(|count| *count == 0).await);
    }

    /// Who owns the commands.
    pub fn runners(&self) -> &Runners {
        &self.0.settings.runners
    }

    /// Lets no planned attempt begin any more: executions that wait for one are left to the next start.
    pub fn drain(&self) {
        self.0.draining.cancel();
    }

    /// Lets go of everything that is worked on: calls end as interrupted, as does whatever begins from now on, and commands are
    /// left to their runner.
    pub fn interrupt(&self) {
        self.0.settings.interrupt.cancel();
    }
}

/// An execution's log while it is written.
struct Log {
    scribe: Scribe,
    tidings: Tidings,
}

/// An attempt that is to follow the one of the context.
struct Planned {
    context: AttemptContext,
    log: Log,
    at: Instant,
}

/// Counts an execution for as long as it is worked on, also when that panics.
struct UnderWay(Arc<Shared>);

impl UnderWay {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.under_way.send_modify(|count| *count += 1);
        Self(Arc::clone(shared))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.send_modify(|count| *count -= 1);
    }
}

impl Performer for LocalPerformer {
    fn perform(&self, work: Work, reporter: Reporter) -> BoxFuture<()> {
        // Counted from here on: the future may be polled later.
        let (shared, under_way) = (Arc::clone(&self.0), UnderWay::begin(&self.0));
        Box::pin(async move {
            shared.perform(work, &reporter).await;
            drop(under_way);
        })
    }

    fn resume(&self, work: Work, at: Instant, reporter: Reporter) -> BoxFuture<()> {
        let (shared, under_way) = (Arc::clone(&self.0), UnderWay::begin(&self.0));
        Box::pin(async move {
            shared.resume(work, at, &reporter).await;
            drop(under_way);
        })
    }

    fn held(&self) -> BoxFuture<Held> {
        let runners = self.runners().clone();
        Box::pin(async move { runners.held().await })
    }

    fn take_over(&self, work: Work, reporter: Reporter) -> BoxFuture<()> {
        let (shared, under_way) = (Arc::clone(&self.0), UnderWay::begin(&self.0));
        let left = self.0.left_of(&work);
        Box::pin(async move {
            shared.take_over(work, left, &reporter).await;
            drop(under_way);
        })
    }

    fn let_go(&self, unwanted: Held) -> BoxFuture<()> {
        let runners = self.runners().clone();
        let key = |(execution, held): (_, HeldAttempt)| {
            let attempt = held.number;
            AttemptKey { execution, attempt }
        };
        let keys = unwanted.into_iter().map(key);
        let each = keys.map(move |of| {
            let runners = runners.clone();
            async move { runners.let_go(of).await }
        });
        Box::pin(async move { drop(futures_util::future::join_all(each).await) })
    }

    fn conclude(&self, work: Work, why: Unfinished) -> BoxFuture<Conclusion> {
        let (shared, under_way) = (Arc::clone(&self.0), UnderWay::begin(&self.0));
        let left = self.0.left_of(&work);
        Box::pin(async move {
            let conclusion = shared.conclude(&work, why, left).await;
            drop(under_way);
            conclusion
        })
    }
}

impl Shared {
    async fn perform(&self, work: Work, reporter: &Reporter) {
        let (seen, news) = mpsc::unbounded_channel();
        let mut scribe = self.scribe(&work, self.lines.writer(work.execution), seen);
        let Some(context) = self.context(&work) else {
            let report = self.without_definition(&mut scribe);
            drop(self.close(scribe, report, 1, reporter).await);
            return;
        };
        let tidings = Tidings::new(news, &self.lines, work.execution);
        let planned = self.attempt(context, Log { scribe, tidings }, None, reporter).await;
        self.go_on(planned, reporter).await;
    }

    /// Goes on where a former process waited for the next attempt.
    async fn resume(&self, work: Work, at: Instant, reporter: &Reporter) {
        let (seen, news) = mpsc::unbounded_channel();
        let log = self.concluder().errors_of(&work).and_then(|(errors, _)| {
            let writer = self.lines.reopen_writer(work.execution)?;
            Ok(self.scribe(&work, writer, seen).continued(work.attempts, errors))
        });
        let mut scribe = match log {
            Ok(scribe) => scribe,
            Err(err) => return reporter.tell(vec![Command::Close(unwritten(&err))]),
        };
        let Some(context) = self.context(&work) else {
            let report = self.without_definition(&mut scribe);
            return self.conclude_with(scribe, &report, reporter).await;
        };
        let tidings = Tidings::new(news, &self.lines, work.execution);
        let context = AttemptContext { attempt: work.attempts, ..context };
        let planned = Planned { context, log: Log { scribe, tidings }, at };
        self.go_on(Some(planned), reporter).await;
    }

    /// Waits for the attempts that are planned, and makes them, until the execution has ended or the daemon stops.
    async fn go_on(&self, mut next: Option<Planned>, reporter: &Reporter) {
        while let Some(planned) = next {
            let Planned { mut context, log, at } = planned;
            let cancelled = tokio::select! {
                biased;
                () = context.cancel.cancelled() => true,
                () = self.draining.cancelled() => return leave_open(log.scribe, reporter).await,
                () = wait_until(&*self.clock, at) => false,
            };
            if cancelled {
                let mut scribe = log.scribe;
                let report = judged(&mut scribe, End::Cancelled);
                return self.conclude_with(scribe, &report, reporter).await;
            }
            context.attempt += 1;
            // After a failed append it is never recorded, and the daemon ends: then nothing may begin.
            tokio::select! {
                biased;
                () = reporter.record(vec![Command::StartAttempt]) => (),
                () = self.settings.interrupt.cancelled() => {
                    return leave_open(log.scribe, reporter).await;
                }
            }
            next = self.attempt(context, log, None, reporter).await;
        }
    }

    /// Makes an attempt, and closes the execution or plans the next one.
    async fn attempt(
        &self,
        context: AttemptContext,
        mut log: Log,
        held: Option<Followed>,
        reporter: &Reporter,
    ) -> Option<Planned> {
        let (made, remains) = self.run(&context, &mut log, held, reporter).await;
        let Made::Ended(report) = made else {
            // What was begun of a line goes on with the next daemon.
            if let Err(err) = log.scribe.leave().await {
                tracing::error!(execution = %reporter.execution, error = %err, "the end of a log is lost");
            }
            return None;
        };
        let Some(planned) = self.retry(&context, &report, &mut log.scribe) else {
            let recorded = self.close(log.scribe, report, context.attempt, reporter).await;
            forget(remains, recorded);
            return None;
        };
        let delay = Duration::from_millis(planned.delay_ms);
        let text = format!("attempt {} follows in {}", planned.attempt, verdict::spoken(delay));
        log.scribe.note(Level::Info, None, None, &text, None);
        log.scribe.cut();
        let at = planned.at;
        // The output goes with the end of the attempt: by then the log must have it.
        log.tidings.on_disk(log.scribe.lines()).await;
        let happened = vec![ended(context.attempt, &report), Command::PlanRetry(planned)];
        forget(remains, reporter.report(happened));
        Some(Planned { context, log, at })
    }

    /// Runs one attempt and passes on at once what cannot wait for its end.
    async fn run(
        &self,
        context: &AttemptContext,
        log: &mut Log,
        held: Option<Followed>,
        reporter: &Reporter,
    ) -> (Made, Option<Remains>) {
        let Log { scribe, tidings } = log;
        let report = {
            let attempt = make_attempt(context, scribe, held);
            tokio::pin!(attempt);
            tokio::select! {
                biased;
                report = &mut attempt => report,
                () = tidings.pass_on(reporter) => attempt.await,
            }
        };
        if tidings.has_news() {
            // What is told waits for its line.
            scribe.cut();
            tidings.rest(reporter).await;
        }
        report
    }

    fn retry(
        &self,
        context: &AttemptContext,
        report: &AttemptReport,
        scribe: &mut Scribe,
    ) -> Option<RetryPlanned> {
        let policy = &context.interface.schedules.get(&context.schedule)?.retry;
        let AttemptReport { outcome, class, retryable, retry_after, .. } = *report;
        let ended = retry::Ended { attempt: context.attempt, outcome, class, retryable };
        if context.cancel.is_cancelled() || !retry::follows(policy, ended) {
            return None;
        }
        if let Some(asked) = retry_after.filter(|_| retry::asks_too_much(policy, retry_after)) {
            let asked = verdict::spoken(asked);
            let text = format!("asked to wait {asked}, more than `max_delay`: no further attempt");
            scribe.note(Level::Warning, None, None, &text, None);
            return None;
        }
        let attempt = context.attempt + 1;
        let delay = retry::delay(policy, attempt, retry_after, (self.jitter)());
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        let asked = retry_after.is_some_and(|asked| asked >= delay);
        Some(RetryPlanned { attempt, at: self.clock.now() + delay, delay_ms, asked })
    }

    async fn close(
        &self,
        scribe: Scribe,
        report: AttemptReport,
        attempt: u32,
        reporter: &Reporter,
    ) -> oneshot::Receiver<()> {
        let ended = ended(attempt, &report);
        let close = Command::Close(finish(scribe, &report).await);
        reporter.report(vec![ended, close])
    }

    async fn conclude_with(&self, scribe: Scribe, report: &AttemptReport, reporter: &Reporter) {
        let close = Command::Close(finish(scribe, report).await);
        reporter.tell(vec![close]);
    }

    fn scribe(
        &self,
        work: &Work,
        writer: LogWriter,
        seen: mpsc::UnboundedSender<ScribeNews>,
    ) -> Scribe {
        let schedule = schedule_of(work);
        Scribe::new(ScribeParts {
            writer,
            classifier: self.classifier(work),
            secrets: Redactor::none(),
            clock: Arc::clone(&self.clock),
            max_log_bytes: schedule.map_or(u64::MAX, |schedule| schedule.max_log_bytes),
            metrics: Arc::clone(&self.settings.metrics),
            interface: work.opened.schedule.interface.clone(),
            seen,
        })
    }

    fn context(&self, work: &Work) -> Option<AttemptContext> {
        Some(AttemptContext {
            execution: work.execution,
            attempt: 1,
            interface: Arc::clone(work.interface.as_ref()?),
            schedule: work.opened.schedule.schedule.clone(),
            opened: Arc::clone(&work.opened),
            settings: Arc::clone(&self.settings),
            clock: Arc::clone(&self.clock),
            cancel: work.cancel.clone(),
            draining: self.draining.clone(),
            lines: self.lines.clone(),
            survivors: Arc::clone(&self.survivors),
        })
    }

    /// The classifier with an interface's own rules, compiled once for each definition version.
    fn classifier(&self, work: &Work) -> Arc<Classifier> {
        let Some(interface) =
            work.interface.as_ref().filter(|interface| !interface.rules.is_empty())
        else {
            return Arc::clone(&self.builtin);
        };
        let version = work.opened.definition_version;
        let mut known = self.classifiers.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(&interface.id) {
            Some((compiled, classifier)) if *compiled == version => Arc::clone(classifier),
            Some(_) | None => {
                // The files' check compiled the same rules.
                let classifier = Classifier::new(&interface.rules)
                    .map_or_else(|_| Arc::clone(&self.builtin), Arc::new);
                known.insert(interface.id.clone(), (version, Arc::clone(&classifier)));
                classifier
            }
        }
    }

    fn without_definition(&self, scribe: &mut Scribe) -> AttemptReport {
        scribe.begin_attempt(1);
        let why =
            "the definition that it was opened with cannot be read by this version".to_owned();
        judged(scribe, End::NotStarted { cause: Cause::CfgLocal, why })
    }

    fn concluder(&self) -> Concluder<'_> {
        Concluder {
            lines: &self.lines,
            settings: &self.settings,
            clock: &*self.clock,
            survivors: &self.survivors,
        }
    }
}

fn schedule_of(work: &Work) -> Option<&definition::Schedule> {
    work.interface.as_ref()?.schedules.get(&work.opened.schedule.schedule)
}

async fn wait_until(clock: &dyn Clock, at: Instant) {
    if clock.now() >= at {
        return;
    }
    // A step of the clock wakes early; only the instant counts.
    while clock.sleep_until(at).await == Woke::Stepped && clock.now() < at {}
}
