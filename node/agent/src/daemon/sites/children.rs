//! Child SAs in the data plane: each a tunnel of its own, the next before the last is gone.

use std::collections::HashMap;
mod parameters;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use twinmesh_dataplane::EspStatus;
use twinmesh_dataplane::esp::LifetimeState;
use twinmesh_ike::{
    ChildSaDeleted, ChildSaEstablished, ChildSaId, Command, DeleteReason, Encapsulation, IkeSaId,
    OutboundStart,
};

use self::parameters::{esp_config, esp_path};
use super::super::agent::Agent;
use super::super::sa_routes::Installed;
use super::guards::guard_name;
use super::is_of_node;

/// Packets of a peer that arrive later than this after its DELETE are lost.
const LINGER: Duration = Duration::from_secs(5);
/// SAs are looked at so often, and so often while a peer is awaited on a new one.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
const QUICK_INTERVAL: Duration = Duration::from_millis(100);
/// A pair of SAs that the engine has negotiated, and the data plane has.
pub(super) struct Child {
    pub(super) connection: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) ike_sa: IkeSaId,
    /// In the data plane.
    pub(super) tunnel: String,
    /// The tunnel that goes on sending until the peer is heard on this one.
    awaits: Option<String>,
    /// The tunnel whose place it has taken.
    pub(super) follows: Option<String>,
    /// Newest sequence number seen.
    heard: u64,
    rekey_asked: bool,
}

impl Agent {
    pub(super) fn child_established(&mut self, event: ChildSaEstablished, now: Instant) {
        let (id, rekeyed, outbound) = (event.child_sa, event.rekeyed, event.outbound);
        let names = (event.connection.clone(), event.child.clone(), event.ike_sa);
        let old = rekeyed.and_then(|old| self.sites.children.get(&old)).map(|old| old.tunnel.clone());
        let tunnel = match self.install(event, old.clone()) {
            Ok(tunnel) => tunnel,
            Err(reason) => {
                let (connection, child, _) = names;
                tracing::error!(
                    site = &*connection,
                    child = &*child,
                    reason,
                    "the data plane refuses a child SA"
                );
                if let Some(entry) = self.sites.entries.get_mut(&connection) {
                    entry.last_error = Some(format!("child {child}: {reason}"));
                }
                return self.command(Command::TerminateChild { child_sa: id }, now);
            }
        };
        let (connection, child, ike_sa) = names;
        tracing::info!(sa = tunnel, rekeyed = old.is_some(), "a child SA stands");
        if let Some(entry) = self.sites.entries.get_mut(&connection) {
            entry.child_retry.after = None;
            if rekeyed.is_some() {
                *entry.rekeyed.entry(child.clone()).or_default() += 1;
            }
        }
        let follows = old.clone();
        let awaits = match (outbound, old) {
            (OutboundStart::AfterPeer, old) => old,
            (OutboundStart::Now, Some(old)) => {
                self.retire(&old);
                None
            }
            (OutboundStart::Now, None) => None,
        };
        let known =
            Child { connection, name: child, ike_sa, tunnel, awaits, follows, heard: 0, rekey_asked: false };
        self.sites.children.insert(id, known);
        self.sites.reroute = true;
        let soon = now + QUICK_INTERVAL;
        // Many new children must not put it off for ever.
        self.sites.watch_due = Some(self.sites.watch_due.map_or(soon, |due| due.min(soon)));
    }

    /// The name of the new tunnel.
    fn install(&mut self, event: ChildSaEstablished, follows: Option<String>) -> Result<String, String> {
        let plane = self.plane.as_mut().ok_or("the tunnels are down")?;
        let (child, follow_remote) = if let Some(child) = self.sites.nodes.child(&event.connection) {
            // A node is followed wherever it is, as in WireGuard.
            (child, true)
        } else {
            let entry = self.sites.entries.get(&event.connection).ok_or("the site is gone")?;
            let child = entry.site.child(&event.child).ok_or("no such child")?;
            (child, entry.ike_sa.as_ref().is_some_and(|standing| standing.link.nat.remote))
        };
        let name = format!("{}/{}#{}", event.connection, event.child, event.child_sa);
        // What no tunnel carries to a node goes nowhere in any case: no route of WireGuard's leads there.
        let guard = (!is_of_node(&event.connection)).then(|| guard_name(&event.connection, &event.child));
        let mut config = esp_config(event, name.clone(), follows, child, follow_remote)?;
        config.guard = guard;
        config.peer = self.sites.nodes.wireguard_key(&config.name);
        let destinations = child.destinations(&config.outbound.selectors.remote);
        let installed = Installed::of_child(&config, destinations);
        plane.dataplane.add_esp(config).map_err(|error| error.to_string())?;
        plane.sas.insert(name.clone(), installed);
        Ok(name)
    }

