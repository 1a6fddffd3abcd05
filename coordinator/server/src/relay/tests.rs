//! Clients of two nodes and a stranger against a relay, in memory.

#![expect(clippy::unwrap_in_result, reason = "a failed step of a test is a panic; a refusal is an answer")]

mod data;
mod floods;
mod peers;
mod refusals;

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stun_types::attribute::{ErrorCode, Nonce, Realm, Username};
use stun_types::message::{
    IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials, Message, MessageWrite as _,
    MessageWriteExt as _, MessageWriteVec, Method,
};
use stun_types::prelude::AttributeWrite;
use turn_types::attribute::{ChannelNumber, Lifetime, RequestedTransport, XorPeerAddress, XorRelayedAddress};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH};
use twinmesh_control::NodeId;
use zeroize::Zeroizing;

use super::*;

const UNIX: i64 = 1_767_268_800;
const RELAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn secret() -> RelaySecret {
    RelaySecret::new(Zeroizing::new("a secret of the network".to_owned())).unwrap()
}

/// Ports 50000, 50001, …
#[derive(Default)]
struct Counted {
    next: u16,
    open: Vec<SocketAddr>,
}

impl Ports for Counted {
    fn open(&mut self, address: IpAddr, parity: Parity) -> Option<SocketAddr> {
        if parity == Parity::Even {
            self.next = self.next.next_multiple_of(2);
        }
        let relayed = SocketAddr::new(address, 50_000 + self.next);
        self.next += 1;
        self.open.push(relayed);
        Some(relayed)
    }

    fn close(&mut self, relayed: SocketAddr) {
        self.open.retain(|open| *open != relayed);
    }
}

struct World {
    relay: Relay,
    ports: Counted,
    start: Instant,
    now: Instant,
}

/// An answer's error code, or its attributes' bytes.
type Answer = Result<Vec<u8>, u16>;

impl World {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut RelaySettings)) -> Self {
        let mut settings = RelaySettings {
            addresses: vec![RELAY, "2001:db8::1".parse().unwrap()],
            node_rate: 1_000_000,
            most_allocations: 8,
            most_allocations_of_node: 2,
        };
        change(&mut settings);
        let start = Instant::now();
        let relay = Relay::new(settings, secret(), Zeroizing::new([7; 32]), None, start);
        Self { relay, ports: Counted::default(), start, now: start }
    }

    fn unix(&self) -> i64 {
        UNIX + i64::try_from(self.now.duration_since(self.start).as_secs()).unwrap()
    }

    fn pass(&mut self, duration: Duration) {
        self.now += duration;
        self.relay.expire(self.now, &mut self.ports);
    }

    /// What the relay does with a client's datagram: where something goes from where, and what.
    fn sends(
        &mut self,
        client: SocketAddr,
        datagram: &[u8],
    ) -> Option<(Option<SocketAddr>, SocketAddr, Vec<u8>)> {
        let mut datagram = datagram.to_vec();
        let now = (self.now, self.unix());
        owned(&self.relay.handle_client(
            now,
            ClientId::Udp { address: client, local: None },
            &mut datagram,
            &mut self.ports,
        ))
    }

    /// The same for a peer's datagram at a relayed port.
    fn arrives(
        &mut self,
        relayed: SocketAddr,
        peer: SocketAddr,
        payload: &[u8],
    ) -> Option<(SocketAddr, Vec<u8>)> {
        let mut buffer = [&[0; Relay::HEADROOM], payload].concat();
        let outcome = self.relay.handle_peer(self.now, relayed, peer, &mut buffer);
        owned(&outcome).map(|(_, to, bytes)| (to, bytes))
    }

    fn answer(&mut self, client: SocketAddr, request: &[u8]) -> Option<Answer> {
        let (from, to, bytes) = self.sends(client, request)?;
        assert_eq!((from, to), (None, client));
        let message = Message::from_bytes(&bytes).unwrap();
        let id = Message::from_bytes(request).unwrap().transaction_id();
        assert_eq!(message.transaction_id(), id);
        Some(message.attribute::<ErrorCode>().map_or(Ok(bytes.clone()), |error| Err(error.code())))
    }
}

