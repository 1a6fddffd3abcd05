//! The messages of the control channel, one struct each.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::map::{Endpoint, MapDelta, NetworkMap};
use crate::open_enum::open_enum;
use crate::relay::Relays;
use crate::{NodeId, Preference, Revision, TokenSecret, TunnelReport, WireguardKey};

/// A message that can be framed: its kind on the wire and its body.
///
/// Implemented for [`NodeMessage`] and [`CoordinatorMessage`] only.
pub trait Message: Sized {
    /// Largest frame of this direction, in bytes.
    const MAX_FRAME: usize;

    /// Kind and CBOR body.
    fn to_parts(&self) -> (&str, Vec<u8>);

    /// The message of that kind; a kind of the future becomes `Unknown`.
    ///
    /// # Errors
    /// What is wrong with the body, as text for a log.
    fn from_parts(kind: &str, body: &[u8]) -> Result<Self, String>;
}

macro_rules! messages {
    ($(#[$meta:meta])* $name:ident, max $max:expr, { $($variant:ident($body:ty) = $kind:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $($variant($body),)+
            /// A kind that this version does not know; to be ignored.
            Unknown(String),
        }

        $(impl From<$body> for $name {
            fn from(body: $body) -> Self {
                Self::$variant(body)
            }
        })+

        impl Message for $name {
            const MAX_FRAME: usize = $max;

            fn to_parts(&self) -> (&str, Vec<u8>) {
                match self {
                    $(Self::$variant(body) => ($kind, crate::frame::to_cbor(body)),)+
                    Self::Unknown(kind) => (kind, Vec::new()),
                }
            }

            fn from_parts(kind: &str, body: &[u8]) -> Result<Self, String> {
                match kind {
                    $($kind => crate::frame::from_cbor(body).map(Self::$variant),)+
                    _ => Ok(Self::Unknown(kind.to_owned())),
                }
            }
        }
    };
}

messages! {
    /// What a node says.
    NodeMessage, max crate::MAX_NODE_FRAME, {
        Hello(Hello) = "hello",
        Enrol(Enrol) = "enrol",
        Report(Report) = "report",
        Ack(Ack) = "ack",
        Leave(Leave) = "leave",
    }
}

messages! {
    /// What the coordinator says.
    CoordinatorMessage, max crate::MAX_COORDINATOR_FRAME, {
        Welcome(Welcome) = "welcome",
        Refused(Refusal) = "refused",
        Snapshot(NetworkMap) = "snapshot",
        Delta(MapDelta) = "delta",
        Revoked(Revoked) = "revoked",
        Relays(Relays) = "relays",
    }
}

/// First message of a node that is enrolled; its TLS key says who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`crate::PROTOCOL_VERSION`] of the sender.
    pub protocol: u16,
    /// The program's version, for people.
    pub version: String,
    #[serde(default)]
    pub features: BTreeSet<String>,
    #[serde(default)]
    pub preference: Preference,
    /// The node's present WireGuard key; a new one replaces the old.
    pub wireguard_key: WireguardKey,
    /// Revision of the map on the node's disk; none asks for a snapshot.
    #[serde(default)]
    pub revision: Option<Revision>,
}

/// First message of a node that wants to join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrol {
    pub protocol: u16,
    pub version: String,
    #[serde(default)]
    pub features: BTreeSet<String>,
    #[serde(default)]
    pub preference: Preference,
    pub token: TokenSecret,
    /// Wished host name, one DNS label; the coordinator may give another if it is taken.
    pub hostname: String,
    pub wireguard_key: WireguardKey,
}

/// What a node sees of itself and its tunnels; sent when it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Where the node's data port may be reached; replaces what was reported before.
    pub endpoints: Vec<Endpoint>,
    #[serde(default)]
    pub tunnels: Vec<TunnelReport>,
    #[serde(default)]
    pub nat: NatReport,
}

/// What stands between a node and the Internet; `None`: not known, or not reachable by that IP version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatReport {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<NatBehaviour>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<NatBehaviour>,
}

/// What the node measured (RFC 5780), in the words of RFC 4787.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatBehaviour {
    pub class: NatClass,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filtering: Option<NatFiltering>,
    /// Whether nodes behind the same NAT reach each other by their outer endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hairpin: Option<bool>,
}

open_enum! {
    /// What decides the outer endpoint of an inner one.
    NatClass {
        /// Nothing is translated.
        None = "none",
        EndpointIndependent = "endpoint-independent",
        /// Not the remote port; whether the remote address does, the servers could not tell.
        PortIndependent = "port-independent",
        AddressDependent = "address-dependent",
        AddressAndPortDependent = "address-and-port-dependent",
        /// No server answers.
        UdpBlocked = "udp-blocked",
    }
}

open_enum! {
    /// Whom the NAT or firewall lets in.
    NatFiltering {
        EndpointIndependent = "endpoint-independent",
        /// Other ports of an address that was sent to; whether other addresses too, the servers could not tell.
        PortIndependent = "port-independent",
        AddressDependent = "address-dependent",
        AddressAndPortDependent = "address-and-port-dependent",
    }
}

/// The node has applied the map of that revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    pub revision: Revision,
}

/// The node leaves the network for good (`twinmesh logout`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leave {}

/// Answer to [`Hello`] and [`Enrol`]: the node is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    pub id: NodeId,
    /// The coordinator's version, for people.
    pub version: String,
    #[serde(default)]
    pub features: BTreeSet<String>,
    /// UDP port at the coordinator's address that answers STUN.
    #[serde(default)]
    pub stun_port: Option<u16>,
    /// Another one, from which it answers when asked to (RFC 5780).
    #[serde(default)]
    pub stun_other_port: Option<u16>,
}

open_enum! {
    /// Why a node is not let in.
    RefusalCode {
        TokenUnknown = "token-unknown",
        TokenExpired = "token-expired",
        TokenUsed = "token-used",
        TokenRevoked = "token-revoked",
        /// The identity key belongs to no node: it was removed, or never joined.
        NodeUnknown = "node-unknown",
        /// The identity or WireGuard key already belongs to another node.
        KeyTaken = "key-taken",
        HostnameInvalid = "hostname-invalid",
        AddressesExhausted = "addresses-exhausted",
        ProtocolUnsupported = "protocol-unsupported",
        /// The first message was neither Hello nor Enrol, or came too late.
        ProtocolViolation = "protocol-violation",
        /// The store could not answer; try again later.
        Unavailable = "unavailable",
    }
}

/// Answer to [`Hello`] and [`Enrol`]: not let in, and why, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub code: RefusalCode,
    pub message: String,
}

/// The node was removed from the network: it must stop carrying traffic at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    pub reason: String,
}
