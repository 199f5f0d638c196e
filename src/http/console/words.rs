//! How pages say instants, durations and numbers.

use std::fmt;

use crate::civil::Zone;
use crate::instant::Instant;

/// An instant: relative, with the exact one in the tooltip. The script shows it in the zone that the reader chose.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    pub(super) at: Instant,
    pub(super) now: Instant,
}

impl askama::filters::HtmlSafe for Time {}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = self.at.utc().format("%Y-%m-%d %H:%M:%S UTC");
        let at = self.at;
        write!(f, "<time datetime=\"{at}\" title=\"{exact}\">{}</time>", relative(at, self.now))
    }
}

/// `5 min ago`, `in 2 h`; a date beyond a week.
pub(super) fn relative(at: Instant, now: Instant) -> String {
    let away = at.millis().abs_diff(now.millis());
    if away < 1_000 {
        return "now".to_owned();
    }
    if away >= 7 * DAY {
        return at.utc().format("%Y-%m-%d %H:%M").to_string();
    }
    let span = span(away);
    if at > now { format!("in {span}") } else { format!("{span} ago") }
}

/// An instant as the clocks of a zone show it, with their distance from UTC: `2026-10-25 02:30:00 +02:00`.
pub(super) fn local(zone: &Zone, at: Instant) -> String {
    let shown = zone.show(at);
    let parts = shown.split_once('T').and_then(|(date, time)| {
        let (clock, offset) = time.split_at_checked(time.find(['+', '-'])?)?;
        Some(format!("{date} {clock} {offset}"))
    });
    parts.unwrap_or(shown)
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A span in its largest unit.
fn span(ms: u64) -> String {
    match ms {
        0..MINUTE => format!("{} s", ms / SECOND),
        MINUTE..HOUR => format!("{} min", ms / MINUTE),
        HOUR..DAY => format!("{} h", ms / HOUR),
        DAY.. => format!("{} d", ms / DAY),
    }
}

/// A duration with as much as matters: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`.
pub(super) fn duration(ms: &u64) -> String {
    let ms = *ms;
    match ms {
        0..SECOND => format!("{ms} ms"),
        SECOND..10_000 => format!("{}.{} s", ms / SECOND, ms % SECOND / 100),
        10_000..MINUTE => format!("{} s", ms / SECOND),
        MINUTE..HOUR => format!("{} min {} s", ms / MINUTE, ms % MINUTE / SECOND),
        HOUR..DAY => format!("{} h {} min", ms / HOUR, ms % HOUR / MINUTE),
        DAY.. => format!("{} d {} h", ms / DAY, ms % DAY / HOUR),
    }
}

/// `1 schedule`, `3 schedules`, `2,000,000 lines`.
pub(super) fn count(n: usize, what: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {what}{s}", number(n as u64))
}

/// A number with commas.
pub(super) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A text of at most `most` characters, on one line.
pub(super) fn cut(text: &str, most: usize) -> String {
    let mut shown: String = text
        .chars()
        .take(most)
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

/// An id as far as people read it; the whole one stands in the link.
pub(super) fn short(id: &impl fmt::Display) -> String {
    id.to_string().chars().take(13).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_relative_within_a_week() {
        let now = Instant::from_secs(1_795_000_000);
        let at = |secs: i64| relative(Instant::from_secs(1_795_000_000 + secs), now);
        assert_eq!(
            [at(0), at(-59), at(-61), at(3 * 3_600), at(-2 * 86_400)],
            ["now", "59 s ago", "1 min ago", "in 3 h", "2 d ago"]
        );
        assert_eq!(at(-8 * 86_400), "2026-11-10 11:06");
    }

    #[test]
    fn durations_say_as_much_as_matters() {
        let said = [42, 9_950, 59_000, 200_000, 7_500_000, 90_000_000].map(|ms| duration(&ms));
        assert_eq!(said, ["42 ms", "9.9 s", "59 s", "3 min 20 s", "2 h 5 min", "1 d 1 h"]);
    }

    #[test]
    fn a_long_text_is_cut_and_stays_on_its_line() {
        assert_eq!(cut("öäü\nx", 9), "öäü x");
        assert_eq!(cut("öäüx", 3), "öäü…");
    }

    #[test]
    fn an_instant_is_read_from_the_clocks_of_a_zone_with_their_distance_from_utc() {
        let at = Instant::parse("2026-10-25T00:30:00Z").expect("valid");
        let shown = |zone: &str| local(&Zone::load(zone).expect("a zone"), at);
        assert_eq!(shown("Europe/Paris"), "2026-10-25 02:30:00 +02:00");
        assert_eq!(shown("America/New_York"), "2026-10-24 20:30:00 -04:00");
    }

    #[test]
    fn numbers_have_commas() {
        assert_eq!([7, 999, 1_000, 2_000_000].map(number), ["7", "999", "1,000", "2,000,000"]);
        assert_eq!(count(1, "schedule"), "1 schedule");
        assert_eq!(count(0, "line"), "0 lines");
    }
}
