//! `daybook execution`.

use serde_json::{Value, json};

use super::client::Address;
use super::context::Context;
use super::execution_export::Export;
use super::execution_log::Log;
use super::failure::{Failure, Outcome};
use super::filters::Filters;
use super::page::Paging;
use super::render::{Tone, duration};
use super::rerun::Rerun;
use super::table::{Cell, ERROR_MIN, gist, whole};
use super::{execution_export, execution_log, execution_show, rerun};
use crate::domain::classify::indicated;
use crate::projection::view::Execution;

/// What can be done with executions.
///
/// An execution is given by its id, any unique prefix of it, `latest` or `latest-ko`.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List executions, newest first
    List(List),
    /// Show one: what went wrong, whose move it is, what was tried since
    Show(Name),
    /// Print its log
    ///
    /// Into a pipe, the whole log is its text, one row for each line. At a terminal, and when a filter leaves lines out,
    /// the line's number, time, level and class stand before it; `--plain` leaves them out. With `--json`: JSON Lines.
    Log(Box<Log>),
    /// Run again: a new execution with the current definition and the original's slot and parameters
    Rerun(Rerun),
    /// Ask for its end
    Cancel(Cancel),
    /// Write something beside it: a text, a ticket, that its KO is dealt with
    Note(Note),
    /// Write one with its log, or a list, as a workbook, CSV or JSON Lines
    ///
    /// A workbook has sheets with what it came to, its errors with the required action of each, the whole log, its calls and
    /// what happened when. CSV is the log alone. The file appears when it is complete; one that is there is left alone.
    Export(Export),
}

/// Which executions.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Which.
    #[command(flatten)]
    pub filters: Filters,
    /// Which page.
    #[command(flatten)]
    pub paging: Paging,
}

/// One execution.
#[derive(Debug, clap::Args)]
pub struct Name {
    /// Id, unique prefix, `latest` or `latest-ko`
    #[arg(value_name = "ID")]
    pub id: String,
}

/// What to cancel.
#[derive(Debug, clap::Args)]
pub struct Cancel {
    /// Ids, unique prefixes, `latest` or `latest-ko`
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
    /// Why
    #[arg(long, visible_alias = "reason", value_name = "TEXT")]
    pub note: Option<String>,
}

/// What to write.
#[derive(Debug, clap::Args)]
pub struct Note {
    /// Ids, unique prefixes, `latest` or `latest-ko`; the last may be the text
    #[arg(value_name = "ID… [TEXT]", required = true)]
    pub words: Vec<String>,
    /// The KO is dealt with: it no longer makes its interface red
    #[arg(long)]
    pub ack: bool,
    /// The number of an external ticket
    #[arg(long = "ref", value_name = "TICKET")]
    pub reference: Option<String>,
    /// The text, where it could be taken for an id
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,
}

/// Does it.
///
/// # Errors
/// The daemon cannot be reached, or refuses.
pub async fn run(verb: Verb, context: &mut Context<'_>) -> Outcome {
    match verb {
        Verb::List(asked) => list(asked, context).await,
        Verb::Show(Name { id }) => execution_show::run(&id, context).await,
        Verb::Log(log) => execution_log::run(&log, context).await,
        Verb::Rerun(asked) => rerun::run(&asked, context).await,
        Verb::Cancel(asked) => cancel(&asked, context).await,
        Verb::Note(asked) => note(asked, context).await,
        Verb::Export(asked) => execution_export::run(&asked, context).await,
    }
}

async fn list(asked: List, context: &mut Context<'_>) -> Outcome {
    let address = asked.filters.onto(Address::of(&["api", "executions"]), &context.times)?;
    let [status, id, opened] = [whole("STATUS"), whole("EXECUTION"), whole("OPENED")];
    let [took, name, error] = [whole("TOOK"), whole("SCHEDULE"), gist("FIRST ERROR", ERROR_MIN)];
    let columns = [status, id, opened, took, name, error];
    asked.paging.show(address, &columns, cells, context).await.map(drop)
}

