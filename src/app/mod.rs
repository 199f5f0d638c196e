//! Wires the parts together, once: `daybook serve`.

mod compact;
mod daemon;
mod ending;
mod error;
mod retention;
mod serve;
mod service;
mod space;
mod store;
mod tasks;
#[cfg(debug_assertions)]
mod test_clock;
mod upkeep;
mod wiring;

pub use compact::compact_folder;
pub use error::ServeError;
pub use serve::{serve, serve_command};
pub use wiring::checks;
