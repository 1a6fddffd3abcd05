//! The authentication half of GCM, over pieces that lie apart.

use aes::cipher::consts::U16;
use aes::cipher::{BlockCipher, BlockEncrypt, BlockSizeUser, KeyInit};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;

use super::counter_block;
use crate::keys::KeyError;

/// GCM's tag (NIST SP 800-38D §7.1) for nonces of 96 bits.
pub(super) struct Authenticator<C> {
    cipher: C,
    hash: GHash,
}

impl<C> Authenticator<C>
where
    C: BlockCipher + BlockSizeUser<BlockSize = U16> + BlockEncrypt,
{
    pub(super) fn new(cipher: C) -> Self {
        let mut key = ghash::Key::default();
        cipher.encrypt_block(&mut key);
        let hash = GHash::new(&key);
        zeroize::Zeroize::zeroize(key.as_mut_slice());
        Self { cipher, hash }
    }

    pub(super) const fn cipher(&self) -> &C {
        &self.cipher
    }

    /// Over the additional data, in pieces, and the ciphertext.
    pub(super) fn tag(&self, nonce: [u8; 12], aad: &[&[u8]], text: &[u8]) -> [u8; 16] {
        let mut absorber = Absorber { hash: self.hash.clone(), block: [0; 16], filled: 0, total: 0 };
        for piece in aad {
            absorber.update(piece);
        }
        let aad_bits = absorber.pad();
        absorber.update(text);
        let text_bits = absorber.pad();
        let lengths = (u128::from(aad_bits) << 64) | u128::from(text_bits);
        absorber.update(&lengths.to_be_bytes());

        let mut mask = counter_block(nonce, 1).into();
        self.cipher.encrypt_block(&mut mask);
        let mask = u128::from_be_bytes(mask.into());
        (u128::from_be_bytes(absorber.hash.finalize().into()) ^ mask).to_be_bytes()
    }
}

/// Cuts a stream of pieces into blocks.
struct Absorber {
    hash: GHash,
    block: [u8; 16],
    /// Bytes of `block` that wait; below 16 between calls.
    filled: usize,
    /// Bytes since the last padding.
    total: u64,
}

impl Absorber {
    fn update(&mut self, piece: &[u8]) {
        self.total = self.total.wrapping_add(piece.len() as u64);
        let mut rest = piece;
        if self.filled > 0 {
            rest = self.fill(piece);
            if self.filled < self.block.len() {
                return;
            }
            self.hash.update_padded(&self.block);
            self.filled = 0;
        }
        let (whole, tail) = rest.split_at(rest.len() - rest.len() % self.block.len());
        self.hash.update_padded(whole);
        self.fill(tail);
    }

    /// Returns what found no place.
    fn fill<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let (now, rest) = piece.split_at(piece.len().min(self.block.len() - self.filled));
        for (to, from) in self.block.iter_mut().skip(self.filled).zip(now) {
            *to = *from;
        }
        self.filled += now.len();
        rest
    }

    /// Fills up with zeros; returns the bits since the last time.
    fn pad(&mut self) -> u64 {
        let (waiting, _) = self.block.split_at(self.filled);
        self.hash.update_padded(waiting);
        self.filled = 0;
        std::mem::take(&mut self.total).wrapping_mul(8)
    }
}

/// AES-GMAC (RFC 4543): the tag of GCM over nothing but additional data.
pub(super) struct Gmac<C> {
    authenticator: Authenticator<C>,
    salt: [u8; 4],
}

impl<C> Gmac<C>
where
    C: BlockCipher + BlockSizeUser<BlockSize = U16> + BlockEncrypt + KeyInit,
{
    pub(super) fn new(key: &[u8], salt: [u8; 4], error: KeyError) -> Result<Self, KeyError> {
        let cipher = C::new_from_slice(key).map_err(|_| error)?;
        Ok(Self { authenticator: Authenticator::new(cipher), salt })
    }

    pub(super) fn tag(&self, pieces: &[&[u8]], iv: [u8; 8]) -> [u8; 16] {
        self.authenticator.tag(super::nonce(self.salt, &iv), pieces, &[])
    }
}
