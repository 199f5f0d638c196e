//! `daybook event`.

use std::time::Duration;

use serde_json::Value;

use super::client::{Address, shaped};
use super::context::Context;
use super::failure::Outcome;
use super::render::{Cell, Rows, clean, moment};
use super::schedule;
use crate::projection::view::{Event, Page};

/// Between two looks for new events.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

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
    /// Of this stream: daemon, interface/ID, schedule/INTERFACE/SCHEDULE or execution/UUID
    #[arg(long, value_name = "STREAM")]
    pub stream: Option<String>,
    /// Of this type, such as `closed`
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
}

impl Which {
    fn address(&self) -> Address {
        Address::of(&["api", "events"])
            .with_some("stream", self.stream.as_deref())
            .with_some("type", self.kind.as_deref())
    }
}

/// A page of events.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Which.
    #[command(flatten)]
    pub which: Which,
    /// Oldest first, after this position (with `--stream`: after this version)
    #[arg(long, value_name = "POSITION")]
    pub after: Option<u64>,
    /// Rows at most, 1 to 1000
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub limit: u16,
    /// `next` of the page before
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
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
        Verb::List(asked) => list(asked, context).await,
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

async fn list(asked: List, context: &mut Context<'_>) -> Outcome {
    let address = asked
        .which
        .address()
        .with_some("after", asked.after.map(|after| after.to_string()))
        .with("limit", asked.limit.to_string())
        .with_some("cursor", asked.cursor);
    let value = context.get(&address).await?;
    if context.out.json {
        return Ok(context.out.document(&value)?);
    }
    let page: Page<Event> = shaped(&value)?;
    let mut rows = Rows::new(&["POSITION", "AT", "TYPE", "STREAM", "ACTOR"]);
    for event in &page.items {
        rows.add(vec![
            Cell::from(event.position.to_string()),
            Cell::from(context.when(Some(event.at))),
            Cell::from(&event.kind),
            Cell::from(&event.stream),
            Cell::from(&event.actor),
        ]);
    }
    context.out.table(rows)?;
    schedule::more(page.next.as_deref(), context)
}

/// Events come by asking again: the log keeps them, so none is lost between two looks.
async fn tail(asked: &Tail, context: &mut Context<'_>) -> Outcome {
    let newest = asked.which.address().with("limit", asked.limit.to_string());
    let page = context.get(&newest).await?;
    let mut events = items(&page);
    events.reverse();
    // Without events of this kind yet, the follower begins at the newest of all.
    let mut after = match events.last().map(|event| place(event, &asked.which)) {
        Some(place) => place,
        None if asked.which.stream.is_some() => 0,
        None => {
            let newest = context.get(&Address::of(&["api", "events"]).with("limit", "1")).await?;
            items(&newest).first().map_or(0, |event| place(event, &asked.which))
        }
    };
    rows(&events, context)?;
    while asked.follow {
        context.out.flush()?;
        tokio::time::sleep(LOOK_AGAIN).await;
        let address = asked.which.address().with("after", after.to_string()).with("limit", "1000");
        let page = context.get(&address).await?;
        let events = items(&page);
        rows(&events, context)?;
        let cursor = page.get("next").and_then(Value::as_str);
        let reached = cursor.and_then(|next| next.strip_prefix("after-")?.parse().ok());
        let last = events.last().map(|event| place(event, &asked.which));
        after = after.max(reached.or(last).unwrap_or(after));
    }
    Ok(())
}

fn items(page: &Value) -> Vec<Value> {
    page.get("items").and_then(Value::as_array).cloned().unwrap_or_default()
}

/// What `after` counts: positions in the whole log, versions in a stream.
fn place(event: &Value, which: &Which) -> u64 {
    let name = if which.stream.is_some() { "version" } else { "position" };
    event.get(name).and_then(Value::as_u64).unwrap_or(0)
}

fn rows(events: &[Value], context: &mut Context<'_>) -> Outcome {
    for value in events {
        if context.out.json {
            context.out.row(value)?;
            continue;
        }
        let event: Event = shaped(value)?;
        let data = event.data.to_string();
        let line = format!(
            "{:>8} {} {:<18} {} {} {}",
            event.position.0,
            moment(event.at),
            event.kind,
            event.stream,
            event.actor,
            clean(&data)
        );
        context.out.line(line)?;
    }
    Ok(())
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
        context.out.line(format!("{name:<12} {}", clean(&fact)))?;
    }
    Ok(context.out.line(format!("{:#}", event.data))?)
}
