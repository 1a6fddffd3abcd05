//! The network map: what one node may know of the others, and how it changes.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::open_enum::open_enum;
use crate::{Generation, IdentityKey, NatReport, NodeId, Protocol, Reason, Revision, WireguardKey};

open_enum! {
    /// How an endpoint was learnt.
    EndpointKind {
        /// An address of the node's own interface.
        Host = "host",
        /// The address that a STUN server saw.
        Reflexive = "reflexive",
        /// What a router forwards on the node's request (PCP, NAT-PMP, UPnP).
        Mapped = "mapped",
        /// Written down by a person.
        Configured = "configured",
        /// The node's relayed transport address at a relay (RFC 8656); for whoever has one there too.
        Relayed = "relayed",
    }
}

/// A place where a node's UDP port may be reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    pub address: SocketAddr,
    pub kind: EndpointKind,
}

open_enum! {
    /// What stands at the other end of an edge.
    PeerKind {
        /// A node that runs the agent.
        Agent = "agent",
        /// A device that is only a WireGuard key and its allowed IPs (a phone, a router).
        Unmanaged = "unmanaged",
    }
}

/// A peer as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    pub id: NodeId,
    /// Host name, unique in the network; one DNS label.
    pub name: String,
    pub kind: PeerKind,
    pub wireguard_key: WireguardKey,
    /// What the peer proves itself with in IKE; none of a peer that never speaks to the coordinator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentityKey>,
    /// What carries the traffic between this node and the peer.
    #[serde(default)]
    pub protocol: Protocol,
    /// Whether only algorithms that FIPS approves may protect it.
    #[serde(default)]
    pub compliance: bool,
    /// Why that protocol.
    #[serde(default)]
    pub reasons: Vec<Reason>,
    /// Of the choice that `protocol`, `compliance` and `reasons` tell; the peer is told the same one.
    #[serde(default)]
    pub generation: Generation,
    /// Overlay addresses, IPv4 first.
    pub addresses: Vec<IpAddr>,
    /// Inner sources and destinations that belong to the peer; its addresses are among them.
    pub allowed_ips: Vec<IpNet>,
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// What stands between the peer and the Internet, as it last said; for explanations.
    #[serde(default)]
    pub nat: NatReport,
    #[serde(default)]
    pub tags: Vec<String>,
}

/// What a node is told about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnNode {
    pub id: NodeId,
    pub name: String,
    /// Overlay addresses, IPv4 first.
    pub addresses: Vec<IpAddr>,
    #[serde(default)]
    pub tags: Vec<String>,
}

/// The overlay's prefixes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    pub name: String,
    pub ipv4: Ipv4Net,
    pub ipv6: Ipv6Net,
}

/// All that one node may know at one revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkMap {
    pub revision: Revision,
    pub network: Network,
    pub own: OwnNode,
    pub peers: BTreeMap<NodeId, Peer>,
}

/// What changed for one node after `from`, up to and including `to`.
///
/// It holds the state at `to` of everything that changed in between, so it may be applied to any
/// map of a revision in `from..=to`, and again, without harm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapDelta {
    pub from: Revision,
    pub to: Revision,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<OwnNode>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<Peer>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<NodeId>,
}

/// Whether a delta brought anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The map is now at the delta's `to`.
    Changed,
    /// The map was already at that revision or newer; nothing was done.
    Stale,
}

/// A delta that does not fit the map.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    #[error("the delta starts at revision {from}, the map is at {have}: a snapshot is needed")]
    Gap { have: Revision, from: Revision },
    #[error("the delta runs backwards, from revision {from} to {to}")]
    Backwards { from: Revision, to: Revision },
}

impl NetworkMap {
    /// Brings the map to the delta's revision; an error leaves it as it was.
    pub fn apply(&mut self, delta: MapDelta) -> Result<Applied, MapError> {
        let MapDelta { from, to, own, changed, removed } = delta;
        if to < from {
            return Err(MapError::Backwards { from, to });
        }
        if self.revision < from {
            return Err(MapError::Gap { have: self.revision, from });
        }
        if to <= self.revision {
            return Ok(Applied::Stale);
        }
        if let Some(own) = own {
            self.own = own;
        }
        for id in removed {
            self.peers.remove(&id);
        }
        for peer in changed {
            self.peers.insert(peer.id, peer);
        }
        self.revision = to;
        Ok(Applied::Changed)
    }

    /// The peer of that host name, without regard to case.
    pub fn peer_by_name(&self, name: &str) -> Option<&Peer> {
        self.peers.values().find(|peer| peer.name.eq_ignore_ascii_case(name))
    }
}
