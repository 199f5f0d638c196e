//! How an attempt's end becomes its outcome, class, cause and closing line (contract, section 3, Verdict).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cause::Cause;
use super::class::{Class, Level};
use super::event::{FirstError, Outcome};

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It could not start.
    NotStarted {
        /// `CFG-LOCAL` for what an operator can mend; another one when the machine refused.
        cause: Cause,
        /// What is missing or unusable, and how to mend it.
        why: String,
    },
    /// The command ended by itself.
    Exited {
        /// Its exit status.
        status: i32,
    },
    /// A signal ended the command; not ours.
    Signalled {
        /// The signal's number.
        signal: i32,
    },
    /// The kernel ended the command because memory ran out.
    OutOfMemory,
    /// Daybook ended it at its timeout.
    TimedOut {
        /// The timeout.
        limit: Duration,
    },
    /// Daybook ended it because a person asked.
    Cancelled,
    /// The daemon or the machine stopped under it.
    Interrupted,
    /// Daybook itself failed while it performed the execution.
    Crashed,
    /// The external system answered.
    Answered {
        /// The HTTP status.
        status: u16,
        /// What is wrong with the answer; none when it is the expected one.
        fault: Option<CallFault>,
    },
    /// The external system did not answer, or not to the end.
    Unanswered {
        /// What went wrong.
        fault: CallFault,
    },
}

/// What went wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallFault {
    /// Why.
    pub cause: Cause,
    /// Whether another try can help and can do no harm.
    pub retryable: bool,
}

/// What the lines of an attempt say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The first error line that is no cascade.
    pub first_error: Option<FirstError>,
    /// The program marked an error itself.
    pub marked_error: bool,
}

/// What becomes of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it did what it should.
    pub outcome: Outcome,
    /// Whose move it is; only for `ko`.
    pub class: Option<Class>,
    /// The cause under the class; only for `ko`.
    pub cause: Option<Cause>,
    /// Whether another attempt can help and can do no harm.
    pub retryable: bool,
    /// Daybook's own last line.
    pub closing: Closing,
}

/// The last line of an attempt: why it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// Error exactly for `ko`.
    pub level: Level,
    /// Cascade when an error above says why.
    pub class: Option<Class>,
    /// The cause under the class.
    pub cause: Option<Cause>,
    /// The error above.
    pub cascade_of: Option<u64>,
    /// The words.
    pub text: String,
}

/// Judges an attempt that ended as `end` after `took`, with `ok_exit` as accepted statuses and `said` in its lines.
pub fn judge(end: &End, took: Duration, ok_exit: &[i32], said: &Said) -> Verdict {
    let fault = fault_of(end, ok_exit, said);
    let text = words(end, took, ok_exit, said);
    match fault {
        Fault::None => plain(Outcome::Ok, Level::Info, format!("ok: {text}")),
        Fault::Cancelled => plain(Outcome::Cancelled, Level::Warning, format!("cancelled: {text}")),
        Fault::Ko { cause, consequence, retryable } => {
            let first = said.first_error.as_ref();
            let closing = Closing {
                level: Level::Error,
                class: Some(first.map_or_else(|| cause.class(), |_| Class::Cascade)),
                cause: Some(first.map_or(cause, |_| consequence)),
                cascade_of: first.map(|error| error.line),
                text: format!("ko: {text}"),
            };
            Verdict {
                outcome: Outcome::Ko,
                class: Some(first.map_or_else(|| cause.class(), |error| error.class)),
                cause: Some(first.map_or(cause, |error| error.cause)),
                retryable,
                closing,
            }
        }
    }
}

fn plain(outcome: Outcome, level: Level, text: String) -> Verdict {
    let closing = Closing { level, class: None, cause: None, cascade_of: None, text };
    Verdict { outcome, class: None, cause: None, retryable: false, closing }
}

enum Fault {
    None,
    Cancelled,
    Ko {
        /// The cause when no error line names another one.
        cause: Cause,
        /// The closing line's cause when one does.
        consequence: Cause,
        retryable: bool,
    },
}

