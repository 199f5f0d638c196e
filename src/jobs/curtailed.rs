//! Lines that are not kept because the disk has little room. Whoever prints them is read on and never held up.

use serde::{Deserialize, Serialize};

use crate::domain::space::Room;
use crate::store::space::Space;

/// What the log says first begins so.
const BEGINS: &str = "the disk has little room (";
/// What it says at last, around the numbers of lines and bytes.
const COUNTED: [&str; 3] = ["the disk had little room: ", " lines with ", " bytes were not kept"];

/// What one log lacks for want of room.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Curtailed {
    lines: u64,
    bytes: u64,
}

/// Whether a line is kept: an `error`, and the `first` one of its attempt, count for more than others.
pub(super) fn keeps(space: Option<&Space>, error: bool, first: bool) -> bool {
    let Some(space) = space else { return true };
    match space.for_lines() {
        _ if space.lines_wait() => false,
        Room::Enough => true,
        Room::Low => error,
        // Without it nobody could say why the attempt failed.
        Room::Full => first,
    }
}

impl Curtailed {
    /// Counts a line that is not kept; for the first one, what the log is to say.
    pub(super) fn drop_line(&mut self, bytes: usize, room: Room) -> Option<String> {
        self.lines += 1;
        self.bytes += bytes as u64;
        let kept = match room {
            Room::Enough | Room::Low => "only error lines are kept",
            Room::Full => "only the first error of an attempt is kept",
        };
        (self.lines == 1).then(|| format!("{BEGINS}{}); from here on {kept}", room.as_str()))
    }

    /// Whether lines were dropped and need not be any more.
    pub(super) fn is_over(&self, space: Option<&Space>) -> bool {
        self.lines > 0 && keeps(space, false, false)
    }

    /// What the log is to say of the lines dropped since the last time; nothing when there were none.
    pub(super) fn end(&mut self) -> Option<String> {
        let Self { lines, bytes } = std::mem::take(self);
        let [before, between, after] = COUNTED;
        (lines > 0).then(|| format!("{before}{lines}{between}{bytes}{after}"))
    }

    /// Lines that were dropped since the last time.
    pub(super) const fn lines(&self) -> u64 {
        self.lines
    }
}

/// Whether a line of Daybook's own says that lines are dropped from there on.
pub(super) fn begins(text: &str) -> bool {
    text.starts_with(BEGINS)
}

/// How many lines were dropped, where a line of Daybook's own says so.
pub(super) fn counted(text: &str) -> Option<u64> {
    let [before, between, _] = COUNTED;
    text.strip_prefix(before)?.split_once(between)?.0.parse().ok()
}
