//! The calls that an execution made, from the lines that tell them.

use serde_json::{Map, Value};

use crate::domain::line::Line;
use crate::http::console::words;
use crate::http::parts::App;
use crate::http::problem::Problem;
use crate::http::reads::{self, LogQuery};
use crate::ids::ExecutionId;

/// Lines of the log that are looked through: a job that calls writes few others.
const LINES_MAX: usize = 400;
/// Calls that are shown.
const SHOWN_MAX: usize = 30;
/// Characters of an address or a header's value.
const VALUE_MAX: usize = 300;
/// Characters of an answer's beginning.
const EXCERPT_MAX: usize = 2_000;

/// A request with its answer. Secrets were replaced before it was written.
pub(super) struct Exchange {
    pub(super) line: u64,
    pub(super) attempt: u32,
    pub(super) method: String,
    pub(super) url: String,
    pub(super) status: Option<u64>,
    pub(super) failed: bool,
    pub(super) took: String,
    pub(super) sizes: String,
    /// What they are, and name and value of each.
    pub(super) headers: Vec<(&'static str, Vec<(String, String)>)>,
    pub(super) excerpt: Option<String>,
}

/// The calls of an execution, oldest first.
///
/// # Errors
/// The log cannot be read.
pub(super) async fn of(app: &App, id: ExecutionId) -> Result<Vec<Exchange>, Problem> {
    let (lines, _) = reads::lines(app, id, &LogQuery::default(), LINES_MAX).await?;
    Ok(lines.iter().filter_map(exchange).take(SHOWN_MAX).collect())
}

fn exchange(line: &Line) -> Option<Exchange> {
    let fields = line.fields.as_ref()?.as_object()?;
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let number = |name: &str| fields.get(name).and_then(Value::as_u64);
    text("direction")?;
    let bytes = |name: &str| words::number(number(name).unwrap_or_default());
    let cut = if fields.get("response_cut").is_some() { ", cut there" } else { "" };
    let headers = ["request_headers", "response_headers"];
    let titles = ["Sent headers", "Answered headers"];
    Some(Exchange {
        line: line.line,
        attempt: line.attempt,
        method: text("method")?.to_owned(),
        url: words::cut(text("url")?, VALUE_MAX),
        status: number("status"),
        failed: line.class.is_some(),
        took: words::duration(&number("duration_ms").unwrap_or_default()),
        sizes: format!(
            "{} bytes sent, {} answered{cut}",
            bytes("request_bytes"),
            bytes("response_bytes")
        ),
        headers: titles.into_iter().zip(headers.map(|name| pairs(fields, name))).collect(),
        excerpt: text("response_excerpt").map(|text| text.chars().take(EXCERPT_MAX).collect()),
    })
}

fn pairs(fields: &Map<String, Value>, name: &str) -> Vec<(String, String)> {
    let shown = |value: &Value| match value {
        Value::String(text) => words::cut(text, VALUE_MAX),
        other => words::cut(&other.to_string(), VALUE_MAX),
    };
    let map = fields.get(name).and_then(Value::as_object);
    map.into_iter().flatten().map(|(name, value)| (name.clone(), shown(value))).collect()
}
