//! Which line says why an attempt failed, found while its lines arrive.

use serde::{Deserialize, Serialize};

use super::Judgement;
use crate::domain::cause::Cause;
use crate::domain::class::{Class, Level};

/// How far below an error that does not say why its reason may stand, in lines.
const REASON_LINES: u64 = 8;

/// How good the line is that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Ground {
    /// It says that something failed, not why.
    Unexplained,
    /// The error that follows it closely says why.
    Near,
    /// The end of its own trace says why.
    Explained,
    /// It says why itself.
    Certain,
}

/// Follows the errors of one attempt.
///
/// The first error that is no cascade counts. When it does not say why (`TEC-UNCLASSIFIED`), the line that explains it does, or
/// else the next error within eight lines that says why.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct RootFinder(Option<Found>);

/// The line that counts up to now.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Found {
    /// The first error that is no cascade.
    first: u64,
    /// The line that says why.
    at: u64,
    ground: Ground,
}

impl RootFinder {
    /// Looks at line `number`, the next one of the attempt. True when the attempt failed because of what this line says, as far
    /// as its lines tell up to now.
    pub fn see(&mut self, number: u64, line: &Judgement) -> bool {
        if line.level != Level::Error || line.class.is_none_or(|class| class == Class::Cascade) {
            return false;
        }
        let says_why = line.cause != Some(Cause::TecUnclassified) || line.marked;
        let Some(Found { first, at, ground }) = self.0 else {
            let ground = if says_why { Ground::Certain } else { Ground::Unexplained };
            self.0 = Some(Found { first: number, at: number, ground });
            return true;
        };
        // A session says that a line explains another only where it knows better: the innermost cause of a trace comes last.
        let explains = line.explains.is_some_and(|head| head == first || head == at);
        let found = if explains {
            Ground::Explained
        } else if says_why && number.saturating_sub(first) <= REASON_LINES {
            Ground::Near
        } else {
            return false;
        };
        let better = explains || ground < found;
        if better {
            self.0 = Some(Found { first, at: number, ground: found });
        }
        better
    }
}
