//! The running data plane with what the agent adds to it: the TUN device's addresses and routes, the peers, and
//! what is routed for SAs.

use std::collections::BTreeMap;
use std::net::IpAddr;

use rtnetlink::Handle;
use tokio::sync::mpsc;
use tracing::subscriber::NoSubscriber;
use twinmesh_control::NetworkMap;
use twinmesh_dataplane::{Config, Dataplane, Event, PrivateKey, StartError};

use super::Settings;
use super::sa_routes::{Installed, SaRoutes};
use super::sites::Guards;
use super::tunnels::{Step, Surroundings, Tunnels};
use crate::control::MapChange;
use crate::network::{DETOUR_MARK, Detours, Interface, InterfacePlan, KernelState};

/// Fits every underlay of 1,500 bytes: 60 bytes of outer IPv6, UDP and WireGuard headers and tag, and some room.
pub(super) const MTU: u16 = 1420;

/// Dropping it takes the TUN device, its addresses and routes, and the port with it.
pub(super) struct Plane {
    pub(super) dataplane: Dataplane,
    pub(super) interface: Interface,
    pub(super) tunnels: Tunnels,
    detours: Detours,
    pub(super) sas: BTreeMap<String, Installed>,
    pub(super) guards: Guards,
    /// Why traffic of some SA does not reach the TUN device.
    pub(super) route_problem: Option<String>,
    /// What the kernel was last told.
    routed: Option<(InterfacePlan, SaRoutes)>,
}

impl Plane {
    pub(super) fn start(
        settings: &Settings,
        private_key: PrivateKey,
        netlink: Handle,
        events: mpsc::Sender<Event>,
    ) -> Result<Self, StartError> {
        let config = Config {
            tun_name: settings.tun.clone(),
            mtu: MTU,
            port: settings.port,
            workers: settings.workers,
            private_key,
            mark: Some(DETOUR_MARK),
            offload: settings.offload,
        };
        // Where the agent is too slow for a flood of STUN messages, the flood is lost, not the memory.
        let on_event = move |event| drop(events.try_send(event));
        let dataplane = Dataplane::start(config, std::sync::Arc::new(on_event))?;
        let index = dataplane.tun_index();
        Ok(Self {
            dataplane,
            interface: Interface::new(netlink.clone(), index),
            tunnels: Tunnels::default(),
            detours: Detours::new(netlink, index),
            sas: BTreeMap::new(),
            guards: Guards::new(),
            route_problem: None,
            routed: None,
        })
    }

    /// Makes the TUN device and takes it away again, to know of everything that stands in the way.
    pub(super) fn rehearse(settings: &Settings) -> Result<(), StartError> {
        let config = Config {
            tun_name: settings.tun.clone(),
            mtu: MTU,
            port: 0,
            workers: 1,
            private_key: PrivateKey::generate().map_err(|_| StartError::Random)?,
            mark: None,
            offload: settings.offload,
        };
        // Nobody should read that the data plane runs.
        tracing::subscriber::with_default(NoSubscriber::new(), || {
            Dataplane::start(config, std::sync::Arc::new(drop)).map(Dataplane::stop)
        })
    }

    /// Brings peers, addresses and routes to the map.
    pub(super) async fn apply(&mut self, map: &NetworkMap, change: &MapChange, here: &Surroundings) {
        let steps = match change {
            MapChange::Whole => self.tunnels.update_all(map, here),
            MapChange::Peers { changed, removed, .. } => {
                self.tunnels.update(removed.iter().chain(changed).copied(), map, here)
            }
        };
        for step in steps {
            match step {
                Step::Remove(key) => {
                    self.dataplane.remove_peer(&key);
                }
                Step::Set(tunnel) => {
                    if let Err(error) = self.dataplane.set_peer(tunnel.to_peer_config()) {
                        tracing::error!(peer = %tunnel.key, %error, "the data plane does not take a peer");
                    }
                }
            }
        }
        // What is refused is logged, and shown by `status` and `sa`.
        self.route(Some(map), &map.own.addresses, here).await.ok();
    }

    /// The kernel may have lost routes: what [`Self::route`] asks for next is asked for again.
    pub(super) fn distrust_routes(&mut self) {
        self.routed = None;
    }

    /// Brings addresses, routes and detours to the map and the SAs, if they differ from what was asked for last. The
    /// first refusal that concerns an SA, in words for the user.
    pub(super) async fn route(
        &mut self,
        map: Option<&NetworkMap>,
        overlay: &[IpAddr],
        here: &Surroundings,
    ) -> Result<(), String> {
        let guarded = self.guards.values().map(|(_, guarded)| guarded);
        let routes = SaRoutes::of(self.sas.values().chain(guarded), overlay, &here.hosts);
        let mut plan = map.map(InterfacePlan::of).unwrap_or_default();
        plan.add_routes(routes.direct.clone());
        if self.routed.as_ref().is_some_and(|(told, detours)| *told == plan && *detours == routes) {
            return self.route_problem.clone().map_or(Ok(()), Err);
        }
        self.interface.apply(&plan).await;
        let detoured = self.detours.apply(&routes.detours).await.map_err(|error| error.to_string());
        let kernel = self.interface.routes();
        let refused = routes.direct.keys().find_map(|route| match kernel.get(route) {
            Some(KernelState::Refused(reason)) => Some(format!(
                "the route to {route} is refused: {reason} (`ip route show {route}` tells who has it)"
            )),
            Some(KernelState::Installed) | None => None,
        });
        let problem = refused.or(detoured.err());
        if let Some(problem) = problem.as_ref().filter(|problem| self.route_problem.as_ref() != Some(problem))
        {
            tracing::error!(problem, "traffic of an SA does not reach the TUN device");
        }
        self.route_problem.clone_from(&problem);
        self.routed = Some((plan, routes));
        problem.map_or(Ok(()), Err)
    }
}
