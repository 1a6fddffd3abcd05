//! What the tunnels with a peer carry.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use twinmesh_control::NodeId;
use twinmesh_dataplane::EspStatus;

use super::{Agent, Nodes};
use crate::api::PeerActivity;

/// Inner packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::daemon) struct Traffic {
    pub(in crate::daemon) rx_packets: u64,
    pub(in crate::daemon) rx_bytes: u64,
    pub(in crate::daemon) tx_packets: u64,
    pub(in crate::daemon) tx_bytes: u64,
}

/// The tunnel with a peer in ESP, for `status` and for the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::daemon) struct NodeTunnel {
    pub(in crate::daemon) peer: NodeId,
    pub(in crate::daemon) state: PeerActivity,
    pub(in crate::daemon) endpoint: Option<SocketAddr>,
    /// Since the keys in use were agreed on.
    pub(in crate::daemon) handshake: Option<Duration>,
    pub(in crate::daemon) traffic: Traffic,
    pub(in crate::daemon) problem: Option<String>,
}

impl Traffic {
    fn of(status: &EspStatus) -> Self {
        let (inbound, outbound) = (&status.inbound.counters, &status.outbound.counters);
        Self {
            rx_packets: inbound.packets,
            rx_bytes: inbound.bytes,
            tx_packets: outbound.packets,
            tx_bytes: outbound.bytes,
        }
    }

    fn add(&mut self, other: Self) {
        self.rx_packets += other.rx_packets;
        self.rx_bytes += other.rx_bytes;
        self.tx_packets += other.tx_packets;
        self.tx_bytes += other.tx_bytes;
    }
}

/// The connection that a tunnel belongs to.
pub(super) fn connection_of(tunnel: &str) -> &str {
    tunnel.split('/').next().unwrap_or(tunnel)
}

impl Nodes {
    /// A tunnel goes; what it carried still counts.
    pub(in crate::daemon::sites) fn settle(&mut self, tunnel: &EspStatus) {
        if let Some(node) = self.named_mut(connection_of(&tunnel.name)) {
            node.past.add(Traffic::of(tunnel));
        }
    }
}

impl Agent {
    /// The tunnels with all peers in ESP, by id.
    pub(in crate::daemon) fn node_tunnels(&self, now: Instant) -> Vec<NodeTunnel> {
        let nodes = &self.sites.nodes;
        if nodes.is_empty() {
            return Vec::new();
        }
        let mut tunnels: Vec<NodeTunnel> = nodes
            .peers
            .values()
            .map(|node| NodeTunnel {
                peer: node.wanted.id,
                state: PeerActivity::Connecting,
                endpoint: node.standing.as_ref().map(|standing| standing.link.remote),
                handshake: node
                    .standing
                    .as_ref()
                    .map(|standing| now.saturating_duration_since(standing.since)),
                traffic: node.past,
                problem: node.last_error.clone(),
            })
            .collect();
        let statuses = self.plane.as_ref().map(|plane| plane.dataplane.esp_status()).unwrap_or_default();
        for status in &statuses {
            let Some(id) = nodes.names.get(connection_of(&status.name)) else { continue };
            let Ok(at) = tunnels.binary_search_by_key(id, |tunnel| tunnel.peer) else { continue };
            let Some(tunnel) = tunnels.get_mut(at) else { continue };
            tunnel.traffic.add(Traffic::of(status));
            if !status.retired {
                tunnel.state = PeerActivity::Active;
                tunnel.endpoint = Some(status.path.remote);
                // Of two that both send, during a rekey, the younger.
                tunnel.handshake =
                    Some(tunnel.handshake.map_or(status.outbound.age, |age| age.min(status.outbound.age)));
            }
        }
        tunnels
    }
}
