//! Where this node's data port may be reached: the addresses of its interfaces.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use twinmesh_control::{Endpoint, EndpointKind};

/// Flags of an address (linux/if_addr.h).
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_TENTATIVE: u32 = 0x40;
/// More would only make other nodes try addresses in vain.
const MOST_ENDPOINTS: usize = 32;

/// One address of one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAddress {
    pub interface: String,
    pub address: IpAddr,
    /// The interface is up and has a carrier.
    pub running: bool,
}

/// All addresses of all interfaces of this network namespace.
pub fn read_host_addresses() -> io::Result<Vec<HostAddress>> {
    let unsettled = unsettled_ipv6();
    let all = getifaddrs()?.filter_map(|entry| {
        let storage = entry.address?;
        let address = match (storage.as_sockaddr_in(), storage.as_sockaddr_in6()) {
            (Some(ipv4), _) => IpAddr::V4(ipv4.ip()),
            (None, Some(ipv6)) => IpAddr::V6(ipv6.ip()),
            (None, None) => return None,
        };
        let running = entry.flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING);
        Some(HostAddress { interface: entry.interface_name, address, running })
    });
    Ok(all.filter(|host| !unsettled.contains(&host.address)).collect())
}

/// Addresses that the kernel does not use: duplicate address detection (RFC 4862 §5.4) has not ended or found
/// another owner. The kernel tells when they become usable.
fn unsettled_ipv6() -> BTreeSet<IpAddr> {
    // Without IPv6 there is no such file.
    let table = fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap_or_default();
    table.lines().filter_map(unsettled).collect()
}

fn unsettled(line: &str) -> Option<IpAddr> {
    let mut fields = line.split_whitespace();
    let address = u128::from_str_radix(fields.next()?, 16).ok()?;
    let flags = u32::from_str_radix(fields.nth(3)?, 16).ok()?;
    (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) != 0).then(|| Ipv6Addr::from_bits(address).into())
}

/// The addresses that another node could send to: not loopback, not link-local, neither the TUN device's nor
/// inside the overlay's prefixes.
pub fn host_addresses(all: &[HostAddress], tun: &str, overlay: &[IpNet]) -> BTreeSet<IpAddr> {
    all.iter()
        .filter(|host| host.running && host.interface != tun)
        .map(|host| host.address)
        .filter(|address| is_reachable(*address) && !overlay.iter().any(|prefix| prefix.contains(address)))
        .collect()
}

fn is_reachable(address: IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(ipv4) => ipv4.is_link_local() || ipv4.is_broadcast(),
        IpAddr::V6(ipv6) => ipv6.is_unicast_link_local(),
    };
    !(link_local || address.is_loopback() || address.is_unspecified() || address.is_multicast())
}

/// What to report: the address at the relay, those addresses with the data port, the port that the router has mapped,
/// and what STUN saw, unless it is one of them.
pub fn host_endpoints(
    hosts: &BTreeSet<IpAddr>,
    port: u16,
    reflexive: &[SocketAddr],
    mapped: Option<SocketAddr>,
    relayed: Option<SocketAddr>,
) -> Vec<Endpoint> {
    let endpoint = |address, kind| Endpoint { address, kind };
    let host = hosts.iter().map(|address| endpoint(SocketAddr::new(*address, port), EndpointKind::Host));
    let seen = reflexive
        .iter()
        .filter(|seen| !(hosts.contains(&seen.ip()) && seen.port() == port) && mapped != Some(**seen))
        .map(|seen| endpoint(*seen, EndpointKind::Reflexive));
    let mapped = mapped.map(|outer| endpoint(outer, EndpointKind::Mapped));
    // First: by it the node is reached whatever stands between, and of very many the first alone are tried.
    let relayed = relayed.map(|relayed| endpoint(relayed, EndpointKind::Relayed));
    relayed.into_iter().chain(mapped).chain(seen).chain(host).take(MOST_ENDPOINTS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(interface: &str, address: &str) -> HostAddress {
        HostAddress { interface: interface.to_owned(), address: address.parse().unwrap(), running: true }
    }

    #[test]
    fn only_addresses_that_others_can_send_to_are_candidates() {
        let down = HostAddress { running: false, ..host("eth1", "198.51.100.9") };
        let all = [
            host("lo", "127.0.0.1"),
            host("lo", "::1"),
            host("eth0", "192.0.2.7"),
            host("eth0", "2001:db8::7"),
            host("eth0", "fe80::1"),
            host("eth0", "169.254.3.4"),
            host("eth0", "100.64.9.9"),
            host("mesh0", "203.0.113.5"),
            down,
        ];
        let overlay = ["100.64.0.0/10".parse().unwrap(), "fd00:1::/48".parse().unwrap()];
        let found: Vec<_> = host_addresses(&all, "mesh0", &overlay).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.7", "2001:db8::7"]);
    }

    #[test]
    fn what_works_most_often_comes_first_and_nothing_is_said_twice() {
        let hosts = BTreeSet::from(["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()]);
        let reflexive = ["203.0.113.1:61000".parse().unwrap(), "[2001:db8::7]:4500".parse().unwrap()];
        let said = |mapped: Option<&str>| -> Vec<_> {
            host_endpoints(&hosts, 4500, &reflexive, mapped.map(|outer| outer.parse().unwrap()), None)
                .into_iter()
                .map(|endpoint| format!("{} {}", endpoint.kind, endpoint.address))
                .collect()
        };
        let hosts = ["host 192.0.2.7:4500", "host [2001:db8::7]:4500"];
        let seen = "reflexive 203.0.113.1:61000";
        assert_eq!(said(None), [&[seen][..], &hosts].concat());
        assert_eq!(said(Some("203.0.113.1:7")), [&["mapped 203.0.113.1:7", seen][..], &hosts].concat());
        assert_eq!(said(Some("203.0.113.1:61000")), [&["mapped 203.0.113.1:61000"][..], &hosts].concat());
    }

    #[test]
    fn an_address_that_others_may_have_too_is_not_used_yet() {
        let line = |flags: &str| format!("20010db8000000000000000000000007 02 40 00 {flags} eth0");
        let address: IpAddr = "2001:db8::7".parse().unwrap();
        for (flags, found) in [("80", None), ("00", None), ("c0", Some(address)), ("48", Some(address))] {
            assert_eq!(unsettled(&line(flags)), found, "{flags}");
        }
        assert_eq!(unsettled(""), None);
    }

    #[test]
    fn the_machine_has_its_loopback_address() {
        let all = read_host_addresses().unwrap();
        assert!(all.iter().any(|host| host.interface == "lo"), "{all:?}");
    }
}
