//! What the room on the disk means: how much is little, when it is enough again, and how much is kept for the log alone.

use serde::{Deserialize, Serialize};

/// How much room the data folder's file system has, the least room last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Room {
    /// All is kept.
    #[default]
    Enough,
    /// Below `disk_low`: of what jobs print only error lines are kept.
    Low,
    /// Below `disk_full`: nothing new is started either.
    Full,
}

impl Room {
    /// All of them, the most room first.
    pub const ALL: [Self; 3] = [Self::Enough, Self::Low, Self::Full];

    /// The name used in JSON and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enough => "enough",
            Self::Low => "low",
            Self::Full => "full",
        }
    }
}

/// A part of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many bytes.
    Bytes(u64),
    /// So many hundredths of the file system.
    Percent(u8),
    /// The smaller of both: a default that fits a large disk and a small one.
    Smaller {
        /// In bytes.
        bytes: u64,
        /// In hundredths of the file system.
        percent: u8,
    },
}

impl Amount {
    /// So many bytes it is on a file system of `total` bytes.
    pub fn of(self, total: u64) -> u64 {
        let share = |percent: u8| total / 100 * u64::from(percent);
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => share(percent),
            Self::Smaller { bytes, percent } => bytes.min(share(percent)),
        }
    }
}

/// When room is little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// Below it only error lines are kept.
    pub low: Amount,
    /// Below it nothing new is started.
    pub full: Amount,
}

impl Default for Watermarks {
    fn default() -> Self {
        Self {
            low: Amount::Smaller { bytes: 512 << 20, percent: 5 },
            full: Amount::Smaller { bytes: 128 << 20, percent: 2 },
        }
    }
}

/// A look at a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Bytes that the daemon may still take.
    pub free: u64,
    /// Bytes that the file system has.
    pub total: u64,
}

impl Watermarks {
    /// What `measured` means after `before`. To get better, it takes a quarter more room than the mark, so that a disk
    /// that stays near one does not go back and forth.
    pub fn room(&self, before: Room, measured: Measured) -> Room {
        let marks = [(Room::Full, self.full), (Room::Low, self.low)];
        let below = |(room, mark): &(Room, Amount)| {
            let mark = mark.of(measured.total);
            let mark = if before >= *room { mark.saturating_add(mark / 4) } else { mark };
            measured.free < mark
        };
        marks.into_iter().find(below).map_or(Room::Enough, |(room, _)| room)
    }
}

/// The largest reserve.
const RESERVE_MAX: u64 = 64 << 20;

/// Bytes that are kept for the log on a file system of `total` bytes.
pub fn reserve_wanted(total: u64) -> u64 {
    Amount::Smaller { bytes: RESERVE_MAX, percent: 2 }.of(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_large_disk_and_a_small_one_have_marks_that_fit() {
        let marks = Watermarks::default();
        let on = |total: u64| (marks.low.of(total) / MIB, marks.full.of(total) / MIB);
        assert_eq!(on(500 << 30), (512, 128));
        assert_eq!(on(200 * MIB), (10, 4));
        assert_eq!((reserve_wanted(500 << 30) / MIB, reserve_wanted(200 * MIB) / MIB), (64, 4));
    }

    #[test]
    fn room_gets_better_only_a_quarter_above_the_mark() {
        let marks = Watermarks { low: Amount::Bytes(1_000), full: Amount::Percent(1) };
        // One percent of 40,000 is 400.
        for (before, free, after) in [
            (Room::Enough, 1_000, Room::Enough),
            (Room::Enough, 999, Room::Low),
            (Room::Enough, 399, Room::Full),
            (Room::Low, 400, Room::Low),
            (Room::Low, 1_249, Room::Low),
            (Room::Low, 1_250, Room::Enough),
            (Room::Full, 499, Room::Full),
            (Room::Full, 500, Room::Low),
            (Room::Full, 1_249, Room::Low),
            (Room::Full, 1_250, Room::Enough),
        ] {
            let found = marks.room(before, Measured { free, total: 40_000 });
            assert_eq!(found, after, "{free} bytes after {before:?}");
        }
    }
}
