//! `daybook explain`.

use serde_json::{Value, json};

use super::context::Context;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::render::Tone;
use super::table::{Cell, Rows, text, whole};
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
    let page = runbooks::page(cause);
    if !context.out.terminal {
        return Ok(context.out.raw(page.as_bytes())?);
    }
    for block in blocks(page) {
        let tone = if block.starts_with('#') { Tone::Strong } else { Tone::Plain };
        match block.strip_prefix("- ") {
            Some(item) => context.out.text("- ", tone, item)?,
            None => context.out.text("", tone, &block)?,
        }
    }
    Ok(())
}

/// The headings, paragraphs and items of a page, each as one line, with the empty lines between them.
fn blocks(page: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for line in page.lines() {
        let goes_on = !line.is_empty() && !line.starts_with(['#', '-']);
        match blocks.last_mut().filter(|block| goes_on && !block.is_empty()) {
            Some(block) if !block.starts_with('#') => {
                block.push(' ');
                block.push_str(line.trim());
            }
            Some(_) | None => blocks.push(line.to_owned()),
        }
    }
    blocks
}

fn list(context: &mut Context<'_>) -> Outcome {
    if context.out.json {
        let items: Vec<Value> = Cause::ALL.iter().map(|cause| document(*cause)).collect();
        return Ok(context.out.document(&json!({"items": items, "next": null}))?);
    }
    let mut rows = Rows::new(&[whole("CAUSE"), whole("CLASS"), text("MEANING")]);
    for cause in Cause::ALL {
        let class = cause.class().as_str();
        rows.add(&[Cell::from(cause.code()), Cell::from(class), Cell::from(cause.meaning())]);
    }
    Ok(context.out.table(&rows)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_paragraph_are_one_block() {
        let page = "# A\n\none\ntwo\n\n- three\n  four\n- five\n";
        assert_eq!(blocks(page), ["# A", "", "one two", "", "- three four", "- five"]);
    }
}
