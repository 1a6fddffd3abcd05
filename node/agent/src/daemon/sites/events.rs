//! What the engine tells.

use std::sync::Arc;
use std::time::{Duration, Instant};

use twinmesh_ike::config::Remote;
use twinmesh_ike::{DeleteReason, Event, Failed, IkeSaEstablished, IkeSaId};

use super::super::agent::Agent;
use super::{Entry, Sites, Standing, is_of_node, standing};

/// The engine sets up all children of a new IKE SA; those that there are not after so long are asked for again.
const CHILD_PATIENCE: Duration = Duration::from_secs(10);

impl Agent {
    pub(super) fn handle_ike_event(&mut self, event: Event, now: Instant) {
        self.sites.watch(&event);
        if connection(&event).is_some_and(is_of_node) {
            return self.handle_node_event(event, now);
        }
        match event {
            Event::IkeSaEstablished(link) => self.ike_sa_established(link, now),
            Event::IkeSaReplaced { connection, old, new, .. } => {
                tracing::info!(site = &*connection, "of two IKE SAs one stays");
                if let Some(entry) = self.sites.entries.get_mut(&connection) {
                    standing::replace(&mut entry.ike_sa, &mut entry.beside, old, new);
                }
                self.retire_replaced(old);
            }
            Event::IkeSaRekeyed { connection, old, new, initiator, initiator_spi, responder_spi } => {
                if let Some(standing) = self.sites.standing(&connection, old) {
                    standing.link.initiator = initiator;
                    standing.link.initiator_spi = initiator_spi;
                    standing.link.responder_spi = responder_spi;
                }
                self.ike_sa_rekeyed(&connection, old, new, now);
            }
            Event::IkeSaDeleted { connection, ike_sa, reason } => {
                self.ike_sa_deleted(&connection, ike_sa, reason, now);
            }
            Event::ChildSaEstablished(child) => self.child_established(*child, now),
            Event::ChildSaDeleted(child) => self.child_deleted(&child, now),
            Event::AddressChanged { connection, ike_sa, local, remote, nat, encapsulation } => {
                tracing::info!(site = &*connection, %remote, "a site's peer has moved");
                if let Some(standing) = self.sites.standing(&connection, ike_sa) {
                    standing.link.local = local;
                    standing.link.remote = remote;
                    standing.link.nat = nat;
                }
                self.move_children(ike_sa, local, remote, encapsulation);
            }
            Event::Failed(failed) => self.ike_failed(&failed, now),
            _ => {}
        }
    }

    fn ike_sa_established(&mut self, link: IkeSaEstablished, now: Instant) {
        let Some(entry) = self.sites.entries.get_mut(&link.connection) else { return };
        tracing::info!(
            site = &*link.connection,
            remote = %link.remote,
            peer = link.remote_identity,
            proposal = link.proposal,
            ppk = link.ppk,
            "an IKE SA stands"
        );
        entry.connecting = false;
        entry.last_error = None;
        entry.after_loss = None;
        entry.retry.succeeded();
        entry.child_retry.due = Some(now + CHILD_PATIENCE);
        let (connection, initiator) = (link.connection.clone(), link.initiator);
        let new = Standing { id: link.ike_sa, since: now, established: now, rekeyed: 0, link };
        entry.beside.extend(entry.ike_sa.replace(new));
        if initiator {
            self.create_missing(&connection, now);
        }
    }

    fn ike_sa_rekeyed(&mut self, connection: &Arc<str>, old: IkeSaId, new: IkeSaId, now: Instant) {
        tracing::info!(site = &**connection, "an IKE SA has new keys");
        for child in self.sites.children.values_mut().filter(|child| child.ike_sa == old) {
            child.ike_sa = new;
        }
        if let Some(standing) = self.sites.standing(connection, old) {
            standing.id = new;
            standing.since = now;
            standing.rekeyed += 1;
        }
    }

    fn ike_sa_deleted(&mut self, connection: &Arc<str>, ike_sa: IkeSaId, reason: DeleteReason, now: Instant) {
        let Some(entry) = self.sites.entries.get_mut(connection) else { return };
        if !standing::remove(&mut entry.ike_sa, &mut entry.beside, ike_sa) {
            return;
        }
        tracing::info!(site = &**connection, ?reason, "an IKE SA is gone");
        if entry.ike_sa.is_some() {
            // An older one goes on.
            entry.child_retry.due = Some(now + CHILD_PATIENCE);
            return;
        }
        if let DeleteReason::PeerDead = reason {
            entry.last_error = Some("the peer answers no longer".to_owned());
            entry.after_loss = Some(entry.site.after_loss);
        }
        if entry.begins() && reason != DeleteReason::Requested {
            entry.retry.later(now);
        }
    }

    /// The one place where a failure is logged.
    fn ike_failed(&mut self, failed: &Failed, now: Instant) {
        let error = failed.error.to_string();
        let Some((site, entry)) = self.sites.concerned(failed) else {
            // Strangers must not write our log.
            tracing::debug!(remote = %failed.remote, error, "IKE failed with a stranger");
            return;
        };
        tracing::error!(site = &**site, child = failed.child.as_deref(), remote = %failed.remote, error, "IKE failed");
        entry.last_error = Some(match &failed.child {
            Some(child) => format!("child {child}: {error}"),
            None => error,
        });
        if failed.connection.is_some() && failed.ike_sa.is_none() && entry.connecting {
            entry.connecting = false;
            entry.retry.later(now);
        } else if failed.child.is_some() {
            entry.child_retry.later(now);
        }
    }
}

/// Of all events but those of children, which sites and nodes have in common.
fn connection(event: &Event) -> Option<&str> {
    match event {
        Event::IkeSaEstablished(IkeSaEstablished { connection, .. })
        | Event::IkeSaRekeyed { connection, .. }
        | Event::IkeSaReplaced { connection, .. }
        | Event::IkeSaDeleted { connection, .. }
        | Event::AddressChanged { connection, .. } => Some(connection),
        Event::Failed(failed) => failed.connection.as_deref(),
        Event::ChildSaEstablished(_) | Event::ChildSaDeleted(_) | _ => None,
    }
}

impl Sites {
    /// The site that failed; of a peer that did not prove who it is, the one that is looked for at its address.
    pub(super) fn concerned(&mut self, failed: &Failed) -> Option<(&Arc<str>, &mut Entry)> {
        let lives_there = |entry: &Entry| match entry.site.remote {
            Remote::At(remote) => remote.ip() == failed.remote.ip() && entry.ike_sa.is_none(),
            // They may be anywhere.
            Remote::Anywhere | Remote::Roaming(_) => false,
        };
        self.entries.iter_mut().find(|(name, entry)| match &failed.connection {
            Some(connection) => connection == *name,
            None => lives_there(entry),
        })
    }

    fn standing(&mut self, connection: &Arc<str>, ike_sa: IkeSaId) -> Option<&mut Standing> {
        let entry = self.entries.get_mut(connection)?;
        entry.ike_sa.iter_mut().chain(&mut entry.beside).find(|standing| standing.id == ike_sa)
    }
}
