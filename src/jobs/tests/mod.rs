//! Attempts of real commands.

mod commands;
mod output;
mod trees;
