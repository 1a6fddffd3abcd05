//! The server: what arrives, and where it goes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use stun_types::attribute::XorMappedAddress;
use stun_types::message::{
    BINDING, Message, MessageClass, MessageWrite as _, MessageWriteExt as _, MessageWriteVec,
};
use turn_types::message::SEND;
use twinmesh_control::NodeId;
use zeroize::Zeroizing;

use super::allocation::Allocation;
use super::client::ClientId;
use super::credential::RelaySecret;
use super::forward::{CHANNEL_HEADER, Flow, Source, send_indication};
use super::limits::{Bucket, Strangers};
use super::nonce::Nonces;
use super::peering::{Peering, Peers};

/// The realm (RFC 8489 §9.2) of every relay of a network.
pub const REALM: &str = "twinmesh";

/// How a relay serves.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// Where relayed ports are seen; at most one address of each family is used.
    pub addresses: Vec<IpAddr>,
    /// Bytes a second that one node may send, and as many that it may be sent.
    pub node_rate: u64,
    /// Allocations at one time: the bound of memory.
    pub most_allocations: usize,
    /// Allocations of one node at one time.
    pub most_allocations_of_node: usize,
}

/// What number a relayed port may have (EVEN-PORT, RFC 8656 §18.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parity {
    Any,
    Even,
}

/// Opens the relayed ports.
pub trait Ports {
    /// Opens a free UDP port at that address, an even one if `parity` says so; `None` if there is none.
    fn open(&mut self, address: IpAddr, parity: Parity) -> Option<SocketAddr>;
    /// Closes a port that was opened.
    fn close(&mut self, relayed: SocketAddr);
}

/// What to do with what came in.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    Nothing,
    /// The answer to a request.
    Answer {
        client: ClientId,
        bytes: Vec<u8>,
    },
    /// Data from the relay's own port, charged to a node: the one that sent it, or the one whose allocation it is.
    ToClient {
        node: NodeId,
        client: ClientId,
        /// Channel data lies in the buffer that came in.
        bytes: Cow<'a, [u8]>,
    },
    /// Data from a relayed port.
    ToPeer {
        relayed: SocketAddr,
        peer: SocketAddr,
        bytes: &'a [u8],
    },
}

/// What a relay has done since its start. Packets, unless it says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Allocations made.
    pub allocations: u64,
    /// Requests with a wrong, foreign or expired credential.
    pub unauthorized: u64,
    /// Requests of strangers that got no answer, because too many came.
    pub unanswered: u64,
    /// Permissions and channels for addresses that the credential does not open, and requests of nodes that are not
    /// in the network any more.
    pub forbidden: u64,
    /// Allocations refused because of a limit.
    pub over_quota: u64,
    pub forwarded: u64,
    /// Payload, in bytes.
    pub forwarded_bytes: u64,
    /// Found no room on the way to a client.
    pub congested: u64,
    /// Over the node's rate.
    pub over_rate: u64,
    /// For or from a peer without permission, and between nodes that are no peers.
    pub not_permitted: u64,
    /// Neither TURN nor of a client that is known.
    pub malformed: u64,
}

/// Of one node, over all its allocations.
pub(super) struct Usage {
    pub(super) allocations: usize,
    pub(super) sends: Bucket,
    pub(super) is_sent: Bucket,
}

/// A TURN server without sockets and clock.
pub struct Relay {
    pub(super) settings: RelaySettings,
    pub(super) secret: RelaySecret,
    pub(super) nonces: Nonces,
    pub(super) strangers: Strangers,
    pub(super) allocations: HashMap<ClientId, Allocation>,
    /// By the relayed port.
    pub(super) clients: HashMap<SocketAddr, ClientId>,
    pub(super) usages: HashMap<NodeId, Usage>,
    pub(super) peers: Peers,
    pub(super) counters: Counters,
    /// See [`Self::flow`].
    pub(super) latest: Option<(Source, Instant, Flow)>,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("allocations", &self.allocations.len()).finish_non_exhaustive()
    }
}

impl Relay {
    /// A relay without clients. `random` keys its nonces; without a `map` all who have a credential may talk.
    pub fn new(
        settings: RelaySettings,
        secret: RelaySecret,
        random: Zeroizing<[u8; 32]>,
        map: Option<Box<dyn Peering>>,
        now: Instant,
    ) -> Self {
        Self {
            settings,
            secret,
            nonces: Nonces::new(random),
            strangers: Strangers::new(now),
            allocations: HashMap::new(),
            clients: HashMap::new(),
            usages: HashMap::new(),
            peers: Peers::new(map, now),
            counters: Counters::default(),
            latest: None,
        }
    }

    /// What it has done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// How many allocations stand.
    pub fn len(&self) -> usize {
        self.allocations.len()
    }

