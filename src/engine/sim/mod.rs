//! The whole of the deciding part under simulation: engine, log, clock and jobs run from one seed, through faults, and a
//! second, simple reading of the contract says what should have become of every slot.
//!
//! [`story`] is what happens, [`generate`] makes it from a seed, [`world`] lets it happen, [`nominal`] and [`rules`] are
//! the second reading, and [`ledger`] with [`turns`] compares the log with it, append by append.

mod append;
mod disk;
mod generate;
mod jobs;
mod ledger;
mod nominal;
mod outliving;
mod random;
mod rules;
mod shrink;
mod story;
mod tests;
mod turns;
mod world;

/// What is wrong, in words.
type Checked<T = ()> = Result<T, String>;

/// Says what is wrong unless `so`.
fn ensure(so: bool, otherwise: impl FnOnce() -> String) -> Checked {
    if so { Ok(()) } else { Err(otherwise()) }
}
