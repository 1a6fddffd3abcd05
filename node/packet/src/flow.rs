//! Which packets must stay in order.

use crate::layout::{Layout, ipv4, ipv6};
use crate::{Segmented, protocol};

/// Addresses, ports, protocol and IP version of a TCP or UDP packet; one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// Both ports, protocol, version: what most flows differ in is compared first.
    numbers: u64,
    source: u128,
    destination: u128,
}

impl FlowKey {
    pub(crate) fn of(layout: &Layout<'_>) -> Self {
        let (protocol, version) = match layout.kind {
            Segmented::Tcp4 | Segmented::Tcp6 => (protocol::TCP, u8::from(layout.is_ipv4)),
            Segmented::Udp => (protocol::UDP, u8::from(layout.is_ipv4)),
        };
        let ports = layout.transport_header().first_chunk().map_or(0, |ports| u32::from_be_bytes(*ports));
        let (source, destination) =
            if layout.is_ipv4 { ipv4_addresses(layout.headers) } else { ipv6_addresses(layout.headers) };
        let numbers = u64::from(ports) << 16 | u64::from(protocol) << 8 | u64::from(version);
        Self { numbers, source, destination }
    }
}

fn ipv4_addresses(header: &[u8]) -> (u128, u128) {
    let addresses = header.get(ipv4::ADDRESSES..).and_then(|rest| rest.first_chunk());
    addresses.map_or((0, 0), |both| {
        let both = u64::from_be_bytes(*both);
        (u128::from(both >> 32), u128::from(both & 0xffff_ffff))
    })
}

fn ipv6_addresses(header: &[u8]) -> (u128, u128) {
    let address = |at: usize| {
        header.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |octets| u128::from_be_bytes(*octets))
    };
    (address(ipv6::ADDRESSES), address(ipv6::ADDRESSES + 16))
}
