//! The running data plane with what the agent adds to it: the TUN device's addresses and the peers.

use rtnetlink::Handle;
use tokio::sync::mpsc;
use tracing::subscriber::NoSubscriber;
use twinmesh_control::NetworkMap;
use twinmesh_dataplane::{Config, Dataplane, Event, PrivateKey, StartError};

use super::Settings;
use super::tunnels::{Step, Surroundings, Tunnels};
use crate::control::MapChange;
use crate::network::{Interface, InterfacePlan};

/// Fits every underlay of 1,500 bytes: 60 bytes of outer IPv6, UDP and WireGuard headers and tag, and some room.
pub(super) const MTU: u16 = 1420;

/// Dropping it takes the TUN device, its addresses and routes, and the port with it.
pub(super) struct Plane {
    pub(super) dataplane: Dataplane,
    pub(super) interface: Interface,
    tunnels: Tunnels,
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
        };
        // Where the agent is too slow for a flood of STUN messages, the flood is lost, not the memory.
        let on_event = move |event| drop(events.try_send(event));
        let dataplane = Dataplane::start(config, std::sync::Arc::new(on_event))?;
        let interface = Interface::new(netlink, dataplane.tun_index());
        Ok(Self { dataplane, interface, tunnels: Tunnels::default() })
    }

    /// Makes the TUN device and takes it away again, to know of everything that stands in the way.
    pub(super) fn rehearse(settings: &Settings) -> Result<(), StartError> {
        let config = Config {
            tun_name: settings.tun.clone(),
            mtu: MTU,
            port: 0,
            workers: 1,
            private_key: PrivateKey::generate().map_err(|_| StartError::Random)?,
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
        self.interface.apply(&InterfacePlan::of(map)).await;
    }
}
