//! The rules of Daybook, as pure functions: no input or output, no clock, no threads.

pub mod access;
pub mod blackout;
pub mod calendar;
pub mod cause;
pub mod class;
pub mod classify;
pub mod closing;
pub mod cron;
mod daylight;
pub mod definition;
pub mod effect;
pub mod event;
pub mod execution;
pub mod interface;
pub mod line;
pub mod masking;
pub mod policy;
pub mod retention;
pub mod retry;
pub mod schedule;
pub mod slot;
pub mod space;
pub mod template;
pub mod timing;
pub mod verdict;
