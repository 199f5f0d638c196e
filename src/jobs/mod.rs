//! Running jobs: commands, shell texts and HTTP calls, from their start to the line that says why they ended.
//!
//! [`run_attempt`] is the way in. Output goes through a [`Scribe`] (redaction, lines, classification, limit). Nothing of a
//! command outlives its attempt, see [`Processes`]. The daemon sets its umask to 077, which commands inherit.

mod attempt;
mod call;
mod cgroup;
mod command;
mod conclude;
mod credentials;
mod curtailed;
mod look;
mod managed;
mod performer;
mod placing;
pub mod probe;
mod process;
mod processes;
mod procfs;
mod readable;
mod redact;
mod scribe;
mod shared;
mod survivors;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tidings;
mod tree;

pub use attempt::{AttemptContext, AttemptReport, JobSettings, run_attempt};
pub use call::{Caller, Proxies};
pub use credentials::{CredentialDirs, CredentialError, Secret, Value};
pub use performer::LocalPerformer;
pub use processes::{Processes, Way};
pub use redact::{MASK, Redactor, names_a_secret};
pub use scribe::{Scribe, ScribeNews, ScribeParts, ScribeSummary};
