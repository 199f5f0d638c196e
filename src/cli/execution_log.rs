//! `daybook execution log`: all of it or the lines that fit, at once or while it is written.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::again::Again;
use super::client::{Address, Parts};
use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::output::Output;
use super::render::Tone;
use super::text::clean;
use crate::domain::class::Source;
use crate::domain::line::Line;
use crate::store::lines::UNREADABLE;

/// Between the end of a stream and the next one: a daemon that stops lets its followers go.
const NEXT_STREAM: Duration = Duration::from_secs(1);

/// Which lines of which execution.
#[derive(Clone, Debug, clap::Args)]
pub struct Log {
    /// Id, unique prefix, `latest` or `latest-ko`
    #[arg(value_name = "ID")]
    pub id: String,
    /// Go on until the execution is over
    #[arg(long, short = 'f')]
    pub follow: bool,
    /// Only lines of this class; several with commas between them
    #[arg(long, value_delimiter = ',')]
    #[arg(value_parser = ["external", "configuration", "mapping", "technical", "cascade"])]
    pub class: Vec<String>,
    /// Only lines of at least this level
    #[arg(long, value_parser = ["debug", "info", "warning", "error"])]
    pub level: Option<String>,
    /// Only error lines
    #[arg(long)]
    pub errors: bool,
    /// Only lines that match this regular expression
    #[arg(long, value_name = "RE")]
    pub grep: Option<String>,
    /// Only lines that hold this text; small letters also mean capitals
    #[arg(long)]
    pub text: Option<String>,
    /// Only lines of this attempt
    #[arg(long, value_name = "N")]
    pub attempt: Option<u32>,
    /// Only lines after this one
    #[arg(long, value_name = "LINE")]
    pub after: Option<u64>,
    /// Only lines before this one
    #[arg(long, value_name = "LINE")]
    pub before: Option<u64>,
    /// So many lines at most
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Only the last of them, 1 to 1000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub last: Option<u16>,
    /// Only the text of each line
    #[arg(long)]
    pub plain: bool,
}

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Text,
    Columns,
}

impl Log {
    fn is_filtered(&self) -> bool {
        !self.class.is_empty()
            || self.level.is_some()
            || self.errors
            || self.grep.is_some()
            || self.text.is_some()
            || self.attempt.is_some()
    }

    fn form(&self, out: &Output<'_>) -> Form {
        match (out.json, self.plain) {
            (true, _) => Form::Json,
            (false, true) => Form::Text,
            (false, false) if out.terminal || self.is_filtered() => Form::Columns,
            (false, false) => Form::Text,
        }
    }

    fn address(&self, id: &str) -> Address {
        let number = |n: u64| n.to_string();
        Address::of(&["api", "executions", id, "log"])
            .with_some("class", (!self.class.is_empty()).then(|| self.class.join(",")))
            .with_some("level", self.level.as_deref())
            .with_some("errors", self.errors.then_some("true"))
            .with_some("grep", self.grep.as_deref())
            .with_some("text", self.text.as_deref())
            .with_some("attempt", self.attempt.map(u64::from).map(number))
            .with_some("after", self.after.map(number))
            .with_some("before", self.before.map(number))
            .with_some("limit", self.limit.map(number))
            .with_some("last", self.last.map(u64::from).map(number))
    }
}

/// Prints it.
///
/// # Errors
/// The daemon cannot be reached, or knows no such execution.
pub async fn run(log: &Log, context: &mut Context<'_>) -> Outcome {
    let form = log.form(&context.out);
    if log.follow {
        return follow(log, form, context).await;
    }
    let mut parts = context.lines(&log.address(&log.id)).await?;
    let mut whole = true;
    while let Some(rows) = parts.next().await? {
        whole &= !tells_a_gap(&rows);
        write_rows(&rows, form, &mut context.out)?;
    }
    verdict(whole)
}

