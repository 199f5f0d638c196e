//! The one HTTP client of the daemon: its certificates, its time limits, its proxy, and which hosts it has known.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::{Certificate, Client, Proxy, Url, redirect};

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
}

/// The proxies of the daemon's environment.
#[derive(Clone, Debug, Default)]
struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    except: Vec<String>,
}

impl Caller {
    /// Reads `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, in either case, from `environment`.
    pub fn new(environment: &BTreeMap<String, String>) -> Self {
        let lookup = |names: [&str; 2]| {
            names
                .into_iter()
                .find_map(|name| environment.get(name))
                .filter(|value| !value.is_empty())
        };
        let url = |names| lookup(names).and_then(|value| Url::parse(value).ok());
        let all = url(["all_proxy", "ALL_PROXY"]);
        let except = lookup(["no_proxy", "NO_PROXY"])
            .map(|list| list.split(',').map(|host| host.trim().to_ascii_lowercase()).collect())
            .unwrap_or_default();
        let proxies = Proxies {
            // In upper case it could come from a request's `Proxy` header in a CGI program.
            http: url(["http_proxy", "http_proxy"]).or_else(|| all.clone()),
            https: url(["https_proxy", "HTTPS_PROXY"]).or(all),
            except,
        };
        Self { client: OnceLock::new(), proxies, roots: Vec::new(), resolved: Mutex::default() }
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
            let proxies = self.proxies.clone();
            Client::builder()
                .user_agent(concat!("daybook/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                .connect_timeout(CONNECT_MAX)
                .read_timeout(SILENCE_MAX)
                .no_proxy()
                .proxy(Proxy::custom(move |url| proxies.of(url).cloned()))
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

impl Proxies {
    fn of(&self, url: &Url) -> Option<&Url> {
        let host = url.host_str()?.to_ascii_lowercase();
        let direct = self.except.iter().any(|except| {
            let domain = except.trim_start_matches("*.").trim_start_matches('.');
            except == "*"
                || host == domain
                || host
                    .strip_suffix(domain)
                    .is_some_and(|front| !domain.is_empty() && front.ends_with('.'))
        });
        let proxy = if url.scheme() == "https" { &self.https } else { &self.http };
        proxy.as_ref().filter(|_| !direct)
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
    fn the_proxy_of_the_environment_is_used_and_shown_without_its_password() {
        let caller = caller(&[
            ("https_proxy", "http://me:secret@proxy.example:3128"),
            ("NO_PROXY", "localhost, .corp.example,*.other.example"),
        ]);
        let proxy = |text| caller.proxy_of(&url(text));
        assert_eq!(proxy("https://api.example/"), Some("proxy.example:3128".to_owned()));
        for direct in [
            "http://api.example/",
            "https://localhost:8443/",
            "https://corp.example/",
            "https://a.corp.example/",
            "https://b.other.example/",
        ] {
            assert_eq!(proxy(direct), None, "{direct}");
        }
        assert!(proxy("https://notcorp.example/").is_some());
    }

    #[test]
    fn a_host_is_known_once_its_name_has_resolved() {
        let caller = caller(&[]);
        assert!(!caller.knows(&url("https://api.example/a")));
        caller.has_resolved(&url("https://api.example/a"));
        assert!(caller.knows(&url("http://api.example:81/b")));
    }
}
