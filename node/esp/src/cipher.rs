//! What encrypts and authenticates one packet.
//!
//! ```text
//!   SPI │ sequence │ IV │ payload, padding, pad length, next header │ ICV
//!   ├───── AAD ────┤     ├──────────── encrypted ──────────────────┤       AEAD
//!   ├────────────────────── authenticated ─────────────────────────┤       HMAC, GMAC
//! ```
//!
//! With ESN the sequence's high half is authenticated too, and never sent: an AEAD and GMAC take it between SPI and
//! low half (RFC 4106 §5, RFC 4543 §3.3), HMAC takes it after everything else (RFC 4303 §2.2.1).

mod aead;
mod block;
mod gcm;
mod ghash;
mod mac;

use crate::keys::{KeyError, KeyMaterial};
use crate::suite::Suite;
use aead::Aead;
use block::BlockMode;
pub(crate) use mac::Mac;

/// SPI and the sequence's low half.
const HEADER: usize = 8;

/// The ICV does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forged;

/// A suite with its keys.
pub(crate) struct Cipher {
    algorithm: Algorithm,
    iv_len: usize,
    icv_len: usize,
}

enum Algorithm {
    Aead {
        aead: Aead,
        salt: [u8; 4],
    },
    /// RFC 4543: the payload stays as it is.
    Gmac(Mac),
    #[cfg(feature = "null")]
    Nothing,
    /// Encrypted, then authenticated (RFC 4303 §3.3.2.1).
    Separate {
        encryption: BlockMode,
        integrity: Mac,
    },
}

impl Cipher {
    pub(crate) fn new(suite: Suite, material: &KeyMaterial) -> Result<Self, KeyError> {
        Self::with(suite, material, Aead::new)
    }

    /// Without `ring` where there is another way: for tests, and machines that `ring` does not know.
    #[cfg_attr(not(test), expect(dead_code, reason = "the reference that ring is tested against"))]
    pub(crate) fn new_portable(suite: Suite, material: &KeyMaterial) -> Result<Self, KeyError> {
        Self::with(suite, material, Aead::new_portable)
    }

    fn with(suite: Suite, material: &KeyMaterial, aead: aead::Constructor) -> Result<Self, KeyError> {
        let keys = material.split(suite)?;
        let algorithm = if let Some(integrity) = suite.integrity() {
            Algorithm::Separate {
                encryption: BlockMode::new(suite.encryption(), keys.encryption, keys.salt, keys.error)?,
                integrity: Mac::with_key(integrity, keys.integrity, keys.error)?,
            }
        } else if let Some(aead) = aead(suite, keys.encryption, keys.error)? {
            Algorithm::Aead { aead, salt: keys.salt }
        } else {
            #[cfg(feature = "null")]
            if suite.icv_len() == 0 {
                return Ok(Self { algorithm: Algorithm::Nothing, iv_len: 0, icv_len: 0 });
            }
            Algorithm::Gmac(Mac::gmac(keys.encryption, keys.salt, keys.error)?)
        };
        Ok(Self { algorithm, iv_len: suite.iv_len(), icv_len: suite.icv_len() })
    }

    /// `packet` is SPI, low sequence, room for the IV, plaintext with its trailer, room for the ICV.
    ///
    /// # Panics
    /// If the packet has no room for IV and ICV, or its plaintext is no multiple of the block: it must not leave
    /// unencrypted, so there is nothing better to do.
    pub(crate) fn seal(&self, sequence: u64, esn: bool, packet: &mut [u8]) {
        let iv = packet.get_mut(HEADER..).and_then(|rest| rest.get_mut(..self.iv_len));
        self.write_iv(sequence, iv.expect("the caller leaves room for the IV"));
        self.seal_with_its_iv(sequence, esn, packet);
    }

    /// Of a counter mode: the sequence number, which never repeats under one key (RFC 4106 §3.1). Of CBC:
    /// unpredictable, by encrypting the sequence number (NIST SP 800-38A, appendix C, first method).
    fn write_iv(&self, sequence: u64, iv: &mut [u8]) {
        match &self.algorithm {
            Algorithm::Aead { .. } | Algorithm::Gmac(_) => iv.copy_from_slice(&sequence.to_be_bytes()),
            #[cfg(feature = "null")]
            Algorithm::Nothing => {}
            Algorithm::Separate { encryption, .. } => encryption.write_iv(sequence, iv),
        }
    }

