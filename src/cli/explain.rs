//! `daybook explain`.

use serde_json::{Value, json};

use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::render::{Cell, Rows, Tone};
use crate::domain::cause::Cause;
use crate::http::input::nearest;
use crate::runbooks;

/// What to explain.
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// The code of a cause, such as EXT-DNS
    #[arg(value_name = "CAUSE")]
    pub cause: Option<String>,
}

impl Explain {
    /// Does it.
    ///
    /// # Errors
    /// There is no such cause (3).
    pub fn run(self, context: &mut Context<'_>) -> Outcome {
        match self.cause {
            None => list(context),
            Some(text) => page(text.parse().map_err(|_err| unknown(&text))?, context),
        }
    }
}

fn unknown(text: &str) -> Failure {
    let given = text.to_ascii_uppercase();
    let failure = Failure::new(Exit::NotFound, format!("`{text}` is not a cause"));
    match nearest(&given, Cause::ALL.iter().map(|cause| cause.code())) {
        Some(code) => failure.hint(format!("did you mean `{code}`?")),
        None => failure.hint("`daybook explain` lists all causes"),
    }
}

fn document(cause: Cause) -> Value {
    json!({
        "cause": cause,
        "class": cause.class(),
        "meaning": cause.meaning(),
        "action": cause.class().action(None),
        "page": runbooks::page(cause),
    })
}

fn page(cause: Cause, context: &mut Context<'_>) -> Outcome {
    if context.out.json {
        return Ok(context.out.document(&document(cause))?);
    }
    for line in runbooks::page(cause).lines() {
        let tone = if line.starts_with('#') { Tone::Strong } else { Tone::Plain };
        context.out.line(context.out.palette.paint(tone, line))?;
    }
    Ok(())
}

fn list(context: &mut Context<'_>) -> Outcome {
    if context.out.json {
        let items: Vec<Value> = Cause::ALL.iter().map(|cause| document(*cause)).collect();
        return Ok(context.out.document(&json!({"items": items, "next": null}))?);
    }
    let mut rows = Rows::new(&["CAUSE", "CLASS", "MEANING"]);
    for cause in Cause::ALL {
        let class = cause.class().as_str();
        rows.add(&[Cell::from(cause.code()), Cell::from(class), Cell::from(cause.meaning())]);
    }
    Ok(context.out.table(rows)?)
}
