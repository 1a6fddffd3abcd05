//! Where this node can be reached: its own addresses, what STUN sees, and the router's port.

use std::time::Instant;

use ipnet::IpNet;
use twinmesh_control::Endpoint;

use super::agent::Agent;
use crate::control::MapChange;
use crate::network::{PortMapping, host_addresses, host_endpoints, read_host_addresses};

impl Agent {
    /// Reads this machine's addresses anew.
    pub(super) async fn look_around(&mut self) {
        let overlay: Vec<IpNet> = match &self.stored.map {
            Some(map) => vec![map.network.ipv4.into(), map.network.ipv6.into()],
            None => Vec::new(),
        };
        match read_host_addresses() {
            Ok(all) => {
                let hosts = host_addresses(&all, &self.settings.tun, &overlay);
                let before = std::mem::replace(&mut self.here.hosts, hosts);
                // Without a NAT others saw an own address; where it is gone, nobody sees it any more.
                self.stun.forget(|seen| before.contains(&seen) && !self.here.hosts.contains(&seen));
            }
            Err(error) => tracing::error!(%error, "cannot read the addresses of this machine"),
        }
        self.look_behind_nat().await;
    }

    /// A node behind a NAT keeps its tunnels alive, others need not.
    pub(super) async fn look_behind_nat(&mut self) {
        let behind_nat = self.stun.behind_nat(|address| self.here.hosts.contains(&address));
        if behind_nat != self.here.behind_nat {
            self.here.behind_nat = behind_nat;
            self.apply_map(&MapChange::Whole).await;
        }
    }

    pub(super) fn ask_stun(&mut self, now: Instant) {
        let Some(plane) = &self.plane else { return };
        while let Some(request) = self.stun.poll_request(now) {
            if let Err(error) = plane.dataplane.send_datagram(None, request.to, &request.datagram) {
                tracing::debug!(server = %request.to, %error, "a STUN request was not sent");
            }
        }
    }

    pub(super) fn look_for_new_endpoints(&mut self) {
        let endpoints = self.endpoints();
        if endpoints == self.known_endpoints {
            return;
        }
        tracing::info!(?endpoints, "others may reach this node here");
        self.known_endpoints = endpoints;
        if let Some(session) = self.session.as_mut() {
            session.endpoints_changed();
        }
    }

    /// Where others may reach the data port.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        match &self.plane {
            Some(_) => {
                let mapped = match &*self.mapper.found.borrow() {
                    PortMapping::Mapped { outer, .. } => Some(*outer),
                    PortMapping::Unknown | PortMapping::Refused(_) => None,
                };
                let relayed = self.relayed_address();
                let reflexive = self.stun.reflexive();
                host_endpoints(&self.here.hosts, self.here.port, &reflexive, mapped, relayed)
            }
            None => Vec::new(),
        }
    }
}
