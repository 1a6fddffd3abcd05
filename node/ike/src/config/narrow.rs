//! Traffic selectors and their narrowing (RFC 7296 §2.9, §3.13.1).

use std::fmt;
use std::net::IpAddr;

/// A payload holds no more (RFC 7296 §3.13: the number is one byte).
pub const MOST_SELECTORS: usize = 255;

/// Addresses, protocol and ports of one side of the traffic, as they stand on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TrafficSelector {
    /// 0 for any.
    pub protocol: u8,
    /// 0 to 65,535 for any; 65,535 to 0 for OPAQUE (RFC 4301 §4.4.1.1). ICMP: type and code.
    pub start_port: u16,
    pub end_port: u16,
    first: IpAddr,
    last: IpAddr,
}

/// How many selectors of each side one child has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Narrowing {
    /// All that both sides allow.
    #[default]
    Whole,
    /// One selector only, and a child for each pair when this end asks: for peers that know one pair of subnets per
    /// child.
    SinglePair,
}

/// Both sides' selectors from one end's point of view.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SelectorPair {
    pub local: Vec<TrafficSelector>,
    pub remote: Vec<TrafficSelector>,
}

impl TrafficSelector {
    /// All protocols and ports of a range; `None` where its ends are of two families or in the wrong order.
    pub fn new(first: IpAddr, last: IpAddr) -> Option<Self> {
        let ordered = first.is_ipv4() == last.is_ipv4() && first <= last;
        ordered.then_some(Self { protocol: 0, start_port: 0, end_port: u16::MAX, first, last })
    }

    /// One address.
    pub const fn host(address: IpAddr) -> Self {
        Self { protocol: 0, start_port: 0, end_port: u16::MAX, first: address, last: address }
    }

    #[must_use]
    pub const fn with_protocol(self, protocol: u8, start_port: u16, end_port: u16) -> Self {
        Self { protocol, start_port, end_port, ..self }
    }

    pub const fn first(&self) -> IpAddr {
        self.first
    }

    pub const fn last(&self) -> IpAddr {
        self.last
    }

    pub const fn is_ipv6(&self) -> bool {
        self.first.is_ipv6()
    }

    const fn any_port(&self) -> bool {
        self.start_port == 0 && self.end_port == u16::MAX
    }

    const fn is_opaque(&self) -> bool {
        self.start_port == u16::MAX && self.end_port == 0
    }

    /// What both allow; never more than either (trap 9).
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        if self.is_ipv6() != other.is_ipv6() {
            return None;
        }
        let protocol = match (self.protocol, other.protocol) {
            (0, only) | (only, 0) => only,
            (one, other) if one == other => one,
            _ => return None,
        };
        let (start_port, end_port) = match (self.is_opaque(), other.is_opaque()) {
            (true, true) => (self.start_port, self.end_port),
            // RFC 7296 §3.13.1: any port includes those that cannot be seen.
            (true, false) if other.any_port() => (self.start_port, self.end_port),
            (false, true) if self.any_port() => (other.start_port, other.end_port),
            (true, false) | (false, true) => return None,
            (false, false) => (self.start_port.max(other.start_port), self.end_port.min(other.end_port)),
        };
        let (first, last) = (self.first.max(other.first), self.last.min(other.last));
        let opaque = start_port == u16::MAX && end_port == 0;
        let holds =
            first <= last && (start_port <= end_port || opaque && (self.is_opaque() || other.is_opaque()));
        holds.then_some(Self { protocol, start_port, end_port, first, last })
    }

    /// Whether all that the other allows is allowed here too.
    pub fn contains(&self, other: &Self) -> bool {
        self.intersection(other) == Some(*other)
    }
}

