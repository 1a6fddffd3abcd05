//! What the engine tells of peers.

use std::time::Instant;

use twinmesh_ike::{DeleteReason, Event, Failed, IkeSaEstablished, IkeSaId};

use super::super::super::agent::Agent;
use super::super::Standing;
use super::{CHILD_INTERVAL, Nodes};

impl Agent {
    /// Of children nothing: they are as those of sites.
    pub(in crate::daemon::sites) fn handle_node_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::IkeSaEstablished(link) => self.node_established(link, now),
            Event::IkeSaRekeyed { connection, old, new, initiator, .. } => {
                for child in self.sites.children.values_mut().filter(|child| child.ike_sa == old) {
                    child.ike_sa = new;
                }
                self.sites.nodes.succeed(&connection, old, new, initiator);
            }
            Event::IkeSaReplaced { connection, old, new, initiator, .. } => {
                self.sites.nodes.succeed(&connection, old, new, initiator);
                self.retire_replaced(old);
            }
            Event::IkeSaDeleted { connection, ike_sa, reason } => {
                let Some(node) = self.sites.nodes.named_mut(&connection) else { return };
                if node.standing.take_if(|standing| standing.id == ike_sa).is_none() {
                    return;
                }
                tracing::info!(peer = node.wanted.name, ?reason, "the IKE SA with a peer is gone");
                self.history.note(node.wanted.id, format!("ESP: the IKE SA is gone: {}", gone(reason)));
                node.child_due = None;
                // Whoever ended it in order knows why; a peer that is lost may be looked for by both.
                let at_once = node.wanted.begins || reason == DeleteReason::PeerDead;
                node.attempts.restart(now, at_once);
                self.tunnels_changed();
            }
            Event::AddressChanged { connection, ike_sa, local, remote, nat, encapsulation } => {
                let Some(node) = self.sites.nodes.named_mut(&connection) else { return };
                tracing::debug!(peer = node.wanted.name, %remote, "a peer has moved");
                if let Some(standing) = node.standing.as_mut().filter(|standing| standing.id == ike_sa) {
                    standing.link.local = local;
                    standing.link.remote = remote;
                    standing.link.nat = nat;
                    node.attempts.succeeded(remote);
                    self.history.note(node.wanted.id, format!("ESP: IKE goes on with {remote}"));
                }
                self.move_children(ike_sa, local, remote, encapsulation);
                self.tunnels_changed();
            }
            Event::Failed(failed) => self.node_failed(&failed),
            Event::ChildSaEstablished(_) | Event::ChildSaDeleted(_) | _ => {}
        }
    }

    fn node_established(&mut self, link: IkeSaEstablished, now: Instant) {
        let Some(node) = self.sites.nodes.named_mut(&link.connection) else { return };
        tracing::info!(
            peer = node.wanted.name,
            remote = %link.remote,
            proposal = link.proposal,
            initiator = link.initiator,
            "an IKE SA with a peer stands"
        );
        self.history.note(node.wanted.id, format!("ESP: an IKE SA stands, with {}", link.remote));
        node.last_error = None;
        node.attempts.succeeded(link.remote);
        node.child_due = Some(now + CHILD_INTERVAL);
        node.standing = Some(Standing { id: link.ike_sa, since: now, established: now, rekeyed: 0, link });
        self.tunnels_changed();
    }

    /// The one place where a failure is logged.
    fn node_failed(&mut self, failed: &Failed) {
        let Some(node) = failed.connection.as_ref().and_then(|name| self.sites.nodes.named_mut(name)) else {
            return;
        };
        let error = failed.error.to_string();
        if node.last_error.as_ref() != Some(&error) {
            tracing::warn!(peer = node.wanted.name, remote = %failed.remote, error, "IKE with a peer failed");
        }
        self.history.note(node.wanted.id, format!("ESP: IKE with {} failed: {error}", failed.remote));
        node.last_error = Some(error);
    }
}

impl Nodes {
    /// An IKE SA takes the place of another.
    fn succeed(&mut self, connection: &str, old: IkeSaId, new: IkeSaId, initiator: bool) {
        let standing = self.named_mut(connection).and_then(|node| node.standing.as_mut());
        if let Some(standing) = standing.filter(|standing| standing.id == old) {
            standing.id = new;
            standing.link.initiator = initiator;
        }
    }
}

/// Why, in words for the history.
fn gone(reason: DeleteReason) -> &'static str {
    match reason {
        DeleteReason::Requested => "this node ended it",
        DeleteReason::ByPeer => "the peer ended it",
        DeleteReason::Rekeyed | DeleteReason::Redundant => "another took its place",
        DeleteReason::PeerDead => "the peer did not answer any more",
        DeleteReason::Replaced => "the peer began anew",
        DeleteReason::Expired => "its lifetime is over",
        DeleteReason::IkeSaGone => "the one that it rested on is gone",
        DeleteReason::Inconsistent => "the peer had forgotten it, or broke the protocol",
        _ => "for a reason that has no name here",
    }
}
