//! `daybook status`: the daemon on one screen.

use super::client::{Address, shaped};
use super::context::Context;
use super::failure::Outcome;
use super::interface;
use super::render::{Cell, Rows, Tone, clean};
use crate::domain::class::Class;
use crate::domain::classify::indicated;
use crate::domain::space::Room;
use crate::http::api::status::{Disk, Red, Status};

/// Shows it.
///
/// # Errors
/// The daemon cannot be reached.
pub async fn run(context: &mut Context<'_>) -> Outcome {
    let value = context.get(&Address::of(&["api", "status"])).await?;
    if context.out.json {
        return Ok(context.out.document(&value)?);
    }
    let status: Status = shaped(&value)?;
    headline(&status, context)?;
    interface::table(&status.interfaces, context)?;
    if !status.red.is_empty() {
        heading("Red", context)?;
        context.out.table(red(&status.red, context))?;
    }
    if !status.open.is_empty() {
        heading("Running", context)?;
        let mut rows = Rows::new(&["STATUS", "EXECUTION", "SCHEDULE", "SINCE"]);
        for row in &status.open {
            rows.add(&[
                Cell::toned(Tone::of_status(row.status), row.status.as_str()),
                Cell::from(context.id(row.execution)),
                Cell::from(format!("{}/{}", row.interface, row.schedule)),
                Cell::from(context.when(Some(row.since))),
            ]);
        }
        context.out.table(rows)?;
    }
    if !status.next.is_empty() {
        heading("Next", context)?;
        let mut rows = Rows::new(&["WHEN", "SCHEDULE"]);
        for slot in &status.next {
            rows.add(&[
                Cell::from(context.when(Some(slot.at))),
                Cell::from(format!("{}/{}", slot.interface, slot.schedule)),
            ]);
        }
        context.out.table(rows)?;
    }
    Ok(())
}

/// Each open KO on a line, with what an operator needs to begin.
fn red(red: &[Red], context: &Context<'_>) -> Rows {
    let mut rows = Rows::new(&["SCHEDULE", "EXECUTION", "CLASS", "FIRST ERROR"]);
    for row in red {
        let error = row.first_error.as_ref();
        rows.add(&[
            Cell::toned(Tone::Bad, format!("{}/{}", row.interface, row.schedule)),
            Cell::from(context.id(row.execution)),
            Cell::from(row.class.map_or("-", Class::as_str)),
            Cell::from(error.map_or_else(
                || "-".to_owned(),
                |error| indicated(error.class, &error.text).into_owned(),
            )),
        ]);
    }
    rows
}

fn headline(status: &Status, context: &mut Context<'_>) -> Outcome {
    let palette = context.out.palette;
    let ready = if status.ready {
        palette.paint(Tone::Good, "ready")
    } else {
        palette.paint(Tone::Bad, "not ready")
    };
    let red = match status.interfaces.iter().filter(|row| row.red).count() {
        0 => "no red interface".into(),
        count => palette.paint(Tone::Bad, &format!("{count} red")).into_owned(),
    };
    let started = context.when(Some(status.started_at));
    let line = format!(
        "daybook {} {ready}, started {started}: {} running, {} queued, {red}",
        status.version, status.running, status.queued
    );
    context.out.line(line)?;
    // The problems in the files follow, each on a line of its own.
    let in_files = |code: &str| code == "config" && !status.problems.is_empty();
    for reason in status.reasons.iter().filter(|reason| !in_files(&reason.code)) {
        let line = format!("{}: {}", reason.code, clean(&reason.detail));
        context.out.line(palette.paint(Tone::Bad, &line))?;
    }
    if status.disk.state == Room::Low {
        let Disk { free_bytes, lines_dropped, .. } = status.disk;
        let line = format!(
            "disk-low: {} MiB are free: of what jobs print only error lines are kept; {lines_dropped} lines were not since the start",
            free_bytes >> 20
        );
        context.out.line(palette.paint(Tone::Odd, &line))?;
    }
    for problem in &status.problems {
        context.out.line(palette.paint(Tone::Bad, &clean(problem)))?;
    }
    heading("Interfaces", context)
}

fn heading(text: &str, context: &mut Context<'_>) -> Outcome {
    let painted = context.out.palette.paint(Tone::Strong, text);
    context.out.line("")?;
    Ok(context.out.line(painted)?)
}