fn owned(outcome: &Outcome<'_>) -> Option<(Option<SocketAddr>, SocketAddr, Vec<u8>)> {
    match outcome {
        Outcome::Nothing => None,
        Outcome::Answer { client, bytes } => Some((None, client.address(), bytes.clone())),
        Outcome::ToClient { client, bytes, .. } => Some((None, client.address(), bytes.to_vec())),
        Outcome::ToPeer { relayed, peer, bytes } => Some((Some(*relayed), *peer, bytes.to_vec())),
    }
}

/// A client with a credential and a nonce.
#[derive(Clone)]
struct Client {
    address: SocketAddr,
    username: String,
    key: IntegrityKey,
    nonce: String,
}

impl Client {
    fn new(world: &mut World, address: &str, node: u64, places: &[&str]) -> Self {
        let places = places.iter().map(|place| place.parse().unwrap()).collect();
        let credential = Credential { until: world.unix() + 7200, node: NodeId(node), places };
        let username = credential.username();
        let password = secret().password(&username);
        Self::proving(world, address, &username, &password)
    }

    fn proving(world: &mut World, address: &str, username: &str, password: &str) -> Self {
        let address = socket(address);
        let first = Message::builder_request(ALLOCATE, MessageWriteVec::new()).finish();
        let (_, _, challenge) = world.sends(address, &first).unwrap();
        let challenge = Message::from_bytes(&challenge).unwrap();
        assert_eq!(challenge.attribute::<ErrorCode>().unwrap().code(), 401);
        assert_eq!(challenge.attribute::<Realm>().unwrap().realm(), REALM);
        let nonce = challenge.attribute::<Nonce>().unwrap().nonce().to_owned();
        let credentials =
            LongTermKeyCredentials::new(username.to_owned(), password.to_owned(), REALM.to_owned());
        let key = credentials.make_key(IntegrityAlgorithm::Sha1);
        Self { address, username: username.to_owned(), key, nonce }
    }

    fn request(&self, method: Method, attributes: &[&dyn AttributeWrite]) -> Vec<u8> {
        self.seal(Message::builder_request(method, MessageWriteVec::new()), attributes)
    }

    fn seal(&self, mut message: MessageWriteVec, attributes: &[&dyn AttributeWrite]) -> Vec<u8> {
        for attribute in attributes {
            message.add_attribute(*attribute).unwrap();
        }
        message.add_attribute(&Username::new(&self.username).unwrap()).unwrap();
        message.add_attribute(&Realm::new(REALM).unwrap()).unwrap();
        message.add_attribute(&Nonce::new(&self.nonce).unwrap()).unwrap();
        message.add_message_integrity_with_key(&self.key, IntegrityAlgorithm::Sha1).unwrap();
        message.finish()
    }

    fn try_allocate(&self, world: &mut World) -> Result<SocketAddr, u16> {
        let request = self.request(ALLOCATE, &[&RequestedTransport::new(RequestedTransport::UDP)]);
        let answer = world.answer(self.address, &request).unwrap()?;
        let message = Message::from_bytes(&answer).unwrap();
        message.validate_integrity_with_key(&self.key).unwrap();
        Ok(message.attribute::<XorRelayedAddress>().unwrap().addr(message.transaction_id()))
    }

    fn allocate(&self, world: &mut World) -> SocketAddr {
        self.try_allocate(world).unwrap()
    }

    fn permit(&self, world: &mut World, peer: &str) -> Result<(), u16> {
        let message = Message::builder_request(CREATE_PERMISSION, MessageWriteVec::new());
        let peer = XorPeerAddress::new(socket(peer), message.transaction_id());
        world.answer(self.address, &self.seal(message, &[&peer])).unwrap().map(drop)
    }

    fn bind(&self, world: &mut World, channel: u16, peer: SocketAddr) -> Result<(), u16> {
        let message = Message::builder_request(CHANNEL_BIND, MessageWriteVec::new());
        let peer = XorPeerAddress::new(peer, message.transaction_id());
        let request = self.seal(message, &[&ChannelNumber::new(channel), &peer]);
        world.answer(self.address, &request).unwrap().map(drop)
    }

    /// The lifetime that is granted.
    fn refresh(&self, world: &mut World, seconds: u32) -> Result<u32, u16> {
        let request = self.request(REFRESH, &[&Lifetime::new(seconds)]);
        let answer = world.answer(self.address, &request).unwrap()?;
        Ok(Message::from_bytes(&answer).unwrap().attribute::<Lifetime>().unwrap().seconds())
    }
}

fn channel_data(channel: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    [&channel.to_be_bytes(), &length.to_be_bytes(), payload].concat()
}
