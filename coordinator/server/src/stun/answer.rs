//! What is answered, from where, and whither. The answer goes to the address of the request's sender and no other, and
//! is no longer than the request, or than the shortest answer there is: nobody can use it to flood others.

use std::net::{IpAddr, SocketAddr};

use stun_types::attribute::{AttributeType, MappedSocketAddr, RawAttribute, XorMappedAddress};
use stun_types::message::{
    BINDING, Message, MessageClass, MessageType, MessageWrite as _, MessageWriteExt as _, MessageWriteVec,
};

/// RFC 5780 §7.2: two bits of four bytes.
const CHANGE_REQUEST: AttributeType = AttributeType::new(0x0003);
const CHANGE_IP: u8 = 0x04;
const CHANGE_PORT: u8 = 0x02;
/// RFC 5780 §7.5: the port, and two bytes of nothing.
const RESPONSE_PORT: AttributeType = AttributeType::new(0x0027);
/// RFC 5780 §7.3.
const RESPONSE_ORIGIN: AttributeType = AttributeType::new(0x802b);
/// RFC 5780 §7.4.
const OTHER_ADDRESS: AttributeType = AttributeType::new(0x802c);
/// RFC 8489 §14.8, §14.13.
const ERROR_CODE: AttributeType = AttributeType::new(0x0009);
const UNKNOWN_ATTRIBUTES: AttributeType = AttributeType::new(0x000a);

/// The ports of each address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) first: u16,
    pub(super) second: Option<u16>,
}

impl Ports {
    fn other(self, port: u16) -> Option<u16> {
        if port == self.first { self.second } else { Some(self.first) }
    }
}

/// An answer, the address and port that it leaves from, and where it goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) datagram: Vec<u8>,
}

/// The answer to a binding request that came `at` one of our addresses. Nothing else is answered. `others`: our
/// further addresses.
pub(super) fn reply(
    request: &[u8],
    at: SocketAddr,
    from: SocketAddr,
    ports: Ports,
    others: &[IpAddr],
) -> Option<Reply> {
    let message = Message::from_bytes(request).ok()?;
    if !message.has_class(MessageClass::Request) || !message.has_method(BINDING) {
        return None;
    }
    let room = request.len();
    let other_port = ports.other(at.port());
    let another = |ip: &&IpAddr| **ip != at.ip() && ip.is_ipv4() == at.is_ipv4();
    let other_ip = others.iter().find(another).copied();
    let change = match message.raw_attribute(CHANGE_REQUEST) {
        Some(raw) => *raw.value.get(3)?,
        None => 0,
    };
    let ip = if change & CHANGE_IP == 0 { Some(at.ip()) } else { other_ip };
    let port = if change & CHANGE_PORT == 0 { Some(at.port()) } else { other_port };
    let (Some(ip), Some(port)) = (ip, port) else {
        // RFC 5780 §6.1: we have no such address.
        return refusal(&message).filter(|answer| answer.len() <= room).map(|datagram| Reply {
            from: at,
            to: from,
            datagram,
        });
    };
    // How long the sender's NAT keeps the mapping of another of its ports (RFC 5780 §4.6).
    let to = match message.raw_attribute(RESPONSE_PORT) {
        Some(raw) => {
            let [high, low, ..] = *raw.value.first_chunk::<4>()?;
            SocketAddr::new(from.ip(), Some(u16::from_be_bytes([high, low])).filter(|port| *port != 0)?)
        }
        None => from,
    };
    let origin = SocketAddr::new(ip, port);
    let kind = MessageType::from_class_method(MessageClass::Success, BINDING);
    let id = message.transaction_id();
    let mut answer = Message::builder(kind, id, MessageWriteVec::new());
    answer.add_attribute(&XorMappedAddress::new(from, id)).ok()?;
    let mut length = 20 + written(from);
    let mut add = |attribute, address: Option<SocketAddr>| {
        let Some(address) = address.filter(|address| length + written(*address) <= room) else { return };
        if answer.add_attribute(&MappedSocketAddr::new(address).to_raw(attribute)).is_ok() {
            length += written(address);
        }
    };
    // Only who has a second address announces it (RFC 5780 §7.4).
    add(OTHER_ADDRESS, other_ip.zip(other_port).map(SocketAddr::from));
    add(RESPONSE_ORIGIN, (!ip.is_unspecified()).then_some(origin));
    Some(Reply { from: origin, to, datagram: answer.finish() })
}

/// Bytes of an attribute with an address.
fn written(address: SocketAddr) -> usize {
    if address.is_ipv4() { 12 } else { 24 }
}

