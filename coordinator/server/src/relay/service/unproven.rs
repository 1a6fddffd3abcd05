//! Connections that have proved nothing yet: a few at a time, and of one network fewer still.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// At one time.
const MOST: usize = 256;
/// At one time from one address; in IPv6 from one /64, since a customer has that many.
const MOST_OF_ONE: usize = 32;

#[derive(Clone, Debug, Default)]
pub(super) struct Unproven(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Pass {
    unproven: Unproven,
    network: IpAddr,
}

impl Unproven {
    /// A place, if there is one.
    pub(super) fn admit(&self, from: IpAddr) -> Option<Pass> {
        let network = match from.to_canonical() {
            IpAddr::V4(ip) => ip.into(),
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, of_one) = (counts.values().sum::<usize>(), counts.get(&network).copied().unwrap_or(0));
        if all >= MOST || of_one >= MOST_OF_ONE {
            return None;
        }
        counts.insert(network, of_one + 1);
        Some(Pass { unproven: self.clone(), network })
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut counts = self.unproven.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_does_not_take_all_places_and_places_come_back() {
        let unproven = Unproven::default();
        let one: Vec<_> = (0..1000_u16)
            .filter_map(|host| unproven.admit([0x2001, 0xdb8, 0, 0, 0, 0, 0, host].into()))
            .collect();
        assert_eq!(one.len(), 32);
        let others: Vec<_> = (0..1000_u16)
            .filter_map(|net| unproven.admit([0x2001, 0xdb8, 1, net, 0, 0, 0, 1].into()))
            .collect();
        assert_eq!(others.len(), 224);
        assert!(unproven.admit([192, 0, 2, 1].into()).is_none());
        drop(one);
        assert!(unproven.admit([192, 0, 2, 1].into()).is_some());
        drop(others);
        assert!(unproven.0.lock().unwrap().is_empty(), "nothing is remembered");
    }
}
