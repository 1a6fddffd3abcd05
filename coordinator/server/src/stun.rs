//! STUN (RFC 8489): tells a node what address and port it is seen with.

use std::io;
use std::net::SocketAddr;

use stun_types::attribute::{Software, XorMappedAddress};
use stun_types::message::{
    BINDING, Message, MessageClass, MessageType, MessageWrite as _, MessageWriteExt as _, MessageWriteVec,
};
use tokio::net::UdpSocket;

use crate::sockets::bind_udp;

/// No request that we answer is longer.
const MAX_REQUEST: usize = 1500;

/// The STUN port.
#[derive(Debug)]
pub struct StunServer {
    socket: UdpSocket,
}

impl StunServer {
    /// Binds the UDP port.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { socket: UdpSocket::from_std(bind_udp(address)?)? })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Answers binding requests for ever.
    pub async fn serve(self) {
        let mut buffer = [0; MAX_REQUEST];
        loop {
            match self.socket.recv_from(&mut buffer).await {
                Ok((length, from)) => {
                    if let Some(answer) = answer(buffer.get(..length).unwrap_or_default(), from) {
                        // A full buffer loses datagrams, as the network does: the node asks again.
                        let _ = self.socket.try_send_to(&answer, from);
                    }
                }
                // ICMP errors of earlier answers arrive here; they concern nobody.
                Err(error) => tracing::trace!(%error, "STUN"),
            }
        }
    }
}

/// The answer to a binding request. Nothing else is answered, so that nobody is made to talk to strangers.
fn answer(request: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
    let message = Message::from_bytes(request).ok()?;
    if !message.has_class(MessageClass::Request) || !message.has_method(BINDING) {
        return None;
    }
    let seen = SocketAddr::new(from.ip().to_canonical(), from.port());
    let kind = MessageType::from_class_method(MessageClass::Success, BINDING);
    let mut answer = Message::builder(kind, message.transaction_id(), MessageWriteVec::new());
    answer.add_attribute(&XorMappedAddress::new(seen, message.transaction_id())).ok()?;
    answer.add_attribute(&Software::new("twinmesh").ok()?).ok()?;
    Some(answer.finish())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(class: MessageClass) -> Vec<u8> {
        let kind = MessageType::from_class_method(class, BINDING);
        Message::builder(kind, 7_u128.into(), MessageWriteVec::new()).finish()
    }

    #[test]
    fn a_binding_request_is_answered_with_the_senders_address() {
        let from = "[::ffff:192.0.2.7]:4500".parse().unwrap();
        let answer = answer(&request(MessageClass::Request), from).unwrap();
        let message = Message::from_bytes(&answer).unwrap();
        assert_eq!(message.transaction_id(), 7_u128.into());
        let mapped = message.attribute::<XorMappedAddress>().unwrap();
        assert_eq!(mapped.addr(message.transaction_id()), "192.0.2.7:4500".parse().unwrap());
    }

    #[test]
    fn responses_and_indications_are_not_answered() {
        for class in [MessageClass::Success, MessageClass::Error, MessageClass::Indication] {
            assert_eq!(answer(&request(class), "192.0.2.7:4500".parse().unwrap()), None);
        }
    }

    proptest! {
        #[test]
        fn any_datagram_is_answered_or_ignored(mut bytes: Vec<u8>, tail: Vec<u8>) {
            let from = "192.0.2.7:4500".parse().unwrap();
            let _ = answer(&bytes, from);
            let mut damaged = request(MessageClass::Request);
            damaged.append(&mut bytes);
            damaged.extend(tail);
            let _ = answer(&damaged, from);
        }
    }
}
