//! The command line: a client of the daemon, and a few commands that need none.
//!
//! One file for each noun. [`args`] is the tree, [`run`] the way from arguments to an exit code; everything a command needs
//! comes with its [`context::Context`], and everything it says goes out through [`output::Output`].

pub mod again;
pub mod args;
pub mod backfill;
pub mod check;
pub mod classify;
pub mod client;
pub mod console;
pub mod context;
pub mod demo;
pub mod doctor;
pub mod doctor_local;
pub mod drain;
pub mod endpoint;
pub mod event;
pub mod execution;
pub mod execution_export;
pub mod execution_log;
pub mod execution_show;
pub mod exit;
pub mod explain;
pub mod explain_cron;
pub mod failure;
pub mod filters;
pub mod host;
pub mod import;
pub mod interface;
pub mod manual;
pub mod messages;
pub mod meter;
pub mod offline;
pub mod output;
pub mod page;
pub mod reload;
pub mod render;
pub mod rerun;
pub mod run;
pub mod schedule;
pub mod schema;
pub mod serve;
pub mod settings;
pub mod status;
pub mod store;
pub mod store_move;
pub mod table;
pub mod target;
pub mod text;
pub mod times;
pub mod token;
pub mod wait;
pub mod why;

pub use run::{Wiring, World, main};
pub use serve::ServeOptions;
