//! What the room on the disk allows: on a full one slots are decided and wait, and nothing new is started.

use super::core::{Draft, Engine};
use super::handle::Refusal;
use crate::domain::event::{Actor, DiskLow, DiskRecovered};
use crate::domain::space::Room;
use crate::ids::StreamId;
use crate::store::space::Seen;

/// The room on the disk as the engine knows it.
#[derive(Debug, Default)]
pub(super) struct Disk {
    seen: Seen,
    /// The room that the newest event tells of.
    told: Room,
}

impl Disk {
    /// Whether appends wait for room.
    pub(super) const fn log_waits(&self) -> bool {
        self.seen.log_waits
    }

    fn is_full(&self) -> bool {
        self.seen.room() == Room::Full
    }
}

impl Engine {
    /// Takes note of the room without a word, before the start.
    pub fn begin_with_room(&mut self, seen: Seen) {
        self.disk.seen = seen;
    }

    /// Takes note of the room: records what changed, and starts what waits once there is enough.
    pub fn see_room(&mut self, seen: Seen, lines_dropped: u64) {
        self.disk.seen = seen;
        let mut draft = Draft::new(self.now(), Actor::Daybook);
        let (room, told) = (seen.room, self.disk.told);
        let (free_bytes, total_bytes) = (seen.measured.free, seen.measured.total);
        if room > told {
            let low = DiskLow { room, free_bytes, total_bytes };
            self.record(&mut draft, &StreamId::Daemon, low.into());
        } else if room < told {
            let recovered = DiskRecovered { room, free_bytes, total_bytes, lines_dropped };
            self.record(&mut draft, &StreamId::Daemon, recovered.into());
        }
        self.disk.told = room;
        self.start_ready(&mut draft);
        self.submit(draft);
    }

    /// Whether anybody's turn may come.
    pub(super) fn gives_turns(&self) -> bool {
        self.draining.is_none() && !self.disk.is_full()
    }

    /// Why nothing new may be started on this disk.
    pub(super) fn refuse_full(&self) -> Result<(), Refusal> {
        if self.disk.is_full() { Err(full()) } else { Ok(()) }
    }
}

/// What is answered for want of room.
pub(super) fn full() -> Refusal {
    let why = "the disk is full, and nothing new is started; make room outside of the data folder, and it goes on by itself";
    Refusal::DiskFull { why: why.to_owned() }
}
