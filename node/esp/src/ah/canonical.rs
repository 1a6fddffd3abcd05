//! The headers before AH as both ends authenticate them: what changes on the way in a manner nobody can
//! foretell is 0, what changes foreseeably is as it will arrive (RFC 4302 §3.3.3.1).

use super::layout::{DESTINATION_OPTIONS, HOP_BY_HOP, ROUTING};
use super::options::{BadOption, mute_v4, mute_v6};

const IPV6_HEADER_LEN: usize = 40;
/// More than any packet that is not made for mischief has before AH.
const LONGEST: usize = 1024;

/// At which end the headers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Sender,
    /// Where source routes have been travelled.
    Receiver,
}

/// Headers that cannot be authenticated: too long, options or routes that contradict themselves, a route
/// unknown or unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unfit;

impl From<BadOption> for Unfit {
    fn from(_: BadOption) -> Self {
        Self
    }
}

pub(super) struct Canonical {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Canonical {
    /// `headers` end where AH begins, and already say that it follows and how long the packet is with it.
    pub(super) fn new(headers: &[u8], end: End) -> Result<Self, Unfit> {
        let mut canonical = Self { bytes: [0; LONGEST], len: headers.len() };
        let bytes = canonical.bytes.get_mut(..headers.len()).ok_or(Unfit)?;
        bytes.copy_from_slice(headers);
        match bytes {
            [0x45..=0x4f, ..] => v4(bytes, end)?,
            [0x60..=0x6f, ..] => v6(bytes, end)?,
            _ => return Err(Unfit),
        }
        Ok(canonical)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

fn v4(headers: &mut [u8], end: End) -> Result<(), Unfit> {
    let (fixed, options) = headers.split_first_chunk_mut::<20>().ok_or(Unfit)?;
    let [_, tos, _, _, _, _, f0, f1, ttl, _, c0, c1, _, _, _, _, destination @ ..] = fixed;
    // RFC 4302 §3.3.3.1.1.1: type of service, flags, fragment offset, time to live, checksum.
    for byte in [tos, f0, f1, ttl, c0, c1] {
        *byte = 0;
    }
    match (mute_v4(options)?, end) {
        (Some(last_hop), End::Sender) => *destination = last_hop,
        (Some(_), End::Receiver) => return Err(Unfit),
        (None, _) => {}
    }
    Ok(())
}

fn v6(headers: &mut [u8], end: End) -> Result<(), Unfit> {
    let (fixed, extensions) = headers.split_first_chunk_mut::<IPV6_HEADER_LEN>().ok_or(Unfit)?;
    let [version, class_label, l1, l2, _, _, next_header, hop_limit, addresses @ ..] = fixed;
    // RFC 4302 §3.3.3.1.2.1: traffic class, flow label, hop limit.
    *version = 0x60;
    for byte in [class_label, l1, l2, hop_limit] {
        *byte = 0;
    }
    let destination = addresses.last_chunk_mut::<16>().ok_or(Unfit)?;
    let (mut kind, mut rest) = (*next_header, extensions);
    while !rest.is_empty() {
        let [next, len, ..] = rest else {
            return Err(Unfit);
        };
        let (next, len) = (*next, 8 + 8 * usize::from(*len));
        let (header, after) = rest.split_at_mut_checked(len).ok_or(Unfit)?;
        let body = header.get_mut(2..).ok_or(Unfit)?;
        match kind {
            HOP_BY_HOP | DESTINATION_OPTIONS => mute_v6(body)?,
            ROUTING => travel(body, destination, end)?,
            _ => return Err(Unfit),
        }
        (kind, rest) = (next, after);
    }
    Ok(())
}

/// Brings a routing header, without its first two bytes, and the destination to the state at the last hop
/// (RFC 4302 appendix A2; RFC 2460 §4.4 says how each hop swaps addresses, RFC 6275 §6.4 has one of them).
fn travel(routing: &mut [u8], destination: &mut [u8; 16], end: End) -> Result<(), Unfit> {
    const SOURCE_ROUTE: u8 = 0;
    const HOME_ADDRESS: u8 = 2;
    let ([kind, segments_left, _, _, _, _], addresses) = routing.split_first_chunk_mut::<6>().ok_or(Unfit)?;
    if *segments_left == 0 {
        return Ok(());
    }
    let (addresses, rest) = addresses.as_chunks_mut::<16>();
    let pending = addresses.len().checked_sub(usize::from(*segments_left)).ok_or(Unfit)?;
    if end == End::Receiver || !matches!(*kind, SOURCE_ROUTE | HOME_ADDRESS) || !rest.is_empty() {
        return Err(Unfit);
    }
    for next in addresses.iter_mut().skip(pending) {
        std::mem::swap(next, destination);
    }
    *segments_left = 0;
    Ok(())
}
