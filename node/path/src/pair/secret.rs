//! What only the two ends of a pair can know: whose check it is, and that it is authentic.

use ring::{hkdf, hmac};
use zeroize::Zeroizing;

/// ASCII; the start of every USERNAME.
pub(crate) type Tag = [u8; TAG_LEN];

const TAG_LEN: usize = 16;
pub(crate) const MAC_LEN: usize = 32;
/// Separates these keys from all others that the agreement may be used for.
const SALT: &[u8] = b"twinmesh path checks 1";

/// The keys of one pair, one for each direction, so that nothing can be sent back to whom it came from.
pub struct PairSecret {
    own: Side,
    peer: Side,
}

struct Side {
    tag: Tag,
    key: Zeroizing<[u8; MAC_LEN]>,
}

impl PairSecret {
    /// From the X25519 agreement of the two WireGuard keys and the two public keys; the peer calls it with those in the
    /// other order and gets the same keys.
    pub fn new(agreement: &[u8; 32], own: &[u8; 32], peer: &[u8; 32]) -> Self {
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(agreement);
        Self { own: Side::new(&secret, own), peer: Side::new(&secret, peer) }
    }

    pub(crate) fn own_tag(&self) -> &Tag {
        &self.own.tag
    }

    pub(crate) fn peer_tag(&self) -> &Tag {
        &self.peer.tag
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; MAC_LEN] {
        let mut mac = [0; MAC_LEN];
        mac.copy_from_slice(hmac::sign(&self.own.key(), message).as_ref());
        mac
    }

    /// Whether the peer has signed it.
    pub(crate) fn verify(&self, message: &[u8], mac: &[u8; MAC_LEN]) -> bool {
        hmac::verify(&self.peer.key(), message, mac).is_ok()
    }
}

impl Side {
    fn new(secret: &hkdf::Prk, sender: &[u8; 32]) -> Self {
        let key = derive(secret, b"key", sender);
        let mut tag = Tag::default();
        let digits = derive(secret, b"tag", sender);
        for (place, byte) in tag.iter_mut().zip(digits.iter().flat_map(|byte| [byte >> 4, byte & 15])) {
            *place = if byte < 10 { b'0' + byte } else { b'a' + byte - 10 };
        }
        Self { tag, key }
    }

    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &*self.key)
    }
}

fn derive(secret: &hkdf::Prk, purpose: &[u8], sender: &[u8; 32]) -> Zeroizing<[u8; MAC_LEN]> {
    let mut bytes = Zeroizing::new([0; MAC_LEN]);
    secret
        .expand(&[purpose, sender], hkdf::HKDF_SHA256)
        .and_then(|material| material.fill(&mut *bytes))
        .expect("HKDF gives up to 8,160 bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_verifies_what_the_other_signs_and_not_its_own() {
        let a = PairSecret::new(&[7; 32], &[1; 32], &[2; 32]);
        let b = PairSecret::new(&[7; 32], &[2; 32], &[1; 32]);
        assert!(b.verify(b"check", &a.sign(b"check")) && a.verify(b"check", &b.sign(b"check")));
        assert!(!a.verify(b"check", &a.sign(b"check")) && !b.verify(b"chick", &a.sign(b"check")));
        assert!(a.own_tag() == b.peer_tag() && a.peer_tag() == b.own_tag() && a.own_tag() != a.peer_tag());
        let stranger = PairSecret::new(&[8; 32], &[1; 32], &[2; 32]);
        assert!(!b.verify(b"check", &stranger.sign(b"check")) && stranger.own_tag() != a.own_tag());
    }
}
