//! Who is calling: the connection they came by, and what they proved.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

use crate::domain::access::Role;
use crate::domain::event::Actor;

/// The connection that a request came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The Unix socket; the file's mode guards it.
    Local {
        /// The user at the other end, by `SO_PEERCRED`.
        uid: u32,
    },
    /// TCP.
    Remote {
        /// The other end.
        address: SocketAddr,
        /// Whether it is encrypted by us.
        tls: bool,
    },
}

impl Peer {
    /// The address that failed logins are counted by.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Local { .. } => None,
            Self::Remote { address, .. } => Some(address.ip()),
        }
    }

    /// Whether the request was made on this machine. One that a proxy passed on was not.
    pub fn is_here(&self, headers: &HeaderMap) -> bool {
        let passed_on = ["forwarded", "x-forwarded-for", "x-real-ip", "via"]
            .iter()
            .any(|name| headers.contains_key(*name));
        match self {
            Self::Local { .. } => true,
            Self::Remote { address, .. } => address.ip().to_canonical().is_loopback() && !passed_on,
        }
    }

    /// Whether the connection is encrypted by us.
    pub const fn is_tls(&self) -> bool {
        matches!(self, Self::Remote { tls: true, .. })
    }
}

/// Who is calling, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name that goes into events.
    pub actor: Actor,
    /// What they may do.
    pub role: Role,
    /// How they proved it.
    pub proof: Proof,
}

/// How a caller proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// They reached the Unix socket.
    Socket,
    /// A token in `Authorization`.
    Token,
    /// The console's cookie, which a browser sends by itself.
    Cookie,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(address: &str) -> Peer {
        Peer::Remote { address: address.parse().expect("an address"), tls: false }
    }

    #[test]
    fn loopback_is_here_unless_a_proxy_passed_the_request_on() {
        let mut headers = HeaderMap::new();
        assert!(remote("127.0.0.1:1").is_here(&headers));
        assert!(remote("[::1]:1").is_here(&headers));
        assert!(remote("[::ffff:127.0.0.1]:1").is_here(&headers));
        assert!(!remote("192.0.2.7:1").is_here(&headers));
        headers.insert("x-forwarded-for", http::HeaderValue::from_static("192.0.2.7"));
        assert!(!remote("127.0.0.1:1").is_here(&headers));
    }
}
