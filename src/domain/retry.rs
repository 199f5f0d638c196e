//! Automatic retries: whether one follows, and after how long.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};

use super::class::Class;
use super::definition::Retry;
use super::event::Outcome;
use crate::instant::Instant;

/// The wait before `next_attempt` (from 2): exponential backoff with full jitter.
///
/// `jitter` (0 to 1) is multiplied with `delay × factor^(next_attempt − 2)`, cut at `max_delay`: full jitter spreads
/// clients that failed together over the whole interval. `retry_after`, the wait that the external system asked for,
/// wins when it is longer; see [`asks_too_much`] for one beyond `max_delay`.
///
/// Source: seed 001, "Automatic retry with exponential backoff"; RFC 9110, section 10.2.3.
pub fn delay(
    policy: &Retry,
    next_attempt: u32,
    retry_after: Option<Duration>,
    jitter: f64,
) -> Duration {
    let cap = Duration::from_millis(policy.max_delay_ms);
    let steps = i32::try_from(next_attempt.saturating_sub(2)).unwrap_or(i32::MAX);
    let base = Duration::from_millis(policy.delay_ms).as_secs_f64();
    let full = (base * policy.factor.max(0.0).powi(steps)).min(cap.as_secs_f64());
    let backoff = Duration::try_from_secs_f64(full * jitter.clamp(0.0, 1.0)).unwrap_or(cap);
    retry_after.map_or(backoff, |asked| asked.max(backoff)).min(cap)
}

/// Whether the external system asked for a longer wait than `max_delay`.
///
/// Then no further attempt follows: one before the time would break the other side's word, and a hostile header must
/// not park an execution for a year.
pub fn asks_too_much(policy: &Retry, retry_after: Option<Duration>) -> bool {
    retry_after.is_some_and(|asked| asked > Duration::from_millis(policy.max_delay_ms))
}

/// What is known of an attempt when the question is whether another one follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The attempt, from 1.
    pub attempt: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// Its class.
    pub class: Option<Class>,
    /// Whether trying again can help and can do no harm.
    pub retryable: bool,
}

/// Whether another attempt follows.
///
/// Only a `ko` is tried again, while attempts are left, when its class is one of `on` (any when that is empty) and the
/// attempt itself does not forbid it: a missing program stays missing, and a `POST` whose answer never came may have
/// been carried out.
pub fn follows(policy: &Retry, ended: Ended) -> bool {
    ended.outcome == Outcome::Ko
        && ended.retryable
        && ended.attempt < policy.attempts
        && (policy.on.is_empty() || ended.class.is_some_and(|class| policy.on.contains(&class)))
}

/// Reads a `Retry-After` value: seconds, or an HTTP-date in any of its three forms, seen from `now`.
///
/// A date in the past means no wait. None for anything else. Source: RFC 9110, sections 10.2.3 and 5.6.7.
pub fn retry_after(value: &str, now: Instant) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let at = DateTime::parse_from_rfc2822(value)
        .map(|at| Instant::from(at.to_utc()))
        .ok()
        .or_else(|| obsolete_date(value))?;
    Some(at.since(now))
}

fn obsolete_date(value: &str) -> Option<Instant> {
    ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
        .into_iter()
        .find_map(|form| NaiveDateTime::parse_from_str(value, form).ok())
        .map(|at| Instant::from(at.and_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Retry {
        Retry {
            attempts: 4,
            delay_ms: 30_000,
            factor: 2.0,
            max_delay_ms: 100_000,
            on: vec![Class::External],
        }
    }

    #[test]
    fn the_wait_doubles_up_to_the_cap_and_jitter_shortens_it() {
        let waits: Vec<u64> = (2..6).map(|n| delay(&policy(), n, None, 1.0).as_secs()).collect();
        assert_eq!(waits, [30, 60, 100, 100]);
        assert_eq!(delay(&policy(), 3, None, 0.25), Duration::from_secs(15));
        assert_eq!(delay(&policy(), u32::MAX, None, 0.0), Duration::ZERO);
    }

    #[test]
    fn retry_after_wins_when_it_is_longer() {
        let asked = |secs| Some(Duration::from_secs(secs));
        assert_eq!(delay(&policy(), 2, asked(45), 1.0), Duration::from_secs(45));
        assert_eq!(delay(&policy(), 3, asked(45), 1.0), Duration::from_secs(60));
    }

    #[test]
    fn a_wait_beyond_the_longest_one_is_not_shortened_but_refused() {
        assert!(!asks_too_much(&policy(), None));
        assert!(!asks_too_much(&policy(), Some(Duration::from_secs(100))));
        assert!(asks_too_much(&policy(), Some(Duration::from_secs(101))));
    }

    #[test]
    fn retry_after_reads_seconds_and_all_three_forms_of_a_date() {
        let now = Instant::parse("1994-11-06T08:49:07Z").expect("valid");
        for value in [
            "30",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(retry_after(value, now), Some(Duration::from_secs(30)), "{value}");
        }
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:00 GMT", now), Some(Duration::ZERO));
        for value in ["", "-5", "1.5", "soon"] {
            assert_eq!(retry_after(value, now), None, "{value}");
        }
    }

    #[test]
    fn another_attempt_follows_only_where_it_can_help() {
        let ended = Ended {
            attempt: 1,
            outcome: Outcome::Ko,
            class: Some(Class::External),
            retryable: true,
        };
        assert!(follows(&policy(), ended));
        assert!(!follows(&policy(), Ended { attempt: 4, ..ended }), "no attempts left");
        assert!(!follows(&policy(), Ended { outcome: Outcome::Ok, ..ended }), "it is ok");
        assert!(!follows(&policy(), Ended { outcome: Outcome::Cancelled, ..ended }), "cancelled");
        assert!(!follows(&policy(), Ended { class: Some(Class::Mapping), ..ended }), "its class");
        assert!(!follows(&policy(), Ended { retryable: false, ..ended }), "it may have worked");
        let any = Retry { on: Vec::new(), ..policy() };
        assert!(follows(&any, Ended { class: Some(Class::Technical), ..ended }));
    }
}
