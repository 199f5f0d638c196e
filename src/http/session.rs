//! The console's logins: a link that works once or a token, and the session that its cookie names. In memory: a restart
//! ends them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;

use super::access::Peer;
use super::auth::{self, NoRandomness};
use crate::domain::access::Role;
use crate::domain::event::Actor;
use crate::ids::hex;

/// How long a login link works (contract, section 6).
pub const LINK_LIFE: Duration = Duration::from_secs(10 * 60);
/// A session ends when it was not used for so long.
const IDLE_LIFE: Duration = Duration::from_secs(12 * 3600);
/// And after so long in any case.
const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Links and sessions at most; the oldest goes.
const AT_MOST: usize = 1_000;
/// The cookie's name.
pub const COOKIE: &str = "daybook_session";

/// A login link that was just made.
#[derive(Debug)]
pub struct Link {
    /// Short id: the session's actor.
    pub id: String,
    /// `/login/<secret>`.
    pub path: String,
}

/// Links and sessions by the hash of their secret. Times are since the daemon's start.
#[derive(Debug, Default)]
pub struct Sessions {
    rows: Mutex<Rows>,
}

#[derive(Debug, Default)]
struct Rows {
    links: HashMap<String, (String, Duration)>,
    sessions: HashMap<String, Session>,
}

/// Whose session it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Whoever used the login link with this short id: an admin.
    Link(String),
    /// Whoever typed this token. The session may do what the token may, and ends with it.
    Token {
        /// Its short id.
        id: String,
        /// Its name.
        name: String,
        /// What it may do.
        role: Role,
    },
}

impl Holder {
    /// The name that goes into events.
    pub fn actor(&self) -> Actor {
        match self {
            Self::Link(id) => Actor::Session(id.clone()),
            Self::Token { name, .. } => Actor::Token(name.clone()),
        }
    }

    /// What they may do.
    pub const fn role(&self) -> Role {
        match self {
            Self::Link(_) => Role::Admin,
            Self::Token { role, .. } => *role,
        }
    }
}

#[derive(Debug)]
struct Session {
    holder: Holder,
    begun: Duration,
    used: Duration,
}

impl Session {
    fn is_live(&self, now: Duration) -> bool {
        now.saturating_sub(self.used) < IDLE_LIFE && now.saturating_sub(self.begun) < LIFE
    }
}

impl Rows {
    fn begin(&mut self, secret: &str, holder: Holder, now: Duration) {
        self.sessions.retain(|_, session| session.is_live(now));
        make_room(&mut self.sessions, |session| session.used);
        let row = Session { holder, begun: now, used: now };
        self.sessions.insert(auth::sha256_hex(secret), row);
    }
}

fn make_room<T>(rows: &mut HashMap<String, T>, age: impl Fn(&T) -> Duration) {
    if rows.len() >= AT_MOST
        && let Some(oldest) =
            rows.iter().min_by_key(|(_, row)| age(row)).map(|(key, _)| key.clone())
    {
        rows.remove(&oldest);
    }
}

