//! What the kernel leaves for others to do to a packet, and the header that says so on a TUN device
//! (`struct virtio_net_hdr` of `linux/virtio_net.h`; virtio 1.2 §5.1.6).

use std::num::NonZeroU16;

use crate::BadHeaders;

/// Length of the legacy header, which a TUN device has by default, in the machine's byte order.
pub const VIRTIO_HEADER_LEN: usize = 10;

const NEEDS_CSUM: u8 = 1;
/// Somebody has verified the checksum: nothing for us to do.
const DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
/// One datagram to be sent as IP fragments (UFO), which a TUN device is never asked for.
const GSO_UDP: u8 = 3;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

/// What is left to do to a packet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offload {
    /// The packet is a super-packet, to be cut.
    pub segmentation: Option<Segmentation>,
    /// The transport checksum covers the pseudo-header only, to be completed.
    pub checksum: Option<PartialChecksum>,
}

/// How a super-packet is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segmentation {
    pub kind: Segmented,
    /// Bytes of payload of each segment but the last, which may be shorter.
    pub size: NonZeroU16,
    /// Bytes of all headers at least: the kernel counts in what else lies in its linear buffer.
    pub header_len: u16,
    /// TCP's CWR bit is set and belongs to the first segment only.
    pub ecn: bool,
}

/// What a super-packet consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Segmented {
    /// TCP over IPv4 (TSO4).
    Tcp4,
    /// TCP over IPv6 (TSO6).
    Tcp6,
    /// UDP datagrams of equal size over IPv4 or IPv6 (USO).
    Udp,
}

/// Where a checksum is to be completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartialChecksum {
    /// Offset in the packet from where on it covers everything.
    pub start: u16,
    /// Offset of its field from there.
    pub offset: u16,
}

/// Why an offload cannot be true of the packet it comes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadOffload {
    #[error("flags {0:#04x}, of which some were never asked for")]
    Flags(u8),
    #[error("segmentation of type {0:#04x}, which was never asked for")]
    Type(u8),
    #[error("segments of no bytes")]
    NoSize,
    #[error("segments whose checksum is not partial")]
    NoChecksum,
    #[error("{kind:?} segments in a packet of another kind")]
    Kind { kind: Segmented },
    #[error("a header length of {header_len} bytes in a packet of {len} whose headers have {actual}")]
    HeaderLength { header_len: u16, actual: usize, len: usize },
    #[error("a checksum from {start} on, its field at {offset} from there, in a packet of {len} bytes")]
    ChecksumPlace { start: u16, offset: u16, len: usize },
    #[error("an IP length of {ip} in a buffer of {buffer} bytes")]
    Length { ip: usize, buffer: usize },
    #[error(transparent)]
    Headers(#[from] BadHeaders),
}

impl Offload {
    /// Nothing: the packet is whole, and so is its checksum.
    pub const NONE: Self = Self { segmentation: None, checksum: None };

    /// Reads what stands before a packet from a TUN device. Whether it fits that packet, [`crate::SuperPacket::parse`]
    /// finds out.
    pub fn read(header: &[u8; VIRTIO_HEADER_LEN]) -> Result<Self, BadOffload> {
        let [flags, gso_type, header_len @ .., g0, g1, s0, s1, o0, o1] = *header;
        if flags & !(NEEDS_CSUM | DATA_VALID) != 0 {
            return Err(BadOffload::Flags(flags));
        }
        let checksum = (flags & NEEDS_CSUM != 0).then_some(PartialChecksum {
            start: u16::from_ne_bytes([s0, s1]),
            offset: u16::from_ne_bytes([o0, o1]),
        });
        let kind = match (gso_type & !GSO_ECN, gso_type & GSO_ECN != 0) {
            (GSO_NONE, false) => return Ok(Self { segmentation: None, checksum }),
            (GSO_TCPV4, _) => Segmented::Tcp4,
            (GSO_TCPV6, _) => Segmented::Tcp6,
            (GSO_UDP_L4, false) => Segmented::Udp,
            (GSO_UDP | _, _) => return Err(BadOffload::Type(gso_type)),
        };
        if checksum.is_none() {
            return Err(BadOffload::NoChecksum);
        }
        let segmentation = Segmentation {
            kind,
            size: NonZeroU16::new(u16::from_ne_bytes([g0, g1])).ok_or(BadOffload::NoSize)?,
            header_len: u16::from_ne_bytes(header_len),
            ecn: gso_type & GSO_ECN != 0,
        };
        Ok(Self { segmentation: Some(segmentation), checksum })
    }

