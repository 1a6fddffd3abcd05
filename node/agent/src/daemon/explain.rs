//! The answer to `explain`: one peer, what carries its traffic, and why.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use twinmesh_control::{PathKind, Peer};
use twinmesh_dataplane::PublicKey;

use super::agent::Agent;
use super::paths::reported_as;
use super::tunnels::{endpoint_problem, usable_endpoints};
use crate::api::{Answer, Candidate, Explanation, PeerActivity, PeerStatus};

impl Agent {
    pub(super) fn explain(&self, wanted: &str) -> Answer {
        match self.explanation(wanted) {
            Ok(explanation) => Answer::ok(&explanation),
            Err(error) => Answer::Error(error),
        }
    }

    fn explanation(&self, wanted: &str) -> Result<Explanation, String> {
        let (peer, address) = self.find_peer(wanted)?;
        let status = self.peer_status(peer);
        let candidates = self.candidates(peer, status.endpoint);
        let meaning = Facts { peer, status: &status, candidates: &candidates }.sentences();
        Ok(Explanation {
            address,
            tags: peer.tags.clone(),
            compliance: peer.compliance,
            nat: self.netcheck.nat.clone(),
            peer_nat: peer.nat.clone(),
            generation: peer.generation,
            history: self.history.of(peer.id),
            candidates,
            meaning,
            peer: status,
        })
    }

    /// The peer of that host name or inner address, and the address to use. Else what is wrong, in words for the user.
    pub(super) fn find_peer(&self, wanted: &str) -> Result<(&Peer, IpAddr), String> {
        let map = self.stored.map.as_ref().filter(|_| self.plane.is_some());
        let map = map.ok_or_else(|| "the tunnels are not up: see `twinmesh status`".to_owned())?;
        let own = || format!("{wanted} is this node itself");
        let unknown = || format!("no peer is called {wanted}: `twinmesh status` lists them");
        if let Ok(address) = wanted.parse::<IpAddr>() {
            if map.own.addresses.contains(&address) {
                return Err(own());
            }
            let owners = map.peers.values().filter_map(|peer| Some((prefix_of(peer, address)?, peer)));
            let owner = owners.max_by_key(|(prefix, _)| *prefix);
            return owner.map(|(_, peer)| (peer, address)).ok_or_else(|| {
                format!("no peer has the address {address}: `twinmesh routes` lists what they have")
            });
        }
        if map.own.name.eq_ignore_ascii_case(wanted) {
            return Err(own());
        }
        let peer = map.peer_by_name(wanted).ok_or_else(unknown)?;
        let address = peer.addresses.first().ok_or_else(|| format!("{wanted} has no overlay address"))?;
        Ok((peer, *address))
    }

    /// What is reported of the peer, those that are tried first in front, and where it was heard.
    fn candidates(&self, peer: &Peer, used: Option<SocketAddr>) -> Vec<Candidate> {
        let Some(map) = &self.stored.map else { return Vec::new() };
        let candidate = |address: SocketAddr, problem: Option<&str>| Candidate {
            address,
            kind: reported_as(peer, address),
            used: used == Some(address),
            problem: problem.map(str::to_owned),
            check: self.check_of(peer, address),
        };
        let usable = usable_endpoints(peer, map, &self.here);
        let heard = used.filter(|used| !usable.contains(used));
        let reported = usable.iter().map(|address| candidate(*address, None));
        let unusable = peer.endpoints.iter().filter_map(|endpoint| {
            let problem = endpoint_problem(endpoint.address, map, &self.here)?;
            (used != Some(endpoint.address)).then(|| candidate(endpoint.address, Some(problem)))
        });
        heard.map(|address| candidate(address, None)).into_iter().chain(reported).chain(unusable).collect()
    }

    /// Notes something of the peer with that key.
    pub(super) fn happened(&mut self, key: &PublicKey, text: String) {
        if let Some(peer) = self.plane.as_ref().and_then(|plane| plane.tunnels.owner(key)) {
            self.history.note(peer, text);
        }
    }
}

/// The length of the peer's longest prefix with that address in it.
fn prefix_of(peer: &Peer, address: IpAddr) -> Option<u8> {
    let holds = |prefix: &&IpNet| prefix.contains(&address);
    peer.allowed_ips.iter().filter(holds).map(IpNet::prefix_len).max()
}

/// What the sentences are made from.
struct Facts<'a> {
    peer: &'a Peer,
    status: &'a PeerStatus,
    candidates: &'a [Candidate],
}

impl Facts<'_> {
    fn sentences(&self) -> Vec<String> {
        let mut sentences = vec![self.protocol()];
        if self.status.protocol != "none" {
            sentences.push(self.tunnel());
        }
        sentences.extend(self.path());
        sentences
    }

    fn protocol(&self) -> String {
        let carrier = protocol_name(&self.status.protocol);
        let reasons: Vec<&str> = self.status.reasons.iter().map(|reason| reason.text.as_str()).collect();
        let why = if reasons.is_empty() {
            "the coordinator gives no reason".to_owned()
        } else {
            reasons.join(" and ")
        };
        match self.status.protocol.as_str() {
            "none" => format!(
                "Nothing carries the traffic: {why}. What is sent to {} goes nowhere, and nothing in the clear.",
                self.peer.name
            ),
            _ => format!("{carrier} carries the traffic: {why}."),
        }
    }

    fn tunnel(&self) -> String {
        let name = &self.peer.name;
        let problem = self.status.problem.as_ref().map(|problem| format!(" Last failure: {problem}."));
        let state = match self.status.state {
            PeerActivity::Active => "The tunnel stands.".to_owned(),
            PeerActivity::Idle => {
                "No tunnel stands, and none is asked for: the next packet begins one.".to_owned()
            }
            PeerActivity::Connecting if self.tried().next().is_none() => {
                format!(
                    "No tunnel stands: {name} has reported no address that could be tried, so it must come first."
                )
            }
            PeerActivity::Connecting => {
                format!(
                    "No tunnel stands yet: {name} is tried at {} places, and none has answered.",
                    self.tried().count()
                )
            }
        };
        state + problem.as_deref().unwrap_or_default()
    }

    fn tried(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates.iter().filter(|candidate| candidate.problem.is_none())
    }

    fn path(&self) -> Option<String> {
        let path = self.status.path.as_ref()?;
        let (name, address) = (&self.peer.name, path.remote);
        let what = match &path.kind {
            _ if path.relayed => {
                let why: Vec<&str> = path.why_relayed.iter().map(|reason| reason.text.as_str()).collect();
                let why = if why.is_empty() { String::new() } else { format!(" Why: {}.", why.join("; ")) };
                return Some(format!(
                    "The path goes by relay: {address} is where {name} has itself relayed.{why}"
                ));
            }
            PathKind::Host => "an address of its own".to_owned(),
            PathKind::Reflexive => "the outer address of its NAT".to_owned(),
            PathKind::Mapped => "the outer address that its router gave it".to_owned(),
            PathKind::Configured => "an address that a person wrote down".to_owned(),
            PathKind::PeerReflexive => "an address that it has not reported: it was heard there".to_owned(),
            kind @ (PathKind::Relayed | PathKind::Other(_)) => format!("an address of the kind {kind}"),
        };
        Some(format!("The path is direct, to {address}, {what}."))
    }
}

/// As people write it.
pub(super) fn protocol_name(protocol: &str) -> &str {
    match protocol {
        "wireguard" => "WireGuard",
        "esp" => "ESP",
        other => other,
    }
}