impl Sessions {
    fn with<T>(&self, work: impl FnOnce(&mut Rows) -> T) -> T {
        work(&mut self.rows.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a login link.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn new_link(&self, now: Duration) -> Result<Link, NoRandomness> {
        let secret = hex(&auth::random::<32>()?);
        let id = hex(&auth::random::<4>()?);
        self.with(|rows| {
            rows.links.retain(|_, (_, made)| now.saturating_sub(*made) < LINK_LIFE);
            make_room(&mut rows.links, |(_, made)| *made);
            rows.links.insert(auth::sha256_hex(&secret), (id.clone(), now));
        });
        Ok(Link { id, path: format!("/login/{secret}") })
    }

    /// Uses a link up: the secret of a new session, or none when the link is unknown, used or too old.
    ///
    /// # Errors
    /// [`NoRandomness`]; the link stays usable.
    pub fn redeem(&self, secret: &str, now: Duration) -> Result<Option<String>, NoRandomness> {
        let session = hex(&auth::random::<32>()?);
        Ok(self.with(|rows| {
            let (id, made) = rows.links.remove(&auth::sha256_hex(secret))?;
            if now.saturating_sub(made) >= LINK_LIFE {
                return None;
            }
            rows.begin(&session, Holder::Link(id), now);
            Some(session)
        }))
    }

    /// The secret of a new session of `holder`.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn begin(&self, holder: Holder, now: Duration) -> Result<String, NoRandomness> {
        let session = hex(&auth::random::<32>()?);
        self.with(|rows| rows.begin(&session, holder, now));
        Ok(session)
    }

    /// Ends the session that a cookie in `headers` names.
    pub fn end(&self, headers: &HeaderMap) {
        if let Some(secret) = cookie(headers) {
            self.with(|rows| rows.sessions.remove(&auth::sha256_hex(secret)));
        }
    }

    /// Whose live session a cookie in `headers` names.
    pub fn recognise(&self, headers: &HeaderMap, now: Duration) -> Option<Holder> {
        let secret = cookie(headers)?;
        self.with(|rows| {
            let session = rows.sessions.get_mut(&auth::sha256_hex(secret))?;
            if !session.is_live(now) {
                return None;
            }
            session.used = now;
            Some(session.holder.clone())
        })
    }
}

/// The session's secret in the `Cookie` headers, if any.
pub fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(http::header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// The `Set-Cookie` of a session.
pub fn set_cookie(secret: &str, peer: Peer) -> String {
    let secure = if peer.is_tls() { "; Secure" } else { "" };
    format!("{COOKIE}={secret}; Path=/; HttpOnly; SameSite=Lax; Max-Age={}{secure}", LIFE.as_secs())
}

/// The `Set-Cookie` that makes a browser forget its session.
pub fn forget_cookie() -> String {
    format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0")
}

/// Whether a browser says that a request comes from our own pages. Neither header means no: then it is no browser of
/// today, and tokens are for programs.
pub fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    let origin = text("origin").and_then(|origin| origin.split_once("://"));
    matches!((origin, text("host")), (Some((_, origin)), Some(host)) if origin.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_cookie(secret: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let value = format!("theme=dark; {COOKIE}={secret}");
        headers.insert("cookie", value.parse().expect("a header"));
        headers
    }

    fn login(sessions: &Sessions, at: Duration) -> String {
        let link = sessions.new_link(at).expect("randomness");
        let secret = link.path.strip_prefix("/login/").expect("a path").to_owned();
        sessions.redeem(&secret, at).expect("randomness").expect("a fresh link")
    }

    #[test]
    fn a_link_works_once() {
        let sessions = Sessions::default();
        let link = sessions.new_link(Duration::ZERO).expect("randomness");
        let secret = link.path.strip_prefix("/login/").expect("a path");
        let cookie = sessions.redeem(secret, Duration::ZERO).expect("randomness").expect("fresh");
        assert_eq!(
            sessions.recognise(&with_cookie(&cookie), Duration::ZERO),
            Some(Holder::Link(link.id))
        );
        assert_eq!(sessions.redeem(secret, Duration::ZERO), Ok(None));
    }

    #[test]
    fn a_link_works_for_ten_minutes() {
        let sessions = Sessions::default();
        let link = sessions.new_link(Duration::ZERO).expect("randomness");
        let secret = link.path.strip_prefix("/login/").expect("a path");
        assert_eq!(sessions.redeem(secret, Duration::from_secs(600)), Ok(None));
    }

    #[test]
    fn a_session_ends_after_twelve_idle_hours() {
        let sessions = Sessions::default();
        let headers = with_cookie(&login(&sessions, Duration::ZERO));
        assert!(sessions.recognise(&headers, Duration::from_secs(11 * 3600)).is_some());
        assert!(sessions.recognise(&headers, Duration::from_secs(22 * 3600)).is_some());
        assert!(sessions.recognise(&headers, Duration::from_secs(35 * 3600)).is_none());
    }

    #[test]
    fn a_session_ends_after_seven_days_in_any_case() {
        let sessions = Sessions::default();
        let headers = with_cookie(&login(&sessions, Duration::ZERO));
        for hours in (0..168).step_by(8) {
            assert!(
                sessions.recognise(&headers, Duration::from_secs(hours * 3600)).is_some(),
                "{hours}"
            );
        }
        assert!(sessions.recognise(&headers, Duration::from_secs(168 * 3600)).is_none());
    }

    #[test]
    fn only_a_request_from_our_own_pages_is_of_the_same_origin() {
        let request = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().expect("a header"));
            }
            is_same_origin(&headers)
        };
        assert!(request(&[("sec-fetch-site", "same-origin")]));
        assert!(!request(&[("sec-fetch-site", "cross-site")]));
        assert!(!request(&[
            ("sec-fetch-site", "same-site"),
            ("origin", "http://a:1"),
            ("host", "a:1")
        ]));
        assert!(request(&[("origin", "http://daybook:7474"), ("host", "daybook:7474")]));
        assert!(!request(&[("origin", "http://evil:7474"), ("host", "daybook:7474")]));
        assert!(!request(&[("origin", "null"), ("host", "daybook:7474")]));
        assert!(!request(&[]));
    }
}