/// What the peer asks for as far as this side allows it; empty where nothing is left (TS_UNACCEPTABLE). In the peer's
/// order, so that what the peer's first selector asks for (the packet that made it ask) stands first.
pub fn narrow(
    offered: &[TrafficSelector],
    allowed: &[TrafficSelector],
    how: Narrowing,
) -> Vec<TrafficSelector> {
    let mut narrowed: Vec<TrafficSelector> = Vec::new();
    'offers: for theirs in offered {
        for ours in allowed {
            let Some(both) = theirs.intersection(ours) else { continue };
            if narrowed.iter().any(|known| known.contains(&both)) {
                continue;
            }
            // The first keeps its place, even if a later one is wider.
            let mut index = 0;
            narrowed.retain(|known| {
                index += 1;
                index == 1 || !both.contains(known)
            });
            if narrowed.len() == MOST_SELECTORS {
                break 'offers;
            }
            narrowed.push(both);
        }
    }
    if how == Narrowing::SinglePair {
        // The packet's own subnet, rather than a child for each packet.
        let first = narrowed.first().copied();
        let widest = narrowed.iter().skip(1).find(|both| first.is_some_and(|first| both.contains(&first)));
        return widest.copied().or(first).into_iter().collect();
    }
    narrowed
}

/// Whether an answer stays within what was asked for (RFC 7296 §2.9): each selector inside one of ours, and something
/// left.
pub fn is_narrowed(answer: &[TrafficSelector], offered: &[TrafficSelector]) -> bool {
    !answer.is_empty() && answer.iter().all(|theirs| offered.iter().any(|ours| ours.contains(theirs)))
}

impl SelectorPair {
    /// Both sides narrowed, or why the child cannot be: as responder, `offered` already seen from this end.
    pub fn narrowed(&self, offered: &Self, how: Narrowing) -> Result<Self, SelectorsRefused> {
        let narrowed = Self {
            local: narrow(&offered.local, &self.local, how),
            remote: narrow(&offered.remote, &self.remote, how),
        };
        if narrowed.local.is_empty() || narrowed.remote.is_empty() {
            return Err(SelectorsRefused { offered: offered.clone(), allowed: self.clone() });
        }
        Ok(narrowed)
    }
}

/// Selectors that have nothing in common, in words for the one who can change it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SelectorsRefused {
    pub offered: SelectorPair,
    pub allowed: SelectorPair,
}

impl fmt::Display for SelectorsRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer asked for {}; this child allows {}", self.offered, self.allowed)?;
        let unmet = |offered: &[TrafficSelector], allowed: &[TrafficSelector]| {
            narrow(offered, allowed, Narrowing::Whole).is_empty()
        };
        let sides = [
            ("local_ts", unmet(&self.offered.local, &self.allowed.local)),
            ("remote_ts", unmet(&self.offered.remote, &self.allowed.remote)),
        ];
        let names: Vec<&str> = sides.into_iter().filter(|(_, unmet)| *unmet).map(|(name, _)| name).collect();
        write!(f, "; correct {} here, or the selectors at the peer", names.join(" and "))
    }
}

impl fmt::Display for SelectorPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, side: &[TrafficSelector]| {
            for (index, selector) in side.iter().enumerate() {
                if index > 0 {
                    f.write_str(", ")?;
                }
                write!(f, "{selector}")?;
            }
            Ok(())
        };
        list(f, &self.local)?;
        f.write_str(" === ")?;
        list(f, &self.remote)
    }
}

/// `10.1.0.0/16[6/443]`, as strongSwan writes it.
impl fmt::Display for TrafficSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match prefix_len(self.first, self.last) {
            Some(length) => write!(f, "{}/{length}", self.first)?,
            None => write!(f, "{}-{}", self.first, self.last)?,
        }
        let ports = match (self.any_port(), self.is_opaque()) {
            (true, _) => String::new(),
            (false, true) => "/opaque".to_owned(),
            (false, false) if self.start_port == self.end_port => format!("/{}", self.start_port),
            (false, false) => format!("/{}-{}", self.start_port, self.end_port),
        };
        match (self.protocol, ports.as_str()) {
            (0, "") => Ok(()),
            (0, ports) => write!(f, "[any{ports}]"),
            (protocol, ports) => write!(f, "[{protocol}{ports}]"),
        }
    }
}

/// Of a range that is a prefix.
fn prefix_len(first: IpAddr, last: IpAddr) -> Option<u32> {
    let (first, last, width) = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            (u128::from(first.to_bits()), u128::from(last.to_bits()), 32)
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => (first.to_bits(), last.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    };
    let differing = first ^ last;
    let host_bits = u128::BITS - differing.leading_zeros();
    // All host bits are 0 in the first and 1 in the last address.
    let whole = differing.count_ones() == host_bits && first & differing == 0;
    whole.then(|| width - host_bits)
}

#[cfg(test)]
mod tests;
