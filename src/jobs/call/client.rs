//! The one HTTP client of the daemon: its certificates, its time limits, its proxy, and which hosts it has known.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::{Certificate, Client, Url, redirect};

use super::pace::Pace;
use super::proxies::Proxies;

/// Until a connection stands, TLS included.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Between two parts of an answer. A schedule's `timeout` is for the whole attempt and mostly shorter.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// Makes all calls of the daemon. The client itself is made at the first call: reading the system's certificates takes time.
pub struct Caller {
    client: OnceLock<Client>,
    proxies: Proxies,
    roots: Vec<Certificate>,
    /// Hosts whose name has resolved since the daemon's start.
    resolved: Mutex<HashSet<String>>,
    pace: Pace,
}

impl Caller {
    /// A caller with the proxies of `environment`.
    pub fn new(environment: &BTreeMap<String, String>) -> Self {
        let proxies = Proxies::new(environment);
        Self {
            client: OnceLock::new(),
            proxies,
            roots: Vec::new(),
            resolved: Mutex::default(),
            pace: Pace::default(),
        }
    }

    /// Trusts `roots` instead of the system's certificates.
    #[cfg(test)]
    pub(super) fn trusting(roots: Vec<Certificate>) -> Self {
        Self { roots, ..Self::new(&BTreeMap::new()) }
    }

    pub(super) fn client(&self) -> &Client {
        self.client.get_or_init(|| self.make())
    }

    fn make(&self) -> Client {
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            tracing::debug!("a cryptography provider is installed already");
        }
        let builder = || {
            Client::builder()
                .user_agent(concat!("daybook/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                .connect_timeout(CONNECT_MAX)
                .read_timeout(SILENCE_MAX)
                .no_proxy()
                .proxy(self.proxies.clone().rule())
        };
        let made = match self.roots.as_slice() {
            [] => builder().build(),
            roots => builder().tls_certs_only(roots.to_vec()).build(),
        };
        made.or_else(|err| {
            tracing::error!(%err, "no trusted certificates found: calls by https will fail");
            builder().tls_certs_only([]).build()
        })
        .unwrap_or_default()
    }

    /// The proxy that a call of `url` goes through, without user and password.
    pub(super) fn proxy_of(&self, url: &Url) -> Option<String> {
        let proxy = self.proxies.of(url)?;
        let port = proxy.port_or_known_default().map(|port| format!(":{port}"));
        Some(format!("{}{}", proxy.host_str()?, port.unwrap_or_default()))
    }

    /// The turns of interfaces whose calls are limited.
    pub(super) const fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Remembers that the name of `url`'s host has an address.
    pub(super) fn has_resolved(&self, url: &Url) {
        let Some(host) = url.host_str() else { return };
        let mut resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        if !resolved.contains(host) {
            resolved.insert(host.to_owned());
        }
    }

    /// Whether the name of `url`'s host ever had an address since the daemon's start.
    pub(super) fn knows(&self, url: &Url) -> bool {
        let resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        url.host_str().is_some_and(|host| resolved.contains(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(pairs: &[(&str, &str)]) -> Caller {
        Caller::new(
            &pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        )
    }

    fn url(text: &str) -> Url {
        Url::parse(text).expect("valid")
    }

    #[test]
    fn a_proxy_is_shown_without_its_password() {
        let caller = caller(&[("https_proxy", "http://me:secret@proxy.example:3128")]);
        let proxy = caller.proxy_of(&url("https://api.example/"));
        assert_eq!(proxy, Some("proxy.example:3128".to_owned()));
        assert_eq!(caller.proxy_of(&url("http://api.example/")), None);
    }

    #[test]
    fn a_host_is_known_once_its_name_has_resolved() {
        let caller = caller(&[]);
        assert!(!caller.knows(&url("https://api.example/a")));
        caller.has_resolved(&url("https://api.example/a"));
        assert!(caller.knows(&url("http://api.example:81/b")));
    }
}