/// Whether a row stands in the place of lines that cannot be read. A job may write such a field, but not as Daybook.
fn tells_a_gap(rows: &[u8]) -> bool {
    let named = memchr::memmem::find(rows, UNREADABLE.as_bytes()).is_some();
    named
        && rows.split(|byte| *byte == b'\n').any(|row| {
            let line = serde_json::from_slice::<Line>(row).ok();
            line.is_some_and(|line| {
                line.source == Source::Daybook
                    && line.fields.is_some_and(|fields| fields.get(UNREADABLE).is_some())
            })
        })
}

/// A log with a gap is shown as far as it goes, and is a failure.
fn verdict(whole: bool) -> Outcome {
    if whole {
        Ok(())
    } else {
        Err(Failure::new(Exit::Failed, "some lines cannot be read")
            .hint("look with `daybook store verify`"))
    }
}

/// Writes JSON Lines in the form that was asked for.
fn write_rows(rows: &[u8], form: Form, out: &mut Output<'_>) -> Outcome {
    if form == Form::Json {
        return Ok(out.raw(rows)?);
    }
    for row in rows.split(|byte| *byte == b'\n').filter(|row| !row.is_empty()) {
        write_row(row, form, out)?;
    }
    Ok(())
}

fn write_row(row: &[u8], form: Form, out: &mut Output<'_>) -> Outcome {
    match form {
        Form::Json => {
            out.raw(row)?;
            out.raw(b"\n")?;
        }
        Form::Text => {
            let line: TextOnly<'_> = serde_json::from_slice(row).map_err(|err| unreadable(&err))?;
            let text = one_row(&line.text);
            let text = if out.terminal { clean(&text) } else { Cow::Borrowed(&*text) };
            out.line(text)?;
        }
        Form::Columns => {
            let line: Line = serde_json::from_slice(row).map_err(|err| unreadable(&err))?;
            let shown = columns(&line, out.terminal);
            let painted = out.palette.paint(Tone::of_level(line.level), &shown).into_owned();
            out.line(painted)?;
        }
    }
    Ok(())
}

/// The part of a line that a pipe wants; the rest is not even read.
#[derive(Deserialize)]
struct TextOnly<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
}

fn unreadable(err: &serde_json::Error) -> Failure {
    Failure::new(Exit::Failed, "the daemon sent a line that cannot be read").because(err)
}

/// A text that holds line ends, such as the message of a JSON line, stays one row.
fn one_row(text: &str) -> Cow<'_, str> {
    if text.contains('\n') { Cow::Owned(text.replace('\n', "\\n")) } else { Cow::Borrowed(text) }
}

/// Number, time, level, then the text as people read it.
fn columns(line: &Line, terminal: bool) -> String {
    let at = line.at.utc();
    let at = if terminal { at.format("%H:%M:%S%.3f") } else { at.format("%Y-%m-%dT%H:%M:%S%.3fZ") };
    let shown = line.shown();
    let text = clean(&shown);
    format!("{:>6} {at} {:<7} {text}", line.line, line.level.as_str())
}

/// Follows one log: `latest` is asked once, for after a break it may be another execution.
async fn follow(log: &Log, form: Form, context: &mut Context<'_>) -> Outcome {
    let mut id = log.id.clone();
    let mut last = None;
    let mut whole = true;
    let mut again = Again::default();
    loop {
        let outcome = match context.follow(&log.address(&id), last).await {
            Ok(parts) => {
                again.answered();
                if let Some(whole) = parts.place().and_then(execution_of) {
                    whole.clone_into(&mut id);
                }
                listen(parts, form, (&mut last, &mut whole), context).await
            }
            Err(failure) => Err(failure),
        };
        match outcome {
            Ok(true) => return verdict(whole),
            Ok(false) => tokio::time::sleep(NEXT_STREAM).await,
            Err(broken) => again.pause(broken).await?,
        }
    }
}

