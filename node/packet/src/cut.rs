//! Cutting the super-packets that a TUN device hands out into the packets they stand for.

use crate::candidate::Sums;
use crate::field::put;
use crate::layout::{BadHeaders, Layout};
use crate::template::{Place, Template, complete};
use crate::{BadOffload, Checksum, IpPacket, Offload, PartialChecksum, Segmentation, Segmented};

/// A packet with what is left to do to it. Nothing is done before a segment is written, and its payload is then read
/// once and written once.
#[derive(Debug, Clone, Copy)]
pub struct SuperPacket<'a> {
    packet: IpPacket<'a>,
    work: Work<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Work<'a> {
    Nothing,
    Checksum {
        start: usize,
        offset: usize,
        /// `None` for neither TCP nor UDP.
        kind: Option<Segmented>,
        /// The far end can tell that it is partial.
        may_travel: bool,
    },
    Segments {
        template: Template<'a>,
        size: usize,
        count: usize,
    },
}

impl<'a> SuperPacket<'a> {
    /// Checks what the offload says against the packet. IPv6 may have hop-by-hop and destination options.
    pub fn parse(bytes: &'a [u8], offload: Offload) -> Result<Self, BadOffload> {
        let packet = IpPacket::parse(bytes).map_err(BadHeaders::from)?;
        let Some(checksum) = offload.checksum else {
            return match offload.segmentation {
                None => Ok(Self { packet, work: Work::Nothing }),
                Some(_) => Err(BadOffload::NoChecksum),
            };
        };
        let ip = packet.bytes().len();
        if ip != bytes.len() {
            return Err(BadOffload::Length { ip, buffer: bytes.len() });
        }
        let work = match offload.segmentation {
            None => partial(&packet, checksum)?,
            Some(segmentation) => segments(&packet, checksum, segmentation)?,
        };
        Ok(Self { packet, work })
    }

    /// The packet as it came.
    pub const fn packet(&self) -> IpPacket<'a> {
        self.packet
    }

    /// How many packets it stands for, at least one.
    pub fn count(&self) -> usize {
        match self.work {
            Work::Nothing | Work::Checksum { .. } => 1,
            Work::Segments { count, .. } => count,
        }
    }

    /// True if it is one packet with a complete checksum, which can be sent as it lies.
    pub const fn is_plain(&self) -> bool {
        matches!(self.work, Work::Nothing)
    }

    /// Length in bytes of a packet; 0 past the last one. All are of equal length but the last, which may be shorter.
    pub fn packet_len(&self, index: usize) -> usize {
        match &self.work {
            Work::Segments { template, .. } => {
                self.place(index).map_or(0, |place| template.layout().headers.len() + place.end - place.start)
            }
            Work::Nothing | Work::Checksum { .. } if index == 0 => self.packet.bytes().len(),
            Work::Nothing | Work::Checksum { .. } => 0,
        }
    }

    /// Length in bytes of all packets together.
    pub fn packets_len(&self) -> usize {
        let headers = match &self.work {
            Work::Segments { template, .. } => template.layout().headers.len(),
            Work::Nothing | Work::Checksum { .. } => 0,
        };
        self.packet.bytes().len() + headers * (self.count() - 1)
    }

    /// Writes a packet and says how long it is; `None` past the last one and if `out` is too short.
    ///
    /// With [`Sums::Partial`], the checksum is left partial where [`crate::single`] at the far end can tell. It is
    /// completed in a SYN, so that [`crate::clamp_mss`] works on what was written. What will be fragmented needs
    /// [`Sums::Full`].
    pub fn write(&self, index: usize, out: &mut [u8], sums: Sums) -> Option<usize> {
        match &self.work {
            Work::Segments { template, .. } => template.write(self.place(index)?, out, sums),
            Work::Nothing | Work::Checksum { .. } if index > 0 => None,
            Work::Checksum { start, offset, kind, may_travel } if sums == Sums::Full || !may_travel => {
                complete_copy(self.packet.bytes(), out, (*start, *offset), *kind)
            }
            Work::Nothing | Work::Checksum { .. } => {
                let bytes = self.packet.bytes();
                out.get_mut(..bytes.len())?.copy_from_slice(bytes);
                Some(bytes.len())
            }
        }
    }

    fn place(&self, index: usize) -> Option<Place> {
        let Work::Segments { template, size, count } = &self.work else { return None };
        let start = size.checked_mul(index).filter(|_| index < *count)?;
        let end = template.layout().payload.len().min(start + size);
        Some(Place { index, start, end, is_last: index + 1 == *count })
    }
}

fn segments<'a>(
    packet: &IpPacket<'a>,
    checksum: PartialChecksum,
    segmentation: Segmentation,
) -> Result<Work<'a>, BadOffload> {
    let Segmentation { kind, size, header_len, ecn: _ } = segmentation;
    let layout = Layout::of(packet)?;
    if layout.kind != kind {
        return Err(BadOffload::Kind { kind });
    }
    let (actual, len) = (layout.headers.len(), packet.bytes().len());
    if !(actual..=len).contains(&usize::from(header_len)) {
        return Err(BadOffload::HeaderLength { header_len, actual, len });
    }
    if (usize::from(checksum.start), usize::from(checksum.offset))
        != (layout.transport, layout.checksum_offset())
    {
        return Err(checksum_place(checksum, len));
    }
    let size = usize::from(size.get());
    let count = layout.payload.len().div_ceil(size).max(1);
    Ok(Work::Segments { template: Template::new(layout), size, count })
}

/// A checksum of any protocol, at any place behind the IP header.
fn partial<'a>(packet: &IpPacket<'a>, checksum: PartialChecksum) -> Result<Work<'a>, BadOffload> {
    let (start, offset) = (usize::from(checksum.start), usize::from(checksum.offset));
    let len = packet.bytes().len();
    if start < len - packet.payload().len() || start + offset + 2 > len {
        return Err(checksum_place(checksum, len));
    }
    let layout = match Layout::of(packet) {
        Err(BadHeaders::Fragment) => return Err(BadHeaders::Fragment.into()),
        layout => {
            layout.ok().filter(|layout| (start, offset) == (layout.transport, layout.checksum_offset()))
        }
    };
    Ok(Work::Checksum {
        start,
        offset,
        kind: layout.map(|layout| layout.kind),
        may_travel: layout.is_some_and(|layout| layout.looks_partial()),
    })
}

fn checksum_place(checksum: PartialChecksum, len: usize) -> BadOffload {
    let PartialChecksum { start, offset } = checksum;
    BadOffload::ChecksumPlace { start, offset, len }
}

fn complete_copy(
    bytes: &[u8],
    out: &mut [u8],
    (start, offset): (usize, usize),
    kind: Option<Segmented>,
) -> Option<usize> {
    let out = out.get_mut(..bytes.len())?;
    let (head, covered) = bytes.split_at_checked(start)?;
    let (head_copy, covered_copy) = out.split_at_mut_checked(start)?;
    head_copy.copy_from_slice(head);
    // The field holds what the sum starts from: it counts like everything else.
    let sum = Checksum::new().with_copied(covered, covered_copy).finish();
    // Where zero may mean "none", the other zero is right for everybody.
    put(covered_copy, offset, complete(kind.unwrap_or(Segmented::Udp), sum).to_be_bytes())?;
    Some(bytes.len())
}