    /// Whether no allocation stands.
    pub fn is_empty(&self) -> bool {
        self.allocations.is_empty()
    }

    /// A message came in at the relay's own port. `unix` is the time of credentials, in seconds since 1970.
    pub fn handle_client<'a>(
        &mut self,
        (now, unix): (Instant, i64),
        client: ClientId,
        datagram: &'a mut [u8],
        ports: &mut impl Ports,
    ) -> Outcome<'a> {
        // RFC 8656 §12: the two top bits tell channel data from STUN.
        if datagram.first().is_some_and(|byte| byte & 0xc0 == 0x40) {
            return self.channel_data(now, client, datagram);
        }
        let Ok(message) = Message::from_bytes(datagram) else {
            self.counters.malformed += 1;
            return Outcome::Nothing;
        };
        match message.class() {
            MessageClass::Request => {
                self.latest = None;
                let answer = if message.has_method(BINDING) {
                    self.binding(&message, client, now)
                } else {
                    self.request(&message, client, (now, unix), ports)
                };
                answer.map_or(Outcome::Nothing, |bytes| Outcome::Answer { client, bytes })
            }
            MessageClass::Indication if message.has_method(SEND) => {
                let Some((peer, start, length)) = send_indication(&message) else {
                    self.counters.malformed += 1;
                    return Outcome::Nothing;
                };
                self.indicated(now, (client, peer), datagram, start, length)
            }
            MessageClass::Indication | MessageClass::Success | MessageClass::Error => {
                self.counters.malformed += 1;
                Outcome::Nothing
            }
        }
    }

    /// Whether a client has an allocation.
    pub fn serves(&self, client: ClientId) -> bool {
        self.allocations.contains_key(&client)
    }

    /// A client's connection has ended, and its allocation with it (RFC 8656 §3.1).
    pub fn disconnected(&mut self, client: ClientId, ports: &mut impl Ports) {
        self.remove(client, ports);
    }

    /// A datagram of `peer` came in at a relayed port. It lies in `buffer` behind [`Self::HEADROOM`] bytes.
    pub fn handle_peer<'a>(
        &mut self,
        now: Instant,
        relayed: SocketAddr,
        peer: SocketAddr,
        buffer: &'a mut [u8],
    ) -> Outcome<'a> {
        let length = buffer.len().saturating_sub(CHANNEL_HEADER);
        match self.flow(Source::Peer { relayed, peer }, now) {
            Some(flow) => self.pass(flow, now, buffer, CHANNEL_HEADER, length),
            None => Outcome::Nothing,
        }
    }

    /// Room before what a peer sent, for the header of channel data.
    pub const HEADROOM: usize = CHANNEL_HEADER;

    /// Ends what has run out, and what nodes have that are not in the network any more; to be called about once a
    /// second.
    pub fn expire(&mut self, now: Instant, ports: &mut impl Ports) {
        let over = self.allocations.iter().filter(|(_, allocation)| {
            allocation.expires <= now || !self.peers.has(allocation.credential.node)
        });
        let over: Vec<ClientId> = over.map(|(client, _)| *client).collect();
        for client in over {
            self.remove(client, ports);
        }
    }

    pub(super) fn insert(&mut self, client: ClientId, allocation: Allocation, now: Instant) {
        let rate = self.settings.node_rate;
        let usage = self.usages.entry(allocation.credential.node).or_insert_with(|| {
            let full = Bucket::of_bytes(rate, now);
            Usage { allocations: 0, sends: full.clone(), is_sent: full }
        });
        usage.allocations += 1;
        self.clients.insert(allocation.relayed, client);
        self.allocations.insert(client, allocation);
        self.counters.allocations += 1;
    }

    pub(super) fn remove(&mut self, client: ClientId, ports: &mut impl Ports) {
        self.latest = None;
        let Some(allocation) = self.allocations.remove(&client) else { return };
        self.clients.remove(&allocation.relayed);
        ports.close(allocation.relayed);
        let node = allocation.credential.node;
        if let Some(usage) = self.usages.get_mut(&node) {
            usage.allocations -= 1;
            if usage.allocations == 0 {
                self.usages.remove(&node);
            }
        }
    }

    /// STUN (RFC 8489 §3): clients keep their NAT's mapping alive with it.
    fn binding(&mut self, request: &Message<'_>, client: ClientId, now: Instant) -> Option<Vec<u8>> {
        if !self.allocations.contains_key(&client) && !self.strangers.may_hear(client.address().ip(), now) {
            self.counters.unanswered += 1;
            return None;
        }
        let mut answer = Message::builder_success(request, MessageWriteVec::new());
        answer.add_attribute(&XorMappedAddress::new(client.address(), request.transaction_id())).ok()?;
        answer.add_fingerprint().ok()?;
        Some(answer.finish())
    }
}
