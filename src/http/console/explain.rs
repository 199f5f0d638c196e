//! `/explain`: what the causes of errors mean and what to do, from the runbooks that are built in.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};

use super::form::Filters;
use super::markdown::Markdown;
use super::shell::{Section, Shell, page};
use crate::domain::cause::Cause;
use crate::domain::class::Class;
use crate::http::access::Caller;
use crate::http::input::nearest;
use crate::http::parts::App;
use crate::http::problem::{Code, Problem};
use crate::runbooks;

#[derive(Template)]
#[template(path = "explain.html", config = "src/http/console/askama.toml")]
struct Explain {
    shell: Shell,
    cause: Cause,
    text: &'static str,
}

#[derive(Template)]
#[template(path = "causes.html", config = "src/http/console/askama.toml")]
struct Causes {
    shell: Shell,
    classes: Vec<(Class, Vec<Cause>)>,
}

/// The runbook of one cause, by its code in either case.
///
/// # Errors
/// There is no such cause.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Filters(input): Filters,
) -> Result<Response, Problem> {
    input.finish()?;
    let cause: Cause = name.parse().map_err(|_err| unknown(&name))?;
    if name != cause.code() {
        return Ok(Redirect::to(&format!("/explain/{}", cause.code())).into_response());
    }
    let shell = Shell::of(&app, &caller, Section::Elsewhere, cause.code());
    page(&Explain { shell, cause, text: runbooks::page(cause) })
}

fn unknown(name: &str) -> Problem {
    let given = name.chars().take(40).collect::<String>().to_ascii_uppercase();
    let hint = match nearest(&given, Cause::ALL.iter().map(|cause| cause.code())) {
        Some(code) => format!("did you mean `{code}`?"),
        None => "`/explain` lists all".to_owned(),
    };
    Problem::new(Code::NotFound, format!("`{}` is not a cause; {hint}", given.escape_debug()))
}

/// All causes by class.
///
/// # Errors
/// A parameter is unknown.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Filters(input): Filters,
) -> Result<Response, Problem> {
    input.finish()?;
    let shell = Shell::of(&app, &caller, Section::Elsewhere, "Causes of errors");
    let of = |class| Cause::ALL.iter().copied().filter(|cause| cause.class() == class).collect();
    let classes = Class::ALL.map(|class| (class, of(class))).to_vec();
    page(&Causes { shell, classes })
}
