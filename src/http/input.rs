//! What callers send: query parameters and JSON bodies, read field by field so that every wrong one is named, and unknown
//! ones are refused.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use http::request::Parts;
use http::{HeaderMap, Uri, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::{Code, FieldError, Problem};
use crate::domain::template::push_percent_encoded;
use crate::instant::Instant;

/// The query parameter that every request may have: what a read has to reflect.
const AT_LEAST: &str = "at_least";
/// The largest body.
pub const BODY_MAX_BYTES: usize = 1024 * 1024;
/// A body must have arrived within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// Rows of a list unless the caller says otherwise (contract, section 5).
const LIMIT: usize = 100;
/// Rows of a list at most.
pub const LIMIT_MAX: usize = 1_000;

/// Named values, with where they came from and what was wrong with them so far.
#[derive(Clone, Debug, Default)]
pub struct Input {
    prefix: String,
    rows: BTreeMap<String, Value>,
    known: Vec<&'static str>,
    errors: Vec<FieldError>,
    /// Names in the query of a request whose values belong into its body.
    strays: Vec<String>,
}

impl Input {
    /// Reads a URI's query.
    ///
    /// # Errors
    /// It is not `name=value&…`, or a name stands twice.
    pub fn from_query(uri: &Uri) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|err| Problem::invalid_field("?", err.body_text()))?;
        let mut input = Self { prefix: "?".to_owned(), ..Self::default() };
        for (name, value) in pairs {
            if input.rows.insert(name.clone(), Value::String(value)).is_some() {
                return Err(Problem::invalid_field(format!("?{name}"), "stands more than once"));
            }
        }
        Ok(input)
    }

    /// Reads a JSON object that stands at `prefix` (`/` for the whole body, `/query/` for a part of it).
    ///
    /// # Errors
    /// It is no object.
    pub fn from_json(value: Value, prefix: &str) -> Result<Self, Problem> {
        match value {
            Value::Object(rows) => Ok(Self {
                prefix: prefix.to_owned(),
                rows: rows.into_iter().collect(),
                ..Self::default()
            }),
            _ => Err(Problem::invalid_field(prefix.trim_end_matches('/'), "must be a JSON object")),
        }
    }

    /// The same, for a request to `uri`, whose query may name nothing: what it names would not be heard.
    fn beside(mut self, uri: &Uri) -> Result<Self, Problem> {
        self.strays =
            Self::from_query(uri)?.rows.into_keys().filter(|name| name != AT_LEAST).collect();
        Ok(self)
    }

    /// Notes that `name` is not acceptable.
    pub fn refuse(&mut self, name: &str, detail: impl Display) {
        let pointer = format!("{}{name}", self.prefix);
        self.errors.push(FieldError { pointer, detail: detail.to_string() });
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.rows.remove(name).filter(|value| !value.is_null())
    }

    /// A value given as text, number or truth value, whose type names it when it refuses it.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Option<T> {
        self.with(name, |text| text.parse().map_err(|err: T::Err| err.to_string()))
    }

    /// A value that `read` makes of its text.
    pub fn with<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = match self.take(name)? {
            Value::String(text) => text,
            value @ (Value::Number(_) | Value::Bool(_)) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                self.refuse(name, "must be a text, a number, true or false");
                return None;
            }
        };
        read(&text).map_err(|why| self.refuse(name, why)).ok()
    }

    /// A whole number that is not negative.
    pub fn number<T: FromStr>(&mut self, name: &'static str) -> Option<T> {
        self.with(name, |text| {
            text.parse().map_err(|_err| format!("must be a whole number from 0 on, not `{text}`"))
        })
    }

    /// How many there are to be, `usual` unless given.
    pub fn count(&mut self, name: &'static str, usual: usize) -> usize {
        self.few(name).unwrap_or(usual)
    }

    /// A number of rows, from 1 to 1,000.
    pub fn few(&mut self, name: &'static str) -> Option<usize> {
        self.with(name, |text| {
            let count = text.parse::<usize>().ok().filter(|count| (1..=LIMIT_MAX).contains(count));
            count.ok_or_else(|| {
                format!("must be a whole number from 1 to {LIMIT_MAX}, not `{text}`")
            })
        })
    }

    /// An RFC 3339 instant.
    pub fn instant(&mut self, name: &'static str) -> Option<Instant> {
        self.with(name, |text| {
            Instant::parse(text).map_err(|_err| {
                // A bare `+` of an offset means a blank in a query.
                let plus =
                    if text.contains(' ') { "; in a query, `+` is written `%2B`" } else { "" };
                format!(
                    "`{text}` is not an instant such as `2026-11-22T10:00:00Z` (RFC 3339){plus}"
                )
            })
        })
    }

    /// A value of any JSON form, or a word of a closed set.
    pub fn json<T: DeserializeOwned>(&mut self, name: &'static str) -> Option<T> {
        let value = self.take(name)?;
        serde_json::from_value(value).map_err(|err| self.refuse(name, err)).ok()
    }

    /// True, or false when it is absent.
    pub fn flag(&mut self, name: &'static str) -> bool {
        let flag = self.with(name, |text| {
            text.parse().map_err(|_err| format!("must be true or false, not `{text}`"))
        });
        flag.unwrap_or(false)
    }

    /// A text of at most `max` characters.
    pub fn text(&mut self, name: &'static str, max: usize) -> Option<String> {
        self.with(name, |text| match text.chars().count() {
            count if count <= max => Ok(text.to_owned()),
            count => Err(format!("must have at most {max} characters, not {count}")),
        })
    }

    /// How many rows, 100 unless given.
    pub fn limit(&mut self) -> usize {
        self.count("limit", LIMIT)
    }

    /// A value that must be there; notes its absence.
    pub fn require<T>(&mut self, name: &'static str, value: Option<T>) -> Option<T> {
        let pointer = format!("{}{name}", self.prefix);
        if value.is_none() && !self.errors.iter().any(|err| err.pointer == pointer) {
            self.refuse(name, "is required");
        }
        value
    }

    /// Everything that was wrong, unknown names included. Call it before using the values.
    ///
    /// # Errors
    /// Something was.
    pub fn finish(mut self) -> Result<(), Problem> {
        if self.prefix == "?" {
            // Each read takes it; see `Reads`.
            self.rows.remove(AT_LEAST);
        }
        let unknown: Vec<String> = self.rows.keys().cloned().collect();
        for name in unknown {
            let detail = match nearest(&name, self.known.iter().copied()) {
                Some(known) => format!("is not known here; did you mean `{known}`?"),
                None if self.known.is_empty() => "is not known here; nothing is".to_owned(),
                None => format!("is not known here; known are: {}", self.known.join(", ")),
            };
            self.refuse(&name, detail);
        }
        for name in std::mem::take(&mut self.strays) {
            let detail = match self.known.contains(&name.as_str()) {
                true => "belongs into the body",
                false => "is not known here",
            };
            self.errors.push(FieldError { pointer: format!("?{name}"), detail: detail.to_owned() });
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid(self.errors)) }
    }
}

