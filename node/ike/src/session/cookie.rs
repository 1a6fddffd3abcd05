//! Cookies: proof that an initiator receives at its address, without state for those that do not (RFC 7296 §2.6).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use super::Random;
use crate::crypto::Prf;

/// A cookie is good for at least so long, and at most twice.
const ROTATION: Duration = Duration::from_mins(1);

/// The secrets behind the cookies that this node hands out.
pub(crate) struct Cookies {
    current: Secret,
    previous: Option<Secret>,
}

struct Secret {
    key: Zeroizing<[u8; 32]>,
    version: u8,
    since: Instant,
}

/// What a cookie is bound to.
#[derive(Clone, Copy)]
pub(crate) struct Claim<'a> {
    pub(crate) address: IpAddr,
    pub(crate) initiator_spi: [u8; 8],
    pub(crate) nonce: &'a [u8],
}

impl Cookies {
    pub(crate) fn new(now: Instant, random: &mut Random<'_>) -> Self {
        Self { current: Secret::new(0, now, random), previous: None }
    }

    /// The cookie for this claim.
    pub(crate) fn issue(&self, claim: Claim<'_>) -> Vec<u8> {
        self.current.cookie(claim)
    }

    /// Whether this node issued the cookie for this claim, not long ago.
    pub(crate) fn accepts(&self, claim: Claim<'_>, cookie: &[u8]) -> Choice {
        let matches = |secret: &Secret| secret.cookie(claim).ct_eq(cookie);
        matches(&self.current) | self.previous.as_ref().map_or(0.into(), matches)
    }

    /// Renews the secret when it is old; to be called before the others.
    pub(crate) fn rotate(&mut self, now: Instant, random: &mut Random<'_>) {
        let age = now.saturating_duration_since(self.current.since);
        if age < ROTATION {
            return;
        }
        let fresh = Secret::new(self.current.version.wrapping_add(1), now, random);
        let old = std::mem::replace(&mut self.current, fresh);
        self.previous = (age < ROTATION.saturating_mul(2)).then_some(old);
    }
}

impl Secret {
    fn new(version: u8, since: Instant, random: &mut Random<'_>) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        random(&mut *key);
        Self { key, version, since }
    }

    fn cookie(&self, claim: Claim<'_>) -> Vec<u8> {
        let address = match claim.address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let mac = Prf::HmacSha256.compute(&*self.key, &[claim.nonce, &address, &claim.initiator_spi]);
        std::iter::once(self.version).chain(mac.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(byte: u8) -> impl FnMut(&mut [u8]) {
        move |bytes| bytes.fill(byte)
    }

    fn claim(nonce: &[u8]) -> Claim<'_> {
        Claim { address: [192, 0, 2, 1].into(), initiator_spi: [1; 8], nonce }
    }

    fn accepts(cookies: &Cookies, claim: Claim<'_>, cookie: &[u8]) -> bool {
        cookies.accepts(claim, cookie).into()
    }

    #[test]
    fn a_cookie_is_good_for_its_own_claim_only() {
        let cookies = Cookies::new(Instant::now(), &mut fill(1));
        let cookie = cookies.issue(claim(b"nonce"));
        assert!(accepts(&cookies, claim(b"nonce"), &cookie));
        assert!(!accepts(&cookies, claim(b"other"), &cookie));
        let elsewhere = Claim { address: [192, 0, 2, 2].into(), ..claim(b"nonce") };
        assert!(!accepts(&cookies, elsewhere, &cookie));
        assert!(!accepts(&cookies, claim(b"nonce"), b""));
    }

    #[test]
    fn trap_6_secrets_rotate_and_a_cookie_outlives_one_rotation() {
        let start = Instant::now();
        let mut cookies = Cookies::new(start, &mut fill(1));
        let cookie = cookies.issue(claim(b"nonce"));
        cookies.rotate(start + Duration::from_secs(70), &mut fill(3));
        assert!(accepts(&cookies, claim(b"nonce"), &cookie));
        cookies.rotate(start + Duration::from_secs(140), &mut fill(4));
        assert!(!accepts(&cookies, claim(b"nonce"), &cookie));
    }

    #[test]
    fn trap_13_a_cookie_is_compared_in_constant_time() {
        let start = Instant::now();
        let mut cookies = Cookies::new(start, &mut fill(1));
        let cookie = cookies.issue(claim(b"nonce"));
        cookies.rotate(start + Duration::from_secs(70), &mut fill(3));
        let accepted: Choice = cookies.accepts(claim(b"nonce"), &cookie);
        assert_eq!(accepted.unwrap_u8(), 1);
        for place in 0..cookie.len() {
            let mut forged = cookie.clone();
            forged[place] ^= 1;
            assert_eq!(cookies.accepts(claim(b"nonce"), &forged).unwrap_u8(), 0, "octet {place}");
        }
    }
}
