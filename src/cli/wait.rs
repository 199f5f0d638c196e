//! `--wait`: until an execution is over, and what its end means for the exit code.

use std::time::Duration;

use serde_json::Value;

use super::again::Again;
use super::args;
use super::client::{Address, shaped};
use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::meter::Meter;
use super::render::{Tone, duration, short_id};
use super::table::Cell;
use crate::projection::view::{Execution, Status};

/// The first pause between two looks; most commands are short.
const FIRST: Duration = Duration::from_millis(50);
/// The longest pause between two looks.
const LONGEST: Duration = Duration::from_secs(1);

/// Whether a command waits for what it started.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Waiting {
    /// Wait for the end: exit code 0 when all is ok, 5 when something is KO
    #[arg(long)]
    pub wait: bool,
    /// Wait so long at most, then exit code 6
    #[arg(long, value_name = "DURATION", requires = "wait", value_parser = args::duration)]
    pub timeout: Option<Duration>,
}

/// An execution as the daemon sent it, and in its shape.
#[derive(Clone, Debug)]
pub struct Seen {
    /// As it was sent.
    pub value: Value,
    /// In its shape.
    pub execution: Execution,
}

/// Waits until all of `ids` are over, and tells how each ended; with `--json` that is left to the caller.
///
/// # Errors
/// Together they take longer than `timeout` (6), or the daemon cannot be reached.
pub async fn until_over(
    ids: &[String],
    timeout: Option<Duration>,
    context: &mut Context<'_>,
) -> Outcome<Vec<Seen>> {
    let end = timeout.map(|timeout| tokio::time::Instant::now() + timeout);
    let mut all = Vec::with_capacity(ids.len());
    for (number, id) in ids.iter().enumerate() {
        let place = match ids.len() {
            0 | 1 => String::new(),
            count => format!("{} of {count}: ", number + 1),
        };
        let seen = one_over((id, &place), end, context).await?;
        if !context.out.json {
            shown(&seen.execution, context)?;
        }
        all.push(seen);
    }
    Ok(all)
}

async fn one_over(
    (id, place): (&str, &str),
    end: Option<tokio::time::Instant>,
    context: &mut Context<'_>,
) -> Outcome<Seen> {
    let address = Address::of(&["api", "executions", id]);
    let mut pause = FIRST;
    let mut again = Again::after_an_answer();
    let mut meter = Meter::begin();
    loop {
        let value = match context.get(&address).await {
            Ok(value) => value,
            Err(away) if end.is_some_and(|end| end <= tokio::time::Instant::now()) => {
                let what = format!("execution {id} was not seen to end");
                return Err(Failure::new(Exit::TimedOut, what).reason(away.message()));
            }
            Err(away) => {
                again.pause(away).await?;
                continue;
            }
        };
        again.answered();
        let execution: Execution = shaped(&value)?;
        if execution.status.is_final() {
            return Ok(Seen { value, execution });
        }
        meter.wait(&mut context.out.messages, &format!("{place}{}", going_on(&execution)));
        let now = tokio::time::Instant::now();
        let left = end.map_or(pause, |end| end.saturating_duration_since(now));
        if left.is_zero() {
            let status = execution.status.as_str();
            return Err(Failure::new(Exit::TimedOut, format!("execution {id} is still {status}"))
                .hint(format!("look again: daybook execution show {id}")));
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(LONGEST);
    }
}

/// What it does just now, for whoever waits: the part that matters first.
fn going_on(execution: &Execution) -> String {
    let Execution { interface, schedule, status, lines, .. } = execution;
    let (id, status) = (short_id(&execution.id.to_string()), status.as_str());
    let lines = if *lines > 0 { format!(", {lines} lines") } else { String::new() };
    format!("{status}{lines}, {id} {interface}/{schedule}")
}

fn shown(execution: &Execution, context: &mut Context<'_>) -> Outcome {
    let mut cells = vec![
        Cell::from(execution.id.to_string()),
        Cell::toned(Tone::of_status(execution.status), execution.status.as_str()),
        Cell::from(format!("{}/{}", execution.interface, execution.schedule)),
    ];
    cells.extend(execution.duration_ms.map(|ms| Cell::from(duration(ms))));
    context.out.side_by_side(&cells)?;
    if let Some(error) = &execution.first_error {
        let lead = format!("  line {}: ", error.line);
        context.out.text(&lead, Tone::Bad, &error.text)?;
        context.out.text("  ", Tone::Plain, &error.action)?;
    }
    Ok(())
}

/// The exit code of all of them together: KO before cancelled before ok.
///
/// # Errors
/// One did not end ok.
pub fn verdict(ended: &[Seen]) -> Outcome {
    let any = |status: Status| ended.iter().any(|seen| seen.execution.status == status);
    if any(Status::Ko) {
        return Err(Failure::silent(Exit::Ko));
    }
    if any(Status::Cancelled) {
        return Err(Failure::silent(Exit::Failed));
    }
    Ok(())
}
