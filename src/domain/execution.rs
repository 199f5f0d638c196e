//! One execution's life: what may happen to it next, and what has happened.

use serde::{Deserialize, Serialize};

use super::cause::Cause;
use super::class::Class;
use super::event::{
    AnomalySeen, AttemptEnded, AttemptStarted, CancelRequested, Closed, ErrorCounts, ErrorSeen,
    Event, FirstError, LogCurtailed, LogLimited, Opened, Outcome, RetryPlanned,
};
use crate::instant::Instant;

/// An execution that was opened, folded from its stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    /// The stream's version: events applied so far.
    pub version: u64,
    /// What it was opened with.
    pub opened: Opened,
    /// When it was opened.
    pub created_at: Instant,
    /// Where it is in its life.
    pub phase: Phase,
    /// When its first attempt started.
    pub started_at: Option<Instant>,
    /// Attempts started.
    pub attempts: u32,
    /// The first error line so far.
    pub first_error: Option<FirstError>,
    /// It has been running for longer than it should.
    pub anomaly: bool,
    /// A person asked for its end.
    pub cancelling: bool,
    /// Its log has reached its limit.
    pub limited: bool,
    /// The last line that was kept before the disk had little room for its log; the newest time.
    pub curtailed: Option<u64>,
    /// Its opening's place among all openings, from 1.
    pub ordinal: u64,
}

/// Where an execution is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Waits for its turn.
    Queued,
    /// An attempt runs.
    Running,
    /// Between two attempts.
    Waiting,
    /// Over.
    Closed(Outcome),
}

/// Something that is to happen to an execution.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// The next attempt begins.
    StartAttempt,
    /// The running attempt is over.
    EndAttempt(AttemptEnded),
    /// Another attempt follows.
    PlanRetry(RetryPlanned),
    /// An error line was written.
    SeeError(FirstError),
    /// It has been running for this long, in milliseconds.
    SeeAnomaly(u64),
    /// A person asks for its end.
    Cancel(Option<String>),
    /// The log reached its limit.
    LimitLog(LogLimited),
    /// The disk has little room for its log.
    CurtailLog(LogCurtailed),
    /// It is over.
    Close(Conclusion),
}

/// How an execution ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conclusion {
    /// How it ended.
    pub outcome: Outcome,
    /// Its class; only for `ko`.
    pub class: Option<Class>,
    /// Its cause; only for `ko`.
    pub cause: Option<Cause>,
    /// Exit status of the last attempt, or its HTTP status.
    pub exit_code: Option<i32>,
    /// Lines in its log.
    pub lines: u64,
    /// Error lines by class, over all attempts.
    pub errors: ErrorCounts,
    /// The line that names the class.
    pub first_error: Option<FirstError>,
    /// BLAKE3 over the hashes of the log's chunks.
    pub log_hash: [u8; 32],
    /// Whoever performed it was gone before it ended; it may run again by itself.
    pub interrupted: bool,
}

impl Conclusion {
    /// The end of an execution of which only `cause` is known, in the words of `text`.
    pub fn unknown(cause: Cause, text: String) -> Self {
        let class = cause.class();
        Self {
            outcome: Outcome::Ko,
            class: Some(class),
            cause: Some(cause),
            exit_code: None,
            lines: 0,
            errors: ErrorCounts::default(),
            first_error: Some(FirstError { line: 0, class, cause, text }),
            log_hash: [0; 32],
            interrupted: false,
        }
    }
}

/// Why a command was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It is over; nothing but notes follows.
    #[error("the execution is over")]
    Closed,
    /// Only a running attempt can do that.
    #[error("no attempt is running")]
    NotRunning,
    /// An attempt runs already.
    #[error("an attempt is running")]
    Running,
    /// It was said before.
    #[error("that is recorded already")]
    Repeated,
}

impl Execution {
    /// The execution as its opening leaves it.
    pub const fn open(opened: Opened, at: Instant, ordinal: u64) -> Self {
        Self {
            version: 1,
            opened,
            created_at: at,
            phase: Phase::Queued,
            started_at: None,
            attempts: 0,
            first_error: None,
            anomaly: false,
            cancelling: false,
            limited: false,
            curtailed: None,
            ordinal,
        }
    }

