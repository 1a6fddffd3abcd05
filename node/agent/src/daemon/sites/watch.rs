//! `debug ike`: who may see what.

use std::sync::Arc;

use tokio::sync::mpsc;
use twinmesh_ike::config::Remote;
use twinmesh_ike::trace::Tracing;
use twinmesh_ike::{Event, Failed};

use super::super::agent::Agent;
use super::Sites;
use super::trace_text::{child_keys, ike_keys};
use crate::api::{Answer, Client, DebugIke, IkeTrace, IkeTraceKind, Lines};

impl Agent {
    pub(in crate::daemon) fn debug_ike(
        &mut self,
        wanted: DebugIke,
        lines: mpsc::Sender<Lines>,
        client: Client,
    ) -> Answer {
        let mut address = None;
        if let Some(site) = &wanted.site {
            let entry = self.sites.entries.get(&**site);
            if entry.is_none() && self.sites.nodes.child(site).is_none() {
                return Answer::Error(format!("there is no site `{site}`: `twinmesh site list` shows all"));
            }
            if let Some(Remote::At(remote)) = entry.map(|entry| entry.site.remote) {
                address = Some(remote.ip());
            }
        }
        if wanted.keys {
            let Client { pid, uid } = client;
            // So that it is known afterwards whose eyes have seen them.
            tracing::warn!(pid, uid, site = wanted.site, "a client asks for the keys of IKE and ESP");
        }
        let sites = &mut self.sites;
        let keys: Vec<IkeTrace> =
            if wanted.keys { sites.engine.keys().iter().map(ike_keys).collect() } else { Vec::new() };
        sites.traces.show(wanted, address, &keys, lines);
        let keys = sites.traces.wants_keys();
        sites.engine.set_tracing(Tracing { messages: true, keys });
        Answer::ok(&serde_json::json!({}))
    }
}

impl Sites {
    /// What the engine's events add to its messages.
    pub(super) fn watch(&mut self, event: &Event) {
        let (kind, site, ike_sa, text) = match event {
            Event::IkeSaEstablished(link) => {
                let text = format!(
                    "IKE SA established: {} … {}, {}",
                    link.local_identity, link.remote_identity, link.proposal
                );
                (IkeTraceKind::Established, &link.connection, link.ike_sa, text)
            }
            Event::IkeSaRekeyed { connection, old, new, .. } => (
                IkeTraceKind::Rekeyed,
                connection,
                *new,
                format!("the IKE SA takes the place of number {old}"),
            ),
            Event::IkeSaReplaced { connection, old, new, .. } => (
                IkeTraceKind::Rekeyed,
                connection,
                *new,
                format!("of two IKE SAs with this peer this one stays; number {old} goes"),
            ),
            Event::IkeSaDeleted { connection, ike_sa, reason } => {
                (IkeTraceKind::Deleted, connection, *ike_sa, format!("IKE SA gone: {reason}"))
            }
            Event::ChildSaEstablished(child) => {
                if self.traces.wants_keys() {
                    self.traces.tell(&child_keys(child));
                }
                let spis = child.spis;
                let text = format!(
                    "child {} established: {}, SPI in {:08x}, out {:08x}",
                    child.child, child.suite, spis.inbound, spis.outbound
                );
                (IkeTraceKind::Established, &child.connection, child.ike_sa, text)
            }
            Event::ChildSaDeleted(child) => {
                let text = format!("child {} gone: {}", child.child, child.reason);
                (IkeTraceKind::Deleted, &child.connection, child.ike_sa, text)
            }
            Event::AddressChanged { connection, ike_sa, remote, .. } => {
                (IkeTraceKind::Established, connection, *ike_sa, format!("the peer is at {remote} now"))
            }
            Event::Failed(failed) => return self.watch_failure(failed),
            _ => return,
        };
        self.traces.note(Some(site), Some(ike_sa), kind, text);
    }

    fn watch_failure(&mut self, failed: &Failed) {
        // Of a peer that did not prove who it is, the site that looks for it there.
        let site: Option<Arc<str>> =
            failed.connection.clone().or_else(|| self.concerned(failed).map(|(site, _)| site.clone()));
        let child = failed.child.as_ref().map(|child| format!("child {child}: ")).unwrap_or_default();
        let text = format!("failed, {}: {child}{}", failed.remote, failed.error);
        self.traces.note(site.as_ref(), failed.ike_sa, IkeTraceKind::Failed, text);
    }
}
