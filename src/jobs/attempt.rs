//! One attempt of an execution, whatever its job is: started, ended, judged, and closed by a line that says why.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::call::{self, Caller};
use super::command::{self, Program, local};
use super::credentials::CredentialDirs;
use super::follow::{Followed, Followup, Remains};
use super::runners::Runners;
use super::scribe::Scribe;
use super::survivors::Survivors;
use crate::clock::Clock;
use crate::domain::cause::Cause;
use crate::domain::class::{Class, Level};
use crate::domain::definition::{Interface, Job, Schedule};
use crate::domain::event::{FirstError, Opened, Outcome, Usage};
use crate::domain::verdict::{self, End};
use crate::ids::{ExecutionId, ScheduleId};
use crate::store::lines::LineStore;
use crate::telemetry::metrics::Metrics;

/// What all attempts of a daemon share.
pub struct JobSettings {
    /// The folder that holds the schedules folder.
    pub root: PathBuf,
    /// Where credentials and the commands' basic variables come from.
    pub credentials: CredentialDirs,
    /// Between TERM and KILL.
    pub grace: Duration,
    /// The daemon stops when this is cancelled: calls end, commands are left to their runner, and none begins.
    pub interrupt: CancellationToken,
    /// Who owns commands; its `keep_one` runs as a task of the daemon.
    pub runners: Runners,
    /// The one HTTP client.
    pub caller: Caller,
    /// Where lines are counted.
    pub metrics: Arc<Metrics>,
}

impl JobSettings {
    /// Settings for the daemon.
    pub fn new(
        root: PathBuf,
        credentials: CredentialDirs,
        grace: Duration,
        metrics: Arc<Metrics>,
        runners: Runners,
    ) -> Self {
        let caller = Caller::new(&credentials.environment);
        let interrupt = CancellationToken::new();
        Self { root, credentials, grace, interrupt, runners, caller, metrics }
    }
}

/// What an attempt needs to know.
pub struct AttemptContext {
    /// The execution.
    pub execution: ExecutionId,
    /// From 1.
    pub attempt: u32,
    /// The definition that the execution was opened with.
    pub interface: Arc<Interface>,
    /// Its schedule in there.
    pub schedule: ScheduleId,
    /// How the execution was opened.
    pub opened: Arc<Opened>,
    /// What all attempts share.
    pub settings: Arc<JobSettings>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ends the attempt when cancelled.
    pub cancel: CancellationToken,
    /// Cancelled once the daemon stops: what runs goes on, what only waits ends.
    pub draining: CancellationToken,
    /// The logs.
    pub lines: LineStore,
    /// Finds what runners that are gone have left.
    pub survivors: Arc<Survivors>,
}

impl AttemptContext {
    fn definition(&self) -> Option<&Schedule> {
        self.interface.schedules.get(&self.schedule)
    }

    /// Whether the exit status `status` is one of those that the file accepts.
    pub(super) fn accepts(&self, status: i32) -> bool {
        self.definition().is_some_and(|schedule| schedule.ok_exit.contains(&status))
    }

