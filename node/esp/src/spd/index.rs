//! Finds the policies that can match a packet, without looking at the others.
//!
//! Five dimensions, one level each: local address, remote address, protocol, local port, remote port. A level
//! holds, for each length of prefix in use, the sorted prefixes of that length; a packet has one of each length.
//! Where few policies are left they are simply tried. Every node knows the first policy under it, so that nothing
//! is searched that could only find a later one than has been found.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::selector::{Flow, IpRange, Port, PortRange, Selectors, TrafficSelector};

use super::cover::{Prefix, cover};

const DIMENSIONS: usize = 5;
/// Bits of a port, with one more for packets that show none.
const PORT_BITS: u8 = 17;
const OPAQUE: u128 = 1 << 16;
/// So many policies are tried one by one rather than divided further.
const LEAF: usize = 4;

/// What is looked for: a number for each dimension, `None` where any fits.
pub(super) struct Key {
    is_v6: bool,
    numbers: [Option<u128>; DIMENSIONS],
}

impl Key {
    pub(super) fn outbound(flow: &Flow) -> Self {
        let (source, destination) = flow.selected_ports();
        Self::new(flow, flow.source, flow.destination, Some(source), destination)
    }

    pub(super) fn inbound(flow: &Flow) -> Self {
        let (source, destination) = flow.selected_ports();
        Self::new(flow, flow.destination, flow.source, destination, Some(source))
    }

