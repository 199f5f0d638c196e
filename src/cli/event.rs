//! `daybook event`.

use std::time::Duration;

use serde_json::Value;

use super::again::Again;
use super::client::{Address, shaped};
use super::context::Context;
use super::failure::Outcome;
use super::page::Paging;
use super::render::{Tone, moment, short_id};
use super::table::{Cell, Column, short, whole};
use super::text::{brief, clean};
use crate::ids::ExecutionId;
use crate::instant::Instant;
use crate::projection::view::Event;

/// Between two looks for new events.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Events asked for at one look; after as many as that there may be more at once.
const FOLLOWED: usize = 1_000;
/// What the stream of an execution begins with.
const EXECUTION: &str = "execution/";

/// The columns of a table of events; `event show` tells each of them whole.
pub const COLUMNS: [Column; 5] =
    [whole("EVENT"), whole("AT"), whole("TYPE"), short("STREAM", 26), short("ACTOR", 12)];

/// What can be done with events.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List events, newest first
    List(List),
    /// Print the newest events, oldest first, and go on with `--follow`
    Tail(Tail),
    /// Show one event with all it holds
    Show(Show),
}

/// Which events.
#[derive(Clone, Debug, clap::Args)]
pub struct Which {
    /// Of this stream: daemon, interface/ID, schedule/INTERFACE/SCHEDULE or execution/ID
    #[arg(long, value_name = "STREAM")]
    pub stream: Option<String>,
    /// Of this type, such as `closed`
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// Of this actor, such as token:ci or local:1000; `people` for all but the daemon itself
    #[arg(long, value_name = "ACTOR")]
    pub actor: Option<String>,
}

impl Which {
    /// An execution may be named here as anywhere: by a prefix of its id, `latest` or `latest-ko`.
    async fn address(&self, context: &mut Context<'_>) -> Outcome<Address> {
        let mut stream = self.stream.clone();
        let named = stream.as_deref().and_then(|stream| stream.strip_prefix(EXECUTION));
        if let Some(name) = named.filter(|name| name.parse::<ExecutionId>().is_err()) {
            let found = context.get(&Address::of(&["api", "executions", name])).await?;
            let id = found.get("id").and_then(Value::as_str).unwrap_or(name);
            stream = Some(format!("{EXECUTION}{id}"));
        }
        Ok(Address::of(&["api", "events"])
            .with_some("stream", stream)
            .with_some("type", self.kind.as_deref())
            .with_some("actor", self.actor.as_deref()))
    }
}

/// A page of events.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Which.
    #[command(flatten)]
    pub which: Which,
    /// Oldest first, after this position
    #[arg(long, value_name = "POSITION")]
    pub after: Option<u64>,
    /// Which page.
    #[command(flatten)]
    pub paging: Paging,
}

/// The end of the log.
#[derive(Debug, clap::Args)]
pub struct Tail {
    /// Which.
    #[command(flatten)]
    pub which: Which,
    /// How many to begin with, 1 to 1000
    #[arg(long, short = 'n', value_name = "N", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub limit: u16,
    /// Go on until interrupted
    #[arg(long, short = 'f')]
    pub follow: bool,
}

/// One event.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// Its place in the log, from 1
    #[arg(value_name = "POSITION")]
    pub position: u64,
}

/// Does it.
///
/// # Errors
/// The daemon cannot be reached, or refuses.
pub async fn run(verb: Verb, context: &mut Context<'_>) -> Outcome {
    match verb {
        Verb::List(asked) => list(&asked, context).await,
        Verb::Tail(asked) => tail(&asked, context).await,
        Verb::Show(Show { position }) => {
            let address = Address::of(&["api", "events", &position.to_string()]);
            let value = context.get(&address).await?;
            if context.out.json {
                Ok(context.out.document(&value)?)
            } else {
                shown(&value, context)
            }
        }
    }
}

async fn list(asked: &List, context: &mut Context<'_>) -> Outcome {
    let after = asked.after.map(|after| after.to_string());
    let address = asked.which.address(context).await?.with_some("after", after);
    asked.paging.show(address, &COLUMNS, cells, context).await.map(drop)
}

/// A row of such a table.
pub fn cells(event: &Event, context: &Context<'_>) -> Vec<Cell> {
    vec![
        Cell::from(event.position.to_string()),
        Cell::from(context.when(Some(event.at))),
        Cell::from(&event.kind),
        Cell::from(stream(event, context)),
        Cell::from(&event.actor),
    ]
}