/// 420 Unknown Attribute (RFC 8489 §14.8).
fn refusal(request: &Message<'_>) -> Option<Vec<u8>> {
    let kind = MessageType::from_class_method(MessageClass::Error, BINDING);
    let mut answer = Message::builder(kind, request.transaction_id(), MessageWriteVec::new());
    let code = [&[0, 0, 4, 20], b"Unknown Attribute".as_slice()].concat();
    answer.add_attribute(&RawAttribute::new(ERROR_CODE, &code)).ok()?;
    let which = CHANGE_REQUEST.value().to_be_bytes();
    answer.add_attribute(&RawAttribute::new(UNKNOWN_ATTRIBUTES, &which)).ok()?;
    Some(answer.finish())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stun_types::attribute::Software;

    use super::*;

    const PORTS: Ports = Ports { first: 3478, second: Some(3479) };

    fn at(address: &str) -> SocketAddr {
        address.parse().unwrap()
    }

    fn request(class: MessageClass, change: u8, padding: usize) -> Vec<u8> {
        let kind = MessageType::from_class_method(class, BINDING);
        let mut request = Message::builder(kind, 7_u128.into(), MessageWriteVec::new());
        if change != 0 {
            request.add_attribute(&RawAttribute::new(CHANGE_REQUEST, &[0, 0, 0, change])).unwrap();
        }
        if padding > 0 {
            request.add_attribute(&Software::new(&" ".repeat(padding)).unwrap()).unwrap();
        }
        request.finish()
    }

    fn ask(request: &[u8], others: &[IpAddr]) -> Option<Reply> {
        reply(request, at("192.0.2.1:3478"), at("203.0.113.7:4500"), PORTS, others)
    }

    fn address(message: &Message<'_>, attribute: AttributeType) -> Option<SocketAddr> {
        Some(MappedSocketAddr::from_raw(&message.raw_attribute(attribute)?).unwrap().addr())
    }

    #[test]
    fn a_plain_request_gets_the_senders_address_and_no_more() {
        let answer = ask(&request(MessageClass::Request, 0, 0), &[]).unwrap();
        assert_eq!((answer.from, answer.datagram.len()), (at("192.0.2.1:3478"), 32));
        let message = Message::from_bytes(&answer.datagram).unwrap();
        assert_eq!(message.transaction_id(), 7_u128.into());
        let mapped = message.attribute::<XorMappedAddress>().unwrap();
        assert_eq!(mapped.addr(message.transaction_id()), at("203.0.113.7:4500"));
    }

    #[test]
    fn who_asks_for_it_is_answered_from_the_other_port_and_address() {
        let others = ["2001:db8::9".parse().unwrap(), "198.51.100.1".parse().unwrap()];
        for (change, origin) in [
            (0, "192.0.2.1:3478"),
            (CHANGE_PORT, "192.0.2.1:3479"),
            (CHANGE_IP, "198.51.100.1:3478"),
            (CHANGE_IP | CHANGE_PORT, "198.51.100.1:3479"),
        ] {
            let answer = ask(&request(MessageClass::Request, change, 68), &others).unwrap();
            let message = Message::from_bytes(&answer.datagram).unwrap();
            assert_eq!(answer.from, at(origin));
            assert_eq!(address(&message, RESPONSE_ORIGIN), Some(at(origin)));
            assert_eq!(address(&message, OTHER_ADDRESS), Some(at("198.51.100.1:3479")));
        }
    }

    #[test]
    fn an_address_that_the_server_does_not_have_is_refused_and_not_announced() {
        for others in [&[][..], &["2001:db8::9".parse().unwrap()], &["192.0.2.1".parse().unwrap()]] {
            let answer = ask(&request(MessageClass::Request, CHANGE_IP, 68), others).unwrap();
            let message = Message::from_bytes(&answer.datagram).unwrap();
            assert!(message.has_class(MessageClass::Error), "{message:?}");
            let code = message.raw_attribute(ERROR_CODE).unwrap();
            assert_eq!(&code.value[..4], [0, 0, 4, 20]);
            let plain = ask(&request(MessageClass::Request, CHANGE_PORT, 68), others).unwrap();
            let message = Message::from_bytes(&plain.datagram).unwrap();
            assert_eq!((plain.from, address(&message, OTHER_ADDRESS)), (at("192.0.2.1:3479"), None));
        }
    }

    #[test]
    fn who_asks_for_it_is_answered_at_another_port_of_its_address() {
        let asking = |value: &[u8]| {
            let kind = MessageType::from_class_method(MessageClass::Request, BINDING);
            let mut request = Message::builder(kind, 7_u128.into(), MessageWriteVec::new());
            request.add_attribute(&RawAttribute::new(RESPONSE_PORT, value)).unwrap();
            ask(&request.finish(), &[])
        };
        let answer = asking(&[0xee, 0x48, 0, 0]).unwrap();
        assert_eq!((answer.from, answer.to), (at("192.0.2.1:3478"), at("203.0.113.7:61000")));
        assert_eq!(ask(&request(MessageClass::Request, 0, 0), &[]).unwrap().to, at("203.0.113.7:4500"));
        assert_eq!((asking(&[0, 0, 0, 0]), asking(&[1, 2])), (None, None));
    }

    #[test]
    fn responses_and_indications_are_not_answered() {
        for class in [MessageClass::Success, MessageClass::Error, MessageClass::Indication] {
            assert_eq!(ask(&request(class, 0, 68), &[]), None);
        }
    }

    proptest! {
        #[test]
        fn no_answer_is_longer_than_its_request_or_the_shortest_there_is(
            change in 0..=6_u8, padding in 0..120_usize, ipv6: bool,
        ) {
            let request = request(MessageClass::Request, change, padding);
            let (here, from, shortest) = if ipv6 {
                (at("[2001:db8::1]:3478"), at("[2001:db8:1::7]:4500"), 44)
            } else {
                (at("192.0.2.1:3478"), at("203.0.113.7:4500"), 32)
            };
            let others = ["2001:db8::9".parse().unwrap(), "198.51.100.1".parse().unwrap()];
            for others in [&others[..], &[]] {
                if let Some(answer) = reply(&request, here, from, PORTS, others) {
                    prop_assert!(answer.datagram.len() <= request.len().max(shortest));
                }
            }
        }

        #[test]
        fn any_datagram_is_answered_or_ignored(mut bytes: Vec<u8>, tail: Vec<u8>) {
            let _ = ask(&bytes, &[]);
            let mut damaged = request(MessageClass::Request, CHANGE_IP, 4);
            damaged.append(&mut bytes);
            damaged.extend(tail);
            let _ = ask(&damaged, &[]);
        }
    }
}
