//! twinmesh-dataplane

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

mod config;
mod error;
mod event;
mod status;

pub use config::{Config, MAX_DEFAULT_WORKERS, PeerConfig};
pub use error::{PeerError, StartError};
pub use event::Event;
pub use ipnet::IpNet;
pub use status::{PeerState, PeerStatus, Status, Totals};
pub use twinmesh_wireguard::{KeyError, PresharedKey, PrivateKey, PublicKey};

/// The running data plane.
pub struct Dataplane {}

#[expect(
    clippy::todo,
    clippy::unused_self,
    clippy::needless_pass_by_value,
    reason = "the interface lands before the workers"
)]
impl Dataplane {
    /// Makes the TUN device, opens the UDP port, starts the workers.
    pub fn start(config: Config, events: Arc<dyn Fn(Event) + Send + Sync>) -> Result<Self, StartError> {
        todo!("{} {}", config.tun_name, Arc::strong_count(&events))
    }

    /// The TUN device's name.
    pub fn tun_name(&self) -> &str {
        todo!()
    }

    /// The TUN device's interface index.
    pub fn tun_index(&self) -> u32 {
        todo!()
    }

    /// The UDP port in use.
    pub fn port(&self) -> u16 {
        todo!()
    }

    /// Adds a peer or makes an existing one be as given; a live session survives.
    pub fn set_peer(&self, peer: PeerConfig) -> Result<(), PeerError> {
        todo!("{}", peer.public_key)
    }

    /// Removes a peer: its traffic stops at once. False where there was none.
    pub fn remove_peer(&self, key: &PublicKey) -> bool {
        todo!("{key}")
    }

    /// Lets the peers see this node's new address.
    pub fn network_changed(&self) {
        todo!()
    }

    /// Sends a datagram that is not an engine's (STUN) from the shared port.
    pub fn send_datagram(&self, to: SocketAddr, datagram: &[u8]) -> io::Result<()> {
        todo!("{to} {}", datagram.len())
    }

    /// Counters and peers.
    pub fn status(&self) -> Status {
        todo!()
    }

    /// Ends the workers and waits for them.
    pub fn stop(self) {
        todo!()
    }
}
