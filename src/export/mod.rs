//! What leaves the house as a file: one execution, or a list of them, as a workbook, as CSV and as JSON Lines.
//!
//! `columns` says once what there is and how it is called, in all three forms; `executions`, `log` and `timeline` are the
//! tables. Whatever is written comes from the store, where secrets were replaced before. Rows come page by page and go at
//! once: memory does not grow with them. In [`xlsx`] they wait in unnamed files of a folder that the caller gives, which
//! vanish by themselves.

mod columns;
mod csv;
mod executions;
mod formula;
mod jsonl;
mod log;
#[cfg(test)]
mod tests;
mod timeline;
pub mod xlsx;

pub use columns::{Column, Kind, Value};
pub use csv::csv;
pub use executions::EXECUTION;
pub use jsonl::{Jsonl, jsonl};
pub use log::{EXCHANGE, LINE, is_exchange};
pub use timeline::{MOMENT, Moment};

/// Rows as they come: page by page, until one cannot be read.
pub type Pages<'a, T> = dyn Iterator<Item = Result<Vec<T>, ExportError>> + 'a;

/// Why an export broke off.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// What is exported cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// Nobody waits for it any more, or the daemon stops.
    #[error("nobody waits for it any more")]
    GivenUp,
    /// A workbook is made on the disk, and that would leave too little room there.
    #[error("a workbook is made in the data folder, and would leave too little room there")]
    NoRoom,
    /// It cannot be written.
    #[error("it cannot be written")]
    Io(#[from] std::io::Error),
    /// The workbook cannot be written.
    #[error("the workbook cannot be written")]
    Book(#[from] rust_xlsxwriter::XlsxError),
}

/// Whether an export may go on; asked again and again.
pub type Watch<'a> = dyn Fn() -> Result<(), ExportError> + Send + Sync + 'a;
