//! Attempts of real commands.

mod cgroups;
mod commands;
mod output;
mod trees;
