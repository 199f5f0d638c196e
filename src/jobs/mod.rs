//! Running jobs: commands, shell texts and HTTP calls, from their start to the line that says why they ended.
//!
//! [`run_attempt`] is the way in. Output goes through a [`Scribe`] (redaction, lines, classification, limit). Nothing of a
//! command outlives its attempt. Commands are owned by a process of their own, see `runner`.

mod attempt;
mod call;
mod cgroup;
mod command;
mod conclude;
mod credentials;
mod curtailed;
mod follow;
mod generation;
mod performer;
pub mod probe;
mod procfs;
mod readable;
mod redact;
mod runner;
mod runners;
mod scribe;
mod shared;
mod survivors;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tidings;

pub use attempt::{AttemptContext, AttemptReport, JobSettings, Made, run_attempt};
pub use call::{Caller, Proxies};
pub use credentials::{CredentialDirs, CredentialError, Secret, Value};
pub use performer::LocalPerformer;
pub use redact::{MASK, Redactor, names_a_secret};
pub use runner::{Way, boot_id, entered};
pub use runners::{RunnerState, Runners, living_runners};
pub use scribe::{Scribe, ScribeNews, ScribeParts, ScribeSummary};
