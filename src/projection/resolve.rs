//! What people type for an execution: its id, the beginning of it, `latest` or `latest-ko`.

use uuid::Uuid;

use super::keys::{self, List};
use super::lists::{self, Source};
use super::query::QueryError;
use super::rows::{RowError, Rows};
use super::view::Status;
use super::{Rebuilding, execution_row};
use crate::ids::{ExecutionId, Position};

/// Ids that an ambiguous prefix is answered with.
const NAMED_MAX: usize = 10;

/// Why a text names no one execution.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// There is none like it.
    #[error(
        "there is no execution `{given}`: an id, the beginning of one, `latest` or `latest-ko`"
    )]
    NotFound {
        /// The text that was given.
        given: String,
    },
    /// There are several.
    #[error("`{given}` is the beginning of several ids: give more of it")]
    Ambiguous {
        /// The text that was given.
        given: String,
        /// The first ten of them.
        candidates: Vec<ExecutionId>,
    },
    /// The index is being folded again.
    #[error(transparent)]
    Rebuilding(#[from] Rebuilding),
    /// The index answers nothing of use. Callers see [`ResolveError::Rebuilding`] in its place.
    #[error("{why}")]
    Index {
        /// What is wrong with it.
        why: String,
    },
}

impl From<RowError> for ResolveError {
    fn from(err: RowError) -> Self {
        Self::Index { why: err.to_string() }
    }
}

impl From<QueryError> for ResolveError {
    fn from(err: QueryError) -> Self {
        match err {
            QueryError::Rebuilding(rebuilding) => Self::Rebuilding(rebuilding),
            QueryError::Cursor { .. } | QueryError::Index { .. } | QueryError::Log(_) => {
                Self::Index { why: err.to_string() }
            }
        }
    }
}

/// The ids that begin with `text`, as the first and the last one of them; none when no id can.
fn id_range(text: &str) -> Option<([u8; 16], [u8; 16])> {
    let (mut low, mut high) = ([0x00; 16], [0xff; 16]);
    let mut digits = 0;
    for (place, letter) in text.chars().enumerate() {
        if letter == '-' && matches!(place, 8 | 13 | 18 | 23) {
            continue;
        }
        let digit = u8::try_from(letter.to_digit(16)?).ok()?;
        let (low, high) = (low.get_mut(digits / 2)?, high.get_mut(digits / 2)?);
        if digits % 2 == 0 {
            (*low, *high) = (digit << 4, digit << 4 | 0x0f);
        } else {
            (*low, *high) = (*low | digit, *high & 0xf0 | digit);
        }
        digits += 1;
    }
    (digits > 0).then_some((low, high))
}

/// The execution that `text` names.
pub(super) fn resolve<R: Rows>(rows: &R, text: &str) -> Result<ExecutionId, ResolveError> {
    let not_found = || ResolveError::NotFound { given: text.to_owned() };
    let opened = match text {
        "latest" => {
            let (from, to) = keys::executions();
            rows.last_in(&from, &to)?.and_then(|(key, _)| keys::last_number(&key))
        }
        "latest-ko" => {
            let mut kos = [Source::stored(&List::Status(Status::Ko))];
            lists::common_at_most(&mut kos, rows, u64::MAX)?
        }
        _ => return by_prefix(rows, text),
    };
    let opened = opened.ok_or_else(not_found)?;
    let row = execution_row::load(rows, Position(opened))?.ok_or_else(not_found)?;
    Ok(row.id)
}

fn by_prefix<R: Rows>(rows: &R, text: &str) -> Result<ExecutionId, ResolveError> {
    let given = || text.to_owned();
    let (low, high) = id_range(text).ok_or_else(|| ResolveError::NotFound { given: given() })?;
    let mut to = keys::id_bytes(&high);
    to.push(0);
    let mut candidates = Vec::new();
    let mut from = keys::id_bytes(&low);
    while candidates.len() < NAMED_MAX {
        let Some((key, _)) = rows.first_in(&from, &to)? else {
            break;
        };
        if let Some(bytes) = key.last_chunk::<16>() {
            candidates.push(ExecutionId::from_uuid(Uuid::from_bytes(*bytes)));
        }
        from = key;
        from.push(0);
    }
    match candidates.as_slice() {
        [] => Err(ResolveError::NotFound { given: given() }),
        [one] => Ok(*one),
        _several => Err(ResolveError::Ambiguous { given: given(), candidates }),
    }
}
