//! The answer to `site list`.

use std::sync::Arc;
use std::time::Instant;

use twinmesh_dataplane::esp::Selectors;
use twinmesh_dataplane::{EspStatus, GuardStatus};
use twinmesh_ike::Schedule;
use twinmesh_ike::config::StartAction;

use super::super::agent::Agent;
use super::children::Child;
use super::guards::guard_name;
use super::{Entry, Sites, Standing};
use crate::api::{IkeSaStatus, SiteChildState, SiteChildStatus, SiteStart, SiteState, SiteStatus};
use crate::site::SiteChild;

impl Agent {
    pub(in crate::daemon) fn site_list(&self, now: Instant) -> Vec<SiteStatus> {
        let tunnels = self.plane.as_ref().map(|plane| plane.dataplane.esp_status()).unwrap_or_default();
        let guards = self.plane.as_ref().map(|plane| plane.dataplane.guard_status()).unwrap_or_default();
        let status = |(name, entry)| self.site_status(name, entry, &tunnels, &guards, now);
        self.sites.entries.iter().map(status).collect()
    }

    fn site_status(
        &self,
        name: &Arc<str>,
        entry: &Entry,
        tunnels: &[EspStatus],
        guards: &[GuardStatus],
        now: Instant,
    ) -> SiteStatus {
        let calls = entry.site.children.iter().any(|child| entry.calls(child));
        let state = match (&entry.ike_sa, &entry.last_error) {
            _ if entry.stored.down || self.sites.stopped => SiteState::Down,
            (Some(_), _) => SiteState::Established,
            (None, Some(_)) => SiteState::Failed,
            (None, None) if entry.connecting || entry.retry.due.is_some() => SiteState::Connecting,
            (None, None) if calls => SiteState::Trapped,
            (None, None) => SiteState::Waiting,
        };
        let configured = entry.site.remote.address().map(|remote| remote.to_string());
        SiteStatus {
            name: name.to_string(),
            state,
            last_error: entry.last_error.clone(),
            remote: entry.ike_sa.as_ref().map(|standing| standing.link.remote.to_string()).or(configured),
            ike_sa: entry
                .ike_sa
                .as_ref()
                .map(|standing| ike_sa_status(standing, self.sites.engine.ike_schedule(standing.id), now)),
            children: entry
                .site
                .children
                .iter()
                .flat_map(|child| {
                    let guard = guards.iter().find(|guard| guard.name == guard_name(name, child.name()));
                    let configured = child.guarded(None, entry.site.remote);
                    let status = |tunnel: Option<&EspStatus>| {
                        let mut status = child_status(child, tunnel, &configured);
                        let schedule =
                            tunnel.map(|tunnel| self.sites.schedule(&tunnel.name)).unwrap_or_default();
                        status.rekey_in_s = seconds_until(schedule.rekey, now);
                        status.expires_in_s = seconds_until(schedule.expiry, now);
                        status.rekeyed = entry.rekeyed.get(child.name()).copied().unwrap_or(0);
                        status.blocked = guard.map_or(0, |guard| guard.dropped);
                        status.waiting = guard.map_or(0, |guard| guard.kept as u64);
                        status
                    };
                    match self.tunnels_of(name, child.name(), tunnels).as_slice() {
                        [] => vec![status(None)],
                        several => several.iter().map(|tunnel| status(Some(tunnel))).collect(),
                    }
                })
                .collect(),
        }
    }

    /// Those that send for a child: several where its peer has one for each pair of subnets. Of several generations the
    /// newest.
    fn tunnels_of<'t>(&self, site: &str, child: &str, tunnels: &'t [EspStatus]) -> Vec<&'t EspStatus> {
        let own = |known: &&Child| &*known.connection == site && &*known.name == child;
        let known: Vec<&Child> = self.sites.children.values().filter(own).collect();
        let present =
            |known: &Child| tunnels.iter().find(|status| status.name == known.tunnel && !status.retired);
        let succeeded = |old: &Child| {
            let successor = |new: &&&Child| new.follows.as_ref() == Some(&old.tunnel);
            known.iter().find(successor).is_some_and(|new| present(new).is_some())
        };
        known.iter().filter(|known| !succeeded(known)).filter_map(|known| present(known)).collect()
    }
}

impl Sites {
    /// Of the child behind a tunnel; nothing of a tunnel that is no child.
    pub(in crate::daemon) fn schedule(&self, tunnel: &str) -> Schedule {
        let found = self.children.iter().find(|(_, child)| child.tunnel == tunnel);
        found.map_or_else(Schedule::default, |(id, _)| self.engine.child_schedule(*id))
    }

    /// Who is at the ends of the IKE SA of a tunnel.
    pub(in crate::daemon) fn identities(&self, tunnel: &str) -> Option<(String, String)> {
        let child = self.children.values().find(|child| child.tunnel == tunnel)?;
        let link = &self.entries.get(&child.connection)?.ike_sa.as_ref()?.link;
        Some((link.local_identity.clone(), link.remote_identity.clone()))
    }
}

pub(in crate::daemon) fn seconds_until(moment: Option<Instant>, now: Instant) -> Option<u64> {
    moment.map(|moment| moment.saturating_duration_since(now).as_secs())
}

fn ike_sa_status(standing: &Standing, schedule: Schedule, now: Instant) -> IkeSaStatus {
    let link = &standing.link;
    let since = |moment: Instant| now.saturating_duration_since(moment).as_secs();
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
        age_s: since(standing.since),
        established_s: since(standing.established),
        rekeyed: standing.rekeyed,
        rekey_in_s: seconds_until(schedule.rekey, now),
        expires_in_s: seconds_until(schedule.expiry, now),
        reauth_in_s: seconds_until(schedule.reauth, now),
        ppk: link.ppk,
    }
}

fn child_status(child: &SiteChild, tunnel: Option<&EspStatus>, configured: &Selectors) -> SiteChildStatus {
    let selectors = tunnel.map_or(configured, |tunnel| &tunnel.outbound.parameters.selectors);
    let texts =
        |side: &[twinmesh_dataplane::esp::TrafficSelector]| side.iter().map(ToString::to_string).collect();
    let (inbound, outbound) = (tunnel.map(|tunnel| &tunnel.inbound), tunnel.map(|tunnel| &tunnel.outbound));
    SiteChildStatus {
        name: child.name().to_owned(),
        start: match child.start() {
            StartAction::Start => SiteStart::Start,
            StartAction::Trap => SiteStart::Trap,
            StartAction::None => SiteStart::None,
        },
        state: if tunnel.is_some() { SiteChildState::Installed } else { SiteChildState::None },
        sa: tunnel.map(|tunnel| tunnel.name.clone()),
        spi_in: inbound.map(|sa| sa.parameters.spi.to_string()),
        spi_out: outbound.map(|sa| sa.parameters.spi.to_string()),
        suite: outbound.map(|sa| sa.parameters.suite.to_string()),
        local_ts: texts(&selectors.local),
        remote_ts: texts(&selectors.remote),
        age_s: outbound.map(|sa| sa.age.as_secs()),
        rekey_in_s: None,
        expires_in_s: None,
        packets_in: inbound.map_or(0, |sa| sa.counters.packets),
        packets_out: outbound.map_or(0, |sa| sa.counters.packets),
        bytes_in: inbound.map_or(0, |sa| sa.counters.bytes),
        bytes_out: outbound.map_or(0, |sa| sa.counters.bytes),
        blocked: 0,
        waiting: 0,
        rekeyed: 0,
    }
}
