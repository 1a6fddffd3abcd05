//! The demultiplexer of the one UDP port.

/// STUN's magic cookie, at offset 4 (RFC 8489 §5).
pub(crate) const STUN_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// What the first bytes say a datagram is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatagramKind {
    /// RFC 3948 §2.3.
    NatKeepalive,
    /// After the non-ESP marker, RFC 3948 §2.2.
    Ike,
    /// Message types 1 to 4.
    WireGuard,
    /// RFC 8489.
    Stun,
    /// Channel data, RFC 8656 §12.4.
    TurnChannel,
    /// Every inbound SPI of ours has its top bit set.
    Esp,
    Unknown,
}

impl DatagramKind {
    pub const ALL: [Self; 7] = [
        Self::NatKeepalive,
        Self::Ike,
        Self::WireGuard,
        Self::Stun,
        Self::TurnChannel,
        Self::Esp,
        Self::Unknown,
    ];

    /// Kebab-case, stable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NatKeepalive => "keepalive",
            Self::Ike => "ike",
            Self::WireGuard => "wireguard",
            Self::Stun => "stun",
            Self::TurnChannel => "turn-channel",
            Self::Esp => "esp",
            Self::Unknown => "unknown",
        }
    }
}

/// Tells what a datagram is, by the table of the design's §3; the first line that fits wins.
pub const fn classify(datagram: &[u8]) -> DatagramKind {
    match datagram {
        [0xff] => DatagramKind::NatKeepalive,
        [0, 0, 0, 0, ..] => DatagramKind::Ike,
        [1..=4, 0, 0, 0, ..] => DatagramKind::WireGuard,
        [0..=0x3f, _, _, _, c0, c1, c2, c3, ..] if matches!([*c0, *c1, *c2, *c3], STUN_COOKIE) => {
            DatagramKind::Stun
        }
        [0x40..=0x4f, ..] => DatagramKind::TurnChannel,
        [0x80..=0xff, ..] => DatagramKind::Esp,
        _ => DatagramKind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The table as conditions, each line whole.
    fn reference(datagram: &[u8]) -> DatagramKind {
        let first = datagram.first().copied();
        let head = datagram.get(..4);
        if datagram == [0xff] {
            DatagramKind::NatKeepalive
        } else if head == Some(&[0; 4]) {
            DatagramKind::Ike
        } else if head.is_some_and(|head| (1..=4).contains(&head[0]) && head[1..] == [0; 3]) {
            DatagramKind::WireGuard
        } else if first.is_some_and(|first| first >> 6 == 0) && datagram.get(4..8) == Some(&STUN_COOKIE) {
            DatagramKind::Stun
        } else if first.is_some_and(|first| first >> 4 == 4) {
            DatagramKind::TurnChannel
        } else if first.is_some_and(|first| first >> 7 == 1) {
            DatagramKind::Esp
        } else {
            DatagramKind::Unknown
        }
    }

    #[test]
    fn each_line_of_the_table_has_its_kind() {
        let stun = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 9, 9, 9, 9];
        let table: [(&[u8], DatagramKind); 12] = [
            (&[], DatagramKind::Unknown),
            (&[0xff], DatagramKind::NatKeepalive),
            (&[0xff, 0], DatagramKind::Esp),
            (&[0, 0, 0, 0, 7], DatagramKind::Ike),
            (&[1, 0, 0, 0], DatagramKind::WireGuard),
            (&[4, 0, 0, 0, 7], DatagramKind::WireGuard),
            (&[5, 0, 0, 0, 7], DatagramKind::Unknown),
            (&[4, 0, 0], DatagramKind::Unknown),
            (&stun, DatagramKind::Stun),
            (&stun[..7], DatagramKind::Unknown),
            (&[0x4f], DatagramKind::TurnChannel),
            (&[0x80], DatagramKind::Esp),
        ];
        for (datagram, kind) in table {
            assert_eq!(classify(datagram), kind, "{datagram:02x?}");
        }
    }

    proptest! {
        #[test]
        fn every_input_is_classified_as_the_table_says(
            head in prop::collection::vec(prop_oneof![Just(0u8), 0u8..6, Just(0xff), any::<u8>()], 0..8),
            cookie in any::<bool>(),
            rest in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut datagram = [head, rest].concat();
            if cookie && datagram.len() >= 8 {
                datagram[4..8].copy_from_slice(&STUN_COOKIE);
            }
            prop_assert_eq!(classify(&datagram), reference(&datagram));
        }
    }
}