fn fault_of(end: &End, ok_exit: &[i32], said: &Said) -> Fault {
    let ko = |cause, consequence, retryable| Fault::Ko { cause, consequence, retryable };
    match end {
        End::NotStarted { cause, .. } => ko(*cause, Cause::CasAborted, *cause != Cause::CfgLocal),
        End::Exited { status } if !ok_exit.contains(status) => {
            ko(Cause::TecExit, Cause::CasExit, true)
        }
        End::Exited { .. } | End::Answered { fault: None, .. } if said.marked_error => {
            // Only consequences were marked, of an error that no line names.
            ko(Cause::TecUnclassified, Cause::CasStep, true)
        }
        End::Exited { .. } | End::Answered { fault: None, .. } => Fault::None,
        End::Signalled { .. } => ko(Cause::TecSignal, Cause::CasAborted, true),
        End::OutOfMemory => ko(Cause::TecOom, Cause::CasAborted, true),
        End::TimedOut { .. } => ko(Cause::TecTimeout, Cause::CasAborted, true),
        End::Cancelled => Fault::Cancelled,
        End::Interrupted => ko(Cause::TecInterrupted, Cause::CasAborted, false),
        End::Crashed => ko(Cause::TecCrash, Cause::CasAborted, false),
        End::Answered { fault: Some(fault), .. } | End::Unanswered { fault } => {
            ko(fault.cause, Cause::CasStep, fault.retryable)
        }
    }
}

fn words(end: &End, took: Duration, ok_exit: &[i32], said: &Said) -> String {
    let after = spoken(took);
    let marked = match &said.first_error {
        Some(first) if said.marked_error => {
            format!("; the program marked an error, see line {}", first.line)
        }
        None if said.marked_error => {
            "; the program marked consequences of an error that it did not name".to_owned()
        }
        Some(first) => format!("; the first error is line {}", first.line),
        None => String::new(),
    };
    match end {
        End::NotStarted { why, .. } => format!("not started: {why}"),
        End::Exited { status } if ok_exit.contains(status) => {
            format!("exit status {status} after {after}{marked}")
        }
        End::Exited { status } => {
            let accepted: Vec<String> = ok_exit.iter().map(ToString::to_string).collect();
            format!(
                "exit status {status} after {after}, accepted is {}{marked}",
                accepted.join(", ")
            )
        }
        End::Signalled { signal } => {
            format!("ended by signal {signal} ({}) after {after}{marked}", signal_name(*signal))
        }
        End::OutOfMemory => {
            format!("ended by the kernel after {after}: the memory ran out{marked}")
        }
        End::TimedOut { limit } => {
            format!("timed out after {}, ended by Daybook{marked}", spoken(*limit))
        }
        End::Cancelled => format!("ended by Daybook on request after {after}"),
        End::Interrupted => {
            format!("interrupted: the daemon or the machine stopped while it ran{marked}")
        }
        End::Crashed => format!(
            "given up: Daybook itself failed while it performed this execution; its own log says where{marked}"
        ),
        End::Answered { status, .. } => format!("status {status} after {after}{marked}"),
        End::Unanswered { .. } => format!("no complete answer after {after}{marked}"),
    }
}

/// A span of time in a person's units: `340 ms`, `12.3 s`, `4 min 5 s`, `1 h 2 min`.
pub fn spoken(time: Duration) -> String {
    let ms = time.as_millis();
    let secs = time.as_secs();
    match secs {
        0 => format!("{ms} ms"),
        1..60 => format!("{}.{} s", secs, ms % 1000 / 100),
        60..3600 => format!("{} min {} s", secs / 60, secs % 60),
        _ => format!("{} h {} min", secs / 3600, secs % 3600 / 60),
    }
}

/// A size in the largest binary unit that divides it: `1 MiB`, `1500 B`.
pub fn spoken_size(bytes: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let whole = units.into_iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{bytes} B"), |(name, unit)| format!("{} {name}", bytes / unit))
}

