//! The service manager: ready, status, watchdog.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::clock::Clock;
use crate::engine::board::Board;
use crate::engine::handle::Handle;
use crate::projection::view::Status;
use crate::store::space::Space;

/// Between two looks at the state when no watchdog asks for more.
const LOOK: Duration = Duration::from_secs(10);

/// Says that the daemon is ready. Without a service manager nothing happens.
pub(super) fn ready(schedules: usize) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("{schedules} schedules"))]);
}

/// Says that the daemon begins to stop.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(err) = sd_notify::notify(states) {
        tracing::debug!(error = %err, "the service manager does not listen");
    }
}

/// Feeds the watchdog and keeps the status line true, for as long as the append path answers: a daemon that decides but
/// cannot record is to be restarted.
pub(super) async fn report(handle: Handle, clock: Arc<dyn Clock>, append: AppendPath) {
    let watchdog = sd_notify::watchdog_enabled().map(|limit| limit / 3);
    loop {
        if append.answers().await {
            if watchdog.is_some() {
                tell(&[NotifyState::Watchdog]);
            }
            let status = handle.status();
            tell(&[NotifyState::Status(&line(handle.board(), status.running, status.queued))]);
        }
        let next = clock.now() + watchdog.unwrap_or(LOOK).min(LOOK);
        clock.sleep_until(next).await;
    }
}

fn line(board: &Board, running: u64, queued: u64) -> String {
    let (schedules, red) = board.read(|state| {
        let red = state.interfaces.values().filter(|row| row.red).count();
        (state.schedules.len(), red)
    });
    let queued =
        if queued > 0 { format!(", {queued} {}", Status::Queued.as_str()) } else { String::new() };
    let draining =
        if board.read(|state| state.health.draining.is_some()) { "draining: " } else { "" };
    let red = if red > 0 { format!(", {red} interfaces red") } else { String::new() };
    format!("{draining}{schedules} schedules, {running} running{queued}{red}")
}

/// Asks whether the append path answers.
pub(super) struct AppendPath {
    /// The engine's ear.
    pub(super) news: tokio::sync::mpsc::UnboundedSender<crate::engine::ports::News>,
    /// The room on the disk.
    pub(super) space: Arc<Space>,
}

impl AppendPath {
    /// Whether the engine takes a question and everything that it recorded before reaches the disk, within 10 s. One that
    /// waits for room on the disk needs no restart, which would not get it any.
    async fn answers(&self) -> bool {
        if self.space.seen().log_waits {
            return true;
        }
        let (reply, answer) = tokio::sync::oneshot::channel();
        let asked =
            crate::engine::ports::settled(&self.news, move |_| reply.send(()).unwrap_or_default());
        asked && tokio::time::timeout(LOOK, answer).await.is_ok_and(|answer| answer.is_ok())
    }
}