    /// Checks `command` against this state at the instant `at`. Same state and command, same answer.
    ///
    /// # Errors
    /// [`Rejection`], each variant as its doc says.
    pub fn decide(&self, at: Instant, command: Command) -> Result<Event, Rejection> {
        if let Phase::Closed(_) = self.phase {
            return Err(Rejection::Closed);
        }
        let running = self.phase == Phase::Running;
        match command {
            Command::StartAttempt if running => Err(Rejection::Running),
            Command::StartAttempt => Ok(AttemptStarted { attempt: self.attempts + 1 }.into()),
            Command::EndAttempt(ended) if running => Ok(ended.into()),
            Command::SeeError(_) if self.first_error.is_some() => Err(Rejection::Repeated),
            Command::SeeError(error) if running => Ok(ErrorSeen { error }.into()),
            // Whoever goes on with a log reads over such places again.
            Command::LimitLog(_) if self.limited => Err(Rejection::Repeated),
            Command::LimitLog(limited) if running => Ok(limited.into()),
            Command::CurtailLog(curtailed) if self.curtailed >= Some(curtailed.line) => {
                Err(Rejection::Repeated)
            }
            Command::CurtailLog(curtailed) if running => Ok(curtailed.into()),
            Command::EndAttempt(_)
            | Command::SeeError(_)
            | Command::LimitLog(_)
            | Command::CurtailLog(_) => Err(Rejection::NotRunning),
            Command::PlanRetry(_) if running => Err(Rejection::Running),
            Command::PlanRetry(planned) => Ok(planned.into()),
            Command::SeeAnomaly(_) if self.anomaly => Err(Rejection::Repeated),
            Command::SeeAnomaly(_) if self.started_at.is_none() => Err(Rejection::NotRunning),
            Command::SeeAnomaly(after_ms) => Ok(AnomalySeen { after_ms }.into()),
            Command::Cancel(_) if self.cancelling => Err(Rejection::Repeated),
            Command::Cancel(note) => Ok(CancelRequested { note }.into()),
            Command::Close(_) if running => Err(Rejection::Running),
            Command::Close(end) => Ok(self.closed(at, end).into()),
        }
    }

    fn closed(&self, at: Instant, end: Conclusion) -> Closed {
        let duration_ms = self
            .started_at
            .map_or(0, |start| u64::try_from(at.since(start).as_millis()).unwrap_or(0));
        Closed {
            outcome: end.outcome,
            class: end.class,
            cause: end.cause,
            exit_code: end.exit_code,
            attempts: self.attempts,
            lines: end.lines,
            errors: end.errors,
            first_error: end.first_error,
            log_hash: end.log_hash,
            duration_ms,
        }
    }

