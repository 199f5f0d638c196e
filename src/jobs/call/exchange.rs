//! A request with its answer as one line: who asked whom for what, what came back, and how long it took.

use reqwest::header::HeaderMap;
use reqwest::{Method, Request, Response, Url};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::fault::Finding;
use crate::domain::class::Level;
use crate::domain::verdict::spoken;
use crate::jobs::redact::{RedactedStream, Redactor};
use crate::jobs::scribe::Scribe;

/// A request that was sent.
pub(super) struct Exchange {
    method: Method,
    url: Url,
    headers: HeaderMap,
    request_bytes: u64,
    start: Instant,
}

/// What came back, as far as it was read.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) status: Option<u16>,
    pub(super) headers: HeaderMap,
    /// Bytes of the body, after decompression.
    pub(super) bytes: u64,
    /// The body goes on beyond `max_body`.
    pub(super) cut: bool,
    /// The body was read to its end.
    pub(super) complete: bool,
    /// The beginning of the body.
    pub(super) excerpt: Vec<u8>,
}

impl Answer {
    pub(super) fn of(response: &Response) -> Self {
        Self {
            status: Some(response.status().as_u16()),
            headers: response.headers().clone(),
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, chunk: &[u8], keep: usize) {
        let room = keep.saturating_sub(self.excerpt.len()).min(chunk.len());
        self.excerpt.extend_from_slice(&chunk[..room]);
        self.bytes += chunk.len() as u64;
    }

    /// It goes on beyond `max` bytes, which are not read.
    pub(super) fn cut_at(&mut self, max: u64) {
        self.excerpt.truncate(usize::try_from(max).unwrap_or(usize::MAX));
        self.bytes = max;
        self.cut = true;
    }

    pub(super) const fn has_begun(&self) -> bool {
        self.status.is_some()
    }

    /// The beginning of the body without secrets, and without the beginning of one where the excerpt or the body stops.
    fn shown_excerpt(&self, secrets: &Redactor) -> String {
        let mut stream = RedactedStream::default();
        let mut shown = stream.push(secrets, &self.excerpt).into_owned();
        if self.complete && self.bytes == self.excerpt.len() as u64 {
            shown.extend(stream.finish(secrets));
        }
        String::from_utf8_lossy(&shown).into_owned()
    }
}

impl Exchange {
    pub(super) fn begin(request: &Request, request_bytes: u64) -> Self {
        Self {
            method: request.method().clone(),
            url: request.url().clone(),
            headers: request.headers().clone(),
            request_bytes,
            start: Instant::now(),
        }
    }

    /// The answer is what was asked for, or a redirect that is followed.
    pub(super) fn answered(self, answer: &Answer, scribe: &mut Scribe) {
        let text = self.words(answer, "no status");
        let fields = self.fields(answer, Excerpt::Drop, scribe);
        scribe.note(Level::Info, None, None, &text, Some(fields));
    }

    /// The answer is not what was asked for, or there is none.
    pub(super) fn failed(self, finding: &Finding, answer: &Answer, scribe: &mut Scribe) {
        let text = format!("{}: {}", self.words(answer, "no answer"), finding.words);
        let fields = self.fields(answer, Excerpt::Keep, scribe);
        let cause = finding.cause;
        scribe.note(Level::Error, Some(cause.class()), Some(cause), &text, Some(fields));
    }

    /// Nobody waits for the answer any more.
    pub(super) fn given_up(self, why: &str, answer: &Answer, scribe: &mut Scribe) {
        let text = format!("{}: {why}", self.words(answer, "no answer"));
        let fields = self.fields(answer, Excerpt::Drop, scribe);
        scribe.note(Level::Warning, None, None, &text, Some(fields));
    }

    /// Without the query: it stands in the fields, and a line should be short.
    fn words(&self, answer: &Answer, without_status: &str) -> String {
        let mut place = self.url.clone();
        place.set_query(None);
        place.set_fragment(None);
        if place.set_username("").is_err() || place.set_password(None).is_err() {
            tracing::debug!("an address without a host has no user either");
        }
        let result = answer
            .status
            .map_or_else(|| without_status.to_owned(), |status| format!("status {status}"));
        format!("{} {place}: {result} after {}", self.method, spoken(self.start.elapsed()))
    }

    fn fields(&self, answer: &Answer, excerpt: Excerpt, scribe: &Scribe) -> Value {
        let secrets = scribe.secrets();
        let duration_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut fields = Map::new();
        let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        set("direction", "out".into());
        set("method", self.method.as_str().into());
        set("url", secrets.url(&self.url).into());
        set("status", json!(answer.status));
        set("duration_ms", duration_ms.into());
        set("request_bytes", self.request_bytes.into());
        set("response_bytes", answer.bytes.into());
        set("request_headers", secrets.headers(&self.headers));
        set("response_headers", secrets.headers(&answer.headers));
        if answer.cut {
            set("response_cut", true.into());
        }
        if excerpt == Excerpt::Keep && !answer.excerpt.is_empty() {
            set("response_excerpt", answer.shown_excerpt(secrets).into());
        }
        fields.into()
    }
}

/// Whether the beginning of the body goes into the log: only that of an unexpected answer, since bodies hold people's data.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Excerpt {
    Keep,
    Drop,
}
