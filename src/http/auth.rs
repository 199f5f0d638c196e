//! Tokens: how they are made, stored and recognised, and what happens to those who guess.
//!
//! A token is `db_<64 hex digits>_<CRC32C in hex>`: 32 random bytes, a prefix that secret scanners know it by, and a check
//! sum that catches a mangled copy before it is looked up. Only its SHA-256 is stored.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};

use crate::domain::access::Role;
use crate::domain::event::TokenCreated;
use crate::engine::board::TokenRow;
use crate::ids::hex;

/// Failed logins from one address before further ones are slowed down.
const FREE_FAILURES: f64 = 10.0;
/// One failed login is forgiven in this time.
const FORGIVEN_AFTER: Duration = Duration::from_secs(6);
/// Addresses remembered; when there are more, the forgiven ones go.
const REMEMBERED_ADDRESSES: usize = 10_000;

/// The system gave no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gave no random bytes")]
pub struct NoRandomness;

/// Random bytes from the system.
///
/// # Errors
/// [`NoRandomness`].
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_unspecified| NoRandomness)?;
    Ok(bytes)
}

/// SHA-256 in hex: the stored form of a secret with 256 random bits, which needs no salt.
pub fn sha256_hex(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

/// Compares in a time that does not depend on where the first difference is.
pub fn same(a: &str, b: &str) -> bool {
    let differences = a.bytes().zip(b.bytes()).fold(0, |sum, (x, y)| sum | (x ^ y));
    a.len() == b.len() && std::hint::black_box(differences) == 0
}

/// A new token: shown once, then known by its hash alone.
pub struct NewToken {
    /// The token itself.
    pub text: String,
    /// What is recorded of it.
    pub record: TokenCreated,
}

/// Makes a token.
///
/// # Errors
/// [`NoRandomness`].
pub fn new_token(name: &str, role: Role) -> Result<NewToken, NoRandomness> {
    let secret = hex(&random::<32>()?);
    let text = format!("db_{secret}_{:08x}", crc32c::crc32c(secret.as_bytes()));
    let record = TokenCreated {
        id: hex(&random::<4>()?),
        name: name.to_owned(),
        role: role.as_str().to_owned(),
        hash: sha256_hex(&text),
    };
    Ok(NewToken { text, record })
}

fn is_well_formed(token: &str) -> bool {
    let Some((secret, sum)) = token.strip_prefix("db_").and_then(|rest| rest.split_once('_'))
    else {
        return false;
    };
    secret.len() == 64 && u32::from_str_radix(sum, 16) == Ok(crc32c::crc32c(secret.as_bytes()))
}

/// The live token with this text. Every row is compared, so that the time tells nothing.
pub fn recognise(token: &str, live: &[TokenRow]) -> Option<(String, Role)> {
    if !is_well_formed(token) {
        return None;
    }
    let hash = sha256_hex(token);
    let mut found = None;
    for row in live {
        if same(&row.hash, &hash) {
            // A role that is none of ours (a later version's) gives no access.
            found = row.role.parse().ok().map(|role| (row.name.clone(), role));
        }
    }
    found
}

/// Counts failed logins by address.
#[derive(Debug, Default)]
pub struct Failures {
    by_address: Mutex<HashMap<IpAddr, (f64, Duration)>>,
}

impl Failures {
    /// Counts a failed login at `now` (since the daemon's start). Some: it was one too many; how long to wait.
    pub fn count(&self, address: IpAddr, now: Duration) -> Option<Duration> {
        let mut rows = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.len() >= REMEMBERED_ADDRESSES {
            rows.retain(|_, (failures, at)| *failures > forgiven(now.saturating_sub(*at)));
        }
        if rows.len() >= REMEMBERED_ADDRESSES && !rows.contains_key(&address) {
            return Some(FORGIVEN_AFTER);
        }
        let (failures, at) = rows.entry(address).or_insert((0.0, now));
        *failures = (*failures - forgiven(now.saturating_sub(*at))).max(0.0) + 1.0;
        *at = now;
        // A ceiling, so that an address is not shut out for hours by a forgotten script.
        *failures = failures.min(FREE_FAILURES + 10.0);
        (*failures > FREE_FAILURES).then(|| FORGIVEN_AFTER.mul_f64(*failures - FREE_FAILURES))
    }
}

fn forgiven(time: Duration) -> f64 {
    time.as_secs_f64() / FORGIVEN_AFTER.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(record: TokenCreated) -> TokenRow {
        let TokenCreated { id, name, role, hash } = record;
        TokenRow { id, name, role, hash, created_at: crate::instant::Instant::default() }
    }

    #[test]
    fn a_token_is_known_by_its_hash_and_any_changed_digit_is_not() {
        let token = new_token("ci", Role::Operator).expect("randomness");
        let secret = token.text.strip_prefix("db_").expect("a token").to_owned();
        assert!(!secret.contains(&token.record.hash) && token.record.hash.len() == 64);
        let live = [row(token.record)];
        assert_eq!(recognise(&token.text, &live), Some(("ci".to_owned(), Role::Operator)));
        let first = secret.chars().next().expect("a digit");
        let other = if first == '0' { "1" } else { "0" };
        let mangled = format!("db_{}", secret.replacen(first, other, 1));
        for bad in ["", "db_", "db__", &mangled, &secret, &format!("{} ", token.text)] {
            assert_eq!(recognise(bad, &live), None, "{bad:?}");
        }
    }

    #[test]
    fn a_well_formed_token_that_was_never_made_is_not_known() {
        let stranger = new_token("x", Role::Admin).expect("randomness").text;
        let live = [row(new_token("ci", Role::Viewer).expect("randomness").record)];
        assert!(is_well_formed(&stranger));
        assert_eq!(recognise(&stranger, &live), None);
    }

    #[test]
    fn a_role_from_a_later_version_gives_no_access() {
        let token = new_token("x", Role::Admin).expect("randomness");
        let mut row = row(token.record);
        "owner".clone_into(&mut row.role);
        assert_eq!(recognise(&token.text, &[row]), None);
    }

    #[test]
    fn ten_failures_are_free_and_a_minute_forgives_ten_more() {
        let failures = Failures::default();
        let address = IpAddr::from([192, 0, 2, 7]);
        for _ in 0..10 {
            assert_eq!(failures.count(address, Duration::ZERO), None);
        }
        assert_eq!(failures.count(address, Duration::ZERO), Some(Duration::from_secs(6)));
        assert_eq!(failures.count(IpAddr::from([192, 0, 2, 8]), Duration::ZERO), None);
        assert_eq!(failures.count(address, Duration::from_secs(66)), None);
    }

    #[test]
    fn digests_are_compared_whole() {
        assert!(same("abc", "abc"));
        assert!(!same("abc", "abd"));
        assert!(!same("abc", "ab"));
        assert_eq!(
            sha256_hex("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
