//! What the events add up to: rows and indices in sled, folded from the log and never the truth.

pub mod view;

pub mod placeholder;
pub use placeholder::*;
