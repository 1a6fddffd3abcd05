//! The agent's calls about where peers are reached.

use std::net::SocketAddr;

use twinmesh_wireguard::PublicKey;

use super::Dataplane;
use crate::config::PeerPath;
use crate::inbound::RelayedInbound;
use crate::relays::RelayCarrier;

impl Dataplane {
    /// Sends to a managed peer this way from now on, whatever engine is in use, and wherever it is heard from. False
    /// where there is no such peer.
    pub fn set_path(&self, key: &PublicKey, path: PeerPath) -> bool {
        self.control.set_path(key, Some(path))
    }

    /// No path to a managed peer is known: until there is one, its datagrams go to wherever it was heard from last, and
    /// packets call for a path ([`crate::Event::Needed`]). False where there is no such peer.
    pub fn clear_path(&self, key: &PublicKey) -> bool {
        self.control.set_path(key, None)
    }

    /// Carries whatever goes to `address`, which is at a relay, this way from now on: from engines,
    /// [`Self::send_datagram`] and all else. A channel is received on as well, until [`Self::remove_relayed`], even if
    /// another carrier takes its place.
    pub fn set_relayed(&self, address: SocketAddr, carrier: RelayCarrier) {
        self.control.set_relayed(address, carrier);
    }

    /// The address is no relayed one any more. False where it was none.
    pub fn remove_relayed(&self, address: SocketAddr) -> bool {
        self.control.remove_relayed(address)
    }

    /// Handles a datagram that the agent has unpacked, of a Data indication or a stream, exactly as if it had come in on
    /// the shared port from `from`, a relayed address; does not wait for that.
    pub fn take_relayed(&self, from: SocketAddr, datagram: &[u8]) {
        self.shared.relayed.take(from, datagram);
    }

    /// What [`Self::take_relayed`] does, for a task of its own.
    pub fn relayed_inbound(&self) -> RelayedInbound {
        self.shared.relayed.clone()
    }
}
