//! `daybook execution show`: what went wrong, whose move it is, how to go on.

use super::client::{Address, shaped};
use super::context::Context;
use super::failure::Outcome;
use super::render::{Tone, duration, moment};
use super::table::Cell;
use super::text::brief;
use crate::domain::classify::indicated;
use crate::projection::view::{Execution, FirstError, Note, Remark, Status};
use crate::runbooks;

/// Re-runs that are looked up to show how they ended.
const CHAIN_MAX: usize = 20;

/// Shows it.
///
/// # Errors
/// The daemon cannot be reached, or knows no such execution.
pub async fn run(id: &str, context: &mut Context<'_>) -> Outcome {
    let value = context.get(&Address::of(&["api", "executions", id])).await?;
    if context.out.json {
        return Ok(context.out.document(&value)?);
    }
    let execution: Execution = shaped(&value)?;
    banner(&execution, context)?;
    if let Some(error) = &execution.first_error {
        first_error(error, context)?;
    }
    context.out.line("")?;
    for (name, fact) in facts(&execution).into_iter().chain(remarks(&execution)) {
        context.out.text(&format!("  {name:<13} "), Tone::Plain, &fact)?;
    }
    chain(&execution, context).await?;
    next_step(&execution, context)
}

/// Status, name and id on one line; what solved it on the next.
fn banner(execution: &Execution, context: &mut Context<'_>) -> Outcome {
    let tone = Tone::of_status(execution.status);
    let status = Cell::toned(tone, execution.status.as_str().to_uppercase());
    let name = Cell::from(format!("{}/{}", execution.interface, execution.schedule));
    context.out.side_by_side(&[status, name, Cell::from(execution.id.to_string())])?;
    let settled = match (&execution.solved_by, &execution.superseded_by, &execution.acknowledged) {
        (Some(by), _, _) => Some(format!("solved by {by}")),
        (None, Some(by), _) => Some(format!("a later slot ended ok: {by}")),
        (None, None, Some(seen)) => {
            let note = seen.note.as_deref().map(|note| format!(": {note}")).unwrap_or_default();
            Some(format!("acknowledged by {}{note}", seen.actor))
        }
        (None, None, None) => None,
    };
    match settled {
        Some(settled) => Ok(context.out.text("", Tone::Good, &settled)?),
        None => Ok(()),
    }
}

fn first_error(error: &FirstError, context: &mut Context<'_>) -> Outcome {
    context.out.line("")?;
    context.out.text("", Tone::Bad, &indicated(error.class, error.text.trim()))?;
    let place = format!("line {}, {}: {}", error.line, error.cause, error.cause.meaning());
    context.out.text("", Tone::Faint, &place)?;
    context.out.line("")?;
    context.out.text("", Tone::Strong, &error.action)?;
    for paragraph in runbooks::gist(error.cause) {
        context.out.text("", Tone::Plain, &paragraph)?;
    }
    Ok(context.out.line(format!("More: daybook explain {}", error.cause))?)
}

fn facts(execution: &Execution) -> Vec<(&'static str, String)> {
    let at = |at: Option<crate::instant::Instant>| at.map(moment);
    let errors = &execution.errors;
    let counts: Vec<String> = [
        ("external", errors.external),
        ("configuration", errors.configuration),
        ("mapping", errors.mapping),
        ("technical", errors.technical),
        ("cascade", errors.cascade),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .map(|(class, count)| format!("{count} {class}"))
    .collect();
    let params: Vec<String> =
        execution.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let all = [
        ("slot", at(execution.slot)),
        ("trigger", Some(execution.trigger.as_str().to_owned())),
        ("opened", at(Some(execution.created_at))),
        ("started", at(execution.started_at)),
        ("ended", at(execution.ended_at)),
        ("took", execution.duration_ms.map(duration)),
        ("attempts", Some(execution.attempts.to_string())),
        ("exit code", execution.exit_code.map(|code| code.to_string())),
        ("lines", Some(execution.lines.to_string())),
        ("errors", Some(counts.join(", ")).filter(|text| !text.is_empty())),
        ("params", Some(brief(&params.join(" "), 200)).filter(|text| !text.is_empty())),
        ("tickets", Some(execution.references.join(", ")).filter(|text| !text.is_empty())),
        ("definition", Some(format!("version {}", execution.definition_version))),
        (
            "anomaly",
            execution.anomaly.as_ref().map(|anomaly| {
                format!(
                    "took longer than {}, seen {}",
                    duration(anomaly.after_ms),
                    moment(anomaly.at)
                )
            }),
        ),
    ];
    all.into_iter().filter_map(|(name, fact)| Some((name, fact?))).collect()
}

/// What people did and wrote.
fn remarks(execution: &Execution) -> Vec<(&'static str, String)> {
    let mut remarks = Vec::new();
    if let Some(Remark { at, actor, note }) = &execution.cancel_requested {
        let note = note.as_deref().map(|note| format!(": {note}")).unwrap_or_default();
        remarks.push(("cancelled", format!("{} by {actor}{note}", moment(*at))));
    }
    for Note { at, actor, text } in &execution.notes {
        remarks.push(("note", format!("{} {actor}: {text}", moment(*at))));
    }
    remarks
}

/// The first of the chain, what it is a re-run of, and how its re-runs ended.
async fn chain(execution: &Execution, context: &mut Context<'_>) -> Outcome {
    if let Some(parent) = execution.rerun_of {
        context.out.line(format!("  {:<13} {parent}", "re-run of"))?;
        if execution.root != parent {
            context.out.line(format!("  {:<13} {}", "first", execution.root))?;
        }
    }
    let skipped = execution.reruns.len().saturating_sub(CHAIN_MAX);
    if skipped > 0 {
        context.out.line(format!("  {:<13} {skipped} earlier ones", "re-runs"))?;
    }
    for id in execution.reruns.iter().skip(skipped) {
        let value = context.get(&Address::of(&["api", "executions", &id.to_string()])).await?;
        let rerun: Execution = shaped(&value)?;
        let tone = Tone::of_status(rerun.status);
        let status = Cell::toned(tone, rerun.status.as_str());
        let opened = Cell::from(context.when(Some(rerun.created_at)));
        let id = Cell::from(format!("  {:<13} {id}", "re-run"));
        context.out.side_by_side(&[id, status, opened])?;
    }
    Ok(())
}

fn next_step(execution: &Execution, context: &mut Context<'_>) -> Outcome {
    let id = execution.id;
    let message = match execution.status {
        Status::Ko if execution.solved_by.is_none() => {
            format!(
                "errors: daybook execution log {id} --errors\nagain:  daybook execution rerun {id} --wait"
            )
        }
        Status::Ko | Status::Ok | Status::Cancelled => format!("log: daybook execution log {id}"),
        Status::Queued | Status::Running => {
            format!("follow it: daybook execution log {id} --follow")
        }
    };
    Ok(context.out.message(message)?)
}
