//! The answers to `status` and `routes`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant, UNIX_EPOCH};

use ipnet::IpNet;
use twinmesh_control::{Peer, Protocol};
use twinmesh_dataplane::{MAX_DEFAULT_WORKERS, Offload, PeerState, PeerStatus as TunnelStatus, PublicKey};

use super::agent::Agent;
use super::change;
use super::plane::MTU;
use super::sites::{NodeTunnel, Traffic};
use super::tunnels::{in_esp, in_wireguard};
use crate::api::{
    CoordinatorStatus, NetworkStatus, PartialChecksums, PeerActivity, PeerStatus, RouteStatus, State, Status,
    TunStatus,
};
use crate::network::KernelState;
use crate::state::Wanted;

impl Agent {
    pub(super) fn status(&self) -> Status {
        let map = self.stored.map.as_ref();
        let plane = self.plane.as_ref();
        let counters = plane.map(|plane| plane.dataplane.status());
        let offload = counters.as_ref().map_or(Offload::NONE, |counters| counters.offload);
        let calls = counters.as_ref().map_or_else(Vec::new, |counters| counters.calls.clone());
        let (datagrams, drops, adjusted, tunnels) = match counters {
            Some(counters) => (counters.datagrams, counters.drops, counters.adjusted, by_key(counters.peers)),
            None => Default::default(),
        };
        let nodes = self.node_tunnels(Instant::now());
        let named = |counts: Vec<(&'static str, u64)>| {
            counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
        };
        Status {
            state: self.state(),
            problem: self.problem(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: map.map(|map| map.own.name.clone()).or_else(|| self.stored.config.hostname.clone()),
            id: map.map(|map| map.own.id),
            addresses: map.map(|map| map.own.addresses.clone()).unwrap_or_default(),
            network: map.map(|map| NetworkStatus {
                name: map.network.name.clone(),
                ipv4: map.network.ipv4,
                ipv6: map.network.ipv6,
            }),
            coordinator: self.coordinator_status(),
            revision: map.map(|map| map.revision),
            tun: plane.map(|plane| TunStatus { name: plane.dataplane.tun_name().to_owned(), mtu: MTU }),
            port: plane.map(|plane| plane.dataplane.port()),
            endpoints: self.endpoints(),
            preference: self.stored.config.preference.clone(),
            behind_nat: self.here.behind_nat,
            relay: self.relay_status(),
            peers: map.map_or_else(Vec::new, |map| {
                map.peers.values().map(|peer| self.peer_status_of(peer, &tunnels, &nodes)).collect()
            }),
            datagrams: named(datagrams),
            drops: named(drops.into_iter().chain(self.traces.drops()).chain(self.paths.drops()).collect()),
            adjusted: named(adjusted),
            calls: named(calls),
            workers: self.workers(),
            offload: offload_names(offload),
            memory_kib: resident_kib(),
            pid: std::process::id(),
        }
    }

    pub(super) fn routes(&self) -> Vec<RouteStatus> {
        let (Some(map), Some(plane)) = (&self.stored.map, &self.plane) else { return Vec::new() };
        let tunnels = by_key(plane.dataplane.status().peers);
        let nodes = self.node_tunnels(Instant::now());
        let kernel = plane.interface.routes();
        map.peers
            .values()
            .flat_map(|peer| {
                let carrier = carrier_of(&tunnels, &nodes, peer, self.changes.sending(peer.id));
                peer.allowed_ips.iter().map(move |destination| RouteStatus {
                    destination: *destination,
                    peer: peer.name.clone(),
                    id: peer.id,
                    state: carrier.activity(),
                    endpoint: carrier.endpoint(),
                    problem: kernel_problem(kernel, destination),
                })
            })
            .collect()
    }

    /// One peer alone.
    pub(super) fn peer_status(&self, peer: &Peer) -> PeerStatus {
        let key = PublicKey(peer.wireguard_key.0);
        let tunnel = self.plane.as_ref().and_then(|plane| plane.dataplane.peer_status(&key));
        let tunnels = tunnel.into_iter().map(|tunnel| (key, tunnel)).collect();
        self.peer_status_of(peer, &tunnels, &self.node_tunnels(Instant::now()))
    }

    fn peer_status_of(&self, peer: &Peer, tunnels: &Tunnels, nodes: &[NodeTunnel]) -> PeerStatus {
        let status = peer_status(peer, carrier_of(tunnels, nodes, peer, self.changes.sending(peer.id)));
        let tunnel = tunnels.get(&PublicKey(peer.wireguard_key.0));
        let chosen = tunnel.and_then(|tunnel| tunnel.path);
        let endpoint = chosen.map(|path| path.remote).or(status.endpoint);
        PeerStatus {
            problem: self.changes.problem(peer.id).or(status.problem),
            path: endpoint.map(|endpoint| self.path_status(peer, endpoint, chosen)),
            endpoint,
            mtu: tunnel.map(|tunnel| tunnel.mtu),
            partial_checksums: tunnel
                .map(|tunnel| partial_checksums(tunnel.partial_checksums))
                .unwrap_or_default(),
            ..status
        }
    }

    fn state(&self) -> State {
        let config = &self.stored.config;
        if config.removed.is_some() {
            State::Removed
        } else if config.coordinator.is_none() {
            State::NeedsLogin
        } else if self.plane.is_some() && self.stored.map.is_some() {
            State::Running
        } else {
            State::Stopped
        }
    }

    fn problem(&self) -> Option<String> {
        let config = &self.stored.config;
        let state = match &config.removed {
            Some(reason) => Some(format!(
                "removed from the network ({reason}): join again with `twinmesh up --coordinator … --token …`"
            )),
            None if config.coordinator.is_some()
                && config.wanted == Wanted::Up
                && self.stored.map.is_none() =>
            {
                Some("waiting for the coordinator's network map".to_owned())
            }
            None => None,
        };
        let refused = self.plane.iter().flat_map(|plane| plane.interface.problems());
        let problems: Vec<String> = [self.stored.notice.clone(), self.plane_problem.clone(), state]
            .into_iter()
            .flatten()
            .chain(refused)
            .collect();
        (!problems.is_empty()).then(|| problems.join("; "))
    }

    fn coordinator_status(&self) -> Option<CoordinatorStatus> {
        let coordinator = self.coordinator.as_ref().or(self.stored.config.coordinator.as_ref())?;
        let since = self.link.since.and_then(|since| since.duration_since(UNIX_EPOCH).ok());
        Some(CoordinatorStatus {
            address: coordinator.address.to_string(),
            connected: self.link.connected,
            since: since.map(|since| since.as_secs()),
            last_error: self.link.last_error.clone(),
        })
    }

    fn workers(&self) -> usize {
        match self.settings.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from).min(MAX_DEFAULT_WORKERS),
            given => given,
        }
    }
}

