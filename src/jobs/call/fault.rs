//! Why a call failed: the class by typed evidence, walked down the chain of sources.
//!
//! `reqwest::Error::is_connect` is true alike for names that do not resolve, refused connections and bad certificates,
//! so it decides nothing here but whether something can have been sent.

use std::error::Error;
use std::io;

use reqwest::{StatusCode, Url};
use rustls::CertificateError;

use super::client::Caller;
use super::exchange::Answer;
use crate::domain::cause::Cause;
use crate::error_text::in_full;

/// What went wrong, and the words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) cause: Cause,
    pub(super) words: String,
}

impl Finding {
    pub(super) fn new(cause: Cause, words: impl Into<String>) -> Self {
        Self { cause, words: words.into() }
    }
}

/// What the chain of sources shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// The name has no address.
    NoSuchName,
    /// The name server did not answer.
    NoNameServer,
    /// The name did not resolve, and the words do not tell why.
    NotResolved,
    /// A cause without further questions.
    Plain(Cause),
}

/// Whether a fault may pass by itself.
pub(super) const fn may_pass(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::ExtDns
            | Cause::CfgDns
            | Cause::ExtNetRefused
            | Cause::ExtNetUnreachable
            | Cause::ExtNetReset
            | Cause::ExtNetClosed
            | Cause::ExtNetTimeout
            | Cause::ExtNetTruncated
            | Cause::ExtRate
            | Cause::Ext5xx
            | Cause::ExtConflict
            | Cause::ExtContract
    )
}

/// Classes a call that has no complete answer.
pub(super) async fn of_error(err: &reqwest::Error, url: &Url, caller: &Caller) -> Finding {
    let words = chain(err);
    let mut evidence = evidence(err);
    if evidence == Evidence::NotResolved {
        evidence = look_up(url).await;
    }
    let host = url.host_str().unwrap_or_default();
    let proxy = caller.proxy_of(url);
    match (evidence, &proxy) {
        // With a proxy, the only connection of ours is the one to the proxy.
        (
            Evidence::Plain(Cause::ExtNetRefused)
            | Evidence::NoSuchName
            | Evidence::Plain(Cause::CfgProxy),
            Some(proxy),
        ) => Finding::new(Cause::CfgProxy, format!("the proxy {proxy} cannot be used: {words}")),
        (Evidence::NoSuchName, None) if caller.knows(url) => {
            Finding::new(Cause::ExtDns, format!("`{host}` no longer resolves: {words}"))
        }
        (Evidence::NoSuchName, None) => Finding::new(
            Cause::CfgDns,
            format!(
                "`{host}` has not resolved since the daemon's start, check its spelling: {words}"
            ),
        ),
        (Evidence::NoNameServer | Evidence::NotResolved, _) => Finding::new(
            Cause::ExtDns,
            format!("the name server did not answer for `{host}`: {words}"),
        ),
        (Evidence::Plain(cause), Some(proxy)) => {
            Finding::new(cause, format!("{words} (through the proxy {proxy})"))
        }
        (Evidence::Plain(cause), None) => Finding::new(cause, words),
    }
}

/// The chain's messages, outermost first, each once; never the address, which may hold a secret.
fn chain(err: &reqwest::Error) -> String {
    match err.source() {
        Some(cause) => in_full(cause),
        None => kind(err).to_owned(),
    }
}

fn kind(err: &reqwest::Error) -> &'static str {
    if err.is_timeout() {
        "no answer in time"
    } else if err.is_builder() {
        "the request cannot be put together"
    } else {
        "the call failed"
    }
}

