//! Why the daemon does not start or ends by itself, with its exit code.

use crate::archive::SwitchError;
use crate::error_text::in_full;
use crate::http::server::BindError;
use crate::store::journal::OpenError;

/// Why the daemon did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Settings or files have problems, shown each under a heading of its own: exit 78.
    #[error("{0}")]
    Refused(String),
    /// A setting cannot be followed: exit 78.
    #[error("{0}")]
    Configuration(String),
    /// Another daemon has the data folder: exit 7.
    #[error("{0}")]
    Locked(String),
    /// What is on disk cannot be used: exit 1.
    #[error("{0}")]
    Store(String),
    /// The machine refuses something: exit 1.
    #[error("{0}")]
    Machine(String),
}

impl ServeError {
    /// The process's exit code (contract, section 5).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) | Self::Configuration(_) => 78,
            Self::Locked(_) => 7,
            Self::Store(_) | Self::Machine(_) => 1,
        }
    }

    pub(super) fn from_log(err: &OpenError) -> Self {
        let hint = err.hint().map_or_else(String::new, |hint| format!("\nhint: {hint}"));
        let words = format!("{}{hint}", in_full(&err));
        if let OpenError::Locked { .. } = err { Self::Locked(words) } else { Self::Store(words) }
    }

    pub(super) fn from_switch(err: &SwitchError) -> Self {
        let words = in_full(err);
        match err {
            SwitchError::Busy(_) => Self::Locked(words),
            SwitchError::Io { .. } => Self::Store(words),
        }
    }

    pub(super) fn machine(what: &str, err: &dyn std::error::Error) -> Self {
        Self::Machine(format!("{what}: {}", in_full(err)))
    }
}

impl From<BindError> for ServeError {
    fn from(err: BindError) -> Self {
        match err {
            BindError::InUse { .. } => Self::Locked(err.to_string()),
            BindError::Insecure { .. } | BindError::Tls { .. } => {
                Self::Configuration(err.to_string())
            }
            BindError::InTheWay { .. } | BindError::Listen { .. } => Self::Machine(err.to_string()),
        }
    }
}
