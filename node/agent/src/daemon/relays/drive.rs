//! What comes in about relays, and what follows from it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

use twinmesh_control::{NodeId, Relays as Granted};
use twinmesh_dataplane::RelayCarrier;
use twinmesh_path::relay::{Carrier, Event, Home, Received, Transmit, Transport};

use super::super::agent::Agent;
use super::grants::usable;
use super::{StreamEvent, StreamNews};
use crate::api::{RelayHome, RelayStatus};
use crate::control::MapChange;

impl Agent {
    /// The coordinator has said which relays this node may use.
    pub(in crate::daemon) fn relays_granted(&mut self, granted: &Granted, now: Instant) {
        let usable: Vec<_> = granted.relays.iter().filter_map(usable).collect();
        tracing::debug!(said = granted.relays.len(), usable = usable.len(), "relays of the coordinator");
        self.relays.fingerprints = usable.iter().filter_map(|(_, fingerprint)| *fingerprint).collect();
        self.relays.granted = usable.into_iter().map(|(relay, _)| relay).collect();
        self.begin_relays(now);
    }

    /// The data plane runs, or relays are others.
    pub(in crate::daemon) fn begin_relays(&mut self, now: Instant) {
        if self.plane.is_some() {
            self.relays.client.set_servers(self.relays.granted.iter().cloned(), now);
        }
    }

    /// The data plane is about to end: nothing is left at relays.
    pub(in crate::daemon) fn end_relays(&mut self, now: Instant) {
        self.relays.client.close(now);
        self.drive_relays(now);
        self.relays.problem = None;
        self.relays.streams.clear();
    }

    /// These were another network's.
    pub(in crate::daemon) fn forget_relays(&mut self, now: Instant) {
        self.relays.granted.clear();
        self.relays.fingerprints.clear();
        self.begin_relays(now);
    }

    pub(in crate::daemon) fn sync_relays(&mut self, change: &MapChange, now: Instant) {
        self.relays.sync(self.stored.map.as_ref(), change, &self.here, now);
    }

    /// A STUN message came in on the shared port. True if it was for a relay's client.
    pub(in crate::daemon) fn handle_relay_stun(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
    ) -> bool {
        let Some(plane) = &self.plane else { return false };
        match self.relays.client.handle_datagram(from, datagram, now) {
            Received::Foreign => false,
            Received::Taken => true,
            Received::Data { from, payload } => {
                plane.dataplane.take_relayed(from, payload);
                true
            }
        }
    }

    pub(in crate::daemon) fn handle_relay_stream(&mut self, event: StreamEvent, now: Instant) {
        let StreamEvent { server, number, news } = event;
        if self.relays.streams.get(&server).is_none_or(|stream| stream.number != number) {
            return;
        }
        match news {
            StreamNews::Connected => self.relays.client.handle_connected(server, now),
            StreamNews::Message(message) => {
                let received = self.relays.client.handle_message(server, &message, now);
                if let (Received::Data { from, payload }, Some(plane)) = (received, &self.plane) {
                    plane.dataplane.take_relayed(from, payload);
                }
            }
            StreamNews::Closed(reason) => {
                tracing::debug!(%server, reason, "the connection to a relay ended");
                self.relays.streams.remove(&server);
                self.relays.client.handle_disconnected(server, now);
            }
        }
    }

    /// Addresses or routes of this machine changed.
    pub(in crate::daemon) fn relays_see_new_network(&mut self, now: Instant) {
        self.relays.client.network_changed(now);
    }

    /// A relay that answers carries this node's packets.
    pub(in crate::daemon) fn has_relay(&self) -> bool {
        self.relays.client.home().is_some_and(|home| home.answers)
    }

    /// Where peers reach this node by its relay.
    pub(in crate::daemon) fn relayed_address(&self) -> Option<SocketAddr> {
        self.relays.client.home().map(|home| home.relayed)
    }