    pub(super) fn child_deleted(&mut self, event: &ChildSaDeleted, now: Instant) {
        let Some(gone) = self.sites.children.remove(&event.child_sa) else { return };
        tracing::info!(sa = gone.tunnel, reason = ?event.reason, "a child SA is gone");
        let mut replaced = matches!(event.reason, DeleteReason::Rekeyed | DeleteReason::Redundant);
        for other in self.sites.children.values_mut() {
            // There may be others of that name, for other pairs of subnets.
            replaced |= other.follows.as_ref() == Some(&gone.tunnel);
            // RFC 7296 §2.8: with the old one gone, the peer has the new one.
            other.awaits.take_if(|awaited| *awaited == gone.tunnel);
        }
        self.retire(&gone.tunnel);
        let until = if replaced { now + LINGER } else { now };
        self.sites.lingering.push((until, gone.tunnel));
        self.sites.watch_due = Some(now);
        let lost = !replaced && !matches!(event.reason, DeleteReason::Requested | DeleteReason::IkeSaGone);
        if let Some(entry) = self.sites.entries.get_mut(&gone.connection).filter(|_| lost) {
            entry.child_retry.later(now);
        }
    }

    pub(super) fn move_children(
        &self,
        ike_sa: IkeSaId,
        local: SocketAddr,
        remote: SocketAddr,
        encapsulation: Encapsulation,
    ) {
        let Some(plane) = &self.plane else { return };
        let path = esp_path(local, remote, encapsulation);
        for child in self.sites.children.values().filter(|child| child.ike_sa == ike_sa) {
            if let Err(error) = plane.dataplane.move_esp(&child.tunnel, path) {
                tracing::error!(sa = child.tunnel, %error, "an ESP tunnel does not follow its peer");
            }
        }
    }

    /// Children that another IKE SA has too send there from now on.
    pub(super) fn retire_replaced(&self, ike_sa: IkeSaId) {
        let children = || self.sites.children.values();
        for gone in children().filter(|child| child.ike_sa == ike_sa) {
            let stays = |other: &Child| {
                other.connection == gone.connection && other.name == gone.name && other.ike_sa != ike_sa
            };
            if children().any(stays) {
                self.retire(&gone.tunnel);
            }
        }
    }

    /// All SAs of a connection that is over, at once.
    pub(super) fn forget_tunnels(&mut self, connection: &str) {
        let prefix = format!("{connection}/");
        self.sites.children.retain(|_, child| *child.connection != *connection);
        self.sites.lingering.retain(|(_, tunnel)| !tunnel.starts_with(&prefix));
        let Some(plane) = self.plane.as_mut() else { return };
        let gone: Vec<String> =
            plane.sas.keys().filter(|tunnel| tunnel.starts_with(&prefix)).cloned().collect();
        for tunnel in gone {
            plane.dataplane.remove_esp(&tunnel);
            plane.sas.remove(&tunnel);
        }
    }

    fn retire(&self, tunnel: &str) {
        if let Some(plane) = &self.plane {
            plane.dataplane.retire_esp(tunnel);
        }
    }

    /// Sees who was heard, which keys are used up, and which old tunnels may go.
    pub(super) fn watch_children(&mut self, now: Instant) {
        if self.sites.watch_due.is_none_or(|due| now < due)
            && self.sites.lingering.iter().all(|(at, _)| *at > now)
        {
            return;
        }
        let Some(plane) = self.plane.as_mut() else { return };
        let mut commands = Vec::new();
        let status = plane.dataplane.esp_status();
        let status: HashMap<&str, &EspStatus> =
            status.iter().map(|status| (status.name.as_str(), status)).collect();
        for (_, tunnel) in self.sites.lingering.extract_if(.., |(until, _)| *until <= now) {
            if let Some(status) = status.get(tunnel.as_str()) {
                self.sites.nodes.settle(status);
            }
            plane.dataplane.remove_esp(&tunnel);
            plane.sas.remove(&tunnel);
            self.sites.reroute = true;
        }
        for (id, child) in &mut self.sites.children {
            let Some(status) = status.get(child.tunnel.as_str()) else { continue };
            commands.extend(child.look(*id, status));
            if child.heard > 0
                && let Some(old) = child.awaits.take()
            {
                plane.dataplane.retire_esp(&old);
            }
        }
        let awaited = self.sites.children.values().any(|child| child.awaits.is_some());
        let interval = if awaited { QUICK_INTERVAL } else { WATCH_INTERVAL };
        self.sites.watch_due = (!self.sites.children.is_empty()).then_some(now + interval);
        for command in commands {
            self.command(command, now);
        }
    }
}

impl Child {
    fn look(&mut self, id: ChildSaId, status: &EspStatus) -> Vec<Command> {
        let mut commands = Vec::new();
        if status.inbound.sequence > self.heard {
            self.heard = status.inbound.sequence;
            commands.push(Command::Heard { ike_sa: self.ike_sa });
        }
        let used = status.inbound.lifetime.max(status.outbound.lifetime);
        if used != LifetimeState::Fresh && !self.rekey_asked {
            self.rekey_asked = true;
            commands.push(Command::RekeyChild { child_sa: id });
        }
        commands
    }
}
