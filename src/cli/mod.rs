//! To be written.

pub mod explain_cron;