/// The stream, for a person with the short id of its execution.
fn stream(event: &Event, context: &Context<'_>) -> String {
    match event.stream.strip_prefix(EXECUTION).filter(|_| context.out.terminal) {
        Some(id) => format!("{EXECUTION}{}", short_id(id)),
        None => event.stream.clone(),
    }
}

/// Events come by asking again: the log keeps them, so none is lost between two looks.
async fn tail(asked: &Tail, context: &mut Context<'_>) -> Outcome {
    let which = asked.which.address(context).await?;
    let newest = which.clone().with("limit", asked.limit.to_string());
    let mut events = items(&context.get(&newest).await?);
    events.reverse();
    rows(&events, context)?;
    let mut after = last_position(&events).unwrap_or(0);
    if !asked.follow {
        return Ok(());
    }
    let mut again = Again::after_an_answer();
    loop {
        if events.len() < FOLLOWED {
            context.out.flush()?;
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let (after_text, limit) = (after.to_string(), FOLLOWED.to_string());
        let address = which.clone().with("after", after_text).with("limit", limit);
        events = match context.get(&address).await {
            Ok(page) => items(&page),
            Err(away) => {
                again.pause(away).await?;
                continue;
            }
        };
        again.answered();
        rows(&events, context)?;
        after = last_position(&events).unwrap_or(after);
    }
}

fn items(page: &Value) -> Vec<Value> {
    page.get("items").and_then(Value::as_array).cloned().unwrap_or_default()
}

/// Where a follower goes on: by the place in the whole log, also when it follows one stream alone.
fn last_position(events: &[Value]) -> Option<u64> {
    events.last()?.get("position")?.as_u64()
}

fn rows(events: &[Value], context: &mut Context<'_>) -> Outcome {
    for value in events {
        if context.out.json {
            context.out.row(value)?;
            continue;
        }
        let event: Event = shaped(value)?;
        for line in told(&event, context) {
            context.out.line(line)?;
        }
    }
    Ok(())
}

/// An event on one line; at a terminal what it holds is cut, and stands below.
fn told(event: &Event, context: &Context<'_>) -> Vec<String> {
    let (position, stream) = (event.position.0, stream(event, context));
    let (kind, actor) = (&event.kind, clean(&event.actor));
    let data = event.data.to_string();
    let data = clean(&data);
    let Some(width) = context.out.width else {
        let at = moment(event.at);
        return vec![format!("{position:>8} {at} {kind:<18} {stream} {actor} {data}")];
    };
    let at = clock_time(event.at, context.times.now);
    let line = format!("{position:>6} {at} {kind:<15} {stream} {actor}");
    vec![brief(&line, width), brief(&format!("       {data}"), width)]
}

/// By the clock, since a follower stays for hours: UTC, and with its date unless that is the one of `now`.
fn clock_time(at: Instant, now: Instant) -> String {
    if at.utc().date_naive() == now.utc().date_naive() {
        at.utc().format("%H:%M:%SZ").to_string()
    } else {
        moment(at)
    }
}

fn shown(value: &Value, context: &mut Context<'_>) -> Outcome {
    let event: Event = shaped(value)?;
    let dash = || "-".to_owned();
    let facts = [
        ("position", event.position.to_string()),
        ("stream", format!("{} (version {})", event.stream, event.version)),
        ("type", event.kind),
        ("at", event.at.to_string()),
        ("actor", event.actor),
        ("correlation", event.correlation.unwrap_or_else(dash)),
        ("causation", event.causation.unwrap_or_else(dash)),
        ("hash", event.hash),
    ];
    for (name, fact) in facts {
        context.out.text(&format!("{name:<12} "), Tone::Plain, &fact)?;
    }
    Ok(context.out.line(format!("{:#}", event.data))?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_time_of_an_event_has_its_zone_and_the_date_of_another_day() {
        let at = |text: &str| Instant::parse(text).expect("valid");
        let now = at("2026-11-22T23:59:00Z");
        assert_eq!(clock_time(at("2026-11-22T00:00:01Z"), now), "00:00:01Z");
        assert_eq!(clock_time(at("2026-11-21T23:59:59Z"), now), "2026-11-21 23:59:59Z");
        assert_eq!(clock_time(at("2026-11-23T00:00:01Z"), now), "2026-11-23 00:00:01Z");
    }

    #[test]
    fn a_follower_of_one_stream_goes_on_by_the_place_in_the_whole_log() {
        let events = [json!({"position": 40, "version": 1}), json!({"position": 57, "version": 2})];
        assert_eq!(last_position(&events), Some(57));
        assert_eq!(last_position(&[]), None);
    }
}
