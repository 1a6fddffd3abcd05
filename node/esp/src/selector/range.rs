//! Ranges of addresses and ports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::flow::Port;

/// Addresses of one family, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IpRange(Bounds);

/// As integers, which compare faster than addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Bounds {
    V4 { first: u32, last: u32 },
    V6 { first: u128, last: u128 },
}

impl IpRange {
    pub const ANY_V4: Self = Self(Bounds::V4 { first: 0, last: u32::MAX });
    pub const ANY_V6: Self = Self(Bounds::V6 { first: 0, last: u128::MAX });

    /// `None` for ends of two families or the last before the first.
    pub fn new(first: IpAddr, last: IpAddr) -> Option<Self> {
        if first > last {
            return None;
        }
        match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                Some(Self(Bounds::V4 { first: first.into(), last: last.into() }))
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                Some(Self(Bounds::V6 { first: first.into(), last: last.into() }))
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
        }
    }

    /// Exactly one address.
    pub fn single(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self(Bounds::V4 { first: v4.into(), last: v4.into() }),
            IpAddr::V6(v6) => Self(Bounds::V6 { first: v6.into(), last: v6.into() }),
        }
    }

    pub fn first(&self) -> IpAddr {
        match self.0 {
            Bounds::V4 { first, .. } => Ipv4Addr::from(first).into(),
            Bounds::V6 { first, .. } => Ipv6Addr::from(first).into(),
        }
    }

    pub fn last(&self) -> IpAddr {
        match self.0 {
            Bounds::V4 { last, .. } => Ipv4Addr::from(last).into(),
            Bounds::V6 { last, .. } => Ipv6Addr::from(last).into(),
        }
    }

    pub const fn is_v6(&self) -> bool {
        matches!(self.0, Bounds::V6 { .. })
    }

    #[inline]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.0, address) {
            (Bounds::V4 { first, last }, IpAddr::V4(v4)) => (first..=last).contains(&v4.into()),
            (Bounds::V6 { first, last }, IpAddr::V6(v6)) => (first..=last).contains(&v6.into()),
            (Bounds::V4 { .. }, IpAddr::V6(_)) | (Bounds::V6 { .. }, IpAddr::V4(_)) => false,
        }
    }

    /// As one prefix, if it is one.
    pub fn prefix(&self) -> Option<IpNet> {
        let (shared, size) = match self.0 {
            Bounds::V4 { first, last } => ((first ^ last).leading_zeros(), 32),
            Bounds::V6 { first, last } => ((first ^ last).leading_zeros(), 128),
        };
        let len = u8::try_from(shared.min(size)).ok()?;
        let net = IpNet::new(self.first(), len).ok()?;
        (net.network() == self.first() && net.broadcast() == self.last()).then_some(net)
    }
}

impl From<IpNet> for IpRange {
    fn from(prefix: IpNet) -> Self {
        match prefix {
            IpNet::V4(v4) => Self(Bounds::V4 { first: v4.network().into(), last: v4.broadcast().into() }),
            IpNet::V6(v6) => Self(Bounds::V6 { first: v6.network().into(), last: v6.broadcast().into() }),
        }
    }
}

/// Ports, or ICMP types and codes as one number of 16 bits, type first (RFC 4301 §4.4.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// Whatever the ports are, even where none can be seen.
    pub const ANY: Self = Self { first: 0, last: u16::MAX };
    /// Packets that show no port, such as later fragments (RFC 7296 §3.13.1).
    pub const OPAQUE: Self = Self { first: u16::MAX, last: 0 };

    /// From the two fields of the wire format. `None` if the last is before the first, except for
    /// [`Self::OPAQUE`].
    pub const fn new(first: u16, last: u16) -> Option<Self> {
        if first <= last || (first == u16::MAX && last == 0) { Some(Self { first, last }) } else { None }
    }

    pub const fn single(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// An ICMP type with all its codes.
    pub const fn icmp_type(kind: u8) -> Self {
        Self { first: u16::from_be_bytes([kind, 0]), last: u16::from_be_bytes([kind, u8::MAX]) }
    }

    /// One ICMP type and code.
    pub const fn icmp(kind: u8, code: u8) -> Self {
        Self::single(u16::from_be_bytes([kind, code]))
    }

    pub const fn first(self) -> u16 {
        self.first
    }

    pub const fn last(self) -> u16 {
        self.last
    }

    #[inline]
    pub(super) fn allows(self, port: Port) -> bool {
        match port {
            _ if self == Self::ANY => true,
            Port::Seen(port) => (self.first..=self.last).contains(&port),
            Port::Opaque => self == Self::OPAQUE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: &str, last: &str) -> Option<IpRange> {
        IpRange::new(first.parse().unwrap(), last.parse().unwrap())
    }

    #[test]
    fn a_range_has_one_family_and_runs_upwards() {
        assert!(range("192.0.2.1", "192.0.2.9").is_some());
        assert_eq!(range("192.0.2.9", "192.0.2.1"), None);
        assert_eq!(range("192.0.2.1", "2001:db8::1"), None);
        assert_eq!(range("::1", "255.0.0.0"), None);
    }

    #[test]
    fn both_ends_belong_to_a_range_and_the_other_family_does_not() {
        let range = range("192.0.2.1", "192.0.2.9").unwrap();
        for (address, inside) in [
            ("192.0.2.0", false),
            ("192.0.2.1", true),
            ("192.0.2.9", true),
            ("192.0.2.10", false),
            ("::ffff:192.0.2.5", false),
        ] {
            assert_eq!(range.contains(address.parse().unwrap()), inside, "{address}");
        }
    }

    #[test]
    fn a_range_knows_whether_it_is_a_prefix() {
        for text in ["0.0.0.0/0", "192.0.2.0/24", "192.0.2.7/32", "::/0", "2001:db8::/32", "2001:db8::1/128"]
        {
            let prefix: IpNet = text.parse().unwrap();
            assert_eq!(IpRange::from(prefix).prefix(), Some(prefix));
        }
        assert_eq!(range("192.0.2.1", "192.0.2.2").unwrap().prefix(), None);
        assert_eq!(range("192.0.2.0", "192.0.2.2").unwrap().prefix(), None);
    }

    #[test]
    fn only_opaque_runs_downwards() {
        assert_eq!(PortRange::new(2, 1), None);
        assert_eq!(PortRange::new(65_535, 0), Some(PortRange::OPAQUE));
        assert_eq!(PortRange::new(65_535, 1), None);
    }

    #[test]
    fn any_takes_unseen_ports_and_a_full_list_of_types_is_a_range() {
        assert!(PortRange::ANY.allows(Port::Opaque));
        assert!(PortRange::ANY.allows(Port::Seen(0)));
        assert!(!PortRange::single(7).allows(Port::Opaque));
        assert!(!PortRange::OPAQUE.allows(Port::Seen(65_535)));
        assert!(PortRange::icmp_type(8).allows(Port::Seen(0x0803)));
        assert!(!PortRange::icmp_type(8).allows(Port::Seen(0x0903)));
        assert!(!PortRange::icmp(3, 4).allows(Port::Seen(0x0303)));
    }
}
