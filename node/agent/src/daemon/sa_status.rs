//! The answer to `sa`.

use std::time::Instant;

use twinmesh_dataplane::esp::{Limits, Mode, SuiteClass, TrafficSelector};
use twinmesh_dataplane::{Encapsulation, EspStatus, SaStatus};

use super::agent::Agent;
use super::manual_sas::state;
use super::sa_routes::Installed;
use super::sites::status::seconds_until;
use crate::api::{
    SaDirection, SaEncapsulation, SaIke, SaLimits, SaMode, SaOrigin, SaPair, SaState, SaSuiteClass,
};
use crate::network::strict_interfaces;

impl Agent {
    pub(super) fn sas(&self, now: Instant) -> Vec<SaPair> {
        let Some(plane) = &self.plane else { return Vec::new() };
        let described = |status: EspStatus| {
            let installed = plane.sas.get(&status.name)?;
            let manual = Some(installed).filter(|installed| installed.origin == SaOrigin::Manual);
            let problem = manual.and_then(|_| problem(&status)).or_else(|| {
                plane
                    .route_problem
                    .clone()
                    .or_else(|| self.strict_reverse_path(std::slice::from_ref(&status.name)))
            });
            let ike = (installed.origin == SaOrigin::Ike).then(|| self.ike_of(&status.name, now));
            Some(pair(&status, installed, problem, ike))
        };
        plane.dataplane.esp_status().into_iter().filter_map(described).collect()
    }

    fn ike_of(&self, tunnel: &str, now: Instant) -> SaIke {
        let schedule = self.sites.schedule(tunnel);
        let (local_id, remote_id) = self.sites.identities(tunnel).unzip();
        SaIke {
            local_id,
            remote_id,
            rekey_in_s: seconds_until(schedule.rekey, now),
            expires_in_s: seconds_until(schedule.expiry, now),
        }
    }

    /// The kernel drops ESP of a peer whose own address is routed into the TUN device where it checks strictly that
    /// packets come in where answers would go out (RFC 3704 §2.2).
    pub(super) fn strict_reverse_path(&self, names: &[String]) -> Option<String> {
        let plane = self.plane.as_ref()?;
        let outer_ipv4 = |sa: &Installed| {
            sa.remote.is_some_and(|remote| {
                remote.is_ipv4() && sa.destinations.iter().any(|to| to.contains(&remote))
            })
        };
        if !names.iter().filter_map(|name| plane.sas.get(name)).any(outer_ipv4) {
            return None;
        }
        let strict = strict_interfaces(&self.settings.tun);
        let (first, more) = strict.split_first()?;
        let whose = if more.is_empty() { first.clone() } else { strict.join(", ") };
        Some(format!(
            "the kernel's strict reverse path filter on {whose} drops what the peer sends: `sysctl -w \
             net.ipv4.conf.{first}.rp_filter=2` makes it loose"
        ))
    }
}

fn problem(status: &EspStatus) -> Option<String> {
    let expired = [("inbound", &status.inbound), ("outbound", &status.outbound)];
    let (direction, _) = expired.into_iter().find(|(_, sa)| state(sa) == SaState::Expired)?;
    Some(format!(
        "the {direction} SA has passed its hard limit and stopped: remove it and add one with new keys at both ends"
    ))
}

fn pair(status: &EspStatus, installed: &Installed, problem: Option<String>, ike: Option<SaIke>) -> SaPair {
    let parameters = &status.outbound.parameters;
    let texts = |selectors: &[TrafficSelector]| selectors.iter().map(ToString::to_string).collect();
    let inbound = direction(&status.inbound, Some(status.inbound.parameters.replay_window));
    let outbound = direction(&status.outbound, None);
    SaPair {
        name: status.name.clone(),
        origin: installed.origin,
        state: inbound.state.max(outbound.state),
        problem,
        mode: match parameters.mode {
            Mode::Tunnel => SaMode::Tunnel,
            Mode::Transport => SaMode::Transport,
        },
        encapsulation: match status.path.encapsulation {
            Encapsulation::Udp => SaEncapsulation::Udp,
            Encapsulation::Raw => SaEncapsulation::Raw,
        },
        suite: parameters.suite.to_string(),
        suite_class: match parameters.suite.class() {
            SuiteClass::Default => SaSuiteClass::Default,
            SuiteClass::Legacy => SaSuiteClass::Legacy,
            SuiteClass::TestOnly => SaSuiteClass::TestOnly,
        },
        esn: parameters.esn,
        local: installed.local,
        remote: status.path.remote,
        follow_remote: installed.follow_remote,
        local_ts: texts(&parameters.selectors.local),
        remote_ts: texts(&parameters.selectors.remote),
        routes: installed.destinations.iter().copied().collect(),
        mtu: status.mtu,
        partial_checksums: status.partial_checksums.sent,
        age_s: status.outbound.age.as_secs(),
        ike,
        inbound,
        outbound,
    }
}

fn direction(sa: &SaStatus, replay_window: Option<u32>) -> SaDirection {
    let drops = sa.counters.drops().map(|(reason, count)| (reason.as_str().to_owned(), count));
    let refusals = sa.counters.refusals().map(|(reason, count)| (reason.as_str().to_owned(), count));
    SaDirection {
        spi: sa.parameters.spi.to_string(),
        state: state(sa),
        packets: sa.counters.packets,
        bytes: sa.counters.bytes,
        sequence: sa.sequence,
        replay_window,
        soft: limits(&sa.parameters.lifetime.soft),
        hard: limits(&sa.parameters.lifetime.hard),
        drops: drops.chain(refusals).collect(),
    }
}

fn limits(limits: &Limits) -> SaLimits {
    SaLimits { bytes: limits.bytes, packets: limits.packets, seconds: limits.time.map(|time| time.as_secs()) }
}
