//! What the node tells its coordinator of itself.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use twinmesh_control::{NetworkMap, NodeId, PathReport, Peer, Protocol, Report, TunnelReport};
use twinmesh_dataplane::{PeerStatus, PublicKey};

use super::agent::Agent;
use super::change::{Carrier, EngineChanges};
use super::sites::NodeTunnel;

/// Counters of tunnels that carry traffic are reported so often.
pub(super) const COUNTERS_INTERVAL: Duration = Duration::from_mins(1);
/// A report must fit in a frame of 256 KiB; a tunnel takes some 100 bytes.
const MOST_TUNNELS: usize = 1_000;

impl Agent {
    pub(super) fn report(&self) -> Report {
        let Some(plane) = &self.plane else { return Report::default() };
        let tunnels = match &self.stored.map {
            Some(map) => {
                let now = Instant::now();
                let peers = plane.dataplane.status().peers;
                let paths = self.path_reports(map, &peers);
                let mut tunnels = tunnels(map, &self.changes, peers, self.node_tunnels(now), now);
                for tunnel in &mut tunnels {
                    tunnel.path = paths.get(&tunnel.peer).cloned();
                }
                tunnels
            }
            None => Vec::new(),
        };
        Report { endpoints: self.endpoints(), tunnels, nat: self.netcheck.nat.clone() }
    }

    fn path_reports(&self, map: &NetworkMap, peers: &[PeerStatus]) -> HashMap<NodeId, PathReport> {
        let chosen: HashMap<PublicKey, _> =
            peers.iter().filter_map(|peer| Some((peer.public_key, peer.path?))).collect();
        let report = |peer: &Peer| {
            let path = chosen.get(&PublicKey(peer.wireguard_key.0))?;
            Some((peer.id, self.path_report(peer, *path)))
        };
        map.peers.values().filter_map(report).collect()
    }

    pub(super) fn count_if_due(&mut self, now: Instant) {
        let Some(plane) = self.plane.as_ref().filter(|_| self.counters_due <= now) else { return };
        self.counters_due = now + COUNTERS_INTERVAL;
        let totals = plane.dataplane.totals();
        let counted = totals.rx_packets + totals.tx_packets;
        if std::mem::replace(&mut self.counted, counted) != counted {
            self.tunnels_changed();
        }
    }
}

/// The tunnels that have a session and carry a peer's traffic, and those of which something has failed; of very many,
/// those with the newest sessions.
fn tunnels(
    map: &NetworkMap,
    changes: &EngineChanges,
    peers: Vec<PeerStatus>,
    nodes: Vec<NodeTunnel>,
    now: Instant,
) -> Vec<TunnelReport> {
    let ids: HashMap<PublicKey, _> =
        map.peers.values().map(|peer| (PublicKey(peer.wireguard_key.0), peer.id)).collect();
    let of_map = |id| map.peers.get(&id).map(|peer| peer.generation);
    let generation = |id| changes.generation(id).or_else(|| of_map(id)).unwrap_or_default();
    let in_esp = |id| changes.sending(id) == Some(Carrier::Esp);
    let mut tunnels: Vec<TunnelReport> = peers
        .into_iter()
        .filter_map(|peer| {
            let id = *ids.get(&peer.public_key)?;
            (!in_esp(id)).then(|| TunnelReport {
                peer: id,
                protocol: Protocol::Wireguard,
                generation: generation(id),
                endpoint: peer.endpoint,
                path: None,
                failed: changes.failed(id, now),
                handshake_age: peer.last_handshake.map(|age| age.as_secs()),
                received: peer.rx_bytes,
                sent: peer.tx_bytes,
            })
        })
        .collect();
    tunnels.extend(nodes.into_iter().filter(|node| in_esp(node.peer)).map(|node| TunnelReport {
        peer: node.peer,
        protocol: Protocol::Esp,
        generation: generation(node.peer),
        endpoint: node.endpoint,
        path: None,
        failed: changes.failed(node.peer, now),
        handshake_age: node.handshake.map(|age| age.as_secs()),
        received: node.traffic.rx_bytes,
        sent: node.traffic.tx_bytes,
    }));
    tunnels.retain(|tunnel| tunnel.handshake_age.is_some() || !tunnel.failed.is_empty());
    tunnels.sort_by_key(|tunnel| tunnel.handshake_age);
    tunnels.truncate(MOST_TUNNELS);
    tunnels
}
