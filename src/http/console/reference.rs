//! `/api`: what programs may ask, rendered from our own OpenAPI document.

mod operation;

use std::collections::BTreeSet;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value};

use self::operation::{Field, Operation, fields, operation, references};
use super::form::Filters;
use super::markdown::Inline;
use super::shell::{Section, Shell, page};
use super::words;
use crate::http::access::Caller;
use crate::http::parts::App;
use crate::http::problem::Problem;
use crate::http::router::DocumentText;

/// Where examples send their requests when there is no TCP listener.
const SOMEWHERE: &str = "http://127.0.0.1:7474";

/// A shape that answers or bodies have.
struct Shape {
    name: String,
    description: String,
    fields: Vec<Field>,
    /// The words that are allowed, of one that is a word.
    words: Vec<String>,
}

/// The operations with one tag.
struct Tag {
    name: String,
    operations: Vec<Operation>,
}

#[derive(Template)]
#[template(path = "reference.html", config = "src/http/console/askama.toml")]
struct Reference {
    shell: Shell,
    version: String,
    description: String,
    tags: Vec<Tag>,
    /// The tag whose operations are shown in full.
    shown: Option<Tag>,
    shapes: Vec<Shape>,
}

/// All operations in short, or those of one tag in full.
///
/// # Errors
/// There is no such tag.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Extension(text): Extension<DocumentText>,
    Filters(mut input): Filters,
) -> Result<Response, Problem> {
    let wanted = input.text("tag", 60);
    let document: Value = serde_json::from_str(text.as_str())
        .map_err(|err| Problem::internal("the document cannot be read", &err))?;
    let base = app.settings.base_url.as_deref().unwrap_or(SOMEWHERE);
    let mut tags = tags(&document, base);
    let shown = wanted.as_ref().and_then(|name| tags.iter().position(|tag| tag.name == *name));
    if let (Some(name), None) = (&wanted, shown) {
        let known: Vec<&str> = tags.iter().map(|tag| tag.name.as_str()).collect();
        input.refuse("tag", format!("`{name}` is none of: {}", known.join(", ")));
    }
    input.finish()?;
    let shown = shown.map(|at| tags.swap_remove(at));
    let shapes = shown.as_ref().map_or_else(Vec::new, |shown| shapes(&document, &shown.operations));
    let title = match &shown {
        Some(tag) => format!("API: {}", tag.name),
        None => "API".to_owned(),
    };
    page(&Reference {
        shell: Shell::of(&app, &caller, Section::Api, &title),
        version: text_at(&document, "/info/version"),
        description: text_at(&document, "/info/description"),
        tags,
        shown,
        shapes,
    })
}

fn text_at(document: &Value, place: &str) -> String {
    document.pointer(place).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// All operations by tag, both in the document's order.
fn tags(document: &Value, base: &str) -> Vec<Tag> {
    let mut tags: Vec<Tag> = Vec::new();
    let none = Map::new();
    for (path, operations) in document["paths"].as_object().unwrap_or(&none) {
        for (method, described) in operations.as_object().unwrap_or(&none) {
            let name = described["tags"][0].as_str().unwrap_or("api");
            let operation = operation(document, base, (method, path), described);
            match tags.iter_mut().find(|tag| tag.name == name) {
                Some(tag) => tag.operations.push(operation),
                None => {
                    tags.push(Tag { name: name.to_owned(), operations: vec![operation] });
                }
            }
        }
    }
    tags.sort_by(|one, other| one.name.cmp(&other.name));
    tags
}

/// The shapes that the operations' bodies and answers have, and those in them.
fn shapes(document: &Value, operations: &[Operation]) -> Vec<Shape> {
    let schemas = &document["components"]["schemas"];
    let mut open: Vec<String> =
        operations.iter().flat_map(|operation| operation.shapes.iter().cloned()).collect();
    let mut names = BTreeSet::new();
    while let Some(name) = open.pop() {
        if names.insert(name.clone()) {
            references(&schemas[&name], &mut open);
        }
    }
    let shape = |name: String| {
        let schema = &schemas[&name];
        let words = schema["enum"].as_array().into_iter().flatten();
        Shape {
            description: schema["description"].as_str().unwrap_or_default().to_owned(),
            fields: fields(document, schema),
            words: words.filter_map(Value::as_str).map(str::to_owned).collect(),
            name,
        }
    };
    names.into_iter().map(shape).collect()
}
