//! The headers of a super-packet's segments: what all share is summed once, the rest is patched into each copy.

use crate::candidate::Sums;
use crate::field::{put, u16_at, u32_at};
use crate::layout::{Layout, flag, ipv4, ipv6, tcp, udp};
use crate::{Checksum, Segmented};

/// What the segments have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Template<'a> {
    layout: Layout<'a>,
    /// Of the IPv4 header without total length, identification and checksum.
    ip_sum: Checksum,
    /// Of the pseudo-header without the length.
    pseudo_sum: Checksum,
    /// Of the transport header without what differs from segment to segment.
    transport_sum: Checksum,
    identification: u16,
    sequence: u32,
}

/// One segment's place in the super-packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) index: usize,
    /// Where its payload begins in that of the super-packet.
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) is_last: bool,
}

impl<'a> Template<'a> {
    pub(crate) fn new(layout: Layout<'a>) -> Self {
        let ip = |range| sum(layout.headers, range);
        let ip_sum = if layout.is_ipv4 {
            ip(0..ipv4::TOTAL_LENGTH)
                .and(ip(ipv4::FRAGMENT..ipv4::CHECKSUM))
                .and(ip(ipv4::ADDRESSES..layout.transport))
        } else {
            Checksum::new()
        };
        let header = layout.transport_header();
        let transport_sum = match layout.kind {
            Segmented::Tcp4 | Segmented::Tcp6 => sum(header, 0..tcp::SEQUENCE)
                .and(sum(header, tcp::ACKNOWLEDGMENT..tcp::DATA_OFFSET))
                .and(sum(header, tcp::WINDOW..tcp::CHECKSUM))
                .and(sum(header, tcp::URGENT..header.len())),
            Segmented::Udp => sum(header, 0..udp::LENGTH),
        };
        Self {
            layout,
            ip_sum,
            pseudo_sum: layout.pseudo_header(),
            transport_sum,
            identification: u16_at(layout.headers, ipv4::IDENTIFICATION).unwrap_or_default(),
            sequence: u32_at(header, tcp::SEQUENCE).unwrap_or_default(),
        }
    }

    pub(crate) fn layout(&self) -> &Layout<'a> {
        &self.layout
    }

    /// Writes a segment and says how long it is; `None` if `out` is too short.
    pub(crate) fn write(&self, place: Place, out: &mut [u8], sums: Sums) -> Option<usize> {
        let payload = self.layout.payload.get(place.start..place.end)?;
        let len = self.layout.headers.len() + payload.len();
        let (headers, body) = out.get_mut(..len)?.split_at_mut_checked(self.layout.headers.len())?;
        headers.copy_from_slice(self.layout.headers);
        let (ip, transport) = headers.split_at_mut_checked(self.layout.transport)?;
        self.patch_ip(place, ip, len)?;
        let pseudo = self.pseudo_sum.with_len(len - self.layout.transport);
        // A SYN's size is clamped on its way, which mends a complete checksum.
        let checksum = if sums == Sums::Partial && self.layout.flags() & flag::SYN == 0 {
            self.patch_transport(place, transport)?;
            body.copy_from_slice(payload);
            pseudo.folded()
        } else {
            let varying = self.patch_transport(place, transport)?;
            let sum = pseudo.and(self.transport_sum).and(varying).with_copied(payload, body).finish();
            complete(self.layout.kind, sum)
        };
        put(transport, self.layout.checksum_offset(), checksum.to_be_bytes())?;
        Some(len)
    }

    fn patch_ip(&self, place: Place, header: &mut [u8], len: usize) -> Option<()> {
        if !self.layout.is_ipv4 {
            let payload_len = u16::try_from(len - ipv6::HEADER_LEN).ok()?;
            return put(header, ipv6::PAYLOAD_LENGTH, payload_len.to_be_bytes());
        }
        let total = u16::try_from(len).ok()?;
        let identification = self.identification.wrapping_add(u16::try_from(place.index).ok()?);
        let checksum = self.ip_sum.with_u16(total).with_u16(identification).finish();
        put(header, ipv4::TOTAL_LENGTH, total.to_be_bytes())?;
        put(header, ipv4::IDENTIFICATION, identification.to_be_bytes())?;
        put(header, ipv4::CHECKSUM, checksum.to_be_bytes())
    }

    /// The sum of what it wrote and of what it read that differs from segment to segment.
    fn patch_transport(&self, place: Place, header: &mut [u8]) -> Option<Checksum> {
        if self.layout.kind == Segmented::Udp {
            let len = u16::try_from(header.len() + place.end - place.start).ok()?;
            put(header, udp::LENGTH, len.to_be_bytes())?;
            return Some(Checksum::new().with_u16(len));
        }
        let sequence = self.sequence.wrapping_add(u32::try_from(place.start).ok()?);
        put(header, tcp::SEQUENCE, sequence.to_be_bytes())?;
        let flags = header.get_mut(tcp::FLAGS)?;
        if place.index > 0 {
            *flags &= !flag::CWR;
        }
        if !place.is_last {
            *flags &= !(flag::FIN | flag::PSH);
        }
        Some(Checksum::new().with_u32(sequence).with_u16(u16_at(header, tcp::DATA_OFFSET)?))
    }
}

/// UDP has another sign for "no checksum" than a checksum of zero (RFC 768).
pub(crate) fn complete(kind: Segmented, checksum: u16) -> u16 {
    if kind == Segmented::Udp && checksum == 0 { 0xffff } else { checksum }
}

fn sum(bytes: &[u8], range: std::ops::Range<usize>) -> Checksum {
    Checksum::new().with(bytes.get(range).unwrap_or_default())
}
