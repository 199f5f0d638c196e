//! PLACEHOLDER with the seams' signatures; the real one replaces it.

use crate::instant::Instant;

/// Why a zone was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("zone")]
pub struct ZoneError {}

/// A time zone.
#[derive(Clone, Debug)]
pub struct Zone(jiff::tz::TimeZone);

impl Zone {
    /// Loads.
    ///
    /// # Errors
    /// Unknown name.
    pub fn load(name: &str) -> Result<Self, ZoneError> {
        jiff::tz::TimeZone::get(name).map(Self).map_err(|_err| ZoneError {})
    }

    /// The local date.
    pub fn local_date(&self, at: Instant) -> String {
        jiff::Timestamp::from_millisecond(at.millis())
            .map(|at| at.to_zoned(self.0.clone()).date().to_string())
            .unwrap_or_default()
    }
}
