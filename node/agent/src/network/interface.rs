//! The TUN device's addresses and routes, by netlink. They go with the device.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use rtnetlink::packet_route::address::AddressHeaderFlags;
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::{Handle, RouteMessageBuilder};
use twinmesh_control::{NetworkMap, PeerKind};

/// What the device should have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfacePlan {
    pub addresses: BTreeSet<IpAddr>,
    pub routes: BTreeSet<IpNet>,
}

impl InterfacePlan {
    /// The node's overlay addresses, the overlay's prefixes, and what unmanaged peers have beyond them.
    ///
    /// A peer that is to have everything (a prefix of length 0) gets no route: it would carry the tunnels
    /// themselves into the tunnel.
    pub fn of(map: &NetworkMap) -> Self {
        let overlay = [IpNet::V4(map.network.ipv4), IpNet::V6(map.network.ipv6)];
        let beyond = map
            .peers
            .values()
            .filter(|peer| peer.kind == PeerKind::Unmanaged)
            .flat_map(|peer| &peer.allowed_ips)
            .map(IpNet::trunc)
            .filter(|prefix| prefix.prefix_len() > 0 && !overlay.iter().any(|wide| wide.contains(prefix)));
        Self {
            addresses: map.own.addresses.iter().copied().collect(),
            routes: overlay.iter().map(IpNet::trunc).chain(beyond).collect(),
        }
    }
}

/// Whether the kernel has taken an address or route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelState {
    Installed,
    /// Why not.
    Refused(String),
}

/// The TUN device as it was set up.
pub struct Interface {
    handle: Handle,
    index: u32,
    addresses: BTreeMap<IpAddr, KernelState>,
    routes: BTreeMap<IpNet, KernelState>,
}

impl Interface {
    pub fn new(handle: Handle, index: u32) -> Self {
        Self { handle, index, addresses: BTreeMap::new(), routes: BTreeMap::new() }
    }

    /// Makes the device be as planned. What the kernel refuses is logged, kept for
    /// [`Self::problems`] and not tried again: most often another interface has that route.
    pub async fn apply(&mut self, plan: &InterfacePlan) {
        let gone: Vec<IpAddr> =
            self.addresses.keys().filter(|address| !plan.addresses.contains(address)).copied().collect();
        for address in gone {
            self.remove_address(address).await;
        }
        for address in &plan.addresses {
            if !self.addresses.contains_key(address) {
                self.add_address(*address).await;
            }
        }
        let gone: Vec<IpNet> =
            self.routes.keys().filter(|route| !plan.routes.contains(route)).copied().collect();
        for route in gone {
            self.remove_route(route).await;
        }
        for route in &plan.routes {
            if !self.routes.contains_key(route) {
                self.add_route(*route).await;
            }
        }
    }

    /// What the kernel did not take, in words for the user.
    pub fn problems(&self) -> Vec<String> {
        let words = |what: &str, state: &KernelState| match state {
            KernelState::Installed => None,
            KernelState::Refused(reason) => Some(format!("the TUN device does not get {what}: {reason}")),
        };
        let addresses = self
            .addresses
            .iter()
            .filter_map(|(address, state)| words(&format!("the address {address}"), state));
        let routes =
            self.routes.iter().filter_map(|(route, state)| words(&format!("the route {route}"), state));
        addresses.chain(routes).collect()
    }

    pub fn routes(&self) -> &BTreeMap<IpNet, KernelState> {
        &self.routes
    }

    async fn add_address(&mut self, address: IpAddr) {
        let prefix = IpNet::from(address);
        let mut request = self.handle.address().add(self.index, address, prefix.prefix_len());
        // There is nobody on a TUN device who could have the same address.
        request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        let state = match request.execute().await {
            Ok(()) => KernelState::Installed,
            Err(error) => KernelState::Refused(words(&error)),
        };
        if let KernelState::Refused(reason) = &state {
            tracing::error!(%address, reason, "the TUN device does not take an overlay address");
        }
        self.addresses.insert(address, state);
    }

    async fn remove_address(&mut self, address: IpAddr) {
        if self.addresses.remove(&address) != Some(KernelState::Installed) {
            return;
        }
        let prefix = IpNet::from(address);
        let mut message = self.handle.address().add(self.index, address, prefix.prefix_len());
        let message = message.message_mut().clone();
        if let Err(error) = self.handle.address().del(message).execute().await {
            tracing::warn!(%address, error = words(&error), "an overlay address stays on the TUN device");
        }
    }

    async fn add_route(&mut self, route: IpNet) {
        let state = match self.message(route) {
            Ok(message) => match self.handle.route().add(message).execute().await {
                Ok(()) => KernelState::Installed,
                Err(error) => KernelState::Refused(words(&error)),
            },
            Err(reason) => KernelState::Refused(reason),
        };
        if let KernelState::Refused(reason) = &state {
            tracing::warn!(%route, reason, "a route through the TUN device was refused");
        }
        self.routes.insert(route, state);
    }

    async fn remove_route(&mut self, route: IpNet) {
        if self.routes.remove(&route) != Some(KernelState::Installed) {
            return;
        }
        if let Ok(message) = self.message(route)
            && let Err(error) = self.handle.route().del(message).execute().await
        {
            tracing::warn!(%route, error = words(&error), "a route through the TUN device stays");
        }
    }

    fn message(&self, route: IpNet) -> Result<RouteMessage, String> {
        RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(route.network(), route.prefix_len())
            .map(|builder| builder.output_interface(self.index).build())
            .map_err(|error| error.to_string())
    }
}

/// The kernel's own words where it gave any.
fn words(error: &rtnetlink::Error) -> String {
    if let rtnetlink::Error::NetlinkError(message) = &error {
        message.to_io().to_string()
    } else {
        error.to_string()
    }
}
