//! Daybook: runs the exchanges with external systems on schedule, and keeps them on the record.
//!
//! `ARCHITECTURE.md` is the map. Modules in reading order; each may use only those above it (`tests/tidy.rs` checks).

pub mod app;
pub mod archive;
pub mod civil;
pub mod cli;
pub mod clock;
pub mod config;
pub mod crash;
pub mod domain;
pub mod engine;
pub mod error_text;
pub mod export;
pub mod http;
pub mod ids;
pub mod instant;
pub mod jobs;
pub mod notify;
pub mod projection;
pub mod runbooks;
pub mod store;
pub mod task;
pub mod telemetry;
