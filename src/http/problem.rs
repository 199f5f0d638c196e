//! Errors as RFC 9457 problems: the one map from what went wrong to a status, a code, a class and an action.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::class::Class;
use crate::engine::handle::Refusal;

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong. A closed set; the name is the problem's `code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The body is not JSON.
    BadJson,
    /// There is no token, or it is not valid.
    Unauthenticated,
    /// The caller's role may not do that.
    Denied,
    /// A cookie's request does not come from the console.
    CrossSite,
    /// There is no such route or thing.
    NotFound,
    /// The route has other methods.
    MethodNotAllowed,
    /// The request took too long to arrive or to answer.
    Timeout,
    /// It does not fit what is so now.
    Conflict,
    /// A short id fits several executions.
    Ambiguous,
    /// A query for re-runs passed it over: it was dealt with, or a newer run of it exists.
    NotOpen,
    /// A request with the same idempotency key is still being answered.
    InProgress,
    /// The body is larger than 1 MiB.
    TooLarge,
    /// The body is not `application/json`.
    MediaType,
    /// A value is not acceptable.
    Invalid,
    /// The idempotency key belongs to another request.
    KeyReused,
    /// Too many failed logins.
    TooMany,
    /// A mistake of ours.
    Internal,
    /// The disk is full: nothing new is started.
    DiskFull,
    /// The daemon cannot take it now.
    Unavailable,
    /// The lists are being rebuilt, or lag behind.
    Rebuilding,
}

impl Code {
    /// The name in the problem's `code` and `type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadJson => "bad-json",
            Self::Unauthenticated => "unauthenticated",
            Self::Denied => "denied",
            Self::CrossSite => "cross-site",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::Timeout => "timeout",
            Self::Conflict => "conflict",
            Self::Ambiguous => "ambiguous",
            Self::NotOpen => "not-open",
            Self::InProgress => "in-progress",
            Self::TooLarge => "too-large",
            Self::MediaType => "media-type",
            Self::Invalid => "invalid",
            Self::KeyReused => "key-reused",
            Self::TooMany => "too-many-requests",
            Self::Internal => "internal",
            Self::DiskFull => "disk-full",
            Self::Unavailable => "unavailable",
            Self::Rebuilding => "rebuilding",
        }
    }

    /// The HTTP status.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadJson => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Denied | Self::CrossSite => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict | Self::Ambiguous | Self::NotOpen | Self::InProgress => {
                StatusCode::CONFLICT
            }
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid | Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
            Self::Unavailable | Self::Rebuilding => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::BadJson => "The body is not JSON",
            Self::Unauthenticated => "A token is needed",
            Self::Denied => "The role may not do that",
            Self::CrossSite => "The request comes from another site",
            Self::NotFound => "There is no such thing",
            Self::MethodNotAllowed => "The route has other methods",
            Self::Timeout => "It took too long",
            Self::Conflict => "It does not fit what is so now",
            Self::Ambiguous => "The id fits several executions",
            Self::NotOpen => "There is nothing left to do about it",
            Self::InProgress => "The same request is still being answered",
            Self::TooLarge => "The body is too large",
            Self::MediaType => "The body has the wrong media type",
            Self::Invalid => "A value is not acceptable",
            Self::KeyReused => "The idempotency key belongs to another request",
            Self::TooMany => "Too many failed logins",
            Self::Internal => "An error of Daybook's own",
            Self::DiskFull => "The disk is full",
            Self::Unavailable => "Daybook cannot take it now",
            Self::Rebuilding => "The lists are not up to date yet",
        }
    }

    const fn class(self) -> Option<Class> {
        match self {
            Self::Unauthenticated | Self::Denied | Self::CrossSite => Some(Class::Configuration),
            Self::Internal => Some(Class::Technical),
            _ => None,
        }
    }

    const fn action(self) -> &'static str {
        match self {
            Self::BadJson | Self::MediaType => {
                "Send one JSON object with `Content-Type: application/json`."
            }
            Self::Unauthenticated => {
                "Send `Authorization: Bearer <token>`; an admin makes one with `daybook token create`."
            }
            Self::Denied => "Use a token with the role that is needed.",
            Self::CrossSite => "Use the console's own pages, or a token instead of the cookie.",
            Self::NotFound => "Check the address and the id.",
            Self::MethodNotAllowed => "Use one of the methods in `Allow`.",
            Self::Timeout => "Try again.",
            Self::Conflict => "Look at what stands in the way, then try again.",
            Self::Ambiguous => "Give more of the id.",
            Self::NotOpen => "Name it by its id, or use `force`, to run it all the same.",
            Self::InProgress => "Wait for the first answer, then repeat the request.",
            Self::TooLarge => "Send at most 1 MiB.",
            Self::Invalid => "Correct the values named in `errors`.",
            Self::KeyReused => "Use a new `Idempotency-Key` for another request.",
            Self::TooMany => "Wait as long as `Retry-After` says.",
            Self::Internal => {
                "Contact support with the `request_id`; the daemon's log has the details."
            }
            Self::DiskFull => "Make room outside of the data folder, then try again.",
            Self::Unavailable | Self::Rebuilding => "Try again in a moment.",
        }
    }
}

