//! The HTTP API: the same routes over the Unix socket (for the command line) and over TCP (for people and programs).
//!
//! [`routes`] is the table that says who may do what; a route that is not in it is refused. [`reads`] is the one place that
//! asks the projections and the line store, beside [`pages`] for exports.

pub mod access;
pub mod api;
pub mod auth;
pub mod document;
pub mod download;
pub mod guard;
pub mod health;
pub mod idempotency;
pub mod input;
pub mod pages;
pub mod parts;
pub mod problem;
pub mod reads;
pub mod router;
pub mod routes;
pub mod server;
pub mod session;

#[cfg(fuzzing)]
pub mod fuzzing;
#[cfg(any(test, fuzzing))]
#[cfg_attr(fuzzing, expect(dead_code, reason = "the tests use the rest"))]
mod testing;
#[cfg(test)]
mod tests;

pub use api::tokens::login_url;
pub use parts::{
    App, InterfacePruned, Memory, Parts, PruneError, PruneMode, PrunedInterface, Settings,
    StoreAccess, StoreInfo, StoreParts, StorePruned, StoreVerified,
};
pub use router::router;
pub use server::{Bind, Server};
