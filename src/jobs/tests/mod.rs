//! Attempts of real commands.

mod cgroups;
mod commands;
mod curtailed;
mod output;
mod trees;
