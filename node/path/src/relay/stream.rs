//! Messages in a stream (RFC 8656 §3.1): by TCP and TLS nothing but their own length parts them.

/// A STUN header, which is longer than that of channel data.
const STUN_HEADER: usize = 20;
const CHANNEL_HEADER: usize = 4;

/// The stream is none of TURN's, and has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the relay sent bytes that are no TURN")]
pub struct NotTurn;

/// Cuts what comes in by a stream into messages. It holds one unfinished message at most, 64 KiB, and what the last
/// read brought beyond it.
#[derive(Debug, Default)]
pub struct StreamReader {
    buffer: Vec<u8>,
    /// What lies before it was given out.
    start: usize,
}

impl StreamReader {
    /// Takes the next bytes of the stream. Then call [`Self::next_message`] until it has none.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next STUN message, whole. Channel data is passed over: a client that binds no channels by a stream is sent none.
    ///
    /// # Errors
    /// [`NotTurn`].
    pub fn next_message(&mut self) -> Result<Option<&[u8]>, NotTurn> {
        loop {
            let rest = self.buffer.get(self.start..).unwrap_or_default();
            let Some([first, _, l0, l1]) = rest.first_chunk::<CHANNEL_HEADER>() else { return Ok(None) };
            let length = usize::from(u16::from_be_bytes([*l0, *l1]));
            let (size, is_message) = match first & 0xc0 {
                // RFC 8489 §5: a length is a multiple of four.
                0x00 if length.is_multiple_of(4) => (STUN_HEADER + length, true),
                // RFC 8656 §12.5: by a stream, channel data is padded.
                0x40 => (CHANNEL_HEADER + length.next_multiple_of(4), false),
                _ => return Err(NotTurn),
            };
            if rest.len() < size {
                return Ok(None);
            }
            let begin = self.start;
            self.start += size;
            if is_message {
                return Ok(self.buffer.get(begin..begin + size));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&[0x00, 0x17][..], &length, &[0x21, 0x12, 0xa4, 0x42], &[7; 12], body].concat()
    }

    fn all(reader: &mut StreamReader) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        while let Some(message) = reader.next_message().unwrap() {
            found.push(message.to_vec());
        }
        found
    }

    #[test]
    fn channel_data_with_its_padding_is_passed_over() {
        let channel = [0x40, 0x00, 0x00, 0x01, 0xaa, 0, 0, 0];
        let mut reader = StreamReader::default();
        reader.push(&[&channel[..], &message(&[1; 4])].concat());
        assert_eq!(all(&mut reader), [message(&[1; 4])]);
    }

    #[test]
    fn another_protocol_is_told_by_its_first_bytes() {
        for bytes in [&b"HTTP/1.1 400"[..4], &[0x00, 0x17, 0x00, 0x03], &[0xff; 4], &[0x80, 0, 0, 0]] {
            let mut reader = StreamReader::default();
            reader.push(bytes);
            // The H of HTTP looks like a channel.
            if bytes[0] & 0xc0 != 0x40 {
                assert_eq!(reader.next_message(), Err(NotTurn), "{bytes:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn messages_come_out_whole_wherever_the_stream_is_cut(
            bodies in prop::collection::vec(0..9_usize, 1..8), cuts in prop::collection::vec(1..40_usize, 1..40),
        ) {
            let messages: Vec<_> = bodies.iter().map(|words| message(&vec![3; words * 4])).collect();
            let stream = messages.concat();
            let (mut reader, mut found, mut rest) = (StreamReader::default(), Vec::new(), &stream[..]);
            for cut in cuts.iter().cycle() {
                let (bytes, later) = rest.split_at((*cut).min(rest.len()));
                reader.push(bytes);
                found.extend(all(&mut reader));
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(found, messages);
        }

        #[test]
        fn garbage_never_makes_it_hold_more_than_came(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = StreamReader::default();
            reader.push(&bytes);
            while let Ok(Some(_)) = reader.next_message() {}
            prop_assert!(reader.start <= reader.buffer.len());
        }
    }
}
