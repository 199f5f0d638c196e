//! One exchange with a dead-man monitor or a notice's receiver.
//!
//! The protocol is that of healthchecks: `<url>`, `<url>/start`, `<url>/fail`, `<url>/log`, `rid` as a query parameter,
//! POST with the tail of the log as body. A 200 is no proof that the ping counted: only a body that begins with `OK` or
//! `Created` and does not speak of a rate limit is.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Proxy, StatusCode, Url};

use crate::domain::effect::EffectKind;
use crate::error_text::in_full;
use crate::ids::ExecutionId;

/// How long one try may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The body that a monitor is sure to keep, until it says otherwise with `Ping-Body-Limit`.
const BODY_BYTES: usize = 10_000;

/// The largest body sent, whatever a monitor says.
const BODY_BYTES_MAX: usize = 100_000;

/// Bytes of an answer that are looked at.
const ANSWER_BYTES: usize = 200;

/// The client for all deliveries, with `proxy` as its only rule. Redirects are not followed: a ping URL that moved is to
/// be corrected.
///
/// # Errors
/// The TLS set-up of this machine is unusable. Without trusted certificates it is not: deliveries by http still work.
pub fn client(proxy: &Proxy) -> reqwest::Result<Client> {
    let builder = || {
        Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("daybook/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .proxy(proxy.clone())
    };
    builder().build().or_else(|err| {
        tracing::warn!(error = %in_full(&err), "no trusted certificates found: pings and notices by https will fail");
        builder().tls_certs_only([]).build()
    })
}

/// What became of one try. The reasons never hold a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It counted.
    Taken,
    /// Another try can help, not before this time has passed if one is given.
    Later(String, Option<Duration>),
    /// No further try can help.
    Refused(String),
}

/// The monitor's address for `kind`, with the run id.
///
/// The kind goes at the end of the path, before any query that the address has (`?create=1`).
pub(super) fn address(base: &str, kind: EffectKind, execution: ExecutionId) -> Option<Url> {
    let mut url = Url::parse(base).ok()?;
    let suffix = match kind {
        EffectKind::PingStart => Some("start"),
        EffectKind::PingFail => Some("fail"),
        EffectKind::PingLog => Some("log"),
        _ => None,
    };
    if let Some(suffix) = suffix {
        url.path_segments_mut().ok()?.pop_if_empty().push(suffix);
    }
    url.query_pairs_mut().append_pair("rid", &execution.to_string());
    Some(url)
}

/// How much of a body each monitor keeps, by origin, where it has said so.
#[derive(Debug, Default)]
struct BodyLimits(Mutex<HashMap<String, usize>>);

impl BodyLimits {
    fn of(&self, url: &Url) -> usize {
        self.all().get(&origin(url)).copied().unwrap_or(BODY_BYTES)
    }

    fn learn(&self, origin: String, headers: &HeaderMap) {
        let limit = headers
            .get("ping-body-limit")
            .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if let Some(limit) = limit {
            self.all().insert(origin, limit.min(BODY_BYTES_MAX));
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends pings and remembers how much of a body each monitor keeps.
#[derive(Debug)]
pub(super) struct Pinger {
    client: Client,
    limits: BodyLimits,
}

impl Pinger {
    pub(super) fn new(client: Client) -> Self {
        Self { client, limits: BodyLimits::default() }
    }

    /// How many bytes of a log's tail are worth sending to `url`.
    pub(super) fn body_bytes(&self, url: &Url) -> usize {
        self.limits.of(url)
    }

    /// Sends one ping with `body`.
    pub(super) async fn ping(&self, url: Url, body: String) -> Answer {
        let origin = origin(&url);
        let request =
            self.client.post(url).header(CONTENT_TYPE, "text/plain; charset=utf-8").body(body);
        let (status, headers, text) = match exchange(request).await {
            Ok(answer) => answer,
            Err(later) => return later,
        };
        self.limits.learn(origin, &headers);
        let lower = text.to_ascii_lowercase();
        let counted =
            (lower.starts_with("ok") || lower.starts_with("created")) && !lower.contains("rate");
        match status.as_u16() {
            200 | 201 if counted => Answer::Taken,
            200 | 201 if lower.contains("rate") => {
                Answer::Later("rate limited".to_owned(), Some(MINUTE))
            }
            200 | 201 => Answer::Refused(
                "the answer is not a monitor's: it begins neither with OK nor Created".to_owned(),
            ),
            _ => refusal(status, &headers),
        }
    }

    /// Sends one notice; any 2xx counts.
    pub(super) async fn notice(&self, url: Url, key: &str, body: &serde_json::Value) -> Answer {
        let request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("idempotency-key", key)
            .body(body.to_string());
        match exchange(request).await {
            Ok((status, _, _)) if status.is_success() => Answer::Taken,
            Ok((status, headers, _)) => refusal(status, &headers),
            Err(later) => later,
        }
    }
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

const MINUTE: Duration = Duration::from_secs(60);

async fn exchange(
    request: reqwest::RequestBuilder,
) -> Result<(StatusCode, HeaderMap, String), Answer> {
    let later = |err: reqwest::Error| Answer::Later(reason(err), None);
    let mut response = request.send().await.map_err(later)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut text = Vec::new();
    while text.len() < ANSWER_BYTES
        && let Some(chunk) = response.chunk().await.map_err(later)?
    {
        text.extend_from_slice(&chunk);
    }
    Ok((status, headers, String::from_utf8_lossy(&text).into_owned()))
}

/// The error and its causes in words, without the address, which is a secret of sorts.
fn reason(err: reqwest::Error) -> String {
    in_full(&err.without_url())
}

fn refusal(status: StatusCode, headers: &HeaderMap) -> Answer {
    let words = format!("status {status}");
    let wait = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map(Duration::from_secs);
    match status.as_u16() {
        408 | 429 | 500..=599 => Answer::Later(words, wait),
        _ => Answer::Refused(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instant::Instant;

    #[test]
    fn each_monitor_says_for_itself_how_much_it_keeps() {
        let limits = BodyLimits::default();
        let url = |text: &str| Url::parse(text).expect("valid");
        let mut headers = HeaderMap::new();
        headers.insert("ping-body-limit", "100".parse().expect("a value"));
        limits.learn(origin(&url("https://small.example/a")), &headers);
        assert_eq!(limits.of(&url("https://small.example/b?x=1")), 100);
        assert_eq!(limits.of(&url("https://small.example:8443/a")), 10_000);
        assert_eq!(limits.of(&url("https://other.example/a")), 10_000);
    }

    /// S2-8.
    #[test]
    fn the_kind_is_the_last_part_of_the_path_and_the_run_id_a_parameter() {
        let id = ExecutionId::random(Instant::from_secs(0), [1; 10]);
        let shown = |base: &str, kind| address(base, kind, id).expect("valid").to_string();
        let base = "https://hc.example/ping/key/slug?create=1";
        assert_eq!(
            shown(base, EffectKind::PingFail),
            format!("https://hc.example/ping/key/slug/fail?create=1&rid={id}")
        );
        assert_eq!(
            shown("https://hc.example/uuid", EffectKind::PingSuccess),
            format!("https://hc.example/uuid?rid={id}")
        );
        assert_eq!(
            shown("https://hc.example/uuid/", EffectKind::PingStart),
            format!("https://hc.example/uuid/start?rid={id}")
        );
    }
}
