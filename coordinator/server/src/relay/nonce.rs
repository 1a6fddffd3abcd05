//! Nonces that need no memory: a flood of first requests leaves nothing behind.

use std::net::{IpAddr, SocketAddr};

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// RFC 8656 §5: a nonce should last an hour at most.
const LIFETIME: i64 = 3600;
const TIME_DIGITS: usize = 16;
/// Bytes of the HMAC that travel, as hexadecimal digits.
const MAC: usize = 16;

/// Makes nonces and knows them again: the time of their end, and a MAC over it and the client's address.
pub(super) struct Nonces {
    key: Zeroizing<[u8; 32]>,
}

impl Nonces {
    pub(super) fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self { key }
    }

    pub(super) fn issue(&self, client: SocketAddr, unix: i64) -> String {
        self.at(client, &format!("{:016x}", unix + LIFETIME))
    }

    /// Whether it is ours, this client's, and not too old.
    pub(super) fn is_fresh(&self, nonce: &str, client: SocketAddr, unix: i64) -> bool {
        let Some(time) = nonce.get(..TIME_DIGITS) else { return false };
        let Ok(until) = i64::from_str_radix(time, 16) else { return false };
        // Whoever finds the MAC by timing has a nonce, which anybody gets for asking.
        until > unix && self.at(client, time) == nonce
    }

    fn at(&self, client: SocketAddr, time: &str) -> String {
        let mut nonce = time.to_owned();
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&*self.key) else { return nonce };
        mac.update(time.as_bytes());
        match client.ip() {
            IpAddr::V4(ip) => mac.update(&ip.octets()),
            IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        mac.update(&client.port().to_be_bytes());
        for byte in mac.finalize().into_bytes().iter().take(MAC) {
            nonce.push_str(&format!("{byte:02x}"));
        }
        nonce
    }
}
