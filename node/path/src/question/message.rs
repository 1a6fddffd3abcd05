//! The form of questions and answers on the wire.
//!
//! ```text
//!   STUN header   request | success, method 0x7a1, transaction id
//!   0xc7a1        8 bytes: the asker's number in the network; of requests only
//!   0xc7a2        nonce (12), sealed length and content (964), tag (16)
//! ```

use stun_types::attribute::{AttributeType, RawAttribute};
use stun_types::message::{
    Message, MessageClass, MessageType, MessageWrite as _, MessageWriteExt as _, MessageWriteVec, Method,
    TransactionId,
};
use zeroize::Zeroizing;

use super::keys::PairKeys;
use super::{MAX_CONTENT, NONCE_LEN};

/// Not given to anybody by IANA.
const METHOD: Method = Method::new(0x7a1);
/// Of those that a receiver may ignore (RFC 8489 §14).
const ASKER: AttributeType = AttributeType::new(0xc7a1);
const SEALED: AttributeType = AttributeType::new(0xc7a2);
/// Nonce, length, content and tag.
pub(super) const SEALED_LEN: usize = 12 + 2 + MAX_CONTENT + 16;

/// What is authenticated beside the content: transaction id and asker.
pub(super) type Fixed = [u8; NONCE_LEN + 8];

/// More than [`MAX_CONTENT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes are more than a question or answer holds ({MAX_CONTENT})")]
pub struct TooLong(pub usize);

/// Whether a STUN message is a question or the answer to one.
pub fn is_question(datagram: &[u8]) -> bool {
    Message::from_bytes(datagram).is_ok_and(|message| message.has_method(METHOD))
}

/// A question as it came: sealed, its asker as it says itself.
pub struct Incoming {
    asker: u64,
    id: TransactionId,
    sealed: Box<[u8; SEALED_LEN]>,
}

impl Incoming {
    /// `None`: it is none.
    pub fn read(datagram: &[u8]) -> Option<Self> {
        let message = of_class(datagram, MessageClass::Request)?;
        let asker = message.raw_attribute(ASKER)?;
        let asker = u64::from_be_bytes(asker.value.as_ref().try_into().ok()?);
        Some(Self { asker, id: message.transaction_id(), sealed: sealed(&message)? })
    }

    /// Number of the node that asks, if the question opens under its keys.
    pub fn asker(&self) -> u64 {
        self.asker
    }

    pub(super) fn open(&self, keys: &PairKeys) -> Option<Zeroizing<Vec<u8>>> {
        keys.peers.question.open(&fixed(self.id, self.asker), &self.sealed)
    }

    /// The datagram for whoever the question came from. `nonce`: from the system's random source.
    pub fn answer(
        &self,
        keys: &PairKeys,
        content: &[u8],
        nonce: [u8; NONCE_LEN],
    ) -> Result<Vec<u8>, TooLong> {
        let sealed = keys.peers.answer.seal(&fixed(self.id, self.asker), nonce, content);
        let sealed = sealed.ok_or(TooLong(content.len()))?;
        Ok(message(MessageClass::Success, self.id, &[RawAttribute::new(SEALED, &sealed)]))
    }
}

/// The request that has `content` in it, and its id.
pub(super) fn question(
    keys: &PairKeys,
    asker: u64,
    content: &[u8],
    (id, nonce): ([u8; NONCE_LEN], [u8; NONCE_LEN]),
) -> Result<(TransactionId, Vec<u8>), TooLong> {
    let id = id.iter().fold(0, |id, byte| id << 8 | u128::from(*byte));
    let id = TransactionId::from(id);
    let sealed = keys.own.question.seal(&fixed(id, asker), nonce, content).ok_or(TooLong(content.len()))?;
    let asker = asker.to_be_bytes();
    let attributes = [RawAttribute::new(ASKER, &asker), RawAttribute::new(SEALED, &sealed)];
    Ok((id, message(MessageClass::Request, id, &attributes)))
}

/// What an answer to the question of that id says; `None`: it is none, or not authentic.
pub(super) fn open_answer(
    keys: &PairKeys,
    asker: u64,
    id: TransactionId,
    datagram: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let message = of_class(datagram, MessageClass::Success)?;
    let sealed = (message.transaction_id() == id).then(|| sealed(&message)).flatten()?;
    keys.own.answer.open(&fixed(id, asker), &sealed)
}

fn of_class(datagram: &[u8], class: MessageClass) -> Option<Message<'_>> {
    let message = Message::from_bytes(datagram).ok()?;
    (message.has_method(METHOD) && message.class() == class).then_some(message)
}

fn sealed(message: &Message<'_>) -> Option<Box<[u8; SEALED_LEN]>> {
    let sealed = message.raw_attribute(SEALED)?;
    Some(Box::new(sealed.value.as_ref().try_into().ok()?))
}

fn fixed(id: TransactionId, asker: u64) -> Fixed {
    let mut fixed = [0; NONCE_LEN + 8];
    let (head, tail) = fixed.split_at_mut(NONCE_LEN);
    let id = u128::from(id).to_be_bytes();
    head.copy_from_slice(id.split_at(id.len() - NONCE_LEN).1);
    tail.copy_from_slice(&asker.to_be_bytes());
    fixed
}

fn message(class: MessageClass, id: TransactionId, attributes: &[RawAttribute<'_>]) -> Vec<u8> {
    let kind = MessageType::from_class_method(class, METHOD);
    let mut message = Message::builder(kind, id, MessageWriteVec::new());
    for attribute in attributes {
        // It cannot fail: the message is short, and nothing in it forbids more attributes.
        message.add_attribute(attribute).ok();
    }
    message.finish()
}
