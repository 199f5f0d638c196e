//! The clock: the only reader of the wall clock, and the only one that waits for it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use chrono::Utc;
use rustix::time::{ClockId, DynamicClockId, Timespec};
use tokio::sync::watch;

use crate::instant::Instant;

/// Why a wait for an instant ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woke {
    /// The instant has come.
    OnTime,
    /// The wall clock was set meanwhile, or the machine resumed from suspend: look at it again.
    Stepped,
}

/// A wait for an instant.
pub type Sleep<'a> = Pin<Box<dyn Future<Output = Woke> + Send + 'a>>;

/// Tells the time and waits for it.
pub trait Clock: Send + Sync {
    /// The wall clock's reading. May go back when the host's clock is corrected.
    fn now(&self) -> Instant;

    /// Waits until the wall clock shows `at`, or is set. At once when `at` has passed.
    fn sleep_until(&self, at: Instant) -> Sleep<'_>;

    /// Time since the clock was made, by a clock that never goes back; counts suspend where the system can.
    fn elapsed(&self) -> Duration;
}

/// The host's clock.
///
/// Waits on a timerfd of the real-time clock with an absolute instant, so that a step of the clock or a suspend neither
/// lengthens a wait nor goes unnoticed; tokio's own timer stands still in suspend and knows no steps.
#[derive(Debug)]
pub struct SystemClock {
    started: Duration,
}

impl SystemClock {
    /// The host's clock; [`Clock::elapsed`] counts from here.
    pub fn new() -> Self {
        Self { started: since_boot() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now(&self) -> Instant {
        Instant::from(Utc::now())
    }

    fn sleep_until(&self, at: Instant) -> Sleep<'_> {
        Box::pin(async move {
            #[cfg(target_os = "linux")]
            match timer::wait(at).await {
                Ok(woke) => return woke,
                Err(err) => {
                    tracing::debug!(error = %err, "no kernel timer to wait on, so the wait polls the clock");
                }
            }
            self.poll_until(at).await
        })
    }

    fn elapsed(&self) -> Duration {
        since_boot().saturating_sub(self.started)
    }
}

impl SystemClock {
    /// Waits in short sleeps and compares the wall clock with the monotonic one: where there is no timerfd.
    async fn poll_until(&self, at: Instant) -> Woke {
        const STEP: Duration = Duration::from_secs(1);
        const TOLERANCE_MS: u64 = 500;
        loop {
            let (wall, steady) = (self.now(), self.elapsed());
            if wall >= at {
                return Woke::OnTime;
            }
            tokio::time::sleep(at.since(wall).min(STEP)).await;
            let expected = wall + self.elapsed().saturating_sub(steady);
            if self.now().millis().abs_diff(expected.millis()) > TOLERANCE_MS {
                return Woke::Stepped;
            }
        }
    }
}

/// Time since the machine started, suspend included; without it where the kernel cannot tell.
fn since_boot() -> Duration {
    let at = rustix::time::clock_gettime_dynamic(DynamicClockId::Boottime)
        .unwrap_or_else(|_| rustix::time::clock_gettime(ClockId::Monotonic));
    duration(at)
}

fn duration(at: Timespec) -> Duration {
    let secs = u64::try_from(at.tv_sec).unwrap_or(0);
    Duration::new(secs, u32::try_from(at.tv_nsec).unwrap_or(0))
}

#[cfg(target_os = "linux")]
mod timer {
    use std::io;
    use std::os::fd::OwnedFd;

    use rustix::io::Errno;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use super::Woke;
    use crate::instant::Instant;

    /// Waits on a new kernel timer for `at`.
    ///
    /// Source: timerfd_create(2), `TFD_TIMER_CANCEL_ON_SET`: a read fails with ECANCELED when the clock was set.
    pub(super) async fn wait(at: Instant) -> io::Result<Woke> {
        let timer = watched(arm(at)?)?;
        loop {
            let mut ready = timer.readable().await?;
            let mut expirations = [0_u8; 8];
            let read = ready.try_io(|timer| {
                rustix::io::read(timer.get_ref(), &mut expirations).map_err(io::Error::from)
            });
            match read {
                Ok(Ok(_)) => return Ok(Woke::OnTime),
                Ok(Err(err)) if err.raw_os_error() == Some(Errno::CANCELED.raw_os_error()) => {
                    return Ok(Woke::Stepped);
                }
                Ok(Err(err)) if err.kind() == io::ErrorKind::Interrupted => (),
                Ok(Err(err)) => return Err(err),
                Err(_not_ready) => (),
            }
        }
    }