fn offload_names(offload: Offload) -> Vec<String> {
    let names = [("tcp", offload.tcp), ("udp", offload.udp), ("port", offload.port)];
    names.into_iter().filter(|(_, is_on)| *is_on).map(|(name, _)| name.to_owned()).collect()
}

type Tunnels = HashMap<PublicKey, TunnelStatus>;

fn by_key(tunnels: Vec<TunnelStatus>) -> Tunnels {
    tunnels.into_iter().map(|tunnel| (tunnel.public_key, tunnel)).collect()
}

/// What carries a peer's traffic.
#[derive(Clone, Copy)]
enum Carrier<'a> {
    Wireguard(Option<&'a TunnelStatus>),
    Esp(&'a NodeTunnel),
    /// No protocol is allowed.
    Nothing,
}

/// `sending`: of an agent, what its traffic goes by.
fn carrier_of<'a>(
    tunnels: &'a Tunnels,
    nodes: &'a [NodeTunnel],
    peer: &Peer,
    sending: Option<change::Carrier>,
) -> Carrier<'a> {
    let nodes = if sending == Some(change::Carrier::WireGuard) { &[] } else { nodes };
    match nodes.binary_search_by_key(&peer.id, |node| node.peer).ok().and_then(|at| nodes.get(at)) {
        Some(node) => Carrier::Esp(node),
        None if in_esp(peer).is_none() && !in_wireguard(peer) => Carrier::Nothing,
        None => Carrier::Wireguard(tunnels.get(&PublicKey(peer.wireguard_key.0))),
    }
}

