//! `daybook interface`.

use serde_json::{Value, json};

use super::client::{Address, shaped};
use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::render::{Tone, moment};
use super::table::{Cell, Rows, gist, text, whole};
use super::times::Towards;
use crate::http::api::interfaces::Shown;
use crate::ids::InterfaceId;
use crate::instant::Instant;
use crate::jobs::probe::{Report, State as Found};
use crate::projection::view::{Freshness, Interface, Page, Paused, State};

/// What can be done with interfaces.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List all interfaces
    List,
    /// Show one interface
    Show(Name),
    /// Look whether its jobs could run: programs, credentials, hosts; runs nothing, pings nothing
    ///
    /// Exit code 1 when something is missing.
    Test(Name),
    /// Pause all its schedules: their slots are skipped until it is resumed
    Pause(Pause),
    /// End its pause; slots go on from that instant
    Resume(Name),
}

/// One interface.
#[derive(Debug, clap::Args)]
pub struct Name {
    /// The interface's id: the stem of its file
    #[arg(value_name = "INTERFACE")]
    pub id: InterfaceId,
}

/// A pause.
#[derive(Debug, clap::Args)]
pub struct Pause {
    /// The interface's id: the stem of its file
    #[arg(value_name = "INTERFACE")]
    pub id: InterfaceId,
    /// Why and until when
    #[command(flatten)]
    pub terms: Terms,
}

/// Why something is paused, and until when.
#[derive(Debug, clap::Args)]
pub struct Terms {
    /// Why, for whoever finds it paused
    #[arg(long, visible_alias = "reason", value_name = "TEXT")]
    pub note: Option<String>,
    /// When it resumes by itself: a time, or how long (`2h`)
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

impl Terms {
    /// The body of the request.
    ///
    /// # Errors
    /// `--until` is no time.
    pub fn body(&self, context: &Context<'_>) -> Outcome<Value> {
        let read = |text: &String| context.times.read("--until", text, Towards::Future);
        let until = self.until.as_ref().map(read).transpose()?;
        Ok(json!({"note": self.note, "until": until}))
    }
}

/// Does it.
///
/// # Errors
/// The daemon cannot be reached, or refuses.
pub async fn run(verb: Verb, context: &mut Context<'_>) -> Outcome {
    match verb {
        Verb::List => list(context).await,
        Verb::Show(Name { id }) => {
            let value = context.get(&address(&id, None)).await?;
            shown(&value, context)
        }
        Verb::Test(Name { id }) => test(&id, context).await,
        Verb::Pause(Pause { id, terms }) => {
            let body = terms.body(context)?;
            let value = context.post(&address(&id, Some("pause")), &body).await?;
            shown(&value, context)?;
            Ok(context.out.message(format!("paused; `daybook interface resume {id}` ends it"))?)
        }
        Verb::Resume(Name { id }) => {
            let value = context.post(&address(&id, Some("resume")), &json!({})).await?;
            shown(&value, context)?;
            Ok(context.out.message("resumed; slots go on from now")?)
        }
    }
}

fn address(id: &InterfaceId, verb: Option<&str>) -> Address {
    let mut segments = vec!["api", "interfaces", id.as_str()];
    segments.extend(verb);
    Address::of(&segments)
}

async fn list(context: &mut Context<'_>) -> Outcome {
    let value = context.all(&Address::of(&["api", "interfaces"])).await?;
    if context.out.json {
        return Ok(context.out.document(&value)?);
    }
    let page: Page<Interface> = shaped(&value)?;
    table(&page.items, context)
}

/// Writes interfaces as a table.
///
/// # Errors
/// Nothing can be written.
pub fn table(interfaces: &[Interface], context: &mut Context<'_>) -> Outcome {
    let (name, owner) = (whole("INTERFACE"), gist("OWNER", 12));
    let mut rows = Rows::new(&[name, whole("STATE"), whole("LAST OK"), whole("SCHEDULES"), owner]);
    for row in interfaces {
        let (tone, state) = state_of(row);
        rows.add(&[
            Cell::toned(if row.red { Tone::Bad } else { Tone::Plain }, row.id.as_str()),
            Cell::toned(tone, state),
            Cell::from(context.when(row.last_ok_at)),
            Cell::from(row.schedules.len().to_string()),
            Cell::from(row.owner.as_deref().unwrap_or("-")),
        ]);
    }
    Ok(context.out.table(&rows)?)
}

fn state_of(row: &Interface) -> (Tone, &'static str) {
    match (row.state, row.red) {
        (State::Active, true) => (Tone::Bad, "red"),
        (State::Paused, true) => (Tone::Bad, "red, paused"),
        (state, _) => (Tone::of_state(state), state_name(state)),
    }
}

/// The name of a state.
pub const fn state_name(state: State) -> &'static str {
    match state {
        State::Active => "active",
        State::Paused => "paused",
        State::Disabled => "disabled",
        State::Removed => "removed",
    }
}

