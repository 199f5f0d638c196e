//! Stories of the index: histories are written by hand or at random, folded, and asked.

mod answers;
mod equality;
mod filters;
mod follower;
mod history;
mod ledger;
