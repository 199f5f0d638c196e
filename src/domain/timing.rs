//! Placeholder.
use std::time::Duration;

use super::definition::{Dst, Timing};
use crate::civil::Zone;
use crate::instant::Instant;
/// Plan.
#[derive(Clone, Debug)]
pub struct Plan(Timing);
/// Error.
#[derive(Debug, thiserror::Error)]
#[error("no plan")]
pub struct PlanError;
impl Plan {
    /// New.
    pub fn new(timing: &Timing, _zone: &Zone, _dst: Dst) -> Result<Self, PlanError> {
        Ok(Self(timing.clone()))
    }
    /// Next.
    pub fn next_after(&self, after: Instant) -> Option<Instant> {
        let period = match &self.0 {
            Timing::Every { period_ms, .. } => i64::try_from(*period_ms).unwrap_or(1),
            Timing::Cron(_) => 7_200_000,
            _ => return None,
        };
        Some(
            Instant::from_millis(after.millis().div_euclid(period) * period)
                + Duration::from_millis(period as u64),
        )
    }
    /// Words.
    pub fn describe(&self) -> String {
        "placeholder".to_owned()
    }
    /// Expression.
    pub fn expression(&self) -> Option<String> {
        match &self.0 {
            Timing::Cron(text) => Some(text.clone()),
            _ => None,
        }
    }
}