/// The name that `given` most resembles, if any comes close.
pub fn nearest<'a>(given: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(name, given), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, name)| name)
}

/// The query parameters of a request.
pub struct Params(pub Input);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Input::from_query(&parts.uri).map(Self)
    }
}

/// The JSON body of a request; an absent one counts as `{}`. Its query may name nothing.
pub struct Fields(pub Input);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Problem;
    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let uri = request.uri().clone();
        let media_type = media_type(request.headers()).to_owned();
        let bytes = read_body(request.into_body()).await?;
        if bytes.is_empty() {
            let none = Value::Object(serde_json::Map::new());
            return Input::from_json(none, "/")?.beside(&uri).map(Self);
        }
        if !media_type.eq_ignore_ascii_case("application/json") {
            let detail = format!("the body must be `application/json`, not `{media_type}`");
            return Err(Problem::new(Code::MediaType, detail));
        }
        let value = serde_json::from_slice(&bytes)
            .map_err(|err| Problem::new(Code::BadJson, format!("the body is not JSON: {err}")))?;
        Input::from_json(value, "/")?.beside(&uri).map(Self)
    }
}

/// Reads a body of at most 1 MiB, within `BODY_TIMEOUT`.
///
/// # Errors
/// It is larger, it broke off, or it takes too long.
pub async fn read_body(body: Body) -> Result<axum::body::Bytes, Problem> {
    let whole = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, BODY_MAX_BYTES)).await;
    let too_slow = |_elapsed| {
        let detail = format!("the body did not arrive within {} s", BODY_TIMEOUT.as_secs());
        Problem::new(Code::Timeout, detail)
    };
    whole.map_err(too_slow)?.map_err(|err| {
        let source = std::error::Error::source(&err);
        if source.is_some_and(|source| source.is::<http_body_util::LengthLimitError>()) {
            Problem::new(Code::TooLarge, "the body is larger than 1 MiB")
        } else {
            Problem::new(Code::BadJson, "the body broke off")
        }
    })
}

