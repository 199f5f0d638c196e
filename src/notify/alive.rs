//! The daemon's own dead-man ping: sent only while it can still record events; to `/fail` while the disk is full.

use std::sync::Arc;
use std::time::Duration;

use super::ping::{Answer, Pinger};
use crate::clock::Clock;
use crate::domain::space::Room;
use crate::engine::board::Board;
use crate::store::space::{Seen, Space};

/// What the daemon's own ping needs.
pub struct Alive {
    /// From [`super::client`].
    pub client: reqwest::Client,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Whether the log accepts events.
    pub board: Arc<Board>,
    /// The room on the disk.
    pub space: Arc<Space>,
    /// The monitor's address.
    pub url: reqwest::Url,
    /// Between two pings.
    pub period: Duration,
    /// Hears whether a ping counted.
    pub counted: Box<dyn Fn(bool) + Send + Sync>,
}

/// Pings until the task is dropped. A daemon that cannot record anything stays silent, so that the monitor calls.
pub async fn keep_pinging(alive: Alive) {
    let pinger = Pinger::new(alive.client);
    loop {
        let healthy =
            alive.board.read(|state| state.health.deciding && state.health.append_error.is_none());
        let seen = alive.space.seen();
        if healthy {
            let answer = pinger.ping(address(&alive.url, seen.room()), body(&seen)).await;
            if let Answer::Later(why, _) | Answer::Refused(why) = &answer {
                tracing::warn!(%why, "the daemon's own ping did not count");
            }
            (alive.counted)(answer == Answer::Taken);
        }
        let next = alive.clock.now() + alive.period;
        // A disk that fills up, or has room again, is told of at once.
        let mut room = alive.space.watch();
        tokio::select! {
            _ = alive.clock.sleep_until(next) => (),
            changed = room.wait_for(|now| is_full(now) != is_full(&seen)) => drop(changed),
        }
    }
}

fn is_full(seen: &Seen) -> bool {
    seen.room() == Room::Full
}

/// The monitor's address, and that of its failures on a full disk.
fn address(url: &reqwest::Url, room: Room) -> reqwest::Url {
    let mut url = url.clone();
    if room == Room::Full
        && let Ok(mut path) = url.path_segments_mut()
    {
        path.pop_if_empty().push("fail");
    }
    url
}

fn body(seen: &Seen) -> String {
    let free = seen.measured.free >> 20;
    match seen.room() {
        Room::Enough => String::new(),
        Room::Low => format!("the disk has little room ({free} MiB): only error lines are kept"),
        Room::Full if seen.log_waits => {
            format!("the disk is full ({free} MiB): the log waits for room")
        }
        Room::Full => format!("the disk is full ({free} MiB): nothing new is started"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_a_failure_of_the_daemon_and_a_low_one_a_remark() {
        let url: reqwest::Url = "https://hc.example/ping/k?create=1".parse().expect("a URL");
        let seen = Seen { room: Room::Full, ..Seen::default() };
        assert_eq!(address(&url, Room::Full).as_str(), "https://hc.example/ping/k/fail?create=1");
        assert!(body(&seen).contains("nothing new is started"), "{}", body(&seen));
        assert_eq!(address(&url, Room::Low), url);
        assert!(body(&Seen { room: Room::Low, ..seen }).contains("only error lines"));
        assert_eq!(body(&Seen::default()), "");
    }
}
