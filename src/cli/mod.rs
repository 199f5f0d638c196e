//! To be written.

pub mod explain_cron;
pub mod classify;
