//! What browsers send: the filters of a page in its address, and the fields of a form that is posted.

use axum::extract::{FromRequest, FromRequestParts, Request};
use http::request::Parts;
use serde_json::{Map, Value};

use crate::http::input::{Input, read_body};
use crate::http::problem::{Code, Problem};

/// A page's filters. A field that was left empty is not there.
pub(super) struct Filters(pub(super) Input);

impl<S: Send + Sync> FromRequestParts<S> for Filters {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        input(parts.uri.query().unwrap_or_default().as_bytes(), "?").map(Self)
    }
}

/// The fields of a form. One that was left empty is not there; one that stands several times is a list.
pub(super) struct Posted(pub(super) Input);

impl<S: Send + Sync> FromRequest<S> for Posted {
    type Rejection = Problem;
    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let bytes = read_body(request.into_body()).await?;
        input(&bytes, "").map(Self)
    }
}

fn input(encoded: &[u8], prefix: &str) -> Result<Input, Problem> {
    of_pairs(pairs(encoded)?, prefix)
}

/// The fields of a form that were filled in, in their order.
///
/// # Errors
/// It is none.
pub(super) fn pairs(encoded: &[u8]) -> Result<Vec<(String, String)>, Problem> {
    let mut pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(encoded)
        .map_err(|err| Problem::new(Code::Invalid, format!("the form cannot be read: {err}")))?;
    pairs.retain(|(_, value)| !value.trim().is_empty());
    Ok(pairs)
}

/// The same, to be read field by field.
///
/// # Errors
/// Never: pairs are an object.
pub(super) fn of_pairs(
    pairs: impl IntoIterator<Item = (String, String)>,
    prefix: &str,
) -> Result<Input, Problem> {
    let mut rows: Map<String, Value> = Map::new();
    for (name, value) in pairs {
        let value = Value::String(value);
        match rows.get_mut(&name) {
            None => drop(rows.insert(name, value)),
            Some(Value::Array(all)) => all.push(value),
            Some(one) => *one = Value::Array(vec![one.take(), value]),
        }
    }
    Input::from_json(Value::Object(rows), prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_empty_is_not_there_and_what_stands_twice_is_a_list() {
        let mut form = input(b"text=&note=+&ids=a&ids=b+c&force=true", "").expect("a form");
        assert_eq!(form.text("text", 9), None);
        assert_eq!(form.text("note", 9), None);
        assert_eq!(form.json::<Vec<String>>("ids"), Some(vec!["a".to_owned(), "b c".to_owned()]));
        assert!(form.flag("force"));
        form.finish().expect("nothing else");
    }

    #[test]
    fn a_field_that_nobody_knows_is_named() {
        let form = input(b"colour=red", "?").expect("a form");
        let refused = form.finish().expect_err("unknown");
        assert!(refused.detail().starts_with("`?colour`"), "{}", refused.detail());
    }
}
