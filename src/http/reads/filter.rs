//! The filters of lists of executions: as they are read, and as the document shows them.

use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::domain::class::{Class, ClassError};
use crate::http::input::Input;
use crate::projection::ExecutionFilter;
use crate::projection::view::Status;

/// Reads the filters of `GET /api/executions`, from a query or from an object in a body.
pub fn execution_filter(input: &mut Input) -> ExecutionFilter {
    ExecutionFilter {
        interface: input.parsed("interface"),
        schedule: input.parsed("schedule"),
        status: input.with("status", statuses).unwrap_or_default(),
        class: input.with("class", classes).unwrap_or_default(),
        trigger: input.json("trigger"),
        from: input.instant("from"),
        to: input.instant("to"),
        text: input.text("text", 1_000),
        reference: input.text("reference", 200),
        min_ms: input.number("min_ms"),
        max_ms: input.number("max_ms"),
    }
}

/// One status, or several with commas between them.
fn statuses(text: &str) -> Result<Vec<Status>, String> {
    let known = [Status::Queued, Status::Running, Status::Ok, Status::Ko, Status::Cancelled];
    let one = |word: &str| {
        let word = word.trim();
        known.into_iter().find(|status| status.as_str() == word).ok_or_else(|| {
            format!("`{word}` is not a status: queued, running, ok, ko or cancelled")
        })
    };
    text.split(',').map(one).collect()
}

/// One class, or several with commas between them.
pub fn classes(text: &str) -> Result<Vec<Class>, String> {
    text.split(',')
        .map(|word| word.trim().parse().map_err(|err: ClassError| err.to_string()))
        .collect()
}

/// The filters of `GET /api/executions`, as the document shows them.
#[derive(Debug, Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read field by field; this is the form in the OpenAPI document")]
pub struct ExecutionQuery {
    /// Of this interface.
    interface: Option<String>,
    /// Of schedules with this bare id.
    schedule: Option<String>,
    /// `queued`, `running`, `ok`, `ko` or `cancelled`; several with commas between them.
    status: Option<String>,
    /// `external`, `configuration`, `mapping`, `technical` or `cascade`; several with commas between them.
    class: Option<String>,
    /// What started it.
    trigger: Option<String>,
    /// Opened at this instant or later.
    #[schema(format = "date-time")]
    from: Option<String>,
    /// Opened before this instant.
    #[schema(format = "date-time")]
    to: Option<String>,
    /// Holds this text.
    text: Option<String>,
    /// Has this ticket.
    reference: Option<String>,
    /// Took at least so long.
    min_ms: Option<u64>,
    /// Took at most so long.
    max_ms: Option<u64>,
}
