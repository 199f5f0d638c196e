//! The engine: one task that owns the state and decides; what it decides takes effect when it is on disk.

mod after;
pub mod backfill;
pub mod board;
pub mod commit;
pub mod core;
mod definitions;
mod disk;
mod drain;
pub mod forget;
mod freshness;
pub mod handle;
mod params;
pub mod ports;
pub mod queue;
pub mod reads;
mod ready;
mod reports;
mod requests;
mod schedules;
mod skip;
mod slots;
mod startup;
pub mod state;
mod view;
mod zones;

pub use self::core::{Engine, Identity, Parts};
pub use handle::{Done, Handle, Refusal};
pub use startup::HEARING_MAX;

#[cfg(test)]
mod sim;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
