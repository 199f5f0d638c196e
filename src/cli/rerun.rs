//! `daybook execution rerun`.

use serde_json::{Value, json};

use super::client::{Address, shaped};
use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::render::Tone;
use super::wait::{self, Seen, Waiting};
use crate::http::api::rerun::{RerunItem, Reruns};
use crate::http::problem::Code;

/// The problem of what a query passes over.
const NOT_OPEN: &str = Code::NotOpen.as_str();

/// Run executions again, each as a new one with the current definition and the original's slot and parameters
#[derive(Debug, clap::Args)]
pub struct Rerun {
    /// Ids, unique prefixes, `latest` or `latest-ko`
    #[arg(value_name = "ID", required_unless_present = "query", conflicts_with = "query")]
    pub ids: Vec<String>,
    /// All that fit these filters, such as `status=ko&interface=fnac`
    ///
    /// A KO that was dealt with (solved, superseded, acknowledged) and all runs of one root but the newest are passed over;
    /// name them by their ids, or use `--force`, to run them all the same.
    #[arg(long, value_name = "QUERY")]
    pub query: Option<String>,
    /// Print what would run, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask limits, locks and overlap
    #[arg(long)]
    pub force: bool,
    /// Whether to wait for their end.
    #[command(flatten)]
    pub waiting: Waiting,
}

/// Does it.
///
/// # Errors
/// The daemon cannot be reached or refuses; nothing fits the query (4); one ended KO (5); waiting took too long (6).
pub async fn run(asked: &Rerun, context: &mut Context<'_>) -> Outcome {
    let mut body = json!({"dry_run": asked.dry_run, "force": asked.force});
    match &asked.query {
        Some(query) => body["query"] = super::filters::query(query, &context.times)?,
        None => body["ids"] = json!(asked.ids),
    }
    let value = context.post(&Address::of(&["api", "executions", "rerun"]), &body).await?;
    let reruns: Reruns = shaped(&value)?;
    if reruns.items.is_empty() {
        return Err(Failure::new(Exit::NothingMatched, "no execution fits")
            .hint("look with `daybook execution list` and the same filters"));
    }
    if reruns.dry_run {
        return preview(&reruns.items, &value, context);
    }
    let single = asked.query.is_none() && asked.ids.len() == 1;
    let Waiting { wait, timeout } = asked.waiting;
    let mut seen = Vec::new();
    let mut ids = Vec::new();
    for item in &reruns.items {
        let Some(id) = item.id else { continue };
        let id = id.to_string();
        if !context.out.json {
            let of = context.id(item.of);
            context.out.line(format!("{id}  re-run of {of}"))?;
        }
        if !wait {
            seen.push(started(item, &id, context).await?);
        }
        ids.push(id);
    }
    refusals(&reruns.items, context)?;
    context.out.flush()?;
    let ended = if wait { wait::until_over(&ids, timeout, context).await? } else { Vec::new() };
    seen.extend(ended.iter().cloned().map(Some));
    if context.out.json {
        let document = document(single, &value, &seen);
        context.out.document(&document)?;
    } else if let (false, [id]) = (wait, ids.as_slice()) {
        context.out.message(format!("follow it: daybook execution log {id} --follow"))?;
    }
    wait::verdict(&ended)?;
    refused(&reruns.items)
}

/// The new execution; read again when the answer came before the lists knew it.
async fn started(item: &RerunItem, id: &str, context: &mut Context<'_>) -> Outcome<Option<Seen>> {
    if !context.out.json || item.execution.is_some() {
        return Ok(None);
    }
    let value = context.get(&Address::of(&["api", "executions", id])).await?;
    let execution = shaped(&value)?;
    Ok(Some(Seen { value, execution }))
}

/// The new execution when one was asked for; else one item for each, with what is known by now.
fn document(single: bool, answer: &Value, seen: &[Option<Seen>]) -> Value {
    let mut answer = answer.clone();
    let mut seen = seen.iter();
    if let Some(items) = answer.get_mut("items").and_then(Value::as_array_mut) {
        for item in items.iter_mut().filter(|item| !item["id"].is_null()) {
            if let Some(Some(newer)) = seen.next() {
                item["execution"] = newer.value.clone();
            }
        }
        if let (true, [item]) = (single, items.as_slice())
            && !item["execution"].is_null()
        {
            return item["execution"].clone();
        }
    }
    answer
}

fn preview(items: &[RerunItem], value: &Value, context: &mut Context<'_>) -> Outcome {
    if context.out.json {
        return Ok(context.out.document(value)?);
    }
    for item in items {
        match &item.problem {
            None => context.out.line(format!("would run again: {}", item.of))?,
            Some(problem) => {
                let why = format!("{}: {}", item.of, problem.detail);
                context.out.text("would not: ", Tone::Plain, &why)?;
            }
        }
    }
    Ok(())
}

/// Tells on stderr which could not be run again.
fn refusals(items: &[RerunItem], context: &mut Context<'_>) -> Outcome {
    for item in items {
        if let Some(problem) = &item.problem {
            context.out.complaint(format!("{} was not run again: {}", item.of, problem.detail))?;
        }
    }
    Ok(())
}

/// The exit code of the first refusal, if there is one. What a query passes over is none, unless it passes over all.
fn refused(items: &[RerunItem]) -> Outcome {
    let problems = || items.iter().filter_map(|item| item.problem.as_ref());
    if let Some(problem) = problems().find(|problem| problem.code != NOT_OPEN) {
        return Err(Failure::silent(Exit::of_problem(problem.status, &problem.code)));
    }
    if problems().count() == items.len() {
        return Err(Failure::silent(Exit::NothingMatched));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem::Problem;

    #[test]
    fn one_execution_asked_for_is_one_execution_printed() {
        let answer = json!({"dry_run": false, "items": [{"of": "a", "id": "b", "execution": {"id": "b"}, "problem": null}], "next": null});
        assert_eq!(document(true, &answer, &[None]), json!({"id": "b"}));
        assert_eq!(document(false, &answer, &[None]), answer);
    }

    fn item(problem: Option<Code>) -> RerunItem {
        let of = "0193522b-6a00-8000-8000-000000000001".parse().expect("an id");
        let problem = problem.map(|code| Problem::new(code, "why").body(None, None));
        RerunItem { of, id: problem.is_none().then_some(of), execution: None, problem }
    }

    #[test]
    fn what_a_query_passes_over_is_no_refusal_unless_it_passes_over_all() {
        let exit = |items: &[RerunItem]| refused(items).map_err(|failure| failure.exit());
        assert_eq!(exit(&[item(None), item(Some(Code::NotOpen))]), Ok(()));
        assert_eq!(exit(&[item(Some(Code::NotOpen))]), Err(Exit::NothingMatched));
        let refused = [item(Some(Code::NotOpen)), item(Some(Code::Conflict))];
        assert_eq!(exit(&refused), Err(Exit::Conflict));
    }
}
