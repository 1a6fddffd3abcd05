//! Routes into the TUN device that the data plane's own packets do not take: a peer's outer address, whose
//! traffic an SA protects, is also where the protected packets go.
//!
//! ```text
//!   any program ── rule: not fwmark 0x746d ──► table 29805: peer dev tun src local ──► TUN device
//!   data plane's UDP socket, fwmark 0x746d ──► table main ──► the underlay
//! ```
//!
//! The routes go with the device. The rules would stay; they go with the last route, or at the next start.

use std::collections::BTreeMap;
use std::net::IpAddr;

use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};
use rtnetlink::{Handle, IpVersion};

use super::interface::{is_gone, route_message, words};

/// `SO_MARK` of the data plane's UDP sockets: "tm".
pub const DETOUR_MARK: u32 = 0x746d;
/// Routing table of our own.
const TABLE: u32 = 29_805;
/// Before all that people and other programs usually set, and after the table `local`.
const PRIORITY: u32 = 2_980;

/// The kernel does not take a detour, in words for the user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DetourError {
    #[error("the route to {0} in table {TABLE} is refused: {1}")]
    Route(IpNet, String),
    #[error("the rule that leads to table {TABLE} is refused: {0}")]
    Rule(String),
}

/// The detours of one TUN device.
pub struct Detours {
    handle: Handle,
    index: u32,
    present: BTreeMap<IpNet, Option<IpAddr>>,
}

impl Detours {
    pub const fn new(handle: Handle, index: u32) -> Self {
        Self { handle, index, present: BTreeMap::new() }
    }

    /// Makes the detours be these destinations, each with the address that programs of this machine send from.
    /// Those that are there already are set again, in case somebody has flushed them. Tries all; tells the first
    /// refusal.
    pub async fn apply(&mut self, wanted: &BTreeMap<IpNet, Option<IpAddr>>) -> Result<(), DetourError> {
        let gone: Vec<IpNet> =
            self.present.keys().filter(|route| !wanted.contains_key(route)).copied().collect();
        for route in &gone {
            self.remove(*route).await;
        }
        let mut refusal = None;
        for (route, source) in wanted {
            if let Err(error) = self.add(*route, *source).await {
                refusal.get_or_insert(error);
            }
        }
        for version in [IpVersion::V4, IpVersion::V6] {
            if self.present.keys().any(|route| matches!(route, IpNet::V4(_)) == (version == IpVersion::V4))
                && let Err(error) = self.add_rule(version).await
            {
                refusal.get_or_insert(error);
            }
        }
        if !gone.is_empty() {
            sweep_detours(&self.handle).await;
        }
        refusal.map_or(Ok(()), Err)
    }

    async fn add(&mut self, route: IpNet, source: Option<IpAddr>) -> Result<(), DetourError> {
        let refused = |reason| DetourError::Route(route, reason);
        let message = self.message(route, source).map_err(refused)?;
        // Replacing sets a lost route again, and changes the source of one that is there.
        let request = self.handle.route().add(message).replace();
        request.execute().await.map_err(|error| refused(words(&error)))?;
        self.present.insert(route, source);
        Ok(())
    }

    async fn remove(&mut self, route: IpNet) {
        let source = self.present.remove(&route).flatten();
        if let Ok(message) = self.message(route, source)
            && let Err(error) = self.handle.route().del(message).execute().await
            && !is_gone(&error)
        {
            tracing::warn!(%route, error = words(&error), "a detour through the TUN device stays");
        }
    }

    fn message(&self, route: IpNet, source: Option<IpAddr>) -> Result<RouteMessage, String> {
        let mut message = route_message(route, source, self.index)?;
        message.attributes.push(RouteAttribute::Table(TABLE));
        Ok(message)
    }

    async fn add_rule(&self, version: IpVersion) -> Result<(), DetourError> {
        let mut request = self
            .handle
            .rule()
            .add()
            .priority(PRIORITY)
            .fw_mark(DETOUR_MARK)
            .table_id(TABLE)
            .action(RuleAction::ToTable);
        let header = &mut request.message_mut().header;
        header.flags |= RuleFlags::Invert;
        header.family = family(&version);
        match request.execute().await {
            // Another agent of this machine has set the same one.
            Err(error) if is_taken(&error) => Ok(()),
            result => result.map_err(|error| DetourError::Rule(words(&error))),
        }
    }
}

/// Removes the rules of each IP version that has no detours: after the last one, after the end of a TUN device,
/// and at the start for an agent that crashed.
pub async fn sweep_detours(handle: &Handle) {
    for version in [IpVersion::V4, IpVersion::V6] {
        if let Err(error) = sweep(handle, version).await {
            // A machine without IPv6 has no such rules either.
            tracing::debug!(error = words(&error), "the rules for detours cannot be looked at");
        }
    }
}

async fn sweep(handle: &Handle, version: IpVersion) -> Result<(), rtnetlink::Error> {
    let mut rules = Vec::new();
    let mut found = handle.rule().get(version.clone()).execute();
    while let Some(rule) = found.try_next().await? {
        if leads_to_our_table(&rule) {
            rules.push(rule);
        }
    }
    if rules.is_empty() || has_routes(handle, &version).await? {
        return Ok(());
    }
    for rule in rules {
        match handle.rule().del(rule).execute().await {
            Ok(()) => tracing::debug!("a rule for detours is gone"),
            Err(error) => tracing::warn!(error = words(&error), "a rule for detours stays"),
        }
    }
    Ok(())
}

/// Whether any device, ours or another agent's, has a route in our table.
async fn has_routes(handle: &Handle, version: &IpVersion) -> Result<bool, rtnetlink::Error> {
    let mut message = RouteMessage::default();
    message.header.address_family = family(version);
    let mut routes = handle.route().get(message).execute();
    let mut found = false;
    // Read to the end: an answer that is cut off would disturb the next request.
    while let Some(route) = routes.try_next().await? {
        found |= route.attributes.contains(&RouteAttribute::Table(TABLE));
    }
    Ok(found)
}

fn leads_to_our_table(rule: &RuleMessage) -> bool {
    rule.attributes.contains(&RuleAttribute::Table(TABLE))
}

const fn family(version: &IpVersion) -> AddressFamily {
    match version {
        IpVersion::V4 => AddressFamily::Inet,
        IpVersion::V6 => AddressFamily::Inet6,
    }
}

fn is_taken(error: &rtnetlink::Error) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(message)
        if message.to_io().kind() == std::io::ErrorKind::AlreadyExists)
}
