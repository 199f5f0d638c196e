//! Schedules as code, and the daemon's settings: what people write, read strictly and reported in full.
//!
//! [`load_folder`] reads the interfaces' files by the tables in [`keys`]; the JSON Schema and the reference page come from
//! the same tables. [`Settings`] knows where each value came from. Nothing here runs, opens or connects anything.

mod calendar;
mod checks;
pub mod crontab;
mod days;
mod diff;
mod document;
mod environment;
mod folder;
mod followed;
mod ical;
mod interface;
mod job;
pub mod keys;
mod overrides;
mod problem;
mod reader;
pub mod reference;
mod report;
mod schedule;
mod schema;
mod settings;
#[cfg(test)]
mod tests;
mod values;
mod watch;
mod words;

pub use checks::{Checks, Fault, busiest_minute};
pub use diff::{diff, render_changes};
pub use document::document;
pub use environment::Environment;
pub use folder::{Loaded, LoadedFile, load_folder, load_text};
pub use overrides::variable as override_variable;
pub use problem::{Paint, Problem, Severity, render_all};
pub use schema::{calendar_schema, json_schema};
pub use settings::{
    DEFAULT_TOML, Flags, LogFormat, MetricsAccess, Origin, Setting, SettingRow, Settings,
};
pub use values::{
    ValueError, parse_duration, parse_rate, parse_size, show_duration, show_rate, show_size,
};
pub use watch::{Watch, WatchError, watch};
