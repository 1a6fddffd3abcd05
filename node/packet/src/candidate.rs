//! A received packet as a candidate for joining, and what to tell the kernel of one that travels alone.

use crate::field::{chunk, u16_at};
use crate::layout::{Layout, ipv4};
use crate::{Checksum, FlowKey, IpPacket, Offload, PartialChecksum, Segmented};

/// How the checksum of a TCP or UDP packet travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sums {
    /// Complete, as everybody expects it.
    Full,
    /// Between two agents that agreed on it the field may hold the folded sum of the pseudo-header: the AEAD protects the
    /// packet on its way, and the receiving kernel completes the checksum if it ever needs it.
    ///
    /// No mark travels with it. A whole checksum that is right and happens to equal that sum is completed too, and then is
    /// what it was: where the pseudo-header sums up to P and the rest to R, it is right if it is ¬(P + R), and that is what
    /// completing writes. One that is wrong would be made right, so the sender lets none pass ([`is_mistakable`]).
    Partial,
}

/// A TCP or UDP packet whose headers have been looked at, but not its payload.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    layout: Layout<'a>,
    flow: FlowKey,
    sums: Sums,
}

impl<'a> Candidate<'a> {
    /// `sums` is what the peer may send. `None` for what belongs to no flow: neither TCP nor UDP, fragments, what is
    /// malformed. Bytes after the packet's total length are padding.
    pub fn parse(packet: &'a [u8], sums: Sums) -> Option<Self> {
        let layout = Layout::of(&IpPacket::parse(packet).ok()?).ok()?;
        Some(Self { layout, flow: FlowKey::of(&layout), sums })
    }

    pub const fn flow(&self) -> &FlowKey {
        &self.flow
    }

    /// What it would be a part of.
    pub const fn kind(&self) -> Segmented {
        self.layout.kind
    }

    /// What is left to do to the packet if it travels alone.
    pub fn single(&self) -> Offload {
        let checksum = if self.is_partial() { checksum_place(&self.layout) } else { None };
        Offload { segmentation: None, checksum }
    }

    pub(crate) const fn layout(&self) -> &Layout<'a> {
        &self.layout
    }

    /// Whether its checksums are those that cutting would give it again. Reads the whole packet unless it is partial.
    pub(crate) fn is_right(&self) -> bool {
        self.ip_header_is_right() && (self.is_partial() || self.transport_is_right())
    }

    fn ip_header_is_right(&self) -> bool {
        let Layout { headers, has_options, is_ipv4, .. } = self.layout;
        // Of both zeros, cutting writes the positive one. Headers with options are never joined.
        !is_ipv4
            || u16_at(headers, ipv4::CHECKSUM) != Some(0xffff)
                && !has_options
                && chunk::<20>(headers, 0).is_some_and(|header| Checksum::new().with(header).finish() == 0)
    }

    fn is_partial(&self) -> bool {
        self.sums == Sums::Partial && self.layout.looks_partial()
    }

    fn transport_is_right(&self) -> bool {
        let layout = &self.layout;
        let never_written = match layout.kind {
            Segmented::Tcp4 | Segmented::Tcp6 => 0xffff,
            // No checksum at all.
            Segmented::Udp => 0,
        };
        layout.checksum() != never_written && layout.sum_is_right()
    }
}

/// Where the checksum of a packet is to be completed.
pub(crate) fn checksum_place(layout: &Layout<'_>) -> Option<PartialChecksum> {
    Some(PartialChecksum {
        start: u16::try_from(layout.transport).ok()?,
        offset: u16::try_from(layout.checksum_offset()).ok()?,
    })
}

/// The same as [`Candidate::single`], for any packet.
pub fn single(packet: &[u8], sums: Sums) -> Offload {
    Candidate::parse(packet, sums).map_or(Offload::NONE, |candidate| candidate.single())
}

/// True of a packet with a wrong checksum that a receiver of partial ones would take for one of these and complete, so
/// that nobody behind it could tell. Its payload is read only if it looks like that: of one packet in 65,536.
pub fn is_mistakable(packet: &IpPacket<'_>) -> bool {
    let Ok(layout) = Layout::of(packet) else { return false };
    layout.looks_partial() && !layout.sum_is_right()
}
