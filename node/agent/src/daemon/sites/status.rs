//! The answer to `site list`.

use std::sync::Arc;
use std::time::Instant;

use twinmesh_dataplane::EspStatus;
use twinmesh_ike::config::Remote;

use super::super::agent::Agent;
use super::{Entry, Standing};
use crate::api::{IkeSaStatus, SiteChildState, SiteChildStatus, SiteState, SiteStatus};
use crate::site::SiteChild;

impl Agent {
    pub(in crate::daemon) fn site_list(&self, now: Instant) -> Vec<SiteStatus> {
        let tunnels = self.plane.as_ref().map(|plane| plane.dataplane.esp_status()).unwrap_or_default();
        self.sites.entries.iter().map(|(name, entry)| self.site_status(name, entry, &tunnels, now)).collect()
    }

    fn site_status(&self, name: &Arc<str>, entry: &Entry, tunnels: &[EspStatus], now: Instant) -> SiteStatus {
        let state = match (&entry.ike_sa, &entry.last_error) {
            (Some(_), _) => SiteState::Established,
            (None, Some(_)) => SiteState::Failed,
            (None, None) if entry.connecting || entry.retry.due.is_some() => SiteState::Connecting,
            (None, None) => SiteState::Waiting,
        };
        let configured = match entry.site.remote {
            Remote::At(remote) => Some(remote.to_string()),
            Remote::Anywhere => None,
        };
        SiteStatus {
            name: name.to_string(),
            state,
            last_error: entry.last_error.clone(),
            remote: entry.ike_sa.as_ref().map(|standing| standing.link.remote.to_string()).or(configured),
            ike_sa: entry.ike_sa.as_ref().map(|standing| ike_sa_status(standing, now)),
            children: entry
                .site
                .children
                .iter()
                .map(|child| {
                    // Of several generations the newest.
                    let known = self.sites.children.values().rev();
                    let tunnel = known
                        .filter(|known| known.connection == *name && &*known.name == child.name())
                        .find_map(|known| {
                            tunnels.iter().find(|status| status.name == known.tunnel && !status.retired)
                        });
                    child_status(child, tunnel, entry.rekeyed.get(child.name()).copied().unwrap_or(0))
                })
                .collect(),
        }
    }
}

fn ike_sa_status(standing: &Standing, now: Instant) -> IkeSaStatus {
    let link = &standing.link;
    IkeSaStatus {
        initiator: link.initiator,
        local: link.local.to_string(),
        local_id: link.local_identity.clone(),
        remote_id: link.remote_identity.clone(),
        initiator_spi: format!("{:016x}", link.initiator_spi),
        responder_spi: format!("{:016x}", link.responder_spi),
        proposal: link.proposal.clone(),
        local_nat: link.nat.local,
        remote_nat: link.nat.remote,
        age_s: now.saturating_duration_since(standing.since).as_secs(),
    }
}

fn child_status(child: &SiteChild, tunnel: Option<&EspStatus>, rekeyed: u64) -> SiteChildStatus {
    let selectors = tunnel.map(|tunnel| &tunnel.outbound.parameters.selectors);
    let texts =
        |side: &[twinmesh_dataplane::esp::TrafficSelector]| side.iter().map(ToString::to_string).collect();
    let (inbound, outbound) = (tunnel.map(|tunnel| &tunnel.inbound), tunnel.map(|tunnel| &tunnel.outbound));
    SiteChildStatus {
        name: child.name().to_owned(),
        state: if tunnel.is_some() { SiteChildState::Installed } else { SiteChildState::None },
        sa: tunnel.map(|tunnel| tunnel.name.clone()),
        spi_in: inbound.map(|sa| sa.parameters.spi.to_string()),
        spi_out: outbound.map(|sa| sa.parameters.spi.to_string()),
        suite: outbound.map(|sa| sa.parameters.suite.to_string()),
        local_ts: selectors.map(|both| texts(&both.local)).unwrap_or_default(),
        remote_ts: selectors.map(|both| texts(&both.remote)).unwrap_or_default(),
        age_s: outbound.map(|sa| sa.age.as_secs()),
        packets_in: inbound.map_or(0, |sa| sa.counters.packets),
        packets_out: outbound.map_or(0, |sa| sa.counters.packets),
        bytes_in: inbound.map_or(0, |sa| sa.counters.bytes),
        bytes_out: outbound.map_or(0, |sa| sa.counters.bytes),
        rekeyed,
    }
}
