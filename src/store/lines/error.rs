//! Why lines could not be written or read.

use std::io;
use std::path::{Path, PathBuf};

use crate::ids::ExecutionId;
use crate::store::space::is_no_room;

/// Why the line store refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum LinesError {
    /// The operating system refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried: `open`, `read`, `sync` ….
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        err: io::Error,
    },
    /// The stored bytes are damaged.
    #[error("{place}: {what}")]
    Damaged {
        /// File and offset, or execution and lines.
        place: String,
        /// What is wrong with it.
        what: String,
    },
    /// A newer version of Daybook wrote the file.
    #[error("`{}` has format version {found}; this version reads {known}: upgrade, or restore a backup of this version", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u16,
        /// The newest known version.
        known: u16,
    },
    /// Somebody is still writing this log.
    #[error("the log of execution {execution} is still being written")]
    Busy {
        /// Whose log.
        execution: ExecutionId,
    },
    /// A write or sync failed earlier: nothing is accepted any more, and the daemon must end.
    #[error("the line store is closed: {why}")]
    Closed {
        /// The first error.
        why: String,
    },
}

impl LinesError {
    /// Whether a write found the disk full. A sync that did is another matter: nothing is known after it.
    pub(super) fn is_no_room(&self) -> bool {
        match self {
            Self::Io { action: "write" | "create", err, .. } => is_no_room(err),
            _ => false,
        }
    }

    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |err| Self::Io { action, path: path.to_owned(), err }
    }

    /// The file that was looked up was replaced meanwhile.
    pub(super) fn replaced(path: &Path) -> Self {
        let err = io::Error::from(io::ErrorKind::StaleNetworkFileHandle);
        Self::Io { action: "open", path: path.to_owned(), err }
    }

    /// Whether it only says that another file stands there now: look it up again.
    pub(super) fn is_replaced(&self) -> bool {
        matches!(self, Self::Io { err, .. } if err.kind() == io::ErrorKind::StaleNetworkFileHandle)
    }

    pub(super) fn damaged(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged { place: format!("`{}` at byte {offset}", path.display()), what: what.into() }
    }
}
