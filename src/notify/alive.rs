//! The daemon's own dead-man ping: sent only while it can still record events.

use std::sync::Arc;
use std::time::Duration;

use super::ping::{Answer, Pinger};
use crate::clock::Clock;
use crate::engine::board::Board;

/// What the daemon's own ping needs.
pub struct Alive {
    /// From [`super::client`].
    pub client: reqwest::Client,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Whether the log accepts events.
    pub board: Arc<Board>,
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
        if healthy {
            let answer = pinger.ping(alive.url.clone(), String::new()).await;
            if let Answer::Later(why, _) | Answer::Refused(why) = &answer {
                tracing::warn!(%why, "the daemon's own ping did not count");
            }
            (alive.counted)(answer == Answer::Taken);
        }
        let next = alive.clock.now() + alive.period;
        alive.clock.sleep_until(next).await;
    }
}
