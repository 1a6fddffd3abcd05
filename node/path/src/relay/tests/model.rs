//! A relay as RFC 8656 says, slow and plain.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use stun_types::attribute::{ErrorCode, Nonce, Realm, Username, XorMappedAddress};
use stun_types::message::{
    BINDING, IntegrityAlgorithm, Message, MessageClass, MessageWrite as _, MessageWriteExt as _,
    MessageWriteVec,
};
use stun_types::prelude::AttributeWrite;
use turn_types::AddressFamily;
use turn_types::attribute::{
    ChannelNumber, Data, Lifetime, RequestedAddressFamily, XorPeerAddress, XorRelayedAddress,
};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, DATA, REFRESH};

use super::{Transport, credential};

const REALM: &str = "example.org";
type Client = (SocketAddr, Transport);

pub(super) struct Relay {
    address: SocketAddr,
    /// One way.
    pub(super) delay: Duration,
    /// Whether it lives.
    pub(super) serves: bool,
    /// With what each method is refused.
    pub(super) refuses: BTreeMap<u16, u16>,
    /// Whether an allocation is known by its own username alone.
    pub(super) insists: bool,
    pub(super) nonce: u32,
    pub(super) allocations: BTreeMap<Client, Allocation>,
    /// What was asked, and when.
    pub(super) asked: Vec<(u16, Instant)>,
    next_port: u16,
}

pub(super) struct Allocation {
    username: String,
    relayed: SocketAddr,
    pub(super) permissions: BTreeSet<IpAddr>,
    pub(super) channels: BTreeMap<u16, SocketAddr>,
}

impl Relay {
    pub(super) fn new(address: SocketAddr, millis: u64) -> Self {
        Self {
            address,
            delay: Duration::from_millis(millis),
            serves: true,
            refuses: BTreeMap::new(),
            insists: false,
            nonce: 1,
            allocations: BTreeMap::new(),
            asked: Vec::new(),
            next_port: 50_000,
        }
    }

    pub(super) fn only(&self) -> &Allocation {
        assert_eq!(self.allocations.len(), 1);
        self.allocations.values().next().unwrap()
    }

    pub(super) fn count(&self, method: u16) -> usize {
        self.asked.iter().filter(|(asked, _)| *asked == method).count()
    }

    /// A Data indication.
    pub(super) fn data(from: SocketAddr, payload: &[u8]) -> Vec<u8> {
        let mut message = Message::builder_indication(DATA, MessageWriteVec::new());
        let peer = XorPeerAddress::new(from, message.transaction_id());
        message.add_attribute(&peer).unwrap();
        message.add_attribute(&Data::new(payload)).unwrap();
        message.finish()
    }

    pub(super) fn answer(&mut self, client: Client, bytes: &[u8], now: Instant) -> Option<Vec<u8>> {
        let request = Message::from_bytes(bytes).unwrap();
        if !self.serves || request.class() != MessageClass::Request {
            return None;
        }
        self.asked.push((request.method().value(), now));
        let id = request.transaction_id();
        if request.has_method(BINDING) {
            return Some(success(&request, &[&XorMappedAddress::new(client.0, id)]).finish());
        }
        let Ok(username) = request.attribute::<Username>() else {
            return Some(self.challenge(&request, ErrorCode::UNAUTHORIZED));
        };
        let username = username.username();
        let nonce = request.attribute::<Nonce>().unwrap();
        if nonce.nonce() != self.nonce.to_string() {
            return Some(self.challenge(&request, ErrorCode::STALE_NONCE));
        }
        let key = credential(username).key(REALM);
        if request.validate_integrity_with_key(&key).is_err() {
            return Some(self.challenge(&request, ErrorCode::UNAUTHORIZED));
        }
        let mut answer = match self.grant(client, username, &request) {
            Ok(attributes) => {
                let attributes: Vec<_> = attributes.iter().map(|attribute| &**attribute).collect();
                success(&request, &attributes)
            }
            Err(code) => error(&request, code),
        };
        answer.add_message_integrity_with_key(&key, IntegrityAlgorithm::Sha1).unwrap();
        Some(answer.finish())
    }

    fn grant(
        &mut self,
        client: Client,
        username: &str,
        request: &Message<'_>,
    ) -> Result<Vec<Box<dyn AttributeWrite>>, u16> {
        let (id, method) = (request.transaction_id(), request.method());
        if let Some(code) = self.refuses.get(&method.value()) {
            return Err(*code);
        }
        if method == ALLOCATE {
            if self.allocations.contains_key(&client) {
                return Err(ErrorCode::ALLOCATION_MISMATCH);
            }
            let family = request.attribute::<RequestedAddressFamily>().ok();
            let ipv6 = family.is_some_and(|family| family.family() == AddressFamily::IPV6);
            if ipv6 != self.address.is_ipv6() {
                return Err(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED);
            }
            let relayed = SocketAddr::new(self.address.ip(), self.next_port);
            self.next_port += 1;
            let allocation = Allocation {
                username: username.to_owned(),
                relayed,
                permissions: BTreeSet::new(),
                channels: BTreeMap::new(),
            };
            self.allocations.insert(client, allocation);
            return Ok(vec![Box::new(XorRelayedAddress::new(relayed, id)), Box::new(Lifetime::new(600))]);
        }
        let insists = self.insists;
        let allocation = self.allocations.get_mut(&client).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        if insists && allocation.username != username {
            return Err(ErrorCode::WRONG_CREDENTIALS);
        }
        let peer = request.attribute::<XorPeerAddress>().ok().map(|peer| peer.addr(id));
        if method == REFRESH {
            let lifetime = request.attribute::<Lifetime>().map_or(600, |lifetime| lifetime.seconds());
            if lifetime == 0 {
                self.allocations.remove(&client);
            }
            return Ok(vec![Box::new(Lifetime::new(lifetime))]);
        }
        let peer = peer.ok_or(ErrorCode::BAD_REQUEST)?;
        assert_eq!(peer.is_ipv4(), allocation.relayed.is_ipv4(), "443 is the client's own fault");
        allocation.permissions.insert(peer.ip());
        if method == CHANNEL_BIND {
            let number = request.attribute::<ChannelNumber>().map_err(|_| ErrorCode::BAD_REQUEST)?.channel();
            let bound = *allocation.channels.entry(number).or_insert(peer);
            assert_eq!(bound, peer, "a number has one peer");
        } else {
            assert_eq!(method, CREATE_PERMISSION);
        }
        Ok(Vec::new())
    }

    fn challenge(&self, request: &Message<'_>, code: u16) -> Vec<u8> {
        let mut answer = error(request, code);
        answer.add_attribute(&Realm::new(REALM).unwrap()).unwrap();
        answer.add_attribute(&Nonce::new(&self.nonce.to_string()).unwrap()).unwrap();
        answer.finish()
    }
}

fn success(request: &Message<'_>, attributes: &[&dyn AttributeWrite]) -> MessageWriteVec {
    let mut answer = Message::builder_success(request, MessageWriteVec::new());
    for attribute in attributes {
        answer.add_attribute(*attribute).unwrap();
    }
    answer
}

fn error(request: &Message<'_>, code: u16) -> MessageWriteVec {
    let mut answer = Message::builder_error(request, MessageWriteVec::new());
    answer.add_attribute(&ErrorCode::builder(code).build().unwrap()).unwrap();
    answer
}