impl Carrier<'_> {
    fn activity(self) -> PeerActivity {
        match self {
            Self::Wireguard(tunnel) => activity(tunnel),
            Self::Esp(node) => node.state,
            Self::Nothing => PeerActivity::Idle,
        }
    }

    fn endpoint(self) -> Option<SocketAddr> {
        match self {
            Self::Wireguard(tunnel) => tunnel.and_then(|tunnel| tunnel.endpoint),
            Self::Esp(node) => node.endpoint,
            Self::Nothing => None,
        }
    }

    fn handshake(self) -> Option<Duration> {
        match self {
            Self::Wireguard(tunnel) => tunnel.and_then(|tunnel| tunnel.last_handshake),
            Self::Esp(node) => node.handshake,
            Self::Nothing => None,
        }
    }

    fn traffic(self) -> Traffic {
        match self {
            Self::Wireguard(tunnel) => tunnel.map_or_else(Traffic::default, |tunnel| Traffic {
                rx_packets: tunnel.rx_packets,
                rx_bytes: tunnel.rx_bytes,
                tx_packets: tunnel.tx_packets,
                tx_bytes: tunnel.tx_bytes,
            }),
            Self::Esp(node) => node.traffic,
            Self::Nothing => Traffic::default(),
        }
    }
}

fn peer_status(peer: &Peer, carrier: Carrier<'_>) -> PeerStatus {
    let traffic = carrier.traffic();
    let (protocol, problem) = match carrier {
        Carrier::Wireguard(_) => (Protocol::Wireguard, None),
        Carrier::Esp(node) => (Protocol::Esp, node.problem.clone()),
        Carrier::Nothing => (Protocol::None, None),
    };
    PeerStatus {
        id: peer.id,
        name: peer.name.clone(),
        kind: peer.kind.clone(),
        addresses: peer.addresses.clone(),
        allowed_ips: peer.allowed_ips.clone(),
        protocol: protocol.to_string(),
        reasons: peer.reasons.clone(),
        problem,
        endpoint: carrier.endpoint(),
        path: None,
        mtu: None,
        partial_checksums: PartialChecksums::default(),
        state: carrier.activity(),
        last_handshake_age_s: carrier.handshake().map(|age| age.as_secs()),
        rx_bytes: traffic.rx_bytes,
        tx_bytes: traffic.tx_bytes,
        rx_packets: traffic.rx_packets,
        tx_packets: traffic.tx_packets,
    }
}

fn partial_checksums(agreed: twinmesh_dataplane::PartialChecksums) -> PartialChecksums {
    let twinmesh_dataplane::PartialChecksums { sent, taken } = agreed;
    PartialChecksums { sent, taken }
}

fn activity(tunnel: Option<&TunnelStatus>) -> PeerActivity {
    match tunnel.map(|tunnel| tunnel.state) {
        Some(PeerState::Up) => PeerActivity::Active,
        Some(PeerState::Connecting) => PeerActivity::Connecting,
        _ => PeerActivity::Idle,
    }
}

/// Why the kernel does not send that destination to the TUN device: no route of ours covers it.
pub(super) fn kernel_problem(
    kernel: &std::collections::BTreeMap<IpNet, KernelState>,
    destination: &IpNet,
) -> Option<String> {
    let covering = |wanted: &KernelState| {
        kernel.iter().any(|(route, state)| state == wanted && route.contains(destination))
    };
    if covering(&KernelState::Installed) {
        return None;
    }
    let refused =
        kernel.iter().filter(|(route, _)| route.contains(destination)).find_map(|(_, state)| match state {
            KernelState::Refused(reason) => Some(reason.clone()),
            KernelState::Installed => None,
        });
    Some(
        refused.unwrap_or_else(|| {
            "no route is set for it: it would take all traffic of this machine".to_owned()
        }),
    )
}

/// Resident set of this process.
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
