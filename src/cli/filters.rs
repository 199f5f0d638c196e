//! The filters of executions, as flags and as `--query`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::client::Address;
use super::failure::{Failure, Outcome};
use super::times::Times;

/// The filters of `GET /api/executions`.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Filters")]
pub struct Filters {
    /// Of this interface
    #[arg(long, value_name = "INTERFACE")]
    pub interface: Option<String>,
    /// Of schedules with this bare id
    #[arg(long, value_name = "SCHEDULE")]
    pub schedule: Option<String>,
    /// In this state; several with commas between them
    #[arg(long, value_delimiter = ',')]
    #[arg(value_parser = ["queued", "running", "ok", "ko", "cancelled"])]
    pub status: Vec<String>,
    /// KO with this class; several with commas between them
    #[arg(long, value_delimiter = ',')]
    #[arg(value_parser = ["external", "configuration", "mapping", "technical", "cascade"])]
    pub class: Vec<String>,
    /// Started by this
    #[arg(long, value_parser = ["cron", "every", "at", "manual", "rerun", "backfill", "catch-up", "realtime", "webhook", "reboot", "after"])]
    pub trigger: Option<String>,
    /// Opened at this time or later
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Opened before this time
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// With this text in the first error, the id or a parameter
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,
    /// With this ticket
    #[arg(long, value_name = "TICKET")]
    pub reference: Option<String>,
    /// Took at least so many milliseconds
    #[arg(long, alias = "min_ms", value_name = "MS")]
    pub min_ms: Option<u64>,
    /// Took at most so many milliseconds
    #[arg(long, alias = "max_ms", value_name = "MS")]
    pub max_ms: Option<u64>,
}

impl Filters {
    /// Adds them to a request.
    ///
    /// # Errors
    /// A time is none.
    pub fn onto(self, address: Address, times: &Times) -> Outcome<Address> {
        let (owner, schedule) = self.schedule.as_deref().map(parts).unwrap_or_default();
        let status = (!self.status.is_empty()).then(|| self.status.join(","));
        Ok(address
            .with_some("interface", self.interface.as_deref().or(owner))
            .with_some("schedule", schedule)
            .with_some("status", status)
            .with_some("class", (!self.class.is_empty()).then(|| self.class.join(",")))
            .with_some("trigger", self.trigger)
            .with_some("from", times.text("--from", self.from.as_deref())?)
            .with_some("to", times.text("--to", self.to.as_deref())?)
            .with_some("text", self.text)
            .with_some("reference", self.reference)
            .with_some("min_ms", self.min_ms.map(|ms| ms.to_string()))
            .with_some("max_ms", self.max_ms.map(|ms| ms.to_string())))
    }
}

/// Interface and bare id of a schedule, which may be given by its full name.
fn parts(name: &str) -> (Option<&str>, Option<&str>) {
    match name.rsplit_once('/') {
        Some((interface, bare)) => (Some(interface), Some(bare)),
        None => (None, Some(name)),
    }
}

/// Reads `status=ko&interface=x` as the daemon's `query` object. Unknown names are the daemon's to refuse.
///
/// # Errors
/// A part is not `name=value`, a name stands twice, or a time is none.
pub fn query(text: &str, times: &Times) -> Outcome<Value> {
    let mut pairs: BTreeMap<String, String> = BTreeMap::new();
    for part in text.trim_start_matches('?').split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').ok_or_else(|| {
            Failure::usage(format!("--query: `{part}` is not name=value"))
                .hint("write `--query 'status=ko&interface=fnac'`")
        })?;
        let (name, value) = (decoded(name), decoded(value));
        let value = match name.as_str() {
            "from" | "to" => {
                times.text(&format!("--query {name}"), Some(&value))?.unwrap_or_default()
            }
            _ => value,
        };
        if pairs.insert(name.clone(), value).is_some() {
            return Err(Failure::usage(format!("--query: `{name}` stands more than once")));
        }
    }
    if pairs.is_empty() {
        return Err(Failure::usage("--query is empty: it would mean every execution")
            .hint("write `--query 'status=ko&interface=fnac'`"));
    }
    let object: Map<String, Value> =
        pairs.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
    Ok(Value::Object(object))
}

/// Undoes the encoding of a query's part. A lone `%` stands for itself.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
        match (first, tail) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) => match (digit(high), digit(low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high * 16 + low);
                    rest = after;
                }
                _ => bytes.push(b'%'),
            },
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::civil::Zone;
    use crate::instant::Instant;

    fn times() -> Times {
        Times { now: Instant::parse("2026-11-22T10:30:00Z").expect("valid"), zone: Zone::utc() }
    }

    #[test]
    fn a_query_is_the_same_filters_as_the_flags() {
        let value = query("status=ko&interface=fnac&from=2h&text=a%20b+c", &times()).expect("fine");
        assert_eq!(
            value,
            serde_json::json!({"status": "ko", "interface": "fnac", "from": "2026-11-22T08:30:00.000Z", "text": "a b c"})
        );
    }

    #[test]
    fn a_query_that_means_everything_or_says_a_thing_twice_is_refused() {
        for wrong in ["", "?", "ko", "status=ko&status=ok", "from=soon"] {
            assert_eq!(query(wrong, &times()).expect_err(wrong).exit().code(), 2);
        }
    }

    #[test]
    fn flags_become_parameters() {
        let filters = Filters {
            schedule: Some("fnac/sales".to_owned()),
            status: vec!["ok".to_owned(), "ko".to_owned()],
            from: Some("yesterday".to_owned()),
            min_ms: Some(5),
            ..Filters::default()
        };
        let address = filters.onto(Address::of(&["api", "executions"]), &times()).expect("fine");
        assert_eq!(
            address.as_str(),
            "/api/executions?interface=fnac&schedule=sales&status=ok%2Cko&from=2026-11-21T00%3A00%3A00.000Z&min_ms=5"
        );
    }
}