/// One value that is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer into the body (`/params/day`), empty for the whole of it, or `?name` for a query parameter.
    pub pointer: String,
    /// What was expected.
    pub detail: String,
}

/// The body of every error (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemBody {
    /// `urn:daybook:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened here.
    pub detail: String,
    /// The path that was asked for; null where it holds a secret.
    pub instance: Option<String>,
    /// The code, from a closed set.
    pub code: String,
    /// Whose move it is, when it is an error of one of the five classes.
    #[schema(value_type = Option<String>)]
    pub class: Option<Class>,
    /// What to do.
    pub action: String,
    /// The request's id, as in `X-Request-Id` and the daemon's log.
    pub request_id: Option<String>,
    /// The values that are not acceptable.
    pub errors: Vec<FieldError>,
    /// How much of a rebuild is done, in percent.
    pub progress: Option<u8>,
    /// The execution in the way.
    #[schema(value_type = Option<String>, format = "uuid")]
    pub execution: Option<crate::ids::ExecutionId>,
}

/// An error on its way to the caller. The outermost layer writes the body, when it knows the request's id.
#[derive(Clone, Debug)]
pub struct Problem(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    code: Code,
    detail: String,
    errors: Vec<FieldError>,
    headers: HeaderMap,
    progress: Option<u8>,
    execution: Option<crate::ids::ExecutionId>,
}

