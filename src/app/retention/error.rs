//! Why a pass did not come to its end.

use crate::engine::forget::NotNow;
use crate::error_text::in_full;
use crate::http::PruneError;
use crate::projection::{QueryError, Rebuilding};
use crate::store::ReadError;
use crate::store::lines::LinesError;

/// Why a pass did not come to its end. What it recorded holds; the next one goes on.
#[derive(Debug, thiserror::Error)]
pub(in crate::app) enum PassError {
    #[error(
        "another pass of retention is under way, or a check, a backup or an export of the store"
    )]
    UnderWay,
    #[error(transparent)]
    NotNow(#[from] NotNow),
    #[error("the lists cannot be asked: {0}")]
    Lists(#[from] QueryError),
    #[error("the lists do not follow: {0}")]
    Behind(#[from] Rebuilding),
    #[error("the event log: {0}")]
    Log(#[from] ReadError),
    #[error("the lines: {0}")]
    Lines(#[from] LinesError),
    #[error("the engine has ended")]
    Engine,
    #[error("a step of it failed: {0}")]
    Step(#[from] tokio::task::JoinError),
}

impl From<PassError> for PruneError {
    fn from(err: PassError) -> Self {
        let why = in_full(&err);
        match err {
            PassError::UnderWay | PassError::NotNow(NotNow::Owed { .. }) => Self::UnderWay { why },
            PassError::Lists(QueryError::Rebuilding(rebuilding))
            | PassError::Behind(rebuilding) => Self::Rebuilding { percent: rebuilding.percent },
            PassError::Engine => Self::Closing { why },
            PassError::Lists(
                QueryError::Cursor { .. } | QueryError::Index { .. } | QueryError::Log(_),
            )
            | PassError::Log(_)
            | PassError::Lines(_)
            | PassError::Step(_) => Self::Failed { why },
        }
    }
}
