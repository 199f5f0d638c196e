//! What a thread of a runner waits for: pipes, sockets, and others that poke it.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::time::Timespec;

/// Waits until one of `ends` can do what is asked of it, or `most` is over; which can, or have ended. What is none is not
/// waited for. Whoever is woken by a signal comes back with nothing.
pub(super) fn ready<const N: usize>(
    ends: [Option<(BorrowedFd<'_>, PollFlags)>; N],
    most: Option<Duration>,
) -> [bool; N] {
    let polled = ends.iter().flatten().map(|(end, asked)| PollFd::from_borrowed_fd(*end, *asked));
    let mut polled: Vec<PollFd<'_>> = polled.collect();
    let most = most.map(|most| Timespec {
        tv_sec: i64::try_from(most.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(most.subsec_nanos()),
    });
    let told = poll(&mut polled, most.as_ref()).is_ok();
    let mut polled = polled.iter();
    ends.map(|end| {
        let polled = end.and_then(|_| polled.next());
        told && polled.is_some_and(|polled| !polled.revents().is_empty())
    })
}

/// What is waited for to be read.
pub(super) fn readable(end: BorrowedFd<'_>) -> Option<(BorrowedFd<'_>, PollFlags)> {
    Some((end, PollFlags::IN))
}

/// Wakes whoever waits for `event`.
pub(super) fn poke(event: &OwnedFd) {
    // It fails only when it was poked so often that it is awake anyway.
    rustix::io::write(event, &1_u64.to_ne_bytes()).unwrap_or_default();
}

/// Takes note that somebody poked.
pub(super) fn unpoke(event: &OwnedFd) {
    rustix::io::read(event, &mut [0; 8]).unwrap_or_default();
}

/// Something that can be poked.
///
/// # Errors
/// The system's.
pub(super) fn event() -> io::Result<Arc<OwnedFd>> {
    Ok(Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn each_end_is_told_apart_and_what_is_not_waited_for_is_never_ready() {
        let [still, poked] = [(); 2].map(|()| event().expect("an event"));
        poke(&poked);
        let now = Some(Duration::ZERO);
        let ends = [readable(still.as_fd()), None, readable(poked.as_fd())];
        assert_eq!(ready(ends, now), [false, false, true]);
        unpoke(&poked);
        assert_eq!(ready(ends, now), [false; 3]);
        assert_eq!(ready([Some((poked.as_fd(), PollFlags::OUT))], None), [true]);
    }
}
