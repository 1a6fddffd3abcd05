//! TURN on a stream: messages back to back (RFC 8489 §6.2.2, RFC 8656 §12.5).

use super::forward::CHANNEL_HEADER;

/// Before the attributes of a STUN message (RFC 8489 §5), in bytes.
const STUN_HEADER: usize = 20;
/// The longest frame: a STUN message with all the attributes that its length can tell.
pub(super) const LONGEST: usize = STUN_HEADER + u16::MAX as usize + 3;

/// What a stream's bytes begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// More bytes are needed: so many from the beginning, as far as one can tell.
    Partial { needs: usize },
    /// A message of `length` bytes; the next one begins after `padded`.
    Whole { length: usize, padded: usize },
    /// Neither STUN nor channel data: the stream is out of step for good.
    Broken,
}

pub(super) fn first_frame(bytes: &[u8]) -> Frame {
    let &[first, second, high, low, ..] = bytes else { return Frame::Partial { needs: CHANNEL_HEADER } };
    let told = usize::from(u16::from_be_bytes([high, low]));
    let length = match first >> 6 {
        // RFC 8489 §5: the length of a STUN message is a multiple of 4.
        0b00 if told.is_multiple_of(4) => STUN_HEADER + told,
        0b01 if (first, second) != (0x7f, 0xff) => CHANNEL_HEADER + told,
        _ => return Frame::Broken,
    };
    let padded = length.next_multiple_of(4);
    if bytes.len() < padded { Frame::Partial { needs: padded } } else { Frame::Whole { length, padded } }
}

/// Appends a message, padded as it must be.
pub(super) fn append(stream: &mut Vec<u8>, message: &[u8]) {
    stream.extend_from_slice(message);
    let padding = message.len().next_multiple_of(4) - message.len();
    stream.extend_from_slice([0; 3].get(..padding).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(mut bytes: &[u8]) -> (Vec<Vec<u8>>, Frame) {
        let mut found = Vec::new();
        loop {
            match first_frame(bytes) {
                Frame::Whole { length, padded } => {
                    found.push(bytes[..length].to_vec());
                    bytes = &bytes[padded..];
                }
                end @ (Frame::Partial { .. } | Frame::Broken) => return (found, end),
            }
        }
    }

    fn message() -> impl Strategy<Value = Vec<u8>> {
        let channel = (0x4000_u16..=0x7ffe, proptest::collection::vec(any::<u8>(), 0..200)).prop_map(
            |(number, payload)| {
                let length = u16::try_from(payload.len()).unwrap();
                [&number.to_be_bytes()[..], &length.to_be_bytes(), &payload].concat()
            },
        );
        let stun = (0_u16..0x4000, 0_u16..40, any::<u8>()).prop_map(|(kind, words, filling)| {
            let mut bytes = vec![filling; STUN_HEADER + usize::from(words) * 4];
            bytes[..2].copy_from_slice(&kind.to_be_bytes());
            bytes[2..4].copy_from_slice(&(words * 4).to_be_bytes());
            bytes
        });
        prop_oneof![channel, stun]
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in_wherever_the_stream_is_cut(
            messages in proptest::collection::vec(message(), 0..10), cut: prop::sample::Index,
        ) {
            let mut stream = Vec::new();
            for message in &messages {
                append(&mut stream, message);
            }
            prop_assert_eq!(frames(&stream), (messages.clone(), Frame::Partial { needs: CHANNEL_HEADER }));
            let part = &stream[..cut.index(stream.len() + 1)];
            let (before, end) = frames(part);
            prop_assert_eq!(&before[..], &messages[..before.len()]);
            prop_assert!(matches!(end, Frame::Partial { needs } if needs <= LONGEST), "{:?}", end);
        }

        #[test]
        fn garbage_ends_or_waits_and_never_asks_for_more_than_the_longest_message(bytes: Vec<u8>) {
            match first_frame(&bytes) {
                Frame::Partial { needs } => prop_assert!(bytes.len() < needs && needs <= LONGEST),
                Frame::Whole { length, padded } => prop_assert!(length <= padded && padded <= bytes.len()),
                Frame::Broken => prop_assert!(bytes[0] & 0xc0 != 0x40 || bytes[..2] == [0x7f, 0xff]),
            }
        }
    }

    #[test]
    fn what_is_neither_stun_nor_channel_data_is_broken_from_its_first_bytes() {
        for bytes in [[0x80, 0, 0, 0], [0xff; 4], *b"\x16\x03\x01\x02", [0x7f, 0xff, 0, 0]] {
            assert_eq!(first_frame(&bytes), Frame::Broken, "{bytes:02x?}");
        }
    }
}
