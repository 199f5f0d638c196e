//! Sets of positions put together: one of several lists, or in all of them.

use super::postings::Cursor;
use super::rows::{RowError, Rows};

/// A sorted set of positions.
#[derive(Debug)]
pub(super) enum Source {
    /// A stored list.
    Stored(Cursor),
    /// Positions at hand, ascending.
    Given(Vec<u64>),
    /// Those of any of them.
    Any(Vec<Source>),
}

impl Source {
    pub(super) fn stored(list: &super::keys::List<'_>) -> Self {
        Self::Stored(Cursor::new(list.prefix()))
    }

    fn at_most<R: Rows>(&mut self, rows: &R, most: u64) -> Result<Option<u64>, RowError> {
        match self {
            Self::Stored(cursor) => cursor.at_most(rows, most),
            Self::Given(numbers) => {
                let above = numbers.partition_point(|number| *number <= most);
                Ok(above.checked_sub(1).and_then(|place| numbers.get(place).copied()))
            }
            Self::Any(sources) => {
                let mut best = None;
                for source in sources {
                    best = best.max(source.at_most(rows, most)?);
                }
                Ok(best)
            }
        }
    }

    fn at_least<R: Rows>(&mut self, rows: &R, least: u64) -> Result<Option<u64>, RowError> {
        match self {
            Self::Stored(cursor) => cursor.at_least(rows, least),
            Self::Given(numbers) => {
                Ok(numbers.get(numbers.partition_point(|number| *number < least)).copied())
            }
            Self::Any(sources) => {
                let mut best: Option<u64> = None;
                for source in sources {
                    let found = source.at_least(rows, least)?;
                    best = match (best, found) {
                        (Some(one), Some(other)) => Some(one.min(other)),
                        (one, other) => one.or(other),
                    };
                }
                Ok(best)
            }
        }
    }
}

/// The largest position at or below `most` that all of `sources` have. The rarest list sets the pace: each step leaps
/// to the largest position that is still possible.
pub(super) fn common_at_most<R: Rows>(
    sources: &mut [Source],
    rows: &R,
    most: u64,
) -> Result<Option<u64>, RowError> {
    let mut candidate = most;
    loop {
        let mut agreed = true;
        for source in sources.iter_mut() {
            match source.at_most(rows, candidate)? {
                None => return Ok(None),
                Some(found) if found < candidate => {
                    candidate = found;
                    agreed = false;
                }
                Some(_same) => (),
            }
        }
        if agreed {
            return Ok(Some(candidate));
        }
    }
}

/// The smallest position at or above `least` that all of `sources` have.
pub(super) fn common_at_least<R: Rows>(
    sources: &mut [Source],
    rows: &R,
    least: u64,
) -> Result<Option<u64>, RowError> {
    let mut candidate = least;
    loop {
        let mut agreed = true;
        for source in sources.iter_mut() {
            match source.at_least(rows, candidate)? {
                None => return Ok(None),
                Some(found) if found > candidate => {
                    candidate = found;
                    agreed = false;
                }
                Some(_same) => (),
            }
        }
        if agreed {
            return Ok(Some(candidate));
        }
    }
}