    /// How long an attempt may take.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.definition()?.timeout_ms.map(Duration::from_millis)
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptReport {
    /// What happened.
    pub end: End,
    /// Whether it did what it should.
    pub outcome: Outcome,
    /// Whose move it is; only for `ko`.
    pub class: Option<Class>,
    /// The cause under the class; only for `ko`.
    pub cause: Option<Cause>,
    /// The first error line of the attempt that is no cascade; the closing line if there was none before it.
    pub first_error: Option<FirstError>,
    /// The exit status, or the HTTP status.
    pub exit_code: Option<i32>,
    /// The signal that ended the command.
    pub signal: Option<i32>,
    /// What the command used.
    pub usage: Option<Usage>,
    /// The wait that the external system asked for.
    pub retry_after: Option<Duration>,
    /// Whether another attempt can help and can do no harm.
    pub retryable: bool,
}

/// What a job kind reports.
pub(super) struct Ran {
    pub(super) end: End,
    pub(super) exit_code: Option<i32>,
    pub(super) signal: Option<i32>,
    pub(super) usage: Option<Usage>,
    pub(super) retry_after: Option<Duration>,
    /// False when doing it again might do it twice.
    pub(super) repeatable: bool,
    /// From start to end, by who saw both; none for what this daemon did from its beginning.
    pub(super) took: Option<Duration>,
}

impl Ran {
    pub(super) const fn ended(end: End) -> Self {
        Self {
            end,
            exit_code: None,
            signal: None,
            usage: None,
            retry_after: None,
            repeatable: true,
            took: None,
        }
    }
}

/// What became of an attempt.
pub enum Made {
    /// It has ended.
    Ended(AttemptReport),
    /// The daemon stops, and the command goes on without it: the next one takes it over.
    LeftToItsRunner,
}

/// Runs one attempt. Never fails: whatever goes wrong is in the report, and the closing line says it.
///
/// When this returns a report, no process of the attempt is left. Dropping the future instead leaves them running.
pub async fn run_attempt(context: &AttemptContext, scribe: &mut Scribe) -> Made {
    make_attempt(context, scribe, None).await.0
}

/// Runs one attempt, or goes on with `held`, one that a former daemon began: `scribe` stands where its output goes on.
/// What is left of it is to be forgotten when its end is on record.
pub(super) async fn make_attempt(
    context: &AttemptContext,
    scribe: &mut Scribe,
    held: Option<Followed>,
) -> (Made, Option<Remains>) {
    let start = Instant::now();
    let followed = match held {
        Some(followed) => Ok(followed),
        None => {
            scribe.begin_attempt(context.attempt);
            begin(context, scribe).await
        }
    };
    let (ran, remains) = match followed {
        Ok(mut followed) => {
            let ran = match followed.read(context, scribe).await {
                Followup::Ended(ran) => ran,
                Followup::Lost => {
                    end_survivors(context, scribe).await;
                    Ran::ended(End::Interrupted)
                }
                Followup::LeftToItsRunner => return (Made::LeftToItsRunner, None),
            };
            (ran, Some(followed.remains()))
        }
        Err(ran) => (ran, None),
    };
    scribe.end_output();
    let ok_exit = context.definition().map_or(&[][..], |schedule| &schedule.ok_exit);
    let took = ran.took.unwrap_or_else(|| start.elapsed());
    let verdict = verdict::judge(&ran.end, took, ok_exit, scribe.attempt_summary());
    scribe.close_attempt(&verdict.closing);
    let report = AttemptReport {
        end: ran.end,
        outcome: verdict.outcome,
        class: verdict.class,
        cause: verdict.cause,
        first_error: scribe.attempt_summary().first_error.clone(),
        exit_code: ran.exit_code,
        signal: ran.signal,
        usage: ran.usage,
        retry_after: ran.retry_after,
        retryable: verdict.retryable && ran.repeatable,
    };
    (Made::Ended(report), remains)
}

/// Has a command started; a call is made to its end here.
async fn begin(context: &AttemptContext, scribe: &mut Scribe) -> Result<Followed, Ran> {
    let Some(schedule) = context.definition() else {
        return Err(Ran::ended(local(format!(
            "the definition has no schedule `{}/{}`",
            context.interface.id, context.schedule
        ))));
    };
    if context.settings.interrupt.is_cancelled() {
        return Err(Ran::ended(End::Interrupted));
    }
    let program = match &schedule.job {
        Job::Command(arguments) => Program::Arguments(arguments),
        Job::Shell(text) => Program::Shell(text),
        Job::Http(http) => return Err(call::run(context, schedule, http, scribe).await),
    };
    let before = scribe.before();
    let mut learn = |secrets: &[_]| scribe.learn(secrets);
    let start =
        command::prepare(context, schedule, program, before, &mut learn).map_err(Ran::ended)?;
    let of = start.of;
    match context.settings.runners.start(start).await {
        Ok((generation, news)) => Ok(Followed::new(generation, of, news, &context.lines)),
        Err(err) => {
            let why = format!("no runner could be started for it: {err}");
            Err(Ran::ended(End::NotStarted { cause: Cause::TecResource, why }))
        }
    }
}

/// The runner is gone: what it ran is nobody's, and is ended.
async fn end_survivors(context: &AttemptContext, scribe: &mut Scribe) {
    let secrets = scribe.secrets().clone();
    let ended =
        context.survivors.end_all(context.execution, Some(&secrets), context.settings.grace);
    if let Some(text) = ended.await {
        scribe.note(Level::Warning, None, None, &text, None);
    }
}
