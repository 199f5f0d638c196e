//! The two layers around every route: the outer one gives the request an id, a time limit, a metric and a written problem;
//! the inner one lets only those through whom [`super::routes`] names.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, header};

use super::access::{Caller, Peer, Proof};
use super::parts::App;
use super::problem::{Code, Problem};
use super::routes::{self, Access, Pace};
use super::session::{self, Holder};
use super::{auth, console};
use crate::config::MetricsAccess;
use crate::domain::access::Role;
use crate::domain::event::Actor;
use crate::ids::hex;

/// The header with the request's id.
pub const REQUEST_ID: &str = "x-request-id";
/// How long a usual answer may take until its head.
const USUAL: Duration = Duration::from_secs(30);

/// What a browser may load and do for our pages: what we serve, and nothing that stands in them
/// ([0014](../../docs/decisions/0014-console.md)).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What answers an unknown path.
pub async fn not_found() -> Problem {
    no_address()
}

/// The outer layer.
pub async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let began = app.clock.elapsed();
    let method = request.method().clone();
    let pattern = request.extensions().get::<MatchedPath>().map(|path| Arc::from(path.as_str()));
    let route: Arc<str> = pattern.unwrap_or_else(|| Arc::from("unmatched"));
    let instance = instance(request.uri().path());
    let page = console::wanted(&request);
    let id = request_id(request.headers());
    let pace = routes::find(&method, &route).map_or(Pace::Usual, |route| route.pace);
    let answer = AssertUnwindSafe(within(pace, next.run(request))).catch_unwind().await;
    let answer = answer.unwrap_or_else(|panic| {
        tracing::error!(request_id = %id, route = %route, panic = crate::task::words(&*panic), "a request panicked");
        Problem::new(Code::Internal, "the request could not be answered").into_response()
    });
    let mut response = match problem_of(&answer) {
        Some(problem) => match page {
            Some(page) => console::refused(&app, &problem, &page, &id),
            None => problem.render(Some(&id), instance.as_deref()),
        },
        None => answer,
    };
    finish_headers(response.headers_mut(), &id);
    let took = app.clock.elapsed().saturating_sub(began);
    let status = response.status();
    app.metrics.request_answered(&route, method_label(&method), status.as_u16(), took);
    // What a request changed is on record with who asked for it; here is only what went wrong.
    if status.is_server_error() || (status.is_client_error() && method != Method::GET) {
        tracing::info!(request_id = %id, %method, route = %route, status = status.as_u16(), took_ms = took.as_millis() as u64, "answered");
    } else {
        tracing::debug!(request_id = %id, %method, route = %route, status = status.as_u16(), took_ms = took.as_millis() as u64, "answered");
    }
    response
}

/// The path that a problem names; none where it holds a secret.
fn instance(path: &str) -> Option<String> {
    (!path.starts_with("/login/")).then(|| path.to_owned())
}

/// The problem that an answer is, also one of axum's own: it refuses an address that is not UTF-8 with a text.
fn problem_of(answer: &Response) -> Option<Problem> {
    let ours = answer.extensions().get::<Problem>().cloned();
    let refused = || answer.status().is_client_error().then(no_address);
    ours.or_else(refused)
}

fn no_address() -> Problem {
    Problem::new(Code::NotFound, "there is no such address")
}

async fn within(pace: Pace, answer: impl Future<Output = Response>) -> Response {
    match pace {
        Pace::Long => answer.await,
        Pace::Usual => tokio::time::timeout(USUAL, answer).await.unwrap_or_else(|_elapsed| {
            let detail = format!("no answer within {} s", USUAL.as_secs());
            Problem::new(Code::Timeout, detail).into_response()
        }),
    }
}

/// The caller's id of the request when it is a plain word, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let plain = |id: &&str| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    given.filter(plain).map_or_else(
        || auth::random::<8>().map_or_else(|_| "unknown".to_owned(), |bytes| hex(&bytes)),
        str::to_owned,
    )
}

fn finish_headers(headers: &mut HeaderMap, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // A login link's secret stands in its address.
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ] {
        headers.entry(name).or_insert_with(|| HeaderValue::from_static(value));
    }
}

fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// The inner layer: denies by default.
///
/// # Errors
/// The method is none of the route's, the caller is unknown, or may not do that.
pub async fn authorise(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let Some(path) = request.extensions().get::<MatchedPath>().cloned() else {
        return Ok(next.run(request).await);
    };
    let Some(route) = routes::find(request.method(), path.as_str()) else {
        return Err(refuse_method(request.method(), path.as_str()));
    };
    let needed = match route.access {
        Access::Open => None,
        Access::Metrics => metrics_role(&app, &request),
        Access::Role(role) => Some(role),
    };
    if let Some(needed) = needed {
        let caller = identify(&app, &request)?;
        if caller.role < needed {
            let detail = format!("this needs the role {needed}, and the caller is {}", caller.role);
            return Err(Problem::new(Code::Denied, detail));
        }
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        if caller.proof == Proof::Cookie && !is_read && !session::is_same_origin(request.headers())
        {
            let detail = "a change by the console's cookie must come from the console's own pages";
            return Err(Problem::new(Code::CrossSite, detail));
        }
        request.extensions_mut().insert(caller);
    }
    request.extensions_mut().insert(route);
    Ok(next.run(request).await)
}

fn refuse_method(method: &Method, path: &str) -> Problem {
    let Some(allowed) = routes::allowed(path) else {
        return Problem::new(Code::Denied, "nobody may use this address");
    };
    let detail = format!("`{path}` does not take {method}, only {allowed}");
    let problem = Problem::new(Code::MethodNotAllowed, detail);
    match HeaderValue::try_from(allowed) {
        Ok(allowed) => problem.with_header(header::ALLOW, allowed),
        Err(_) => problem,
    }
}

fn peer(request: &Request) -> Option<Peer> {
    request.extensions().get::<Peer>().copied()
}

fn metrics_role(app: &App, request: &Request) -> Option<Role> {
    let open = match app.settings.metrics {
        MetricsAccess::Open => true,
        MetricsAccess::Token => false,
        MetricsAccess::Auto => peer(request).is_some_and(|peer| peer.is_here(request.headers())),
    };
    (!open).then_some(Role::Viewer)
}

fn identify(app: &App, request: &Request) -> Result<Caller, Problem> {
    let headers = request.headers();
    match peer(request) {
        Some(Peer::Local { uid }) => {
            return Ok(Caller {
                actor: Actor::Local(uid),
                role: Role::Admin,
                proof: Proof::Socket,
            });
        }
        Some(Peer::Remote { .. }) => {}
        None => return Err(unknown("the connection is unknown")),
    }
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let token = value.to_str().ok().and_then(|text| text.split_once(' '));
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let known = token.and_then(|(_, text)| auth::recognise(text.trim(), &app.engine.tokens()));
        let (name, role) = known.ok_or_else(|| failed_login(app, peer(request)))?;
        return Ok(Caller { actor: Actor::Token(name), role, proof: Proof::Token });
    }
    if let Some(holder) = app.memory.sessions.recognise(headers, app.clock.elapsed())
        && is_still(app, &holder)
    {
        let (actor, role) = (holder.actor(), holder.role());
        return Ok(Caller { actor, role, proof: Proof::Cookie });
    }
    Err(unknown("there is no token, and no session of the console"))
}

/// A session goes with its token.
fn is_still(app: &App, holder: &Holder) -> bool {
    match holder {
        Holder::Link(_) => true,
        Holder::Token { id, .. } => app.engine.tokens().iter().any(|token| token.id == *id),
    }
}

fn unknown(detail: &str) -> Problem {
    Problem::new(Code::Unauthenticated, detail)
        .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"daybook\""))
}

/// A token or login link that is not valid. Valid ones are never slowed down: whoever guesses from behind the same proxy
/// must not shut the others out.
pub fn failed_login(app: &App, peer: Option<Peer>) -> Problem {
    let address = peer.and_then(|peer| peer.ip());
    let wait = address.and_then(|ip| app.memory.failures.count(ip, app.clock.elapsed()));
    tracing::warn!(address = ?address, "a login failed");
    match wait {
        None => unknown("the token or link is not valid, was used or revoked"),
        Some(wait) => Problem::new(Code::TooMany, "too many failed logins from this address")
            .with_retry_after(wait.as_secs().max(1)),
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| unknown("the caller is unknown"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_request_id_is_kept_and_any_other_replaced() {
        let id_of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_static(text));
            request_id(&headers)
        };
        assert_eq!(id_of("req-1.A_b"), "req-1.A_b");
        assert_eq!(id_of("two words").len(), 16);
        assert_ne!(id_of("<b>"), id_of("<b>"));
    }
}
