<<<<<<< HEAD
//! To be written.

pub mod explain_cron;
=======
//! The command line.
>>>>>>> classify
pub mod classify;
