//! Selectors as engineers write them: `192.0.2.0/24[tcp/443]`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::{IpRange, PortRange, Selectors, TrafficSelector};

/// Protocols with a name; the others go by number. For a number, the first name is the one shown.
const PROTOCOLS: &[(&str, u8)] = &[
    ("icmp", 1),
    ("tcp", 6),
    ("udp", 17),
    ("dccp", 33),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmpv6", 58),
    ("ipv6-icmp", 58),
    ("ospf", 89),
    ("sctp", 132),
    ("mh", 135),
    ("udplite", 136),
];

/// Protocols whose "port" is a type and a code.
const ICMP: [u8; 2] = [1, 58];

/// Why a text is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectorError {
    #[error("{0:?} is neither a prefix, nor an address, nor a range of addresses")]
    Addresses(String),
    #[error("the range {0:?} mixes IPv4 and IPv6 or ends before it begins")]
    Range(String),
    #[error("{given} has bits set beyond its prefix: {meant}?")]
    HostBits { given: IpNet, meant: IpNet },
    #[error("the bracket in {0:?} is not closed at the end")]
    Bracket(String),
    #[error("{0:?} is no protocol: any, a name such as tcp, or a number from 1 to 255")]
    Protocol(String),
    #[error("{0:?} is no port, range of ports, ICMP type, or `opaque`")]
    Ports(String),
}

impl FromStr for TrafficSelector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((addresses, rest)) = text.split_once('[') else { return Ok(Self::new(text.parse()?)) };
        let inside = rest.strip_suffix(']').ok_or_else(|| SelectorError::Bracket(text.to_owned()))?;
        let (protocol, ports) = match inside.split_once('/') {
            Some((protocol, ports)) => (protocol, Some(ports)),
            None => (inside, None),
        };
        let protocol = parse_protocol(protocol)?;
        let ports = ports.map_or(Ok(PortRange::ANY), |ports| parse_ports(ports, protocol))?;
        Ok(Self { addresses: addresses.parse()?, protocol, ports })
    }
}

impl FromStr for IpRange {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let no_addresses = || SelectorError::Addresses(text.to_owned());
        let address = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| no_addresses());
        if let Some((first, last)) = text.split_once('-') {
            return Self::new(address(first)?, address(last)?)
                .ok_or_else(|| SelectorError::Range(text.to_owned()));
        }
        if !text.contains('/') {
            return Ok(Self::single(address(text)?));
        }
        let given: IpNet = text.trim().parse().map_err(|_| no_addresses())?;
        let meant = given.trunc();
        if given == meant { Ok(given.into()) } else { Err(SelectorError::HostBits { given, meant }) }
    }
}

fn parse_protocol(text: &str) -> Result<Option<u8>, SelectorError> {
    if text == "any" {
        return Ok(None);
    }
    PROTOCOLS
        .iter()
        .find_map(|(name, number)| (*name == text).then_some(*number))
        .or_else(|| text.parse().ok().filter(|number| *number != 0))
        .map(Some)
        .ok_or_else(|| SelectorError::Protocol(text.to_owned()))
}

fn parse_ports(text: &str, protocol: Option<u8>) -> Result<PortRange, SelectorError> {
    let is_icmp = protocol.is_some_and(|protocol| ICMP.contains(&protocol));
    let one = |text: &str| if is_icmp { parse_icmp(text) } else { text.parse().ok().map(PortRange::single) };
    let range = if text == "opaque" {
        Some(PortRange::OPAQUE)
    } else if let Some((first, last)) = text.split_once('-') {
        one(first)
            .zip(one(last))
            .filter(|(first, last)| first.first() <= last.last())
            .and_then(|(first, last)| PortRange::new(first.first(), last.last()))
    } else {
        one(text)
    };
    range.ok_or_else(|| SelectorError::Ports(text.to_owned()))
}

/// `8` for a type with all its codes, `3(4)` for one code.
fn parse_icmp(text: &str) -> Option<PortRange> {
    let Some((kind, code)) = text.split_once('(') else { return text.parse().ok().map(PortRange::icmp_type) };
    Some(PortRange::icmp(kind.parse().ok()?, code.strip_suffix(')')?.parse().ok()?))
}

impl fmt::Display for TrafficSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.addresses.fmt(f)?;
        if self.protocol.is_none() && self.ports == PortRange::ANY {
            return Ok(());
        }
        f.write_str("[")?;
        match self.protocol {
            None => f.write_str("any")?,
            Some(number) => match PROTOCOLS.iter().find(|(_, of)| *of == number) {
                Some((name, _)) => f.write_str(name)?,
                None => write!(f, "{number}")?,
            },
        }
        let is_icmp = self.protocol.is_some_and(|protocol| ICMP.contains(&protocol));
        match self.ports {
            PortRange::ANY => {}
            PortRange::OPAQUE => f.write_str("/opaque")?,
            ports if is_icmp => write_icmp(f, ports)?,
            ports if ports.first() == ports.last() => write!(f, "/{}", ports.first())?,
            ports => write!(f, "/{}-{}", ports.first(), ports.last())?,
        }
        f.write_str("]")
    }
}

