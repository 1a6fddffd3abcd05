//! Which addresses a lab may use, and who gets which.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{IpVersion, Problem};

/// Addresses for documentation and benchmarks: no lab can be mistaken for a real network.
fn documentation_ranges() -> [IpNet; 5] {
    let v4 = |a, b, c, length| IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), length));
    [
        v4(192, 0, 2, 24),
        v4(198, 51, 100, 24),
        v4(203, 0, 113, 24),
        v4(198, 18, 0, 15),
        IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32)),
    ]
}

/// Reads a subnet and refuses what is not set aside for such use.
pub(super) fn subnet(text: &str) -> Result<IpNet, Problem> {
    let subnet: IpNet = text.parse().map_err(|_| Problem::Subnet(text.to_owned()))?;
    let subnet = subnet.trunc();
    if documentation_ranges().iter().any(|range| range.contains(&subnet)) {
        return Ok(subnet);
    }
    Err(Problem::NotDocumentation(subnet))
}

/// Hands out the addresses of the networks; each address once.
#[derive(Debug, Default)]
pub(super) struct Allocator {
    taken: BTreeMap<IpAddr, String>,
}

impl Allocator {
    /// Reserves an address that the scenario names.
    pub(super) fn take(
        &mut self,
        address: IpAddr,
        owner: &str,
        network: &str,
        subnets: &[IpNet],
    ) -> Result<IpNet, Problem> {
        let Some(subnet) = subnets.iter().find(|subnet| subnet.contains(&address)) else {
            let all: Vec<String> = subnets.iter().map(ToString::to_string).collect();
            return Err(Problem::AddressOutside(address, network.to_owned(), all.join(", ")));
        };
        if is_reserved(address, *subnet) {
            return Err(Problem::AddressReserved(address));
        }
        if let Some(other) = self.taken.get(&address) {
            return Err(Problem::AddressTaken(address, other.clone()));
        }
        self.taken.insert(address, owner.to_owned());
        Ok(with_prefix(address, *subnet))
    }

    /// The next free address of the first subnet of one IP version; `None` if the network has none.
    pub(super) fn next(
        &mut self,
        version: IpVersion,
        owner: &str,
        subnets: &[IpNet],
    ) -> Result<Option<IpNet>, Problem> {
        let Some(subnet) = subnets.iter().find(|subnet| IpVersion::of(subnet.addr()) == version) else {
            return Ok(None);
        };
        // No lab has more nodes than this; a /64 is not searched to its end.
        let free = subnet
            .hosts()
            .take(65_536)
            .find(|address| !is_reserved(*address, *subnet) && !self.taken.contains_key(address))
            .ok_or(Problem::SubnetFull(*subnet))?;
        self.taken.insert(free, owner.to_owned());
        Ok(Some(with_prefix(free, *subnet)))
    }
}

fn with_prefix(address: IpAddr, subnet: IpNet) -> IpNet {
    IpNet::new_assert(address, subnet.prefix_len())
}

/// Network and broadcast address of IPv4; the subnet-router anycast address of IPv6 (RFC 4291 §2.6.1).
fn is_reserved(address: IpAddr, subnet: IpNet) -> bool {
    match subnet {
        IpNet::V4(subnet) if subnet.prefix_len() < 31 => {
            address == IpAddr::V4(subnet.network()) || address == IpAddr::V4(subnet.broadcast())
        }
        IpNet::V4(_) => false,
        IpNet::V6(subnet) => subnet.prefix_len() < 127 && address == IpAddr::V6(subnet.network()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_documentation_ranges_are_accepted() {
        for good in ["192.0.2.0/24", "198.19.255.0/24", "203.0.113.128/25", "2001:db8:1::/64"] {
            assert!(subnet(good).is_ok(), "{good}");
        }
        for bad in ["10.0.0.0/24", "192.168.1.0/24", "198.0.0.0/8", "2001:db9::/64", "fd00::/64", "0.0.0.0/0"]
        {
            assert!(matches!(subnet(bad), Err(Problem::NotDocumentation(_))), "{bad}");
        }
        assert!(matches!(subnet("192.0.2.0"), Err(Problem::Subnet(_))));
    }

    #[test]
    fn a_full_subnet_says_so_and_no_address_is_given_twice() {
        let subnets = [subnet("192.0.2.0/30").unwrap()];
        let mut allocator = Allocator::default();
        let first = allocator.take("192.0.2.1".parse().unwrap(), "a", "net", &subnets).unwrap();
        let second = allocator.next(IpVersion::V4, "b", &subnets).unwrap().unwrap();
        assert_ne!(first, second);
        assert_eq!(allocator.next(IpVersion::V4, "c", &subnets), Err(Problem::SubnetFull(subnets[0])));
        assert_eq!(allocator.next(IpVersion::V6, "c", &subnets), Ok(None));
    }
}
