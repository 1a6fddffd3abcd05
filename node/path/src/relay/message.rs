//! Messages of a TURN client (RFC 8656), written and read.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use stun_types::attribute::{ErrorCode, Nonce, Realm, Username};
use stun_types::message::{
    IntegrityAlgorithm, IntegrityKey, Message, MessageClass, MessageType, MessageWrite as _,
    MessageWriteExt as _, MessageWriteVec, Method, TransactionId,
};
use stun_types::prelude::AttributeWrite;
use turn_types::AddressFamily;
use turn_types::attribute::{
    ChannelNumber, Data, Lifetime, RequestedAddressFamily, RequestedTransport, XorPeerAddress,
    XorRelayedAddress,
};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, DATA, REFRESH, SEND};

use crate::message::canonical;

/// The largest datagram that a Send or Data indication is made of: around it go 44 bytes.
const LARGEST_PAYLOAD: usize = 65_000;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// A port that is seen by IPv4 (RFC 8656 §7.1), or by IPv6.
    Allocate {
        ipv6: bool,
    },
    /// More time; also tells whether the relay still lives.
    Refresh,
    /// The end of an allocation.
    Release,
    Permit(IpAddr),
    Bind {
        number: u16,
        peer: SocketAddr,
    },
}

/// Who asks, once the relay has said how to prove it.
pub(super) struct Proof {
    pub(super) username: String,
    pub(super) realm: String,
    pub(super) nonce: String,
    pub(super) key: IntegrityKey,
}

/// An answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Granted { relayed: Option<SocketAddr>, lifetime: Option<Duration> },
    Refused { code: u16, challenge: Option<Challenge> },
}

/// What a proof has to go by (RFC 8489 §9.2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) realm: String,
    pub(super) nonce: String,
}

impl Ask {
    pub(super) const fn method(self) -> Method {
        match self {
            Self::Allocate { .. } => ALLOCATE,
            Self::Refresh | Self::Release => REFRESH,
            Self::Permit(_) => CREATE_PERMISSION,
            Self::Bind { .. } => CHANNEL_BIND,
        }
    }

    /// The request; `None` if the relay's realm or nonce is one that no message can carry.
    pub(super) fn write(self, id: TransactionId, proof: Option<&Proof>) -> Option<Vec<u8>> {
        let kind = MessageType::from_class_method(MessageClass::Request, self.method());
        let mut message = Message::builder(kind, id, MessageWriteVec::new());
        let mut add = |attribute: &dyn AttributeWrite| message.add_attribute(attribute).ok();
        match self {
            Self::Allocate { ipv6 } => {
                add(&RequestedTransport::new(RequestedTransport::UDP))?;
                // RFC 8656 §7.1: without it IPv4 is meant, also by servers that do not know it.
                if ipv6 {
                    add(&RequestedAddressFamily::new(AddressFamily::IPV6))?;
                }
            }
            Self::Refresh => {}
            Self::Release => add(&Lifetime::new(0))?,
            // RFC 8656 §9.1: the port does not count.
            Self::Permit(ip) => add(&XorPeerAddress::new(SocketAddr::new(ip, 0), id))?,
            Self::Bind { number, peer } => {
                add(&ChannelNumber::new(number))?;
                add(&XorPeerAddress::new(peer, id))?;
            }
        }
        if let Some(proof) = proof {
            add(&Username::new(&proof.username).ok()?)?;
            add(&Realm::new(&proof.realm).ok()?)?;
            add(&Nonce::new(&proof.nonce).ok()?)?;
            message.add_message_integrity_with_key(&proof.key, IntegrityAlgorithm::Sha1).ok()?;
        }
        Some(message.finish())
    }
}

impl Answer {
    /// Reads an answer. A success must be proven if the request was: it moves traffic. An error need not be: who can
    /// name its transaction can take away the answer too (servers do not prove all errors, RFC 8489 §9.2.4).
    pub(super) fn read(message: &Message<'_>, proof: Option<&Proof>) -> Option<Self> {
        match message.class() {
            MessageClass::Success => {
                if let Some(proof) = proof {
                    message.validate_integrity_with_key(&proof.key).ok()?;
                }
                let relayed = message.attribute::<XorRelayedAddress>().ok();
                let lifetime = message.attribute::<Lifetime>().ok();
                Some(Self::Granted {
                    relayed: relayed.map(|relayed| canonical(relayed.addr(message.transaction_id()))),
                    lifetime: lifetime.map(|lifetime| Duration::from_secs(lifetime.seconds().into())),
                })
            }
            MessageClass::Error => {
                let code = message.attribute::<ErrorCode>().ok()?.code();
                let realm = message.attribute::<Realm>().ok();
                let nonce = message.attribute::<Nonce>().ok();
                let challenge = realm.zip(nonce).map(|(realm, nonce)| Challenge {
                    realm: realm.realm().to_owned(),
                    nonce: nonce.nonce().to_owned(),
                });
                Some(Self::Refused { code, challenge })
            }
            MessageClass::Request | MessageClass::Indication => None,
        }
    }
}

