//! Cron patterns: what they may say, which wall-clock readings they match, and how to put them in words.
//!
//! A pattern knows nothing of zones; `daylight` maps its readings to instants. croner finds the dates, behind our
//! own reading of the fields, which refuses what croner would take silently and says what is wrong with the rest; the time
//! of day is three sets of bits.

mod dates;
mod describe;
mod field;
mod lint;
mod pattern;

pub use dates::DatePool;
pub use field::{FieldKind, PatternError};
pub use pattern::{Pattern, describe, is_reboot, warnings};
