//! To be written.

pub mod queue;
