//! How results look: colours that nobody needs, times and sizes that people read. Tables are in [`super::table`].

use std::borrow::Cow;

use anstyle::{AnsiColor, Style};

use crate::config::{Environment, Paint};
use crate::domain::class::Level;
use crate::instant::Instant;
use crate::projection::view::{SlotOutcome, State, Status};

/// What a colour says. The text says it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// KO, refused, failed.
    Bad,
    /// As it should be.
    Good,
    /// Somebody should look.
    Odd,
    /// Under way.
    Busy,
    /// Less important than what stands beside it.
    Faint,
    /// A heading.
    Strong,
    /// Nothing in particular.
    Plain,
}

impl Tone {
    const fn style(self) -> Style {
        match self {
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Odd => AnsiColor::Yellow.on_default(),
            Self::Busy => AnsiColor::Cyan.on_default(),
            Self::Faint => Style::new().dimmed(),
            Self::Strong => Style::new().bold(),
            Self::Plain => Style::new(),
        }
    }

    /// The tone of an execution's status; KO is red (S3-5).
    pub const fn of_status(status: Status) -> Self {
        match status {
            Status::Ok => Self::Good,
            Status::Ko => Self::Bad,
            Status::Running => Self::Busy,
            Status::Queued => Self::Faint,
            Status::Cancelled => Self::Odd,
        }
    }

    /// The tone of a line's level.
    pub const fn of_level(level: Level) -> Self {
        match level {
            Level::Error => Self::Bad,
            Level::Warning => Self::Odd,
            Level::Info => Self::Plain,
            Level::Debug => Self::Faint,
        }
    }

    /// The tone of a slot's outcome.
    pub const fn of_outcome(outcome: SlotOutcome) -> Self {
        match outcome {
            SlotOutcome::Started => Self::Good,
            SlotOutcome::Skipped => Self::Odd,
            SlotOutcome::Missed => Self::Bad,
            SlotOutcome::Pending => Self::Faint,
        }
    }

    /// The tone of a schedule's or interface's state.
    pub const fn of_state(state: State) -> Self {
        match state {
            State::Active => Self::Plain,
            State::Paused => Self::Odd,
            State::Disabled | State::Removed => Self::Faint,
        }
    }
}

/// Whether colours are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    coloured: bool,
}

impl Palette {
    /// Text only.
    pub const fn plain() -> Self {
        Self { coloured: false }
    }

    /// With colours.
    pub const fn coloured() -> Self {
        Self { coloured: true }
    }

    /// Colours at a terminal that wants them.
    pub fn choose(terminal: bool, environment: &Environment) -> Self {
        match Paint::choose(terminal, environment) {
            Paint::Styled => Self::coloured(),
            Paint::Plain => Self::plain(),
        }
    }

    /// The same choice for problems in files.
    pub const fn of_problems(self) -> Paint {
        if self.coloured { Paint::Styled } else { Paint::Plain }
    }

    /// The text in the colour of `tone`.
    pub fn paint<'a>(self, tone: Tone, text: &'a str) -> Cow<'a, str> {
        if !self.coloured || tone == Tone::Plain {
            return Cow::Borrowed(text);
        }
        let style = tone.style();
        Cow::Owned(format!("{style}{text}{style:#}"))
    }
}

/// The part of an id that people read and type: a prefix that every command takes.
///
/// The first two groups are an instant, which all slots of a minute share; the next two tell a thousand of them apart.
pub fn short_id(id: &str) -> String {
    id.chars().take(23).collect()
}

/// Milliseconds as people say them: `850 ms`, `12.3 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`.
pub fn duration(ms: u64) -> String {
    let secs = ms / 1000;
    match secs {
        0 => format!("{ms} ms"),
        1..60 => format!("{}.{} s", secs, ms % 1000 / 100),
        60..3600 => two(secs / 60, "min", secs % 60, "s"),
        3600..86_400 => two(secs / 3600, "h", secs % 3600 / 60, "min"),
        _ => two(secs / 86_400, "d", secs % 86_400 / 3600, "h"),
    }
}

fn two(large: u64, unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large} {unit}")
    } else {
        format!("{large} {unit} {small} {small_unit}")
    }
}

/// An instant from where one stands: `12 s ago`, `in 5 min`, `now`.
pub fn relative(at: Instant, now: Instant) -> String {
    let coarse = |ms: u64| match ms / 1000 {
        secs @ 0..60 => format!("{secs} s"),
        secs @ 60..3600 => format!("{} min", secs / 60),
        secs @ 3600..172_800 => format!("{} h", secs / 3600),
        secs => format!("{} d", secs / 86_400),
    };
    let distance = at.millis().abs_diff(now.millis());
    match distance {
        0..1000 => "now".to_owned(),
        _ if at < now => format!("{} ago", coarse(distance)),
        _ => format!("in {}", coarse(distance)),
    }
}

/// The same, or `-` when it is not known.
pub fn relative_or_dash(at: Option<Instant>, now: Instant) -> String {
    at.map_or_else(|| "-".to_owned(), |at| relative(at, now))
}

/// An instant without its milliseconds: `2026-11-22 10:00:00Z`.
pub fn moment(at: Instant) -> String {
    at.utc().format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Bytes as people say them.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut tenths = u128::from(count) * 10;
    let mut unit = "B";
    for next in UNITS {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = next;
    }
    if unit == "B" {
        format!("{count} B")
    } else {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        let cases = [
            (0, "0 ms"),
            (850, "850 ms"),
            (12_345, "12.3 s"),
            (250_000, "4 min 10 s"),
            (7_500_000, "2 h 5 min"),
            (86_400_000, "1 d"),
        ];
        for (ms, text) in cases {
            assert_eq!(duration(ms), text);
        }
    }

    #[test]
    fn times_are_told_from_now() {
        let now = Instant::from_secs(1_000_000);
        assert_eq!(relative(Instant::from_secs(999_988), now), "12 s ago");
        assert_eq!(relative(Instant::from_secs(1_000_300), now), "in 5 min");
        assert_eq!(relative(now, now), "now");
        assert_eq!(relative_or_dash(None, now), "-");
    }

    #[test]
    fn sizes_have_one_decimal() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(5 << 30), "5.0 GiB");
    }
}
