//! Longest prefix match from an inner address to its owner.

use std::net::IpAddr;

use foldhash::fast::RandomState;
use ipnet::IpNet;
use rpds::HashTrieMapSync;

/// Prefixes of both families. A clone shares all its contents, and a change costs O(log n), so that every
/// change can be published as a snapshot of its own; `prefix-trie`, quicker to search, must be copied whole
/// for that.
///
/// A search takes one hash lookup for each prefix length in use, longest first: one or two where nearly all
/// routes are hosts, as in a mesh.
#[derive(Debug, Clone)]
pub(crate) struct Routes<V: Clone> {
    v4: Family<V>,
    v6: Family<V>,
}

impl<V: Clone> Default for Routes<V> {
    fn default() -> Self {
        Self { v4: Family::default(), v6: Family::default() }
    }
}

impl<V: Clone> Routes<V> {
    pub(crate) fn lookup(&self, address: IpAddr) -> Option<&V> {
        match address {
            IpAddr::V4(v4) => self.v4.lookup(align_v4(v4.to_bits())),
            IpAddr::V6(v6) => self.v6.lookup(v6.to_bits()),
        }
    }

    /// The owner of exactly this prefix.
    pub(crate) fn owner(&self, prefix: IpNet) -> Option<&V> {
        let (family, key) = match prefix {
            IpNet::V4(_) => (&self.v4, key(prefix)),
            IpNet::V6(_) => (&self.v6, key(prefix)),
        };
        family.owners.get(&key)
    }

    /// Gives the prefix to an owner; a former one loses it.
    pub(crate) fn insert(&mut self, prefix: IpNet, owner: V) {
        self.family(prefix).insert(key(prefix), owner);
    }

    pub(crate) fn remove(&mut self, prefix: IpNet) {
        self.family(prefix).remove(key(prefix));
    }

    fn family(&mut self, prefix: IpNet) -> &mut Family<V> {
        match prefix {
            IpNet::V4(_) => &mut self.v4,
            IpNet::V6(_) => &mut self.v6,
        }
    }
}

/// IPv4 occupies the upper bits, so that a prefix length means the same in both families.
const fn align_v4(bits: u32) -> u128 {
    (bits as u128) << 96
}

/// Network bits, and length.
fn key(prefix: IpNet) -> (u128, u8) {
    match prefix.trunc() {
        IpNet::V4(v4) => (align_v4(v4.addr().to_bits()), v4.prefix_len()),
        IpNet::V6(v6) => (v6.addr().to_bits(), v6.prefix_len()),
    }
}

#[derive(Debug, Clone)]
struct Family<V: Clone> {
    owners: HashTrieMapSync<(u128, u8), V, RandomState>,
    /// Lengths in use and how many prefixes have each, longest first.
    lengths: Vec<(u8, usize)>,
}

impl<V: Clone> Default for Family<V> {
    fn default() -> Self {
        Self {
            owners: HashTrieMapSync::new_with_hasher_and_ptr_kind(RandomState::default()),
            lengths: Vec::new(),
        }
    }
}

impl<V: Clone> Family<V> {
    fn lookup(&self, address: u128) -> Option<&V> {
        self.lengths.iter().find_map(|(len, _)| {
            let mask = u128::MAX.checked_shl(128 - u32::from(*len)).unwrap_or(0);
            self.owners.get(&(address & mask, *len))
        })
    }

    fn insert(&mut self, key: (u128, u8), owner: V) {
        if !self.owners.contains_key(&key) {
            match self.lengths.binary_search_by(|(len, _)| key.1.cmp(len)) {
                Ok(at) => self.lengths[at].1 += 1,
                Err(at) => self.lengths.insert(at, (key.1, 1)),
            }
        }
        self.owners.insert_mut(key, owner);
    }

    fn remove(&mut self, key: (u128, u8)) {
        if self.owners.remove_mut(&key)
            && let Some(at) = self.lengths.iter().position(|(len, _)| *len == key.1)
        {
            self.lengths[at].1 -= 1;
            if self.lengths[at].1 == 0 {
                self.lengths.remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    /// Few bits, so that prefixes nest and collide.
    fn address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            (0u32..16, 0u32..4).prop_map(|(high, low)| Ipv4Addr::from_bits(high << 28 | low).into()),
            (0u128..16, 0u128..4).prop_map(|(high, low)| Ipv6Addr::from_bits(high << 124 | low).into()),
        ]
    }

    fn prefix() -> impl Strategy<Value = IpNet> {
        (address(), 0u8..=128).prop_map(|(address, len)| {
            let max = if address.is_ipv4() { 32 } else { 128 };
            // Half of them short, half near to hosts.
            let len = if len % 2 == 0 { len % 6 } else { max - len % 4 };
            IpNet::new(address, len).unwrap().trunc()
        })
    }

    proptest! {
        #[test]
        fn lookup_equals_a_search_of_all_prefixes(
            steps in prop::collection::vec((prefix(), prop::option::of(0u8..9)), 0..60),
            addresses in prop::collection::vec(address(), 20),
        ) {
            let mut routes = Routes::default();
            let mut reference: BTreeMap<IpNet, u8> = BTreeMap::new();
            for (prefix, owner) in steps {
                let snapshot = routes.clone();
                if let Some(owner) = owner {
                    routes.insert(prefix, owner);
                    reference.insert(prefix, owner);
                } else {
                    routes.remove(prefix);
                    reference.remove(&prefix);
                }
                drop(snapshot);
                prop_assert_eq!(routes.owner(prefix), reference.get(&prefix));
            }
            for address in addresses {
                let longest = reference
                    .iter()
                    .filter(|(prefix, _)| prefix.contains(&address))
                    .max_by_key(|(prefix, _)| prefix.prefix_len());
                prop_assert_eq!(routes.lookup(address), longest.map(|(_, owner)| owner));
            }
        }
    }
}
