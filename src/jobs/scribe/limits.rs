//! Lines that are not kept: beyond the log's limit, or for want of room on the disk.

use super::{Scribe, ScribeNews};
use crate::domain::class::Level;
use crate::domain::space::Room;
use crate::jobs::curtailed;

impl Scribe {
    /// Whether a line of this level is kept now.
    pub(super) fn keeps(&self, level: Level) -> bool {
        let error = level == Level::Error;
        let first = error && self.said.first_error.is_none();
        // What stands in the log already had its room.
        let has_room =
            self.written.is_left() || curtailed::keeps(self.writer.space(), error, first);
        has_room && (error || !self.limited)
    }

    pub(super) fn drop_line(&mut self, bytes: usize) {
        if let Some(space) = self.writer.space().filter(|_| !self.limited) {
            self.curtails = true;
            // What was dropped before stands in the figures of the daemon of that time, and so does how little room it had.
            if !self.written.is_left() {
                space.dropped(1, bytes as u64);
            }
            let room = space.for_lines().max(Room::Low);
            if let Some(text) = self.curtailed.drop_line(bytes, room) {
                let line = self.lines;
                self.note(Level::Warning, None, None, &text, None);
                self.tell(ScribeNews::Curtailed { line, room });
            }
            return;
        }
        self.dropped_lines += 1;
        self.dropped_bytes += bytes as u64;
    }

    pub(super) fn check_limit(&mut self) {
        if self.limited || self.bytes < self.max_log_bytes {
            return;
        }
        self.limited = true;
        let (line, max_bytes) = (self.lines, self.max_log_bytes);
        let text = format!(
            "the log has reached its limit of {max_bytes} bytes (`max_log`); from here on only error lines are kept"
        );
        self.note(Level::Warning, None, None, &text, None);
        self.tell(ScribeNews::Limited { line, max_bytes });
    }

    /// Says how much was dropped for want of room, once there is room again or the output is over.
    pub(super) fn tell_of_curtailed(&mut self, over: bool) {
        let is_over = || self.curtailed.is_over(self.writer.space());
        if (over || self.written.next_counts(self.curtailed.lines()).unwrap_or_else(is_over))
            && let Some(text) = self.curtailed.end()
        {
            self.curtails = true;
            self.note(Level::Warning, None, None, &text, None);
        }
    }
}