/// Looks at every link of the chain, the outermost first; the first that says something specific counts.
pub(super) fn evidence(err: &reqwest::Error) -> Evidence {
    let mut next: Option<&(dyn Error + 'static)> = Some(err);
    let mut unresolved = false;
    while let Some(err) = next {
        unresolved |= err.to_string() == "dns error";
        if unresolved && let Some(found) = of_resolver(&err.to_string()) {
            return found;
        }
        if let Some(found) = of_link(err) {
            return Evidence::Plain(found);
        }
        next = err.source();
    }
    if unresolved {
        return Evidence::NotResolved;
    }
    Evidence::Plain(if err.is_timeout() {
        Cause::ExtNetTimeout
    } else if err.is_builder() {
        Cause::CfgLocal
    } else if err.is_decode() {
        Cause::ExtContract
    } else {
        Cause::TecUnclassified
    })
}

/// `getaddrinfo`'s words: they are the C library's, whose language the daemon never sets.
pub(super) fn of_resolver(words: &str) -> Option<Evidence> {
    let any = |list: &[&str]| list.iter().any(|part| words.contains(part));
    if any(&["Temporary failure in name resolution", "Try again"]) {
        Some(Evidence::NoNameServer)
    } else if any(&["Name or service not known", "No address associated", "Name does not resolve"])
    {
        Some(Evidence::NoSuchName)
    } else {
        None
    }
}

async fn look_up(url: &Url) -> Evidence {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(443);
    match tokio::net::lookup_host((host, port)).await {
        Ok(_) => Evidence::NoNameServer,
        Err(err) => of_resolver(&err.to_string()).unwrap_or(Evidence::NotResolved),
    }
}

fn of_link(err: &(dyn Error + 'static)) -> Option<Cause> {
    if let Some(io) = err.downcast_ref::<io::Error>() {
        return of_io(io);
    }
    if let Some(tls) = err.downcast_ref::<rustls::Error>() {
        return Some(of_tls(tls));
    }
    if let Some(hyper) = err.downcast_ref::<hyper::Error>() {
        return of_hyper(hyper);
    }
    err.to_string().starts_with("tunnel error").then_some(Cause::CfgProxy)
}

/// TLS errors lie inside two nested input/output errors, whose `source` steps over what they hold.
fn of_io(io: &io::Error) -> Option<Cause> {
    if let Some(inner) = io.get_ref()
        && let Some(found) = of_link(inner)
    {
        return Some(found);
    }
    match io.kind() {
        io::ErrorKind::ConnectionRefused => Some(Cause::ExtNetRefused),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => Some(Cause::ExtNetReset),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            Some(Cause::ExtNetUnreachable)
        }
        io::ErrorKind::TimedOut => Some(Cause::ExtNetTimeout),
        io::ErrorKind::UnexpectedEof => Some(Cause::ExtNetTruncated),
        io::ErrorKind::InvalidData => Some(Cause::ExtContract),
        _ => None,
    }
}

fn of_hyper(hyper: &hyper::Error) -> Option<Cause> {
    if hyper.is_incomplete_message() {
        // Also when the answer ends in its middle: then the reader's own error below is the more precise one.
        let below = hyper.source().and_then(|err| err.downcast_ref::<io::Error>()).and_then(of_io);
        Some(below.unwrap_or(Cause::ExtNetClosed))
    } else if hyper.is_timeout() {
        Some(Cause::ExtNetTimeout)
    } else if hyper.is_parse() {
        Some(Cause::ExtContract)
    } else {
        None
    }
}

fn of_tls(tls: &rustls::Error) -> Cause {
    match tls {
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
            | CertificateError::Revoked,
        ) => Cause::ExtTlsExpired,
        _ => Cause::CfgTls,
    }
}

