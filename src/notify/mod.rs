//! Delivers what the outbox owes: pings of dead-man monitors and notices to people.
//!
//! Each check (a schedule's ping, an interface's `notify`) has a queue of its own, worked off in order, so a slow monitor
//! delays neither a job nor another check, and a success never overtakes its start.

mod alive;
mod check;
mod courier;
mod notice;
mod ping;

pub use alive::{Alive, keep_pinging};
pub use courier::{CourierParts, OutboxCourier};
pub use ping::client;