    /// The header to write before the packet.
    pub fn write(&self) -> [u8; VIRTIO_HEADER_LEN] {
        let (gso_type, header_len, size) = match self.segmentation {
            None => (GSO_NONE, 0, 0),
            Some(Segmentation { kind, size, header_len, ecn }) => {
                let kind = match kind {
                    Segmented::Tcp4 => GSO_TCPV4,
                    Segmented::Tcp6 => GSO_TCPV6,
                    Segmented::Udp => GSO_UDP_L4,
                };
                (if ecn { kind | GSO_ECN } else { kind }, header_len, size.get())
            }
        };
        let (flags, start, offset) =
            self.checksum.map_or((0, 0, 0), |PartialChecksum { start, offset }| (NEEDS_CSUM, start, offset));
        let ([h0, h1], [g0, g1]) = (header_len.to_ne_bytes(), size.to_ne_bytes());
        let ([s0, s1], [o0, o1]) = (start.to_ne_bytes(), offset.to_ne_bytes());
        [flags, gso_type, h0, h1, g0, g1, s0, s1, o0, o1]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// In the machine's byte order, like the kernel's struct.
    fn header(flags: u8, gso_type: u8, fields: [u16; 4]) -> [u8; VIRTIO_HEADER_LEN] {
        let fields: Vec<u8> = fields.iter().flat_map(|field| field.to_ne_bytes()).collect();
        [&[flags, gso_type], fields.as_slice()].concat().try_into().unwrap()
    }

    #[test]
    fn a_super_packet_of_tcp_is_described() {
        let offload = Offload::read(&header(NEEDS_CSUM, GSO_TCPV4 | GSO_ECN, [52, 1368, 20, 16])).unwrap();
        let segmentation = offload.segmentation.unwrap();
        assert_eq!((segmentation.kind, segmentation.size.get()), (Segmented::Tcp4, 1368));
        assert_eq!((segmentation.header_len, segmentation.ecn), (52, true));
        assert_eq!(offload.checksum, Some(PartialChecksum { start: 20, offset: 16 }));
    }

    #[test]
    fn a_verified_packet_has_nothing_left_to_do() {
        assert_eq!(Offload::read(&header(DATA_VALID, GSO_NONE, [0; 4])), Ok(Offload::NONE));
        assert_eq!(Offload::NONE.write(), [0; VIRTIO_HEADER_LEN]);
    }

    #[test]
    fn what_was_never_asked_for_is_refused_with_its_reason() {
        let read = |flags, gso_type, size| Offload::read(&header(flags, gso_type, [40, size, 20, 16]));
        assert_eq!(read(NEEDS_CSUM, GSO_TCPV4, 0), Err(BadOffload::NoSize));
        assert_eq!(read(0, GSO_TCPV4, 1000), Err(BadOffload::NoChecksum));
        assert_eq!(read(NEEDS_CSUM, GSO_UDP, 1000), Err(BadOffload::Type(3)));
        assert_eq!(read(NEEDS_CSUM, GSO_UDP_L4 | GSO_ECN, 1000), Err(BadOffload::Type(0x85)));
        assert_eq!(read(NEEDS_CSUM, GSO_ECN, 1000), Err(BadOffload::Type(0x80)));
        assert_eq!(read(NEEDS_CSUM | 4, GSO_NONE, 0), Err(BadOffload::Flags(5)));
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_written_back(bytes: [u8; VIRTIO_HEADER_LEN], flags in 0u8..4, kind in 0u8..6) {
            let [_, _, rest @ ..] = bytes;
            let bytes = [&[flags, kind], rest.as_slice()].concat().try_into().unwrap();
            if let Ok(offload) = Offload::read(&bytes) {
                prop_assert_eq!(Offload::read(&offload.write()), Ok(offload));
            }
        }
    }
}
