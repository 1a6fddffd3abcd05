//! Whom the relay lets in (RFC 8656 §9).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// A permission ends after five minutes.
const RENEWAL: Duration = Duration::from_mins(4);
/// After a refusal.
const RETRY: Duration = Duration::from_mins(1);
/// Addresses of relays: a network has few.
const MOST: usize = 64;

/// Permissions of one allocation.
#[derive(Debug, Default)]
pub(super) struct Permissions {
    /// When to ask for each; `None` while the answer is awaited.
    wanted: BTreeMap<IpAddr, Option<Instant>>,
    ipv6: bool,
}

impl Permissions {
    /// These are wanted, of one IP version the first 64.
    pub(super) fn set(&mut self, ips: &BTreeSet<IpAddr>, now: Instant) {
        self.wanted.retain(|ip, _| ips.contains(ip));
        for ip in ips {
            if self.wanted.len() >= 2 * MOST {
                break;
            }
            self.wanted.entry(*ip).or_insert(Some(now));
        }
    }

    /// The allocation is a new one, seen by that IP version.
    pub(super) fn restart(&mut self, ipv6: bool, now: Instant) {
        self.ipv6 = ipv6;
        self.wanted.values_mut().for_each(|at| *at = Some(now));
    }

    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        self.wanted.contains_key(&ip)
    }

    /// The next one to ask for.
    pub(super) fn poll_ask(&mut self, now: Instant) -> Option<IpAddr> {
        let ipv6 = self.ipv6;
        let mut due = self.wanted.iter_mut().filter(|(ip, _)| ip.is_ipv6() == ipv6);
        let (ip, at) = due.find(|(_, at)| at.is_some_and(|at| at <= now))?;
        *at = None;
        Some(*ip)
    }

    pub(super) fn granted(&mut self, ip: IpAddr, now: Instant) {
        self.ask_at(ip, now + RENEWAL);
    }

    pub(super) fn refused(&mut self, ip: IpAddr, now: Instant) {
        self.ask_at(ip, now + RETRY);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.wanted.iter().filter(|(ip, _)| ip.is_ipv6() == self.ipv6).filter_map(|(_, at)| *at).min()
    }

    fn ask_at(&mut self, ip: IpAddr, at: Instant) {
        if let Some(wanted) = self.wanted.get_mut(&ip) {
            *wanted = Some(at);
        }
    }
}
