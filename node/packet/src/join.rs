//! Joining received packets of one flow into the super-packet they were cut from, or could have been.
//!
//! The rules are those of Linux' GRO: cut again, the super-packet gives every packet byte for byte. One thing may change:
//! the IPv4 identification of packets that must not be fragmented, which means nothing (RFC 6864 §4.1).

use std::num::NonZeroU16;
use std::ops::Range;

use crate::candidate::{Candidate, checksum_place};
use crate::field::{put, u16_at, u32_at};
use crate::layout::{Layout, flag, ipv4, ipv6, tcp, udp};
use crate::{Checksum, FlowKey, Offload, PartialChecksum, Segmentation, Segmented};

/// Packets in one super-packet at most; the kernel has the same limit for datagrams.
pub const MAX_PIECES: usize = 64;
/// IPv6 without extension headers, TCP with all options that there is room for.
const MAX_HEADER_LEN: usize = 40 + 60;
/// What an IPv4 header can say; for IPv6 the kernel's limit is the same.
const MAX_LEN: usize = 65_535;
const DONT_FRAGMENT: u8 = 0x40;

/// A super-packet in the making. Payloads stay where they are: it holds the headers and says which ranges to write.
#[derive(Debug, Clone)]
pub struct Join {
    flow: FlowKey,
    kind: Segmented,
    is_ipv4: bool,
    /// Those of the first packet.
    headers: [u8; MAX_HEADER_LEN],
    header_len: usize,
    transport: usize,
    checksum: PartialChecksum,
    first_len: usize,
    total_len: usize,
    size: NonZeroU16,
    count: usize,
    next_sequence: u32,
    /// FIN and PSH of the last packet.
    last_flags: u8,
    is_closed: bool,
}

/// What became of a packet that was to be joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is part of the super-packet; this range of it is written behind what was written before.
    Added { payload: Range<usize> },
    /// It does not follow, or its checksum is wrong. The join is as it was.
    Refused,
}

impl Join {
    /// Begins with a packet; `None` if no other may follow it, or if its checksum is wrong, so that it travels alone as it
    /// is.
    pub fn begin(first: &Candidate<'_>) -> Option<Self> {
        let layout = first.layout();
        let closing = flag::FIN | flag::PSH;
        let size = NonZeroU16::new(u16::try_from(layout.payload.len()).ok()?)?;
        if layout.has_options || !may_join(layout.kind, layout.flags()) || layout.flags() & closing != 0 {
            return None;
        }
        let mut headers = [0; MAX_HEADER_LEN];
        headers.get_mut(..layout.headers.len())?.copy_from_slice(layout.headers);
        let sequence = u32_at(layout.transport_header(), tcp::SEQUENCE)?;
        let total_len = layout.headers.len() + layout.payload.len();
        let join = Self {
            flow: *first.flow(),
            kind: layout.kind,
            is_ipv4: layout.is_ipv4,
            headers,
            header_len: layout.headers.len(),
            transport: layout.transport,
            checksum: checksum_place(layout)?,
            first_len: total_len,
            total_len,
            size,
            count: 1,
            next_sequence: sequence.wrapping_add(size.get().into()),
            last_flags: 0,
            is_closed: false,
        };
        (total_len <= MAX_LEN && first.is_right()).then_some(join)
    }

    pub const fn flow(&self) -> &FlowKey {
        &self.flow
    }

    /// How many packets there are.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Length of the super-packet in bytes.
    pub const fn total_len(&self) -> usize {
        self.total_len
    }

    /// Length of the first packet in bytes, without padding.
    pub const fn first_len(&self) -> usize {
        self.first_len
    }

    /// True after the last packet that fits: one with PSH or FIN, a shorter one, the [`MAX_PIECES`]th.
    pub const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Adds the packet that follows in its flow.
    pub fn add(&mut self, next: &Candidate<'_>) -> Verdict {
        let layout = next.layout();
        if self.is_closed || self.flow != *next.flow() || !self.fits(layout) || !next.is_right() {
            return Verdict::Refused;
        }
        let len = layout.payload.len();
        self.count += 1;
        self.total_len += len;
        self.next_sequence = self.next_sequence.wrapping_add(u32::try_from(len).unwrap_or_default());
        self.last_flags = layout.flags() & (flag::FIN | flag::PSH);
        self.is_closed =
            len < usize::from(self.size.get()) || self.last_flags != 0 || self.count == MAX_PIECES;
        Verdict::Added { payload: self.header_len..self.header_len + len }
    }

