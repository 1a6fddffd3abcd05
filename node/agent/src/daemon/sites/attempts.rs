//! When this node begins: at once, after a loss or failure, or because of a packet.

use std::sync::Arc;
use std::time::Instant;

use twinmesh_dataplane::esp::{Flow, Ports};
use twinmesh_ike::Command;
use twinmesh_ike::config::{Remote, TrafficSelector};

use super::super::agent::Agent;
use super::guards::child_of;

impl Agent {
    /// Readies the engine for a site, and begins if that is this node's part.
    pub(super) fn attempt(&mut self, name: &Arc<str>, now: Instant) {
        let Some(entry) = self.sites.entries.get(name).filter(|entry| !entry.stored.down) else { return };
        let begins = entry.begins();
        let starting = |child: &&crate::site::SiteChild| child.starts() || entry.after_loss.is_some();
        let first = entry.site.children.iter().find(starting).map(|child| Arc::from(child.name()));
        let whole = entry.site.children.iter().all(|child| starting(&child));
        if !self.prepare_or_later(name, now) || !begins {
            return;
        }
        let connection = name.clone();
        match first {
            // The others follow once the IKE SA stands.
            Some(child) if !whole => {
                self.begin(Command::CreateChild { connection, child, trigger: None }, now);
            }
            _ => self.begin(Command::Initiate { connection }, now),
        }
    }

    fn prepare_or_later(&mut self, name: &Arc<str>, now: Instant) -> bool {
        match self.prepare(name) {
            Ok(_) => true,
            Err(reason) => {
                tracing::debug!(site = &**name, reason, "a site cannot be reached now");
                if let Some(entry) = self.sites.entries.get_mut(name) {
                    entry.last_error = Some(reason);
                    entry.retry.later(now);
                }
                false
            }
        }
    }

    /// A command that sets up an IKE SA where there is none.
    pub(super) fn begin(&mut self, command: Command, now: Instant) {
        let (Command::Initiate { connection } | Command::CreateChild { connection, .. }) = &command else {
            return;
        };
        if let Some(entry) = self.sites.entries.get_mut(connection) {
            entry.connecting |= entry.ike_sa.is_none();
        }
        self.sites.reguard = true;
        self.command(command, now);
    }

    /// A packet waits for a child (`start = "trap"`). Where there is a child already, its peer has narrowed it, and this
    /// asks for another one; where an attempt is under way, the engine adds it to that.
    pub(in crate::daemon) fn site_wanted(&mut self, guard: &str, flow: &Flow, now: Instant) {
        let Some((name, child)) = child_of(guard) else { return };
        let Some((name, entry)) = self.sites.entries.get_key_value(name) else { return };
        let calls = entry.site.child(child).is_some_and(|child| entry.calls(child));
        if !calls || entry.retry.waits() || entry.child_retry.waits() {
            return;
        }
        let (connection, child): (Arc<str>, Arc<str>) = (name.clone(), child.into());
        tracing::info!(site = &*connection, child = &*child, ?flow, "traffic asks for a child SA");
        if entry.ike_sa.is_some() || entry.connecting || self.prepare_or_later(&connection, now) {
            let trigger = Some(trigger(flow));
            self.begin(Command::CreateChild { connection, child, trigger }, now);
        }
    }

    /// The IKE SA stands: what starts but was not asked for with it.
    pub(super) fn create_missing(&mut self, name: &Arc<str>, now: Instant) {
        let Some(entry) = self.sites.entries.get(name) else { return };
        let starting = entry.site.children.iter().filter(|child| child.starts());
        let missing: Vec<Arc<str>> = starting.map(|child| child.name().into()).collect();
        for child in missing {
            // Of what there is the engine asks for nothing.
            self.command(Command::CreateChild { connection: name.clone(), child, trigger: None }, now);
        }
    }

    pub(super) fn retry_sites(&mut self, now: Instant) {
        if self.plane.is_none() {
            return;
        }
        let (mut again, mut missing) = (Vec::new(), Vec::new());
        for (name, entry) in &mut self.sites.entries {
            if entry.retry.is_due(now) {
                self.sites.reguard = true;
                if entry.ike_sa.is_none() && (entry.begins() || !entry.prepared) {
                    again.push(name.clone());
                }
            }
            if entry.child_retry.is_due(now) {
                self.sites.reguard = true;
                // The other side sees to those of an IKE SA that it has begun.
                if entry.ike_sa.as_ref().is_some_and(|standing| standing.link.initiator) {
                    missing.push(name.clone());
                }
            }
        }
        for name in again {
            self.attempt(&name, now);
        }
        for name in missing {
            self.create_missing(&name, now);
        }
    }

    /// Links, addresses or routes have changed: what was out of reach may be within.
    pub(in crate::daemon) fn retry_unreached_sites(&mut self, now: Instant) {
        for entry in self.sites.entries.values_mut() {
            let unreached = !entry.prepared && matches!(entry.site.remote, Remote::At(_));
            if unreached && entry.retry.due.is_some() {
                entry.retry.due = Some(now);
            }
        }
    }
}

/// The packet that calls, in the engine's words. What has no ports calls for any.
fn trigger(flow: &Flow) -> (TrafficSelector, TrafficSelector) {
    let any = (0, u16::MAX);
    let (local, remote) = match flow.ports {
        Ports::Pair { source, destination } => ((source, source), (destination, destination)),
        Ports::Icmp { .. } | Ports::Mobility { .. } | Ports::Opaque => (any, any),
    };
    let one =
        |address, (first, last)| TrafficSelector::host(address).with_protocol(flow.protocol, first, last);
    (one(flow.source, local), one(flow.destination, remote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_calls_with_its_addresses_protocol_and_ports() {
        let call = |protocol, ports| {
            let [source, destination] = ["10.1.0.1", "10.2.0.1"].map(|address| address.parse().unwrap());
            let (local, remote) = trigger(&Flow { source, destination, protocol, ports });
            format!("{local} {remote}")
        };
        let ports = Ports::Pair { source: 5000, destination: 443 };
        assert_eq!(call(6, ports), "10.1.0.1/32[6/5000] 10.2.0.1/32[6/443]");
        assert_eq!(call(1, Ports::Icmp { kind: 8, code: 0 }), "10.1.0.1/32[1] 10.2.0.1/32[1]");
    }
}