/// Classes an answer that is not the expected one. `templated` says that the address names a record by a template.
pub(super) fn of_status(status: StatusCode, answer: &Answer, templated: bool) -> Finding {
    let body = String::from_utf8_lossy(&answer.excerpt).to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| body.contains(word));
    let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
    let rate_words = ["rate limit", "rate_limit", "ratelimit", "too many requests", "quota"];
    let rate_limited = header("x-ratelimit-remaining").is_some_and(|left| left.trim() == "0")
        || header("retry-after").is_some()
        || says(&rate_words);
    let field_words = ["field", "valid", "required", "errors", "missing", "duplicate"];
    let auth_words =
        ["invalid_grant", "invalid_client", "invalid_token", "token expired", "unauthenticated"];
    let cause = match status.as_u16() {
        400 | 422 if says(&auth_words) => Cause::CfgAuth,
        401 => Cause::CfgAuth,
        403 if rate_limited => Cause::ExtRate,
        402 | 403 => Cause::CfgPerm,
        407 => Cause::CfgProxy,
        404 | 410 if templated => Cause::MapRef,
        300..400 | 404 | 405 | 410 | 426 => Cause::CfgEndpoint,
        408 | 425 | 500..529 | 530..600 => Cause::Ext5xx,
        429 | 529 => Cause::ExtRate,
        409 if says(&field_words) => Cause::MapField,
        409 => Cause::ExtConflict,
        422 => Cause::MapField,
        400 if says(&field_words) => Cause::MapField,
        413 | 415 => Cause::TecSize,
        100..300 => Cause::ExtContract,
        _ => Cause::TecUnclassified,
    };
    Finding::new(cause, cause.meaning().trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderValue};

    use super::*;

    fn cause(status: u16, body: &str, templated: bool) -> Cause {
        let answer = Answer { excerpt: body.as_bytes().to_vec(), ..Answer::default() };
        of_status(StatusCode::from_u16(status).expect("a status"), &answer, templated).cause
    }

    #[test]
    fn each_unexpected_status_says_whose_move_it_is() {
        for (status, body, expected) in [
            (200, "", Cause::ExtContract),
            (302, "", Cause::CfgEndpoint),
            (400, r#"{"errors":{"day":"is required"}}"#, Cause::MapField),
            (400, r#"{"error":"invalid_grant"}"#, Cause::CfgAuth),
            (400, "", Cause::TecUnclassified),
            (401, "", Cause::CfgAuth),
            (402, "", Cause::CfgPerm),
            (403, "", Cause::CfgPerm),
            (403, "API rate limit exceeded", Cause::ExtRate),
            (404, "", Cause::CfgEndpoint),
            (405, "", Cause::CfgEndpoint),
            (407, "", Cause::CfgProxy),
            (408, "", Cause::Ext5xx),
            (409, "", Cause::ExtConflict),
            (409, "duplicate_value", Cause::MapField),
            (413, "", Cause::TecSize),
            (418, "", Cause::TecUnclassified),
            (422, "", Cause::MapField),
            (429, "", Cause::ExtRate),
            (500, "", Cause::Ext5xx),
            (503, "", Cause::Ext5xx),
            (522, "", Cause::Ext5xx),
            (529, "", Cause::ExtRate),
        ] {
            assert_eq!(cause(status, body, false), expected, "{status} {body}");
        }
        assert_eq!(cause(404, "", true), Cause::MapRef);
    }

    #[test]
    fn a_403_with_an_empty_allowance_is_a_rate_limit() {
        let mut headers = HeaderMap::new();
        headers.insert("x-ratelimit-remaining", HeaderValue::from_static("0"));
        let answer = Answer { headers, ..Answer::default() };
        assert_eq!(of_status(StatusCode::FORBIDDEN, &answer, false).cause, Cause::ExtRate);
    }

    #[test]
    fn a_name_that_does_not_exist_is_told_from_a_silent_name_server() {
        let lookup = "failed to lookup address information: ";
        assert_eq!(
            of_resolver(&format!("{lookup}Name or service not known")),
            Some(Evidence::NoSuchName)
        );
        assert_eq!(
            of_resolver(&format!("{lookup}Temporary failure in name resolution")),
            Some(Evidence::NoNameServer)
        );
        assert_eq!(of_resolver("connection refused"), None);
    }
}
