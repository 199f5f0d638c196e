//! Ends the log of an execution that nobody performs any further, and sums it up.

use std::ops::ControlFlow;
use std::time::Duration;

use super::attempt::JobSettings;
use super::credentials::{CredentialDirs, Value};
use super::procfs::Process;
use super::redact::Redactor;
use super::survivors::Survivors;
use super::tree::named;
use crate::clock::Clock;
use crate::domain::cause::Cause;
use crate::domain::class::{Class, Level, Source};
use crate::domain::event::{ErrorCounts, FirstError, Outcome};
use crate::domain::execution::Conclusion;
use crate::domain::verdict::{self, Closing, End, Said};
use crate::engine::ports::{Unfinished, Work};
use crate::store::lines::{LineQuery, LineStore, LinesError, LogWriter, NewLine};

/// What it takes to conclude executions.
pub(super) struct Concluder<'a> {
    pub(super) lines: &'a LineStore,
    pub(super) settings: &'a JobSettings,
    pub(super) clock: &'a dyn Clock,
    pub(super) survivors: &'a Survivors,
}

impl Concluder<'_> {
    /// Adds the closing line to the log of `work`, and sums the log up. What a former daemon left running is ended before.
    ///
    /// # Errors
    /// [`LinesError`] when the log cannot be read or written.
    pub(super) async fn conclude(
        &self,
        work: &Work,
        why: Unfinished,
    ) -> Result<Conclusion, LinesError> {
        let survivors = match why {
            Unfinished::Interrupted | Unfinished::CancelledInTheMiddle => {
                self.end_survivors(work).await
            }
            Unfinished::CancelledInQueue | Unfinished::Crashed => None,
        };
        let (mut errors, first_error) = self.errors_of(work)?;
        let end = match why {
            Unfinished::Interrupted => End::Interrupted,
            Unfinished::CancelledInQueue | Unfinished::CancelledInTheMiddle => End::Cancelled,
            Unfinished::Crashed => End::Crashed,
        };
        let said = Said { first_error, marked_error: false };
        let verdict = verdict::judge(&end, Duration::ZERO, &[], &said);
        let closing = &verdict.closing;
        let mut writer = self.lines.reopen_writer(work.execution)?;
        if let Some(warning) = survivors {
            self.write(&mut writer, work, &warning);
        }
        let line = self.write(&mut writer, work, closing);
        self.settings.metrics.log_lines(&work.opened.schedule.interface, writer.counts());
        let summary = writer.finish().await?;
        if let (Level::Error, Some(class)) = (closing.level, closing.class) {
            errors.add(class);
        }
        let own = closing.class.zip(closing.cause);
        let own =
            own.map(|(class, cause)| FirstError { line, class, cause, text: closing.text.clone() });
        let first_error = said.first_error.or(own).filter(|_| verdict.outcome == Outcome::Ko);
        Ok(Conclusion {
            outcome: verdict.outcome,
            class: verdict.class,
            cause: verdict.cause,
            exit_code: None,
            lines: summary.lines,
            errors,
            first_error,
            log_hash: summary.hash,
            interrupted: end == End::Interrupted,
        })
    }

    fn write(&self, writer: &mut LogWriter, work: &Work, line: &Closing) -> u64 {
        writer.push(NewLine {
            at: self.clock.now(),
            attempt: work.attempts.max(1),
            source: Source::Daybook,
            level: line.level,
            class: line.class,
            cause: line.cause,
            text: &line.text,
            cascade_of: line.cascade_of,
            fields: None,
        })
    }

    /// Error lines by class, and the first one of the last attempt that is no cascade.
    pub(super) fn errors_of(
        &self,
        work: &Work,
    ) -> Result<(ErrorCounts, Option<FirstError>), LinesError> {
        let mut counts = ErrorCounts::default();
        let mut first = None;
        let query = LineQuery { errors_only: true, ..LineQuery::default() };
        self.lines.for_each(work.execution, &query, &mut |line| {
            let Some(class) = line.class else { return ControlFlow::Continue(()) };
            counts.add(class);
            if first.is_none() && class != Class::Cascade && line.attempt == work.attempts {
                let cause = line.cause.unwrap_or(Cause::TecUnclassified);
                let text = line.text.to_owned();
                first = Some(FirstError { line: line.line, class, cause, text });
            }
            ControlFlow::Continue(())
        })?;
        Ok((counts, first))
    }

    /// Ends what a former daemon left running of `work`, and gives the line that names it.
    async fn end_survivors(&self, work: &Work) -> Option<Closing> {
        let found = self.survivors.of(work.execution).await;
        if found.is_empty() {
            return None;
        }
        let secrets = secrets_of(work, &self.settings.credentials);
        let names = |processes: &[Process]| match &secrets {
            Some(secrets) => named(processes, secrets),
            // What may stand in a command line is not known any more.
            None => format!("{} processes", processes.len()),
        };
        // While they live: afterwards nobody can say what they were.
        let mut text = format!(
            "{} ran on after the daemon had ended, ended by Daybook at its start",
            names(&found)
        );
        tracing::warn!(execution = %work.execution, processes = found.len(), "ending what a former daemon left running");
        let left = self.survivors.end(work.execution, found, self.settings.grace).await;
        if !left.is_empty() {
            text = format!("{text}; {} did not end on SIGTERM and SIGKILL", names(&left));
        }
        let level = Level::Warning;
        Some(Closing { level, class: None, cause: None, cascade_of: None, text })
    }
}

/// The secrets in the environment of `work`; none when one of them can no longer be read.
fn secrets_of(work: &Work, credentials: &CredentialDirs) -> Option<Redactor> {
    let mut secrets = Vec::new();
    for value in work.interface.as_ref()?.env.values() {
        if let Value::Secret(secret) = credentials.resolve(value).ok()? {
            secrets.push(secret);
        }
    }
    Some(Redactor::new(&secrets))
}
