//! A call before it is sent: address, headers and body filled in, and what may follow a redirect.

use std::borrow::Cow;

use reqwest::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHORIZATION,
};
use reqwest::{Method, Request, StatusCode, Url};

use super::client::Caller;
use crate::domain::definition::{EnvValue, Http, Schedule};
use crate::domain::template::{self, Escape, Values};
use crate::domain::verdict::End;
use crate::jobs::attempt::AttemptContext;
use crate::jobs::command::{local, render, values};
use crate::jobs::credentials::{Secret, Value};
use crate::jobs::redact::{Redactor, names_a_secret};

/// A request that can be built as often as redirects ask.
pub(super) struct Prepared {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<String>,
    /// The path names a record by a template, so a 404 is about the record and not about the address.
    pub(super) templated: bool,
    /// A header holds a credential.
    secret_headers: bool,
}

/// Prepares the schedule's call. `learn` is told every secret before anything that holds one can be shown.
///
/// # Errors
/// [`End::NotStarted`] with what is missing or unusable.
pub(super) fn prepare(
    context: &AttemptContext,
    schedule: &Schedule,
    http: &Http,
    learn: &mut dyn FnMut(&[Secret]),
) -> Result<Prepared, End> {
    let values = values(context, schedule)?;
    let method = Method::from_bytes(http.method.as_bytes())
        .map_err(|_invalid| local(format!("`http.method`: `{}` is no method", http.method)))?;
    let (headers, secret_headers) = headers(context, http, &values, learn)?;
    let url = fill(&http.url, &values, Escape::Url, "http.url")?;
    let url = Url::parse(&url)
        .map_err(|err| local(format!("`http.url`: `{}` is no address: {err}", http.url)))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(local(format!("`http.url`: `{}` is neither http nor https", http.url)));
    }
    let body = http.body.as_deref().map(|body| {
        let escape = if is_json(body, &headers) { Escape::Json } else { Escape::None };
        fill(body, &values, escape, "http.body").map(Cow::into_owned)
    });
    Ok(Prepared {
        method,
        templated: http.url.contains("{{"),
        url,
        headers,
        body: body.transpose()?,
        secret_headers,
    })
}

fn fill<'a>(
    text: &'a str,
    values: &Values,
    escape: Escape,
    place: &str,
) -> Result<Cow<'a, str>, End> {
    template::render_escaped(text, values, escape).map_err(|err| local(format!("`{place}`: {err}")))
}

fn is_json(body: &str, headers: &HeaderMap) -> bool {
    let declared = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    declared.map_or_else(
        || body.trim_start().starts_with(['{', '[']),
        |declared| declared.contains("json"),
    )
}

fn headers(
    context: &AttemptContext,
    http: &Http,
    values: &Values,
    learn: &mut dyn FnMut(&[Secret]),
) -> Result<(HeaderMap, bool), End> {
    let mut headers = HeaderMap::new();
    let mut any_secret = false;
    for (name, value) in &http.headers {
        let place = format!("http.headers.{name}");
        let key = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_invalid| local(format!("`{place}`: `{name}` is no header name")))?;
        let credentials = &context.settings.credentials;
        let (text, secret) =
            match credentials.resolve(value).map_err(|err| local(format!("`{place}`: {err}")))? {
                Value::Text(text) => (render(&text, values, &place)?, names_a_secret(name)),
                Value::Secret(secret) => {
                    learn(std::slice::from_ref(&secret));
                    (secret.expose().to_owned(), true)
                }
            };
        let refused = |_invalid| {
            local(format!("`{place}`: the value holds a line end or another control character"))
        };
        let mut header = HeaderValue::from_str(&text).map_err(refused)?;
        header.set_sensitive(secret && !matches!(value, EnvValue::Text(text) if text.is_empty()));
        any_secret |= secret;
        headers.insert(key, header);
    }
    Ok((headers, any_secret))
}

impl Prepared {
    /// Whether the call can be made twice: its method says so (RFC 9110, section 9.2.2), or the other side can tell.
    pub(super) fn is_repeatable(&self) -> bool {
        let idempotent = matches!(
            self.method,
            Method::GET
                | Method::HEAD
                | Method::PUT
                | Method::DELETE
                | Method::OPTIONS
                | Method::TRACE
        );
        idempotent || self.headers.contains_key("idempotency-key")
    }

    /// Bytes of the body.
    pub(super) fn body_bytes(&self) -> u64 {
        self.body.as_ref().map_or(0, |body| body.len() as u64)
    }

    /// The request as it is sent.
    ///
    /// # Errors
    /// [`End::NotStarted`] when it cannot be put together.
    pub(super) fn build(&self, caller: &Caller) -> Result<Request, End> {
        let mut builder = caller
            .client()
            .request(self.method.clone(), self.url.clone())
            .headers(self.headers.clone());
        if let Some(body) = &self.body {
            builder = builder.body(body.clone());
        }
        builder.build().map_err(|err| local(format!("`http`: {}", err.without_url())))
    }

    /// Turns to `target`, as the answer `status` asks (RFC 9110, section 15.4).
    ///
    /// # Errors
    /// Why not: credentials never go to another host or out of TLS, whatever the answer says.
    pub(super) fn follow(
        &mut self,
        status: StatusCode,
        target: Url,
        secrets: &Redactor,
    ) -> Result<(), String> {
        if !matches!(target.scheme(), "http" | "https") {
            return Err(format!(
                "redirected to `{}`, which is no http address",
                secrets.url(&target)
            ));
        }
        if !same_site(&self.url, &target) && self.carries_credentials(secrets) {
            return Err(format!(
                "redirected to `{}`: credentials are not sent there; put that address into `url` if it is right",
                secrets.url(&target)
            ));
        }
        let to_get = status == StatusCode::SEE_OTHER && self.method != Method::HEAD
            || matches!(status.as_u16(), 301 | 302) && self.method == Method::POST;
        if to_get {
            self.method = Method::GET;
            self.body = None;
            self.headers.remove(CONTENT_TYPE);
            self.headers.remove(CONTENT_LENGTH);
        }
        self.url = target;
        Ok(())
    }

    fn carries_credentials(&self, secrets: &Redactor) -> bool {
        let named = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];
        let hides = |text: &str| matches!(secrets.text(text), Cow::Owned(_));
        self.secret_headers
            || named.iter().any(|name| self.headers.contains_key(name))
            || secrets.url(&self.url).contains(crate::jobs::redact::MASK)
            || self.body.as_deref().is_some_and(hides)
    }
}

/// The same host and port, or the same host moved from http to https on the usual ports.
fn same_site(from: &Url, to: &Url) -> bool {
    let upgraded = from.scheme() == "http" && to.scheme() == "https";
    let usual = from.port().is_none() && to.port().is_none();
    from.host_str() == to.host_str()
        && (from.scheme() == to.scheme()
            && from.port_or_known_default() == to.port_or_known_default()
            || upgraded && usual)
}
