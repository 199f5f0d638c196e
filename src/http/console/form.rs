//! What browsers send: the filters of a page in its address, and the fields of a form that is posted.

use axum::extract::{FromRequest, FromRequestParts, Request};
use http::request::Parts;
use serde_json::{Map, Value};

use crate::civil::{Local, Resolved, Zone};
use crate::domain::template::push_percent_encoded;
use crate::http::input::{Input, read_body};
use crate::http::problem::{Code, Problem};
use crate::instant::Instant;

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
        // `param.day` is the value of `day` among `params`.
        if let Some(param) = name.strip_prefix("param.") {
            let params = rows.entry("params").or_insert_with(|| Value::Object(Map::new()));
            if let Some(params) = params.as_object_mut() {
                params.insert(param.to_owned(), value);
            }
            continue;
        }
        match rows.get_mut(&name) {
            None => drop(rows.insert(name, value)),
            Some(Value::Array(all)) => all.push(value),
            Some(one) => *one = Value::Array(vec![one.take(), value]),
        }
    }
    Input::from_json(Value::Object(rows), prefix)
}

/// The address of a page of ours in a state: what is empty is left out.
pub(super) fn address(path: &str, state: &[(&str, &str)]) -> String {
    let mut to = path.to_owned();
    for (name, value) in state.iter().filter(|(_, value)| !value.is_empty()) {
        to.push(if to.contains('?') { '&' } else { '?' });
        to.push_str(name);
        to.push('=');
        push_percent_encoded(&mut to, value);
    }
    to
}

/// An instant as people write it: RFC 3339, or a reading of the clock of `zone`, `2026-11-22T10:00` or `2026-11-22`.
pub(super) fn when(input: &mut Input, name: &'static str, zone: &Zone) -> Option<Instant> {
    input.with(name, |text| {
        let text = text.trim();
        if let Ok(at) = Instant::parse(text) {
            return Ok(at);
        }
        let reading = if text.len() == 10 { format!("{text}T00:00") } else { text.to_owned() };
        let reading = Local::parse(&reading).map_err(|_err| {
            format!("`{text}` is no time such as `2026-11-22T10:00` (in {zone}) or `2026-11-22T10:00:00Z`")
        })?;
        Ok(match zone.resolve(reading) {
            Resolved::Once(at) | Resolved::Twice(at, _) => at,
            Resolved::Never(shift) => Instant::from_secs(shift.at),
        })
    })
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
    fn parameters_of_a_run_are_gathered_and_what_is_left_empty_takes_its_default() {
        let mut form = input(b"param.day=2026-11-22&param.shop=&param.n=7", "").expect("a form");
        let params: serde_json::Value = form.json("params").expect("some");
        assert_eq!(params, serde_json::json!({"day": "2026-11-22", "n": "7"}));
        form.finish().expect("nothing else");
    }

    #[test]
    fn a_time_is_read_as_the_clocks_of_the_zone_show_it() {
        let zone = Zone::load("Europe/Paris").expect("a zone");
        let mut form = input(
            b"a=2026-11-22T10:00&b=2026-07-01&c=2026-11-22T10:00:00Z&d=2026-03-29T02:30&e=soon",
            "",
        )
        .expect("a form");
        let mut read = |name| when(&mut form, name, &zone).map(|at| at.to_string());
        let at = |text: &str| Some(text.to_owned());
        assert_eq!(
            [read("a"), read("b"), read("c"), read("d"), read("e")],
            [
                at("2026-11-22T09:00:00.000Z"),
                at("2026-06-30T22:00:00.000Z"),
                at("2026-11-22T10:00:00.000Z"),
                at("2026-03-29T01:00:00.000Z"),
                None
            ]
        );
        let refused = form.finish().expect_err("`soon` is no time");
        assert!(refused.detail().contains("Europe/Paris"), "{}", refused.detail());
    }

    #[test]
    fn an_address_leaves_out_what_is_empty_and_writes_what_means_something_else() {
        let to = address("/events", &[("stream", "schedule/a/b"), ("type", ""), ("cursor", "7&x")]);
        assert_eq!(to, "/events?stream=schedule%2Fa%2Fb&cursor=7%26x");
    }

    #[test]
    fn a_field_that_nobody_knows_is_named() {
        let form = input(b"colour=red", "?").expect("a form");
        let refused = form.finish().expect_err("unknown");
        assert!(refused.detail().starts_with("`?colour`"), "{}", refused.detail());
    }
}
