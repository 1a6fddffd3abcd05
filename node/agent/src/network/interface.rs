//! The TUN device's addresses and routes, by netlink. They go with the device.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::successors;
use std::net::IpAddr;

use ipnet::IpNet;
use nix::errno::Errno;
use rtnetlink::packet_route::address::AddressHeaderFlags;
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::{Handle, RouteMessageBuilder};
use twinmesh_control::{NetworkMap, PeerKind};

/// What the device should have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfacePlan {
    pub addresses: BTreeSet<IpAddr>,
    /// With the address that programs of this machine send from, where it is not the device's own.
    pub routes: BTreeMap<IpNet, Option<IpAddr>>,
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
            routes: overlay.iter().map(IpNet::trunc).chain(beyond).map(|route| (route, None)).collect(),
        }
    }

    /// Further routes, unless a route that is there already covers them with the same source.
    pub fn add_routes(&mut self, routes: impl IntoIterator<Item = (IpNet, Option<IpAddr>)>) {
        for (route, source) in routes {
            if !is_covered(&self.routes, route, source) {
                self.routes.insert(route, source);
            }
        }
    }
}

/// Whether a route, or a wider one, is there with the same source.
pub fn is_covered(routes: &BTreeMap<IpNet, Option<IpAddr>>, route: IpNet, source: Option<IpAddr>) -> bool {
    successors(Some(route.trunc()), IpNet::supernet).any(|wide| routes.get(&wide) == Some(&source))
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
    /// Of the routes that have one.
    sources: BTreeMap<IpNet, IpAddr>,
}

impl Interface {
    pub fn new(handle: Handle, index: u32) -> Self {
        Self { handle, index, addresses: BTreeMap::new(), routes: BTreeMap::new(), sources: BTreeMap::new() }
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
        let kept = |route: &IpNet| plan.routes.get(route).copied() == Some(self.sources.get(route).copied());
        let gone: Vec<IpNet> = self.routes.keys().filter(|route| !kept(route)).copied().collect();
        for route in gone {
            self.remove_route(route).await;
        }
        for (route, source) in &plan.routes {
            if self.routes.contains_key(route) {
                self.restore_route(*route).await;
            } else {
                self.add_route(*route, *source).await;
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

    async fn add_route(&mut self, route: IpNet, source: Option<IpAddr>) {
        self.sources.extend(source.map(|source| (route, source)));
        let state = match self.install(route).await {
            Ok(()) => KernelState::Installed,
            Err(reason) => KernelState::Refused(reason),
        };
        if let KernelState::Refused(reason) = &state {
            tracing::warn!(%route, reason, "a route through the TUN device was refused");
        }
        self.routes.insert(route, state);
    }

    /// The kernel drops a route of the main table whose source address goes, and does not bring it back with the
    /// address.
    async fn restore_route(&self, route: IpNet) {
        let installed = self.routes.get(&route) == Some(&KernelState::Installed);
        if installed && self.sources.contains_key(&route) && self.install(route).await.is_ok() {
            tracing::info!(%route, "a route through the TUN device was lost and is set again");
        }
    }

    async fn install(&self, route: IpNet) -> Result<(), String> {
        let message = self.message(route)?;
        self.handle.route().add(message).execute().await.map_err(|error| words(&error))
    }

    async fn remove_route(&mut self, route: IpNet) {
        let message = self.message(route);
        self.sources.remove(&route);
        if self.routes.remove(&route) != Some(KernelState::Installed) {
            return;
        }
        if let Ok(message) = message
            && let Err(error) = self.handle.route().del(message).execute().await
            && !is_gone(&error)
        {
            tracing::warn!(%route, error = words(&error), "a route through the TUN device stays");
        }
    }

    fn message(&self, route: IpNet) -> Result<RouteMessage, String> {
        let source = self.sources.get(&route).copied();
        route_message(route, source, self.index)
    }
}

/// A route into the device of that index.
pub(super) fn route_message(
    route: IpNet,
    source: Option<IpAddr>,
    index: u32,
) -> Result<RouteMessage, String> {
    let mut builder = RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(route.network(), route.prefix_len())
        .map_err(|error| error.to_string())?
        .output_interface(index);
    if let Some(source) = source {
        builder = builder.pref_source(source).map_err(|error| error.to_string())?;
    }
    Ok(builder.build())
}

/// The kernel has no such route any more: its source address went.
pub(super) fn is_gone(error: &rtnetlink::Error) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(message)
        if message.to_io().raw_os_error() == Some(Errno::ESRCH as i32))
}

/// The kernel's own words where it gave any.
pub(super) fn words(error: &rtnetlink::Error) -> String {
    if let rtnetlink::Error::NetlinkError(message) = &error {
        message.to_io().to_string()
    } else {
        error.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{map, peer};

    fn route(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn further_routes_join_those_of_the_map_unless_covered() {
        let source = Some("10.1.0.1".parse().unwrap());
        let mut plan = InterfacePlan::of(&map(1, [peer(2)]));
        plan.add_routes([
            (route("100.64.0.2/32"), None),
            (route("100.64.0.3/32"), source),
            (route("10.2.0.0/16"), source),
            (route("10.2.3.0/24"), source),
        ]);
        let routes: Vec<String> = plan.routes.keys().map(ToString::to_string).collect();
        assert_eq!(routes, ["10.2.0.0/16", "100.64.0.0/10", "100.64.0.3/32", "fd00:64::/48"]);
        assert_eq!(plan.routes[&route("10.2.0.0/16")], source);
    }
}
