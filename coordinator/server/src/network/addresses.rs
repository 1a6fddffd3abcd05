//! Overlay addresses: a node has the same host number in both prefixes of the network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};
use twinmesh_control::Network;

/// IPv4, then IPv6.
pub fn overlay_addresses(network: &Network, host: u32) -> [IpAddr; 2] {
    let ipv4 = u32::from(network.ipv4.network()).wrapping_add(host);
    let ipv6 = u128::from(network.ipv6.network()).wrapping_add(host.into());
    [Ipv4Addr::from(ipv4).into(), Ipv6Addr::from(ipv6).into()]
}

/// The same as prefixes of one address each.
pub fn host_prefixes(network: &Network, host: u32) -> [IpNet; 2] {
    overlay_addresses(network, host).map(IpNet::from)
}

/// A unique local prefix (RFC 4193 §3.2): `fd`, 40 random bits, subnet 0.
pub fn random_ula(random: [u8; 5]) -> Ipv6Net {
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[1..6].copy_from_slice(&random);
    Ipv6Net::new_assert(octets.into(), 48)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_number_gives_one_address_of_each_family() {
        let network = Network {
            name: "test".to_owned(),
            ipv4: "100.64.0.0/10".parse().unwrap(),
            ipv6: random_ula([1, 2, 3, 4, 5]),
        };
        assert_eq!(network.ipv6.to_string(), "fd01:203:405::/48");
        let texts = |host| overlay_addresses(&network, host).map(|address| address.to_string());
        assert_eq!(texts(1), ["100.64.0.1", "fd01:203:405::1"]);
        assert_eq!(texts(70_000), ["100.65.17.112", "fd01:203:405::1:1170"]);
    }
}
