//! By what each peer's address at a relay is reached.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::client::Client;
use super::{Carrier, Event, Transport};

/// Peers that the map does not list there yet, or no longer.
const MOST_HEARD: usize = 64;
/// Such a peer is answered for so long after it was heard.
const HEARD: Duration = Duration::from_mins(5);

/// Addresses of peers, and what was last told of each.
#[derive(Default)]
pub(super) struct Carriers {
    listed: BTreeSet<SocketAddr>,
    heard: BTreeMap<SocketAddr, Instant>,
    carried: BTreeMap<SocketAddr, Carrier>,
}

impl Carriers {
    pub(super) fn list(&mut self, peers: BTreeSet<SocketAddr>) {
        self.heard.retain(|peer, _| !peers.contains(peer));
        self.listed = peers;
    }

    /// Data came from that address: answers go there the same way. True if it is a new one.
    pub(super) fn hear(&mut self, peer: SocketAddr, now: Instant) -> bool {
        if self.listed.contains(&peer) {
            return false;
        }
        let is_new = self.heard.insert(peer, now).is_none();
        if self.heard.len() > MOST_HEARD {
            let oldest = self.heard.iter().min_by_key(|(_, at)| **at).map(|(peer, _)| *peer);
            oldest.and_then(|peer| self.heard.remove(&peer));
        }
        is_new
    }

    /// Forgets who was heard long ago and gets nothing. True if there was one.
    pub(super) fn expire(&mut self, in_use: &BTreeSet<SocketAddr>, now: Instant) -> bool {
        let before = self.heard.len();
        self.heard.retain(|peer, at| *at + HEARD > now || in_use.contains(peer));
        self.heard.len() != before
    }

    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        self.heard.values().map(|at| *at + HEARD).filter(|at| *at > now).min()
    }

    /// Where peers of the map are.
    pub(super) fn ips(&self) -> impl Iterator<Item = IpAddr> {
        self.listed.iter().map(SocketAddr::ip)
    }

    /// Brings all to the home relay as it is.
    pub(super) fn update(&mut self, home: Option<&Client>, events: &mut VecDeque<Event>) {
        let reached = self.listed.iter().chain(self.heard.keys());
        let wanted: BTreeMap<_, _> =
            reached.filter_map(|peer| Some((*peer, carrier(home?, *peer)?))).collect();
        for peer in self.carried.keys().filter(|peer| !wanted.contains_key(peer)) {
            events.push_back(Event::Forget { peer: *peer });
        }
        for (peer, carrier) in &wanted {
            if self.carried.get(peer) != Some(carrier) {
                events.push_back(Event::Carry { peer: *peer, carrier: *carrier });
            }
        }
        self.carried = wanted;
    }

    /// The same for one peer.
    pub(super) fn update_one(
        &mut self,
        peer: SocketAddr,
        home: Option<&Client>,
        events: &mut VecDeque<Event>,
    ) {
        let Some(carrier) = home.and_then(|home| carrier(home, peer)) else { return };
        if (self.listed.contains(&peer) || self.heard.contains_key(&peer))
            && self.carried.insert(peer, carrier) != Some(carrier)
        {
            events.push_back(Event::Carry { peer, carrier });
        }
    }
}

/// `None` where there is no way: the relay has an address of the other IP version, or it is this node's own.
fn carrier(home: &Client, peer: SocketAddr) -> Option<Carrier> {
    let relayed = home.relayed()?;
    if relayed == peer || relayed.is_ipv4() != peer.is_ipv4() {
        return None;
    }
    let server = home.server;
    Some(match (home.transport, home.channel(peer)) {
        (Transport::Tls, _) => Carrier::Stream { server },
        (Transport::Udp, Some(number)) => Carrier::Channel { server, number },
        (Transport::Udp, None) => Carrier::Indication { server },
    })
}
