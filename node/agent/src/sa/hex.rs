//! Hexadecimal digits and secret bytes.

use zeroize::Zeroizing;

/// Two digits for each byte; blanks, colons and hyphens between bytes and a leading `0x` do not count. `None`
/// for anything else.
pub(crate) fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let text = text.trim_ascii();
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    // No growth: that would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(digits.len() / 2));
    let mut high: Option<u8> = None;
    for letter in digits.bytes() {
        if letter.is_ascii_whitespace() || matches!(letter, b':' | b'-') {
            if high.is_some() {
                return None;
            }
            continue;
        }
        let digit = value(letter)?;
        match high.take() {
            Some(high) => bytes.push(high << 4 | digit),
            None => high = Some(digit),
        }
    }
    high.is_none().then_some(bytes)
}

const fn value(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        b'A'..=b'F' => Some(letter - b'A' + 10),
        _ => None,
    }
}

pub(crate) fn encode(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(2 * bytes.len()));
    for nibble in bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]) {
        text.push(char::from_digit(nibble.into(), 16).unwrap_or_default());
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_may_be_written_as_other_programs_show_them() {
        for text in ["00ff10", "0x00FF10", "00:ff:10", " 00 ff\n10 ", "0x00-ff-10"] {
            assert_eq!(decode(text).unwrap().as_slice(), [0x00, 0xff, 0x10], "{text:?}");
        }
        for text in ["0", "0g", "0 0", "0x0x00", "ü0", "000"] {
            assert!(decode(text).is_none(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn digits_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let read = decode(&encode(&bytes)).unwrap();
            prop_assert_eq!(read.as_slice(), bytes.as_slice());
        }
    }
}
