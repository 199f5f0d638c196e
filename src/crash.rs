//! Places where a test lets the daemon die as a kill or a power cut would; a release has none of them.
//!
//! `TEST_CRASH_AT=<name>` or `<name>:<n>` names one, and the how many-th time it is passed. `tests/harm.rs` dies at each of
//! them under load and judges what is left.

#[cfg(debug_assertions)]
use std::sync::OnceLock;
#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! points {
    ($($(#[$doc:meta])* $point:ident = $name:literal;)*) => {
        /// A place where the daemon may be made to die.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Point { $($(#[$doc])* $point,)* }

        impl Point {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$point,)*];

            /// The name that a test gives.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$point => $name,)* }
            }
        }
    };
}

points! {
    /// The log is folded, and nothing is decided yet.
    StartFolded = "start-folded";
    /// What the start decided was handed to the log.
    StartDecided = "start-decided";
    /// The admin token stands in its file, and not on record.
    TokenWritten = "token-written";
    /// It is on record, and its file has not its name yet.
    TokenRecorded = "token-recorded";
    /// A new segment of the journal is whole, and has not its name yet.
    SegmentWritten = "segment-written";
    /// It has its name, and the folder is not synced.
    SegmentNamed = "segment-named";
    /// Appends are written, not synced.
    JournalWritten = "journal-written";
    /// They are synced, and nobody knows.
    JournalSynced = "journal-synced";
    /// All that waited for them were told.
    JournalAcknowledged = "journal-acknowledged";
    /// Readers see the decision, and what follows from it has not begun.
    DecisionShown = "decision-shown";
    /// A command is on record as started, and does not run yet.
    CommandDue = "command-due";
    /// Somebody is to be answered.
    AnswerDue = "answer-due";
    /// Something is to be delivered.
    DeliveryDue = "delivery-due";
    /// It was delivered, and that is not on record.
    Delivered = "delivered";
    /// An execution's end is reported, and not on record.
    EndReported = "end-reported";
    /// Lines are written, not synced.
    LinesWritten = "lines-written";
    /// They are synced, and nobody knows.
    LinesSynced = "lines-synced";
    /// A segment of lines is sealed, and there is no next one.
    LinesSealed = "lines-sealed";
    /// A batch of rows is in the index, and nobody knows.
    IndexWritten = "index-written";
    /// A checkpoint is written, and has not its name yet.
    CheckpointWritten = "checkpoint-written";
    /// It has its name, and the folder is not synced.
    CheckpointNamed = "checkpoint-named";
    /// The daemon was told to stop, and nothing is done about it.
    StopAsked = "stop-asked";
    /// The stop is on record, and there is no checkpoint of it.
    StopRecorded = "stop-recorded";
}

#[cfg(debug_assertions)]
static ARMED: OnceLock<(Point, AtomicU64)> = OnceLock::new();

/// Lets this process die at the place that `text` names.
///
/// # Errors
/// There is no such place; the text names all that there are.
#[cfg(debug_assertions)]
pub fn arm(text: &str) -> Result<(), String> {
    let (name, passes) = text.split_once(':').unwrap_or((text, "1"));
    let point = Point::ALL.iter().find(|point| point.name() == name);
    let passes = passes.parse().ok().filter(|passes| *passes > 0);
    let (Some(point), Some(passes)) = (point, passes) else {
        let names: Vec<_> = Point::ALL.iter().map(|point| point.name()).collect();
        return Err(format!(
            "TEST_CRASH_AT: `{text}` is not a name or `name:count`; names are {}",
            names.join(", ")
        ));
    };
    ARMED.set((*point, AtomicU64::new(passes))).map_err(|_armed| "it was armed before".to_owned())
}

/// A place where a test may let the daemon die.
#[cfg_attr(not(debug_assertions), inline(always))]
#[cfg_attr(not(debug_assertions), expect(unused_variables, reason = "only tests die"))]
pub fn point(point: Point) {
    #[cfg(debug_assertions)]
    if let Some((armed, left)) = ARMED.get()
        && *armed == point
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        die();
    }
}

/// Without unwinding, without a word: nothing of this process acts after it.
#[cfg(debug_assertions)]
fn die() -> ! {
    let own = rustix::process::getpid();
    loop {
        if let Err(err) = rustix::process::kill_process(own, rustix::process::Signal::KILL) {
            tracing::error!(%err, "a process cannot kill itself");
        }
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_none_is_answered_with_all_that_there_are() {
        for text in ["journal", "journal-synced:0", "journal-synced:x", ""] {
            let refused = arm(text).expect_err(text);
            assert!(refused.contains("journal-synced, journal-acknowledged"), "{refused}");
        }
    }
}