fn cells(row: &Execution, context: &Context<'_>) -> Vec<Cell> {
    let error = row
        .first_error
        .as_ref()
        .map_or_else(|| "-".to_owned(), |error| indicated(error.class, &error.text).into_owned());
    vec![
        Cell::toned(Tone::of_status(row.status), row.status.as_str()),
        Cell::from(context.id(row.id)),
        Cell::from(context.when(Some(row.created_at))),
        Cell::from(row.duration_ms.map_or_else(|| "-".to_owned(), duration)),
        Cell::from(format!("{}/{}", row.interface, row.schedule)),
        Cell::from(error),
    ]
}

async fn cancel(asked: &Cancel, context: &mut Context<'_>) -> Outcome {
    let body = json!({"note": asked.note});
    let mut answers = Vec::new();
    for id in &asked.ids {
        let address = Address::of(&["api", "executions", id, "cancel"]);
        let value = context.post(&address, &body).await?;
        if !context.out.json {
            let shown = value.get("id").and_then(Value::as_str).unwrap_or(id).to_owned();
            context.out.line(format!("{shown}  asked to end"))?;
        }
        answers.push(value);
    }
    documents(answers, context)
}

async fn note(asked: Note, context: &mut Context<'_>) -> Outcome {
    let Note { words, ack, reference, text } = asked;
    let (ids, text) = ids_and_text(words, text)?;
    if text.is_none() && reference.is_none() && !ack {
        return Err(
            Failure::usage("there is nothing to write").hint("give a TEXT, --ref TICKET or --ack")
        );
    }
    let body = json!({"text": text, "reference": reference, "acknowledged": ack});
    let mut answers = Vec::new();
    for id in &ids {
        let address = Address::of(&["api", "executions", id, "notes"]);
        let value = context.post(&address, &body).await?;
        if !context.out.json {
            let shown = value.get("id").and_then(Value::as_str).unwrap_or(id).to_owned();
            let what = if ack { "acknowledged" } else { "noted" };
            context.out.line(format!("{shown}  {what}"))?;
        }
        answers.push(value);
    }
    documents(answers, context)
}

/// With `--json`: the answer, or a list of several.
fn documents(mut answers: Vec<Value>, context: &mut Context<'_>) -> Outcome {
    if !context.out.json {
        return Ok(());
    }
    let document = match answers.len() {
        1 => answers.remove(0),
        _ => json!({"items": answers, "next": null}),
    };
    Ok(context.out.document(&document)?)
}

/// Tells the ids from the text behind them.
fn ids_and_text(
    mut words: Vec<String>,
    text: Option<String>,
) -> Outcome<(Vec<String>, Option<String>)> {
    let text = match text {
        Some(text) => Some(text),
        // A single word is an id, if a wrong one: the daemon knows none like it.
        None if words.len() == 1 && !words.iter().any(|word| word.contains(' ')) => {
            return Ok((words, None));
        }
        None => words.pop_if(|last| !looks_like_id(last)),
    };
    match words.iter().find(|word| !looks_like_id(word)) {
        Some(word) => Err(Failure::usage(format!("`{word}` is not the id of an execution"))
            .hint("only the last word may be a text; put one of several words into quotes")),
        None if words.is_empty() => Err(Failure::usage("no execution is given")
            .hint("give an id, a unique prefix of one, `latest` or `latest-ko`")),
        None => Ok((words, text)),
    }
}

fn looks_like_id(word: &str) -> bool {
    let hex = word.len() <= 36 && word.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    word == "latest" || word == "latest-ko" || (hex && !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(words: &[&str]) -> Outcome<(Vec<String>, Option<String>)> {
        ids_and_text(words.iter().map(|word| (*word).to_owned()).collect(), None)
    }

    #[test]
    fn the_last_word_is_the_text_unless_it_is_an_id() {
        let (ids, text) =
            split(&["latest-ko", "0193522b-6a00", "called the provider"]).expect("fine");
        assert_eq!(ids, ["latest-ko", "0193522b-6a00"]);
        assert_eq!(text.as_deref(), Some("called the provider"));
        assert_eq!(split(&["0193"]).expect("fine").1, None);
    }

    #[test]
    fn a_text_without_quotes_or_without_an_id_is_refused() {
        assert!(split(&["0193", "called", "them"]).is_err());
        assert!(split(&["called them"]).is_err());
        assert_eq!(split(&["nope"]).expect("an id that none has").0, ["nope"]);
    }
}
