//! Wires the parts together, once: `daybook serve`.

mod serve;
mod service;
mod store;
mod upkeep;
mod wiring;

pub use serve::{ServeError, serve, serve_command};
pub use wiring::checks;
