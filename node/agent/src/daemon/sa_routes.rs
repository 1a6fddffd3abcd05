//! What the SAs that the data plane has need of the kernel's routes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use twinmesh_dataplane::EspConfig;
use twinmesh_dataplane::esp::{IpRange, Mode, Selectors};
use twinmesh_ike::config::Remote;

use crate::api::{SaOrigin, SaState};
use crate::network::is_covered;
use crate::sa::ManualSa;

/// A pair of SAs in the data plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Installed {
    pub(super) origin: SaOrigin,
    pub(super) destinations: BTreeSet<IpNet>,
    /// This node's outer address, in transport mode.
    pub(super) local: Option<IpAddr>,
    /// The peer's outer address, as configured; `None`: it may be any.
    pub(super) remote: Option<IpAddr>,
    pub(super) follow_remote: bool,
    /// Addresses of this node's side.
    sources: Vec<IpRange>,
    /// What the log says of the inbound and the outbound SA.
    pub(super) told: [SaState; 2],
}

impl Installed {
    pub(super) fn new(sa: &ManualSa) -> Self {
        Self::of(&sa.config, sa.destinations.clone(), SaOrigin::Manual)
    }

    /// That a site's engine has negotiated.
    pub(super) fn of_child(config: &EspConfig, destinations: BTreeSet<IpNet>) -> Self {
        Self::of(config, destinations, SaOrigin::Ike)
    }

    /// Nothing yet: what a site's child would have; `local` in transport mode.
    pub(super) fn of_guard(
        selectors: &Selectors,
        destinations: BTreeSet<IpNet>,
        local: Option<IpAddr>,
        remote: Remote,
    ) -> Self {
        Self {
            origin: SaOrigin::Ike,
            destinations,
            local,
            remote: match remote {
                Remote::At(remote) => Some(remote.ip()),
                Remote::Anywhere | Remote::Roaming(_) => None,
            },
            follow_remote: false,
            sources: selectors.local.iter().map(|selector| selector.addresses).collect(),
            told: [SaState::Active; 2],
        }
    }

    fn of(config: &EspConfig, destinations: BTreeSet<IpNet>, origin: SaOrigin) -> Self {
        Self {
            origin,
            destinations,
            local: config.path.local.filter(|_| config.inbound.mode == Mode::Transport),
            remote: Some(config.path.remote.ip()),
            follow_remote: config.follow_remote,
            sources: config.outbound.selectors.local.iter().map(|selector| selector.addresses).collect(),
            told: [SaState::Active; 2],
        }
    }

    /// The address that programs of this machine have to send from so that their packets fit the selectors; `None`
    /// where the TUN device's own does, or where no address does.
    fn source(&self, destination: &IpNet, overlay: &[IpAddr], hosts: &BTreeSet<IpAddr>) -> Option<IpAddr> {
        if self.local.is_some() {
            return self.local;
        }
        let fits = |address: &&IpAddr| {
            address.is_ipv4() == destination.addr().is_ipv4()
                && self.sources.iter().any(|range| range.contains(**address))
        };
        if overlay.iter().any(|address| fits(&address)) {
            return None;
        }
        hosts.iter().find(fits).copied()
    }
}

/// Destinations, each with the source address of this machine's own packets.
pub(super) type Routes = BTreeMap<IpNet, Option<IpAddr>>;

/// Routes for the TUN device in the main table, and those that must not catch the data plane's own packets: a
/// peer's outer address lies in them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SaRoutes {
    pub(super) direct: Routes,
    pub(super) detours: Routes,
}