fn shown(value: &Value, context: &mut Context<'_>) -> Outcome {
    if context.out.json {
        return Ok(context.out.document(value)?);
    }
    let Shown { interface: row, freshness } = shaped(value)?;
    let (tone, state) = state_of(&row);
    context.out.side_by_side(&[Cell::from(row.id.as_str()), Cell::toned(tone, state)])?;
    let schedules: Vec<&str> = row.schedules.iter().map(crate::ids::ScheduleId::as_str).collect();
    let facts = [
        ("name", row.name.clone()),
        ("type", row.kind.clone().unwrap_or_else(|| "-".to_owned())),
        ("timezone", row.timezone.clone()),
        ("owner", row.owner.clone().unwrap_or_else(|| "-".to_owned())),
        ("schedules", schedules.join(", ")),
        ("last ok", context.when(row.last_ok_at)),
        (
            "data",
            freshness.as_ref().map_or_else(
                || "-".to_owned(),
                |one| said(one, context.times.now, &context.when(Some(one.expected_at))),
            ),
        ),
        ("version", row.definition_version.to_string()),
    ];
    for (name, fact) in facts {
        context.out.text(&format!("  {name:<10} "), Tone::Plain, &fact)?;
    }
    pause_line(row.paused.as_ref(), context)
}

/// How fresh its data are, by the schedule that is furthest behind.
fn said(freshness: &Freshness, now: Instant, due: &str) -> String {
    let Freshness { schedule, expected_at, behind, .. } = freshness;
    if *behind {
        format!("behind: {schedule} was due {due}")
    } else if *expected_at <= now {
        format!("new ones of {schedule} due {due}, not here yet")
    } else {
        format!("fresh, new ones of {schedule} due {due}")
    }
}

/// Who paused it, when, until when and why.
///
/// # Errors
/// Nothing can be written.
pub fn pause_line(paused: Option<&Paused>, context: &mut Context<'_>) -> Outcome {
    let Some(paused) = paused else { return Ok(()) };
    let mut text = format!("{} by {}", moment(paused.at), paused.actor.as_deref().unwrap_or("?"));
    if let Some(until) = paused.until {
        text.push_str(&format!(", until {}", moment(until)));
    }
    if let Some(note) = &paused.note {
        text.push_str(&format!(": {note}"));
    }
    Ok(context.out.text(&format!("  {:<10} ", "paused"), Tone::Plain, &text)?)
}

async fn test(id: &InterfaceId, context: &mut Context<'_>) -> Outcome {
    let value = context.post(&address(id, Some("test")), &json!({})).await?;
    let report: Report = shaped(&value)?;
    if context.out.json {
        context.out.document(&value)?;
    } else {
        let mut rows = Rows::new(&[whole("STATE"), whole("WHAT"), whole("NAME"), text("FOUND")]);
        for finding in &report.findings {
            let (tone, word) = match finding.state {
                Found::Ok => (Tone::Good, "ok"),
                Found::Failed => (Tone::Bad, "failed"),
                Found::Unknown => (Tone::Odd, "unknown"),
            };
            rows.add(&[
                Cell::toned(tone, word),
                Cell::from(&finding.what),
                Cell::from(&finding.name),
                Cell::from(&finding.detail),
            ]);
        }
        context.out.table(&rows)?;
    }
    if report.ok { Ok(()) } else { Err(Failure::silent(Exit::Failed)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_are_fresh_until_new_ones_are_due() {
        let at = Instant::from_secs;
        let told = |behind: bool, now: Instant| {
            let schedule = "sales".parse().expect("an id");
            let expected_at = at(1_000);
            said(&Freshness { schedule, last_ok_at: at(500), expected_at, behind }, now, "then")
        };
        assert_eq!(told(false, at(999)), "fresh, new ones of sales due then");
        assert_eq!(told(false, at(1_000)), "new ones of sales due then, not here yet");
        assert_eq!(told(true, at(3_000)), "behind: sales was due then");
    }
}
