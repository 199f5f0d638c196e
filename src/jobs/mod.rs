//! Running what schedules ask for.

pub mod probe;
