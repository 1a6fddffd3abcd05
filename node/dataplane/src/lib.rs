//! The data plane: packets between one TUN device and one UDP port.
//!
//! ```text
//!            worker 0 … n (threads of their own, each runs a batch to its end)
//!   TUN queue ─► policies ─► ESP tunnel ─► cut, seal ─► sendmmsg ─► UDP socket (SO_REUSEPORT)
//!             └► routes ─► peer ─► its engine: WireGuard session or ESP tunnel ─► cut, seal ─┘
//!   TUN queue ◄─ join ◄─ source check ◄─ open ◄─ classify ◄─ recvmmsg ◄─ UDP socket
//!   (the same by way of raw sockets, where ESP tunnels go without UDP; worker 0 receives there)
//!                   ▲ snapshot (arc-swap)
//!            control: peers set and removed by the agent, timers
//! ```
//!
//! Workers read peers and routes from a persistent [`arc_swap`] snapshot. The only lock on the way of a packet
//! is the one around its peer's session; it is held for a run of packets of that peer. Buffers are made once
//! per worker.
//!
//! [`Dataplane`] is the whole interface: [`Dataplane::start`], peers in by [`Dataplane::set_peer`], events out
//! by the callback, counters out by [`Dataplane::status`].

mod batch;
mod config;
mod control;
mod counters;
mod datagram;
mod dataplane;
mod engine;
mod engines;
mod error;
mod esp_config;
mod esp_inbound;
mod esp_outbound;
mod esp_table;
mod esp_tunnel;
mod event;
mod fit;
mod gate;
mod guard;
mod holder;
mod inbound;
mod joiner;
mod liveness;
mod outbound;
mod partial_sums;
mod path_mtu;
mod peer_slot;
mod probe;
mod probed;
mod raw;
mod relays;
mod routes;
mod send_batch;
mod status;
mod sys;
mod table;
mod tun;
mod turn;
mod udp;
mod watch;
mod worker;

pub use config::{Config, MAX_DEFAULT_WORKERS, Offload, PeerConfig, PeerPath};
pub use datagram::{DatagramKind, classify};
pub use dataplane::Dataplane;
pub use engine::Engine;
pub use error::{PeerError, StartError};
pub use esp_config::{Encapsulation, EspConfig, EspError, EspPath, EspStatus, SaStatus};
pub use event::Event;
pub use guard::{GuardAction, GuardConfig, GuardStatus};
pub use inbound::RelayedInbound;
pub use ipnet::IpNet;
pub use probe::ProbeAddresses;
pub use raw::can_open_raw_esp;
pub use relays::{RelayCarrier, RelayStream};
pub use status::{PartialChecksums, PeerState, PeerStatus, Status, Totals};
/// The words of SAs: suites, selectors, lifetimes.
pub use twinmesh_esp as esp;
pub use twinmesh_wireguard::{EndpointPolicy, KeyError, PresharedKey, PrivateKey, PublicKey};
