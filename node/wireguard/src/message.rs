//! The fields of WireGuard's messages that `boringtun` does not show.

/// Bytes of a handshake initiation (whitepaper §5.4.2).
pub(crate) const INITIATION_LEN: usize = 148;

/// The datagram, if it has the form of a handshake initiation.
pub(crate) fn initiation(datagram: &[u8]) -> Option<&[u8; INITIATION_LEN]> {
    datagram
        .try_into()
        .ok()
        .filter(|initiation: &&[u8; INITIATION_LEN]| initiation.starts_with(&[1, 0, 0, 0]))
}

/// Receiver index and counter of a data message (whitepaper §5.4.6).
pub(crate) fn data_header(datagram: &[u8]) -> Option<(u32, u64)> {
    let ([4, 0, 0, 0, r0, r1, r2, r3, counter @ ..], _) = datagram.split_first_chunk::<16>()? else {
        return None;
    };
    Some((u32::from_le_bytes([*r0, *r1, *r2, *r3]), u64::from_le_bytes(*counter)))
}

/// Our index in a handshake response (whitepaper §5.4.3), which is the new session's.
pub(crate) fn receiver_of_response(datagram: &[u8]) -> Option<u32> {
    let ([2, 0, 0, 0, _, _, _, _, receiver @ ..], _) = datagram.split_first_chunk::<12>()? else {
        return None;
    };
    Some(u32::from_le_bytes(*receiver))
}

/// True if a session came to be before another of the same peer, by their receiver indices: the low eight
/// bits count up cyclically.
pub(crate) fn is_older_session(receiver: u32, than: u32) -> bool {
    let [low, ..] = receiver.to_le_bytes();
    let [than_low, ..] = than.to_le_bytes();
    (1..128).contains(&than_low.wrapping_sub(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_data_messages_have_a_counter() {
        let mut datagram = [0; 32];
        datagram[..9].copy_from_slice(&[4, 0, 0, 0, 1, 2, 0, 0, 5]);
        assert_eq!(data_header(&datagram), Some((0x201, 5)));
        assert_eq!(data_header(&datagram[..15]), None);
        datagram[0] = 2;
        assert_eq!(data_header(&datagram), None);
        assert_eq!(receiver_of_response(&datagram), Some(5));
    }

    #[test]
    fn age_of_sessions_wraps_around() {
        assert!(is_older_session(0x1ff, 0x100));
        assert!(is_older_session(0x105, 0x106));
        assert!(!is_older_session(0x106, 0x105));
        assert!(!is_older_session(0x105, 0x105));
    }
}
