//! Workbooks for spreadsheet programs: one execution on several sheets, or a list of executions on one.
//!
//! Rows wait in an unnamed file for each sheet until the workbook is put together, so memory does not grow with them. A sheet
//! has at most 1,048,576 rows: a table that is longer goes on on the next one, `Log 2` behind `Log`. Texts are written as
//! texts, whatever they begin with.

mod book;
mod table;

use std::fs::File;
use std::path::Path;

use self::book::{Book, Tone};
use self::table::Table;
use super::columns::{Kind, Value, title};
use super::{
    Column, EXCHANGE, EXECUTION, ExportError, LINE, MOMENT, Moment, Pages, Watch, is_exchange,
};
use crate::domain::class::Level;
use crate::domain::line::Line;
use crate::instant::Instant;
use crate::projection::view::{Execution, Status};

/// Rows of a sheet below its headings, as many as the programs take.
pub const SHEET_ROWS: u32 = 1_048_575;

/// How a workbook is made.
#[derive(Clone, Copy)]
pub struct Making<'a> {
    /// Where rows wait: a folder on a disk, not in memory.
    pub folder: &'a Path,
    /// Rows of a sheet at most, below its headings.
    pub sheet_rows: u32,
    /// When it is made.
    pub at: Instant,
    /// The program's version.
    pub version: &'a str,
    /// Whether it may go on; asked for each page of rows, and while it is put together.
    pub watch: &'a Watch<'a>,
}

impl std::fmt::Debug for Making<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Making").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// A row of the first sheet.
struct Fact {
    name: String,
    value: Value<'static>,
}

/// The first sheet's columns.
const FACT: &[Column<Fact>] = &[
    Column::new("field", Kind::Word, |fact| Value::text(&fact.name)),
    Column::new("value", Kind::Text, |fact| fact.value.clone()),
];

/// One execution: `Summary`, `Errors`, `Log`, `Exchanges` and `Timeline`. The file has no name, and is at its beginning.
///
/// # Errors
/// [`ExportError`].
pub fn execution(
    (execution, timeline): (&Execution, &[Moment]),
    lines: &mut Pages<'_, Line>,
    making: Making<'_>,
) -> Result<File, ExportError> {
    let mut book = Book::new(making)?;
    let mut summary = Table::new("Summary", FACT, &mut book)?;
    let mut errors = Table::new("Errors", LINE, &mut book)?;
    let mut log = Table::new("Log", LINE, &mut book)?;
    let mut exchanges = Table::new("Exchanges", EXCHANGE, &mut book)?;
    let mut moments = Table::new("Timeline", MOMENT, &mut book)?;
    for page in lines {
        book.watch()?;
        for line in &page? {
            let is_error = line.level == Level::Error;
            let tone = if is_error { Tone::Bad } else { Tone::Plain };
            log.add(line, tone, &mut book)?;
            if is_error {
                errors.add(line, tone, &mut book)?;
            }
            if is_exchange(line) {
                exchanges.add(line, tone, &mut book)?;
            }
        }
    }
    for moment in timeline {
        let tone = if moment.is_bad { Tone::Bad } else { Tone::Plain };
        moments.add(moment, tone, &mut book)?;
    }
    let cut = [log.cut(), exchanges.cut(), moments.cut()].iter().sum();
    for (fact, tone) in facts(execution, log.rows(), (making, cut)) {
        summary.add(&fact, tone, &mut book)?;
    }
    book.take(summary, "")?;
    book.take(errors, "No line of the log is an error.")?;
    book.take(log, "The log has no lines.")?;
    book.take(
        exchanges,
        "No line of the log holds a call: the job calls nobody by HTTP, or does not tell.",
    )?;
    book.take(moments, "No event is left.")?;
    book.finish()
}

/// Executions: `Executions`, and `Summary` with what was asked for. The file has no name, and is at its beginning.
///
/// # Errors
/// [`ExportError`].
pub fn executions(
    filters: &[(String, String)],
    rows: &mut Pages<'_, Execution>,
    making: Making<'_>,
) -> Result<File, ExportError> {
    let mut book = Book::new(making)?;
    let mut list = Table::new("Executions", EXECUTION, &mut book)?;
    let mut summary = Table::new("Summary", FACT, &mut book)?;
    for page in rows {
        book.watch()?;
        for execution in &page? {
            let tone = if execution.status == Status::Ko { Tone::Bad } else { Tone::Plain };
            list.add(execution, tone, &mut book)?;
        }
    }
    let asked = filters.iter().map(|(name, value)| {
        let name = title(name, Kind::Word);
        Fact { name, value: Value::text(value.clone()) }
    });
    let count = Fact { name: "Executions".to_owned(), value: Value::number(list.rows()) };
    for fact in asked.chain([count]).chain(made((making, list.cut()))) {
        summary.add(&fact, Tone::Plain, &mut book)?;
    }
    book.take(list, "No execution fits.")?;
    book.take(summary, "")?;
    book.finish()
}

/// What the first sheet tells of an execution. What makes it KO stands out.
fn facts(
    execution: &Execution,
    rows: u64,
    how: (Making<'_>, u64),
) -> impl Iterator<Item = (Fact, Tone)> {
    const BAD: [&str; 6] =
        ["status", "class", "cause", "first_error", "first_error_line", "action"];
    let is_ko = execution.status == Status::Ko;
    let told = EXECUTION.iter().map(move |column| {
        let value = owned((column.value)(execution));
        let is_bad = is_ko && BAD.contains(&column.name) && value != Value::Nothing;
        let tone = if is_bad { Tone::Bad } else { Tone::Plain };
        (Fact { name: column.title(), value }, tone)
    });
    let open = (!execution.status.is_final()).then(|| Fact {
        name: "Note".to_owned(),
        value: Value::text(format!(
            "It was {} when this was made: its log went on behind row {rows}.",
            execution.status.as_str()
        )),
    });
    told.chain(open.into_iter().chain(made(how)).map(|fact| (fact, Tone::Plain)))
}

/// How the workbook was made, and what is not in it.
fn made((making, cut): (Making<'_>, u64)) -> impl Iterator<Item = Fact> {
    let fact = |name: String, value| Fact { name, value };
    let cut = (cut > 0).then(|| {
        fact(
            "Note".to_owned(),
            Value::text(format!(
                "Texts that are longer than a cell takes, and cut: {cut}. JSON Lines and CSV have them whole."
            )),
        )
    });
    let at = fact(title("exported_at", Kind::Instant), Value::At(making.at));
    let by = fact("Exported by".to_owned(), Value::text(format!("daybook {}", making.version)));
    [at, by].into_iter().chain(cut)
}

fn owned(value: Value<'_>) -> Value<'static> {
    match value {
        Value::Nothing => Value::Nothing,
        Value::Number(number) => Value::Number(number),
        Value::At(at) => Value::At(at),
        Value::Text(text) => Value::text(text.into_owned()),
        Value::List(texts) => Value::List(texts),
        Value::Json(json) => Value::Json(std::borrow::Cow::Owned(json.into_owned())),
    }
}
