//! PLACEHOLDER with the seams' signatures; the real one replaces it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::instant::Instant;

/// Why a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woke {
    /// It is time.
    OnTime,
    /// The clock was set.
    Stepped,
}

/// The time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Instant;
    /// Sleeps.
    fn sleep_until(&self, at: Instant) -> Pin<Box<dyn Future<Output = Woke> + Send + '_>>;
    /// Since the start.
    fn elapsed(&self) -> Duration;
}
