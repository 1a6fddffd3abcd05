//! How many IKE SAs wait for IKE_AUTH: the measure of a flood.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::output::HalfOpenLimits;

#[derive(Debug, Default)]
pub(crate) struct HalfOpen {
    total: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

/// What an IKE_SA_INIT of an unknown initiator gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Welcome,
    /// Only with a cookie.
    WithCookie,
    /// Nothing, not even an answer.
    Refused,
}

impl HalfOpen {
    pub(crate) fn admission(&self, limits: &HalfOpenLimits, address: IpAddr) -> Admission {
        let here = self.by_address.get(&address).copied().unwrap_or(0);
        if self.total >= limits.total || here >= limits.per_address {
            Admission::Refused
        } else if self.total >= limits.cookie_from || here >= limits.cookie_from_per_address {
            Admission::WithCookie
        } else {
            Admission::Welcome
        }
    }

    pub(crate) fn enter(&mut self, address: IpAddr) {
        self.total = self.total.saturating_add(1);
        let here = self.by_address.entry(address).or_default();
        *here = here.saturating_add(1);
    }

    pub(crate) fn leave(&mut self, address: IpAddr) {
        self.total = self.total.saturating_sub(1);
        if let Some(here) = self.by_address.get_mut(&address) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                self.by_address.remove(&address);
            }
        }
    }

    pub(crate) fn total(&self) -> usize {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trap_32_a_flood_gets_cookies_first_and_silence_then() {
        let limits = HalfOpenLimits {
            cookie_from: 4,
            cookie_from_per_address: 2,
            total: 6,
            per_address: 3,
            ..HalfOpenLimits::default()
        };
        let (one, two) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let mut half_open = HalfOpen::default();
        assert_eq!(half_open.admission(&limits, one), Admission::Welcome);
        half_open.enter(one);
        half_open.enter(one);
        assert_eq!(half_open.admission(&limits, one), Admission::WithCookie);
        assert_eq!(half_open.admission(&limits, two), Admission::Welcome);
        half_open.enter(one);
        assert_eq!(half_open.admission(&limits, one), Admission::Refused);
        half_open.enter(two);
        assert_eq!(half_open.admission(&limits, two), Admission::WithCookie);
        half_open.leave(two);
        half_open.leave(one);
        assert_eq!(half_open.admission(&limits, one), Admission::WithCookie);
        assert_eq!(half_open.total(), 2);
    }
}
