//! `daybook status`: the daemon on one screen, and on it first what is red.

use std::cmp::Reverse;

use super::client::{Address, shaped};
use super::context::Context;
use super::failure::Outcome;
use super::interface;
use super::render::Tone;
use super::table::{Cell, ERROR_MIN, Rows, gist, text, whole};
use super::text::brief;
use crate::domain::class::Class;
use crate::domain::classify::indicated;
use crate::domain::space::Room;
use crate::http::api::status::{Disk, Open, Red, Status};
use crate::projection::view::{FirstError, Interface, Slot, State};
use crate::runbooks;

/// Rows of each part at a terminal; more of them would push what is red off the screen.
const SHOWN: usize = 10;
/// Lines of a first error at a terminal.
const ERROR_LINES: usize = 2;

/// Lists all that is red, and more.
const RED: &str = "daybook execution list --status ko";
/// Lists all that waits or runs.
const OPEN: &str = "daybook execution list --status running,queued";

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
    reds(&status, context)?;
    open(&status, context)?;
    next(&status.next, context)?;
    interfaces(status.interfaces, context)
}

fn headline(status: &Status, context: &mut Context<'_>) -> Outcome {
    let palette = context.out.palette;
    let ready = if status.ready {
        palette.paint(Tone::Good, "ready")
    } else {
        palette.paint(Tone::Bad, "not ready")
    };
    let red = match status.red_count {
        0 => "nothing red".into(),
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
        context.out.text("", Tone::Bad, &format!("{}: {}", reason.code, reason.detail))?;
    }
    if status.disk.state == Room::Low {
        let Disk { free_bytes, lines_dropped, .. } = status.disk;
        let text = format!(
            "disk-low: {} MiB are free: of what jobs print only error lines are kept; {lines_dropped} lines were not since the start",
            free_bytes >> 20
        );
        context.out.text("", Tone::Odd, &text)?;
    }
    for problem in &status.problems {
        context.out.text("", Tone::Bad, problem)?;
    }
    Ok(())
}

/// What failed, why, whose move it is, and whether it may be run again.
fn reds(status: &Status, context: &mut Context<'_>) -> Outcome {
    if status.red.is_empty() {
        return Ok(());
    }
    heading("Red", context)?;
    if !context.out.terminal {
        context.out.table(&red_rows(&status.red, context))?;
        return more_of(status.red_count, status.red.len(), RED, context);
    }
    for red in status.red.iter().take(SHOWN) {
        answers(red, context)?;
    }
    more_of(status.red_count, status.red.len().min(SHOWN), RED, context)
}

/// The four answers below each other.
fn answers(red: &Red, context: &mut Context<'_>) -> Outcome {
    let id = context.id(red.execution);
    let name = format!("{}/{}", red.interface, red.schedule);
    context.out.side_by_side(&[Cell::toned(Tone::Bad, "KO"), Cell::toned(Tone::Strong, name)])?;
    let Some(error) = &red.first_error else {
        let show = format!("not known: daybook execution show {id}");
        return Ok(context.out.text("    why    ", Tone::Plain, &show)?);
    };
    let room = context.out.width.unwrap_or_default().saturating_sub(12) * ERROR_LINES;
    let why = brief(&indicated(error.class, error.text.trim()), room);
    context.out.text("    why    ", Tone::Bad, &why)?;
    context.out.text("    do     ", Tone::Plain, &error.action)?;
    context.out.text("    ask    ", Tone::Plain, &runbooks::whom(error.cause))?;
    context.out.text("    again  ", Tone::Plain, &runbooks::may_run_again(error.cause))?;
    let look = format!("daybook execution show {id}");
    Ok(context.out.text("           ", Tone::Faint, &look)?)
}

fn red_rows(red: &[Red], context: &Context<'_>) -> Rows {
    let [name, id, class] = ["SCHEDULE", "EXECUTION", "CLASS"].map(whole);
    let [ask, again, action] = ["ASK", "AGAIN", "DO"].map(text);
    let error = gist("FIRST ERROR", ERROR_MIN);
    let mut rows = Rows::new(&[name, id, class, ask, again, action, error]);
    let told = |error: Option<&FirstError>, tell: fn(&FirstError) -> String| {
        Cell::from(error.map_or_else(|| "-".to_owned(), tell))
    };
    for row in red {
        let error = row.first_error.as_ref();
        rows.add(&[
            Cell::toned(Tone::Bad, format!("{}/{}", row.interface, row.schedule)),
            Cell::from(context.id(row.execution)),
            Cell::from(row.class.map_or("-", Class::as_str)),
            told(error, |error| runbooks::whom(error.cause)),
            told(error, |error| runbooks::may_run_again(error.cause)),
            told(error, |error| error.action.clone()),
            told(error, |error| indicated(error.class, &error.text).into_owned()),
        ]);
    }
    rows
}

fn open(status: &Status, context: &mut Context<'_>) -> Outcome {
    let open: &[Open] = &status.open;
    if open.is_empty() {
        return Ok(());
    }
    heading("Running", context)?;
    let mut rows = Rows::new(&["STATUS", "EXECUTION", "SINCE", "SCHEDULE"].map(whole));
    let shown = at_most(open.len(), context);
    for row in open.iter().take(shown) {
        rows.add(&[
            Cell::toned(Tone::of_status(row.status), row.status.as_str()),
            Cell::from(context.id(row.execution)),
            Cell::from(context.when(Some(row.since))),
            Cell::from(format!("{}/{}", row.interface, row.schedule)),
        ]);
    }
    context.out.table(&rows)?;
    more_of(status.running + status.queued, shown, OPEN, context)
}

fn next(next: &[Slot], context: &mut Context<'_>) -> Outcome {
    if next.is_empty() {
        return Ok(());
    }
    heading("Next", context)?;
    let mut rows = Rows::new(&["WHEN", "SCHEDULE"].map(whole));
    for slot in next {
        rows.add(&[
            Cell::from(context.when(Some(slot.at))),
            Cell::from(format!("{}/{}", slot.interface, slot.schedule)),
        ]);
    }
    Ok(context.out.table(&rows)?)
}

/// The red ones first, then those that somebody paused.
fn interfaces(mut all: Vec<Interface>, context: &mut Context<'_>) -> Outcome {
    all.sort_by_key(|row| (Reverse(row.red), Reverse(row.state == State::Paused)));
    heading("Interfaces", context)?;
    let shown = at_most(all.len(), context);
    let count = all.len() as u64;
    all.truncate(shown);
    interface::table(&all, context)?;
    more_of(count, shown, "daybook interface list", context)
}

fn at_most(count: usize, context: &Context<'_>) -> usize {
    if context.out.terminal { count.min(SHOWN) } else { count }
}

/// Tells of rows that are not shown. The daemon sends a hundred at most, so that also a pipe may lack some; there it is a
/// message, since all that stands in a pipe is rows.
fn more_of(count: u64, shown: usize, command: &str, context: &mut Context<'_>) -> Outcome {
    let more = count.saturating_sub(shown as u64);
    if more == 0 {
        return Ok(());
    }
    let text = format!("and {more} more: {command}");
    if context.out.terminal {
        Ok(context.out.text("", Tone::Faint, &text)?)
    } else {
        Ok(context.out.message(text)?)
    }
}

fn heading(text: &str, context: &mut Context<'_>) -> Outcome {
    let painted = context.out.palette.paint(Tone::Strong, text).into_owned();
    context.out.line("")?;
    Ok(context.out.line(painted)?)
}