/// The id in the path of a log.
fn execution_of(place: &str) -> Option<&str> {
    place.strip_prefix("/api/executions/")?.strip_suffix("/log")
}

/// Writes lines until the execution is over (true) or the stream ends before that (false).
async fn listen(
    mut parts: Parts,
    form: Form,
    (last, whole): (&mut Option<u64>, &mut bool),
    context: &mut Context<'_>,
) -> Outcome<bool> {
    let mut events = Events::default();
    while let Some(bytes) = parts.next().await? {
        for event in events.read(&bytes) {
            match event.name.as_str() {
                "line" => {
                    *whole &= !tells_a_gap(event.data.as_bytes());
                    write_row(event.data.as_bytes(), form, &mut context.out)?;
                    *last = event.id.or(*last);
                }
                "problem" => {
                    let problem: Value =
                        serde_json::from_str(&event.data).map_err(|err| unreadable(&err))?;
                    let status = problem.get("status").and_then(Value::as_u64).unwrap_or(500);
                    let status = u16::try_from(status).unwrap_or(500);
                    return Err(Failure::from_problem(status, problem));
                }
                "end" => {
                    let end: Value =
                        serde_json::from_str(&event.data).map_err(|err| unreadable(&err))?;
                    let status = end.get("status").and_then(Value::as_str).unwrap_or("over");
                    context.out.flush()?;
                    context.out.message(format!("ended: {status}"))?;
                    return Ok(true);
                }
                _ => {}
            }
        }
        context.out.flush()?;
    }
    Ok(false)
}

/// A server-sent event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Event {
    name: String,
    id: Option<u64>,
    data: String,
}

/// Reads server-sent events from whole lines. Source: WHATWG HTML, section 9.2.6.
#[derive(Default)]
struct Events {
    open: Event,
}

impl Events {
    fn read(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut ended = Vec::new();
        // The line end of the last line begins no empty one.
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        for line in bytes.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                if !self.open.data.is_empty() || !self.open.name.is_empty() {
                    ended.push(std::mem::take(&mut self.open));
                }
                continue;
            }
            let text = String::from_utf8_lossy(line);
            let (field, value) = text.split_once(':').unwrap_or((&*text, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut self.open.name),
                "id" => self.open.id = value.parse().ok(),
                "data" => {
                    if !self.open.data.is_empty() {
                        self.open.data.push('\n');
                    }
                    self.open.data.push_str(value);
                }
                // A comment keeps the connection alive; other fields are none of ours.
                _ => {}
            }
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::class::{Class, Level};
    use crate::instant::Instant;

    fn line(text: &str) -> Line {
        Line {
            line: 12,
            at: Instant::from_secs(0),
            attempt: 1,
            source: Source::Stderr,
            level: Level::Error,
            class: Some(Class::External),
            cause: None,
            text: text.to_owned(),
            cascade_of: None,
            fields: None,
        }
    }

    /// S3-6.
    #[test]
    fn an_error_line_names_its_class_once() {
        let row = "    12 00:00:00.000 error   External: no answer";
        assert_eq!(columns(&line("no answer"), true), row);
        assert_eq!(columns(&line("External: no answer"), true), row);
    }

    #[test]
    fn a_line_is_one_row() {
        assert_eq!(one_row("a\nb"), "a\\nb");
        assert_eq!(one_row("a\tb"), "a\tb");
    }

    #[test]
    fn events_are_read_whole_also_in_parts() {
        let mut events = Events::default();
        assert!(events.read(b": keep alive\n\nevent: line\nid: 7\n").is_empty());
        let read = events.read(b"data: {\"line\":7}\n\nevent: end\ndata: {}\n\n");
        assert_eq!(
            read,
            [
                Event { name: "line".to_owned(), id: Some(7), data: "{\"line\":7}".to_owned() },
                Event { name: "end".to_owned(), id: None, data: "{}".to_owned() },
            ]
        );
    }
}
