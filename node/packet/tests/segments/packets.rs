//! Packets as the tests describe them, and their checksums the slow way.

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;
pub(crate) const ECE: u8 = 0x40;
pub(crate) const CWR: u8 = 0x80;
pub(crate) const TIMESTAMPS: [u8; 12] = [1, 1, 8, 10, 0, 0, 1, 2, 0, 0, 3, 4];
pub(crate) const DONT_FRAGMENT: u8 = 0x40;

/// A packet of either protocol and either family.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) v6: bool,
    pub(crate) udp: bool,
    /// Type of service and ECN, and with IPv6 the flow label.
    pub(crate) class: u8,
    pub(crate) hop_limit: u8,
    pub(crate) identification: u16,
    pub(crate) fragment_flags: u8,
    /// IPv4 options, or extension headers of IPv6 in which a zero stands for the next header.
    pub(crate) ip_options: Vec<u8>,
    pub(crate) port: u16,
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) tcp_options: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

impl Packet {
    pub(crate) fn tcp(v6: bool, payload: Vec<u8>) -> Self {
        Self {
            v6,
            udp: false,
            class: 2,
            hop_limit: 64,
            identification: 0xfffe,
            fragment_flags: 0,
            ip_options: Vec::new(),
            port: 4000,
            sequence: 0xffff_fff0,
            acknowledgment: 77,
            flags: ACK,
            window: 500,
            tcp_options: TIMESTAMPS.to_vec(),
            payload,
        }
    }

    pub(crate) fn udp(v6: bool, payload: Vec<u8>) -> Self {
        Self { udp: true, ..Self::tcp(v6, payload) }
    }

    /// Its bytes, with right lengths and complete checksums.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let protocol = if self.udp { 17 } else { 6 };
        let mut bytes = if self.v6 {
            let first = if self.ip_options.is_empty() { protocol } else { 60 };
            let mut header =
                vec![0x60 | self.class >> 4, self.class << 4 | 3, 9, self.class, 0, 0, first, self.hop_limit];
            header.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
            header.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
            header.extend(&self.ip_options);
            if !self.ip_options.is_empty() {
                header[40] = protocol;
            }
            header
        } else {
            let words = u8::try_from(5 + self.ip_options.len() / 4).unwrap();
            let [i0, i1] = self.identification.to_be_bytes();
            let mut header = vec![0x40 | words, self.class, 0, 0, i0, i1, self.fragment_flags, 0];
            header.extend([self.hop_limit, protocol, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2]);
            header.extend(&self.ip_options);
            header
        };
        bytes.extend(self.port.to_be_bytes());
        bytes.extend([0x01, 0xbb]);
        if self.udp {
            bytes.extend([0; 4]);
        } else {
            bytes.extend(self.sequence.to_be_bytes());
            bytes.extend(self.acknowledgment.to_be_bytes());
            bytes.extend([u8::try_from(5 + self.tcp_options.len() / 4).unwrap() << 4, self.flags]);
            bytes.extend(self.window.to_be_bytes());
            bytes.extend([0; 4]);
            bytes.extend(&self.tcp_options);
        }
        bytes.extend(&self.payload);
        set_lengths(&mut bytes);
        complete(&mut bytes);
        bytes
    }

    pub(crate) fn header_len(&self) -> usize {
        self.bytes().len() - self.payload.len()
    }

    /// Offset of the transport header.
    pub(crate) fn transport(&self) -> usize {
        (if self.v6 { 40 } else { 20 }) + self.ip_options.len()
    }
}

/// Where the transport header begins, and whether it is UDP's.
pub(crate) fn transport(bytes: &[u8]) -> (usize, bool) {
    if bytes[0] >> 4 == 4 {
        return (usize::from(bytes[0] & 15) * 4, bytes[9] == 17);
    }
    if bytes[6] == 60 {
        (40 + (usize::from(bytes[41]) + 1) * 8, bytes[40] == 17)
    } else {
        (40, bytes[6] == 17)
    }
}

pub(crate) fn checksum_field(bytes: &[u8]) -> usize {
    let (start, udp) = transport(bytes);
    start + if udp { 6 } else { 16 }
}

pub(crate) fn set_lengths(bytes: &mut [u8]) {
    let (start, udp) = transport(bytes);
    let total = u16::try_from(bytes.len()).unwrap();
    if bytes[0] >> 4 == 4 {
        bytes[2..4].copy_from_slice(&total.to_be_bytes());
        bytes[10..12].fill(0);
        let sum = !folded(&bytes[..start]);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        bytes[4..6].copy_from_slice(&(total - 40).to_be_bytes());
    }
    if udp {
        let len = total - u16::try_from(start).unwrap();
        bytes[start + 4..start + 6].copy_from_slice(&len.to_be_bytes());
    }
}

/// RFC 1071 §1, two bytes at a time.
pub(crate) fn folded(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}

fn pseudo_header(bytes: &[u8]) -> Vec<u8> {
    let (start, udp) = transport(bytes);
    let addresses = if bytes[0] >> 4 == 4 { 12..20 } else { 8..40 };
    let len = u32::try_from(bytes.len() - start).unwrap();
    [&bytes[addresses], &len.to_be_bytes(), &[0, 0, 0, if udp { 17 } else { 6 }]].concat()
}

pub(crate) fn partial_value(bytes: &[u8]) -> u16 {
    folded(&pseudo_header(bytes))
}

pub(crate) fn is_partial(bytes: &[u8]) -> bool {
    bytes[checksum_field(bytes)..][..2] == partial_value(bytes).to_be_bytes()
}

pub(crate) fn make_partial(bytes: &mut [u8]) {
    let (at, value) = (checksum_field(bytes), partial_value(bytes));
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

pub(crate) fn complete(bytes: &mut [u8]) {
    let at = checksum_field(bytes);
    let (start, udp) = transport(bytes);
    bytes[at..at + 2].fill(0);
    let sum = !folded(&[pseudo_header(bytes), bytes[start..].to_vec()].concat());
    let sum = if udp && sum == 0 { 0xffff } else { sum };
    bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}
