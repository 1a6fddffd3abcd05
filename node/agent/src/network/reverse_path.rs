//! The kernel's reverse path filter (RFC 3704).

use std::collections::BTreeSet;
use std::fs;

use super::endpoints::read_host_addresses;

const STRICT: u32 = 1;

/// Interfaces with IPv4, other than loopback and the TUN device, that take a packet only where an answer to its
/// source would leave by the same interface. IPv6 has no such filter in the kernel.
pub fn strict_interfaces(tun: &str) -> Vec<String> {
    let of_all = filter_of("all");
    let interfaces: BTreeSet<String> = read_host_addresses()
        .unwrap_or_default()
        .into_iter()
        .filter(|host| host.address.is_ipv4() && !host.address.is_loopback() && host.interface != tun)
        .map(|host| host.interface)
        .collect();
    // The looser of the two holds: Documentation/networking/ip-sysctl.rst.
    interfaces.into_iter().filter(|interface| filter_of(interface).max(of_all) == STRICT).collect()
}

fn filter_of(interface: &str) -> u32 {
    let path = format!("/proc/sys/net/ipv4/conf/{interface}/rp_filter");
    fs::read_to_string(path).ok().and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}
