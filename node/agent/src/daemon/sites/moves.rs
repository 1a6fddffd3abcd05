//! This machine's addresses change, and the sites' IKE SAs go along (RFC 4555).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use twinmesh_ike::Command;

use super::super::agent::Agent;
use super::Entry;
use crate::network::source_address;

impl Agent {
    /// Links, addresses or routes of this machine are others than before.
    pub(in crate::daemon) fn move_sites(&mut self, now: Instant) {
        let prepared = self.sites.entries.iter().filter(|(_, entry)| entry.prepared);
        let names: Vec<Arc<str>> = prepared.map(|(name, _)| name.clone()).collect();
        let mut commands = Vec::new();
        for name in names {
            // For IKE SAs to come.
            if let Err(reason) = self.prepare(&name) {
                tracing::debug!(site = &*name, reason, "a site is tried from its old address");
            }
            let Some(entry) = self.sites.entries.get(&name) else { continue };
            let Some(local) = entry.local_address() else { continue };
            let additional = entry.site.additional_addresses(local, &self.here.hosts);
            commands.push(Command::AddressesChanged { connection: name, local, additional });
        }
        for command in commands {
            self.command(command, now);
        }
    }
}

impl Entry {
    /// From which of this machine's addresses the peer is reached, wherever it is by now; `None` while no way leads
    /// there: the IKE SA waits for the next change.
    fn local_address(&self) -> Option<IpAddr> {
        let configured = self.site.remote.address().map(|remote| remote.ip());
        let standing = self.ike_sa.as_ref().map(|standing| standing.link.remote.ip());
        let local = self.site.local.or_else(|| source_address(standing.or(configured)?).ok())?;
        (!local.is_unspecified()).then_some(local)
    }
}