    pub(in crate::daemon) fn relay_status(&self) -> Option<RelayStatus> {
        if self.relays.granted.is_empty() {
            return None;
        }
        let home = self.relays.client.home().map(|home| RelayHome {
            server: home.server,
            transport: home.transport.as_str().to_owned(),
            relayed: home.relayed,
            rtt_us: home.round_trip.map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
            answers: home.answers,
        });
        Some(RelayStatus { home, problem: self.relays.problem.clone() })
    }

    /// Does what the relays' client wants.
    pub(in crate::daemon) fn drive_relays(&mut self, now: Instant) {
        self.relays.client.handle_timeout(now);
        // While it is silent, those that went by it count.
        if self.has_relay() {
            let in_use = self.paths.relayed_in_use().map(|(_, address)| address).collect();
            self.relays.client.set_in_use(in_use, now);
        }
        loop {
            while let Some(transmit) = self.relays.client.poll_transmit() {
                self.send_to_relay(transmit);
            }
            let Some(event) = self.relays.client.poll_event() else { return };
            self.obey_relays(&event, now);
        }
    }

    fn send_to_relay(&mut self, Transmit { server, transport, message }: Transmit) {
        match transport {
            Transport::Tls => {
                if let Some(stream) = self.relays.streams.get(&server) {
                    stream.send(message);
                }
            }
            Transport::Udp => {
                let Some(plane) = &self.plane else { return };
                if let Err(error) = plane.dataplane.send_datagram(None, server, &message) {
                    tracing::debug!(%server, %error, "a message to a relay was not sent");
                }
            }
        }
    }

    fn obey_relays(&mut self, event: &Event, now: Instant) {
        match *event {
            Event::Home(home) => self.relay_changed(home, now),
            Event::Carry { peer, carrier } => self.carry(peer, carrier),
            Event::Forget { peer } => {
                self.relays.known.remove(peer);
                if let Some(plane) = &self.plane {
                    plane.dataplane.remove_relayed(peer);
                }
            }
            Event::Connect { server } => {
                if let Some(plane) = &self.plane {
                    self.relays.open_stream(server, plane.dataplane.relayed_inbound());
                }
            }
            Event::Disconnect { server } => drop(self.relays.streams.remove(&server)),
            Event::Trouble { server, trouble } => {
                tracing::warn!(%server, %trouble, "a relay is in trouble");
                self.relays.problem = Some(format!("the relay at {server}: {trouble}"));
            }
        }
    }

    fn carry(&mut self, peer: SocketAddr, carrier: Carrier) {
        let Some(plane) = &self.plane else { return };
        let carrier = match carrier {
            Carrier::Indication { server } => RelayCarrier::Indication { server },
            Carrier::Channel { server, number } => RelayCarrier::Channel { server, number },
            Carrier::Stream { server } => match self.relays.streams.get(&server) {
                Some(stream) => RelayCarrier::Stream(stream.carrier()),
                None => return,
            },
        };
        self.relays.known.insert(peer);
        plane.dataplane.set_relayed(peer, carrier);
    }

    fn relay_changed(&mut self, home: Option<Home>, now: Instant) {
        let mut relayed: BTreeSet<NodeId> = self.paths.relayed_in_use().map(|(id, _)| id).collect();
        self.sync_surroundings(now);
        relayed.extend(self.paths.relayed_in_use().map(|(id, _)| id));
        let text = match home {
            Some(Home { server, transport: Transport::Udp, answers: true, .. }) => {
                format!("the relay in use is {server}")
            }
            Some(Home { server, transport: Transport::Tls, answers: true, .. }) => {
                format!("the relay in use is {server}, by TLS: no UDP passes")
            }
            Some(Home { server, answers: false, .. }) => format!("the relay {server} does not answer"),
            None => "no relay is in use".to_owned(),
        };
        tracing::info!(?home, "{text}");
        if home.is_some_and(|home| home.answers) {
            self.relays.problem = None;
        }
        for peer in relayed {
            self.history.note(peer, text.clone());
        }
    }
}
