//! What a node and the coordinator say to each other: messages, their frames, and the keys that
//! prove who speaks. No logic, no sockets.
//!
//! ```text
//!   node ── Hello | Enrol ──────────────►  coordinator
//!        ◄──────────── Welcome | Refused ──
//!        ◄──────────── Snapshot ───────────      the whole map once
//!        ── Ack { revision } ────────────►
//!        ── Report { endpoints, … } ─────►
//!        ◄──────────── Delta { from, to } ─      then only what changed
//!        ◄──────────── Relays ─────────────      again before their credentials end
//!        ◄──────────── Revoked ────────────
//! ```
//!
//! One bidirectional QUIC stream, opened by the node, carries frames: a length and a CBOR
//! `Envelope` with the message's kind and body. Unknown kinds and unknown fields are
//! ignored, so either side may be newer.

mod choice;
mod frame;
mod identifier;
mod key;
mod map;
mod message;
mod open_enum;
mod relay;
mod relay_tls;
mod tls;
mod token;
mod tunnel;

pub use choice::{FEATURE_AES, FEATURE_COMPLIANCE, FEATURE_ESP, Preference, Protocol, Reason, ReasonCode};
pub use frame::{
    FrameError, FrameReader, MAX_COORDINATOR_FRAME, MAX_GREETING_FRAME, MAX_NODE_FRAME, decode, encode,
};
pub use identifier::{Generation, NodeId, Revision};
pub use key::{Fingerprint, IdentityKey, IdentityKeyPair, KeyError, WireguardKey};
pub use map::{
    Applied, Endpoint, EndpointKind, MapDelta, MapError, Network, NetworkMap, OwnNode, Peer, PeerKind,
};
pub use message::{
    Ack, CoordinatorMessage, Enrol, Hello, Leave, Message, NatBehaviour, NatClass, NatFiltering, NatReport,
    NodeMessage, Refusal, RefusalCode, Report, Revoked, Welcome,
};
pub use relay::{RelayAccess, RelayPassword, RelayTransport, Relays};
pub use relay_tls::{relay_client_config, relay_fingerprint};
pub use tls::{PinnedCoordinator, TlsError, client_config, peer_identity, server_config};
pub use token::{JoinToken, TokenError, TokenSecret};
pub use tunnel::{FailedProtocol, FailureCode, PathKind, PathReport, TunnelReport};

/// Application protocol of the control channel (DESIGN §9).
pub const ALPN: &[u8] = b"twinmesh/1";

/// Version of the messages in this crate; said in [`Hello`] and [`Enrol`].
pub const PROTOCOL_VERSION: u16 = 1;

/// UDP port of the control channel when `HOST` is given without one.
pub const DEFAULT_CONTROL_PORT: u16 = 7443;

/// UDP port on which the coordinator answers STUN binding requests (RFC 8489).
pub const DEFAULT_STUN_PORT: u16 = 3478;
