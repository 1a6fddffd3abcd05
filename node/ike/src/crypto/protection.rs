//! Encrypted payloads: SK (RFC 7296 §3.14) and SKF (RFC 7383 §2.5).

mod aead;
mod cbc;

use std::ops::Range;

use zeroize::Zeroizing;

use self::aead::Aead;
use self::cbc::CbcHmac;
use super::keys::SaKeys;
use super::suite::Suite;

/// Who began the IKE SA: it seals with SK_ei and SK_ai, whatever the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Initiator,
    Responder,
}

/// Seals and opens the messages of one IKE SA, with the keys of both directions.
pub struct Protection {
    outbound: Cipher,
    inbound: Cipher,
    /// The IV of the next message; no two share one.
    counter: u64,
}

/// The message is not from the holder of the keys. Nobody is told (RFC 7296 §2.21.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message is not authentic")]
pub struct Forged;

enum Cipher {
    Aead(Box<Aead>),
    CbcHmac(Box<CbcHmac>),
}

impl Protection {
    /// # Panics
    /// If `keys` are not of `suite`.
    pub fn new(suite: Suite, keys: &SaKeys, role: Role) -> Self {
        let initiator = Cipher::new(suite, &keys.ei, &keys.ai);
        let responder = Cipher::new(suite, &keys.er, &keys.ar);
        let (outbound, inbound) = match role {
            Role::Initiator => (initiator, responder),
            Role::Responder => (responder, initiator),
        };
        Self { outbound, inbound, counter: 0 }
    }

    /// Bytes that the body of SK or SKF has, after its header, for `inner` bytes of payloads: IV, padding and checksum
    /// included. It goes into the payload's and the message's length before the message is sealed.
    pub fn sealed_len(&self, inner: usize) -> usize {
        self.outbound.iv_len() + self.outbound.padded_len(inner) + self.outbound.icv_len()
    }

    /// The most bytes of inner payloads whose sealed body has no more than `body` bytes; `None` if not even none fit.
    pub fn capacity(&self, body: usize) -> Option<usize> {
        let text = body.checked_sub(self.outbound.iv_len() + self.outbound.icv_len())?;
        let text = text - text % self.outbound.block();
        // The Pad Length byte.
        text.checked_sub(1)
    }

    /// Appends the sealed body to `message`, which ends with the header of SK (4 bytes) or SKF (8 bytes), and whose
    /// lengths count [`Self::sealed_len`] already: all of it is authenticated (RFC 5282 §5.1, RFC 7383 §2.5).
    pub fn seal(&mut self, message: &mut Vec<u8>, inner: &[u8]) {
        let counter = self.counter;
        self.counter = counter.checked_add(1).expect("no SA lives for 2^64 messages");
        match &self.outbound {
            Cipher::Aead(aead) => aead.seal(message, counter, inner),
            Cipher::CbcHmac(cipher) => cipher.seal(message, counter, inner),
        }
    }

    /// The inner payloads. `message` is the whole message without a non-ESP marker; `body` is what follows the header
    /// of SK or SKF in it, to the message's end, as that payload is the last (RFC 7296 §3.14).
    ///
    /// An authentic message with padding that cannot be is refused as if it were forged.
    pub fn open(&self, message: &[u8], body: Range<usize>) -> Result<Zeroizing<Vec<u8>>, Forged> {
        if body.end != message.len() {
            return Err(Forged);
        }
        let (header, body) = message.split_at_checked(body.start).ok_or(Forged)?;
        let mut text = match &self.inbound {
            Cipher::Aead(aead) => aead.open(header, body),
            Cipher::CbcHmac(cipher) => cipher.open(header, body),
        }?;
        // RFC 7296 §3.14: the padding may hold anything, and any length is accepted.
        let padding = text.pop().ok_or(Forged)?;
        let len = text.len().checked_sub(usize::from(padding)).ok_or(Forged)?;
        text.truncate(len);
        Ok(text)
    }
}

impl Cipher {
    fn new(suite: Suite, encryption_key: &[u8], integrity_key: &[u8]) -> Self {
        match suite.integrity() {
            None => Self::Aead(Box::new(Aead::new(suite.encryption(), encryption_key))),
            Some(integrity) => {
                let cipher = CbcHmac::new(suite.encryption(), encryption_key, integrity, integrity_key);
                Self::CbcHmac(Box::new(cipher))
            }
        }
    }

    fn iv_len(&self) -> usize {
        match self {
            Self::Aead(_) => aead::IV,
            Self::CbcHmac(cipher) => cipher.block(),
        }
    }

    fn icv_len(&self) -> usize {
        match self {
            Self::Aead(_) => aead::ICV,
            Self::CbcHmac(cipher) => cipher.icv_len(),
        }
    }

    fn block(&self) -> usize {
        match self {
            Self::Aead(_) => 1,
            Self::CbcHmac(cipher) => cipher.block(),
        }
    }

    /// With the Pad Length byte.
    fn padded_len(&self, inner: usize) -> usize {
        (inner + 1).next_multiple_of(self.block())
    }
}

#[cfg(test)]
mod tests;
