//! What fits through the path below an SA (RFC 4301 §8.2).

mod too_big;

use std::net::IpAddr;
use std::time::{Duration, Instant};

pub use too_big::{TooBig, parse_too_big, parse_too_big_v6};

/// How long a report of a narrower path counts (RFC 1191 §6.3, RFC 8201 §4).
const RAISE_AFTER: Duration = Duration::from_mins(10);
/// Every IPv4 host takes in a packet of this length (RFC 1122 §3.3.2). RFC 1191 §3 would go down to 68, which
/// hands anybody who can forge one ICMP message a way to choke the SA.
const LEAST_V4: u16 = 576;
/// RFC 8200 §5.
const LEAST_V6: u16 = 1280;
/// RFC 1191 §7.1, for routers that report no MTU; those below [`LEAST_V4`] left out.
const PLATEAUS: [u16; 7] = [32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006];

/// The longest outer packet, IP header included, that the path to one peer carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathMtu {
    initial: u16,
    least: u16,
    lowered: Option<Lowered>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lowered {
    to: u16,
    at: Instant,
    below_least: bool,
}

impl PathMtu {
    /// `initial` is the MTU of the link over which `peer`, the outer destination, is reached.
    pub const fn new(initial: u16, peer: IpAddr) -> Self {
        let least = match peer {
            IpAddr::V4(_) => LEAST_V4,
            IpAddr::V6(_) => LEAST_V6,
        };
        Self { initial, least, lowered: None }
    }

    /// The estimate as of `now`.
    pub fn current(&self, now: Instant) -> u16 {
        self.lowered_by(now).map_or(self.initial, |lowered| lowered.to)
    }

    /// Takes in a report of a router about one of this SA's outer packets, and tells whether the estimate
    /// fell. Whoever calls has made sure that the packet quoted is one of ours; more cannot be known of ICMP,
    /// so a report never raises the estimate, and never brings it below what every link must carry. 0 is a
    /// router that knows nothing of RFC 1191: the next lower of the usual MTUs is assumed.
    pub fn too_big(&mut self, reported: u16, now: Instant) -> bool {
        let before = self.current(now);
        if self.least == LEAST_V6 && reported < LEAST_V6 {
            // RFC 8201 §4: discarded.
            return false;
        }
        let reported = if reported == 0 {
            PLATEAUS.into_iter().find(|plateau| *plateau < before).unwrap_or(self.least)
        } else {
            reported
        };
        let below_least = reported < self.least;
        let to = reported.max(self.least).min(before);
        if to == before && below_least == self.may_fragment(now) {
            // The age counts from the last decrease (RFC 1191 §6.3): late reports do not prolong it.
            return false;
        }
        self.lowered = Some(Lowered { to, at: now, below_least });
        to < before
    }

    /// When the estimate goes back to the link's MTU, to be lowered again if need be.
    pub fn raised_at(&self) -> Option<Instant> {
        self.lowered.map(|lowered| lowered.at + RAISE_AFTER)
    }

    /// A router reported less than 576: the outer packets go without DF until that is forgotten.
    pub fn may_fragment(&self, now: Instant) -> bool {
        self.lowered_by(now).is_some_and(|lowered| lowered.below_least)
    }

    /// The longest inner packet, if sealing and the outer headers add `overhead` bytes.
    pub fn inner_mtu(&self, overhead: u16, now: Instant) -> u16 {
        self.current(now).saturating_sub(overhead)
    }

    fn lowered_by(&self, now: Instant) -> Option<Lowered> {
        self.lowered.filter(|lowered| now < lowered.at + RAISE_AFTER)
    }
}

/// What becomes of a packet that is about to be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    Fits,
    /// Its sender is told so (RFC 4301 §8.2.1).
    TooBig {
        mtu: u16,
    },
    /// IPv6 promises to carry it and the underlay cannot: the outer packet is fragmented.
    FragmentOuter,
}

/// Compares a packet with the path: `inner_mtu` is what [`PathMtu::inner_mtu`] says. IPv6 inside is never
/// told less than 1,280, which it need not believe (RFC 8201 §4).
pub fn fit(packet: &[u8], inner_mtu: u16) -> Fit {
    if packet.len() <= usize::from(inner_mtu) {
        return Fit::Fits;
    }
    match packet {
        [0x60..=0x6f, ..] if packet.len() <= usize::from(LEAST_V6) => Fit::FragmentOuter,
        [0x60..=0x6f, ..] => Fit::TooBig { mtu: inner_mtu.max(LEAST_V6) },
        _ => Fit::TooBig { mtu: inner_mtu },
    }
}
