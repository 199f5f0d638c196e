//! Ends the log of an execution that nobody performs any further, and sums it up.

use std::ops::ControlFlow;
use std::time::Duration;

use super::attempt::JobSettings;
use super::credentials::{CredentialDirs, Secret, Value};
use super::redact::Redactor;
use super::survivors::Survivors;
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
        self.errors_up_to(work, u64::MAX)
    }

    /// The same of the log up to a line.
    pub(super) fn errors_up_to(
        &self,
        work: &Work,
        last: u64,
    ) -> Result<(ErrorCounts, Option<FirstError>), LinesError> {
        let mut counts = ErrorCounts::default();
        let mut first = None;
        let query = LineQuery { errors_only: true, ..LineQuery::default() };
        self.lines.for_each(work.execution, &query, &mut |line| {
            if line.line > last {
                return ControlFlow::Break(());
            }
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

    /// Ends what a former daemon's runner left running of `work`, and gives the line that names it.
    pub(super) async fn end_survivors(&self, work: &Work) -> Option<Closing> {
        let found = self.survivors.of(work.execution).await;
        let (secrets, all) = secrets_of(work, &self.settings.credentials);
        let secrets = all.then(|| Redactor::new(&secrets));
        let (execution, grace) = (work.execution, self.settings.grace);
        let ended = self.survivors.end_found(execution, found, secrets.as_ref(), grace);
        let (level, text) = (Level::Warning, ended.await?);
        Some(Closing { level, class: None, cause: None, cascade_of: None, text })
    }
}

/// The secrets in the environment of `work`, and whether these are all: one that can no longer be read is missing.
pub(super) fn secrets_of(work: &Work, credentials: &CredentialDirs) -> (Vec<Secret>, bool) {
    let (mut secrets, mut all) = (Vec::new(), work.interface.is_some());
    for value in work.interface.iter().flat_map(|interface| interface.env.values()) {
        match credentials.resolve(value) {
            Ok(Value::Secret(secret)) => secrets.push(secret),
            Ok(Value::Text(_)) => (),
            Err(_) => all = false,
        }
    }
    (secrets, all)
}