    #[expect(
        deprecated,
        reason = "sound for an owned descriptor; the replacement is unsafe to call"
    )]
    fn watched(timer: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
        AsyncFd::with_interest(timer, Interest::READABLE)
    }

    fn arm(at: Instant) -> io::Result<OwnedFd> {
        let timer = timerfd_create(
            TimerfdClockId::Realtime,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        // A zero value would disarm the timer; an instant of the past fires at once.
        let ms = at.millis().max(1);
        timerfd_settime(
            &timer,
            TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET,
            &Itimerspec {
                it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
                it_value: Timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 },
            },
        )?;
        Ok(timer)
    }
}

/// A clock that runs with tokio's time, from a given instant.
///
/// Under tokio's paused time one virtual clock moves timers and timestamps together. `VirtualClock::step` is `date -s`.
#[derive(Debug)]
pub struct VirtualClock {
    started: tokio::time::Instant,
    /// What the clock shows when nothing has elapsed; changes with each step.
    epoch: watch::Sender<Instant>,
}

impl VirtualClock {
    /// A clock that shows `epoch` now.
    pub fn new(epoch: Instant) -> Self {
        Self { started: tokio::time::Instant::now(), epoch: watch::Sender::new(epoch) }
    }

    /// Sets the clock `by` forward and wakes all that wait.
    pub fn step_forward(&self, by: Duration) {
        self.epoch.send_modify(|epoch| *epoch = *epoch + by);
    }

    /// Sets the clock `by` back and wakes all that wait.
    pub fn step_back(&self, by: Duration) {
        self.epoch.send_modify(|epoch| *epoch = *epoch - by);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        *self.epoch.borrow() + self.elapsed()
    }

    fn sleep_until(&self, at: Instant) -> Sleep<'_> {
        let mut steps = self.epoch.subscribe();
        Box::pin(async move {
            loop {
                let left = at.since(self.now());
                if left.is_zero() {
                    return Woke::OnTime;
                }
                tokio::select! {
                    changed = steps.changed() => match changed {
                        Ok(()) => return Woke::Stepped,
                        // Cannot happen while `self` lives; waiting on is right either way.
                        Err(_) => tokio::time::sleep(left).await,
                    },
                    () = tokio::time::sleep(left) => (),
                }
            }
        })
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_virtual_clock_shows_the_instant_that_it_waited_for() {
        let clock = VirtualClock::new(Instant::from_secs(1_000));
        assert_eq!(clock.sleep_until(Instant::from_secs(87_400)).await, Woke::OnTime);
        assert_eq!(clock.now(), Instant::from_secs(87_400));
        assert_eq!(clock.elapsed(), Duration::from_secs(86_400));
    }

    #[tokio::test(start_paused = true)]
    async fn an_instant_of_the_past_is_not_waited_for() {
        let clock = VirtualClock::new(Instant::from_secs(1_000));
        assert_eq!(clock.sleep_until(Instant::from_secs(999)).await, Woke::OnTime);
        assert_eq!(clock.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_wakes_the_sleepers_and_does_not_move_the_monotonic_clock() {
        let clock = VirtualClock::new(Instant::from_secs(1_000));
        let sleeper = clock.sleep_until(Instant::from_secs(5_000));
        clock.step_forward(Duration::from_secs(3_600));
        assert_eq!(sleeper.await, Woke::Stepped);
        assert_eq!(clock.now(), Instant::from_secs(4_600));
        clock.step_back(Duration::from_secs(4_000));
        assert_eq!((clock.now(), clock.elapsed()), (Instant::from_secs(600), Duration::ZERO));
    }

    #[tokio::test]
    async fn the_system_clock_wakes_at_or_after_the_instant() {
        let clock = SystemClock::new();
        let at = clock.now() + Duration::from_millis(20);
        let woke = tokio::time::timeout(Duration::from_secs(20), clock.sleep_until(at)).await;
        assert_eq!(woke, Ok(Woke::OnTime));
        assert!(clock.now() >= at && clock.elapsed() >= Duration::from_millis(15));
    }

    #[tokio::test]
    async fn the_system_clock_does_not_wait_for_the_past() {
        let clock = SystemClock::new();
        for at in [Instant::from_secs(0), Instant::from_secs(-5), clock.now()] {
            let woke = tokio::time::timeout(Duration::from_secs(20), clock.sleep_until(at)).await;
            assert_eq!(woke, Ok(Woke::OnTime));
        }
    }

    #[tokio::test]
    async fn without_a_kernel_timer_the_wait_still_ends() {
        let clock = SystemClock::new();
        let at = clock.now() + Duration::from_millis(20);
        assert_eq!(clock.poll_until(at).await, Woke::OnTime);
        assert!(clock.now() >= at);
    }
}
