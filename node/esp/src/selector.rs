//! Which packets may pass: traffic selectors (RFC 7296 §3.13.1) and the lists of an SA (RFC 4301 §4.4.1.1).

mod flow;
mod range;
mod text;

use std::net::IpAddr;

use ipnet::IpNet;

pub(crate) use flow::Port;
pub use flow::{Flow, Ports};
pub use range::{IpRange, PortRange};
pub use text::SelectorError;

/// Addresses, protocol and ports of one side of the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TrafficSelector {
    pub addresses: IpRange,
    /// `None` for any (0 on the wire).
    pub protocol: Option<u8>,
    pub ports: PortRange,
}

impl TrafficSelector {
    /// All protocols and ports of the addresses.
    pub const fn new(addresses: IpRange) -> Self {
        Self { addresses, protocol: None, ports: PortRange::ANY }
    }

    fn allows(&self, address: IpAddr, protocol: u8, port: Option<Port>) -> bool {
        self.addresses.contains(address)
            && self.protocol.is_none_or(|only| only == protocol)
            && port.is_none_or(|port| self.ports.allows(port))
    }
}

impl From<IpNet> for TrafficSelector {
    fn from(prefix: IpNet) -> Self {
        Self::new(prefix.into())
    }
}

/// The selectors of an SA or a policy. A packet passes if one selector of each side matches it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Selectors {
    /// This node's side: the source of what it sends.
    pub local: Vec<TrafficSelector>,
    pub remote: Vec<TrafficSelector>,
}

impl Selectors {
    /// Everything, of both families.
    pub fn any_any() -> Self {
        let any = [IpRange::ANY_V4, IpRange::ANY_V6].map(TrafficSelector::new).to_vec();
        Self { local: any.clone(), remote: any }
    }

    /// All protocols between two sets of subnets.
    pub fn from_prefixes(
        local: impl IntoIterator<Item = IpNet>,
        remote: impl IntoIterator<Item = IpNet>,
    ) -> Self {
        Self {
            local: local.into_iter().map(Into::into).collect(),
            remote: remote.into_iter().map(Into::into).collect(),
        }
    }

    /// Whether this node may send the packet.
    #[inline]
    pub fn allows_outbound(&self, flow: &Flow) -> bool {
        allows(&self.local, &self.remote, flow)
    }

    /// Whether this node may receive the packet.
    #[inline]
    pub fn allows_inbound(&self, flow: &Flow) -> bool {
        allows(&self.remote, &self.local, flow)
    }
}

fn allows(sources: &[TrafficSelector], destinations: &[TrafficSelector], flow: &Flow) -> bool {
    let (source_port, destination_port) = flow.selected_ports();
    let side = |selectors: &[TrafficSelector], address, port| {
        selectors.iter().any(|selector| selector.allows(address, flow.protocol, port))
    };
    side(sources, flow.source, Some(source_port)) && side(destinations, flow.destination, destination_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selectors(local: &[&str], remote: &[&str]) -> Selectors {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Selectors { local: parse(local), remote: parse(remote) }
    }

    fn flow(source: &str, destination: &str, protocol: u8, ports: Ports) -> Flow {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        Flow { source: address(source), destination: address(destination), protocol, ports }
    }

    fn tcp(source: &str, source_port: u16, destination: &str, destination_port: u16) -> Flow {
        let ports = Ports::Pair { source: source_port, destination: destination_port };
        flow(source, destination, 6, ports)
    }

    #[test]
    fn any_to_any_passes_both_families_and_fragments() {
        let any = Selectors::any_any();
        for flow in [
            tcp("192.0.2.1", 1, "198.51.100.1", 2),
            tcp("2001:db8::1", 1, "2001:db8::2", 2),
            flow("192.0.2.1", "198.51.100.1", 17, Ports::Opaque),
        ] {
            assert!(any.allows_outbound(&flow) && any.allows_inbound(&flow));
        }
    }

    #[test]
    fn no_selectors_pass_nothing() {
        assert!(!Selectors::default().allows_outbound(&tcp("192.0.2.1", 1, "198.51.100.1", 2)));
    }

    #[test]
    fn sides_are_swapped_inbound() {
        let selectors = selectors(&["192.0.2.0/24"], &["198.51.100.0/24[tcp/443]"]);
        let out = tcp("192.0.2.1", 50_000, "198.51.100.1", 443);
        assert!(selectors.allows_outbound(&out));
        assert!(!selectors.allows_inbound(&out));
        assert!(selectors.allows_inbound(&out.reversed()));
        assert!(!selectors.allows_outbound(&tcp("192.0.2.1", 443, "198.51.100.1", 80)));
        assert!(!selectors.allows_inbound(&tcp("203.0.113.9", 443, "192.0.2.1", 50_000)));
        let udp = Flow { protocol: 17, ..out };
        assert!(!selectors.allows_outbound(&udp));
    }

    #[test]
    fn later_fragments_pass_only_where_ports_do_not_matter() {
        let fragment = flow("192.0.2.1", "198.51.100.1", 6, Ports::Opaque);
        assert!(selectors(&["192.0.2.0/24[tcp]"], &["198.51.100.0/24[tcp]"]).allows_outbound(&fragment));
        assert!(!selectors(&["192.0.2.0/24"], &["198.51.100.0/24[tcp/443]"]).allows_outbound(&fragment));
        let opaque = selectors(&["192.0.2.0/24[tcp/opaque]"], &["198.51.100.0/24[tcp/opaque]"]);
        assert!(opaque.allows_outbound(&fragment));
        assert!(!opaque.allows_outbound(&tcp("192.0.2.1", 1, "198.51.100.1", 2)));
    }

    #[test]
    fn the_type_of_an_icmp_message_is_a_matter_of_its_senders_side() {
        // RFC 4301 §4.4.1.3: a node that sends echo requests and receives only echo replies.
        let selectors = selectors(&["192.0.2.1[icmp/8]"], &["198.51.100.1[icmp/0(0)]"]);
        let icmp = |source, destination, kind| flow(source, destination, 1, Ports::Icmp { kind, code: 0 });
        assert!(selectors.allows_outbound(&icmp("192.0.2.1", "198.51.100.1", 8)));
        assert!(!selectors.allows_outbound(&icmp("192.0.2.1", "198.51.100.1", 0)));
        assert!(selectors.allows_inbound(&icmp("198.51.100.1", "192.0.2.1", 0)));
        assert!(!selectors.allows_inbound(&icmp("198.51.100.1", "192.0.2.1", 8)));
    }
}