    /// Patches the headers at the beginning of the first packet, and says what to write before it. A join of one packet
    /// is that packet with a checksum that nobody needs to verify again.
    pub fn finish(mut self, first_packet: &mut [u8]) -> Offload {
        let ecn = self.head().flags() & flag::CWR != 0;
        let patched = self.patch();
        let headers = self.headers.get(..self.header_len).zip(first_packet.get_mut(..self.header_len));
        let Some((from, to)) = headers.filter(|_| patched.is_some()) else { return Offload::NONE };
        to.copy_from_slice(from);
        let segmentation = Segmentation {
            kind: self.kind,
            size: self.size,
            header_len: u16::try_from(self.header_len).unwrap_or_default(),
            ecn,
        };
        let segmentation = (self.count > 1).then_some(segmentation);
        Offload { segmentation, checksum: Some(self.checksum) }
    }

    fn patch(&mut self) -> Option<()> {
        let total = u16::try_from(self.total_len).ok()?;
        let transport_len = self.total_len - self.transport;
        let partial = self.head().pseudo_header().with_len(transport_len).folded();
        let headers = self.headers.get_mut(..self.header_len)?;
        let (ip, transport) = headers.split_at_mut_checked(self.transport)?;
        if self.is_ipv4 {
            put(ip, ipv4::TOTAL_LENGTH, total.to_be_bytes())?;
            put(ip, ipv4::CHECKSUM, [0; 2])?;
            let checksum = Checksum::new().with(ip).finish();
            put(ip, ipv4::CHECKSUM, checksum.to_be_bytes())?;
        } else {
            put(ip, ipv6::PAYLOAD_LENGTH, u16::try_from(transport_len).ok()?.to_be_bytes())?;
        }
        match self.kind {
            Segmented::Tcp4 | Segmented::Tcp6 => *transport.get_mut(tcp::FLAGS)? |= self.last_flags,
            Segmented::Udp => put(transport, udp::LENGTH, u16::try_from(transport_len).ok()?.to_be_bytes())?,
        }
        put(transport, self.checksum.offset.into(), partial.to_be_bytes())
    }

    /// The headers of the first packet.
    fn head(&self) -> Layout<'_> {
        Layout {
            headers: self.headers.get(..self.header_len).unwrap_or_default(),
            payload: &[],
            transport: self.transport,
            kind: self.kind,
            is_ipv4: self.is_ipv4,
            has_options: false,
        }
    }

    fn fits(&self, next: &Layout<'_>) -> bool {
        let len = next.payload.len();
        next.headers.len() == self.header_len
            && (1..=usize::from(self.size.get())).contains(&len)
            && self.total_len + len <= MAX_LEN
            && self.ip_continues(next)
            && self.transport_continues(next)
    }

    fn ip_continues(&self, next: &Layout<'_>) -> bool {
        let head = self.head();
        let same = |range: Range<usize>| head.headers.get(range.clone()) == next.headers.get(range);
        if self.is_ipv4 {
            same(0..ipv4::TOTAL_LENGTH) && same(ipv4::FRAGMENT..ipv4::CHECKSUM) && self.identifies(next)
        } else {
            same(0..ipv6::PAYLOAD_LENGTH) && same(ipv6::NEXT_HEADER..ipv6::ADDRESSES)
        }
    }

    fn identifies(&self, next: &Layout<'_>) -> bool {
        let identification = |headers| u16_at(headers, ipv4::IDENTIFICATION).unwrap_or_default();
        let expected =
            u16::try_from(self.count).map(|count| identification(&self.headers).wrapping_add(count));
        let may_fragment = next.headers.get(ipv4::FRAGMENT).is_none_or(|flags| flags & DONT_FRAGMENT == 0);
        !may_fragment || expected == Ok(identification(next.headers))
    }

    fn transport_continues(&self, next: &Layout<'_>) -> bool {
        if self.kind == Segmented::Udp {
            return true;
        }
        let (first, header) = (self.head().transport_header(), next.transport_header());
        let same = |range: Range<usize>| first.get(range.clone()) == header.get(range);
        u32_at(header, tcp::SEQUENCE) == Some(self.next_sequence)
            && same(tcp::ACKNOWLEDGMENT..tcp::FLAGS)
            && same(tcp::WINDOW..tcp::CHECKSUM)
            && same(tcp::URGENT..header.len())
            // CWR stands in the first packet only, FIN and PSH in the last.
            && next.flags() & !(flag::FIN | flag::PSH) == self.head().flags() & !flag::CWR
    }
}

/// Nothing but data: not what opens, resets or interrupts a connection.
fn may_join(kind: Segmented, flags: u8) -> bool {
    kind == Segmented::Udp || flags & (flag::SYN | flag::RST | flag::URG | flag::ACK) == flag::ACK
}