/// The name of a Linux signal on the common architectures.
pub fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => "unnamed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(error: Option<(u64, Cause)>, marked_error: bool) -> Said {
        let first_error = error.map(|(line, cause)| FirstError {
            line,
            class: cause.class(),
            cause,
            text: "words".to_owned(),
        });
        Said { first_error, marked_error }
    }

    fn unanswered() -> End {
        End::Unanswered { fault: CallFault { cause: Cause::ExtNetReset, retryable: true } }
    }

    /// An end after 1.567 s with statuses 0 and 4 accepted: `(line, cause)` of its first error, whether one was marked,
    /// and what is expected.
    struct Case(End, Option<(u64, Cause)>, bool, Outcome, Option<Cause>, &'static str);

    impl Case {
        fn check(self) {
            let Self(end, error, marked, outcome, cause, text) = self;
            let took = Duration::from_millis(1567);
            let verdict = judge(&end, took, &[0, 4], &said(error, marked));
            assert_eq!(verdict.outcome, outcome, "{end:?}");
            assert_eq!(verdict.cause, cause, "{end:?}");
            assert_eq!(verdict.class, cause.map(Cause::class), "{end:?}");
            assert_eq!(verdict.closing.text, text);
        }
    }

    const MAP: Option<(u64, Cause)> = Some((7, Cause::MapField));

    #[test]
    fn an_exit_status_and_the_marked_lines_decide() {
        use Outcome::{Ko, Ok};
        const BAD: End = End::Exited { status: 3 };
        const GOOD: End = End::Exited { status: 0 };
        const FOUR: End = End::Exited { status: 4 };
        let texts = [
            "ok: exit status 0 after 1.5 s",
            "ok: exit status 0 after 1.5 s; the first error is line 7",
            "ko: exit status 0 after 1.5 s; the program marked an error, see line 7",
            "ko: exit status 0 after 1.5 s; the program marked consequences of an error that it did not name",
            "ok: exit status 4 after 1.5 s",
            "ko: exit status 3 after 1.5 s, accepted is 0, 4",
            "ko: exit status 3 after 1.5 s, accepted is 0, 4; the first error is line 7",
        ];
        Case(GOOD, None, false, Ok, None, texts[0]).check();
        Case(GOOD, MAP, false, Ok, None, texts[1]).check();
        Case(GOOD, MAP, true, Ko, Some(Cause::MapField), texts[2]).check();
        Case(GOOD, None, true, Ko, Some(Cause::TecUnclassified), texts[3]).check();
        Case(FOUR, None, false, Ok, None, texts[4]).check();
        Case(BAD, None, false, Ko, Some(Cause::TecExit), texts[5]).check();
        Case(BAD, MAP, false, Ko, Some(Cause::MapField), texts[6]).check();
    }

    #[test]
    fn every_other_end_has_its_cause_and_its_words() {
        use Outcome::{Cancelled, Ko};
        let missing =
            End::NotStarted { cause: Cause::CfgLocal, why: "program `x` is missing".to_owned() };
        let timed_out = End::TimedOut { limit: Duration::from_secs(2700) };
        let crashed = End::Signalled { signal: 11 };
        let ko = |end, cause, text| Case(end, None, false, Ko, Some(cause), text).check();
        ko(missing, Cause::CfgLocal, "ko: not started: program `x` is missing");
        ko(timed_out, Cause::TecTimeout, "ko: timed out after 45 min 0 s, ended by Daybook");
        ko(crashed, Cause::TecSignal, "ko: ended by signal 11 (SIGSEGV) after 1.5 s");
        ko(
            End::OutOfMemory,
            Cause::TecOom,
            "ko: ended by the kernel after 1.5 s: the memory ran out",
        );
        ko(
            End::Interrupted,
            Cause::TecInterrupted,
            "ko: interrupted: the daemon or the machine stopped while it ran",
        );
        ko(
            End::Crashed,
            Cause::TecCrash,
            "ko: given up: Daybook itself failed while it performed this execution; its own log says where",
        );
        ko(unanswered(), Cause::ExtNetReset, "ko: no complete answer after 1.5 s");
        let words = "cancelled: ended by Daybook on request after 1.5 s";
        Case(End::Cancelled, MAP, true, Cancelled, None, words).check();
    }

    /// S3-10.
    #[test]
    fn the_last_line_is_a_cascade_of_the_first_error_if_there_is_one() {
        let verdict = judge(
            &End::Exited { status: 1 },
            Duration::ZERO,
            &[0],
            &said(Some((7, Cause::MapField)), false),
        );
        assert_eq!(verdict.closing.class, Some(Class::Cascade));
        assert_eq!(verdict.closing.cause, Some(Cause::CasExit));
        assert_eq!(verdict.closing.cascade_of, Some(7));
    }

    #[test]
    fn a_missing_program_is_not_tried_again() {
        let end = End::NotStarted { cause: Cause::CfgLocal, why: String::new() };
        assert!(!judge(&end, Duration::ZERO, &[0], &Said::default()).retryable);
        assert!(judge(&unanswered(), Duration::ZERO, &[0], &Said::default()).retryable);
    }

    #[test]
    fn sizes_are_spoken_in_the_unit_that_a_person_wrote() {
        let sizes = [1_500, 1 << 10, 1 << 20, 3 << 29, 1 << 30].map(spoken_size);
        assert_eq!(sizes, ["1500 B", "1 KiB", "1 MiB", "1536 MiB", "1 GiB"]);
    }

    #[test]
    fn times_are_spoken_in_a_persons_units() {
        let spoken = |ms| spoken(Duration::from_millis(ms));
        assert_eq!(spoken(340), "340 ms");
        assert_eq!(spoken(12_345), "12.3 s");
        assert_eq!(spoken(245_000), "4 min 5 s");
        assert_eq!(spoken(3_720_000), "1 h 2 min");
    }
}