/// A Send indication (RFC 8656 §11.1) of `payload` to `peer`, for a stream; `None` if it is too long for one. `id` is
/// compared by nobody, so any number does.
pub fn send_indication(peer: SocketAddr, id: u128, payload: &[u8]) -> Option<Vec<u8>> {
    if payload.len() > LARGEST_PAYLOAD {
        return None;
    }
    let id = TransactionId::from(id);
    let kind = MessageType::from_class_method(MessageClass::Indication, SEND);
    let mut message = Message::builder(kind, id, MessageWriteVec::with_capacity(payload.len() + 64));
    message.add_attribute(&XorPeerAddress::new(peer, id)).ok()?;
    message.add_attribute(&Data::new(payload)).ok()?;
    Some(message.finish())
}

/// What is in a Data indication (RFC 8656 §11.4), and who sent it; `None` for any other message.
pub fn data_indication(message: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let parsed = Message::from_bytes(message).ok()?;
    if parsed.class() != MessageClass::Indication || !parsed.has_method(DATA) {
        return None;
    }
    let from = parsed.attribute::<XorPeerAddress>().ok()?.addr(parsed.transaction_id());
    let (offset, data) = parsed.attribute_and_offset::<Data<'_>>().ok()?;
    // Behind the attribute's own type and length.
    let start = offset + 4;
    Some((canonical(from), message.get(start..start + data.data().len())?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn data(from: &str, payload: &[u8]) -> Vec<u8> {
        let mut message = Message::builder_indication(DATA, MessageWriteVec::new());
        let peer = XorPeerAddress::new(from.parse().unwrap(), message.transaction_id());
        message.add_attribute(&peer).unwrap();
        message.add_attribute(&Data::new(payload)).unwrap();
        message.finish()
    }

    #[test]
    fn an_indication_longer_than_a_message_may_be_is_not_made() {
        let peer = "192.0.2.1:50000".parse().unwrap();
        assert!(send_indication(peer, 1, &vec![0; LARGEST_PAYLOAD]).is_some());
        assert_eq!(send_indication(peer, 1, &vec![0; LARGEST_PAYLOAD + 1]), None);
    }

    proptest! {
        #[test]
        fn a_data_indication_gives_up_its_payload_and_no_part_of_it_does(
            payload in prop::collection::vec(any::<u8>(), 0..60), ipv6 in any::<bool>(),
        ) {
            let from = if ipv6 { "[2001:db8::1]:50000" } else { "192.0.2.1:50000" };
            let message = data(from, &payload);
            prop_assert_eq!(data_indication(&message), Some((from.parse().unwrap(), &payload[..])));
            for length in 0..message.len() {
                prop_assert_eq!(data_indication(&message[..length]), None);
            }
        }

        #[test]
        fn garbage_is_no_indication_and_no_answer(mut bytes in prop::collection::vec(any::<u8>(), 20..80)) {
            let length = u16::try_from(bytes.len() - 20).unwrap() & !3;
            bytes[0] &= 0x3f;
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            bytes[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
            bytes.truncate(20 + usize::from(length));
            data_indication(&bytes);
            if let Ok(message) = Message::from_bytes(&bytes) {
                Answer::read(&message, None);
            }
        }

        #[test]
        fn what_is_sent_to_a_peer_can_be_read_back(
            payload in prop::collection::vec(any::<u8>(), 0..60), id in any::<u128>(),
        ) {
            let peer: SocketAddr = "[2001:db8::7]:40000".parse().unwrap();
            let bytes = send_indication(peer, id, &payload).unwrap();
            let message = Message::from_bytes(&bytes).unwrap();
            prop_assert!(message.has_method(SEND) && message.has_class(MessageClass::Indication));
            let to = message.attribute::<XorPeerAddress>().unwrap().addr(message.transaction_id());
            prop_assert_eq!(to, peer);
            let data = message.attribute::<Data<'_>>().unwrap();
            prop_assert_eq!(data.data(), &payload[..]);
        }
    }
}