    fn seal_with_its_iv(&self, sequence: u64, esn: bool, packet: &mut [u8]) {
        let Frame { head, iv, text, icv } =
            self.frame(packet).expect("the caller leaves room for IV and ICV");
        let extended = Extended::new(head, sequence, esn);
        match &self.algorithm {
            Algorithm::Aead { aead, salt } => aead.seal(nonce(*salt, iv), extended.before(), text, icv),
            Algorithm::Gmac(mac) => mac.compute(&[extended.before(), iv, text], counter(iv), icv),
            #[cfg(feature = "null")]
            Algorithm::Nothing => {}
            Algorithm::Separate { encryption, integrity } => {
                encryption.encrypt(iv, text);
                integrity.compute(&[head.as_slice(), iv, text, extended.after()], [0; 8], icv);
            }
        }
    }

    /// Verifies with the full sequence number, then decrypts in place. What is left in the packet after a failure
    /// is never plaintext.
    pub(crate) fn open(&self, sequence: u64, esn: bool, packet: &mut [u8]) -> Result<(), Forged> {
        let Frame { head, iv, text, icv } = self.frame(packet).ok_or(Forged)?;
        let extended = Extended::new(head, sequence, esn);
        match &self.algorithm {
            Algorithm::Aead { aead, salt } => aead.open(nonce(*salt, iv), extended.before(), text, icv),
            Algorithm::Gmac(mac) => mac.verify(&[extended.before(), iv, text], counter(iv), icv),
            #[cfg(feature = "null")]
            Algorithm::Nothing => Ok(()),
            Algorithm::Separate { encryption, integrity } => {
                integrity.verify(&[head.as_slice(), iv, text, extended.after()], [0; 8], icv)?;
                encryption.decrypt(iv, text)
            }
        }
    }

    fn frame<'a>(&self, packet: &'a mut [u8]) -> Option<Frame<'a>> {
        let (head, rest) = packet.split_first_chunk_mut::<HEADER>()?;
        let (iv, rest) = rest.split_at_mut_checked(self.iv_len)?;
        let (text, icv) = rest.split_at_mut_checked(rest.len().checked_sub(self.icv_len)?)?;
        Some(Frame { head, iv, text, icv })
    }
}

/// A packet in its parts.
struct Frame<'a> {
    head: &'a [u8; HEADER],
    iv: &'a [u8],
    text: &'a mut [u8],
    icv: &'a mut [u8],
}

/// What is authenticated of the header, in the two orders that there are.
struct Extended<'a> {
    head: &'a [u8; HEADER],
    /// SPI, high half, low half; `None` without ESN.
    full: Option<[u8; 12]>,
}

impl<'a> Extended<'a> {
    fn new(head: &'a [u8; HEADER], sequence: u64, esn: bool) -> Self {
        let full = esn.then(|| {
            let packet = u64::from_be_bytes(*head);
            let (spi, high, low) = (packet >> 32, sequence >> 32, packet & u64::from(u32::MAX));
            let full = (u128::from(spi) << 64) | u128::from((high << 32) | low);
            let [_, _, _, _, full @ ..] = full.to_be_bytes();
            full
        });
        Self { head, full }
    }

    /// SPI, high half if there is one, low half.
    fn before(&self) -> &[u8] {
        self.full.as_ref().map_or(self.head, |full| full)
    }

    /// The high half, if there is one.
    fn after(&self) -> &[u8] {
        self.full.as_ref().map_or(&[], |[_, _, _, _, high @ .., _, _, _, _]| high)
    }
}

/// Salt and explicit IV (RFC 4106 §4, RFC 7634 §2).
fn nonce(salt: [u8; 4], iv: &[u8]) -> [u8; 12] {
    let [_, _, _, _, nonce @ ..] = (u128::from(u32::from_be_bytes(salt)) << 64
        | u128::from(u64::from_be_bytes(counter(iv))))
    .to_be_bytes();
    nonce
}

/// A block of counter mode.
fn counter_block(nonce: [u8; 12], number: u8) -> [u8; 16] {
    let mut block = [0; 16];
    for (to, from) in block.iter_mut().zip(nonce) {
        *to = from;
    }
    let [.., last] = &mut block;
    *last = number;
    block
}

/// The IV of a counter mode, 8 bytes by the suite's table.
fn counter(iv: &[u8]) -> [u8; 8] {
    iv.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
