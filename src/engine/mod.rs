//! The engine: the one task that decides.

pub mod board;
pub mod handle;