    /// Folds one recorded fact of its stream. Cannot fail: what is in the log has happened.
    pub fn apply(&mut self, at: Instant, event: &Event) {
        self.version += 1;
        match event {
            Event::AttemptStarted(started) => {
                self.phase = Phase::Running;
                self.attempts = started.attempt;
                self.started_at.get_or_insert(at);
            }
            Event::AttemptEnded(_) | Event::RetryPlanned(_) => self.phase = Phase::Waiting,
            Event::ErrorSeen(seen) => self.first_error = Some(seen.error.clone()),
            Event::AnomalySeen(_) => self.anomaly = true,
            Event::CancelRequested(_) => self.cancelling = true,
            Event::Closed(closed) => self.phase = Phase::Closed(closed.outcome),
            Event::LogLimited(_) => self.limited = true,
            Event::LogCurtailed(curtailed) => self.curtailed = Some(curtailed.line),
            Event::Opened(_) | Event::Noted(_) | Event::DeliveryEnded(_) => (),
            Event::DaemonStarted(_)
            | Event::DaemonStopped(_)
            | Event::DrainAsked(_)
            | Event::ClockStepped(_)
            | Event::TokenCreated(_)
            | Event::TokenRevoked(_)
            | Event::LoginLinkCreated(_)
            | Event::RequestAnswered(_)
            | Event::FilesRefused(_)
            | Event::DiskLow(_)
            | Event::DiskRecovered(_)
            | Event::ZonesRead(_)
            | Event::HistoryPruned(_)
            | Event::BackupMade(_)
            | Event::InterfaceDefined(_)
            | Event::InterfaceRemoved(_)
            | Event::InterfacePaused(_)
            | Event::InterfaceResumed(_)
            | Event::ScheduleAnchored(_)
            | Event::SlotStarted(_)
            | Event::SlotsPassed(_)
            | Event::SchedulePaused(_)
            | Event::ScheduleResumed(_)
            | Event::ScheduleRemoved(_)
            | Event::SlotAwaited(_)
            | Event::BackfillAsked(_)
            | Event::SkipNextAsked(_)
            | Event::SkipNextUndone(_) => {
                debug_assert!(false, "{} in an execution's stream", event.name())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::event::Trigger;
    use crate::domain::space::Room;
    use crate::ids::ExecutionId;

    const START: Instant = Instant::from_secs(1_000);

    fn queued() -> Execution {
        let id = ExecutionId::random(START, [7; 10]);
        let opened = Opened {
            schedule: "fnac/sales".parse().expect("valid"),
            slot: None,
            trigger: Trigger::Manual,
            definition_version: 1,
            params: BTreeMap::new(),
            rerun_of: None,
            root: id,
            idempotency_key: id.to_string(),
            previous_slot: None,
            last_ok_slot: None,
            priority: 0,
            forced: false,
        };
        Execution::open(opened, START, 1)
    }

    fn after(mut execution: Execution, at: Instant, commands: Vec<Command>) -> Execution {
        for command in commands {
            let event = execution.decide(at, command).expect("accepted");
            execution.apply(at, &event);
        }
        execution
    }

    fn ended() -> Command {
        Command::EndAttempt(AttemptEnded {
            attempt: 1,
            exit_code: Some(0),
            signal: None,
            usage: None,
            outcome: Outcome::Ok,
            cause: None,
        })
    }

    fn conclusion() -> Command {
        Command::Close(Conclusion {
            outcome: Outcome::Ok,
            class: None,
            cause: None,
            exit_code: Some(0),
            lines: 1,
            errors: ErrorCounts::default(),
            first_error: None,
            log_hash: [0; 32],
            interrupted: false,
        })
    }

    #[test]
    fn it_runs_from_its_opening_to_its_closing() {
        let running = after(queued(), START, vec![Command::StartAttempt]);
        assert_eq!(running.phase, Phase::Running);
        let end = Instant::from_secs(1_003);
        let Ok(Event::Closed(closed)) =
            after(running, end, vec![ended()]).decide(end, conclusion())
        else {
            panic!("closes")
        };
        assert_eq!((closed.duration_ms, closed.attempts), (3_000, 1));
    }

    #[test]
    fn nothing_follows_the_closing() {
        let closed = after(queued(), START, vec![Command::StartAttempt, ended(), conclusion()]);
        for command in [
            Command::StartAttempt,
            ended(),
            Command::Cancel(None),
            conclusion(),
            Command::SeeAnomaly(1),
        ] {
            assert_eq!(closed.decide(START, command), Err(Rejection::Closed));
        }
    }

    /// A daemon that takes an attempt over reads its output once more from its beginning.
    #[test]
    fn a_limit_and_a_want_of_room_are_recorded_once_each() {
        let limit = || Command::LimitLog(LogLimited { line: 70, max_bytes: 1 << 20 });
        let curtail = |line| Command::CurtailLog(LogCurtailed { line, room: Room::Low });
        let known = vec![Command::StartAttempt, curtail(12), limit()];
        let known = after(queued(), START, known);
        for again in [limit(), curtail(12)] {
            assert_eq!(known.decide(START, again), Err(Rejection::Repeated));
        }
        assert!(known.decide(START, curtail(90)).is_ok(), "it may be low another time");
    }

    /// S3-17: once.
    #[test]
    fn an_anomaly_is_recorded_once_and_only_after_the_start() {
        assert_eq!(queued().decide(START, Command::SeeAnomaly(1)), Err(Rejection::NotRunning));
        let seen =
            after(queued(), START, vec![Command::StartAttempt, Command::SeeAnomaly(3_600_000)]);
        assert_eq!(seen.decide(START, Command::SeeAnomaly(3_600_000)), Err(Rejection::Repeated));
        assert_eq!(seen.phase, Phase::Running);
    }

    #[test]
    fn a_queued_execution_can_be_closed_without_an_attempt() {
        let closed = after(queued(), START, vec![Command::Cancel(None), conclusion()]);
        assert_eq!(closed.attempts, 0);
    }
}