fn write_icmp(f: &mut fmt::Formatter<'_>, ports: PortRange) -> fmt::Result {
    let [first_kind, first_code] = ports.first().to_be_bytes();
    let [last_kind, last_code] = ports.last().to_be_bytes();
    if ports.first() == ports.last() {
        write!(f, "/{first_kind}({first_code})")
    } else if (first_code, last_code) != (0, u8::MAX) {
        write!(f, "/{first_kind}({first_code})-{last_kind}({last_code})")
    } else if first_kind == last_kind {
        write!(f, "/{first_kind}")
    } else {
        write!(f, "/{first_kind}-{last_kind}")
    }
}

impl fmt::Display for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix() {
            Some(prefix) => prefix.fmt(f),
            None => write!(f, "{}-{}", self.first(), self.last()),
        }
    }
}

impl fmt::Display for Selectors {
    /// `192.0.2.0/24 === 198.51.100.0/24[tcp/443], 203.0.113.0/24`, as strongSwan's logs have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, selectors: &[TrafficSelector]| {
            selectors.iter().enumerate().try_for_each(|(index, selector)| {
                f.write_str(if index == 0 { "" } else { ", " })?;
                selector.fmt(f)
            })
        };
        list(f, &self.local)?;
        f.write_str(" === ")?;
        list(f, &self.remote)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_reads_the_same() {
        for text in [
            "192.0.2.0/24",
            "198.51.100.7/32[tcp/80]",
            "2001:db8::/32[icmpv6]",
            "192.0.2.1-192.0.2.9[udp/1000-2000]",
            "2001:db8::1-2001:db8::9",
            "0.0.0.0/0[icmp/8]",
            "0.0.0.0/0[icmp/3(4)]",
            "0.0.0.0/0[icmp/8-10]",
            "::/0[icmpv6/1(2)-3(4)]",
            "::/0[tcp/opaque]",
            "::/0[any/53]",
            "::/0[253]",
        ] {
            assert_eq!(text.parse::<TrafficSelector>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_spellings_are_understood() {
        for (given, shown) in [
            ("198.51.100.7[tcp/80]", "198.51.100.7/32[tcp/80]"),
            ("192.0.2.0-192.0.2.255", "192.0.2.0/24"),
            ("::/0[ipv6-icmp/128]", "::/0[icmpv6/128]"),
            ("::/0[any]", "::/0"),
            ("::/0[6]", "::/0[tcp]"),
            ("::/0[tcp/0-65535]", "::/0[tcp]"),
        ] {
            assert_eq!(given.parse::<TrafficSelector>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn an_error_says_what_is_wrong() {
        for (given, said) in [
            ("192.0.2.7/24", "192.0.2.7/24 has bits set beyond its prefix: 192.0.2.0/24?"),
            ("example.org", "\"example.org\" is neither a prefix, nor an address, nor a range of addresses"),
            (
                "10.0.0.2-10.0.0.1",
                "the range \"10.0.0.2-10.0.0.1\" mixes IPv4 and IPv6 or ends before it begins",
            ),
            ("::/0[tcp", "the bracket in \"::/0[tcp\" is not closed at the end"),
            ("::/0[tpc]", "\"tpc\" is no protocol: any, a name such as tcp, or a number from 1 to 255"),
            ("::/0[tcp/65536]", "\"65536\" is no port, range of ports, ICMP type, or `opaque`"),
            ("::/0[tcp/2-1]", "\"2-1\" is no port, range of ports, ICMP type, or `opaque`"),
            ("::/0[tcp/65535-0]", "\"65535-0\" is no port, range of ports, ICMP type, or `opaque`"),
            ("::/0[icmpv6/3(4]", "\"3(4\" is no port, range of ports, ICMP type, or `opaque`"),
        ] {
            assert_eq!(given.parse::<TrafficSelector>().unwrap_err().to_string(), said);
        }
    }

    #[test]
    fn both_sides_are_shown() {
        let text = Selectors {
            local: vec!["192.0.2.0/24".parse().unwrap()],
            remote: vec!["198.51.100.0/24[tcp/443]".parse().unwrap(), "203.0.113.0/24".parse().unwrap()],
        }
        .to_string();
        assert_eq!(text, "192.0.2.0/24 === 198.51.100.0/24[tcp/443], 203.0.113.0/24");
    }

    proptest! {
        #[test]
        fn every_selector_reads_back_as_itself(
            a in any::<IpAddr>(), b in any::<IpAddr>(), protocol in any::<u8>(), first: u16, last: u16,
        ) {
            let addresses = IpRange::new(a.min(b), a.max(b)).unwrap_or(IpRange::single(a));
            let ports = PortRange::new(first, last).unwrap_or(PortRange::single(first));
            let selector = TrafficSelector { addresses, protocol: Some(protocol).filter(|p| *p != 0), ports };
            prop_assert_eq!(selector.to_string().parse(), Ok(selector));
        }
    }
}
