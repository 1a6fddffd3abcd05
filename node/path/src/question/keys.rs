//! The keys of two nodes for their questions.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use zeroize::Zeroizing;

use super::message::{Fixed, SEALED_LEN};
use super::{MAX_CONTENT, NONCE_LEN};

const LABEL: &[u8] = b"twinmesh path questions 1";
/// Tells how much of the content is no padding.
const LENGTH_LEN: usize = 2;
const TAG_LEN: usize = 16;

const _: () = assert!(SEALED_LEN == NONCE_LEN + LENGTH_LEN + MAX_CONTENT + TAG_LEN);

/// From one agreement of keys four: one end's questions and the answers to them, and the other's.
pub struct PairKeys {
    pub(super) own: RoleKeys,
    pub(super) peers: RoleKeys,
}

/// Of who asks.
pub(super) struct RoleKeys {
    pub(super) question: Key,
    pub(super) answer: Key,
}

/// For one role in one direction.
pub(super) struct Key(LessSafeKey);

impl PairKeys {
    /// `agreement`: X25519 of the two nodes' WireGuard keys, whose public halves the others are.
    pub fn new(agreement: &[u8; 32], own: &[u8; 32], peer: &[u8; 32]) -> Self {
        let secret = Salt::new(HKDF_SHA256, &[]).extract(agreement);
        Self { own: RoleKeys::new(&secret, own, peer), peers: RoleKeys::new(&secret, peer, own) }
    }
}

impl RoleKeys {
    fn new(secret: &Prk, asker: &[u8; 32], answerer: &[u8; 32]) -> Self {
        let key = |role: &[u8]| {
            let info = [LABEL, role, asker, answerer];
            let key = secret.expand(&info, &AES_256_GCM).expect("32 bytes are fewer than HKDF gives");
            Key(LessSafeKey::new(UnboundKey::from(key)))
        };
        Self { question: key(b"question"), answer: key(b"answer") }
    }
}

impl Key {
    /// `nonce` is random: as few messages as are sent under one key never meet the same one twice. `None`: too long.
    pub(super) fn seal(
        &self,
        fixed: &Fixed,
        nonce: [u8; NONCE_LEN],
        content: &[u8],
    ) -> Option<[u8; SEALED_LEN]> {
        let length = u16::try_from(content.len()).ok()?;
        let mut sealed = [0; SEALED_LEN];
        let (head, rest) = sealed.split_at_mut(NONCE_LEN);
        head.copy_from_slice(&nonce);
        let (text, tag) = rest.split_at_mut(LENGTH_LEN + MAX_CONTENT);
        text.get_mut(..LENGTH_LEN)?.copy_from_slice(&length.to_be_bytes());
        text.get_mut(LENGTH_LEN..LENGTH_LEN + content.len())?.copy_from_slice(content);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let made = self.0.seal_in_place_separate_tag(nonce, Aad::from(fixed), text).ok()?;
        tag.copy_from_slice(made.as_ref());
        Some(sealed)
    }

    /// `None`: it was not sealed under this key, for this message.
    pub(super) fn open(&self, fixed: &Fixed, sealed: &[u8; SEALED_LEN]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut text = Zeroizing::new(rest.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.0.open_in_place(nonce, Aad::from(fixed), &mut text).ok()?;
        let (length, content) = opened.split_first_chunk::<LENGTH_LEN>()?;
        let content = content.get(..usize::from(u16::from_be_bytes(*length)))?;
        Some(Zeroizing::new(content.to_vec()))
    }
}
