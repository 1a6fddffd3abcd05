//! Binding requests and their answers (RFC 8489), with the attributes of RFC 5780 §7 that we use.

use std::net::{IpAddr, SocketAddr};

use stun_types::attribute::{AttributeType, MappedSocketAddr, RawAttribute, Software, XorMappedAddress};
use stun_types::message::{
    BINDING, Message, MessageClass, MessageType, MessageWrite as _, MessageWriteExt as _, MessageWriteVec,
    TransactionId,
};

/// RFC 5780 §7.2.
const CHANGE_REQUEST: AttributeType = AttributeType::new(0x0003);
const CHANGE_IP: u8 = 0x04;
const CHANGE_PORT: u8 = 0x02;
/// RFC 5780 §7.4.
const OTHER_ADDRESS: AttributeType = AttributeType::new(0x802c);
/// RFC 5780 §7.5.
const RESPONSE_PORT: AttributeType = AttributeType::new(0x0027);
/// Long enough that an answer with three IPv6 addresses is no longer than its request, which servers may insist on.
const PADDED_NAME: usize = 68;

/// From where the server shall answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Asked,
    OtherPort,
    OtherAddressAndPort,
}

/// A message that concerns us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Of our own, come back through the NAT.
    Request(TransactionId),
    Answer(Answer),
    /// The server cannot do what was asked.
    Refusal(TransactionId),
}

/// A success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) id: TransactionId,
    pub(crate) mapped: SocketAddr,
    /// Another address and port of the server.
    pub(crate) other: Option<SocketAddr>,
}

/// The shortest request.
pub(crate) fn request(id: TransactionId) -> Vec<u8> {
    writer(id).finish()
}

/// A request that leaves room for an answer with all attributes.
pub(crate) fn probe(id: TransactionId, origin: Origin) -> Vec<u8> {
    let mut request = writer(id);
    let change = match origin {
        Origin::Asked => 0,
        Origin::OtherPort => CHANGE_PORT,
        Origin::OtherAddressAndPort => CHANGE_IP | CHANGE_PORT,
    };
    let change = [0, 0, 0, change];
    // Neither can fail: the message is short, and nothing in it forbids more attributes.
    if origin != Origin::Asked {
        request.add_attribute(&RawAttribute::new(CHANGE_REQUEST, &change)).ok();
    }
    if let Ok(name) = Software::new(&format!("{:PADDED_NAME$}", "twinmesh")) {
        request.add_attribute(&name).ok();
    }
    request.finish()
}

/// A request whose answer is to go to that port of the sender's address instead.
pub(crate) fn probe_to_port(id: TransactionId, port: u16) -> Vec<u8> {
    let mut request = writer(id);
    let [high, low] = port.to_be_bytes();
    // As above.
    request.add_attribute(&RawAttribute::new(RESPONSE_PORT, &[high, low, 0, 0])).ok();
    request.finish()
}

fn writer(id: TransactionId) -> MessageWriteVec {
    let kind = MessageType::from_class_method(MessageClass::Request, BINDING);
    Message::builder(kind, id, MessageWriteVec::new())
}

/// Anything but a binding request, a whole success or an error is nothing.
pub(crate) fn read(datagram: &[u8]) -> Option<Received> {
    let message = Message::from_bytes(datagram).ok()?;
    if !message.has_method(BINDING) {
        return None;
    }
    let id = message.transaction_id();
    match message.class() {
        MessageClass::Request => Some(Received::Request(id)),
        MessageClass::Success => {
            let mapped = canonical(message.attribute::<XorMappedAddress>().ok()?.addr(id));
            let other = message
                .raw_attribute(OTHER_ADDRESS)
                .and_then(|raw| MappedSocketAddr::from_raw(&raw).ok())
                .map(|other| canonical(other.addr()));
            Some(Received::Answer(Answer { id, mapped, other }))
        }
        MessageClass::Error => Some(Received::Refusal(id)),
        MessageClass::Indication => None,
    }
}

pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Nobody must make us send to ourselves or to many.
pub(crate) fn is_host(address: &SocketAddr) -> bool {
    let ip = address.ip();
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    address.port() != 0 && !(ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() || broadcast)
}
