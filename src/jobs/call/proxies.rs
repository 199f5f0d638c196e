//! Which calls go through a proxy.

use std::collections::BTreeMap;
use std::net::IpAddr;

use reqwest::{Proxy, Url};

/// The proxies of the daemon's environment, by curl's variables and rules.
///
/// `no_proxy` lists hosts, domains and networks (`10.0.0.0/8`), by commas or blanks, or is `*`. Other than with curl, this
/// machine's loopback is called directly even when the list does not name it: to a proxy, loopback is the proxy's own
/// machine, and what is meant for this one, credentials included, is nobody else's business.
///
/// Source: <https://everything.curl.dev/usingcurl/proxies/env>.
#[derive(Clone, Default)]
pub struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    direct: Vec<String>,
}

impl Proxies {
    /// Reads `http_proxy`, and in either case `https_proxy`, `all_proxy` and `no_proxy`, from `environment`.
    pub fn new(environment: &BTreeMap<String, String>) -> Self {
        let all = address(environment, &["all_proxy", "ALL_PROXY"]);
        let direct = filled(environment, &["no_proxy", "NO_PROXY"]).map(|(_, list)| entries(list));
        Self {
            // Not in capitals: there it could come from a request's `Proxy` header in a CGI program.
            http: address(environment, &["http_proxy"]).or_else(|| all.clone()),
            https: address(environment, &["https_proxy", "HTTPS_PROXY"]).or(all),
            direct: direct.unwrap_or_default(),
        }
    }

    /// The rule for a client, which must have no other one: its builder's `no_proxy` stands before.
    pub fn rule(self) -> Proxy {
        Proxy::custom(move |url| self.of(url).cloned())
    }

    /// The proxy that a call of `url` goes through.
    pub(super) fn of(&self, url: &Url) -> Option<&Url> {
        let proxy = if url.scheme() == "https" { &self.https } else { &self.http };
        let host = entry(url.host_str()?);
        proxy.as_ref().filter(|_| {
            !is_loopback(&host) && !self.direct.iter().any(|entry| covers(entry, &host))
        })
    }
}

/// The first of `names` that is set and not empty, with its value.
fn filled<'a>(
    environment: &'a BTreeMap<String, String>,
    names: &[&'static str],
) -> Option<(&'static str, &'a str)> {
    names.iter().find_map(|name| {
        let value = environment.get(*name).filter(|value| !value.is_empty())?;
        Some((*name, value.as_str()))
    })
}

/// A proxy's address; one without a scheme is an http proxy.
fn address(environment: &BTreeMap<String, String>, names: &[&'static str]) -> Option<Url> {
    let (name, value) = filled(environment, names)?;
    let text = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let url = Url::parse(&text).ok().filter(|url| url.host_str().is_some());
    if url.is_none() {
        // Not the value: it may hold a password.
        tracing::warn!(variable = name, "is no address of a proxy and is left out");
    }
    url
}

fn entries(list: &str) -> Vec<String> {
    let parts = list.split(|c: char| c == ',' || c.is_whitespace());
    parts.filter(|part| !part.is_empty()).map(entry).collect()
}

/// A host as it is compared: small letters, without brackets and without the dot of the root.
fn entry(host: &str) -> String {
    host.replace(['[', ']'], "").trim_end_matches('.').to_ascii_lowercase()
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Whether an entry of `no_proxy` names `host`: itself, a domain that it is in, or a network.
fn covers(entry: &str, host: &str) -> bool {
    if let Some((network, bits)) = entry.split_once('/') {
        return match (network.parse(), bits.parse(), host.parse()) {
            (Ok(network), Ok(bits), Ok(host)) => is_in(host, network, bits),
            _ => false,
        };
    }
    let domain = entry.trim_start_matches("*.").trim_start_matches('.');
    entry == "*"
        || host == domain
        || host.strip_suffix(domain).is_some_and(|front| !domain.is_empty() && front.ends_with('.'))
}

fn is_in(host: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (host, network) {
        (IpAddr::V4(host), IpAddr::V4(network)) => {
            (host.to_bits() ^ network.to_bits()).leading_zeros() >= bits
        }
        (IpAddr::V6(host), IpAddr::V6(network)) => {
            (host.to_bits() ^ network.to_bits()).leading_zeros() >= bits
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(pairs: &[(&str, &str)]) -> Proxies {
        Proxies::new(
            &pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        )
    }

    /// The host and port of the proxy for `url`.
    fn of(proxies: &Proxies, url: &str) -> Option<String> {
        let proxy = proxies.of(&Url::parse(url).expect("valid"))?;
        Some(format!("{}:{}", proxy.host_str()?, proxy.port()?))
    }

    #[test]
    fn the_scheme_decides_which_proxy_is_taken() {
        let both = proxies(&[("http_proxy", "one.example:3128"), ("HTTPS_PROXY", "http://two:81")]);
        assert_eq!(of(&both, "http://api.example/"), Some("one.example:3128".to_owned()));
        assert_eq!(of(&both, "https://api.example/"), Some("two:81".to_owned()));
        let all = proxies(&[("ALL_PROXY", "http://all:1"), ("https_proxy", "")]);
        assert_eq!(of(&all, "https://api.example/"), Some("all:1".to_owned()));
        assert_eq!(of(&proxies(&[("HTTP_PROXY", "http://x:1")]), "http://api.example/"), None);
        assert_eq!(of(&proxies(&[("http_proxy", "http://")]), "http://api.example/"), None);
    }

    #[test]
    fn no_proxy_names_hosts_domains_and_networks() {
        let list = "intern, .corp.example,*.other.example 10.0.0.0/8,[fd00::]/8";
        let some = proxies(&[("all_proxy", "http://proxy:3128"), ("NO_PROXY", list)]);
        for direct in [
            "http://intern/",
            "https://corp.example/",
            "https://A.corp.example./",
            "https://b.other.example/",
            "http://10.200.0.1:8080/",
            "http://[fd12::1]/",
        ] {
            assert_eq!(of(&some, direct), None, "{direct}");
        }
        for proxied in ["https://notcorp.example/", "http://11.0.0.1/", "http://[fe80::1]/"] {
            assert!(of(&some, proxied).is_some(), "{proxied}");
        }
        let none = proxies(&[("all_proxy", "http://proxy:3128"), ("no_proxy", "*")]);
        assert_eq!(of(&none, "http://api.example/"), None);
    }

    #[test]
    fn this_machine_is_called_directly_whatever_the_list_says() {
        let proxies = proxies(&[("all_proxy", "http://proxy:3128")]);
        for direct in [
            "http://127.0.0.1:7474/healthz",
            "http://localhost/",
            "https://app.localhost:8443/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
        ] {
            assert_eq!(of(&proxies, direct), None, "{direct}");
        }
        assert!(of(&proxies, "http://localhost.example/").is_some());
    }
}
