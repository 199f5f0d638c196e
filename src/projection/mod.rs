//! What the events add up to: rows and indices in sled, folded from the log and never the truth.
//!
//! [`Projections`] follows the log by itself and answers lists. All rows stand in one tree of one sled database, so
//! that one batch can hold the rows and the checkpoint that they belong to. The folds (`fold`) know nothing of sled:
//! they read and write byte rows (`rows`), which the tests keep in memory. Whatever stands here can be thrown away;
//! the daemon does so by itself when it does not open, does not agree with the log or cannot be read.
//!
//! Rows are few and packed, because sled keeps about 35 bytes of memory for each, whatever its cache may hold: an
//! execution has two (itself, and its id), everything else is shared by up to 256 events or executions.

mod bytes;
mod chain;
mod codes;
mod compare;
mod content;
mod disk;
mod events;
mod execution_row;
mod fold;
mod follow;
mod forget;
mod heads;
mod keys;
mod ledger;
mod lists;
mod ok_slots;
mod postings;
mod query;
mod resolve;
mod retention;
mod rows;
mod schedule_row;
#[cfg(test)]
mod tests;
pub mod view;
mod worker;

pub use compare::{IndexCopy, Recount, RowDifference};
pub use events::{By, EventFilter, Order, show as show_event};
pub use fold::actor_text;
pub use follow::{OpenError, ProjectionStatus, Projections, Rebuilding};
pub use forget::PrunedOf;
pub use heads::LateHeads;
pub use ledger::{Expand, ExpandRequest, SlotRange};
pub use query::{ExecutionFilter, QueryError, ScheduleFacts};
pub use resolve::ResolveError;
