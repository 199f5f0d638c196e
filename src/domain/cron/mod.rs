//! Cron patterns: what they may say, which wall-clock readings they match, and how to put them in words.
//!
//! A pattern knows nothing of zones; `daylight` maps its readings to instants. croner does the matching, behind our
//! own reading of the fields, which refuses what croner would take silently and says what is wrong with the rest.

mod describe;
mod field;
mod lint;
mod pattern;

pub use field::{FieldKind, PatternError};
pub use pattern::{Pattern, is_reboot};
