//! What is told of an end: the attempt's, the log's, the execution's.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::domain::cause::Cause;
use crate::domain::event::{AttemptEnded, Outcome};
use crate::domain::execution::{Command, Conclusion};
use crate::domain::verdict::{self, End};
use crate::engine::ports::Reporter;
use crate::jobs::attempt::AttemptReport;
use crate::jobs::follow::Remains;
use crate::jobs::scribe::{Scribe, ScribeSummary};
use crate::store::lines::LinesError;
use crate::task;

pub(super) fn ended(attempt: u32, report: &AttemptReport) -> Command {
    Command::EndAttempt(AttemptEnded {
        attempt,
        exit_code: report.exit_code,
        signal: report.signal,
        usage: report.usage,
        outcome: report.outcome,
        cause: report.cause,
    })
}

/// Forgets what is left of an attempt when its end is on record.
pub(super) fn forget(remains: Option<Remains>, recorded: oneshot::Receiver<()>) {
    let Some(remains) = remains else { return };
    task::spawn("an attempt that is over", async move {
        if recorded.await.is_ok() {
            remains.forget();
        }
    });
}

/// Ends the log of an execution that the next start goes on with.
pub(super) async fn leave_open(scribe: Scribe, reporter: &Reporter) {
    if let Err(err) = scribe.finish().await {
        tracing::error!(execution = %reporter.execution, error = %err, "the end of a log is lost");
    }
}

/// Judges an end that no job had a part in, and writes the closing line.
pub(super) fn judged(scribe: &mut Scribe, end: End) -> AttemptReport {
    let verdict = verdict::judge(&end, Duration::ZERO, &[], scribe.attempt_summary());
    scribe.close_attempt(&verdict.closing);
    AttemptReport {
        end,
        outcome: verdict.outcome,
        class: verdict.class,
        cause: verdict.cause,
        first_error: scribe.attempt_summary().first_error.clone(),
        exit_code: None,
        signal: None,
        usage: None,
        retry_after: None,
        retryable: false,
    }
}

pub(super) async fn finish(scribe: Scribe, report: &AttemptReport) -> Conclusion {
    let interrupted = report.end == End::Interrupted;
    match scribe.finish().await {
        Ok(ScribeSummary { lines, hash, errors, .. }) => Conclusion {
            outcome: report.outcome,
            class: report.class,
            cause: report.cause,
            exit_code: report.exit_code,
            lines,
            errors,
            first_error: if report.outcome == Outcome::Ko {
                report.first_error.clone()
            } else {
                None
            },
            log_hash: hash,
            interrupted,
        },
        Err(err) => Conclusion { interrupted, ..unwritten(&err) },
    }
}

/// An execution whose log could not be written: whatever it did, nobody can tell from the log.
pub(super) fn unwritten(err: &LinesError) -> Conclusion {
    Conclusion::unknown(Cause::TecDisk, format!("the log could not be written: {err}"))
}
