//! `Idempotency-Key`: a POST that is repeated within 24 h gets the first one's answer and does nothing again.
//!
//! Answers go to the event log, so a restart forgets none; those with a secret in them stay in memory. Only an answer that
//! says "done" is kept: one that refused changed nothing, and a repetition may fare better. The work of a request with a
//! key goes on when its caller hangs up, so that a repetition finds an answer.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::access::Caller;
use super::input::read_body;
use super::parts::App;
use super::problem::{Code, Problem};
use super::reads::POSITION_HEADER;
use super::routes::{Answer, Route};
use crate::domain::event::RequestAnswered;

/// The request's header.
pub const HEADER: &str = "idempotency-key";
/// The header of an answer that was given before.
pub const REPLAYED: &str = "idempotency-replayed";
/// How long an answer is kept (contract, section 6).
pub const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Characters of a key at most.
const KEY_MAX: usize = 255;
/// Secret answers kept at most.
const SECRETS_MAX: usize = 1_000;

/// Keys whose request is being answered, and answers with secrets.
#[derive(Debug, Default)]
pub struct Answers {
    rows: Mutex<Rows>,
}

#[derive(Debug, Default)]
struct Rows {
    open: HashSet<String>,
    secret: HashMap<String, (RequestAnswered, Duration)>,
}

impl Answers {
    fn with<T>(&self, work: impl FnOnce(&mut Rows) -> T) -> T {
        work(&mut self.rows.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Frees the key when the request is over, also when it panicked.
struct Open {
    app: App,
    key: String,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.app.memory.answers.with(|rows| rows.open.remove(&self.key));
    }
}

/// Answers a repeated request from memory, and remembers the answer of a first one.
///
/// # Errors
/// The key is none, belongs to another request, or its first request is still being answered.
pub async fn layer(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let Some(key) = key(request.headers())? else { return Ok(next.run(request).await) };
    if request.method() != http::Method::POST {
        return Ok(next.run(request).await);
    }
    let (parts, body) = request.into_parts();
    let body = read_body(body).await?;
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let fingerprint = fingerprint(parts.method.as_str(), target, &body);
    if !app.memory.answers.with(|rows| rows.open.insert(key.clone())) {
        return Err(Problem::new(
            Code::InProgress,
            format!("a request with the key `{key}` is still being answered"),
        )
        .with_retry_after(1));
    }
    let open = Open { app: Arc::clone(&app), key: key.clone() };
    if let Some(answer) = recall(&app, &key) {
        let mut response = replay(answer, &fingerprint)?;
        // Its own position is not kept; what is on disk by now includes it.
        let newest = *app.log.durable().borrow();
        app.memory.answered(newest);
        response.headers_mut().insert(POSITION_HEADER, HeaderValue::from(newest.0));
        return Ok(response);
    }
    let keep = Keep {
        caller: parts.extensions.get::<Caller>().cloned(),
        kind: parts.extensions.get::<&'static Route>().map_or(Answer::Secret, |route| route.answer),
        key,
        fingerprint,
    };
    let request = Request::from_parts(parts, Body::from(body));
    let work = crate::task::spawn("a request that is remembered", async move {
        let response = next.run(request).await;
        let response = keep.keep(&open.app, response).await;
        drop(open);
        response
    });
    let response = work.await.ok().flatten();
    response.ok_or_else(|| Problem::new(Code::Internal, "the request did not finish"))
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    // The draft wants a structured string, in quotes; most callers send it bare.
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if bare.is_empty() || bare.len() > KEY_MAX || !bare.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Problem::invalid_field(
            "Idempotency-Key",
            format!("must have 1 to {KEY_MAX} visible ASCII characters"),
        ));
    }
    Ok(Some(bare.to_owned()))
}

fn fingerprint(method: &str, target: &str, body: &[u8]) -> String {
    let mut hash = blake3::Hasher::new();
    for part in [method.as_bytes(), target.as_bytes(), body] {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().to_hex().to_string()
}

fn recall(app: &App, key: &str) -> Option<RequestAnswered> {
    let now = app.clock.elapsed();
    let secret = app.memory.answers.with(|rows| {
        rows.secret.retain(|_, (_, at)| now.saturating_sub(*at) < KEPT);
        rows.secret.get(key).map(|(answer, _)| answer.clone())
    });
    secret.or_else(|| app.engine.recall_answer(key, app.clock.now() - KEPT))
}

fn replay(answer: RequestAnswered, fingerprint: &str) -> Result<Response, Problem> {
    if answer.fingerprint != fingerprint {
        let detail = format!("the key `{}` was used for another request", answer.key);
        return Err(Problem::new(Code::KeyReused, detail));
    }
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = (status, answer.body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    if let Some(location) = answer.location.and_then(|text| HeaderValue::try_from(text).ok()) {
        headers.insert(header::LOCATION, location);
    }
    Ok(response)
}

/// What is needed to keep an answer.
struct Keep {
    caller: Option<Caller>,
    kind: Answer,
    key: String,
    fingerprint: String,
}

impl Keep {
    async fn keep(self, app: &App, response: Response) -> Response {
        if !response.status().is_success() {
            return response;
        }
        let (parts, body) = response.into_parts();
        let body = match axum::body::to_bytes(body, usize::MAX).await {
            Ok(body) => body,
            Err(err) => return Problem::internal("the answer broke off", &err).into_response(),
        };
        let location = parts.headers.get(header::LOCATION);
        let answer = RequestAnswered {
            key: self.key,
            fingerprint: self.fingerprint,
            status: parts.status.as_u16(),
            location: location.and_then(|value| value.to_str().ok()).map(str::to_owned),
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        match (self.kind, self.caller) {
            (Answer::Recorded, Some(caller)) => {
                // The command itself is done and on disk; a lost memory of its answer must not turn it into an error.
                if let Err(refusal) = app.engine.remember_answer(caller.actor, answer).await {
                    tracing::warn!(error = %refusal, "an answer could not be remembered");
                }
            }
            (Answer::Recorded | Answer::Secret, _) => {
                let now = app.clock.elapsed();
                app.memory.answers.with(|rows| {
                    if rows.secret.len() < SECRETS_MAX {
                        rows.secret.insert(answer.key.clone(), (answer, now));
                    }
                });
            }
        }
        Response::from_parts(parts, Body::from(body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(text: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, text.parse().expect("a header"));
        key(&headers).ok().flatten()
    }

    #[test]
    fn a_key_may_be_bare_or_a_structured_string() {
        assert_eq!(key_of("8e03978e"), Some("8e03978e".to_owned()));
        assert_eq!(key_of("\"8e03978e\""), Some("8e03978e".to_owned()));
        assert_eq!(key_of("\"\""), None);
        assert_eq!(key_of("two words"), None);
        assert_eq!(key_of(&"x".repeat(256)), None);
    }

    #[test]
    fn parts_of_a_request_cannot_be_shifted_into_each_other() {
        assert_ne!(fingerprint("POST", "/a", b"b"), fingerprint("POST", "/ab", b""));
    }
}
