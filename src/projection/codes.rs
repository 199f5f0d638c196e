//! The numbers under which closed sets stand in the rows.

use super::view::Status;
use crate::domain::class::Class;
use crate::domain::event::Trigger;
use crate::domain::slot::{Reason, Verdict};

/// Declares the two directions; a new variant does not build until it has a number.
macro_rules! codes {
    ($to:ident, $from:ident, $set:ident { $($variant:ident = $number:literal,)* }) => {
        pub(super) const fn $to(value: $set) -> u8 {
            match value { $($set::$variant => $number,)* }
        }

        pub(super) const fn $from(number: u8) -> Option<$set> {
            match number { $($number => Some($set::$variant),)* _ => None }
        }
    };
}

codes!(status_code, status_from, Status { Queued = 0, Running = 1, Ok = 2, Ko = 3, Cancelled = 4, });

codes!(class_code, class_from, Class {
    External = 0, Configuration = 1, Mapping = 2, Technical = 3, Cascade = 4,
});

codes!(trigger_code, trigger_from, Trigger {
    Cron = 0, Every = 1, At = 2, Manual = 3, Rerun = 4, Backfill = 5, CatchUp = 6, Realtime = 7,
    Webhook = 8, Reboot = 9, After = 10,
});

codes!(verdict_code, verdict_from, Verdict { Skipped = 0, Missed = 1, });

codes!(reason_code, reason_from, Reason {
    Down = 0, Paused = 1, Disabled = 2, Overlap = 3, Calendar = 4, Blackout = 5, SkipNext = 6,
    Coalesced = 7, TooLate = 8, Max = 9, Dependency = 10, Clock = 11,
});
