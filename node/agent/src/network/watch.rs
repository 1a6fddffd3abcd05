//! Word of every change of links, addresses and routes, gathered into few.

use std::io;
use std::time::Duration;

use futures_util::StreamExt as _;
use rtnetlink::packet_core::NetlinkPayload;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType};
use rtnetlink::{Handle, MulticastGroup, new_multicast_connection};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// Quiet for so long, and the change is thought complete: a new address comes with its routes.
const QUIET: Duration = Duration::from_millis(100);
/// A network that never comes to rest is reported all the same.
const LONGEST: Duration = Duration::from_millis(500);

/// Counts what happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Changes of links or addresses. A container that comes or goes makes some that matter to nobody.
    pub interfaces: u64,
    /// Changes of routes that lead out of this machine.
    pub routes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Interface,
    Route,
}

/// Watching ends when this is dropped.
pub struct NetworkWatch {
    /// For requests to the kernel.
    pub handle: Handle,
    pub changes: watch::Receiver<Changes>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for NetworkWatch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Watches the network namespace of the calling thread. Changes of the interface `tun` are our own doing and
/// not reported.
pub fn watch_network(tun: &str) -> io::Result<NetworkWatch> {
    let (connection, handle, mut messages) = new_multicast_connection(&[
        MulticastGroup::Link,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
    ])?;
    let (sender, changes) = watch::channel(Changes::default());
    let tun = tun.to_owned();
    let gather = async move {
        let mut own_index = None;
        let mut seen = Changes::default();
        while let Some((message, _)) = messages.next().await {
            let Some(change) = foreign_change(&message.payload, &tun, &mut own_index) else { continue };
            seen.count(change);
            let end = Instant::now() + LONGEST;
            let mut quiet_at = Instant::now() + QUIET;
            while let Ok(message) = timeout_at(quiet_at.min(end), messages.next()).await {
                let Some((message, _)) = message else { return };
                if let Some(change) = foreign_change(&message.payload, &tun, &mut own_index) {
                    seen.count(change);
                    quiet_at = Instant::now() + QUIET;
                }
            }
            sender.send_replace(seen);
        }
    };
    Ok(NetworkWatch { handle, changes, tasks: [tokio::spawn(connection), tokio::spawn(gather)] })
}

impl Changes {
    fn count(&mut self, change: Change) {
        match change {
            Change::Interface => self.interfaces += 1,
            Change::Route => self.routes += 1,
        }
    }
}

/// What a message tells of a change that others made. Learns the index of our own device on the way.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a foreign enum of some thirty kinds, of which six matter"
)]
fn foreign_change(
    payload: &NetlinkPayload<RouteNetlinkMessage>,
    tun: &str,
    own_index: &mut Option<u32>,
) -> Option<Change> {
    let NetlinkPayload::InnerMessage(message) = payload else {
        // The kernel lost messages for us: there were changes, of what kind nobody knows.
        return matches!(payload, NetlinkPayload::Overrun(_)).then_some(Change::Route);
    };
    let (index, change) = match message {
        RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link) => {
            if is_named(link, tun) {
                *own_index = Some(link.header.index);
            }
            (Some(link.header.index), Change::Interface)
        }
        RouteNetlinkMessage::NewAddress(address) | RouteNetlinkMessage::DelAddress(address) => {
            (Some(address.header.index), Change::Interface)
        }
        RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route) if leads_out(route) => {
            (outgoing(route), Change::Route)
        }
        _ => return None,
    };
    (index.is_none() || index != *own_index).then_some(change)
}

fn is_named(link: &LinkMessage, name: &str) -> bool {
    link.attributes.iter().any(|attribute| matches!(attribute, LinkAttribute::IfName(found) if found == name))
}

/// Local, broadcast, multicast and link-local routes follow the addresses.
fn leads_out(route: &RouteMessage) -> bool {
    let link_local = route.attributes.iter().any(|attribute| {
        matches!(attribute, RouteAttribute::Destination(RouteAddress::Inet6(to)) if to.is_unicast_link_local())
    });
    route.header.kind == RouteType::Unicast && route.header.table == RouteHeader::RT_TABLE_MAIN && !link_local
}

fn outgoing(route: &RouteMessage) -> Option<u32> {
    route
        .attributes
        .iter()
        .find_map(|attribute| if let RouteAttribute::Oif(index) = attribute { Some(*index) } else { None })
}