impl SaRoutes {
    /// `overlay`: this node's addresses on the TUN device; `hosts`: its addresses outside.
    pub(super) fn of<'a>(
        sas: impl Iterator<Item = &'a Installed> + Clone,
        overlay: &[IpAddr],
        hosts: &BTreeSet<IpAddr>,
    ) -> Self {
        let peers: BTreeSet<IpAddr> = sas.clone().filter_map(|sa| sa.remote).collect();
        // A peer that may be anywhere may be there.
        let anywhere: BTreeSet<IpNet> = sas
            .clone()
            .filter(|sa| sa.remote.is_none())
            .flat_map(|sa| sa.destinations.iter().copied())
            .collect();
        let mut routes = Self::default();
        for sa in sas {
            for destination in &sa.destinations {
                let within = destination.network()..=destination.broadcast();
                let around_a_peer = anywhere.contains(destination) || peers.range(within).next().is_some();
                let table = if around_a_peer { &mut routes.detours } else { &mut routes.direct };
                // Of two SAs with one destination the first wins, as in the data plane.
                table.entry(*destination).or_insert_with(|| sa.source(destination, overlay, hosts));
            }
        }
        // One route serves all children of a guard; detours come before the main table.
        let detours = routes.detours.clone();
        let is_served = |by: &Routes, route: Option<IpNet>, source: &Option<IpAddr>| {
            route.is_some_and(|route| is_covered(by, route, *source))
        };
        let direct = routes.direct.clone();
        routes.detours.retain(|route, source| !is_served(&detours, route.supernet(), source));
        routes.direct.retain(|route, source| {
            !is_served(&direct, route.supernet(), source) && !is_served(&detours, Some(*route), source)
        });
        routes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(table: &str) -> SaRoutes {
        let text = format!(
            "[[sa]]\nname = \"a\"\nsuite = \"aes128gcm16\"\nremote = \"198.51.100.2:4500\"\n{table}\n\
             inbound = {{ spi = \"c0000001\", key = \"{0:040x}\" }}\n\
             outbound = {{ spi = \"c0000001\", key = \"{1:040x}\" }}\n",
            1, 2
        );
        let sas = ManualSa::read(&text, "test").unwrap_or_else(|error| panic!("{error}"));
        let installed: Vec<Installed> = sas.iter().map(Installed::new).collect();
        let overlay = ["100.64.0.1".parse().unwrap()];
        let hosts = ["10.1.0.1", "192.0.2.1"].map(|host| host.parse().unwrap()).into();
        SaRoutes::of(installed.iter(), &overlay, &hosts)
    }

    fn shown(routes: &Routes) -> Vec<String> {
        routes
            .iter()
            .map(|(to, source)| match source {
                Some(source) => format!("{to} from {source}"),
                None => to.to_string(),
            })
            .collect()
    }

    #[test]
    fn subnets_behind_the_peer_are_routed_from_an_address_of_this_side() {
        let routes = routes(
            "mode = \"tunnel\"\nlocal_ts = [\"10.1.0.0/16\"]\nremote_ts = [\"10.2.0.0/16\", \"10.3.0.0/16\"]",
        );
        assert_eq!(shown(&routes.direct), ["10.2.0.0/16 from 10.1.0.1", "10.3.0.0/16 from 10.1.0.1"]);
        assert!(routes.detours.is_empty());
    }

    #[test]
    fn between_overlay_addresses_the_devices_own_address_fits() {
        let routes = routes("mode = \"tunnel\"\nlocal_ts = [\"100.64.0.1\"]\nremote_ts = [\"100.64.0.2\"]");
        assert_eq!(shown(&routes.direct), ["100.64.0.2/32"]);
    }

    #[test]
    fn a_wider_route_with_the_same_source_serves_the_narrower_ones() {
        let wide =
            "local_ts = [\"10.1.0.0/16\"]\nremote_ts = [\"10.2.0.0/16\", \"10.2.3.0/24\", \"10.2.3.4\"]";
        let direct = routes(&format!("mode = \"tunnel\"\n{wide}"));
        assert_eq!(shown(&direct.direct), ["10.2.0.0/16 from 10.1.0.1"]);
        let around = "local_ts = [\"10.1.0.0/16\"]\nremote_ts = [\"198.0.0.0/8\", \"198.51.100.0/30\", \"198.18.0.1\"]";
        let detoured = routes(&format!("mode = \"tunnel\"\n{around}"));
        assert_eq!(shown(&detoured.detours), ["198.0.0.0/8 from 10.1.0.1"]);
        assert!(detoured.direct.is_empty(), "the detour is looked up first");
    }

    #[test]
    fn traffic_to_the_peers_own_address_takes_a_detour() {
        let transport = routes("mode = \"transport\"\nlocal = \"192.0.2.1\"");
        assert_eq!(shown(&transport.detours), ["198.51.100.2/32 from 192.0.2.1"]);
        assert!(transport.direct.is_empty());
        let around =
            routes("mode = \"tunnel\"\nlocal_ts = [\"192.0.2.1\"]\nremote_ts = [\"198.51.100.0/24\"]");
        assert_eq!(shown(&around.detours), ["198.51.100.0/24 from 192.0.2.1"]);
    }
}
