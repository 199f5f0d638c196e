//! The command line: a client of the daemon, and a few commands that need none.

pub mod classify;
pub mod explain_cron;
