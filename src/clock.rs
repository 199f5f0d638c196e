//! Placeholder.
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::instant::Instant;

/// Why a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woke {
    /// In time.
    OnTime,
    /// The clock was set.
    Stepped,
}

/// The clock.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Instant;
    /// Sleeps.
    fn sleep_until(&self, at: Instant) -> Pin<Box<dyn Future<Output = Woke> + Send + '_>>;
    /// Monotonic.
    fn elapsed(&self) -> Duration;
}

/// Virtual.
#[derive(Debug)]
pub struct VirtualClock {
    epoch: Instant,
    start: tokio::time::Instant,
}

impl VirtualClock {
    /// New.
    pub fn new(epoch: Instant) -> Self {
        Self { epoch, start: tokio::time::Instant::now() }
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        self.epoch + self.start.elapsed()
    }
    fn sleep_until(&self, at: Instant) -> Pin<Box<dyn Future<Output = Woke> + Send + '_>> {
        Box::pin(async move {
            tokio::time::sleep(at.since(self.now())).await;
            Woke::OnTime
        })
    }
    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}
