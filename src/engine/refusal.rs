//! Why the engine did not do what it was asked.

use crate::ids::{ExecutionId, ScheduleRef};

/// A request that was refused; nothing was recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such thing.
    #[error("there is no {what}")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// It does not go together with what is true now.
    #[error("{why}")]
    Conflict {
        /// Why.
        why: String,
        /// The execution that stands in the way.
        execution: Option<ExecutionId>,
    },
    /// The request itself is wrong.
    #[error("{why}")]
    Invalid {
        /// The field.
        field: String,
        /// What is wrong with it and what was expected.
        why: String,
    },
    /// Not now.
    #[error("{why}")]
    Unavailable {
        /// Why.
        why: String,
    },
}

impl Refusal {
    /// That a schedule is not known.
    pub fn no_schedule(id: &ScheduleRef) -> Self {
        Self::NotFound { what: format!("schedule `{id}`") }
    }
}