/// The body's type without its parameters; empty when it has none.
fn media_type(headers: &HeaderMap) -> &str {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    given.and_then(|value| value.split(';').next()).unwrap_or_default().trim()
}

/// The `Link` to the next page of the list at `uri`.
pub fn next_link(uri: &Uri, cursor: &str) -> String {
    let others = uri.query().unwrap_or_default().split('&');
    let mut query: Vec<String> = others
        .filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="))
        .map(str::to_owned)
        .collect();
    let mut next = "cursor=".to_owned();
    push_percent_encoded(&mut next, cursor);
    query.push(next);
    format!("<{}?{}>; rel=\"next\"", uri.path(), query.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &'static str) -> Input {
        Input::from_query(&Uri::from_static(text)).expect("a query")
    }

    fn errors(input: Input) -> Vec<(String, String)> {
        let body = input.finish().expect_err("something is wrong").body(None, None);
        body.errors.into_iter().map(|e| (e.pointer, e.detail)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_is_not_waited_for_longer_than_its_time() {
        let began = tokio::time::Instant::now();
        let never = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
        let problem = read_body(Body::from_stream(never)).await.expect_err("it never arrives");
        assert_eq!(problem.body(None, None).code, "timeout");
        assert_eq!(began.elapsed(), BODY_TIMEOUT);
    }

    #[test]
    fn every_wrong_parameter_is_named() {
        let mut input = query("/x?limit=0&from=yesterday&statsu=ko");
        input.limit();
        input.instant("from");
        input.with("status", |text| Ok(text.to_owned()));
        let errors = errors(input);
        let names: Vec<_> = errors.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["?limit", "?from", "?statsu"]);
        assert_eq!(errors[2].1, "is not known here; did you mean `status`?");
    }

    #[test]
    fn what_is_wrong_is_told_with_the_value_and_what_was_expected() {
        let mut input = query("/x?n=many&after=-1&errors=yes&from=2026-11-22T10:00:00+01:00");
        input.count("n", 5);
        input.number::<u64>("after");
        input.flag("errors");
        input.instant("from");
        let details: Vec<String> = errors(input).into_iter().map(|(_, detail)| detail).collect();
        assert_eq!(
            details,
            [
                "must be a whole number from 1 to 1000, not `many`",
                "must be a whole number from 0 on, not `-1`",
                "must be true or false, not `yes`",
                "`2026-11-22T10:00:00 01:00` is not an instant such as `2026-11-22T10:00:00Z` (RFC 3339); in a query, `+` is written `%2B`",
            ]
        );
    }

    #[test]
    fn a_body_that_is_no_object_is_told_so() {
        let refused = Input::from_json(serde_json::json!([1]), "/").expect_err("a list");
        assert_eq!(refused.detail(), "the body must be a JSON object");
    }

    #[test]
    fn a_parameter_that_stands_twice_is_refused() {
        assert!(Input::from_query(&Uri::from_static("/x?a=1&a=2")).is_err());
    }

    #[test]
    fn a_number_may_be_given_as_a_number_or_as_text() {
        let value = serde_json::json!({"min_ms": 5, "max_ms": "7"});
        let mut input = Input::from_json(value, "/query/").expect("an object");
        assert_eq!(input.number::<u64>("min_ms"), Some(5));
        assert_eq!(input.number::<u64>("max_ms"), Some(7));
        assert!(input.finish().is_ok());
    }

    #[test]
    fn the_next_page_keeps_the_filters_and_replaces_the_cursor() {
        let uri = Uri::from_static("/api/executions?status=ko&cursor=9&limit=2");
        assert_eq!(
            next_link(&uri, "a/7"),
            "</api/executions?status=ko&limit=2&cursor=a%2F7>; rel=\"next\""
        );
    }
}