impl Problem {
    /// What is wrong, in one sentence.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// A problem with what happened, without a full stop at its end.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            headers: HeaderMap::new(),
            progress: None,
            execution: None,
        }))
    }

    /// Something that does not exist.
    pub fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(Code::NotFound, format!("{what} does not exist"))
    }

    /// Values that are not acceptable; at least one.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.first() {
            None => String::new(),
            // The empty pointer is the whole body.
            Some(FieldError { pointer, detail }) if pointer.is_empty() => {
                format!("the body {detail}")
            }
            Some(FieldError { pointer, detail }) => format!("`{pointer}`: {detail}"),
        };
        let mut problem = Self::new(Code::Invalid, detail);
        problem.0.errors = errors;
        problem
    }

    /// One value that is not acceptable.
    pub fn invalid_field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError { pointer: pointer.into(), detail: detail.into() }])
    }

    /// An error of ours. The details go to the daemon's log and not to the caller.
    pub fn internal(what: &str, err: &dyn std::fmt::Display) -> Self {
        tracing::error!(error = %err, "{what}");
        Self::new(Code::Internal, what)
    }

    /// The lists cannot answer yet.
    pub fn rebuilding(percent: u8) -> Self {
        let detail = format!("the lists are being rebuilt or lag behind: {percent} % done");
        let mut problem = Self::new(Code::Rebuilding, detail).with_retry_after(2);
        problem.0.progress = Some(percent);
        problem
    }

    /// The same problem with a `Retry-After` of so many seconds.
    #[must_use]
    pub fn with_retry_after(self, seconds: u64) -> Self {
        self.with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// The same problem with a header.
    #[must_use]
    pub fn with_header(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// The headers that go with it.
    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// What went wrong.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The same problem with the execution that it is about.
    #[must_use]
    pub fn with_execution(mut self, execution: crate::ids::ExecutionId) -> Self {
        self.0.execution = Some(execution);
        self
    }

    /// The body.
    pub fn body(&self, request_id: Option<&str>, instance: Option<&str>) -> ProblemBody {
        let inner = &self.0;
        ProblemBody {
            kind: format!("urn:daybook:problem:{}", inner.code.as_str()),
            title: inner.code.title().to_owned(),
            status: inner.code.status().as_u16(),
            detail: inner.detail.clone(),
            instance: instance.map(str::to_owned),
            code: inner.code.as_str().to_owned(),
            class: inner.code.class(),
            action: inner.code.action().to_owned(),
            request_id: request_id.map(str::to_owned),
            errors: inner.errors.clone(),
            progress: inner.progress,
            execution: inner.execution,
        }
    }

    /// The whole answer, body included.
    pub fn render(&self, request_id: Option<&str>, instance: Option<&str>) -> Response {
        let body = serde_json::to_vec(&self.body(request_id, instance)).unwrap_or_default();
        let mut response = (self.0.code.status(), body).into_response();
        response.headers_mut().extend(self.0.headers.clone());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.0.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::NotFound { .. } => Self::new(Code::NotFound, detail),
            Refusal::Conflict { execution, .. } => {
                let mut problem = Self::new(Code::Conflict, detail);
                problem.0.execution = execution;
                problem
            }
            Refusal::Invalid { field, why } => {
                Self::invalid_field(format!("/{}", field.replace('.', "/")), why)
            }
            Refusal::Rebuilding { .. } => Self::new(Code::Rebuilding, detail).with_retry_after(2),
            Refusal::DiskFull { .. } => Self::new(Code::DiskFull, detail).with_retry_after(30),
            Refusal::Unavailable { .. } => Self::new(Code::Unavailable, detail).with_retry_after(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_status() {
        let cases = [
            (Refusal::NotFound { what: "schedule `a/b`".to_owned() }, 404, "not-found"),
            (Refusal::Conflict { why: "it runs".to_owned(), execution: None }, 409, "conflict"),
            (
                Refusal::Invalid { field: "params.day".to_owned(), why: "x".to_owned() },
                422,
                "invalid",
            ),
            (Refusal::Rebuilding { what: "x".to_owned() }, 503, "rebuilding"),
            (Refusal::DiskFull { why: "full".to_owned() }, 507, "disk-full"),
            (Refusal::Unavailable { why: "draining".to_owned() }, 503, "unavailable"),
        ];
        for (refusal, status, code) in cases {
            let body = Problem::from(refusal).body(Some("r1"), None);
            assert_eq!((body.status, body.code.as_str()), (status, code));
            assert_eq!(body.request_id.as_deref(), Some("r1"));
        }
    }

    #[test]
    fn a_refused_value_is_named_by_a_json_pointer() {
        let refusal = Refusal::Invalid { field: "params.day".to_owned(), why: "a date".to_owned() };
        let body = Problem::from(refusal).body(None, None);
        assert_eq!(
            body.errors,
            [FieldError { pointer: "/params/day".to_owned(), detail: "a date".to_owned() }]
        );
    }

    #[test]
    fn an_internal_error_tells_the_caller_no_details() {
        let body =
            Problem::internal("the lists cannot be read", &"/var/lib/daybook/x").body(None, None);
        assert_eq!(body.class, Some(Class::Technical));
        assert!(!serde_json::to_string(&body).expect("json").contains("/var/lib"));
    }
}
