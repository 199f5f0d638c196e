//! Lines to come that stand in the log already, where output is read once more.
//!
//! The same output gives the same lines, so their number is enough; but not where the disk had little room. What was kept then
//! depends on the room of that moment, which nobody knows any more: there the log itself says which lines it holds.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;
use std::time::Duration;

use super::Scribe;
use crate::domain::class::Source;
use crate::ids::ExecutionId;
use crate::instant::Instant;
use crate::jobs::curtailed;
use crate::store::lines::{LineQuery, LineRef, LineStore};

/// The two streams are read by threads of their own: what came later may have been read a moment before.
const APART_MAX: Duration = Duration::from_secs(1);

/// Lines to come that stand in the log already.
#[derive(Default)]
pub(super) struct Written {
    left: u64,
    /// Which they are, where some output between them was not kept.
    known: Option<VecDeque<Known>>,
}

/// A line that stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// The command's: when it was read, and a hash of its text.
    Said { source: Source, at: Instant, text: u64 },
    /// Daybook's: so many lines before it were not kept.
    Counted(u64),
    /// Another one of Daybook's.
    Own,
}

impl Known {
    fn of(line: &LineRef<'_>) -> Self {
        match (line.source, curtailed::counted(line.text)) {
            (Source::Daybook, Some(lines)) => Self::Counted(lines),
            (Source::Daybook, None) => Self::Own,
            (source, _) => Self::said(source, line.at, line.text),
        }
    }

    fn said(source: Source, at: Instant, text: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Self::Said { source, at, text: hasher.finish() }
    }
}

impl Written {
    /// So many of them.
    pub(super) const fn of(left: u64) -> Self {
        Self { left, known: None }
    }

    /// Whether any of them is still to come.
    pub(super) const fn is_left(&self) -> bool {
        self.left > 0
    }

    /// One of them has come.
    pub(super) fn pass(&mut self) {
        self.left -= 1;
        if let Some(known) = &mut self.known {
            known.pop_front();
        }
        if self.left == 0 {
            self.known = None;
        }
    }

    /// Whether a line of the command may be the next of them, or any line may come. One that may not was not kept.
    pub(super) fn may_be_next(&mut self, source: Source, at: Instant, text: &str) -> bool {
        let Some(known) = &self.known else { return true };
        if known.front() == Some(&Known::said(source, at, text)) {
            return true;
        }
        let next = known.iter().find_map(|known| match known {
            Known::Said { at, .. } => Some(*at),
            Known::Counted(_) | Known::Own => None,
        });
        // It should have come long before, so this output is not what the log was made of: only the number can be held to.
        if next.is_some_and(|next| next + APART_MAX < at) {
            self.known = None;
        }
        self.known.is_none()
    }

    /// Whether the next of them tells that `lines` were not kept; none where nobody knows.
    pub(super) fn next_counts(&self, lines: u64) -> Option<bool> {
        let known = self.known.as_ref()?;
        Some(matches!(known.front(), Some(Known::Counted(counted)) if *counted <= lines))
    }
}

impl Scribe {
    /// Looks in the log of `execution` which lines to come stand in it, if it says that some between them were not kept.
    pub(in crate::jobs) fn recall(&mut self, lines: &LineStore, execution: ExecutionId) {
        if !self.written.is_left() {
            return;
        }
        let query = LineQuery { after: self.lines, limit: usize::MAX, ..LineQuery::default() };
        // Looked for first: nearly all logs are whole, and what is kept of a long one takes much memory.
        if self.curtailed.lines() == 0 && !is_curtailed(lines, execution, &query) {
            return;
        }
        let mut known = VecDeque::new();
        let read = lines.for_each(execution, &query, &mut |line| {
            known.push_back(Known::of(&line));
            ControlFlow::Continue(())
        });
        // Of a log that cannot be read whole only the number is known.
        if read.is_ok() && known.len() as u64 == self.written.left {
            self.written.known = Some(known);
        }
    }
}

/// Whether a log says that some lines were not kept.
fn is_curtailed(lines: &LineStore, execution: ExecutionId, query: &LineQuery) -> bool {
    let mut curtailed = false;
    let read = lines.for_each(execution, query, &mut |line| {
        curtailed = line.source == Source::Daybook && curtailed::begins(line.text);
        if curtailed { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    read.is_ok() && curtailed
}
