//! What changed in an execution's definition since the schedule last ended well.

use serde_json::Value;

use crate::http::console::words;
use crate::http::problem::Problem;
use crate::http::reads::Reads;
use crate::ids::{ExecutionId, StreamId};
use crate::instant::Instant;
use crate::projection::view::{Event, Execution, Status};
use crate::projection::{EventFilter, ExecutionFilter, Order};

/// Versions that are looked through.
const VERSIONS_MAX: usize = 100;
/// Characters of a value.
const VALUE_MAX: usize = 160;

/// What changed since the last OK before an execution.
pub(super) struct Changes {
    /// That execution.
    pub(super) last_ok: ExecutionId,
    pub(super) last_ok_at: Instant,
    /// Its version of the definition.
    pub(super) before: u32,
    /// The versions after that one, newest first.
    pub(super) versions: Vec<Version>,
    /// More versions lie between than are told.
    pub(super) more: bool,
}

/// What a version of the definition changed.
pub(super) struct Version {
    pub(super) number: u64,
    pub(super) at: Instant,
    pub(super) by: String,
    /// Path, value before, value after.
    pub(super) changes: Vec<(String, Option<String>, Option<String>)>,
}

impl Changes {
    /// Compares `row` with the last OK before it; none when there was none.
    ///
    /// # Errors
    /// The lists cannot be read.
    pub(super) async fn since_last_ok(
        reads: &Reads,
        row: &Execution,
    ) -> Result<Option<Self>, Problem> {
        let filter = ExecutionFilter {
            interface: Some(row.interface.clone()),
            schedule: Some(row.schedule.clone()),
            status: vec![Status::Ok],
            ..ExecutionFilter::default()
        };
        let before = Some(row.position.to_string());
        let Some(ok) = reads.executions(filter, 1, before).await?.items.into_iter().next() else {
            return Ok(None);
        };
        let mut changes = Self {
            last_ok: ok.id,
            last_ok_at: ok.created_at,
            before: ok.definition_version,
            versions: Vec::new(),
            more: false,
        };
        if ok.definition_version >= row.definition_version {
            return Ok(Some(changes));
        }
        let filter = EventFilter {
            stream: Some(StreamId::Interface(row.interface.clone())),
            kind: EventFilter::code_of("interface-defined"),
            ..EventFilter::default()
        };
        let events = reads.events(filter, Order::NewestFirst, (VERSIONS_MAX, None)).await?;
        let reached =
            events.items.iter().any(|event| number(event) <= u64::from(ok.definition_version));
        changes.more = events.next.is_some() && !reached;
        let between = u64::from(ok.definition_version) + 1..=u64::from(row.definition_version);
        let events = events.items.iter().filter(|event| between.contains(&number(event)));
        changes.versions = events.map(|event| version(event, row)).collect();
        Ok(Some(changes))
    }

    /// Whether nothing that concerns the schedule changed.
    pub(super) fn none(&self) -> bool {
        !self.more && self.versions.iter().all(|version| version.changes.is_empty())
    }
}

fn number(event: &Event) -> u64 {
    event.data["definition_version"].as_u64().unwrap_or_default()
}

/// What a version changed, without what concerns other schedules alone.
fn version(event: &Event, row: &Execution) -> Version {
    let own = format!("schedules.{}", row.schedule);
    let concerns = |path: &str| {
        !path.starts_with("schedules.") || path == own || path.starts_with(&format!("{own}."))
    };
    let all = event.data["changes"].as_array().cloned().unwrap_or_default();
    let changes = all.iter().filter_map(|change| {
        let path = change["path"].as_str().filter(|path| concerns(path))?;
        Some((path.to_owned(), shown(&change["from"]), shown(&change["to"])))
    });
    Version {
        number: number(event),
        at: event.at,
        by: event.actor.clone(),
        changes: changes.collect(),
    }
}

fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(words::cut(text, VALUE_MAX)),
        other => Some(words::cut(&other.to_string(), VALUE_MAX)),
    }
}
