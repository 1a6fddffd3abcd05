//! Checks on the wire: STUN binding requests (RFC 8489) and their successes, each with
//!
//! ```text
//!   USERNAME                    16 hexadecimal digits: pair and sender; then what the sender does with the pair
//!   XOR-MAPPED-ADDRESS          in a success: from where the request came
//!   PADDING                     in a request that asks whether its size passes (RFC 5780 §7.6)
//!   MESSAGE-INTEGRITY-SHA256    last, whole; by the sender's key of the pair
//! ```

use std::net::SocketAddr;

use stun_types::attribute::{
    AttributeStaticType as _, AttributeType, MessageIntegritySha256, RawAttribute, Username, XorMappedAddress,
};
use stun_types::message::{
    BINDING, Message, MessageClass, MessageType, MessageWrite as _, MessageWriteExt as _, MessageWriteVec,
    TransactionId,
};

use super::secret::{MAC_LEN, PairSecret, Tag};

/// RFC 5780 §7.6.
const PADDING: AttributeType = AttributeType::new(0x0026);
const HEADER_LEN: usize = 20;
const ATTRIBUTE_HEADER_LEN: usize = 4;

/// What the sender of a check does with the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// It has traffic for the peer: both ends shall look for the best path.
    InUse,
    /// It keeps a path open.
    Kept,
}

/// What came, and is not proven to be authentic yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// Of the pair, and of who sent it.
    pub(crate) tag: Tag,
    pub(crate) id: TransactionId,
    pub(crate) kind: ReceivedKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReceivedKind {
    Request(Use),
    Answer,
}

impl Use {
    const fn letter(self) -> u8 {
        match self {
            Self::InUse => b'u',
            Self::Kept => b'k',
        }
    }
}

pub(crate) fn request(secret: &PairSecret, id: TransactionId, purpose: Use) -> Vec<u8> {
    finish(secret, begin(secret, MessageClass::Request, id, purpose))
}

/// A request that is at most four bytes shorter than `len`, and no shorter than others.
pub(crate) fn padded_request(secret: &PairSecret, id: TransactionId, purpose: Use, len: usize) -> Vec<u8> {
    let mut message = begin(secret, MessageClass::Request, id, purpose);
    let padding = len.saturating_sub(message.len() + 2 * ATTRIBUTE_HEADER_LEN + MAC_LEN) / 4 * 4;
    // It cannot fail: a datagram is shorter than an attribute may be.
    message.add_attribute(&RawAttribute::new(PADDING, &vec![0; padding])).ok();
    finish(secret, message)
}

/// `seen`: from where the request came.
pub(crate) fn answer(secret: &PairSecret, id: TransactionId, purpose: Use, seen: SocketAddr) -> Vec<u8> {
    let mut message = begin(secret, MessageClass::Success, id, purpose);
    // It cannot fail, nor can what follows: the message is short, and nothing in it forbids more attributes.
    message.add_attribute(&XorMappedAddress::new(seen, id)).ok();
    finish(secret, message)
}

/// None for what is no check of anybody's.
pub(crate) fn read(datagram: &[u8]) -> Option<Received> {
    let message = Message::from_bytes(datagram).ok()?;
    if !message.has_method(BINDING) {
        return None;
    }
    let username = message.raw_attribute(Username::TYPE)?;
    let (tag, rest) = username.value.split_first_chunk::<{ size_of::<Tag>() }>()?;
    let purpose = match rest {
        [b'u'] => Use::InUse,
        [b'k'] => Use::Kept,
        _ => return None,
    };
    let kind = match message.class() {
        MessageClass::Request => ReceivedKind::Request(purpose),
        MessageClass::Success => ReceivedKind::Answer,
        MessageClass::Error | MessageClass::Indication => return None,
    };
    Some(Received { tag: *tag, id: message.transaction_id(), kind })
}

/// Whether the peer made the datagram, all of it. Stricter than RFC 8489 §14.6: nothing follows the integrity, and it is
/// not cut short.
pub(crate) fn is_authentic(secret: &PairSecret, datagram: &[u8]) -> bool {
    let Some((rest, mac)) = datagram.split_last_chunk::<MAC_LEN>() else { return false };
    let Some((signed, attribute)) = rest.split_last_chunk::<ATTRIBUTE_HEADER_LEN>() else { return false };
    let declared =
        signed.get(2..4).map(|length| length.iter().fold(0, |sum, byte| sum * 256 + usize::from(*byte)));
    *attribute == integrity_header()
        && declared == datagram.len().checked_sub(HEADER_LEN)
        && secret.verify(signed, mac)
}

fn begin(secret: &PairSecret, class: MessageClass, id: TransactionId, purpose: Use) -> MessageWriteVec {
    let mut message =
        Message::builder(MessageType::from_class_method(class, BINDING), id, MessageWriteVec::new());
    let mut username = secret.own_tag().to_vec();
    username.push(purpose.letter());
    message.add_attribute(&RawAttribute::new(Username::TYPE, &username)).ok();
    message
}

/// The length in the header already counts the integrity when it is computed (RFC 8489 §14.6).
fn finish(secret: &PairSecret, message: MessageWriteVec) -> Vec<u8> {
    let mut datagram = message.finish();
    let length = datagram.len() - HEADER_LEN + ATTRIBUTE_HEADER_LEN + MAC_LEN;
    if let (Some(field), Ok(length)) = (datagram.get_mut(2..4), u16::try_from(length)) {
        field.copy_from_slice(&length.to_be_bytes());
    }
    let mac = secret.sign(&datagram);
    datagram.extend(integrity_header());
    datagram.extend(mac);
    datagram
}

fn integrity_header() -> [u8; ATTRIBUTE_HEADER_LEN] {
    let [high, low] = MessageIntegritySha256::TYPE.value().to_be_bytes();
    [high, low, 0, 32]
}
