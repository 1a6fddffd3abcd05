//! Sealed messages: SK, and SKF where a message is too long for one datagram (RFC 7383).

use std::time::Instant;

use super::reassembly::{Fragment, Reassembly};
use super::window::Datagrams;
use crate::crypto::{Prf, Protection, Role, SaKeys, Suite};
use crate::error::IkeError;
use crate::trace::IkeKeys;
use crate::wire::{Chain, Header, IkeSpi, Message, Payload, PayloadType, ProtectedWriter};

use zeroize::Zeroizing;

/// The keys of an IKE SA at work.
pub(crate) struct Secure {
    pub(crate) suite: Suite,
    pub(crate) prf: Prf,
    pub(crate) keys: SaKeys,
    protection: Protection,
    /// Of the request before the last key exchange, which may come again.
    previous: Option<Box<Protection>>,
    /// What the body of one SKF payload can be long, if both ends know fragments.
    fragment_body: Option<usize>,
    reassembly: Reassembly,
    /// Whether a trace knows the keys.
    pub(crate) told: bool,
}

/// An opened message.
pub(crate) struct Opened {
    pub(crate) first: PayloadType,
    pub(crate) content: Zeroizing<Vec<u8>>,
}

/// Why a message came to nothing. None of it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotOpened {
    NotSealed,
    Forged,
    /// One more fragment of a message that is not complete.
    Incomplete,
}

impl Secure {
    pub(crate) fn new(suite: Suite, keys: SaKeys, role: Role) -> Self {
        Self {
            suite,
            prf: suite.prf(),
            protection: Protection::new(suite, &keys, role),
            keys,
            previous: None,
            fragment_body: None,
            reassembly: Reassembly::default(),
            told: false,
        }
    }

    /// From the next message on, with other keys (RFC 9370 §2.2.2).
    pub(crate) fn advance(&mut self, keys: SaKeys, role: Role) {
        let protection = Protection::new(self.suite, &keys, role);
        self.keys = keys;
        self.previous = Some(Box::new(std::mem::replace(&mut self.protection, protection)));
        self.reassembly = Reassembly::default();
        self.told = false;
    }

    /// Nothing sealed with earlier keys is of interest any more.
    pub(crate) fn forget_previous(&mut self) {
        self.previous = None;
    }

    /// For a trace.
    pub(crate) fn ike_keys(&self, spis: (IkeSpi, IkeSpi)) -> IkeKeys {
        let SaKeys { ei, er, ai, ar, .. } = &self.keys;
        let encryption = [ei.clone(), er.clone()];
        let integrity = [ai.clone(), ar.clone()];
        IkeKeys { initiator_spi: spis.0, responder_spi: spis.1, suite: self.suite, encryption, integrity }
    }

    /// Both sides said IKEV2_FRAGMENTATION_SUPPORTED; `size` is of an IP packet.
    pub(crate) fn allow_fragments(&mut self, size: usize, ipv6: bool) {
        // IP, UDP, non-ESP marker, IKE header, SKF header.
        let around = if ipv6 { 40 } else { 20 } + 8 + 4 + Header::LENGTH + 8;
        self.fragment_body = Some(size.saturating_sub(around).max(64));
    }

    /// The negotiated function, as authentication takes it.
    pub(crate) fn prf_fn(&self) -> impl Fn(&[u8], &[u8]) -> Zeroizing<Vec<u8>> + use<> {
        let prf = self.prf;
        move |key, data| prf.compute(key, &[data])
    }

    pub(crate) fn fragments_allowed(&self) -> bool {
        self.fragment_body.is_some()
    }

    /// The message in one datagram, or in several.
    pub(crate) fn seal(&mut self, header: &Header, chain: &Chain) -> Result<Datagrams, IkeError> {
        let length = self.protection.sealed_len(chain.bytes.len());
        let Some(body) = self.fragment_body.filter(|body| length > *body) else {
            let writer = ProtectedWriter::encrypted(header, chain.first, length)?;
            return Ok(vec![self.seal_one(&writer, &chain.bytes)]);
        };
        let capacity = self.protection.capacity(body).filter(|capacity| *capacity > 0).unwrap_or(64);
        let parts: Vec<&[u8]> = chain.bytes.chunks(capacity).collect();
        let total = u16::try_from(parts.len()).map_err(|_| crate::wire::WriteError::PayloadTooLong)?;
        (1..=total)
            .zip(parts)
            .map(|(number, part)| {
                let length = self.protection.sealed_len(part.len());
                let writer = ProtectedWriter::fragment(header, chain.first, number, total, length)?;
                Ok(self.seal_one(&writer, part))
            })
            .collect()
    }

    fn seal_one(&mut self, writer: &ProtectedWriter, inner: &[u8]) -> Vec<u8> {
        let mut message = writer.additional_data().to_vec();
        self.protection.seal(&mut message, inner);
        message
    }

    /// The content of a message, once all of it is there and authentic. Fragments are authenticated before they are
    /// stored (trap 30).
    pub(crate) fn open(&mut self, now: Instant, message: &Message<'_>) -> Result<Opened, NotOpened> {
        match message.payloads().next() {
            Some(Ok(Payload::Encrypted(sealed))) => {
                let content =
                    self.protection.open(message.bytes(), sealed.range).map_err(|_| NotOpened::Forged)?;
                // RFC 7383 §2.6: the whole message makes its fragments superfluous.
                self.reassembly.drop_message(message.header.message_id, message.header.flags.response);
                Ok(Opened { first: sealed.first, content })
            }
            Some(Ok(Payload::EncryptedFragment(sealed))) if self.fragments_allowed() => {
                let content =
                    self.protection.open(message.bytes(), sealed.range).map_err(|_| NotOpened::Forged)?;
                let fragment =
                    Fragment { number: sealed.number, total: sealed.total, first: sealed.first, content };
                let (id, response) = (message.header.message_id, message.header.flags.response);
                let (first, content) =
                    self.reassembly.add(now, id, response, fragment).ok_or(NotOpened::Incomplete)?;
                Ok(Opened { first, content })
            }
            Some(_) | None => Err(NotOpened::NotSealed),
        }
    }

    /// Whether a repeated request deserves its answer again: of fragments, only the first does (RFC 7383 §2.6.1).
    pub(crate) fn is_authentic_repetition(&self, message: &Message<'_>) -> bool {
        let range = match message.payloads().next() {
            Some(Ok(Payload::Encrypted(sealed))) => sealed.range,
            Some(Ok(Payload::EncryptedFragment(sealed))) if sealed.number == 1 => sealed.range,
            Some(_) | None => return false,
        };
        // The answer to it may have changed the keys.
        [Some(&self.protection), self.previous.as_deref()]
            .into_iter()
            .flatten()
            .any(|protection| protection.open(message.bytes(), range.clone()).is_ok())
    }
}
