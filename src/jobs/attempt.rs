//! One attempt of an execution, whatever its job is: started, ended, judged, and closed by a line that says why.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::call::{self, Caller};
use super::command::{self, Program, local};
use super::credentials::CredentialDirs;
use super::process;
use super::processes::Processes;
use super::scribe::Scribe;
use crate::clock::Clock;
use crate::domain::cause::Cause;
use crate::domain::class::Class;
use crate::domain::definition::{Interface, Job, Schedule};
use crate::domain::event::{FirstError, Opened, Outcome, Usage};
use crate::domain::verdict::{self, End};
use crate::ids::{ExecutionId, ScheduleId};
use crate::telemetry::metrics::Metrics;

/// What all attempts of a daemon share.
pub struct JobSettings {
    /// The folder that holds the schedules folder.
    pub root: PathBuf,
    /// Where credentials and the commands' basic variables come from.
    pub credentials: CredentialDirs,
    /// Between TERM and KILL.
    pub grace: Duration,
    /// Ends every attempt when cancelled, and lets none begin: the daemon stops.
    pub interrupt: CancellationToken,
    /// The table of processes; its `collect_orphans` runs as a task of the daemon.
    pub processes: Processes,
    /// The one HTTP client.
    pub caller: Caller,
    /// Where lines are counted.
    pub metrics: Arc<Metrics>,
}

impl JobSettings {
    /// Settings for the daemon: it becomes the adopter of its commands' orphans. `cgroups_for` is the data folder that
    /// names its commands' cgroups; without it they get none.
    ///
    /// # Errors
    /// The kernel refuses that.
    pub fn new(
        root: PathBuf,
        credentials: CredentialDirs,
        grace: Duration,
        metrics: Arc<Metrics>,
        cgroups_for: Option<&Path>,
    ) -> io::Result<Self> {
        let caller = Caller::new(&credentials.environment);
        let (interrupt, processes) = (CancellationToken::new(), Processes::adopt(cgroups_for)?);
        Ok(Self { root, credentials, grace, interrupt, processes, caller, metrics })
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
}

impl AttemptContext {
    fn definition(&self) -> Option<&Schedule> {
        self.interface.schedules.get(&self.schedule)
    }

    /// Whether the exit status `status` is one of those that the file accepts.
    pub(super) fn accepts(&self, status: i32) -> bool {
        self.definition().is_some_and(|schedule| schedule.ok_exit.contains(&status))
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
        }
    }
}

/// Runs one attempt. Never fails: whatever goes wrong is in the report, and the closing line says it.
///
/// When this returns, no process of the attempt is left. Dropping the future instead leaves them running.
pub async fn run_attempt(context: &AttemptContext, scribe: &mut Scribe) -> AttemptReport {
    scribe.begin_attempt(context.attempt);
    let start = Instant::now();
    let schedule = context.definition();
    let ran = match schedule {
        Some(schedule) => run_job(context, schedule, scribe).await,
        None => Ran::ended(local(format!(
            "the definition has no schedule `{}/{}`",
            context.interface.id, context.schedule
        ))),
    };
    context.settings.processes.started(context.execution);
    scribe.end_output();
    let ok_exit = schedule.map_or(&[][..], |schedule| &schedule.ok_exit);
    let verdict = verdict::judge(&ran.end, start.elapsed(), ok_exit, scribe.attempt_summary());
    scribe.close_attempt(&verdict.closing);
    scribe.cut();
    AttemptReport {
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
    }
}

async fn run_job(context: &AttemptContext, schedule: &Schedule, scribe: &mut Scribe) -> Ran {
    if context.settings.interrupt.is_cancelled() {
        return Ran::ended(End::Interrupted);
    }
    let timeout = schedule.timeout_ms.map(Duration::from_millis);
    let program = match &schedule.job {
        Job::Command(arguments) => Program::Arguments(arguments),
        Job::Shell(text) => Program::Shell(text),
        Job::Http(http) => return call::run(context, schedule, http, scribe).await,
    };
    let mut learn = |secrets: &[_]| scribe.learn(secrets);
    match command::prepare(context, schedule, program, &mut learn) {
        Ok(prepared) => process::run(context, timeout, prepared, scribe).await,
        Err(end) => Ran::ended(end),
    }
}
