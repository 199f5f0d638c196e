//! `daybook schema`.

use super::context::Context;
use super::failure::Outcome;
use crate::config::{calendar_schema, json_schema};

/// Of which file.
#[derive(Debug, clap::Args)]
pub struct Schema {
    /// The kind of file
    #[arg(value_enum, value_name = "KIND", default_value_t = Of::Interface)]
    pub of: Of,
}

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Of {
    /// An interface's: schedules/INTERFACE.toml
    Interface,
    /// A calendar's: schedules/calendars/NAME.toml
    Calendar,
}

impl Schema {
    /// Prints it.
    ///
    /// # Errors
    /// Nothing can be written.
    pub fn run(&self, context: &mut Context<'_>) -> Outcome {
        let schema = match self.of {
            Of::Interface => json_schema(),
            Of::Calendar => calendar_schema(),
        };
        Ok(context.out.document(&schema)?)
    }
}
