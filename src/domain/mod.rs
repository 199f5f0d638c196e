//! The rules of Daybook, as pure functions: no input or output, no clock, no threads.

pub mod cause;
pub mod class;
pub mod classify;
pub mod definition;
pub mod event;
pub mod line;
pub mod slot;