    fn new(
        flow: &Flow,
        local: IpAddr,
        remote: IpAddr,
        local_port: Option<Port>,
        remote_port: Option<Port>,
    ) -> Self {
        let port = |port: Port| match port {
            Port::Seen(port) => u128::from(port),
            Port::Opaque => OPAQUE,
        };
        Self {
            is_v6: local.is_ipv6(),
            numbers: [
                Some(number(local)),
                Some(number(remote)),
                Some(flow.protocol.into()),
                local_port.map(port),
                remote_port.map(port),
            ],
        }
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

pub(super) struct Index {
    v4: Node,
    v6: Node,
}

impl Index {
    /// Of policies in order.
    pub(super) fn new<'a>(policies: impl Iterator<Item = &'a Selectors>) -> Self {
        let mut entries = [Vec::new(), Vec::new()];
        for (position, selectors) in policies.enumerate() {
            for (local, remote) in pairs(selectors) {
                add_entries(&mut entries, position, local, remote);
            }
        }
        let [v4, v6] = entries;
        Self { v4: Node::new(v4, 0), v6: Node::new(v6, 0) }
    }

    /// The first policy that `matches` says yes to, among those that the index cannot exclude.
    pub(super) fn first(&self, key: &Key, mut matches: impl FnMut(usize) -> bool) -> Option<usize> {
        let mut found = usize::MAX;
        let root = if key.is_v6 { &self.v6 } else { &self.v4 };
        root.search(&key.numbers, &widths(key.is_v6), &mut matches, &mut found);
        (found != usize::MAX).then_some(found)
    }
}

const fn widths(is_v6: bool) -> [u8; DIMENSIONS] {
    let address = if is_v6 { 128 } else { 32 };
    [address, address, 8, PORT_BITS, PORT_BITS]
}

fn pairs(selectors: &Selectors) -> impl Iterator<Item = (&TrafficSelector, &TrafficSelector)> {
    selectors.local.iter().flat_map(|local| selectors.remote.iter().map(move |remote| (local, remote)))
}

/// One place in the index where a policy is found.
struct Entry {
    position: usize,
    prefixes: [Prefix; DIMENSIONS],
}

fn add_entries(
    [v4, v6]: &mut [Vec<Entry>; 2],
    position: usize,
    local: &TrafficSelector,
    remote: &TrafficSelector,
) {
    let is_v6 = local.addresses.is_v6();
    let protocol = match (local.protocol, remote.protocol) {
        (None, None) => Prefix::ALL,
        (Some(one), Some(other)) if one != other => return,
        (Some(protocol), _) | (None, Some(protocol)) => Prefix::of(protocol.into(), 8, 8),
    };
    if is_v6 != remote.addresses.is_v6() {
        return;
    }
    let entries = if is_v6 { v6 } else { v4 };
    for local_address in cover_addresses(&local.addresses) {
        for remote_address in cover_addresses(&remote.addresses) {
            for local_port in cover_ports(local.ports) {
                for remote_port in cover_ports(remote.ports) {
                    let prefixes = [local_address, remote_address, protocol, local_port, remote_port];
                    entries.push(Entry { position, prefixes });
                }
            }
        }
    }
}

fn cover_addresses(range: &IpRange) -> impl Iterator<Item = Prefix> {
    cover(number(range.first()), number(range.last()), if range.is_v6() { 128 } else { 32 })
}

fn cover_ports(range: PortRange) -> impl Iterator<Item = Prefix> {
    let (first, last) = match range {
        PortRange::ANY => (0, (1 << PORT_BITS) - 1),
        PortRange::OPAQUE => (OPAQUE, OPAQUE),
        range => (range.first().into(), range.last().into()),
    };
    cover(first, last, PORT_BITS)
}

/// Where all policies of a prefix come together.
enum Node {
    /// Positions in order.
    Policies(Box<[usize]>),
    /// By length of prefix, the length with the earliest policy first.
    Prefixes(Box<[Length]>),
}

struct Length {
    len: u8,
    earliest: usize,
    /// Sorted; apart from the children, so that a search stays in few lines of cache.
    values: Box<[u128]>,
    /// One for each value.
    children: Box<[Child]>,
}

struct Child {
    earliest: usize,
    node: Node,
}

impl Node {
    /// `entries` come in the order of their policies.
    fn new(entries: Vec<Entry>, dimension: usize) -> Self {
        if entries.len() <= LEAF || dimension == DIMENSIONS {
            let mut positions: Vec<_> = entries.iter().map(|entry| entry.position).collect();
            positions.dedup();
            return Self::Policies(positions.into());
        }
        let mut lengths: BTreeMap<u8, BTreeMap<u128, Vec<Entry>>> = BTreeMap::new();
        for entry in entries {
            let prefix = entry.prefixes.get(dimension).copied().unwrap_or(Prefix::ALL);
            lengths.entry(prefix.len).or_default().entry(prefix.value).or_default().push(entry);
        }
        let mut lengths: Vec<_> = lengths
            .into_iter()
            .map(|(len, children)| {
                let child = |entries: Vec<Entry>| Child {
                    earliest: entries.first().map_or(usize::MAX, |entry| entry.position),
                    node: Self::new(entries, dimension + 1),
                };
                let (values, children): (Vec<_>, Vec<_>) =
                    children.into_iter().map(|(value, entries)| (value, child(entries))).unzip();
                let earliest = children.iter().map(|child| child.earliest).min().unwrap_or(usize::MAX);
                Length { len, earliest, values: values.into(), children: children.into() }
            })
            .collect();
        lengths.sort_by_key(|length| length.earliest);
        Self::Prefixes(lengths.into())
    }

    /// Lowers `found` to the first policy that matches, if one does before it.
    fn search(
        &self,
        numbers: &[Option<u128>],
        widths: &[u8],
        matches: &mut impl FnMut(usize) -> bool,
        found: &mut usize,
    ) {
        let lengths = match self {
            Self::Prefixes(lengths) => lengths,
            Self::Policies(positions) => {
                let mut earlier = positions.iter().copied().take_while(|position| position < found);
                if let Some(position) = earlier.find(|position| matches(*position)) {
                    *found = position;
                }
                return;
            }
        };
        let (Some((number, numbers)), Some((width, widths))) = (numbers.split_first(), widths.split_first())
        else {
            return;
        };
        for length in lengths {
            if length.earliest >= *found {
                return;
            }
            let children = match number {
                Some(number) => length.only(Prefix::of(*number, *width, length.len)),
                None => &length.children,
            };
            for child in children {
                if child.earliest < *found {
                    child.node.search(numbers, widths, matches, found);
                }
            }
        }
    }
}

impl Length {
    /// The child of a prefix, as a slice of one or none.
    fn only(&self, prefix: Prefix) -> &[Child] {
        let at = self.values.binary_search(&prefix.value).ok();
        at.and_then(|at| self.children.get(at..=at)).unwrap_or_default()
    }
}
