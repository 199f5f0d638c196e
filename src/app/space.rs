//! The watch over the disk: looks every few seconds, tells the engine, and says what changed in the daemon's own log.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::domain::space::Room;
use crate::engine::ports::{News, go_on};
use crate::store::space::{Seen, Space};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Watches until the engine has ended.
pub(super) async fn watch(space: Arc<Space>, news: mpsc::UnboundedSender<News>) {
    let mut seen = space.watch();
    let mut told = None;
    loop {
        let now = *seen.borrow_and_update();
        if told != Some((now.room, now.log_waits)) {
            told = Some((now.room, now.log_waits));
            say(&now, space.dropped_so_far().0);
            let (space, now) = (Arc::clone(&space), now);
            if !go_on(&news, move |engine| engine.see_room(now, space.dropped_so_far().0)) {
                return;
            }
        }
        tokio::select! {
            changed = seen.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK_EVERY) => {
                let looking = Arc::clone(&space);
                // A file system that hangs must hold nobody up.
                drop(tokio::task::spawn_blocking(move || looking.look()).await);
            }
        }
    }
}

fn say(seen: &Seen, lines_dropped: u64) {
    let (free, reserve) = (seen.measured.free, seen.reserve);
    match seen.room() {
        Room::Enough => {
            tracing::info!(
                free_bytes = free,
                reserve_bytes = reserve,
                lines_dropped,
                "there is enough room on the disk"
            );
        }
        Room::Low => {
            tracing::warn!(
                free_bytes = free,
                reserve_bytes = reserve,
                lines_dropped,
                "disk-low: of what jobs print only error lines are kept"
            );
        }
        Room::Full => {
            tracing::error!(
                free_bytes = free,
                reserve_bytes = reserve,
                lines_dropped,
                log_waits = seen.log_waits,
                "disk-full: nothing new is started"
            );
        }
    }
}
