//! What can become of a slot.

use serde::{Deserialize, Serialize};

/// The two ways in which a slot starts nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Somebody or some rule wanted it so.
    Skipped,
    /// Nobody wanted it so.
    Missed,
}

impl Verdict {
    /// The name used in JSON and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Missed => "missed",
        }
    }
}

/// Why a slot started nothing. A closed set (contract, section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The daemon was not running, and the schedule does not catch up.
    Down,
    /// The schedule or its interface was paused.
    Paused,
    /// The schedule is switched off in its file.
    Disabled,
    /// An execution of the schedule was open.
    Overlap,
    /// A calendar excludes it.
    Calendar,
    /// It falls into a blackout window of the interface.
    Blackout,
    /// Somebody asked to skip the next one.
    SkipNext,
    /// A newer one ran in its place.
    Coalesced,
    /// It lies outside the catch-up window.
    TooLate,
    /// More were due than may be caught up.
    Max,
    /// The schedule that it waits for did not deliver.
    Dependency,
    /// A clock correction passed over it.
    Clock,
}

impl Reason {
    /// The name used in JSON and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
            Self::Overlap => "overlap",
            Self::Calendar => "calendar",
            Self::Blackout => "blackout",
            Self::SkipNext => "skip-next",
            Self::Coalesced => "coalesced",
            Self::TooLate => "too-late",
            Self::Max => "max",
            Self::Dependency => "dependency",
            Self::Clock => "clock",
        }
    }
}
