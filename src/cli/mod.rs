//! To be written.
pub mod classify;
